//! Invalid requests, and maps that are empty or not finite.

use crate::common::nets::golden_network;
use crate::methods::{device, explain_images, map_methods, map_request, network, pixel_request};
use msdcam::engine::graph::ops::Linear;
use msdcam::explain::{
    ExplainRequest, Explainer, Fusion, MapMethod, Method, Noise, PixelMethod, Score, Taps, Target,
};
use msdcam::imaging::heatmap::MapStatus;
use msdcam::model::Model;

#[test]
fn maps_without_positive_evidence_are_empty_and_never_nan() {
    let (golden, network) = golden_network("blocks-empty");
    let images = golden.tensor("input");
    let request = ExplainRequest { exits: vec![2], ..map_request(&network, map_methods()) };
    for explanation in explain_images(&network, &request, &device(), &images).iter().flatten() {
        for map in &explanation.maps {
            let numbers = [&map.signed, &map.map, &map.heatmap.values, &map.weights];
            assert!(numbers.iter().all(|n| n.iter().all(|x| x.is_finite())), "{}", map.method.name());
            let asks_gradient = !matches!(
                map.method,
                MapMethod::EigenCam | MapMethod::EigenGradCam | MapMethod::ScoreCam | MapMethod::AblationCam
            );
            if asks_gradient {
                assert_eq!(map.heatmap.status, MapStatus::Empty, "{}", map.method.name());
                assert!(map.heatmap.values.iter().all(|&x| x == 0.0));
            }
        }
    }
}

#[test]
fn overflowing_weights_give_zeros_and_a_status() {
    let (golden, mut network) = golden_network("subnets-lin_grow");
    // Weights of the linear layer so large that the logits are infinite.
    let logits = network.exits[0].logits;
    let mut graph = network.graph.clone();
    let shape = graph.shape(logits);
    let factor = graph.add_param("factor", &[shape.c, shape.c], vec![1e38; shape.c * shape.c]);
    let zero = graph.add_param("zero", &[shape.c], vec![0.0; shape.c]);
    let mut huge = logits;
    for _ in 0..2 {
        huge = graph.push(Linear { weight: factor, bias: zero }, &[huge]).unwrap();
    }
    network.graph = graph;
    network.exits[0].logits = huge;
    let images = golden.tensor("input");
    let all: Vec<Method> = Method::all().filter(|&m| m != Method::Map(MapMethod::Cam)).collect();
    let request =
        ExplainRequest { exits: vec![1], fusion: Some(Fusion::Mean), ..ExplainRequest::new(&network, &all) };
    for explanation in explain_images(&network, &request, &device(), &images).iter().flatten() {
        let mut bad = 0;
        for map in &explanation.maps {
            let numbers = [&map.signed, &map.map, &map.heatmap.values, &map.weights];
            assert!(numbers.iter().all(|n| n.iter().all(|x| x.is_finite())), "{}", map.method.name());
            assert!(map.heatmap.min.is_finite() && map.heatmap.max.is_finite());
            bad += usize::from(map.heatmap.status == MapStatus::Nonfinite);
        }
        assert!(bad > 5, "{bad} maps are not finite");
        for pixels in &explanation.pixels {
            assert!(pixels.values.iter().all(|x| x.is_finite()));
            assert_eq!(pixels.status, MapStatus::Nonfinite, "{}", pixels.method.name());
        }
        assert!(explanation.fused.iter().all(|f| f.heatmap.values.iter().all(|x| x.is_finite())));
    }
}

/// The error of a request, which must be one line.
fn refusal(network: &Model, request: &ExplainRequest) -> String {
    let error = Explainer::new(network, request, &device(), 1).err().expect("refused").to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn refuses_invalid_requests_and_lists_the_alternatives() {
    let (network, _) = network("subnets-lin_grow");
    let one = |method| map_request(&network, vec![method]);
    let named = |names: &[&str]| Taps::Named(names.iter().map(ToString::to_string).collect());

    let cam = refusal(&network, &one(MapMethod::Cam));
    assert!(cam.starts_with("cam: exit 1 ") && cam.contains("2 convolutions"), "{cam}");

    let late = ExplainRequest { exits: vec![1], taps: named(&["exit2"]), ..one(MapMethod::GradCam) };
    let late_error = refusal(&network, &late);
    assert!(late_error.contains("'exit2' does not reach the score of exit 1"), "{late_error}");
    assert!(late_error.contains("these do: exit1, layer0.scale1"), "{late_error}");
    // Eigen-CAM reads only the activations.
    Explainer::new(&network, &ExplainRequest { maps: vec![MapMethod::EigenCam], ..late }, &device(), 1)
        .unwrap();

    let unknown =
        refusal(&network, &ExplainRequest { taps: named(&["layer99.scale1"]), ..one(MapMethod::GradCam) });
    assert!(unknown.starts_with("tap 'layer99.scale1': the network has exit1, exit2"), "{unknown}");

    for (what, request) in [
        ("class 10", ExplainRequest { target: Target::Class(10), ..one(MapMethod::GradCam) }),
        ("class 10", ExplainRequest { score: Score::Over(10), ..one(MapMethod::GradCam) }),
        ("top 11", ExplainRequest { target: Target::Top(11), ..one(MapMethod::GradCam) }),
        ("top 0", ExplainRequest { target: Target::Top(0), ..one(MapMethod::GradCam) }),
        ("exit 4", ExplainRequest { exits: vec![4], ..one(MapMethod::GradCam) }),
        ("no exit", ExplainRequest { exits: vec![], ..one(MapMethod::GradCam) }),
        ("no method", ExplainRequest::new(&network, &[])),
        ("method 'layer-cam' is requested twice", map_request(&network, vec![MapMethod::LayerCam; 2])),
        ("score-cam: one image takes", ExplainRequest { max_memory: 1000, ..one(MapMethod::ScoreCam) }),
        ("ablation-cam: one image takes", ExplainRequest { max_memory: 1000, ..one(MapMethod::AblationCam) }),
    ] {
        let error = refusal(&network, &request);
        assert!(error.starts_with(what), "{error}");
    }
    let smooth = |noise| ExplainRequest { noise, ..pixel_request(&network, &[PixelMethod::SmoothGrad]) };
    for noise in [
        Noise { samples: 0, ..Noise::default() },
        Noise { share: f32::NAN, ..Noise::default() },
        Noise { share: -1.0, ..Noise::default() },
    ] {
        assert!(refusal(&network, &smooth(noise)).starts_with("smooth-grad: "));
    }
}

#[test]
fn refuses_images_and_labels_that_do_not_match() {
    let (network, images) = network("subnets-lin_grow");
    let request =
        ExplainRequest { target: Target::Label, ..map_request(&network, vec![MapMethod::LayerCam]) };
    let mut explainer = Explainer::new(&network, &request, &device(), 2).unwrap();
    let mut refused = |images: &[f32], labels: &[usize]| {
        let error = explainer.explain_labeled(images, labels).expect_err("refused").to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    };
    assert_eq!(refused(&images.data, &[1]), "1 labels for 2 images");
    assert!(refused(&images.data, &[1, 10]).starts_with("class 10: "));
    assert!(refused(&images.data[1..], &[1]).contains("elements given"));
    assert!(refused(&[], &[]).contains("elements given"));
    let mut bad = images.data.clone();
    bad[images.shape.len() + 2] = f32::NAN;
    assert_eq!(refused(&bad, &[1, 1]), "image 2: element 2 is NaN");
}
