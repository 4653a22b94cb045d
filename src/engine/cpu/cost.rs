//! Cost model: the estimated time of a step or a tile on one thread, by which a convolution's
//! algorithm and micro-kernel are chosen and a level is divided among threads. Only ratios matter.
//!
//! The constants were fitted by hand to measured times of single ops and of both networks on two
//! machines, with AVX-512: those of the micro-kernels and of memory on a 2-core AMD EPYC of family 26,
//! those of packing and of Winograd's algorithm on a 2-core AMD EPYC of family 25, whose L2 cache holds
//! 1 MiB a core. The other instruction sets use them unchanged. benches/NOTES.md has the measurements.
//! To refit them on another machine, run
//!
//! ```sh
//! cargo bench --bench ops -- cifar avx512 1
//! cargo bench --bench ops -- imagenet avx512 1
//! ```
//!
//! and multiply the constants of each kind of op by the factor in the column `fit` of the last table:
//! its measured time over its estimated time, relative to all ops together.
//!
//! The choice of an algorithm decides the last bits of a result. Constants that were measured at run
//! time would make results differ between runs; these make them the same on all CPUs of one
//! instruction set.

/// Quarters of a clock cycle of one core.
pub(crate) type QuarterCycles = usize;

/// Any step, beside its work: resolving addresses, waiting for the other threads.
pub(crate) const STEP: QuarterCycles = 600;

/// A barrier's wait for each thread that comes to it: they take turns at one cache line. An assumption, not fitted: about
/// 20 ns.
pub(crate) const BARRIER_THREAD: QuarterCycles = 240;

/// One pixel of a heatmap: bilinear interpolation, range, division.
pub(crate) const HEATMAP_PIXEL: QuarterCycles = 8;

/// One weight that is read again while the L3 cache holds it.
pub(crate) const L3_WEIGHT: QuarterCycles = 1;

/// Loading and storing one vector of a packed band of the input.
pub(crate) const PACKED_VECTOR: QuarterCycles = 8;

/// Winograd's transform of one row of the input: each vector of one column of its patches.
pub(crate) const WINOGRAD_ROW_VECTOR: QuarterCycles = 15;

/// The same where the row is no longer than a vector.
pub(crate) const WINOGRAD_SHORT_ROW_VECTOR: QuarterCycles = 6;

/// Winograd's transform of the columns of one vector of patches of one input channel, for blocks of 2x2 pixels.
pub(crate) const WINOGRAD_INPUT_VECTOR_OF_2X2: QuarterCycles = 110;

/// The same for blocks of 4x4 pixels.
pub(crate) const WINOGRAD_INPUT_VECTOR_OF_4X4: QuarterCycles = 400;

/// Winograd's transform of one vector of blocks of 2x2 pixels of one output channel.
pub(crate) const WINOGRAD_OUTPUT_VECTOR_OF_2X2: QuarterCycles = 130;

/// The same for blocks of 4x4 pixels.
pub(crate) const WINOGRAD_OUTPUT_VECTOR_OF_4X4: QuarterCycles = 520;

/// Floats of weights that the L2 cache holds beside everything else.
pub(crate) const L2_FLOATS: usize = 256 * 1024;

/// A micro-kernel's multiply-add of one vector.
pub(crate) const VECTOR_FMA: QuarterCycles = 2;

/// A micro-kernel's broadcast of one element, mostly hidden behind the multiply-adds.
pub(crate) const BROADCAST: QuarterCycles = 1;

/// A micro-kernel's load of one vector from the L1 or L2 cache, mostly hidden likewise.
pub(crate) const VECTOR_LOAD: QuarterCycles = 3;

/// The same where sixteen registers hold few sums for each load, as in AVX2 along the channels.
pub(crate) const VECTOR_LOAD_OF_FEW_SUMS: QuarterCycles = 4;

/// The same from beyond the L2 cache.
pub(crate) const VECTOR_LOAD_BEYOND_L2: QuarterCycles = 9;

/// Storing one vector of results along the pixels.
pub(crate) const VECTOR_STORE: QuarterCycles = 6;

/// Storing one vector of results along the channels, which is transposed first.
pub(crate) const VECTOR_STORE_TRANSPOSED: QuarterCycles = 22;

/// Bringing `count` weights from memory.
pub(crate) fn weights_from_memory(count: usize) -> QuarterCycles {
    count * 3 / 2
}

/// `count` multiply-adds in plain loops over vectors.
pub(crate) fn multiply_adds(count: usize) -> QuarterCycles {
    count / 8
}

/// `count` exponentials and what is around them.
pub(crate) fn activations(count: usize) -> QuarterCycles {
    2 * count
}

/// Reading and writing `count` elements, all of a step's inputs and its output.
pub(crate) fn elements(count: usize) -> QuarterCycles {
    count / 4
}
