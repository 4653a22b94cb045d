//! Jobs divided into blocks, and what bounds the division.

use super::abi::{ChainRow, Mode};
use super::conv2d::Conv;

/// What a GPU has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) multiprocessors: usize,
    /// Bytes of dynamic shared memory of a block.
    pub(super) shared: usize,
}

/// Alignment of a stream's scratch memory in elements, for vectors of four.
const SCRATCH_ALIGNMENT: usize = 4;

/// Shared device memory that the launches of a level need: scratch elements and counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) scratch: usize,
    pub(super) counters: usize,
}

impl Needs {
    /// Makes room for `more` behind what there is, and returns where it starts.
    pub(super) fn append(&mut self, more: Needs) -> Needs {
        let start = *self;
        self.scratch += more.scratch.next_multiple_of(SCRATCH_ALIGNMENT);
        self.counters += more.counters;
        start
    }

    /// Memory that suffices for either, not for both at once.
    pub(super) fn max(self, other: Needs) -> Needs {
        Needs { scratch: self.scratch.max(other.scratch), counters: self.counters.max(other.counters) }
    }
}

/// A job divided into blocks.
pub(super) struct Cut {
    pub(super) kind: CutKind,
    pub(super) blocks: usize,
    /// Bytes of shared memory of a block.
    pub(super) shared: usize,
    /// Estimated cycles of a block.
    pub(super) cycles: usize,
}

/// The job itself.
pub(super) enum CutKind {
    Chain(ChainRow),
    /// A convolution, the kind of its tiles, and the first of its scratch elements and counters.
    Conv {
        conv: Box<Conv>,
        mode: Mode,
        scratch: usize,
        counter: usize,
    },
}
