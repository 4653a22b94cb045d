//! Where each buffer lies: values that are never alive in the same level share memory.

use std::collections::HashMap;

use super::placement::Placement;
use super::schedule::{Job, Task};
use super::{Slot, Space};
use crate::engine::graph::{Graph, NodeId, Op};

/// Buffers start at multiples of this many numbers (64 bytes: a cache line, an AVX-512 vector).
const ALIGNMENT: usize = 16;

/// The places of all buffers.
pub(super) struct Arena {
    buffers: HashMap<NodeId, (Space, usize)>,
    copied_outputs: HashMap<usize, usize>,
    pub(super) input_len: usize,
    pub(super) work_len: usize,
    pub(super) output_len: usize,
}

impl Arena {
    /// Where the value of `id` lies.
    pub(super) fn slot(&self, graph: &Graph, placement: &Placement, id: NodeId) -> Slot {
        let (buffer, start) = placement.of(id);
        let (space, offset) = self.buffers[&buffer];
        Slot { space, offset: offset + start, shape: graph.shape(id) }
    }

    /// Where output number `number`, the value of `id`, is given back.
    pub(super) fn output(&self, graph: &Graph, placement: &Placement, number: usize, id: NodeId) -> Slot {
        match self.copied_outputs.get(&number) {
            Some(&offset) => Slot { space: Space::Output, offset, shape: graph.shape(id) },
            None => self.slot(graph, placement, id),
        }
    }

    /// The place of an output that is copied out.
    pub(super) fn copied_output(&self, number: usize) -> usize {
        self.copied_outputs[&number]
    }
}

/// A buffer in the work space and the levels in which it is alive.
struct Alive {
    buffer: NodeId,
    len: usize,
    first: usize,
    last: usize,
}

pub(super) fn lay_out(graph: &Graph, placement: &Placement, jobs: &[Job]) -> Arena {
    let mut arena = Arena {
        buffers: HashMap::new(),
        copied_outputs: HashMap::new(),
        input_len: 0,
        work_len: 0,
        output_len: 0,
    };
    for id in graph.ids().filter(|&id| matches!(graph.node(id).op, Op::Input(_))) {
        arena.buffers.insert(id, (Space::Input, append(&mut arena.input_len, graph.shape(id).len())));
    }
    let alive = lifetimes(graph, placement, jobs);
    for &(number, id) in &output_copies(jobs) {
        let offset = append(&mut arena.output_len, graph.shape(id).len());
        arena.copied_outputs.insert(number, offset);
    }
    let (given_back, shared): (Vec<Alive>, Vec<Alive>) =
        alive.into_iter().partition(|a| placement.is_given_back(a.buffer));
    for a in given_back {
        let offset = append(&mut arena.output_len, a.len);
        arena.buffers.insert(a.buffer, (Space::Output, offset));
    }
    for (buffer, offset) in share(shared, &mut arena.work_len) {
        arena.buffers.insert(buffer, (Space::Work, offset));
    }
    arena
}

/// Reserves `len` numbers at the end of a space.
fn append(end: &mut usize, len: usize) -> usize {
    let offset = *end;
    *end += len.next_multiple_of(ALIGNMENT);
    offset
}

fn output_copies(jobs: &[Job]) -> Vec<(usize, NodeId)> {
    let tasks = jobs.iter().flat_map(|job| &job.tasks);
    tasks
        .filter_map(|task| if let Task::CopyOutput(id, number) = *task { Some((number, id)) } else { None })
        .collect()
}

/// Every buffer that a job writes, in the graph's order.
fn lifetimes(graph: &Graph, placement: &Placement, jobs: &[Job]) -> Vec<Alive> {
    let mut spans: HashMap<NodeId, (usize, usize)> = HashMap::new();
    for job in jobs {
        for task in &job.tasks {
            let touched = task.reads(graph).iter().copied().chain(task.writes());
            for id in touched {
                let span = spans.entry(placement.of(id).0).or_insert((job.level, job.level));
                *span = (span.0.min(job.level), span.1.max(job.level));
            }
        }
    }
    spans.retain(|&id, _| !matches!(graph.node(id).op, Op::Input(_)));
    let mut alive: Vec<Alive> = spans
        .into_iter()
        .map(|(buffer, (first, last))| Alive { buffer, len: graph.shape(buffer).len(), first, last })
        .collect();
    alive.sort_by_key(|a| a.buffer);
    alive
}

/// First fit, longest buffer first: each goes to the lowest place that is free while it is alive.
fn share(mut buffers: Vec<Alive>, end: &mut usize) -> Vec<(NodeId, usize)> {
    buffers.sort_by_key(|a| (std::cmp::Reverse(a.len), a.buffer));
    let mut placed: Vec<(Alive, usize)> = Vec::with_capacity(buffers.len());
    for new in buffers {
        let mut rivals: Vec<(usize, usize)> = placed
            .iter()
            .filter(|(old, _)| old.first <= new.last && new.first <= old.last)
            .map(|(old, offset)| (*offset, offset + old.len))
            .collect();
        rivals.sort_unstable();
        let mut offset = 0_usize;
        for (start, stop) in rivals {
            if offset + new.len <= start {
                break;
            }
            offset = offset.max(stop.next_multiple_of(ALIGNMENT));
        }
        *end = (*end).max((offset + new.len).next_multiple_of(ALIGNMENT));
        placed.push((new, offset));
    }
    placed.into_iter().map(|(a, offset)| (a.buffer, offset)).collect()
}
