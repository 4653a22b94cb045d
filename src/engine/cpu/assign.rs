//! List scheduling of a level's work: longest processing time first (Graham 1969).

use super::cost::QuarterCycles;
use super::kernel::Tile;

/// What one thread computes for one image without waiting for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WorkItem {
    /// All steps of a job: first and end among the plan's steps.
    Job(usize, usize),
    /// A tile of one step.
    Tile(usize, Tile),
}

/// What one thread computes in a level.
#[derive(Clone, Default)]
pub(crate) struct ThreadLoad {
    /// The sum over the items.
    pub(crate) cost: QuarterCycles,
    /// The items, in order.
    pub(crate) items: Vec<WorkItem>,
}

/// Assigns items with their costs: the most expensive first, each to the thread with the least load so far.
pub(crate) fn assign_lpt(
    items: impl Iterator<Item = (QuarterCycles, WorkItem)>,
    threads: usize,
) -> Vec<ThreadLoad> {
    let mut items: Vec<(QuarterCycles, WorkItem)> = items.collect();
    items.sort_by_key(|&(cost, _)| std::cmp::Reverse(cost));
    let mut loads = vec![ThreadLoad::default(); threads];
    for (cost, item) in items {
        let load = loads.iter_mut().min_by_key(|load| load.cost).expect("at least one thread");
        load.cost += cost;
        load.items.push(item);
    }
    loads
}
