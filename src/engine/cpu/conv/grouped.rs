//! Convolution in groups of several channels, and its gradient: one dense convolution for each group, between the
//! group's channels of the input and of the result, which are contiguous.

use crate::engine::cpu::cost::QuarterCycles;
use crate::engine::cpu::kernel::{Kernel, Operands, Tile, channel_share};
use crate::engine::plan::Step;

/// The kernels of all groups; a tile's groups are these groups.
pub(crate) struct GroupedKernel {
    /// Each with its step.
    groups: Vec<(Step, Box<dyn Kernel>)>,
}

impl GroupedKernel {
    /// A kernel that runs those of `groups`.
    pub(crate) fn new(groups: Vec<(Step, Box<dyn Kernel>)>) -> GroupedKernel {
        GroupedKernel { groups }
    }

    fn whole(&self) -> Tile {
        Tile { groups: 0..self.groups.len(), pixels: 0..1 }
    }
}

impl Kernel for GroupedKernel {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        let groups = tile.map_or(0..self.groups.len(), |tile| tile.groups.clone());
        self.groups[groups].iter().map(|(_, kernel)| kernel.cost(None)).sum()
    }

    fn elements(&self, tile: Option<&Tile>, all: usize) -> usize {
        channel_share(all, tile, self.groups.len())
    }

    fn scratch_len(&self) -> usize {
        self.groups.iter().map(|(_, kernel)| kernel.scratch_len()).max().unwrap_or(0)
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        self.whole().cut(1, max, |tile| self.cost(Some(tile)))
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        let groups = tile.map_or(0..self.groups.len(), |tile| tile.groups.clone());
        for (step, kernel) in &self.groups[groups] {
            let operands = Operands { step, ..*operands };
            // SAFETY: the step is the part of the whole one that the kernel was made for: its slots are inside those of
            // the whole step, for which the caller promises what is needed.
            unsafe { kernel.run(None, &operands) };
        }
    }
}
