//! Groups of layers: the unit in which a model's parameters can be replaced.

use std::sync::Arc;

use super::Model;
use crate::engine::graph::{Op, ParamId};
use crate::util::rng::{Normal, mix};

/// A group of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerGroup {
    /// The head of an exit, numbered from 1.
    Head(usize),
    /// The trunk's layers between the previous exit and this one, numbered from 1.
    Block(usize),
}

impl LayerGroup {
    /// `head 3`, `block 2`.
    pub fn name(self) -> String {
        match self {
            LayerGroup::Head(exit) => format!("head {exit}"),
            LayerGroup::Block(block) => format!("block {block}"),
        }
    }

    /// The groups on which the logits of exit `exit` depend, from its head down to the first block:
    /// the order of the cascading randomization (Adebayo et al. 2018, arXiv 1810.03292, section 3).
    pub fn cascade(exit: usize) -> impl Iterator<Item = LayerGroup> {
        std::iter::once(LayerGroup::Head(exit)).chain((1..=exit).rev().map(LayerGroup::Block))
    }
}

/// A layer's parameters and how they are drawn.
struct Layer {
    weight: ParamId,
    bias: Option<ParamId>,
    /// Elements that one output element sums over; `None` for a batch norm.
    fan_in: Option<usize>,
    /// Running mean and variance of a batch norm.
    statistics: Option<[ParamId; 2]>,
}

impl Model {
    /// This model with the layers of `groups` replaced by random ones: convolutions and linear
    /// layers normal with variance 2 / fan-in (He et al. 2015, arXiv 1502.01852), which keeps the
    /// magnitude of the activations; biases 0; batch norms as before training. A parameter's
    /// elements depend on `seed` and its name alone, so that larger sets of groups extend smaller
    /// ones. Parameters that share their elements still do. Constants of the architecture stay: bounds of activations,
    /// other scalars, the normalization of the image.
    ///
    /// # Panics
    /// When the model's graph lacks the node of a tap or of an exit, or an exit's tap is not one of the model's.
    pub fn reinitialized(&self, groups: &[LayerGroup], seed: u64) -> Model {
        let mut model = self.clone();
        for (group, layer) in self.layers() {
            if !groups.contains(&group) {
                continue;
            }
            let statistics = layer.statistics.into_iter().flatten();
            for id in [layer.weight].into_iter().chain(layer.bias).chain(statistics) {
                let param = self.graph.param(id);
                // A shared parameter is drawn under the name of the first that has its elements.
                let first = self.graph.params().iter().find(|p| p.data.is_same(&param.data));
                let name = &first.unwrap_or(param).name;
                let is_weight = id == layer.weight;
                let one = layer.statistics.is_some_and(|[_, variance]| id == variance);
                let data: Arc<[f32]> = match layer.fan_in {
                    Some(fan_in) if is_weight => normal(name, param.data.len(), fan_in, seed),
                    Some(_) => vec![0.0; param.data.len()].into(),
                    None => vec![if is_weight || one { 1.0 } else { 0.0 }; param.data.len()].into(),
                };
                model.graph.set_param(id, data.into());
            }
        }
        model
    }

    /// Every layer with parameters, and its group. A head is what depends on its exit's tap and on
    /// which no tap depends.
    fn layers(&self) -> Vec<(LayerGroup, Layer)> {
        let graph = &self.graph;
        let taps: Vec<_> = self.exits.iter().map(|exit| self.taps[exit.tap].node).collect();
        let in_trunk = graph.ancestors(&taps);
        let heads: Vec<Vec<bool>> = self.exits.iter().map(|exit| graph.ancestors(&[exit.logits])).collect();
        let mut layers = Vec::new();
        for id in graph.ids() {
            let layer = match &graph.node(id).op {
                Op::Conv2d(op) => {
                    let fan_in = op.channels / op.groups * op.window.kernel[0] * op.window.kernel[1];
                    Layer { weight: op.weight, bias: op.bias, fan_in: Some(fan_in), statistics: None }
                }
                Op::Linear(op) => {
                    let fan_in = graph.param(op.weight).dims[1];
                    Layer { weight: op.weight, bias: Some(op.bias), fan_in: Some(fan_in), statistics: None }
                }
                Op::BatchNorm(op) => Layer {
                    weight: op.weight,
                    bias: Some(op.bias),
                    fan_in: None,
                    statistics: Some([op.mean, op.variance]),
                },
                _ => continue,
            };
            if graph.param(layer.weight).is_fixed {
                continue;
            }
            let exit = match graph.node(id).exit {
                // Without exits assigned by the builder: the first exit that needs the node.
                0 => heads.iter().position(|head| head[id.index()]).map_or(1, |first| first + 1),
                exit => exit,
            };
            let in_head = !in_trunk[id.index()] && heads.get(exit - 1).is_some_and(|head| head[id.index()]);
            let group = if in_head { LayerGroup::Head(exit) } else { LayerGroup::Block(exit) };
            layers.push((group, layer));
        }
        layers
    }
}

fn normal(name: &str, len: usize, fan_in: usize, seed: u64) -> Arc<[f32]> {
    let deviation = (2.0 / fan_in as f64).sqrt();
    // FNV-1a.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut normal = Normal::new(mix(seed ^ mix(hash)));
    (0..len).map(|_| (deviation * normal.next()) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cascade_runs_from_the_head_to_the_first_block() {
        let names: Vec<String> = LayerGroup::cascade(2).map(LayerGroup::name).collect();
        assert_eq!(names, ["head 2", "block 2", "block 1"]);
    }

    #[test]
    fn only_the_given_groups_are_reinitialized_and_the_seed_counts() {
        let trained = Model::pretrained().unwrap();
        let changed = |groups: &[LayerGroup], seed: u64| -> Vec<String> {
            let random = trained.reinitialized(groups, seed);
            let pairs = random.graph.params().iter().zip(trained.graph.params());
            pairs
                .filter(|(random, trained)| random.data != trained.data)
                .map(|(p, _)| p.name.clone())
                .collect()
        };
        assert!(changed(&[], 0).is_empty());
        let head = changed(&[LayerGroup::Head(2)], 0);
        let exits = trained.exits.len();
        assert!(!head.is_empty());
        assert!(head.iter().all(|name| name.starts_with(&format!("subnets.{}.", exits + 1))), "{head:?}");
        let block = changed(&[LayerGroup::Block(3)], 0);
        assert!(!block.is_empty() && block.iter().all(|name| name.starts_with("subnets.2.")), "{block:?}");
        assert_eq!(changed(&[LayerGroup::Head(2), LayerGroup::Block(3)], 0).len(), head.len() + block.len());
        let params = |seed| -> Vec<_> {
            let random = trained.reinitialized(&[LayerGroup::Head(1)], seed);
            random.graph.params().iter().map(|p| p.data.clone()).collect()
        };
        assert!(params(1) == params(1) && params(1) != params(2));
    }

    #[test]
    fn a_graph_s_layers_belong_to_the_block_and_the_head_of_its_exit() {
        use crate::engine::graph::Graph;
        use crate::engine::graph::ops::{Conv2d, Linear};
        let mut graph = Graph::new();
        let input = graph.push(Op::Input(crate::Shape::new(3, 2, 2)), &[]).unwrap();
        let weight = graph.add_param("conv", &[2, 3, 1, 1], vec![1.0; 6]);
        let conv = Conv2d::new(&graph, weight, None, [1, 1], [0, 0]);
        let tap = graph.push(conv, &[input]).unwrap();
        let mean = graph.push(Op::SpatialMean, &[tap]).unwrap();
        let weight = graph.add_param("linear", &[2, 2], vec![1.0; 4]);
        let bias = graph.add_param("bias", &[2], vec![1.0; 2]);
        let logits = graph.push(Linear { weight, bias }, &[mean]).unwrap();
        let model = Model::from_graph(graph, input, &[(tap, logits)]).unwrap();
        let changed = |group| -> Vec<bool> {
            let random = model.reinitialized(&[group], 3);
            random.graph.params().iter().zip(model.graph.params()).map(|(a, b)| a.data != b.data).collect()
        };
        assert_eq!(changed(LayerGroup::Block(1)), [true, false, false]);
        assert_eq!(changed(LayerGroup::Head(1)), [false, true, true]);
    }
}
