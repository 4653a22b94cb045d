//! Options of a plan: the order of independent work, and the optimizations.

use crate::engine::graph::passes::Passes;

/// Order in which independent work is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Every job as early as its inputs allow: the fewest levels. An exit's head runs beside the next
    /// block.
    #[default]
    Depth,
    /// All jobs of exit k before those of exit k + 1, so that a run that stops at exit k has computed
    /// nothing for later exits.
    ByExit,
}

/// Order and optimizations of a plan. Tests switch single optimizations off to compare results and
/// costs.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanOptions {
    /// Order of independent work.
    pub order: Order,
    /// Rewrites of the graph.
    pub passes: Passes,
    /// Writing the parts of a concat in place, instead of copying them.
    pub in_place_concat: bool,
    /// Running small dependent steps one after another as one job, instead of one per level.
    pub chain_small_steps: bool,
}

impl PlanOptions {
    /// All optimizations.
    pub const fn new(order: Order) -> PlanOptions {
        PlanOptions { order, passes: Passes::ALL, in_place_concat: true, chain_small_steps: true }
    }

    /// No optimization: one job with one step for each node.
    pub const fn unoptimized(order: Order) -> PlanOptions {
        PlanOptions { order, passes: Passes::NONE, in_place_concat: false, chain_small_steps: false }
    }
}
