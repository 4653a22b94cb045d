//! Independence of batch size, memory limit, code path and device.

use crate::common::close::{Tolerance, assert_close};
use crate::common::gpu::on_gpu;
use crate::methods::{PARITY, device, explain_images, map_methods, map_request, network};
use msdcam::engine::device::{Device, DeviceChoice};
use msdcam::engine::tensor::Tensor;
use msdcam::explain::{
    ExplainRequest, Explainer, Integration, MapMethod, Method, Noise, Score, Smoothing, Target,
};

#[test]
fn a_smoothed_heatmap_is_the_mean_of_six_for_every_method() {
    let (network, images) = network("subnets-lin_grow");
    let one = Tensor::new(1, images.shape, images.image(0).to_vec());
    let width = images.shape.w;
    let request = ExplainRequest { exits: vec![2], ..map_request(&network, map_methods()) };
    let smoothed = ExplainRequest { smoothing: Smoothing::Flips, ..request.clone() };
    let found = explain_images(&network, &smoothed, &device(), &one).remove(0).remove(0);
    let given = ExplainRequest { target: Target::Class(found.target), ..request };
    let mut means = vec![vec![0.0; images.shape.plane()]; found.maps.len()];
    for mirrored in [false, true] {
        for factor in [0.9_f32, 1.0, 1.1] {
            let turn = |x: &mut Vec<f32>| x.chunks_exact_mut(width).for_each(<[f32]>::reverse);
            let mut copy = one.clone();
            copy.data.iter_mut().for_each(|x| *x *= factor);
            if mirrored {
                turn(&mut copy.data);
            }
            let maps = explain_images(&network, &given, &device(), &copy).remove(0).remove(0).maps;
            for (mean, map) in means.iter_mut().zip(maps) {
                let mut heat = map.heatmap.values;
                if mirrored {
                    turn(&mut heat);
                }
                mean.iter_mut().zip(heat).for_each(|(mean, h)| *mean += f64::from(h) / 6.0);
            }
        }
    }
    for (map, mean) in found.maps.iter().zip(&means) {
        assert_close(map.method.name(), &map.heatmap.values, mean, Tolerance(1e-5));
    }
}

#[test]
fn grad_cam_is_the_same_with_and_without_signed_maps() {
    let (network, images) = network("subnets-lin_grow");
    let signed = map_request(&network, vec![MapMethod::GradCam]);
    let plain = ExplainRequest { signed: false, ..signed.clone() };
    let found = [signed, plain].map(|request| explain_images(&network, &request, &device(), &images));
    for (signed, plain) in found[0].iter().flatten().zip(found[1].iter().flatten()) {
        assert_eq!((&signed.prediction, signed.target), (&plain.prediction, plain.target));
        let (signed, plain) = (&signed.maps[0], &plain.maps[0]);
        assert!(plain.signed.is_empty() && signed.signed.len() == signed.map.len());
        assert_close("weights", &plain.weights, &signed.weights, Tolerance(1e-5));
        assert_close("map", &plain.map, &signed.map, Tolerance(1e-5));
        assert_close("heatmap", &plain.heatmap.values, &signed.heatmap.values, Tolerance(1e-4));
        assert_eq!(plain.heatmap.status, signed.heatmap.status);
    }
}

#[test]
fn explanations_do_not_depend_on_batch_size_and_memory_limit() {
    let (network, images) = network("blocks-transition-last");
    let all: Vec<Method> = Method::all().filter(|&m| m != Method::Map(MapMethod::Cam)).collect();
    let request = ExplainRequest {
        noise: Noise { samples: 5, ..Noise::default() },
        integration: Integration { steps: 5, ..Integration::default() },
        smoothing: Smoothing::Flips,
        ..ExplainRequest::new(&network, &all)
    };
    let both = explain_images(&network, &request, &device(), &images);
    let small = ExplainRequest { max_memory: 4 << 20, ..request };
    let mut explainer = Explainer::new(&network, &small, &device(), 1).unwrap();
    assert_eq!(explainer.explain(&images.data).unwrap(), both);
    // In the second run every buffer has old contents.
    assert_eq!(explainer.explain(&images.data).unwrap(), both);
}

#[test]
fn gpu_and_cpu_agree_for_every_method() {
    on_gpu(test_name!(), || {
        let (network, images) = network("blocks-transition-last");
        let all: Vec<Method> = Method::all().filter(|&m| m != Method::Map(MapMethod::Cam)).collect();
        let request = ExplainRequest {
            target: Target::Top(2),
            score: Score::Margin,
            noise: Noise { samples: 2, ..Noise::default() },
            integration: Integration { steps: 2, ..Integration::default() },
            ..ExplainRequest::new(&network, &all)
        };
        let cpu = Device::open(DeviceChoice::Cpu, 0).unwrap();
        let want = explain_images(&network, &request, &cpu, &images);
        let got = explain_images(&network, &request, &device(), &images);
        for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
            assert_eq!(
                (got.prediction.exit, got.rank, got.target),
                (want.prediction.exit, want.rank, want.target)
            );
            for (got, want) in got.maps.iter().zip(&want.maps) {
                assert_close(got.method.name(), &got.signed, &want.signed, PARITY);
            }
            for (got, want) in got.pixels.iter().zip(&want.pixels) {
                assert_close(got.method.name(), &got.values, &want.values, Tolerance(1e-3));
            }
        }
    });
}
