//! Two methods on one photo: how much their heatmaps differ at each exit.
//!
//!     cargo run --release --example compare_methods -- grad-cam hires-cam weights/samples/chelsea.png

use std::path::Path;

use msdcam::RgbImage;
use msdcam::engine::device::{Device, DeviceChoice};
use msdcam::explain::{ExplainRequest, Explainer, Explanation, Method, Target, difference};
use msdcam::model::Model;
use msdcam::{Error, Result};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |default: &str| arguments.next().unwrap_or_else(|| default.into());
    let (first, second) = (next("grad-cam"), next("hires-cam"));
    let path = next("weights/samples/chelsea.png");

    let model = Model::pretrained()?;
    let methods: [Method; 2] = [first.parse()?, second.parse()?];
    // Every exit explains the class that the last one predicts, so that exits can be compared.
    let request = ExplainRequest { target: Target::Final, ..ExplainRequest::new(&model, &methods) };
    let device = Device::open(DeviceChoice::Auto, 0)?;
    let mut explainer = Explainer::new(&model, &request, &device, 1)?;

    let photo = RgbImage::open(Path::new(&path))?;
    for explanation in &explainer.explain(&model.prepare(&photo).tensor)?[0] {
        report(explanation, &model.labels)?;
    }
    Ok(())
}

fn report(explanation: &Explanation, labels: &[String]) -> Result<()> {
    let [a, b] = &explanation.maps[..] else {
        return Err(Error::usage("expected two CAM methods"));
    };
    let values = difference(&a.heatmap, &b.heatmap).ok_or_else(|| Error::usage("heatmaps of two sizes"))?;
    let mean = values.iter().map(|v| v.abs()).sum::<f32>() / values.len() as f32;
    println!(
        "exit {:2}: for '{}', {} ({}) and {} ({}) differ by {mean:.3} on average",
        explanation.prediction.exit,
        labels[explanation.target],
        a.method.name(),
        a.heatmap.status.name(),
        b.method.name(),
        b.heatmap.status.name(),
    );
    Ok(())
}
