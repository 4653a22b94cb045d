//! Pixel methods: properties of guided backpropagation, gradients and their means.

use crate::common::close::{Tolerance, assert_close};
use crate::methods::{device, explain_images, network, pixel_request};
use msdcam::engine::graph::grad::gradients;
use msdcam::engine::graph::ops::{Op, ReluRule};
use msdcam::engine::tensor::Tensor;
use msdcam::explain::{ExplainRequest, Integration, Noise, PixelMethod, Score, Target};

#[test]
fn guided_backpropagation_covers_every_relu_before_the_score() {
    for name in ["subnets-lin_grow", "blocks-transition-last"] {
        let (network, _) = network(name);
        for exit in &network.exits {
            let mut graph = network.graph.clone();
            let needed = graph.ancestors(&[exit.logits]);
            let is_relu = |(node, needed): (&msdcam::engine::graph::Node, &bool)| {
                *needed && matches!(node.op, Op::Relu(_))
            };
            let relus = graph.nodes().iter().zip(&needed).filter(|&pair| is_relu(pair)).count();
            let seed = graph.push(Op::Input(graph.shape(exit.logits)), &[]).unwrap();
            let before = graph.nodes().len();
            gradients(&mut graph, exit.logits, seed, &[network.input.node], ReluRule::Guided).unwrap();
            let rules = graph.nodes()[before..].iter().filter_map(|node| match &node.op {
                Op::ReluGrad(op) => Some((op.rule, node.inputs[1])),
                _ => None,
            });
            let mut hit: Vec<_> = rules.inspect(|(rule, _)| assert_eq!(*rule, ReluRule::Guided)).collect();
            hit.dedup_by_key(|(_, relu)| *relu);
            assert!(relus > 10);
            assert_eq!(hit.len(), relus, "{name}: ReLUs with the guided rule");
        }
    }
}

#[test]
fn guided_backpropagation_differs_from_the_plain_gradient() {
    let (network, images) = network("default");
    let methods = [PixelMethod::InputGradient, PixelMethod::GuidedBackprop];
    let explanations = explain_images(&network, &pixel_request(&network, &methods), &device(), &images);
    for explanation in &explanations[0] {
        let [plain, guided] = &explanation.pixels[..] else { panic!("two arrays") };
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let (p, g) = (&plain.values, &guided.values);
        let cosine = dot(p, g) / (dot(p, p) * dot(g, g)).sqrt();
        assert!(cosine.abs() < 0.9, "exit {}: cosine {cosine}", explanation.prediction.exit);
    }
}

#[test]
fn integrated_gradients_add_up_to_the_difference_of_scores() {
    let (network, images) = network("blocks-transition-last");
    let baseline = [0.2, 0.1, 0.3];
    let request = ExplainRequest {
        integration: Integration { steps: 400, baseline },
        ..pixel_request(&network, &[PixelMethod::IntegratedGradients])
    };
    let explanations = explain_images(&network, &request, &device(), &images);
    let plane = images.shape.plane();
    let start: Vec<f32> = baseline.iter().flat_map(|&b| vec![b; plane]).collect();
    let start = Tensor::new(1, images.shape, start);
    let at_start =
        explain_images(&network, &pixel_request(&network, &[PixelMethod::InputGradient]), &device(), &start);
    for explanation in explanations.iter().flatten() {
        let gain = explanation.score
            - at_start[0][explanation.prediction.exit - 1].prediction.logits[explanation.target];
        let sum: f32 = explanation.pixels[0].values.iter().sum();
        assert!(
            (sum - gain).abs() < 0.02 * gain.abs().max(0.5),
            "exit {}: {sum}, {gain}",
            explanation.prediction.exit
        );
    }
}

#[test]
fn the_input_gradient_predicts_changes_of_the_score() {
    let (network, images) = network("subnets-lin_grow");
    let one = Tensor::new(1, images.shape, images.image(0).to_vec());
    for score in [Score::Logit, Score::Probability, Score::Margin, Score::Over(1)] {
        let request = ExplainRequest { score, ..pixel_request(&network, &[PixelMethod::InputGradient]) };
        let here = explain_images(&network, &request, &device(), &one);
        for explanation in &here[0] {
            let gradient = &explanation.pixels[0].values;
            let length: f32 = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
            if score == Score::Over(explanation.target) {
                assert_eq!((length, explanation.score), (0.0, 0.0), "a class over itself");
                continue;
            }
            let step = 1e-3;
            let mut moved = one.clone();
            moved.data.iter_mut().zip(gradient).for_each(|(x, g)| *x += step * g / length);
            let request = ExplainRequest { target: Target::Class(explanation.target), ..request.clone() };
            let there =
                &explain_images(&network, &request, &device(), &moved)[0][explanation.prediction.exit - 1];
            let got = (there.score - explanation.score) / step;
            assert!(
                (got - length).abs() < 0.02 * length,
                "{score:?}, exit {}: {got}, {length}",
                explanation.prediction.exit
            );
        }
    }
}

#[test]
fn smooth_grad_depends_on_the_seed() {
    let (network, images) = network("subnets-lin_grow");
    let with = |seed| {
        let noise = Noise { samples: 3, share: 0.1, seed };
        let request = ExplainRequest { noise, ..pixel_request(&network, &[PixelMethod::SmoothGrad]) };
        explain_images(&network, &request, &device(), &images)[0][0].pixels[0].values.clone()
    };
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}

#[test]
fn smooth_grad_without_noise_is_the_gradient() {
    let (network, images) = network("subnets-lin_grow");
    let methods = [PixelMethod::InputGradient, PixelMethod::SmoothGrad];
    let noise = Noise { samples: 3, share: 0.0, seed: 0 };
    let request = ExplainRequest { noise, ..pixel_request(&network, &methods) };
    for explanation in explain_images(&network, &request, &device(), &images).iter().flatten() {
        let [plain, smooth] = &explanation.pixels[..] else { panic!("two arrays") };
        assert_close("no noise", &smooth.values, &plain.values, Tolerance(1e-6));
    }
}
