//! The arena: the address of every buffer. Work buffers that are never live in the same level share
//! memory.

use std::collections::HashMap;

use super::placement::Placement;
use super::schedule::{ScheduledJob, Task};
use super::{Slot, Space};
use crate::engine::graph::{Graph, NodeId, Op};

/// Alignment of buffers in elements: 64 bytes, a cache line and an AVX-512 vector.
const ALIGNMENT: usize = 16;

/// The addresses of all values.
pub(super) struct Arena {
    /// For each node; `None` where no job computes it.
    slots: Vec<Option<Slot>>,
    /// For each requested output: its place in the output space.
    pub(super) outputs: Vec<Slot>,
    pub(super) input_len: usize,
    pub(super) work_len: usize,
    pub(super) output_len: usize,
}

impl Arena {
    /// The slot of the value of `id`.
    ///
    /// # Panics
    /// When no job computes it.
    pub(super) fn slot(&self, id: NodeId) -> Slot {
        self.slots[id.index()].expect("a value that is used has a slot")
    }
}

/// A buffer in the work or output space, and the first and last level that access it.
struct Lifetime {
    buffer: NodeId,
    len: usize,
    first: usize,
    last: usize,
}

/// Assigns an address to every value that `jobs` access and to every output.
pub(super) fn lay_out(
    graph: &Graph,
    placement: &Placement,
    outputs: &[NodeId],
    jobs: &[ScheduledJob],
) -> Arena {
    let (mut input_len, mut work_len, mut output_len) = (0, 0, 0);
    let mut buffers: HashMap<NodeId, (Space, usize)> = HashMap::new();
    for id in graph.ids().filter(|&id| matches!(graph.node(id).op, Op::Input(_))) {
        buffers.insert(id, (Space::Input, append(&mut input_len, graph.shape(id).len())));
    }
    let mut copies: HashMap<usize, Slot> = HashMap::new();
    for (index, id) in copied_outputs(jobs) {
        let shape = graph.shape(id);
        let offset = append(&mut output_len, shape.len());
        copies.insert(index, Slot { space: Space::Output, offset, shape });
    }
    let (returned, shared): (Vec<Lifetime>, Vec<Lifetime>) = lifetimes(graph, placement, jobs)
        .into_iter()
        .partition(|lifetime| placement.is_returned_in_place(lifetime.buffer));
    for Lifetime { buffer, len, .. } in returned {
        buffers.insert(buffer, (Space::Output, append(&mut output_len, len)));
    }
    for (buffer, offset) in share(shared, &mut work_len) {
        buffers.insert(buffer, (Space::Work, offset));
    }
    let slot = |id: NodeId| {
        let (buffer, start) = placement.of(id);
        let &(space, offset) = buffers.get(&buffer)?;
        Some(Slot { space, offset: offset + start, shape: graph.shape(id) })
    };
    let output = |(index, &id): (usize, &NodeId)| {
        copies.get(&index).copied().or_else(|| slot(id)).expect("an output is computed")
    };
    Arena {
        slots: graph.ids().map(slot).collect(),
        outputs: outputs.iter().enumerate().map(output).collect(),
        input_len,
        work_len,
        output_len,
    }
}

/// Reserves `len` elements at the end of a space and returns their offset.
fn append(end: &mut usize, len: usize) -> usize {
    let offset = *end;
    *end += len.next_multiple_of(ALIGNMENT);
    offset
}

/// The outputs that jobs copy: (index, node).
fn copied_outputs(jobs: &[ScheduledJob]) -> impl Iterator<Item = (usize, NodeId)> {
    let tasks = jobs.iter().flat_map(|job| &job.tasks);
    tasks.filter_map(
        |task| if let Task::CopyOutput { node, index } = *task { Some((index, node)) } else { None },
    )
}

/// Every buffer that a job writes, in the graph's order.
fn lifetimes(graph: &Graph, placement: &Placement, jobs: &[ScheduledJob]) -> Vec<Lifetime> {
    let mut spans: HashMap<NodeId, (usize, usize)> = HashMap::new();
    for job in jobs {
        for task in &job.tasks {
            let accessed = task.reads(graph).iter().copied().chain(task.writes());
            for id in accessed {
                let span = spans.entry(placement.of(id).0).or_insert((job.level, job.level));
                *span = (span.0.min(job.level), span.1.max(job.level));
            }
        }
    }
    spans.retain(|&id, _| !matches!(graph.node(id).op, Op::Input(_)));
    let mut lifetimes: Vec<Lifetime> = spans
        .into_iter()
        .map(|(buffer, (first, last))| Lifetime { buffer, len: graph.shape(buffer).len(), first, last })
        .collect();
    lifetimes.sort_by_key(|lifetime| lifetime.buffer);
    lifetimes
}

/// First fit, longest buffer first: each gets the lowest offset that is free during its lifetime.
fn share(mut buffers: Vec<Lifetime>, end: &mut usize) -> Vec<(NodeId, usize)> {
    buffers.sort_by_key(|lifetime| (std::cmp::Reverse(lifetime.len), lifetime.buffer));
    let mut placed: Vec<(Lifetime, usize)> = Vec::with_capacity(buffers.len());
    for new in buffers {
        let mut occupied: Vec<(usize, usize)> = placed
            .iter()
            .filter(|(old, _)| old.first <= new.last && new.first <= old.last)
            .map(|(old, offset)| (*offset, offset + old.len))
            .collect();
        occupied.sort_unstable();
        let mut offset = 0_usize;
        for (start, stop) in occupied {
            if offset + new.len <= start {
                break;
            }
            offset = offset.max(stop.next_multiple_of(ALIGNMENT));
        }
        *end = (*end).max((offset + new.len).next_multiple_of(ALIGNMENT));
        placed.push((new, offset));
    }
    placed.into_iter().map(|(lifetime, offset)| (lifetime.buffer, offset)).collect()
}
