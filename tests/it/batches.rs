//! Batches, threads and early exit: same bits for any division of the work, and no work for skipped exits.

use std::sync::Arc;

use crate::common::close;
use crate::common::close::{assert_close, assert_same_bits};
use crate::common::nets::{asked, cam_graph, inputs, random_network};
use crate::common::random::Random;
use crate::common::run::input_spaces;
use crate::common::{reference, run};
use msdcam::Shape;
use msdcam::engine::cpu::Isa;
use msdcam::engine::device::Device;
use msdcam::engine::graph::grad::gradients;
use msdcam::engine::graph::ops::{
    Activation, AvgPool, ChannelShuffle, Conv2d, Interpolation, Lrn, Op, Relu, ReluRule, Resize, Sampling,
    Slice, Window,
};
use msdcam::engine::graph::{Graph, NodeId};
use msdcam::engine::plan::{Order, Plan};
use msdcam::engine::tensor::Tensor;
use msdcam::explain::{Classifier, ExitPrediction, ExplainRequest, Explainer, Target};
use msdcam::model::Model;
use msdcam::model::msdnet::Config;

/// The article's model at full size, with three exits.
fn network() -> Model {
    random_network(&Config::cifar10_anytime().with_layers(&[4, 2, 2], 0.5))
}

fn images(n: usize) -> Tensor {
    let shape = Shape::new(3, 32, 32);
    Tensor::new(n, shape, Random::new(n as u64).numbers(n * shape.len()))
}

/// The plan of a model's maps, and the input spaces of some images.
fn plan(network: &Model, order: Order, images: &Tensor) -> (Arc<Plan>, Vec<f32>) {
    let (graph, exits) = cam_graph(network);
    let plan = Arc::new(Plan::new(&graph, &asked(&exits), order).unwrap());
    let inputs = inputs(images, exits.len());
    let spaces = input_spaces(&plan, &inputs.iter().collect::<Vec<_>>());
    (plan, spaces)
}

/// Output spaces of all images, run `batch` at a time; the last batch may be smaller.
fn run_in_batches(device: &Device, plan: &Arc<Plan>, spaces: &[f32], batch: usize) -> Vec<f32> {
    let mut session = device.session(Arc::clone(plan), batch).unwrap();
    let mut outputs = vec![f32::NAN; spaces.len() / plan.input_len() * plan.output_len()];
    let batches = spaces.chunks(batch * plan.input_len()).zip(outputs.chunks_mut(batch * plan.output_len()));
    for (inputs, outputs) in batches {
        session.run(inputs, outputs).unwrap();
    }
    outputs
}

/// The elements of outputs; the gaps between them are undefined.
fn read(plan: &Plan, spaces: &[f32]) -> Vec<f32> {
    plan.outputs().iter().flat_map(|slot| run::output(plan, slot, spaces).data).collect()
}

#[test]
fn the_bits_do_not_depend_on_threads_or_batch_size() {
    let network = network();
    for isa in Isa::available() {
        let batches: &[usize] = if isa == Isa::detect() { &[1, 2, 3, 7, 64] } else { &[1, 3, 7] };
        for &batch in batches {
            // An odd number of batches, the last one not full.
            let images = images(if batch == 64 { 65 } else { 2 * batch + 1 });
            let (plan, spaces) = plan(&network, Order::Depth, &images);
            let want = read(&plan, &run_in_batches(&run::cpu(1, isa), &plan, &spaces, 1));
            assert!(want.iter().all(|x| x.is_finite()));
            for threads in [1, 2, 3, 5, 8] {
                let got = run_in_batches(&run::cpu(threads, isa), &plan, &spaces, batch);
                let what = format!("{}, {threads} threads, batches of {batch}", isa.name());
                assert_same_bits(&what, &read(&plan, &got), &want);
            }
        }
    }
}

#[test]
fn depth_and_by_exit_order_give_the_same_bits() {
    let (network, images) = (network(), images(3));
    let device = run::cpu(2, Isa::detect());
    let [depth, by_exit] = [Order::Depth, Order::ByExit].map(|order| {
        let (plan, spaces) = plan(&network, order, &images);
        read(&plan, &run_in_batches(&device, &plan, &spaces, 3))
    });
    assert_same_bits("order", &by_exit, &depth);
}

#[test]
fn early_exit_gives_the_same_results_for_less_work() {
    let (network, images) = (network(), images(11));
    let (plan, spaces) = plan(&network, Order::ByExit, &images);
    let per_exit = plan.outputs().len() / plan.exits().len();
    // The exit where each image stops; the last image stops at none.
    let stops = [1, 3, 2, 2, 1, 3, 1, 1, 2, 1, 4];
    let cost = |exit: usize| -> u64 {
        let levels = &plan.levels()[..plan.exits()[exit - 1]];
        levels.iter().flat_map(|l| l.jobs()).flat_map(|j| j.steps()).map(|s| s.multiply_adds()).sum()
    };
    assert!(cost(1) < cost(2) && cost(2) < cost(3) && cost(3) == plan.multiply_adds());
    for threads in [1, 2, 3, 5, 8] {
        for batch in [1, 4, 11, 64] {
            let what = format!("{threads} threads, batches of {batch}");
            let device = run::cpu(threads, Isa::detect());
            let mut session = device.session(Arc::clone(&plan), batch).unwrap();
            let mut full = vec![f32::NAN; images.n * plan.output_len()];
            let mut early = full.clone();
            let mut reached = Vec::new();
            let batches = spaces.chunks(batch * plan.input_len());
            for (i, inputs) in batches.clone().enumerate() {
                let full = full.chunks_mut(batch * plan.output_len()).nth(i).unwrap();
                session.run(inputs, full).unwrap();
            }
            assert_eq!(session.multiply_adds_done(), 11 * plan.multiply_adds(), "{what}: whole runs");
            for (i, inputs) in batches.enumerate() {
                let early = early.chunks_mut(batch * plan.output_len()).nth(i).unwrap();
                let mut asked = Vec::new();
                let mut continues = |exit: usize, image: usize, outputs: &[f32]| {
                    asked.push((exit, image));
                    assert_eq!(outputs.len(), plan.output_len());
                    exit < stops[i * batch + image]
                };
                let count = inputs.len() / plan.input_len();
                session.run_early_exit(count, &mut run::filling(inputs), &mut continues).unwrap();
                reached.extend_from_slice(session.reached());
                early.copy_from_slice(session.outputs());
                asked.sort_unstable();
                let before = asked.len();
                asked.dedup();
                assert_eq!(asked.len(), before, "{what}: asked twice about an image");
            }
            let want: Vec<usize> = stops.iter().map(|&stop| stop.min(3)).collect();
            assert_eq!(reached, want, "{what}: last exits");
            let work: u64 = want.iter().map(|&exit| cost(exit)).sum();
            let done = session.multiply_adds_done() - 11 * plan.multiply_adds();
            assert_eq!(done, work, "{what}: multiply-adds of early exits");
            for (number, slot) in plan.outputs().iter().enumerate() {
                let [early, full] = [&early, &full].map(|spaces| run::output(&plan, slot, spaces));
                for (image, _) in want.iter().enumerate().filter(|&(_, &last)| number / per_exit < last) {
                    let what = format!("{what}: output {number} of image {image}");
                    assert_same_bits(&what, early.image(image), full.image(image));
                }
            }
        }
    }
}

#[test]
fn early_exit_stops_at_the_first_exit_that_reaches_its_threshold() {
    let (network, images) = (network(), images(5));
    let device = run::cpu(2, Isa::detect());
    let mut classifier = Classifier::new(&network, &[1, 2, 3], Order::ByExit, &device, 5).unwrap();
    let all = classifier.classify(&images.data).unwrap();
    assert_eq!(all.len(), 5);
    let mut confidences: Vec<f32> = all.iter().flatten().map(ExitPrediction::confidence).collect();
    confidences.sort_by(f32::total_cmp);
    let mut lengths = std::collections::HashSet::new();
    for threshold in [0.0, confidences[4], confidences[7], confidences[11], 1.1] {
        let early = classifier.classify_early_exit(&images.data, &[Some(threshold); 3]).unwrap();
        for (early, all) in early.iter().zip(&all) {
            let stop = all.iter().position(|p| p.confidence() >= threshold).map_or(all.len(), |i| i + 1);
            assert_eq!(early[..], all[..stop], "threshold {threshold}");
            lengths.insert(stop);
        }
    }
    assert_eq!(lengths.len(), 3, "stops at {lengths:?} alone");
}

#[test]
fn explains_the_given_class() {
    let (network, images) = (network(), images(2));
    let device = run::cpu(2, Isa::detect());
    let explain = |target: Target| {
        let request = ExplainRequest { target, ..ExplainRequest::grad_cam(&network) };
        Explainer::new(&network, &request, &device, 2).unwrap().explain(&images.data).unwrap()
    };
    let own = explain(Target::Predicted);
    for (image, explanations) in own.iter().enumerate() {
        for (i, explanation) in explanations.iter().enumerate() {
            let class = explanation.prediction.class;
            assert_eq!((explanation.prediction.exit, explanation.target), (i + 1, class));
            let named = explain(Target::Class(class));
            assert_eq!(named[image][i], *explanation, "the predicted class, given by its index");
            let other = explain(Target::Class((class + 1) % 10));
            assert_eq!(other[image][i].target, (class + 1) % 10);
            assert_ne!(other[image][i].maps[0].weights, explanation.maps[0].weights);
            assert_eq!(other[image][i].prediction, explanation.prediction);
        }
    }
}

#[test]
fn subsets_of_exits_and_predictions_alone_give_the_same_results() {
    let (network, images) = (network(), images(2));
    let device = run::cpu(2, Isa::detect());
    let explain = |request: ExplainRequest| {
        Explainer::new(&network, &request, &device, 2).unwrap().explain(&images.data).unwrap()
    };
    let all = explain(ExplainRequest::grad_cam(&network));
    let some = explain(ExplainRequest { exits: vec![1, 3], ..ExplainRequest::grad_cam(&network) });
    let mut classifier = Classifier::new(&network, &[1, 2, 3], Order::Depth, &device, 2).unwrap();
    let predictions = classifier.classify(&images.data).unwrap();
    for image in 0..2 {
        assert_eq!(some[image], [all[image][0].clone(), all[image][2].clone()]);
        let of_all: Vec<_> = all[image].iter().map(|e| e.prediction.clone()).collect();
        assert_eq!(predictions[image], of_all);
    }
}

#[test]
fn refuses_invalid_requests_in_one_line() {
    let network = network();
    let device = run::cpu(1, Isa::detect());
    let request =
        |exits: &[usize]| ExplainRequest { exits: exits.to_vec(), ..ExplainRequest::grad_cam(&network) };
    for (exits, says) in [(vec![], "no exit requested"), (vec![0], "exit 0"), (vec![1, 4], "exit 4")] {
        let explainer = Explainer::new(&network, &request(&exits), &device, 1).err().unwrap();
        let classifier = Classifier::new(&network, &exits, Order::Depth, &device, 1).err().unwrap();
        for refused in [explainer.to_string(), classifier.to_string()] {
            assert!(refused.contains(says) && refused.contains("exits 1 to 3"), "{refused}");
        }
    }
    let class = ExplainRequest { target: Target::Class(10), ..request(&[1]) };
    let refused = Explainer::new(&network, &class, &device, 1).err().unwrap().to_string();
    assert!(refused.contains("class 10: the network has classes 0 to 9"), "{refused}");
    let mut explainer = Explainer::new(&network, &request(&[1]), &device, 2).unwrap();
    let mut classifier = Classifier::new(&network, &[1], Order::Depth, &device, 2).unwrap();
    let image = images(1).data;
    let mut not_finite = image.clone();
    not_finite[17] = f32::NAN;
    for (wrong, says) in [
        (vec![], "an image of 3x32x32 has 3072"),
        (image[1..].to_vec(), "an image of 3x32x32 has 3072"),
        (not_finite, "image 1: element 17 is NaN"),
    ] {
        let refusals = [explainer.explain(&wrong).unwrap_err(), classifier.classify(&wrong).unwrap_err()];
        assert!(refusals.iter().all(|e| e.to_string().contains(says)), "{refusals:?}");
    }
    let thresholds = classifier.classify_early_exit(&image, &[None]).unwrap_err().to_string();
    assert!(thresholds.contains("by exit"), "{thresholds}");
    assert!(explainer.explain(&image).is_ok(), "refusals leave the explainer as it was");
}

#[test]
fn refuses_a_batch_that_does_not_match_the_plan() {
    let network = network();
    let (plan, spaces) = plan(&network, Order::Depth, &images(3));
    let mut session = run::cpu(2, Isa::detect()).session(Arc::clone(&plan), 2).unwrap();
    let mut outputs = vec![0.0; 3 * plan.output_len()];
    assert_eq!(session.capacity(), 2);
    assert!(session.run(&spaces, &mut outputs).is_err(), "more images than there is room for");
    assert!(session.run(&spaces[..plan.input_len()], &mut outputs).is_err(), "more outputs than inputs");
    assert!(
        session.run(&spaces[1..plan.input_len()], &mut outputs[..plan.output_len()]).is_err(),
        "a broken image"
    );
    assert!(session.run(&[], &mut []).is_ok(), "no image is a batch too");
}

#[test]
fn divides_large_requests_into_batches() {
    let network = network();
    let request = ExplainRequest::grad_cam(&network);
    let device = run::cpu(2, Isa::detect());
    let images = images(5);
    let explain =
        |batch| Explainer::new(&network, &request, &device, batch).unwrap().explain(&images.data).unwrap();
    assert_eq!(explain(2), explain(5));
}

/// Ops of mobile networks on maps that a GPU divides among many blocks, and the gradient with respect to the image.
fn mobile_graph() -> (Graph, [Shape; 2], [NodeId; 2]) {
    let (image, mut graph, mut random) = (Shape::new(8, 37, 41), Graph::new(), Random::new(23));
    let x = graph.push(Op::Input(image), &[]).unwrap();
    let mut conv =
        |graph: &mut Graph, x: NodeId, out: usize, groups: usize, window: Window, max: Option<f32>| {
            let channels = graph.shape(x).c;
            let dims = [out, channels / groups, window.kernel[0], window.kernel[1]];
            let scale = (dims[1..].iter().product::<usize>() as f32).sqrt();
            let mut param = |dims: &[usize]| {
                let numbers: Vec<f32> =
                    random.numbers(dims.iter().product()).into_iter().map(|x| x / scale).collect();
                graph.add_param(format!("p{}", graph.params().len()), dims, numbers)
            };
            let (weight, bias) = (param(&dims), Some(param(&[out])));
            let relu = max.map(|max| Relu { max });
            let conv = Conv2d::new(graph, weight, bias, [1, 1], [0, 0]);
            graph.push(Conv2d { channels, groups, window, relu, ..conv }, &[x]).unwrap()
        };
    let window = |kernel, stride, padding, dilation: [usize; 2]| Window {
        dilation,
        ..Window::square(kernel, stride, padding)
    };
    let point = Window::square(1, 1, 0);
    let y = conv(&mut graph, x, 48, 1, point, Some(1.5));
    let y = conv(&mut graph, y, 96, 48, window(5, 1, 4, [2, 2]), Some(0.75));
    let y = conv(&mut graph, y, 96, 96, window(3, 2, 1, [1, 1]), None);
    let y = graph.push(Activation::Silu, &[y]).unwrap();
    let shape = graph.shape(y);
    let whole = Window { kernel: [shape.h, shape.w], ..point };
    let gate = graph.push(AvgPool { window: whole, counted: [[0; 2]; 2] }, &[y]).unwrap();
    let gate = conv(&mut graph, gate, 6, 1, point, Some(f32::INFINITY));
    let gate = conv(&mut graph, gate, 96, 1, point, None);
    let gate = graph.push(Activation::Sigmoid, &[gate]).unwrap();
    let y = graph.push(Op::Mul, &[y, gate]).unwrap();
    let y = graph.push(ChannelShuffle { groups: 3 }, &[y]).unwrap();
    let y = conv(&mut graph, y, 60, 3, window(3, 1, 1, [1, 1]), None);
    let y = graph.push(Activation::HardSwish, &[y]).unwrap();
    let y = graph.push(Lrn { size: 5, alpha: 0.5, beta: 0.75, bias: 1.0 }, &[y]).unwrap();
    let axis = |from: usize, len| {
        let scale = from as f64 / len as f64;
        Sampling { len, scale, shift: scale / 2.0 - 0.5 }
    };
    let axes = [axis(graph.shape(y).h, 33), axis(graph.shape(y).w, 29)];
    let y = graph.push(Resize { interpolation: Interpolation::Linear, axes }, &[y]).unwrap();
    let shape = Shape { c: 45, ..graph.shape(y) };
    let y = graph.push(Slice { offset: 7 * shape.plane(), shape }, &[y]).unwrap();
    let upstream = graph.push(Op::Input(shape), &[]).unwrap();
    let gradient = gradients(&mut graph, y, upstream, &[x], ReluRule::Plain).unwrap()[0];
    (graph, [image, shape], [y, gradient])
}

#[test]
fn ops_of_mobile_networks_agree_with_the_reference_and_for_any_batch() {
    let (graph, shapes, outputs) = mobile_graph();
    let batch =
        |n: usize| shapes.map(|shape| Tensor::new(n, shape, Random::new(29).numbers(n * shape.len())));
    let three = batch(3);
    let want = reference::run(&graph, &outputs, &three.each_ref());
    for device in run::devices() {
        let got = run::run(&device, &graph, &outputs, Order::Depth, &three.each_ref());
        let alone = run::run(&device, &graph, &outputs, Order::Depth, &batch(1).each_ref());
        for (i, what) in ["value", "gradient"].into_iter().enumerate() {
            let who = format!("{}: {what}", device.description());
            assert_close(&who, &got[i].data, &want[i], close::NETWORK);
            assert_same_bits(&who, alone[i].image(0), got[i].image(0));
        }
    }
}
