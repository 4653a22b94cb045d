//! Plans without a device: addresses are right in every order of the jobs of a level.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::common::nets::{ExitNodes, VARIANTS, asked, cam_graph, golden_network};
use crate::common::reference::PlanMemory;
use msdcam::Shape;
use msdcam::engine::graph::ops::{Op, Slice};
use msdcam::engine::graph::passes::{Passes, apply};
use msdcam::engine::graph::{Graph, NodeId};
use msdcam::engine::plan::{Job, Order, Plan, PlanOptions, Slot, Space, Step};
use msdcam::model::Model;

/// Tag of memory that nothing has written. A tag identifies how an element was computed.
const UNWRITTEN: u64 = 0;

/// The tags of an op's result: a hash of the op, the tags of its inputs, and the position.
fn tags(op: &Op, inputs: &[Vec<u64>], len: usize) -> Vec<u64> {
    match op {
        Op::Copy => inputs[0].clone(),
        Op::Concat => inputs.concat(),
        Op::Slice(slice) => inputs[0][slice.offset..][..len].to_vec(),
        _ => {
            let mut hasher = DefaultHasher::new();
            format!("{op:?}").hash(&mut hasher);
            inputs.hash(&mut hasher);
            let seed = hasher.finish();
            (0..len as u64).map(|i| seed.wrapping_add(i).max(1)).collect()
        }
    }
}

fn input_tags(number: usize, len: usize) -> Vec<u64> {
    (0..len as u64).map(|i| ((number as u64 + 1) << 32) + i).collect()
}

/// The tags of `outputs` according to the graph.
fn by_graph(graph: &Graph, outputs: &[NodeId]) -> Vec<Vec<u64>> {
    let mut values: Vec<Vec<u64>> = Vec::new();
    let mut inputs = 0;
    for node in graph.nodes() {
        let value = if let Op::Input(shape) = node.op {
            inputs += 1;
            input_tags(inputs - 1, shape.len())
        } else {
            let read: Vec<Vec<u64>> = node.inputs.iter().map(|i| values[i.index()].clone()).collect();
            tags(&node.op, &read, node.shape.len())
        };
        values.push(value);
    }
    outputs.iter().map(|id| values[id.index()].clone()).collect()
}

/// The tags of the plan's outputs after its first `levels` levels; the jobs of each level run in
/// ascending or descending order.
fn by_plan(plan: &Plan, levels: usize, backward: bool) -> Vec<Vec<u64>> {
    let mut memory = PlanMemory::new(plan, UNWRITTEN);
    for (number, slot) in plan.inputs().iter().enumerate() {
        memory.write(slot, &input_tags(number, slot.shape().len()));
    }
    for (level_number, level) in plan.levels()[..levels].iter().enumerate() {
        let mut jobs: Vec<_> = level.jobs().iter().collect();
        if backward {
            jobs.reverse();
        }
        for step in jobs.iter().flat_map(|job| job.steps()) {
            let read: Vec<Vec<u64>> = step.inputs().iter().map(|slot| memory.read(slot).to_vec()).collect();
            for (slot, tags) in step.inputs().iter().zip(&read) {
                let level = level_number + 1;
                assert!(
                    !tags.contains(&UNWRITTEN),
                    "level {level}: {} reads {slot}, unwritten",
                    step.op().name()
                );
            }
            memory.write(&step.output(), &tags(step.op(), &read, step.output().shape().len()));
        }
    }
    plan.outputs().iter().map(|slot| memory.read(slot).to_vec()).collect()
}

fn overlap(a: &Slot, b: &Slot) -> bool {
    let end = |slot: &Slot| slot.offset() + slot.shape().len();
    a.space() == b.space() && a.offset() < end(b) && b.offset() < end(a)
}

/// Panics unless no job writes to what another job of its level reads or writes, and no step to its inputs.
fn check_independence(what: &str, plan: &Plan) {
    for (number, level) in plan.levels().iter().enumerate() {
        for (i, job) in level.jobs().iter().enumerate() {
            for step in job.steps() {
                let own = step.inputs().iter().find(|input| overlap(input, &step.output()));
                assert!(own.is_none(), "{what}: {} writes over its own input", step.op().name());
                assert_ne!(step.output().space(), Space::Input, "{what}: a step writes over what was given");
                let others = level.jobs().iter().enumerate().filter(|&(j, _)| j != i);
                for other in others.flat_map(|(_, job)| job.steps()) {
                    let touched = other.inputs().iter().copied().chain([other.output()]);
                    let hit = touched.into_iter().find(|slot| overlap(slot, &step.output()));
                    assert!(
                        hit.is_none(),
                        "{what}: level {}: {} writes {}, which {} touches",
                        number + 1,
                        step.op().name(),
                        step.output(),
                        other.op().name()
                    );
                }
            }
        }
    }
}

/// Sets of outputs of a model: some are parts of others, some are repeated, one is an input.
fn output_sets(graph: &Graph, exits: &[ExitNodes]) -> Vec<(&'static str, Vec<NodeId>)> {
    let last = exits.last().unwrap();
    let inner = exits.iter().flat_map(|e| [e.tap, e.grad, e.signed, e.heat]);
    vec![
        ("what is asked", asked(exits)),
        ("scores alone", exits.iter().map(|e| e.logits).collect()),
        ("the last exit alone", asked(&[*last])),
        ("backwards", asked(exits).into_iter().rev().collect()),
        ("taps and gradients", inner.collect()),
        ("the same twice, and an input", vec![last.tap, last.cam, last.tap, graph.ids().next().unwrap()]),
    ]
}

fn variations(order: Order) -> Vec<(&'static str, PlanOptions)> {
    let (all, none) = (PlanOptions::new(order), PlanOptions::unoptimized(order));
    vec![
        ("all passes", all),
        ("no passes", none),
        ("no chains", PlanOptions { chain_small_steps: false, ..all }),
        ("no concat in place", PlanOptions { in_place_concat: false, ..all }),
        ("in place and chains alone", PlanOptions { passes: Passes::NONE, ..all }),
        ("with dead nodes", PlanOptions { passes: Passes { dead_nodes: false, ..Passes::ALL }, ..all }),
    ]
}

#[test]
fn every_value_stays_at_its_address_until_its_last_reader() {
    for variant in VARIANTS.into_iter().filter(|v| !v.starts_with("blocks-imagenet-stem")) {
        let (_, network) = golden_network(variant);
        let (graph, exits) = cam_graph(&network);
        for (question, outputs) in output_sets(&graph, &exits) {
            for order in [Order::Depth, Order::ByExit] {
                for (options_name, options) in variations(order) {
                    let what = format!("{variant}: {question}, {options_name}, {order:?}");
                    let staged = match order {
                        Order::Depth => graph.clone(),
                        Order::ByExit => graph.staged_by_need(&outputs),
                    };
                    let (rewritten, places) = apply(&staged, &outputs, &options.passes).unwrap();
                    let want = by_graph(&rewritten, &places);
                    let plan = Plan::with_options(&graph, &outputs, &options).unwrap();
                    check_independence(&what, &plan);
                    for backward in [false, true] {
                        let got = by_plan(&plan, plan.levels().len(), backward);
                        assert!(got == want, "{what}: outputs are not what the graph says");
                    }
                }
            }
        }
    }
}

#[test]
fn values_with_disjoint_lifetimes_share_memory() {
    let (_, network) = golden_network("blocks-even");
    let (graph, exits) = cam_graph(&network);
    let plan = Plan::new(&graph, &asked(&exits), Order::Depth).unwrap();
    let written: usize =
        plan.steps().filter(|s| s.output().space() == Space::Work).map(|s| s.output().shape().len()).sum();
    assert!(2 * plan.work_len() < written, "{} numbers for {written} written", plan.work_len());
}

#[test]
fn msd_net_concatenates_without_a_copy() {
    let all = PlanOptions::new(Order::Depth);
    let copies = |variant: &str, options: &PlanOptions| {
        let (_, network) = golden_network(variant);
        let (graph, exits) = cam_graph(&network);
        let plan = Plan::with_options(&graph, &asked(&exits), options).unwrap();
        plan.steps().filter(|step| *step.op() == Op::Copy).count()
    };
    for variant in VARIANTS {
        assert_eq!(copies(variant, &all), 0, "{variant}: copies");
        assert!(copies(variant, &PlanOptions { in_place_concat: false, ..all }) > 0, "{variant}");
    }
}

#[test]
fn an_early_exit_run_computes_nothing_for_later_exits() {
    for variant in VARIANTS {
        let (_, network) = golden_network(variant);
        let (graph, exits) = cam_graph(&network);
        let per_exit = asked(&exits[..1]).len();
        let plan = Plan::new(&graph, &asked(&exits), Order::ByExit).unwrap();
        assert_eq!(plan.exits().len(), exits.len(), "{variant}");
        assert_eq!(plan.exits().last(), Some(&plan.levels().len()), "{variant}");
        let full = by_plan(&plan, plan.levels().len(), false);
        for k in 1..=exits.len() {
            let levels = plan.exits()[k - 1];
            let what = format!("{variant}: exit {k}");
            let stages: HashSet<usize> =
                plan.levels()[..levels].iter().flat_map(|level| level.jobs()).map(|job| job.exit()).collect();
            assert!(stages.iter().all(|&stage| stage <= k), "{what}: computes for exits {stages:?}");
            let later = plan.levels()[levels..].iter().flat_map(|level| level.jobs());
            assert!(later.into_iter().all(|job| job.exit() > k), "{what}: something is left over");

            let there = by_plan(&plan, levels, false);
            assert!(there[..k * per_exit] == full[..k * per_exit], "{what}: answers are not there yet");

            // A plan of exits 1 to k alone has exactly the work done so far.
            let alone = Plan::new(&graph, &asked(&exits[..k]), Order::ByExit).unwrap();
            let steps = |plan: &Plan, levels: usize| -> (usize, u64) {
                let steps: Vec<&Step> =
                    plan.levels()[..levels].iter().flat_map(|l| l.jobs()).flat_map(|j| j.steps()).collect();
                (steps.len(), steps.iter().map(|s| s.multiply_adds()).sum())
            };
            assert_eq!(steps(&plan, levels), steps(&alone, alone.levels().len()), "{what}: steps and work");
        }
    }
}

#[test]
fn depth_order_has_the_fewest_levels_and_runs_heads_in_parallel_with_the_next_block() {
    let (_, network) = golden_network("subnets-even");
    let (graph, exits) = cam_graph(&network);
    let plan = |order| Plan::new(&graph, &asked(&exits), order).unwrap();
    let depth = plan(Order::Depth);
    assert!(depth.levels().len() < plan(Order::ByExit).levels().len());
    let mixed = |jobs: &[Job]| jobs.iter().any(|job| job.exit() != jobs[0].exit());
    assert!(depth.levels().iter().any(|level| mixed(level.jobs())), "no level serves two exits");
}

#[test]
fn consecutive_small_steps_are_one_job() {
    let (_, network) = golden_network("blocks-even");
    let (graph, exits) = cam_graph(&network);
    let passes = Passes { fuse_classifier: false, ..Passes::ALL };
    let options = PlanOptions { passes, ..PlanOptions::new(Order::Depth) };
    let plan = Plan::with_options(&graph, &asked(&exits), &options).unwrap();
    let jobs = plan.levels().iter().flat_map(|level| level.jobs());
    let longest = jobs.max_by_key(|job| job.steps().len()).unwrap();
    let names: Vec<&str> = longest.steps().iter().map(|step| step.op().name()).collect();
    assert!(names.len() >= 3, "the longest chain is {names:?}");
    let within = longest.steps().windows(2).any(|pair| pair[1].inputs().contains(&pair[0].output()));
    assert!(within, "no step of {names:?} reads the one before it");
}

#[test]
fn lays_out_nested_concats_and_slices() {
    let mut graph = Graph::new();
    let x = graph.push(Op::Input(Shape::new(2, 3, 5)), &[]).unwrap();
    let a = graph.push(Op::RELU, &[x]).unwrap();
    let b = graph.push(Op::Softmax, &[x]).unwrap();
    let twice = graph.push(Op::Concat, &[a, a, b]).unwrap();
    let slice = graph.push(Slice { offset: 7, shape: Shape::new(1, 3, 5) }, &[twice]).unwrap();
    let nested = graph.push(Op::Concat, &[x, twice, slice, b]).unwrap();
    let other = graph.push(Op::Concat, &[twice, b]).unwrap();
    let alone = graph.push(Op::Concat, &[a]).unwrap();
    let of_inputs = graph.push(Op::Concat, &[x, x]).unwrap();
    let inner = graph.push(Slice { offset: 3, shape: Shape::vector(4) }, &[slice]).unwrap();
    let read = graph.push(Op::RELU, &[inner]).unwrap();
    // Reads two small steps of one level, so it cannot continue the chain of either.
    let diamond = graph.push(Op::Add, &[a, b]).unwrap();
    let tail = graph.push(Op::Add, &[b, diamond, a]).unwrap();
    let all = [a, b, twice, slice, nested, other, alone, of_inputs, inner, read, diamond, tail, x];
    let sets =
        (0..all.len()).map(|i| vec![all[i]]).chain((0..all.len()).map(|i| [&all[i..], &all[..i]].concat()));
    for outputs in sets {
        for (name, options) in variations(Order::Depth) {
            let (rewritten, places) = apply(&graph, &outputs, &options.passes).unwrap();
            let plan = Plan::with_options(&graph, &outputs, &options).unwrap();
            check_independence(name, &plan);
            let want = by_graph(&rewritten, &places);
            assert!(by_plan(&plan, plan.levels().len(), true) == want, "{name}: outputs {outputs:?}");
        }
    }
}

/// Names of the ops of each job in which `name` is one.
fn jobs_with<'a>(plan: &'a Plan, name: &str) -> Vec<Vec<&'a str>> {
    let jobs = plan.levels().iter().flat_map(|level| level.jobs());
    let names = jobs.map(|job| job.steps().iter().map(|step| step.op().name()).collect::<Vec<_>>());
    names.filter(|names| names.contains(&name)).collect()
}

#[test]
fn the_classifier_of_an_exit_is_one_step() {
    let fused = PlanOptions::new(Order::Depth);
    let passes = Passes { fuse_classifier: false, ..Passes::ALL };
    for variant in VARIANTS {
        let (_, network) = golden_network(variant);
        let (graph, exits) = cam_graph(&network);
        let plan = |options| Plan::with_options(&graph, &asked(&exits), options).unwrap();
        let (plan, single_steps) = (plan(&fused), plan(&PlanOptions { passes, ..fused }));
        let chain = ["avg_pool", "linear", "softmax", "one_hot", "linear_grad", "avg_pool_grad", "relu_grad"];
        assert_eq!(jobs_with(&single_steps, "linear"), vec![chain; exits.len()], "{variant}");
        assert_eq!(jobs_with(&plan, "classifier"), vec![["classifier"]; exits.len()], "{variant}");
        let steps = [&single_steps, &plan].map(|plan| plan.steps().count());
        assert_eq!(steps[0] - steps[1], (chain.len() - 1) * exits.len(), "{variant}: steps");
        assert_eq!(plan.levels().len(), single_steps.levels().len(), "{variant}: levels");
    }
}

#[test]
fn the_gradient_of_a_classifier_is_not_downloaded() {
    let (graph, exits) = cam_graph(&Model::pretrained().unwrap());
    let passes = Passes { fuse_classifier: false, ..Passes::ALL };
    for options in [Order::Depth, Order::ByExit].map(PlanOptions::new) {
        let len = |options| Plan::with_options(&graph, &asked(&exits), options).unwrap().output_len();
        assert_eq!(len(&options), len(&PlanOptions { passes, ..options }), "{:?}", options.order);
    }
}

#[test]
fn a_plan_prints_one_line_per_job() {
    let (_, network) = golden_network("subnets-even");
    let (graph, exits) = cam_graph(&network);
    let plan = Plan::new(&graph, &asked(&exits), Order::ByExit).unwrap();
    let jobs: usize = plan.levels().iter().map(|level| level.jobs().len()).sum();
    let text = plan.to_string();
    assert_eq!(text.lines().count(), jobs + 1, "{text}");
    assert!(text.starts_with(&format!("{} levels, ", plan.levels().len())), "{text}");
}

#[test]
fn refuses_plans_without_outputs_and_empty_values() {
    let (_, network) = golden_network("subnets-even");
    let none = Plan::new(&network.graph, &[], Order::Depth).unwrap_err().to_string();
    assert!(none.contains("no outputs are requested"), "{none}");
    let mut graph = Graph::new();
    let empty = graph.push(Op::Input(Shape::new(2, 0, 3)), &[]).unwrap_err().to_string();
    assert!(empty.contains("input: a result of 2x0x3 has no elements"), "{empty}");
    let x = graph.push(Op::Input(Shape::vector(2)), &[]).unwrap();
    let slice = graph.push(Slice { offset: 1, shape: Shape::vector(0) }, &[x]).unwrap_err().to_string();
    assert!(slice.contains("slice: a result of 0x1x1 has no elements"), "{slice}");
}
