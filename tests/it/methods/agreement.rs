//! What must not depend on the way: one by one or in batches, by whom, on which device.

use crate::common::close::{Tolerance, assert_close, assert_same_bits};
use crate::common::gpu::on_gpu;
use crate::methods::{PARITY, device, examine, map_methods, maps_study, network};
use msdcam::Tensor;
use msdcam::engine::device::{Device, DeviceChoice};
use msdcam::explain::{
    Classifier, ExplainRequest, Explainer, Integration, MapMethod, Method, Noise, Question, Score, Smoothing,
    Target,
};

#[test]
fn a_smoothed_heat_map_is_the_mean_of_six_under_every_method() {
    let (network, images) = network("subnets-lin_grow");
    let one = Tensor::new(1, images.shape, images.image(0).to_vec());
    let width = images.shape.w;
    let study = ExplainRequest { exits: vec![2], ..maps_study(&network, map_methods()) };
    let smoothed = ExplainRequest { smoothing: Smoothing::Flips, ..study.clone() };
    let found = examine(&network, &smoothed, &device(), &one).remove(0).remove(0);
    let given = ExplainRequest { target: Target::Class(found.target), ..study };
    let mut means = vec![vec![0.0; images.shape.plane()]; found.maps.len()];
    for mirrored in [false, true] {
        for factor in [0.9_f32, 1.0, 1.1] {
            let turn = |x: &mut Vec<f32>| x.chunks_exact_mut(width).for_each(<[f32]>::reverse);
            let mut copy = one.clone();
            copy.data.iter_mut().for_each(|x| *x *= factor);
            if mirrored {
                turn(&mut copy.data);
            }
            let maps = examine(&network, &given, &device(), &copy).remove(0).remove(0).maps;
            for (mean, map) in means.iter_mut().zip(maps) {
                let mut heat = map.heat.values;
                if mirrored {
                    turn(&mut heat);
                }
                mean.iter_mut().zip(heat).for_each(|(mean, h)| *mean += f64::from(h) / 6.0);
            }
        }
    }
    for (map, mean) in found.maps.iter().zip(&means) {
        assert_close(map.method.name(), &map.heat.values, mean, Tolerance(1e-5));
    }
}

#[test]
fn grad_cam_of_a_study_is_the_explainer_s() {
    let (network, images) = network("subnets-lin_grow");
    let question = Question::explain_all(&network);
    let mut explainer = Classifier::new(&network, &question, &device(), 2).unwrap();
    let answers = explainer.explain(&images.data, None).unwrap();
    let study = maps_study(&network, vec![MapMethod::GradCam]);
    for (answers, findings) in answers.iter().zip(examine(&network, &study, &device(), &images)) {
        for (answer, finding) in answers.iter().zip(&findings) {
            let want = answer.map.as_ref().unwrap();
            let got = &finding.maps[0];
            assert_eq!(
                (finding.exit, finding.class, finding.target),
                (answer.exit, answer.class, want.target)
            );
            assert_same_bits("logits", &finding.logits, &answer.logits);
            assert_close("weights", &got.weights, &want.weights, Tolerance(1e-5));
            assert_close("map", &got.map, &want.map, Tolerance(1e-5));
            assert_close("heat", &got.heat.values, &want.heat, Tolerance(1e-4));
        }
    }
}

#[test]
fn a_study_says_the_same_whatever_the_batch_and_the_memory() {
    let (network, images) = network("blocks-transition-last");
    let all: Vec<Method> = Method::all().filter(|&m| m != Method::Map(MapMethod::Cam)).collect();
    let study = ExplainRequest {
        noise: Noise { samples: 5, ..Noise::default() },
        integration: Integration { steps: 5, ..Integration::default() },
        smoothing: Smoothing::Flips,
        ..ExplainRequest::of(&network, &all)
    };
    let both = examine(&network, &study, &device(), &images);
    let small = ExplainRequest { max_memory: 4 << 20, ..study };
    let mut examiner = Explainer::new(&network, &small, &device(), 1).unwrap();
    assert_eq!(examiner.examine(&images.data, &[]).unwrap(), both);
    // The second time there is something in every buffer.
    assert_eq!(examiner.examine(&images.data, &[]).unwrap(), both);
}

#[test]
fn every_method_finds_on_a_gpu_what_it_finds_on_the_cpu() {
    on_gpu(test_name!(), || {
        let (network, images) = network("blocks-transition-last");
        let all: Vec<Method> = Method::all().filter(|&m| m != Method::Map(MapMethod::Cam)).collect();
        let study = ExplainRequest {
            target: Target::Top(2),
            score: Score::Margin,
            noise: Noise { samples: 2, ..Noise::default() },
            integration: Integration { steps: 2, ..Integration::default() },
            ..ExplainRequest::of(&network, &all)
        };
        let cpu = Device::open(DeviceChoice::Cpu, 0).unwrap();
        let want = examine(&network, &study, &cpu, &images);
        let got = examine(&network, &study, &device(), &images);
        for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
            assert_eq!((got.exit, got.rank, got.target), (want.exit, want.rank, want.target));
            for (got, want) in got.maps.iter().zip(&want.maps) {
                assert_close(got.method.name(), &got.signed, &want.signed, PARITY);
            }
            for (got, want) in got.pixels.iter().zip(&want.pixels) {
                assert_close(got.method.name(), &got.values, &want.values, Tolerance(1e-3));
            }
        }
    });
}
