//! The numbers of `docs/how-it-works.md`: the two examples by hand, and what the built-in network's plans take.

use msdcam::engine::cpu::Isa;
use msdcam::engine::graph::grad::gradients;
use msdcam::engine::graph::ops::{AvgPool, Conv2d, Linear, ReluRule, WeightedSum, Window};
use msdcam::engine::graph::{Graph, NodeId, Op};
use msdcam::engine::plan::{Order, Plan, PlanOptions};
use msdcam::engine::tensor::Tensor;
use msdcam::{Model, Shape};

use super::text;
use crate::common::run;

const ALL: PlanOptions = PlanOptions::new(Order::Depth);
const NONE: PlanOptions = PlanOptions::unoptimized(Order::Depth);

/// Channel weights and map of Grad-CAM, appended to `graph`.
fn grad_cam(graph: &mut Graph, tap: NodeId, gradient: NodeId) -> [NodeId; 2] {
    let weights = graph.push(Op::SpatialMean, &[gradient]).unwrap();
    [weights, graph.push(Op::WeightedSum(WeightedSum { relu: true }), &[weights, tap]).unwrap()]
}

/// The outputs of `graph` with all passes and with none, which have to agree to a rounding.
fn both_ways(graph: &Graph, outputs: &[NodeId], inputs: &[&Tensor]) -> Vec<Vec<f32>> {
    let device = run::cpu(1, Isa::detect());
    let [all, none] = [ALL, NONE].map(|options| run::run_with(&device, graph, outputs, &options, inputs));
    for (all, none) in all.iter().zip(&none) {
        for (a, b) in all.data.iter().zip(&none.data) {
            assert!((a - b).abs() <= 1e-6 * b.abs(), "{a} with all passes, {b} with none");
        }
    }
    all.into_iter().map(|tensor| tensor.data).collect()
}

fn pooled_head() -> (Graph, [NodeId; 2]) {
    let mut graph = Graph::new();
    let tap = graph.push(Op::Input(Shape::new(2, 2, 2)), &[]).unwrap();
    let weight = graph.add_param("weight", &[1, 2], vec![2.0, -1.0]);
    let bias = graph.add_param("bias", &[1], vec![0.0]);
    let pool = AvgPool { window: Window::square(2, 2, 0), counted: [[0; 2]; 2] };
    let mean = graph.push(Op::AvgPool(pool), &[tap]).unwrap();
    let score = graph.push(Linear { weight, bias }, &[mean]).unwrap();
    let one = graph.push(Op::Input(Shape::vector(1)), &[]).unwrap();
    let gradient = gradients(&mut graph, score, one, &[tap], ReluRule::Plain).unwrap()[0];
    let outputs = grad_cam(&mut graph, tap, gradient);
    (graph, outputs)
}

#[test]
fn the_weights_behind_a_global_pooling_are_those_of_the_linear_layer() {
    let (graph, outputs) = pooled_head();
    let tap = Tensor::new(1, Shape::new(2, 2, 2), vec![1.0, 2.0, 3.0, 4.0, 0.0, 4.0, 4.0, 0.0]);
    let one = Tensor::new(1, Shape::vector(1), vec![1.0]);
    let found = both_ways(&graph, &outputs, &[&tap, &one]);
    assert_eq!(found, [vec![0.5, -0.25], vec![0.5, 0.0, 0.5, 2.0]]);
    let plans =
        [NONE, ALL].map(|options| Plan::with_options(&graph, &outputs, &options).unwrap().to_string());
    let page = text("docs/how-it-works.md");
    for plan in plans {
        assert!(page.contains(&plan), "not in docs/how-it-works.md:\n{plan}");
    }
}

#[test]
fn the_weights_at_a_convolution_are_sums_of_its_kernel() {
    let mut graph = Graph::new();
    let tap = graph.push(Op::Input(Shape::new(1, 3, 3)), &[]).unwrap();
    let weight = graph.add_param("weight", &[1, 1, 3, 3], (1..=9_u8).map(f32::from).collect::<Vec<_>>());
    let conv = Conv2d::new(&graph, weight, None, [2, 2], [1, 1]);
    let z = graph.push(conv, &[tap]).unwrap();
    let g = graph.push(Op::Input(Shape::new(1, 2, 2)), &[]).unwrap();
    let gradient = gradients(&mut graph, z, g, &[tap], ReluRule::Plain).unwrap()[0];
    let [weights, map] = grad_cam(&mut graph, tap, gradient);
    let tap = Tensor::new(1, Shape::new(1, 3, 3), vec![1.0; 9]);
    let g = Tensor::new(1, Shape::new(1, 2, 2), vec![1.0, 0.0, 2.0, -1.0]);
    let found = both_ways(&graph, &[weights, map, gradient], &[&tap, &g]);
    assert_eq!(found[0], [48.0 / 9.0]);
    assert_eq!(found[2], [5.0, 6.0, 0.0, 12.0, 14.0, -2.0, 10.0, 8.0, -5.0]);
    let plan = Plan::new(&graph, &[weights, map], Order::Depth).unwrap();
    let steps: Vec<&str> = plan.steps().map(|step| step.op().name()).collect();
    assert_eq!(steps, ["cam"]);
}

#[test]
fn the_built_in_network_takes_as_much_work_as_the_page_says() {
    let model = Model::pretrained().unwrap();
    let mut graph = model.graph.clone();
    let logits: Vec<NodeId> = model.exits.iter().map(|exit| exit.logits).collect();
    let alone = logits.iter().map(|&exit| Plan::new(&graph, &[exit], Order::Depth).unwrap().multiply_adds());
    assert_eq!(millions(alone.sum()), "636.0");
    let mut outputs = logits.clone();
    for (exit, &logits) in (1..).zip(&logits) {
        let tap = model.exit_tap(exit).node;
        let class = graph.push(Op::Input(Shape::vector(1)), &[]).unwrap();
        let one_hot = graph.push(Op::OneHot, &[logits, class]).unwrap();
        outputs.push(graph.push(Op::Softmax, &[logits]).unwrap());
        let gradient = gradients(&mut graph, logits, one_hot, &[tap], ReluRule::Plain).unwrap()[0];
        outputs.extend(grad_cam(&mut graph, tap, gradient));
    }
    let plan =
        |outputs: &[NodeId], options: &PlanOptions| Plan::with_options(&graph, outputs, options).unwrap();
    let (all, none) = (plan(&outputs, &ALL), plan(&outputs, &NONE));
    let work = [plan(&logits, &ALL).multiply_adds(), all.multiply_adds(), none.multiply_adds()];
    assert_eq!(work.map(millions), ["147.4", "154.8", "202.2"]);
    assert_eq!([none.steps().count(), all.steps().count()], [768, 176]);
    let results: usize = all.steps().map(|step| step.output().shape().len()).sum();
    assert_eq!([results, all.work_len()], [651_184, 179_712]);
}

fn millions(multiply_adds: u64) -> String {
    format!("{:.1}", multiply_adds as f64 / 1e6)
}
