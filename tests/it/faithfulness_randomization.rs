//! Cascading randomization on the default network reproduces known results (Adebayo et al. 2018, arXiv
//! 1810.03292).

use crate::common::golden::Golden;
use msdcam::engine::device::{Device, DeviceChoice};
use msdcam::explain::{ExplainRequest, Target};
use msdcam::faithfulness::{CascadeSimilarity, CascadingRandomization};
use msdcam::model::Model;
use msdcam::{Error, RequestError};

const METHODS: [&str; 4] = ["eigen-cam", "grad-cam", "input-gradient", "guided-backprop"];

fn check(model: &Model, exit: usize, batch: usize, seed: u64) -> Vec<CascadeSimilarity> {
    let methods = METHODS.map(|method| method.parse().unwrap());
    let request = ExplainRequest {
        exits: vec![exit],
        target: Target::Predicted,
        ..ExplainRequest::new(model, &methods)
    };
    let device = &Device::open(DeviceChoice::Cpu, 2).unwrap();
    let images = Golden::load("default").tensor("input");
    let cascade = CascadingRandomization { model, request: &request, device, batch, seed };
    let mut models = 0;
    let progress = |done| {
        assert!(done == models || done == models + 1, "{done} after {models}");
        models = done;
        Ok::<_, Error>(())
    };
    let found = cascade.run(&images.data, &[], progress).unwrap();
    assert_eq!((models, cascade.models()), (exit + 1, exit + 1));
    assert_eq!(found.len(), models * METHODS.len());
    found
}

fn of<'a>(found: &'a [CascadeSimilarity], method: &str) -> Vec<&'a CascadeSimilarity> {
    found.iter().filter(|row| row.method == method).collect()
}

#[test]
fn guided_backprop_ignores_the_weights_and_grad_cam_does_not() {
    let found = check(&Model::pretrained().unwrap(), 4, 4, 1);
    let stages: Vec<&str> = of(&found, "grad-cam").iter().map(|row| row.stage.as_str()).collect();
    assert_eq!(stages, ["head 4", "block 4", "block 3", "block 2", "block 1"]);
    for row in &found {
        assert_eq!(row.images + row.left_out, 4, "{row:?}");
        let numbers = [row.spearman_signed, row.spearman_absolute, row.ssim_signed, row.ssim_absolute];
        assert!(numbers.iter().all(|x| x.is_some_and(|x| (-1.0..=1.0).contains(&x))), "{row:?}");
    }
    // Eigen-CAM does not read the head: its map is bit-identical until its own block is reinitialized.
    let eigen = of(&found, "eigen-cam");
    let all = [eigen[0].spearman_signed, eigen[0].spearman_absolute, eigen[0].ssim_signed];
    assert_eq!(all, [Some(1.0); 3]);
    assert!(eigen[1].spearman_signed.unwrap() < 0.99, "{:?}", eigen[1]);
    // Guided backpropagation keeps its picture as long as the first block has its trained weights.
    for (guided, grad_cam) in of(&found, "guided-backprop").iter().zip(of(&found, "grad-cam")).take(4) {
        assert!(guided.spearman_absolute.unwrap() > 0.6, "{guided:?}");
        assert!(grad_cam.spearman_absolute.unwrap() < 0.5, "{grad_cam:?}");
    }
}

#[test]
fn the_check_ends_after_the_batch_at_which_its_caller_says_so() {
    let model = Model::pretrained().unwrap();
    let request =
        ExplainRequest { exits: vec![1, 10], ..ExplainRequest::new(&model, &["grad-cam".parse().unwrap()]) };
    let device = &Device::open(DeviceChoice::Cpu, 1).unwrap();
    let cascade = CascadingRandomization { model: &model, request: &request, device, batch: 1, seed: 1 };
    let mut images = Golden::load("default").tensor("input").data;
    for last in [1, 4, 6] {
        let mut batches = 0;
        let stopped = cascade.run(&images, &[], |_| {
            batches += 1;
            if batches == last { Err(Error::usage("enough")) } else { Ok(()) }
        });
        assert_eq!((stopped.unwrap_err().to_string(), batches), ("enough".into(), last));
    }
    // What is wrong is that of all images, whatever the batch.
    let run = |images: &[f32]| cascade.run(images, &[], |_| Ok::<_, Error>(())).unwrap_err();
    images[3 * 3 * 32 * 32 + 5] = f32::NAN;
    let wrong = run(&images);
    assert!(matches!(wrong, Error::Request(RequestError::NonFinite { image: 4, element: 5, .. })), "{wrong}");
    assert!(matches!(run(&[]), Error::Request(RequestError::ElementCount { given: 0, .. })), "{}", run(&[]));
}

#[test]
fn results_depend_on_the_seed_and_not_on_the_batch() {
    let model = Model::pretrained().unwrap();
    let found = check(&model, 1, 4, 7);
    assert_eq!(found, check(&model, 1, 3, 7));
    let other = check(&model, 1, 4, 8);
    assert_ne!(of(&found, "grad-cam")[0].spearman_signed, of(&other, "grad-cam")[0].spearman_signed);
}
