//! Two methods about one photo: how far their heat maps agree at each exit.
//!
//!     cargo run --release --example compare_methods -- grad-cam hires-cam weights/samples/chelsea.png

use std::path::Path;

use msdcam::engine::device::{Device, DeviceChoice};
use msdcam::explain::{ExplainRequest, Explainer, Explanation, Method, Target, difference};
use msdcam::imaging::{open, prepare};
use msdcam::model::msdnet::load;
use msdcam::model::pretrained::built_in_weights;
use msdcam::{Error, Result};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |default: &str| arguments.next().unwrap_or_else(|| default.into());
    let (first, second) = (next("grad-cam"), next("hires-cam"));
    let path = next("weights/samples/chelsea.png");

    let weights = built_in_weights()?;
    let network = load(&weights)?;
    let methods: [Method; 2] = [first.parse()?, second.parse()?];
    // Every exit explains the class that the last one predicts, so that they can be compared.
    let study = ExplainRequest { target: Target::Final, ..ExplainRequest::of(&network, &methods) };
    let device = Device::open(DeviceChoice::Auto, 0)?;
    let mut examiner = Explainer::new(&network, &study, &device, 1)?;

    let photo = open(Path::new(&path))?;
    let input = prepare(&photo, weights.config.input, weights.mean, weights.std);
    for finding in &examiner.examine(&input.tensor, &[])?[0] {
        report(finding, &weights.labels)?;
    }
    Ok(())
}

fn report(finding: &Explanation, labels: &[String]) -> Result<()> {
    let [a, b] = &finding.maps[..] else {
        return Err(Error::usage("two methods that make maps are compared"));
    };
    let values = difference(&a.heat, &b.heat).ok_or_else(|| Error::usage("maps of two sizes"))?;
    let mean = values.iter().map(|v| v.abs()).sum::<f32>() / values.len() as f32;
    println!(
        "exit {:2}: for '{}', {} ({}) and {} ({}) differ by {mean:.3} on average",
        finding.exit,
        labels[finding.target],
        a.method.name(),
        a.heat.status.name(),
        b.method.name(),
        b.heat.status.name(),
    );
    Ok(())
}
