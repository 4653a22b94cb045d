//! Loads a weights file, or the built-in weights, and shows the places at which a map can be made.
//!
//!     cargo run --example load_weights -- weights/msdnet_cifar10.safetensors

use std::path::Path;

use msdcam::Result;
use msdcam::explain::reaching_taps;
use msdcam::model::msdnet::load;
use msdcam::model::pretrained::built_in_weights;
use msdcam::model::weights::Weights;

fn main() -> Result<()> {
    let weights = match std::env::args().nth(1) {
        Some(path) => Weights::read(Path::new(&path))?,
        None => built_in_weights()?,
    };
    let network = load(&weights)?;
    let input = network.graph.shape(network.input);
    println!("{} exits, {} classes, input {input}", network.exits.len(), weights.labels.len());
    for (i, exit) in network.exits.iter().enumerate() {
        let taps = reaching_taps(&network, i + 1);
        println!("exit {:2} reads {}; {} taps reach it", i + 1, network.graph.shape(exit.tap), taps.len());
    }
    Ok(())
}
