//! Networks against PyTorch: thirteen small ones with every variation of the architecture,
//! from checkpoint to heatmap, and the trained default network.

use crate::common::close::{NETWORK, Tolerance, assert_close};
use crate::common::golden::{Golden, repository};
use crate::common::nets::{ExitNodes, VARIANTS, asked, cam_graph, golden_network, inputs};
use crate::common::port_options::PortOptions;
use crate::common::{reference, run};
use msdcam::Shape;
use msdcam::engine::device::Device;
use msdcam::engine::graph::grad::gradients;
use msdcam::engine::graph::ops::{Op, ReluRule};
use msdcam::engine::graph::{Graph, NodeId};
use msdcam::engine::plan::Order;
use msdcam::engine::tensor::Tensor;
use msdcam::imaging::heatmap::Heatmap;
use msdcam::model::Model;
use msdcam::model::msdnet::{Config, build};
use msdcam::model::weights::Weights;

/// A node and the golden tensor with its expected value.
type Answer = (String, NodeId);

/// The outputs that the program computes, with their golden tensors.
fn production(exits: &[ExitNodes]) -> (Vec<NodeId>, Vec<Answer>) {
    let answers = exits.iter().zip(1..).flat_map(|(e, k)| {
        let named = [("logits", e.logits), ("weights", e.weights), ("cam", e.cam), ("heat", e.heat)];
        named.map(|(name, id)| (format!("{name}.{k}"), id))
    });
    (asked(exits), answers.collect())
}

/// Other values of each exit: its tap, the gradient there, and the map before its ReLU.
fn inner(exits: &[ExitNodes]) -> Vec<Answer> {
    let named = exits.iter().zip(1..).flat_map(|(e, k)| {
        [("tap", e.tap), ("grad", e.grad), ("signed", e.signed), ("weights", e.weights)]
            .map(|(name, id)| (format!("{name}.{k}"), id))
    });
    named.collect()
}

/// Appends the gradients of exit `k`'s own class at the input, plain and guided.
fn input_gradients(graph: &mut Graph, network: &Model, k: usize) -> Vec<Answer> {
    let score = network.exits[k - 1].logits;
    let target = graph.push(Op::Input(Shape::vector(1)), &[]).unwrap();
    let seed = graph.push(Op::OneHot, &[score, target]).unwrap();
    [("input_grad", ReluRule::Plain), ("guided_grad", ReluRule::Guided)]
        .map(|(name, rule)| {
            let grad = gradients(graph, score, seed, &[network.input.node], rule).unwrap()[0];
            (format!("{name}.{k}"), grad)
        })
        .to_vec()
}

/// Compares each output with its golden tensor.
fn check(who: &str, golden: &Golden, answers: &[Answer], got: &[impl AsRef<[f32]>], tolerance: Tolerance) {
    assert_eq!(answers.len(), got.len());
    for ((name, _), got) in answers.iter().zip(got) {
        let (_, want) = golden.array(name);
        assert_close(&format!("{who}: {}: {name}", golden.name), got.as_ref(), &want, tolerance);
    }
}

fn check_on(
    device: &Device,
    golden: &Golden,
    graph: &Graph,
    answers: &[Answer],
    inputs: &[Tensor],
    order: Order,
) {
    let nodes: Vec<NodeId> = answers.iter().map(|&(_, id)| id).collect();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let got = run::run(device, graph, &nodes, order, &inputs);
    let got: Vec<&[f32]> = got.iter().map(|t| &t.data[..]).collect();
    check(&device.description(), golden, answers, &got, NETWORK);
}

#[test]
fn logits_maps_and_heatmaps_of_every_exit_equal_those_of_pytorch() {
    for (turn, variant) in VARIANTS.into_iter().enumerate() {
        let (golden, network) = golden_network(variant);
        let (graph, exits) = cam_graph(&network);
        let (outputs, answers) = production(&exits);
        let images = golden.tensor("input");
        let inputs = inputs(&images, exits.len());
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        for (i, device) in run::devices_in_turn(turn).into_iter().enumerate() {
            let orders = if i % 3 == 0 { vec![Order::Depth, Order::ByExit] } else { vec![Order::Depth] };
            for order in orders {
                let all = run::run(&device, &graph, &outputs, order, &inputs);
                let at = |id: NodeId| &all[outputs.iter().position(|&o| o == id).unwrap()];
                let got: Vec<&[f32]> = answers.iter().map(|&(_, id)| &at(id).data[..]).collect();
                check(&device.description(), &golden, &answers, &got, NETWORK);
                for (exit, k) in exits.iter().zip(1..) {
                    check_probabilities(at(exit.logits), at(exit.probabilities));
                    check_range(at(exit.cam), at(exit.range));
                    let classes = golden.classes(&format!("class.{k}"));
                    assert_eq!(argmaxes(at(exit.logits)), classes, "{variant}: class of exit {k}");
                }
            }
        }
    }
}

fn check_probabilities(logits: &Tensor, probabilities: &Tensor) {
    for image in 0..logits.n {
        let powers: Vec<f64> = logits.image(image).iter().map(|&x| f64::from(x).exp()).collect();
        let sum: f64 = powers.iter().sum();
        let want: Vec<f64> = powers.iter().map(|p| p / sum).collect();
        assert_close("probabilities", probabilities.image(image), &want, Tolerance(1e-6));
    }
}

fn check_range(map: &Tensor, range: &Tensor) {
    for image in 0..map.n {
        let numbers = map.image(image).iter().copied();
        let (min, max) = (numbers.clone().reduce(f32::min).unwrap(), numbers.reduce(f32::max).unwrap());
        assert_eq!(range.image(image), [min, max], "minimum and maximum of a map");
    }
}

fn argmaxes(logits: &Tensor) -> Vec<usize> {
    let argmax = |x: &[f32]| (0..x.len()).max_by(|&a, &b| x[a].total_cmp(&x[b])).unwrap();
    (0..logits.n).map(|image| argmax(logits.image(image))).collect()
}

#[test]
fn taps_gradients_and_signed_maps_equal_those_of_pytorch() {
    for (turn, variant) in VARIANTS.into_iter().enumerate() {
        let (golden, network) = golden_network(variant);
        let (graph, exits) = cam_graph(&network);
        let inputs = inputs(&golden.tensor("input"), exits.len());
        for device in run::devices_in_turn(turn + 1) {
            check_on(&device, &golden, &graph, &inner(&exits), &inputs, Order::Depth);
        }
    }
}

#[test]
fn plain_and_guided_input_gradients_equal_those_of_pytorch() {
    for (turn, variant) in VARIANTS.into_iter().enumerate() {
        let (golden, network) = golden_network(variant);
        for (i, k) in [1, network.exits.len()].into_iter().enumerate() {
            let mut graph = network.graph.clone();
            let answers = input_gradients(&mut graph, &network, k);
            let inputs = inputs(&golden.tensor("input"), 1);
            for device in run::devices_in_turn(turn + i) {
                check_on(&device, &golden, &graph, &answers, &inputs, Order::Depth);
            }
        }
    }
}

#[test]
fn the_reference_agrees_with_pytorch_to_f32_rounding() {
    for variant in VARIANTS {
        let (golden, network) = golden_network(variant);
        let (mut graph, exits) = cam_graph(&network);
        let (_, mut answers) = production(&exits);
        answers.extend(inner(&exits));
        answers.extend(input_gradients(&mut graph, &network, network.exits.len()));
        let inputs = inputs(&golden.tensor("input"), exits.len() + 1);
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let nodes: Vec<NodeId> = answers.iter().map(|&(_, id)| id).collect();
        let got = reference::run(&graph, &nodes, &inputs);
        for ((name, _), got) in answers.iter().zip(&got) {
            let (_, want) = golden.array(name);
            assert_close(&format!("reference: {variant}: {name}"), got, &want, Tolerance(2e-7));
        }
    }
}

#[test]
fn a_given_class_is_explained_like_the_predicted_one() {
    let (golden, network) = golden_network("subnets-even");
    let (graph, exits) = cam_graph(&network);
    let (_, answers) = production(&exits);
    let images = golden.tensor("input");
    let mut inputs = vec![images.clone()];
    for k in 1..=exits.len() {
        let classes = golden.classes(&format!("class.{k}"));
        inputs.push(Tensor::new(images.n, Shape::vector(1), classes.iter().map(|&c| c as f32).collect()));
    }
    for device in run::devices() {
        check_on(&device, &golden, &graph, &answers, &inputs, Order::ByExit);
    }
}

#[test]
fn an_exit_with_only_evidence_against_its_class_has_an_empty_map() {
    let (golden, network) = golden_network("blocks-empty");
    let (graph, exits) = cam_graph(&network);
    let outputs = [exits[1].cam, exits[1].heat, exits[1].range];
    let inputs = inputs(&golden.tensor("input"), exits.len());
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    for device in run::devices() {
        for answer in run::run(&device, &graph, &outputs, Order::Depth, &inputs) {
            assert!(answer.data.iter().all(|&x| x == 0.0), "{}", device.description());
        }
    }
}

/// The results of the article's code, the trained model, and the images.
fn default_network() -> (Golden, Model, Tensor) {
    let path = repository("weights/cifar10/msdnet_cifar10.safetensors");
    let weights = Weights::read(&path).unwrap();
    let network = build(&weights.config, |name, dims| weights.get(name, dims).cloned()).unwrap();
    let golden = Golden::load("default");
    let mut images = golden.tensor("input");
    let plane = images.shape.plane();
    for (i, x) in images.data.iter_mut().enumerate() {
        let channel = i / plane % 3;
        *x = (*x - weights.mean[channel]) / weights.std[channel];
    }
    (golden, network, images)
}

#[test]
fn the_default_model_agrees_with_the_code_of_the_article() {
    let (golden, network, images) = default_network();
    let (graph, exits) = cam_graph(&network);
    let (outputs, answers) = production(&exits);
    let answers: Vec<&Answer> = answers.iter().filter(|(name, _)| !name.starts_with("weights")).collect();
    let inputs = inputs(&images, exits.len());
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    for device in run::devices() {
        let all = run::run(&device, &graph, &outputs, Order::ByExit, &inputs);
        for (exit, k) in exits.iter().zip(1..) {
            let logits = &all[outputs.iter().position(|&o| o == exit.logits).unwrap()];
            assert_eq!(argmaxes(logits), golden.classes(&format!("class.{k}")), "class of exit {k}");
        }
        for (name, id) in &answers {
            let got = &all[outputs.iter().position(|o| o == id).unwrap()].data;
            let what = format!("{}: default: {name}", device.description());
            // The article's code ran in f32 too.
            assert_close(&what, got, &golden.array(name).1, Tolerance(1e-4));
        }
    }
}

#[test]
fn taps_and_large_heatmaps_agree_with_the_code_of_the_article() {
    let (golden, network, images) = default_network();
    let (mut graph, exits) = cam_graph(&network);
    let means: Vec<NodeId> = exits.iter().map(|e| graph.push(Op::SpatialMean, &[e.tap]).unwrap()).collect();
    let taps = exits.iter().map(|e| e.tap);
    let maps = exits.iter().map(|e| e.cam);
    let outputs: Vec<NodeId> = taps.chain(means).chain(maps).collect();
    let inputs = inputs(&images, exits.len());
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    // The original's mask is 512 pixels wide; every eighth row and column of the cat's is stored.
    let (wide, step) = (512, 8);
    for device in run::devices() {
        let all = run::run(&device, &graph, &outputs, Order::Depth, &inputs);
        let (taps, rest) = all.split_at(exits.len());
        let (means, maps) = rest.split_at(exits.len());
        let check = |name: String, got: &[f32]| {
            let what = format!("{}: default: {name}", device.description());
            assert_close(&what, got, &golden.array(&name).1, Tolerance(1e-4));
        };
        for (exit, k) in (1..=exits.len()).enumerate() {
            check(format!("tap_mean.{k}"), &means[exit].data);
            if golden.has(&format!("tap.{k}")) {
                check(format!("tap.{k}"), taps[exit].image(0));
            }
            let heat = Heatmap::new(maps[exit].image(0), (8, 8), (wide, wide));
            let rows = heat.values.chunks_exact(wide).step_by(step);
            let thinned: Vec<f32> = rows.flat_map(|row| row.iter().copied().step_by(step)).collect();
            check(format!("mask512.{k}"), &thinned);
        }
    }
}

#[test]
fn refuses_an_invalid_configuration_in_one_line() {
    let options: PortOptions = Golden::load("nets/subnets-even").json("config");
    let config = options.config();
    let refusal = |change: fn(&mut Config)| {
        let mut config = config.clone();
        change(&mut config);
        let zeros = |_: &str, dims: &[usize]| Ok(vec![0.0; dims.iter().product()].into());
        build(&config, zeros).expect_err("no such network").to_string()
    };
    let lopsided = refusal(|c| c.bottleneck_factor.truncate(1));
    assert!(lopsided.starts_with("architecture: "), "{lopsided}");
    for refused in [
        lopsided,
        refusal(|c| c.input = 5),
        refusal(|c| c.transitions[0].width = 0),
        refusal(|c| c.drops = vec![3, 3]),
    ] {
        assert_eq!(refused.lines().count(), 1, "{refused}");
    }
}
