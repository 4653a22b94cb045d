//! Where each exit looks in a photo: Grad-CAM at every exit, and what each exit says.
//!
//!     cargo run --release --example explain_image -- weights/samples/chelsea.png

use std::path::Path;

use msdcam::Result;
use msdcam::engine::device::{Device, DeviceChoice};
use msdcam::explain::{Classifier, Question};
use msdcam::imaging::{open, prepare};
use msdcam::model::msdnet::load;
use msdcam::model::pretrained::built_in_weights;

fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "weights/samples/chelsea.png".into());
    let weights = built_in_weights()?;
    let network = load(&weights)?;
    let device = Device::open(DeviceChoice::Auto, 0)?;
    let mut explainer = Classifier::new(&network, &Question::explain_all(&network), &device, 1)?;

    let photo = open(Path::new(&path))?;
    let input = prepare(&photo, weights.config.input, weights.mean, weights.std);
    // One image in, so one image's answers out.
    for answer in &explainer.explain(&input.tensor, None)?[0] {
        let Some(map) = &answer.map else { continue };
        let (place, _) = map
            .heat
            .iter()
            .enumerate()
            .fold((0, 0.0), |best, (i, &heat)| if heat > best.1 { (i, heat) } else { best });
        let side = weights.config.input;
        println!(
            "exit {:2}: {:10} {:5.1} %, hottest at row {}, column {} of {side}",
            answer.exit,
            weights.labels[answer.class],
            100.0 * answer.probabilities[answer.class],
            place / side,
            place % side,
        );
    }
    Ok(())
}
