//! CAM as it was first (Zhou et al. 2016, arXiv 1512.04150): the map is the sum of the tap's
//! channels times the class's own weights. It needs a head that pools the tap and reads the means
//! by one linear layer; MSD-Net's heads have two convolutions in between.

use crate::Result;
use crate::engine::graph::{Op, ParamId};
use crate::error::RequestError;
use crate::model::{Model, Tap};

/// The weight (classes, C) with which exit `exit` reads the means of `tap`.
///
/// # Errors
/// When the head is not of that kind: says what stands in between.
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
            op.window.kernel == [shape.h, shape.w]
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
