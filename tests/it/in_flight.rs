//! Batches in flight: the bits of each alone, whatever overlaps, and errors as values.

use crate::common::gpu::{on_gpu, on_standin};
use crate::common::nets::golden_network;
use crate::common::run;
use crate::common::run::shared_gpu;
use msdcam::engine::cpu::Isa;
use msdcam::engine::device::Device;
use msdcam::engine::plan::Order;
use msdcam::explain::{Classifier, ExplainRequest, Explainer, Target};
use msdcam::model::Model;

/// A small network with its images.
fn small_network() -> (Model, Vec<f32>) {
    let (golden, network) = golden_network("subnets-even");
    let two = golden.tensor("input").data;
    let len = two.len() / 2;
    // The same two images at five magnitudes.
    let images: Vec<f32> =
        (0..10).flat_map(|i| two[i % 2 * len..][..len].iter().map(move |x| x * i as f32)).collect();
    (network, images)
}

/// Explains the images in batches that overlap, and one at a time.
fn overlapped_and_alone() {
    let (network, images) = small_network();
    let device = Device::Cuda(shared_gpu());
    let request = ExplainRequest::grad_cam(&network);
    let want: Vec<_> = images
        .chunks(images.len() / 10)
        .map(|image| {
            let mut explainer = Explainer::new(&network, &request, &device, 1).unwrap();
            explainer.explain(image).unwrap().remove(0)
        })
        .collect();
    let mut explainer = Explainer::new(&network, &request, &device, 3).unwrap();
    let mut found = Vec::new();
    // Three, three, three, one.
    for batch in images.chunks(3 * images.len() / 10) {
        explainer.submit(batch, &[]).unwrap();
        if explainer.is_full() {
            assert_eq!(explainer.in_flight(), 2);
            let refused = explainer.submit(batch, &[]).unwrap_err().to_string();
            assert!(refused.contains("2 batch(es) in flight"), "{refused}");
            found.extend(explainer.wait().unwrap().to_vec());
        }
    }
    let refused = explainer.explain(&images).unwrap_err().to_string();
    assert!(refused.contains("in flight"), "{refused}");
    let mut bad = images.clone();
    bad[5] = f32::NAN;
    assert!(explainer.submit(&bad[..images.len() / 10], &[]).is_err());
    while explainer.in_flight() > 0 {
        found.extend(explainer.wait().unwrap().to_vec());
    }
    assert!(found == want, "in flight");
    let refused = explainer.wait().err().unwrap().to_string();
    assert!(refused.contains("no batch is in flight"), "{refused}");
    // In as many batches as there is room for, by one call; with methods that end on the host.
    assert!(explainer.explain(&images).unwrap() == want, "by one call");
    let both = ["grad-cam".parse().unwrap(), "layer-cam".parse().unwrap()];
    let request = ExplainRequest::new(&network, &both);
    let [one, three] = [1, 3].map(|batch| {
        let mut explainer = Explainer::new(&network, &request, &device, batch).unwrap();
        explainer.explain(&images).unwrap()
    });
    assert!(one == three, "on the host");
    // Dropped in flight.
    explainer.submit(&images[..images.len() / 10], &[]).unwrap();
}

#[test]
fn batches_in_flight_have_the_bits_of_each_alone() {
    on_gpu(test_name!(), overlapped_and_alone);
}

#[test]
fn batches_in_flight_have_these_bits_however_late_the_device_works() {
    let settings = [("STANDIN_LAZY", "1"), ("STANDIN_ORDER", "backward")];
    on_standin(test_name!(), &settings, overlapped_and_alone);
}

#[test]
fn views_and_copies_agree_for_every_request() {
    let (network, images) = small_network();
    let device = run::cpu(2, Isa::detect());
    let methods = |names: &[&str]| -> Vec<_> { names.iter().map(|name| name.parse().unwrap()).collect() };
    let grad_cam = ExplainRequest::grad_cam(&network);
    let two = ExplainRequest::new(&network, &methods(&["grad-cam", "eigen-cam", "input-gradient"]));
    let requests = [
        ExplainRequest { target: Target::Top(3), ..grad_cam.clone() },
        ExplainRequest { target: Target::Label, ..grad_cam.clone() },
        ExplainRequest { target: Target::Final, taps: "all-scales".parse().unwrap(), ..grad_cam.clone() },
        ExplainRequest { signed: true, ..grad_cam.clone() },
        ExplainRequest { smoothing: "flips".parse().unwrap(), fusion: Some("mean".parse().unwrap()), ..two },
    ];
    for request in requests {
        let mut explainer = Explainer::new(&network, &request, &device, 10).unwrap();
        let labels: Vec<usize> = (0..10).map(|i| i % network.classes()).collect();
        let copies = explainer.explain_labeled(&images, &labels).unwrap();
        explainer.submit(&images, &labels).unwrap();
        assert!(explainer.is_full(), "the CPU computes one batch at a time");
        let views = explainer.wait().unwrap();
        assert_eq!((views.len(), &views.to_vec()), (10, &copies), "{request:?}");
        for (image, copies) in copies.iter().enumerate() {
            for (view, copy) in views.image(image).zip(copies) {
                assert_eq!(view.prediction.confidence(), copy.prediction.confidence());
                assert_eq!((view.rank, view.target, view.score), (copy.rank, copy.target, copy.score));
                assert_eq!((view.fused, view.pixels), (&copy.fused[..], &copy.pixels[..]));
                for (view, copy) in view.maps().zip(&copy.maps) {
                    assert_eq!((view.method, &view.tap, view.shape), (copy.method, &copy.tap, copy.shape));
                    assert_eq!((view.map, view.heatmap.values), (&copy.map[..], &copy.heatmap.values[..]));
                    assert_eq!(view.heatmap.status, copy.heatmap.status);
                }
            }
        }
    }
}

#[test]
fn a_classifier_refuses_what_has_no_room_and_goes_on() {
    let (network, images) = small_network();
    let exits: Vec<usize> = (1..=network.exits.len()).collect();
    let mut classifier =
        Classifier::new(&network, &exits, Order::ByExit, &run::cpu(1, Isa::detect()), 10).unwrap();
    let want = classifier.classify(&images).unwrap();
    assert!(classifier.wait().is_err(), "nothing in flight");
    classifier.submit(&images).unwrap();
    let leave = vec![None; exits.len()];
    let refused = [
        classifier.submit(&images).unwrap_err(),
        classifier.classify(&images).unwrap_err(),
        classifier.classify_early_exit(&images, &leave).unwrap_err(),
    ];
    assert!(refused.iter().all(|e| e.to_string().contains("1 batch(es) in flight")), "{refused:?}");
    assert_eq!(classifier.wait().unwrap().to_vec(), want);
    let all = [&images[..], &images[..]].concat();
    assert!(classifier.submit(&all).is_err(), "more images than there is room for");
    assert_eq!(classifier.classify_early_exit(&all, &leave).unwrap()[10..], want);
    assert_eq!(classifier.in_flight(), 0);
}
