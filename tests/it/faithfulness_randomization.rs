//! Cascading randomization check on the default network: it finds what is known about the methods
//! (Adebayo et al. 2018, arXiv 1810.03292).

use crate::common::golden::Golden;
use msdcam::engine::device::{Device, DeviceChoice};
use msdcam::explain::{ExplainRequest, Target};
use msdcam::faithfulness::{Cascade, Similarity};
use msdcam::model::msdnet::load;
use msdcam::model::pretrained::built_in_weights;
use msdcam::model::weights::Weights;

const METHODS: [&str; 4] = ["eigen-cam", "grad-cam", "input-gradient", "guided-backprop"];

fn check(weights: &Weights, exit: usize, batch: usize, seed: u64) -> Vec<Similarity> {
    let network = load(weights).unwrap();
    let methods = METHODS.map(|method| method.parse().unwrap());
    let study = ExplainRequest {
        exits: vec![exit],
        target: Target::Predicted,
        ..ExplainRequest::of(&network, &methods)
    };
    let device = &Device::open(DeviceChoice::Cpu, 2).unwrap();
    let images = Golden::load("default").tensor("input");
    let cascade = Cascade { weights, study: &study, device, batch, seed };
    let mut networks = 0;
    let found = cascade.run(&images.data, &[], || networks += 1).unwrap();
    assert_eq!((networks, cascade.networks()), (exit + 1, exit + 1));
    assert_eq!(found.len(), networks * METHODS.len());
    found
}

fn of<'a>(found: &'a [Similarity], method: &str) -> Vec<&'a Similarity> {
    found.iter().filter(|row| row.method == method).collect()
}

#[test]
fn guided_backprop_ignores_the_weights_and_grad_cam_does_not() {
    let found = check(&built_in_weights().unwrap(), 4, 4, 1);
    let stages: Vec<&str> = of(&found, "grad-cam").iter().map(|row| row.stage.as_str()).collect();
    assert_eq!(stages, ["head 4", "block 4", "block 3", "block 2", "block 1"]);
    for row in &found {
        assert_eq!(row.images + row.left_out, 4, "{row:?}");
        let numbers = [row.spearman_signed, row.spearman_absolute, row.ssim_signed, row.ssim_absolute];
        assert!(numbers.iter().all(|x| x.is_some_and(|x| (-1.0..=1.0).contains(&x))), "{row:?}");
    }
    // It reads no head: its map is the same to the bit, and is not once its own block is another.
    let eigen = of(&found, "eigen-cam");
    let all = [eigen[0].spearman_signed, eigen[0].spearman_absolute, eigen[0].ssim_signed];
    assert_eq!(all, [Some(1.0); 3]);
    assert!(eigen[1].spearman_signed.unwrap() < 0.99, "{:?}", eigen[1]);
    // While the first block is as trained, guided backpropagation draws the same picture.
    for (guided, grad_cam) in of(&found, "guided-backprop").iter().zip(of(&found, "grad-cam")).take(4) {
        assert!(guided.spearman_absolute.unwrap() > 0.6, "{guided:?}");
        assert!(grad_cam.spearman_absolute.unwrap() < 0.5, "{grad_cam:?}");
    }
}

#[test]
fn the_seed_draws_the_weights_and_the_batch_does_not_matter() {
    let weights = built_in_weights().unwrap();
    let found = check(&weights, 1, 4, 7);
    assert_eq!(found, check(&weights, 1, 3, 7));
    let other = check(&weights, 1, 4, 8);
    assert_ne!(of(&found, "grad-cam")[0].spearman_signed, of(&other, "grad-cam")[0].spearman_signed);
}
