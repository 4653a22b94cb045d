//! The exits and taps of a weights file or of the built-in model.
//!
//!     cargo run --example open_model -- weights/cifar10/msdnet_cifar10.safetensors

use msdcam::model::Model;

fn main() -> msdcam::Result<()> {
    let model = match std::env::args().nth(1) {
        Some(path) => Model::open(path)?,
        None => Model::pretrained()?,
    };
    println!("{} exits, {} classes, input {}", model.exits.len(), model.classes(), model.input_shape());
    for exit in 1..=model.exits.len() {
        let shape = model.graph.shape(model.exit_tap(exit).node);
        let taps = model.taps_reaching(exit).len();
        println!("exit {exit:2} reads {shape}; its score depends on {taps} taps");
    }
    Ok(())
}
