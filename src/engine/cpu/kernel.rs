//! Kernel: the algorithm of one step, with its weights packed for one instruction set.

use std::ops::Range;
use std::sync::atomic::AtomicUsize;

use super::cost;
use super::cost::QuarterCycles;
use super::memory::SessionMemory;
use crate::Shape;
use crate::engine::plan::Step;

/// A part of a step's output that one thread computes: some channel groups of some pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Groups of output channels; the kernel decides how many channels a group has.
    pub(crate) groups: Range<usize>,
    /// Output pixels, in row order.
    pub(crate) pixels: Range<usize>,
}

impl Tile {
    /// At most `max` tiles that make up this one, which begins at pixel 0 and group 0: some pixels of all
    /// channels, in multiples of `pixel_step`, or all pixels of some channels, whichever has the cheaper
    /// most expensive tile.
    pub(crate) fn cut(
        &self,
        pixel_step: usize,
        max: usize,
        cost: impl Fn(&Tile) -> QuarterCycles,
    ) -> Vec<Tile> {
        let by_pixels = cut(self.pixels.len(), pixel_step, max).into_iter();
        let by_pixels: Vec<Tile> = by_pixels.map(|pixels| Tile { pixels, ..self.clone() }).collect();
        let by_groups = cut(self.groups.len(), 1, max).into_iter();
        let by_groups: Vec<Tile> = by_groups.map(|groups| Tile { groups, ..self.clone() }).collect();
        let longest = |tiles: &[Tile]| tiles.iter().map(&cost).max();
        if longest(&by_groups) < longest(&by_pixels) { by_groups } else { by_pixels }
    }

    /// At most `max` tiles of whole channels; a group is one channel.
    pub(crate) fn by_channel(output: Shape, max: usize) -> Vec<Tile> {
        let pixels = 0..output.plane();
        cut(output.c, 1, max).into_iter().map(|groups| Tile { groups, pixels: pixels.clone() }).collect()
    }
}

/// Cuts `total` into at most `max` ranges whose ends are multiples of `step`.
fn cut(total: usize, step: usize, max: usize) -> Vec<Range<usize>> {
    let steps = total.div_ceil(step);
    let count = max.min(steps).max(1);
    (0..count).map(|i| (steps * i / count) * step..(steps * (i + 1) / count * step).min(total)).collect()
}

/// The share of `cost` that falls to `tile` of a step that is cut into tiles of whole channels.
pub(crate) fn channel_share(cost: QuarterCycles, tile: Option<&Tile>, channels: usize) -> QuarterCycles {
    tile.map_or(cost, |tile| cost * tile.groups.len() / channels)
}

/// The algorithm of one step: how long it takes, how it is cut, and how it runs.
///
/// A tile of `None` is the whole step.
pub(crate) trait Kernel: Send + Sync {
    /// Estimated time of a tile, without what [`step_cost`] adds for every step.
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles;

    /// Of `all` elements that the step reads and writes, those of a tile.
    fn elements(&self, tile: Option<&Tile>, all: usize) -> usize {
        let _ = tile;
        all
    }

    /// Floats of scratch that a run needs.
    fn scratch_len(&self) -> usize {
        0
    }

    /// The step cut into at most `max` tiles; empty where it cannot be cut.
    fn tiles(&self, max: usize) -> Vec<Tile> {
        let _ = max;
        Vec::new()
    }

    /// Computes a tile for one image.
    ///
    /// # Safety
    /// `operands` belong to the step that the kernel was made for, on a CPU with its instruction set. The
    /// inputs have been written, and the input space and the work space are readable
    /// [`OVERREAD`](super::gemm::OVERREAD) floats beyond both ends. The scratch has
    /// [`Kernel::scratch_len`] floats, is readable as far beyond its end, and is this thread's. Meanwhile no other thread writes an input, or
    /// touches the tile's part of the output. The tiles of one run make up the whole step.
    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands);
}

/// Estimated time of a tile of `step`: the kernel's, and what every step costs.
pub(crate) fn step_cost(step: &Step, kernel: &dyn Kernel, tile: Option<&Tile>) -> QuarterCycles {
    let read: usize = step.inputs.iter().map(|slot| slot.shape.len()).sum();
    let elements = kernel.elements(tile, read + step.output.shape.len());
    cost::STEP + kernel.cost(tile) + cost::elements(elements)
}

/// Where a kernel finds a step's operands for one image.
pub(crate) struct Operands<'a> {
    pub(crate) step: &'a Step,
    pub(crate) memory: &'a SessionMemory,
    pub(crate) image: usize,
    pub(crate) scratch: *mut f32,
    /// Of the step's output channels, how many the tiles of this run have completed; zero between runs.
    pub(crate) channels_done: &'a AtomicUsize,
}

impl<'a> Operands<'a> {
    /// The first element of input `index`.
    pub(crate) fn input(&self, index: usize) -> *const f32 {
        self.memory.slot(self.image, &self.step.inputs[index]).cast_const()
    }

    /// The first element of the optional input `index`.
    pub(crate) fn optional_input(&self, index: usize) -> Option<*const f32> {
        (index < self.step.inputs.len()).then(|| self.input(index))
    }

    /// The first element of the output.
    pub(crate) fn output(&self) -> *mut f32 {
        self.memory.slot(self.image, &self.step.output)
    }

    /// Input `index` as a slice.
    ///
    /// # Safety
    /// The input has been written, and no thread writes it while the slice lives.
    pub(crate) unsafe fn input_slice(&self, index: usize) -> &'a [f32] {
        // SAFETY: a slot holds the elements of its shape. They have been written, and no thread writes them while the
        // slice lives, as the caller promises.
        unsafe { std::slice::from_raw_parts(self.input(index), self.step.inputs[index].shape.len()) }
    }

    /// The first `len` floats of the scratch as a slice.
    ///
    /// # Safety
    /// The scratch has `len` floats, and nothing else uses it while the slice lives.
    pub(crate) unsafe fn scratch_slice(&self, len: usize) -> &'a mut [f32] {
        debug_assert!(len <= self.memory.scratch_len(), "{len} of {} floats", self.memory.scratch_len());
        // SAFETY: the scratch has `len` floats, which were initialized when the session's memory was allocated, and
        // nothing else uses them while the slice lives, as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.scratch, len) }
    }
}

/// A kernel written in safe code over slices: of the whole step, or of whole channels.
pub(crate) struct SliceKernel<F> {
    cost: QuarterCycles,
    scratch_len: usize,
    /// The output's shape where the step is cut by channel; then every input has the output's channels, or a multiple of
    /// them.
    by_channel: Option<Shape>,
    run: F,
}

impl<F: Fn(&Inputs, &mut [f32], &mut [f32]) + Send + Sync + 'static> SliceKernel<F> {
    /// A kernel of one tile without scratch: `run(inputs, output, scratch)`.
    pub(crate) fn new(cost: QuarterCycles, run: F) -> SliceKernel<F> {
        SliceKernel { cost, scratch_len: 0, by_channel: None, run }
    }

    /// The same with `len` floats of scratch.
    pub(crate) fn with_scratch(self, len: usize) -> SliceKernel<F> {
        SliceKernel { scratch_len: len, ..self }
    }

    /// The same, cut by channel of its output, of shape `output`.
    pub(crate) fn by_channel(self, output: Shape) -> SliceKernel<F> {
        SliceKernel { by_channel: Some(output), ..self }
    }

    /// The kernel as a trait object.
    pub(crate) fn boxed(self) -> Box<dyn Kernel> {
        Box::new(self)
    }
}

impl<F: Fn(&Inputs, &mut [f32], &mut [f32]) + Send + Sync> Kernel for SliceKernel<F> {
    fn cost(&self, tile: Option<&Tile>) -> QuarterCycles {
        self.by_channel.map_or(self.cost, |output| channel_share(self.cost, tile, output.c))
    }

    fn elements(&self, tile: Option<&Tile>, all: usize) -> usize {
        self.by_channel.map_or(all, |output| channel_share(all, tile, output.c))
    }

    fn scratch_len(&self) -> usize {
        self.scratch_len
    }

    fn tiles(&self, max: usize) -> Vec<Tile> {
        self.by_channel.map_or(Vec::new(), |output| Tile::by_channel(output, max))
    }

    unsafe fn run(&self, tile: Option<&Tile>, operands: &Operands) {
        let inputs = Inputs { operands, tile };
        let written = inputs.range(operands.step.output.shape);
        // SAFETY: the output slot holds its shape's elements; it does not overlap an input, nor do the
        // channels of other tiles overlap these. The scratch is this thread's. `inputs` ends with this call.
        unsafe {
            let out = std::slice::from_raw_parts_mut(operands.output().add(written.start), written.len());
            (self.run)(&inputs, out, operands.scratch_slice(self.scratch_len));
        }
    }
}

/// The inputs of a [`SliceKernel`]'s tile.
pub(crate) struct Inputs<'a> {
    operands: &'a Operands<'a>,
    tile: Option<&'a Tile>,
}

impl<'a> Inputs<'a> {
    /// The tile's elements of input `index`.
    pub(crate) fn get(&self, index: usize) -> &'a [f32] {
        let range = self.range(self.operands.step.inputs[index].shape);
        // SAFETY: made only by `SliceKernel::run`, whose caller promises that inputs are written and stay so.
        unsafe { &self.operands.input_slice(index)[range] }
    }

    /// The tile's first channel.
    pub(crate) fn first_channel(&self) -> usize {
        self.tile.map_or(0, |tile| tile.groups.start)
    }

    /// How many inputs there are.
    pub(crate) fn len(&self) -> usize {
        self.operands.step.inputs.len()
    }

    /// The tile's elements of a value of `shape`.
    fn range(&self, shape: Shape) -> Range<usize> {
        match self.tile {
            Some(tile) => {
                let output = self.operands.step.output.shape;
                let channel = shape.c / output.c * shape.plane();
                tile.groups.start * channel..tile.groups.end * channel
            }
            None => 0..shape.len(),
        }
    }
}
