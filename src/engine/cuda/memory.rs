//! The memory of a session: the three spaces of every image on the device, their two ends on the
//! host, and what the kernels share. All of it is made once.

use std::sync::Arc;

use cudarc::driver::sys;
use cudarc::driver::sys::{CU_MEMHOSTALLOC_WRITECOMBINED, CUdeviceptr};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DriverError, PinnedHostSlice, result};

use super::abi::{Launch, MAX_JOBS};
use super::program::{Grid, Program};
use crate::engine::plan::Plan;

/// The bits of the NaN that the stand-in driver poisons fresh memory with: its `fmaxf` lets it through.
const A_NAN: u32 = 0x7fc0_dead;

/// Which images a launch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Images {
    /// The first ones of the memory.
    First(usize),
    /// Those of the list.
    Listed(usize),
}

impl Images {
    /// How many.
    pub(super) fn count(self) -> usize {
        match self {
            Images::First(n) | Images::Listed(n) => n,
        }
    }
}

/// What does not depend on the batch: weights, tables, steps.
pub(super) struct Constants {
    weights: CudaSlice<f32>,
    tables: CudaSlice<u32>,
    steps: CudaSlice<u32>,
}

impl Constants {
    /// Uploads the program's tables.
    pub(super) fn new(stream: &Arc<CudaStream>, program: &Program) -> Result<Constants, DriverError> {
        let some = |words: &[u32]| if words.is_empty() { vec![0] } else { words.to_vec() };
        let weights = &program.tables.weights.elements;
        let constants = Constants {
            weights: if weights.is_empty() {
                stream.clone_htod(&[0.0])?
            } else {
                stream.clone_htod(weights)?
            },
            tables: stream.clone_htod(&some(&program.tables.classes))?,
            steps: stream.clone_htod(&some(bytemuck::cast_slice(&program.tables.steps)))?,
        };
        // The host's copies may go as soon as this returns.
        stream.synchronize()?;
        Ok(constants)
    }
}

/// See the module's documentation.
pub(super) struct Memory {
    pub(super) images: usize,
    stream: Arc<CudaStream>,
    input_len: usize,
    output_len: usize,
    work_len: usize,
    input: CudaSlice<f32>,
    work: CudaSlice<f32>,
    output: CudaSlice<f32>,
    scratch: CudaSlice<f32>,
    counters: CudaSlice<u32>,
    listed: CudaSlice<u32>,
    /// Written by the host only, in order.
    upload: Pinned,
    download: Pinned,
}

/// Host memory that the device reads and writes directly. Its address is asked once: cudarc waits
/// for an event each time, which a capture must not.
struct Pinned {
    _owner: PinnedHostSlice<f32>,
    start: *mut f32,
    len: usize,
}

// SAFETY: `start` points into what `_owner` holds, which may move between threads.
unsafe impl Send for Pinned {}

impl Pinned {
    fn new(stream: &CudaStream, len: usize, flags: u32) -> Result<Pinned, DriverError> {
        let len = len.max(1);
        // SAFETY: filled below.
        let mut owner = unsafe { stream.context().alloc_pinned_with_flags::<f32>(len, flags) }?;
        owner.as_mut_slice()?.fill(0.0);
        let start = owner.as_mut_ptr()?;
        Ok(Pinned { _owner: owner, start, len })
    }

    fn numbers(&self, len: usize) -> &[f32] {
        assert!(len <= self.len);
        // SAFETY: the owner holds `self.len` numbers, all set.
        unsafe { std::slice::from_raw_parts(self.start, len) }
    }

    fn numbers_mut(&mut self, len: usize) -> &mut [f32] {
        assert!(len <= self.len);
        // SAFETY: as above, and `&mut self` is the only way to them.
        unsafe { std::slice::from_raw_parts_mut(self.start, len) }
    }
}

impl Memory {
    /// Memory for `images` images of `plan`.
    pub(super) fn new(
        stream: &Arc<CudaStream>,
        plan: &Plan,
        program: &Program,
        images: usize,
    ) -> Result<Memory, DriverError> {
        let needs = program.needs(images);
        // SAFETY: what is not set here is written before it is read: inputs by the upload, work,
        // output and scratch by the steps in the plan's order.
        let alloc = |len: usize| unsafe { stream.alloc::<f32>(len.max(1)) };
        let output = alloc(images * plan.output_len)?;
        // What no step writes is no number that might be believed, and what lies between outputs, which
        // the download takes along, has been written too.
        // SAFETY: the slice's own numbers, before anything else is enqueued.
        unsafe {
            let (start, count) = (output.device_ptr(stream).0, output.len());
            sys::cuMemsetD32Async(start, A_NAN, count, stream.cu_stream()).result()?;
        }
        let numbers: Vec<u32> = (0..images as u32).collect();
        let memory = Memory {
            images,
            stream: Arc::clone(stream),
            input_len: plan.input_len,
            output_len: plan.output_len,
            work_len: plan.work_len,
            input: alloc(images * plan.input_len)?,
            work: alloc(images * plan.work_len)?,
            output,
            scratch: alloc(needs.scratch)?,
            counters: stream.alloc_zeros(needs.counters.max(1))?,
            listed: stream.clone_htod(&numbers)?,
            upload: Pinned::new(stream, images * plan.input_len, CU_MEMHOSTALLOC_WRITECOMBINED)?,
            download: Pinned::new(stream, images * plan.output_len, 0)?,
        };
        stream.synchronize()?;
        Ok(memory)
    }

    /// The argument of a launch.
    pub(super) fn launch(&self, constants: &Constants, grid: &Grid, images: Images) -> Launch {
        debug_assert!(grid.jobs as usize <= MAX_JOBS);
        Launch {
            input: self.address(&self.input),
            work: self.address(&self.work),
            output: self.address(&self.output),
            weights: self.address(&constants.weights),
            tables: self.address(&constants.tables),
            steps: self.address(&constants.steps),
            scratch: self.address(&self.scratch),
            counters: self.address(&self.counters),
            active: match images {
                Images::First(_) => 0,
                Images::Listed(_) => self.address(&self.listed),
            },
            input_stride: self.input_len as u32,
            work_stride: self.work_len as u32,
            output_stride: self.output_len as u32,
            images: images.count() as u32,
            jobs: grid.jobs,
            unused: 0,
            job: grid.job,
        }
    }

    fn address<T>(&self, slice: &CudaSlice<T>) -> CUdeviceptr {
        slice.device_ptr(&self.stream).0
    }

    /// Puts the input spaces of the first images where the next upload takes them.
    pub(super) fn stage(&mut self, inputs: &[f32]) {
        self.upload.numbers_mut(inputs.len()).copy_from_slice(inputs);
    }

    /// Uploads the first `images` input spaces: a copy that can be captured.
    pub(super) fn enqueue_upload(&self, images: usize) -> Result<(), DriverError> {
        let numbers = self.upload.numbers(images * self.input_len);
        // SAFETY: the device's input has as many numbers; both live as long as `self`, which
        // waits for the stream before it goes.
        unsafe { result::memcpy_htod_async(self.address(&self.input), numbers, self.stream.cu_stream()) }
    }

    /// Downloads the first `images` output spaces: a copy that can be captured.
    pub(super) fn enqueue_download(&mut self, images: usize) -> Result<(), DriverError> {
        let (from, len) = (self.address(&self.output), images * self.output_len);
        let numbers = self.download.numbers_mut(len);
        // SAFETY: as for the upload; nobody reads the numbers before the stream has been waited for.
        unsafe { result::memcpy_dtoh_async(numbers, from, self.stream.cu_stream()) }
    }

    /// What the last download brought; the stream has been waited for since.
    pub(super) fn downloaded(&self, images: usize) -> &[f32] {
        self.download.numbers(images * self.output_len)
    }

    /// Lists the images that the next launches are for.
    pub(super) fn list(&mut self, images: &[u32]) -> Result<(), DriverError> {
        self.stream.memcpy_htod(images, &mut self.listed)?;
        self.stream.synchronize()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Whatever still runs must not lose its memory; a dead context has nothing running.
        let _ = self.stream.synchronize();
    }
}
