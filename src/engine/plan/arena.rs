//! The arena: the address of every buffer. Values that are never live in the same level share memory;
//! outputs are live until the end of a run.

use std::collections::HashMap;
use std::ops::Range;

use super::branches::SLACK;
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
    /// Elements at its beginning that stay until the end of a run.
    returned: usize,
    first: usize,
    last: usize,
}

impl Lifetime {
    /// Its elements from `offset` on, in two parts: those that stay, and those that do not.
    fn at(&self, offset: usize) -> [Occupied; 2] {
        let (start, middle, end) = (offset, offset + self.returned, offset + self.len);
        let stay = Occupied { elements: start..middle, levels: self.first..usize::MAX };
        [stay, Occupied { elements: middle..end, levels: self.first..self.last + 1 }]
    }
}

/// Elements of a space, and the levels during which they hold a value.
struct Occupied {
    elements: Range<usize>,
    levels: Range<usize>,
}

/// Assigns an address to every value that `jobs`, whose branches are `branches`, access and to every output.
pub(super) fn lay_out(
    graph: &Graph,
    placement: &Placement,
    outputs: &[NodeId],
    jobs: &[ScheduledJob],
    branches: &[usize],
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
    let (returned, mut work): (Vec<Lifetime>, Vec<Lifetime>) = lifetimes(graph, placement, jobs, branches)
        .into_iter()
        .partition(|lifetime| placement.returned(lifetime.buffer).is_some());
    // In the graph's order: what does not stay of a buffer makes room for later ones.
    for (buffer, offset) in first_fit(&returned, &mut output_len) {
        buffers.insert(buffer, (Space::Output, offset));
    }
    // The longest first.
    work.sort_by_key(|lifetime| (std::cmp::Reverse(lifetime.len), lifetime.buffer));
    for (buffer, offset) in first_fit(&work, &mut work_len) {
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
fn lifetimes(
    graph: &Graph,
    placement: &Placement,
    jobs: &[ScheduledJob],
    branches: &[usize],
) -> Vec<Lifetime> {
    let mut spans: HashMap<NodeId, (usize, usize)> = HashMap::new();
    for (job, &branch) in jobs.iter().zip(branches) {
        let kept_until = job.level + if branch == 0 { 0 } else { SLACK };
        for task in &job.tasks {
            let accessed = task.reads(graph).iter().copied().chain(task.writes());
            for id in accessed {
                let buffer = placement.of(id).0;
                // Not in the output space, where it would make the download longer.
                let last = if placement.returned(buffer).is_some() { job.level } else { kept_until };
                let span = spans.entry(buffer).or_insert((job.level, job.level));
                *span = (span.0.min(job.level), span.1.max(last));
            }
        }
    }
    spans.retain(|&id, _| !matches!(graph.node(id).op, Op::Input(_)));
    let mut lifetimes: Vec<Lifetime> = spans
        .into_iter()
        .map(|(buffer, (first, last))| {
            let returned = placement.returned(buffer).unwrap_or(0);
            Lifetime { buffer, len: graph.shape(buffer).len(), returned, first, last }
        })
        .collect();
    lifetimes.sort_by_key(|lifetime| lifetime.buffer);
    lifetimes
}

/// First fit: each buffer gets the lowest offset, not before `end`, at which its elements are free during
/// their lifetime. `end` becomes the end of them all.
fn first_fit(buffers: &[Lifetime], end: &mut usize) -> Vec<(NodeId, usize)> {
    let start = *end;
    // In the order of their first elements, so that a search ends at the first that begins behind a buffer.
    let mut occupied: Vec<Occupied> = Vec::with_capacity(2 * buffers.len());
    let mut offsets = Vec::with_capacity(buffers.len());
    for buffer in buffers {
        let offset = lowest_free(&occupied, buffer, start);
        *end = (*end).max((offset + buffer.len).next_multiple_of(ALIGNMENT));
        for part in buffer.at(offset).into_iter().filter(|part| !part.elements.is_empty()) {
            let place = occupied.partition_point(|old| old.elements.start <= part.elements.start);
            occupied.insert(place, part);
        }
        offsets.push((buffer.buffer, offset));
    }
    offsets
}

/// The lowest offset of `buffer`, not before `start`, at which its parts are free during their lifetimes.
fn lowest_free(occupied: &[Occupied], buffer: &Lifetime, start: usize) -> usize {
    let mut offset = start;
    loop {
        let tried = offset;
        for new in buffer.at(0).iter().filter(|new| !new.elements.is_empty()) {
            for old in occupied {
                if old.elements.start >= offset + new.elements.end {
                    break;
                }
                let meet = old.levels.start < new.levels.end && new.levels.start < old.levels.end;
                if meet && old.elements.end > offset + new.elements.start {
                    offset = (old.elements.end - new.elements.start).next_multiple_of(ALIGNMENT);
                }
            }
        }
        // A part that moved may have moved another one into something.
        if offset == tried {
            return offset;
        }
    }
}
