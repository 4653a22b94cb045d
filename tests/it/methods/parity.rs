//! Every method that pytorch-grad-cam or captum shares with us, against its stored answers.

use std::collections::HashMap;

use crate::common::close::{Tolerance, assert_close};
use crate::methods::{
    NETS, PARITY, device, devices_for, examine, exits_of, golden, joined, map_methods, maps_study, network,
    pixels_study,
};
use msdcam::engine::tensor::Tensor;
use msdcam::explain::{
    ExplainRequest, Fusion, Integration, MapMethod, Noise, PixelMethod, Score, Smoothing, Taps,
};
use msdcam::imaging::heatmap::MapStatus;

#[test]
fn every_map_is_pytorch_grad_cam_s_at_every_exit_and_tap() {
    let golden = golden();
    for name in NETS {
        let (network, images) = network(name);
        for exit in exits_of(name, &network) {
            let inner = network.taps_reaching(exit).into_iter().map(|tap| tap.name.clone());
            let stored = inner.filter(|tap| golden.has(&format!("{name}/{exit}/{tap}/grad-cam")));
            let taps: Vec<String> = stored.collect();
            assert!(!taps.is_empty(), "{name}: no answer of exit {exit}");
            for device in devices_for(name) {
                let study = ExplainRequest {
                    exits: vec![exit],
                    taps: Taps::Named(taps.clone()),
                    ..maps_study(&network, map_methods())
                };
                let findings = examine(&network, &study, &device, &images);
                assert_eq!(findings[0][0].maps.len(), taps.len() * map_methods().len());
                for (i, map) in findings[0][0].maps.iter().enumerate() {
                    let key = format!("{name}/{exit}/{}/{}", map.tap, map.method.name());
                    let got = joined(&findings, |f| &f.maps[i].signed);
                    assert_close(&key, &got, &golden.array(&key).1, PARITY);
                }
                let classes: Vec<usize> = findings.iter().map(|f| f[0].target).collect();
                assert_eq!(classes, golden.classes(&format!("{name}/{exit}/class")));
            }
        }
    }
}

#[test]
fn an_inner_tap_is_among_the_answers() {
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
                let study = ExplainRequest {
                    exits: vec![exit],
                    score,
                    ..maps_study(&network, vec![MapMethod::GradCam])
                };
                let findings = examine(&network, &study, &device(), &images);
                let key = format!("{name}/{exit}/exit{exit}/grad-cam.{}", score.name());
                let got = joined(&findings, |f| &f.maps[0].signed);
                assert_close(&key, &got, &golden.array(&key).1, PARITY);
            }
        }
    }
}

#[test]
fn pixel_arrays_are_captum_s() {
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
        let study = ExplainRequest {
            exits: vec![exit],
            noise,
            integration,
            ..pixels_study(&network, &PixelMethod::ALL)
        };
        for device in devices_for(name) {
            let first = Tensor::new(1, images.shape, images.image(0).to_vec());
            for pixels in &examine(&network, &study, &device, &first)[0][0].pixels {
                let key = format!("{name}/{exit}/pixels/{}", pixels.method.name());
                assert_eq!(pixels.status, MapStatus::Ok);
                // A noisy copy may stand within rounding of a ReLU's kink.
                let tolerance =
                    if pixels.method == PixelMethod::SmoothGrad { Tolerance(1e-3) } else { PARITY };
                assert_close(&key, &pixels.values, &golden.array(&key).1, tolerance);
            }
        }
    }
}

#[test]
fn smoothing_by_flips_is_pytorch_grad_cam_s_aug_smooth() {
    let golden = golden();
    for name in NETS {
        let (network, images) = network(name);
        for exit in exits_of(name, &network) {
            let study = ExplainRequest {
                exits: vec![exit],
                smoothing: Smoothing::Flips,
                ..maps_study(&network, vec![MapMethod::GradCam])
            };
            let findings = examine(&network, &study, &device(), &images);
            let key = format!("{name}/{exit}/smoothed/grad-cam");
            let got = joined(&findings, |f| &f.maps[0].heatmap.values);
            assert_close(&key, &got, &golden.array(&key).1, PARITY);
        }
    }
}

#[test]
fn taps_fused_by_mean_and_by_refine_cam_are_pytorch_grad_cam_s() {
    let golden = golden();
    let named: HashMap<String, Vec<String>> = golden.json("taps");
    for name in NETS {
        let (network, images) = network(name);
        let exit = network.exits.len();
        for fusion in [Fusion::Mean, Fusion::Refine] {
            let method = MapMethod::GradCam;
            let study = ExplainRequest {
                exits: vec![exit],
                taps: Taps::AllScales,
                fusion: Some(fusion),
                ..maps_study(&network, vec![method])
            };
            let findings = examine(&network, &study, &device(), &images);
            assert_eq!(findings[0][0].fused[0].taps, named[name], "{name}: all scales");
            let key = format!("{name}/{exit}/fused/{}/{}", fusion.name(), method.name());
            let got = joined(&findings, |f| &f.fused[0].heatmap.values);
            assert_close(&key, &got, &golden.array(&key).1, PARITY);
        }
    }
}
