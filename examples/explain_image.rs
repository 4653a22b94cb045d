//! Grad-CAM at every exit for one photo: predictions and heatmaps.
//!
//!     cargo run --release --example explain_image -- weights/samples/chelsea.png

use std::path::Path;

use msdcam::RgbImage;
use msdcam::engine::device::{Device, DeviceChoice};
use msdcam::explain::{ExplainRequest, Explainer};
use msdcam::model::Model;

fn main() -> msdcam::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "weights/samples/chelsea.png".into());
    let model = Model::pretrained()?;
    let device = Device::open(DeviceChoice::Auto, 0)?;
    let mut explainer = Explainer::new(&model, &ExplainRequest::grad_cam(&model), &device, 1)?;

    let photo = RgbImage::open(Path::new(&path))?;
    // The batch has one image; its explanations are one per exit.
    for explanation in &explainer.explain(&model.prepare(&photo).tensor)?[0] {
        let prediction = &explanation.prediction;
        let heatmap = &explanation.maps[0].heatmap;
        let brightest = heatmap.values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let (index, _) = brightest.expect("a heatmap has elements");
        println!(
            "exit {:2}: {:10} {:5.1} %, brightest at row {}, column {} of {} x {}",
            prediction.exit,
            model.labels[prediction.class],
            100.0 * prediction.confidence(),
            index / heatmap.width,
            index % heatmap.width,
            heatmap.height,
            heatmap.width,
        );
    }
    Ok(())
}
