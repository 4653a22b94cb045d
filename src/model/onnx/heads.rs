//! Exits and their taps, found in a graph.

use crate::engine::graph::{Graph, NodeId, Op};

/// The tap of each exit, given their `logits` by depth: the feature map at which the exit's head branches off.
///
/// The front of an exit is the deepest feature map from which its logits follow through values of one pixel. Its tap is the
/// last value that everything between the input and the front passes and that the next exit also needs. No exit is
/// deeper than the last: its tap lies before its front by as many steps as that of the exit before does, if these steps
/// are the same ones; otherwise it is the front. Where the front has a channel for each class and is only averaged, the
/// tap is what the convolution that makes it reads.
pub fn taps(graph: &Graph, input: NodeId, logits: &[NodeId]) -> Vec<NodeId> {
    let fronts: Vec<NodeId> = logits.iter().map(|&logits| front(graph, input, logits)).collect();
    let mut taps: Vec<NodeId> = Vec::new();
    for (exit, &front) in fronts.iter().enumerate() {
        let tap = match fronts.get(exit + 1) {
            Some(&deeper) => {
                let needed = graph.ancestors(&[deeper]);
                let shared = separators(graph, input, front).into_iter().rev().find(|id| needed[id.index()]);
                shared.filter(|&id| is_map(graph, id)).unwrap_or(front)
            }
            None if exit > 0 => same_steps(graph, (taps[exit - 1], fronts[exit - 1]), front).unwrap_or(front),
            None => front,
        };
        taps.push(before_class_maps(graph, tap, logits[exit]));
    }
    taps
}

/// Whether the value has more than one pixel.
fn is_map(graph: &Graph, id: NodeId) -> bool {
    graph.shape(id).plane() > 1
}

/// The deepest feature map from which `logits` follow through values of one pixel; the input if there is none.
fn front(graph: &Graph, input: NodeId, logits: NodeId) -> NodeId {
    let (mut open, mut seen) = (vec![logits], vec![false; graph.nodes().len()]);
    let mut deepest = input;
    while let Some(id) = open.pop() {
        if std::mem::replace(&mut seen[id.index()], true) {
            continue;
        }
        if is_map(graph, id) {
            deepest = deepest.max(id);
        } else {
            open.extend(&graph.node(id).inputs);
        }
    }
    deepest
}

/// The nodes that every path from `input` to `end` passes, both included, from the input on.
fn separators(graph: &Graph, input: NodeId, end: NodeId) -> Vec<NodeId> {
    let needed = graph.ancestors(&[end]);
    let inside = || graph.ids().filter(|id| needed[id.index()] && *id >= input);
    // Nodes are in topological order, so each edge leads forward.
    let mut last_reader: Vec<NodeId> = graph.ids().collect();
    for reader in inside() {
        graph.node(reader).inputs.iter().for_each(|read| last_reader[read.index()] = reader);
    }
    let mut found = Vec::new();
    // The furthest node that an edge from before reaches.
    let mut reach = input;
    for id in inside() {
        if id >= reach {
            found.push(id);
        }
        reach = reach.max(last_reader[id.index()]);
    }
    found
}

/// The node that lies before `front` by the steps by which `tap` lies before the other exit's front; `None` unless these
/// steps are the same.
fn same_steps(graph: &Graph, (tap, other_front): (NodeId, NodeId), front: NodeId) -> Option<NodeId> {
    let (mut other, mut own) = (other_front, front);
    while other != tap {
        let (a, b) = (graph.node(other), graph.node(own));
        let is_same = step(&a.op) == step(&b.op) && a.inputs.len() == b.inputs.len();
        if !is_same || a.inputs.len() != 1 {
            return None;
        }
        (other, own) = (a.inputs[0], b.inputs[0]);
    }
    is_map(graph, own).then_some(own)
}

/// What two steps of heads have in common: the op and its window, not the channels.
fn step(op: &Op) -> (&'static str, Option<crate::engine::graph::ops::Window>) {
    let window = match op {
        Op::Conv2d(op) => Some(op.window),
        Op::MaxPool(op) => Some(op.window),
        Op::AvgPool(op) => Some(op.window),
        _ => None,
    };
    (op.name(), window)
}

/// `tap`, or if it has a channel for each class and its mean is the logits, what the convolution that makes it reads.
fn before_class_maps(graph: &Graph, tap: NodeId, logits: NodeId) -> NodeId {
    if graph.shape(tap).c != graph.shape(logits).c {
        return tap;
    }
    // From the logits back to the map: a mean, and nothing else that has parameters.
    let mut id = logits;
    while id != tap {
        let node = graph.node(id);
        let is_plain = matches!(node.op, Op::AvgPool(_) | Op::Slice(_) | Op::Copy) || is_activation(&node.op);
        match node.inputs[..] {
            [input] if is_plain => id = input,
            _ => return tap,
        }
    }
    let mut id = tap;
    loop {
        let node = graph.node(id);
        match (&node.op, &node.inputs[..]) {
            (op, [input]) if is_activation(op) || matches!(op, Op::BatchNorm(_)) => id = *input,
            (Op::Conv2d(conv), [input]) if conv.window.area() == 1 && is_map(graph, *input) => return *input,
            _ => return tap,
        }
    }
}

/// Whether `op` is a function of each element of a value.
fn is_activation(op: &Op) -> bool {
    matches!(op, Op::Relu(_) | Op::Activation(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::engine::graph::ops::{Activation, AvgPool, Conv2d, Linear, MaxPool, Window};

    struct Net {
        graph: Graph,
        input: NodeId,
    }

    impl Net {
        fn new() -> Net {
            let mut graph = Graph::new();
            let input = graph.push(Op::Input(Shape::new(3, 8, 8)), &[]).unwrap();
            Net { graph, input }
        }

        fn conv(&mut self, input: NodeId, out: usize) -> NodeId {
            self.conv_with(Op::RELU, input, out)
        }

        fn conv_with(&mut self, activation: impl Into<Op>, input: NodeId, out: usize) -> NodeId {
            let channels = self.graph.shape(input).c;
            let weight = self.graph.declare_param("w", &[out, channels, 1, 1]);
            let conv = Conv2d {
                weight,
                bias: None,
                out,
                channels,
                groups: 1,
                window: Window::square(1, 1, 0),
                residual: false,
                relu: None,
            };
            let conv = self.graph.push(conv, &[input]).unwrap();
            self.graph.push(activation, &[conv]).unwrap()
        }

        /// Squeeze and excitation: a gate of the map's own means.
        fn gated(&mut self, map: NodeId) -> NodeId {
            let channels = self.graph.shape(map).c;
            let mean = self.mean(map);
            let squeezed = self.conv_with(Activation::Silu, mean, 2);
            let gate = self.conv_with(Activation::Sigmoid, squeezed, channels);
            self.graph.push(Op::Mul, &[map, gate]).unwrap()
        }

        fn linear(&mut self, input: NodeId) -> NodeId {
            let inputs = self.graph.shape(input).len();
            let (weight, bias) =
                (self.graph.declare_param("l", &[5, inputs]), self.graph.declare_param("b", &[5]));
            self.graph.push(Linear { weight, bias }, &[input]).unwrap()
        }

        fn mean(&mut self, input: NodeId) -> NodeId {
            let Shape { h, w, .. } = self.graph.shape(input);
            let window = Window { kernel: [h, w], ..Window::square(1, 1, 0) };
            self.graph.push(AvgPool { window, counted: [[0; 2]; 2] }, &[input]).unwrap()
        }
    }

    #[test]
    fn heads_with_convolutions_begin_where_the_trunk_goes_on() {
        let mut net = Net::new();
        let first = net.conv(net.input, 6);
        let pool = Op::MaxPool(MaxPool { window: Window::square(2, 2, 0) });
        let head = |net: &mut Net, tap| {
            let conv = net.conv(tap, 4);
            let pooled = net.graph.push(pool.clone(), &[conv]).unwrap();
            let mean = net.mean(pooled);
            net.linear(mean)
        };
        let one = head(&mut net, first);
        let second = net.conv(first, 7);
        let two = head(&mut net, second);
        assert_eq!(taps(&net.graph, net.input, &[one, two]), [first, second]);
    }

    #[test]
    fn a_head_that_reads_other_logits_begins_at_its_own_map() {
        let mut net = Net::new();
        let first = net.conv(net.input, 6);
        let mean = net.mean(first);
        let one = net.linear(mean);
        let second = net.conv(first, 7);
        let mean = net.mean(second);
        let joined = net.graph.push(Op::Concat, &[mean, one]).unwrap();
        let two = net.linear(joined);
        assert_eq!(taps(&net.graph, net.input, &[one, two]), [first, second]);
    }

    #[test]
    fn the_tap_of_averaged_class_maps_is_before_the_last_convolution() {
        let mut net = Net::new();
        let features = net.conv(net.input, 6);
        let classes = net.conv(features, 5);
        let logits = net.mean(classes);
        assert_eq!(taps(&net.graph, net.input, &[logits]), [features]);
        let features = net.conv(net.input, 5);
        let mean = net.mean(features);
        let logits = net.linear(mean);
        assert_eq!(taps(&net.graph, net.input, &[logits]), [features]);
    }

    #[test]
    fn a_residual_block_is_not_divided() {
        let mut net = Net::new();
        let first = net.conv(net.input, 6);
        let branch = net.conv(first, 6);
        let sum = net.graph.push(Op::Add, &[branch, first]).unwrap();
        let one = {
            let mean = net.mean(sum);
            net.linear(mean)
        };
        let last = net.conv(sum, 6);
        let two = {
            let mean = net.mean(last);
            net.linear(mean)
        };
        assert_eq!(taps(&net.graph, net.input, &[one, two]), [sum, last]);
    }

    #[test]
    fn gates_of_one_pixel_are_no_heads() {
        let mut net = Net::new();
        let stem = net.conv_with(Activation::HardSwish, net.input, 6);
        // MobileNet v3: the gate, then a projection, then the last convolution and its activation.
        let block = net.gated(stem);
        let last = net.conv_with(Activation::HardSwish, block, 8);
        let mean = net.mean(last);
        let hidden = net.linear(mean);
        let hidden = net.graph.push(Activation::HardSwish, &[hidden]).unwrap();
        let logits = net.linear(hidden);
        assert_eq!(taps(&net.graph, net.input, &[logits]), [last]);
        // A gated map that is averaged itself, as in SE-ResNet: the sum behind it.
        let sum = net.gated(block);
        let sum = net.graph.push(Op::Add, &[sum, block]).unwrap();
        let mean = net.mean(sum);
        let logits = net.linear(mean);
        assert_eq!(taps(&net.graph, net.input, &[logits]), [sum]);
        // A gate on the averages of the last map reads that map too.
        let vector = net.mean(last);
        let vector = net.gated(vector);
        let logits = net.linear(vector);
        assert_eq!(taps(&net.graph, net.input, &[logits]), [last]);
    }

    #[test]
    fn heads_behind_gated_blocks_begin_where_the_trunk_goes_on() {
        let mut net = Net::new();
        let first = net.conv(net.input, 6);
        let first = net.gated(first);
        let head = |net: &mut Net, tap| {
            let conv = net.conv_with(Activation::Silu, tap, 4);
            let mean = net.mean(conv);
            net.linear(mean)
        };
        let one = head(&mut net, first);
        let second = net.conv(first, 7);
        let second = net.gated(second);
        let two = head(&mut net, second);
        assert_eq!(taps(&net.graph, net.input, &[one, two]), [first, second]);
    }

    #[test]
    fn class_maps_may_have_any_activation() {
        let mut net = Net::new();
        let features = net.conv(net.input, 6);
        let classes = net.conv_with(Activation::LeakyRelu { slope: 0.1 }, features, 5);
        let logits = net.mean(classes);
        assert_eq!(taps(&net.graph, net.input, &[logits]), [features]);
    }
}
