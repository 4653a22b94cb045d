//! Early exit: each photo stops at the first exit whose confidence reaches 0.9.
//!
//!     cargo run --release --example early_exit -- weights/samples/chelsea.png

use std::path::Path;

use msdcam::RgbImage;
use msdcam::engine::device::{Device, DeviceChoice};
use msdcam::engine::plan::Order;
use msdcam::explain::Classifier;
use msdcam::model::Model;

fn main() -> msdcam::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "weights/samples/chelsea.png".into());
    let model = Model::pretrained()?;
    let device = Device::open(DeviceChoice::Auto, 0)?;
    let exits: Vec<usize> = (1..=model.exits.len()).collect();
    let mut classifier = Classifier::new(&model, &exits, Order::ByExit, &device, 1)?;
    let cost = classifier.multiply_adds();

    let input = model.prepare(&RgbImage::open(Path::new(&path))?).tensor;
    let thresholds = vec![Some(0.9); exits.len()];
    for prediction in &classifier.classify_early_exit(&input, &thresholds)?[0] {
        println!(
            "exit {:2}: {:10} {:5.1} %, after {:5.1} M multiply-adds",
            prediction.exit,
            model.labels[prediction.class],
            100.0 * prediction.confidence(),
            cost[prediction.exit - 1] as f64 / 1e6,
        );
    }
    Ok(())
}
