//! The original CAM (Zhou et al. 2016, arXiv 1512.04150): the sum of the tap's channels, weighted by
//! the class's weights in the linear layer. It needs a head of global average pooling and one linear
//! layer; a head with convolutions does not qualify.

use crate::Result;
use crate::engine::graph::{Op, ParamId};
use crate::error::RequestError;
use crate::model::{Model, Tap};

/// The weight (classes, C) of the linear layer by which exit `exit` reads the channel means of `tap`.
///
/// # Errors
/// When the head has other layers: the message counts the convolutions.
pub(crate) fn class_weights(model: &Model, exit: usize, tap: &Tap) -> Result<ParamId> {
    let graph = &model.graph;
    let mut between = Vec::new();
    let mut node = graph.node(model.exits[exit - 1].logits);
    let mut linear = None;
    loop {
        match &node.op {
            Op::Linear(op) if linear.is_none() => linear = Some(op.weight),
            op => between.push(op),
        }
        let Some(&before) = node.inputs.first() else { break };
        if before == tap.node {
            break;
        }
        node = graph.node(before);
    }
    let pools_whole = |op: &Op| match op {
        Op::SpatialMean => true,
        Op::AvgPool(op) => {
            let shape = graph.shape(tap.node);
            op.window.kernel == [shape.h, shape.w] && op.window.padding == [[0; 2]; 2]
        }
        _ => false,
    };
    match (linear, between.as_slice()) {
        (Some(weight), [pool]) if pools_whole(pool) => Ok(weight),
        _ => {
            let convolutions = between.iter().filter(|op| matches!(op, Op::Conv2d(_))).count();
            Err(RequestError::HeadNotLinear { exit, tap: tap.name.clone(), convolutions }.into())
        }
    }
}
