//! Batches, threads and early exit: the same bits however the work is split, and no work for skipped exits.

use std::sync::Arc;

use crate::common::close::assert_same_bits;
use crate::common::nets::{asked, cam_graph, inputs, random_network};
use crate::common::random::Random;
use crate::common::run;
use crate::common::run::input_spaces;
use msdcam::engine::cpu::Isa;
use msdcam::engine::device::Device;
use msdcam::engine::graph::passes::Passes;
use msdcam::engine::plan::{Order, Plan};
use msdcam::explain::{Classifier, Question};
use msdcam::model::msdnet::{Config, Network};
use msdcam::{Shape, Tensor};

/// The article's network in full size, with three exits.
fn network() -> Network {
    random_network(&Config { exits: 3, ..Config::cifar10_anytime() })
}

fn images(n: usize) -> Tensor {
    let shape = Shape::new(3, 32, 32);
    Tensor::new(n, shape, Random::new(n as u64).numbers(n * shape.len()))
}

/// The plan of a network's maps, and the input spaces of some images.
fn plan(network: &Network, order: Order, images: &Tensor) -> (Arc<Plan>, Vec<f32>) {
    let (graph, exits) = cam_graph(network);
    let plan = Arc::new(Plan::new(&graph, &asked(&exits), order, &Passes::ALL).unwrap());
    let inputs = inputs(images, exits.len());
    let spaces = input_spaces(&plan, &inputs.iter().collect::<Vec<_>>());
    (plan, spaces)
}

/// Output spaces of all images, `batch` at a time; the last batch is what is left.
fn run_in_batches(device: &Device, plan: &Arc<Plan>, spaces: &[f32], batch: usize) -> Vec<f32> {
    let mut session = device.session(Arc::clone(plan), batch).unwrap();
    let mut outputs = vec![f32::NAN; spaces.len() / plan.input_len * plan.output_len];
    let batches = spaces.chunks(batch * plan.input_len).zip(outputs.chunks_mut(batch * plan.output_len));
    for (inputs, outputs) in batches {
        session.run(inputs, outputs).unwrap();
    }
    outputs
}

/// Only the numbers that are outputs: what lies between them is anything.
fn read(plan: &Plan, spaces: &[f32]) -> Vec<f32> {
    plan.outputs.iter().flat_map(|slot| run::output(plan, slot, spaces).data).collect()
}

#[test]
fn the_bits_do_not_depend_on_threads_or_batch_size() {
    let network = network();
    for isa in Isa::available() {
        let batches: &[usize] = if isa == Isa::detect() { &[1, 2, 3, 7, 64] } else { &[1, 3, 7] };
        for &batch in batches {
            // An odd number of batches, the last of them not full.
            let images = images(if batch == 64 { 65 } else { 2 * batch + 1 });
            let (plan, spaces) = plan(&network, Order::Depth, &images);
            let want = read(&plan, &run_in_batches(&run::cpu(1, isa), &plan, &spaces, 1));
            assert!(want.iter().all(|x| x.is_finite()));
            for threads in [1, 2, 3, 5] {
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
fn an_image_that_stops_early_has_the_same_answers_and_costs_less() {
    let (network, images) = (network(), images(11));
    let (plan, spaces) = plan(&network, Order::ByExit, &images);
    let per_exit = plan.outputs.len() / plan.exits.len();
    // Where each image stops; the last one would go on after the last exit.
    let stops = [1, 3, 2, 2, 1, 3, 1, 1, 2, 1, 4];
    let cost = |exit: usize| -> u64 {
        let levels = &plan.levels[..plan.exits[exit - 1]];
        levels.iter().flat_map(|l| &l.jobs).flat_map(|j| &j.steps).map(|s| s.multiply_adds()).sum()
    };
    assert!(cost(1) < cost(2) && cost(2) < cost(3) && cost(3) == plan.multiply_adds());
    for threads in [1, 2, 3, 5] {
        for batch in [1, 4, 11, 64] {
            let what = format!("{threads} threads, batches of {batch}");
            let device = run::cpu(threads, Isa::detect());
            let mut session = device.session(Arc::clone(&plan), batch).unwrap();
            let mut full = vec![f32::NAN; images.n * plan.output_len];
            let mut early = full.clone();
            let mut reached = Vec::new();
            let batches = spaces.chunks(batch * plan.input_len);
            for (i, inputs) in batches.clone().enumerate() {
                let full = full.chunks_mut(batch * plan.output_len).nth(i).unwrap();
                session.run(inputs, full).unwrap();
            }
            assert_eq!(session.multiply_adds_done(), 11 * plan.multiply_adds(), "{what}: whole runs");
            for (i, inputs) in batches.enumerate() {
                let early = early.chunks_mut(batch * plan.output_len).nth(i).unwrap();
                let mut asked = Vec::new();
                let mut continues = |exit: usize, image: usize, outputs: &[f32]| {
                    asked.push((exit, image));
                    assert_eq!(outputs.len(), plan.output_len);
                    exit < stops[i * batch + image]
                };
                reached.extend(session.run_early_exit(inputs, early, &mut continues).unwrap());
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
            for (number, slot) in plan.outputs.iter().enumerate() {
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
fn the_explainer_stops_at_the_first_exit_that_is_sure_enough() {
    let (network, images) = (network(), images(5));
    let question = Question { order: Order::ByExit, ..Question::explain_all(&network) };
    let device = run::cpu(2, Isa::detect());
    let mut explainer = Classifier::new(&network, &question, &device, 5).unwrap();
    let all = explainer.explain(&images.data, None).unwrap();
    assert_eq!(all.len(), 5);
    let best =
        |answer: &msdcam::explain::ExitPrediction| answer.probabilities.iter().copied().fold(0.0, f32::max);
    let mut sure: Vec<f32> = all.iter().flatten().map(best).collect();
    sure.sort_by(f32::total_cmp);
    let mut lengths = std::collections::HashSet::new();
    for confidence in [0.0, sure[4], sure[7], sure[11], 1.1] {
        let early = explainer.explain_early_exit(&images.data, None, &[Some(confidence); 3]).unwrap();
        for (early, all) in early.iter().zip(&all) {
            let stop = all.iter().position(|a| best(a) >= confidence).map_or(all.len(), |i| i + 1);
            assert_eq!(early[..], all[..stop], "confidence {confidence}");
            lengths.insert(stop);
        }
    }
    assert_eq!(lengths.len(), 3, "stops at {lengths:?} alone");
}

#[test]
fn an_explained_class_is_the_one_asked_for() {
    let (network, images) = (network(), images(2));
    let device = run::cpu(2, Isa::detect());
    let mut explainer = Classifier::new(&network, &Question::explain_all(&network), &device, 2).unwrap();
    let own = explainer.explain(&images.data, None).unwrap();
    for (image, answers) in own.iter().enumerate() {
        for (i, answer) in answers.iter().enumerate() {
            assert_eq!(answer.exit, i + 1);
            assert_eq!(answer.map.as_ref().unwrap().target, answer.class);
            let named = explainer.explain(&images.data, Some(answer.class)).unwrap();
            assert_eq!(named[image][i], *answer, "the predicted class, given by number");
            let other = (answer.class + 1) % 10;
            let others = explainer.explain(&images.data, Some(other)).unwrap();
            let map = others[image][i].map.as_ref().unwrap();
            assert_eq!(map.target, other);
            assert_ne!(map.weights, answer.map.as_ref().unwrap().weights);
            assert_eq!(others[image][i].logits, answer.logits);
        }
    }
}

#[test]
fn some_exits_alone_and_scores_alone_give_the_same_answers() {
    let (network, images) = (network(), images(2));
    let device = run::cpu(2, Isa::detect());
    let ask = |question: Question| {
        let mut explainer = Classifier::new(&network, &question, &device, 2).unwrap();
        explainer.explain(&images.data, None).unwrap()
    };
    let all = ask(Question::explain_all(&network));
    let some = ask(Question { exits: vec![1, 3], ..Question::explain_all(&network) });
    let scores = ask(Question { maps: false, ..Question::explain_all(&network) });
    for image in 0..2 {
        assert_eq!(some[image], [all[image][0].clone(), all[image][2].clone()]);
        for (answer, full) in scores[image].iter().zip(&all[image]) {
            assert_eq!((&answer.logits, answer.map.is_none()), (&full.logits, true));
        }
    }
}

#[test]
fn questions_that_make_no_sense_are_refused_in_one_line() {
    let network = network();
    let device = run::cpu(1, Isa::detect());
    let question = |exits: &[usize]| Question { exits: exits.to_vec(), ..Question::explain_all(&network) };
    for (exits, says) in [(vec![], "no exit asked for"), (vec![0], "exit 0"), (vec![1, 4], "exit 4")] {
        let refused = Classifier::new(&network, &question(&exits), &device, 1).err().unwrap().to_string();
        assert!(refused.contains(says) && refused.contains("exits 1 to 3"), "{refused}");
    }
    let mut explainer = Classifier::new(&network, &question(&[1]), &device, 2).unwrap();
    let image = images(1).data;
    let class = explainer.explain(&image, Some(10)).unwrap_err().to_string();
    assert!(class.contains("class 10: the network has classes 0 to 9"), "{class}");
    for wrong in [vec![], image[1..].to_vec()] {
        let refused = explainer.explain(&wrong, None).unwrap_err().to_string();
        assert!(refused.contains("an image of 3x32x32 has 3072"), "{refused}");
    }
    assert!(explainer.explain(&image, None).is_ok(), "refusals leave the explainer as it was");
}

#[test]
fn a_batch_that_does_not_fit_the_plan_is_refused() {
    let network = network();
    let (plan, spaces) = plan(&network, Order::Depth, &images(3));
    let mut session = run::cpu(2, Isa::detect()).session(Arc::clone(&plan), 2).unwrap();
    let mut outputs = vec![0.0; 3 * plan.output_len];
    assert_eq!(session.capacity(), 2);
    assert!(session.run(&spaces, &mut outputs).is_err(), "more images than there is room for");
    assert!(session.run(&spaces[..plan.input_len], &mut outputs).is_err(), "more outputs than inputs");
    assert!(
        session.run(&spaces[1..plan.input_len], &mut outputs[..plan.output_len]).is_err(),
        "a broken image"
    );
    assert!(session.run(&[], &mut []).is_ok(), "no image is a batch too");
}

#[test]
fn more_images_than_fit_at_once_are_answered_batch_after_batch() {
    let network = network();
    let question = Question::explain_all(&network);
    let device = run::cpu(2, Isa::detect());
    let images = images(5);
    let ask = |batch| {
        let mut explainer = Classifier::new(&network, &question, &device, batch).unwrap();
        explainer.explain(&images.data, None).unwrap()
    };
    assert_eq!(ask(2), ask(5));
}
