//! Every method that pytorch-grad-cam or captum has too, against their stored results.

use std::collections::HashMap;

use crate::common::close::{Tolerance, assert_close};
use crate::methods::{
    NETS, PARITY, device, devices_for, exits_of, explain_images, golden, joined, map_methods, map_request,
    network, pixel_request,
};
use msdcam::engine::tensor::Tensor;
use msdcam::explain::{
    ExplainRequest, Fusion, Integration, MapMethod, Noise, PixelMethod, Score, Smoothing, Taps,
};
use msdcam::imaging::heatmap::MapStatus;

#[test]
fn maps_equal_those_of_pytorch_grad_cam_at_every_exit_and_tap() {
    let golden = golden();
    for name in NETS {
        let (network, images) = network(name);
        for exit in exits_of(name, &network) {
            let inner = network.taps_reaching(exit).into_iter().map(|tap| tap.name.clone());
            let stored = inner.filter(|tap| golden.has(&format!("{name}/{exit}/{tap}/grad-cam")));
            let taps: Vec<String> = stored.collect();
            assert!(!taps.is_empty(), "{name}: no answer of exit {exit}");
            for device in devices_for(name) {
                let request = ExplainRequest {
                    exits: vec![exit],
                    taps: Taps::Named(taps.clone()),
                    ..map_request(&network, map_methods())
                };
                let explanations = explain_images(&network, &request, &device, &images);
                assert_eq!(explanations[0][0].maps.len(), taps.len() * map_methods().len());
                for (i, map) in explanations[0][0].maps.iter().enumerate() {
                    let key = format!("{name}/{exit}/{}/{}", map.tap, map.method.name());
                    let got = joined(&explanations, |f| &f.maps[i].signed);
                    assert_close(&key, &got, &golden.array(&key).1, PARITY);
                }
                let classes: Vec<usize> = explanations.iter().map(|f| f[0].target).collect();
                assert_eq!(classes, golden.classes(&format!("{name}/{exit}/class")));
            }
        }
    }
}

#[test]
fn the_golden_file_covers_an_inner_tap() {
    let golden = golden();
    assert!(golden.has("subnets-lin_grow/3/layer1.scale2/ablation-cam"));
    assert!(golden.has("blocks-transition-last/3/layer2.scale1/score-cam"));
}

#[test]
fn margin_and_probability_are_differentiated_as_in_pytorch_grad_cam() {
    let golden = golden();
    for name in NETS {
        let (network, images) = network(name);
        for exit in exits_of(name, &network) {
            for score in [Score::Margin, Score::Probability] {
                let request = ExplainRequest {
                    exits: vec![exit],
                    score,
                    ..map_request(&network, vec![MapMethod::GradCam])
                };
                let explanations = explain_images(&network, &request, &device(), &images);
                let key = format!("{name}/{exit}/exit{exit}/grad-cam.{}", score.name());
                let got = joined(&explanations, |f| &f.maps[0].signed);
                assert_close(&key, &got, &golden.array(&key).1, PARITY);
            }
        }
    }
}

#[test]
fn pixel_attributions_equal_those_of_captum() {
    let golden = golden();
    let noise = Noise {
        samples: golden.json("samples"),
        share: golden.json("share"),
        seed: golden.json("noise_seed"),
    };
    let integration = Integration { steps: golden.json("steps"), baseline: [0.0; 3] };
    for name in NETS {
        let (network, images) = network(name);
        let exit = network.exits.len();
        let request = ExplainRequest {
            exits: vec![exit],
            noise,
            integration,
            ..pixel_request(&network, &PixelMethod::ALL)
        };
        for device in devices_for(name) {
            let first = Tensor::new(1, images.shape, images.image(0).to_vec());
            for pixels in &explain_images(&network, &request, &device, &first)[0][0].pixels {
                let key = format!("{name}/{exit}/pixels/{}", pixels.method.name());
                assert_eq!(pixels.status, MapStatus::Ok);
                // A noisy copy may be within rounding of a ReLU's kink.
                let tolerance =
                    if pixels.method == PixelMethod::SmoothGrad { Tolerance(1e-3) } else { PARITY };
                assert_close(&key, &pixels.values, &golden.array(&key).1, tolerance);
            }
        }
    }
}

#[test]
fn smoothing_by_flips_equals_aug_smooth() {
    let golden = golden();
    for name in NETS {
        let (network, images) = network(name);
        for exit in exits_of(name, &network) {
            let request = ExplainRequest {
                exits: vec![exit],
                smoothing: Smoothing::Flips,
                ..map_request(&network, vec![MapMethod::GradCam])
            };
            let explanations = explain_images(&network, &request, &device(), &images);
            let key = format!("{name}/{exit}/smoothed/grad-cam");
            let got = joined(&explanations, |f| &f.maps[0].heatmap.values);
            assert_close(&key, &got, &golden.array(&key).1, PARITY);
        }
    }
}

#[test]
fn fused_maps_equal_those_of_pytorch_grad_cam() {
    let golden = golden();
    let named: HashMap<String, Vec<String>> = golden.json("taps");
    for name in NETS {
        let (network, images) = network(name);
        let exit = network.exits.len();
        for fusion in [Fusion::Mean, Fusion::Refine] {
            let method = MapMethod::GradCam;
            let request = ExplainRequest {
                exits: vec![exit],
                taps: Taps::AllScales,
                fusion: Some(fusion),
                ..map_request(&network, vec![method])
            };
            let explanations = explain_images(&network, &request, &device(), &images);
            assert_eq!(explanations[0][0].fused[0].taps, named[name], "{name}: all scales");
            let key = format!("{name}/{exit}/fused/{}/{}", fusion.name(), method.name());
            let got = joined(&explanations, |f| &f.fused[0].heatmap.values);
            assert_close(&key, &got, &golden.array(&key).1, PARITY);
        }
    }
}
