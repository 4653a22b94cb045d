//! Memory of a session: the three spaces of every image on the device, pinned staging buffers on the
//! host for each batch in flight, and the memory that blocks share. All of it is allocated once, the buffers
//! of a second batch when there first is one.

use std::sync::Arc;

use bytemuck::Zeroable;
use cudarc::driver::sys;
use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{CudaEvent, CudaSlice, CudaStream, DevicePtr, DriverError, PinnedHostSlice, result};

use super::abi::{ConvRow, JobRow, Launch, MAX_JOBS};
use super::conv2d::{Conv, Extra, Place, index_of};
use super::cut::{CutKind, Needs};
use super::program::{Grid, Program};
use crate::engine::plan::Plan;

/// Bits of the NaN that fills fresh output memory: the one that the stand-in driver of the tests poisons
/// memory with, which its `fmaxf` propagates.
const POISON_NAN: u32 = 0x7fc0_dead;

/// The images of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Images {
    /// The first images in memory.
    First(usize),
    /// The images of the list.
    Listed(usize),
}

impl Images {
    /// Number of images.
    pub(super) fn count(self) -> usize {
        match self {
            Images::First(n) | Images::Listed(n) => n,
        }
    }
}

/// Device memory that does not depend on the batch: weights, tables, steps.
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
            tables: stream.clone_htod(&some(&program.tables.integers))?,
            steps: stream.clone_htod(&some(bytemuck::cast_slice(&program.tables.steps)))?,
        };
        // The host's copies may be freed as soon as this returns.
        stream.synchronize()?;
        Ok(constants)
    }
}

/// Memory for a number of images.
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
    /// The first scratch element and counter of each stream.
    shares: Vec<Needs>,
    listed: CudaSlice<u32>,
    /// For each batch in flight. The device's own input and output serve all of them, one after another.
    staging: [Option<Staging>; IN_FLIGHT],
}

/// Most batches in flight: one that the device computes, and one that the host fills or reads.
pub(super) const IN_FLIGHT: usize = 2;

/// The host's side of a batch in flight.
struct Staging {
    /// Cached, not write-combined: callers write their inputs in place and may read what they wrote.
    upload: Pinned,
    download: Pinned,
    /// The end of the download, recorded where another batch follows.
    done: CudaEvent,
}

impl Staging {
    fn new(stream: &CudaStream, plan: &Plan, images: usize) -> Result<Staging, DriverError> {
        Ok(Staging {
            upload: Pinned::new(stream, images * plan.input_len)?,
            download: Pinned::new(stream, images * plan.output_len)?,
            done: stream.context().new_event(None)?,
        })
    }
}

/// Pinned host memory, which the device reads and writes directly. Its address is queried once, because
/// cudarc waits for an event in each query, which is not allowed during a capture.
struct Pinned {
    _owner: PinnedHostSlice<f32>,
    start: *mut f32,
    len: usize,
}

// SAFETY: `start` points into the allocation of `_owner`, which may move between threads.
unsafe impl Send for Pinned {}

impl Pinned {
    fn new(stream: &CudaStream, len: usize) -> Result<Pinned, DriverError> {
        let len = len.max(1);
        // SAFETY: the elements are set before they are read: `fill` follows.
        let mut owner = unsafe { stream.context().alloc_pinned_with_flags::<f32>(len, 0) }?;
        owner.as_mut_slice()?.fill(0.0);
        let start = owner.as_mut_ptr()?;
        Ok(Pinned { _owner: owner, start, len })
    }

    /// Its address on the device, which is that on the host: unified addressing.
    fn address(&self) -> CUdeviceptr {
        self.start as CUdeviceptr
    }

    fn elements(&self, len: usize) -> &[f32] {
        assert!(len <= self.len);
        // SAFETY: the owner holds `self.len` initialized elements.
        unsafe { std::slice::from_raw_parts(self.start, len) }
    }

    fn elements_mut(&mut self, len: usize) -> &mut [f32] {
        assert!(len <= self.len);
        // SAFETY: the owner holds `self.len` initialized elements, and `&mut self` is the only access to
        // them.
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
        let mut needs = Needs::default();
        let shares = program.needs(images).into_iter().map(|own| needs.append(own)).collect();
        // SAFETY: uninitialized elements are written before they are read: the input by the upload; work,
        // output and scratch by the steps in the plan's order.
        let alloc = |len: usize| unsafe { stream.alloc::<f32>(len.max(1)) };
        let output = alloc(images * plan.output_len)?;
        // An output that no step writes is NaN, and so is the padding between outputs, which the download
        // includes.
        // SAFETY: the range is that of the allocation, and nothing else is enqueued yet.
        unsafe {
            let (start, count) = (output.device_ptr(stream).0, output.len());
            sys::cuMemsetD32Async(start, POISON_NAN, count, stream.cu_stream()).result()?;
        }
        let indices: Vec<u32> = (0..images as u32).collect();
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
            shares,
            listed: stream.clone_htod(&indices)?,
            staging: [Some(Staging::new(stream, plan, images)?), None],
        };
        stream.synchronize()?;
        Ok(memory)
    }

    /// The argument of the launch of `grid`, whose order is that of the stream with index `stream`.
    pub(super) fn launch(&self, constants: &Constants, grid: &Grid, images: Images, stream: usize) -> Launch {
        let share = self.shares[stream];
        let mut launch = Launch {
            space: [&self.input, &self.work, &self.output].map(|space| self.address(space)),
            weights: self.address(&constants.weights),
            tables: self.address(&constants.tables),
            steps: self.address(&constants.steps),
            scratch: element(self.address(&self.scratch), share.scratch),
            counters: element(self.address(&self.counters), share.counters),
            active: match images {
                Images::First(_) => 0,
                Images::Listed(_) => self.address(&self.listed),
            },
            stride: [self.input_len, self.work_len, self.output_len].map(|len| len as u32),
            images: images.count() as u32,
            first_block: [u32::MAX; MAX_JOBS],
            job: [JobRow::zeroed(); MAX_JOBS],
        };
        let mut blocks = 0;
        for (index, cut) in grid.jobs.iter().enumerate() {
            launch.first_block[index] = blocks;
            blocks += cut.blocks as u32;
            launch.job[index] = match cut.kind {
                CutKind::Chain(chain) => chain.into(),
                CutKind::Conv { ref conv, mode, scratch, counter } => {
                    JobRow { mode: mode as u32, unused: 0, body: addressed(&launch, conv, scratch, counter) }
                }
            };
        }
        launch
    }

    fn address<T>(&self, slice: &CudaSlice<T>) -> CUdeviceptr {
        slice.device_ptr(&self.stream).0
    }

    /// Allocates the staging buffers of set `set`, unless they are there.
    pub(super) fn prepare(&mut self, set: usize, plan: &Plan) -> Result<(), DriverError> {
        if self.staging[set].is_none() {
            self.staging[set] = Some(Staging::new(&self.stream, plan, self.images)?);
        }
        Ok(())
    }

    fn staging(&self, set: usize) -> &Staging {
        self.staging[set].as_ref().expect("prepared before it is used")
    }

    fn staging_mut(&mut self, set: usize) -> &mut Staging {
        self.staging[set].as_mut().expect("prepared before it is used")
    }

    /// The input space of image `image` of the next batch of set `set`, for the host to write. The caller has
    /// waited for the set's last batch.
    pub(super) fn staged(&mut self, set: usize, image: usize) -> &mut [f32] {
        let (images, len) = (self.images, self.input_len);
        let spaces = self.staging_mut(set).upload.elements_mut(images * len);
        &mut spaces[image * len..][..len]
    }

    /// Enqueues the upload of the first `images` input spaces of set `set`; it can be captured.
    pub(super) fn enqueue_upload(&self, set: usize, images: usize) -> Result<(), DriverError> {
        let elements = self.staging(set).upload.elements(images * self.input_len);
        // SAFETY: the device's input has as many elements; both live as long as `self`, which waits for
        // the stream when it is dropped.
        unsafe { result::memcpy_htod_async(self.address(&self.input), elements, self.stream.cu_stream()) }
    }

    /// Enqueues the download of the first `images` output spaces to set `set`; it can be captured.
    pub(super) fn enqueue_download(&mut self, set: usize, images: usize) -> Result<(), DriverError> {
        let (from, len) = (self.address(&self.output), images * self.output_len);
        let stream = self.stream.cu_stream();
        let elements = self.staging_mut(set).download.elements_mut(len);
        // SAFETY: the device's output has as many elements, and both live as long as `self`, which waits
        // for the stream when it is dropped; the elements are read only after waiting for the download.
        unsafe { result::memcpy_dtoh_async(elements, from, stream) }
    }

    /// The upload of the first `images` input spaces of set `set`: from, to and elements, for a kernel that copies.
    pub(super) fn upload(&self, set: usize, images: usize) -> (CUdeviceptr, CUdeviceptr, usize) {
        (self.staging(set).upload.address(), self.address(&self.input), images * self.input_len)
    }

    /// The same of the download.
    pub(super) fn download(&self, set: usize, images: usize) -> (CUdeviceptr, CUdeviceptr, usize) {
        (self.address(&self.output), self.staging(set).download.address(), images * self.output_len)
    }

    /// Marks the end of what is enqueued as the end of set `set`'s download, for [`Memory::wait_for`].
    pub(super) fn mark_end(&self, set: usize) -> Result<(), DriverError> {
        self.staging(set).done.record(&self.stream)
    }

    /// Waits for the mark of set `set`.
    pub(super) fn wait_for(&self, set: usize) -> Result<(), DriverError> {
        self.staging(set).done.synchronize()
    }

    /// The first `images` output spaces of the last download to set `set`. The caller has waited for it.
    pub(super) fn downloaded(&self, set: usize, images: usize) -> &[f32] {
        self.staging(set).download.elements(images * self.output_len)
    }

    /// Uploads the list of images for the next launches.
    pub(super) fn list(&mut self, images: &[u32]) -> Result<(), DriverError> {
        self.stream.memcpy_htod(images, &mut self.listed)?;
        self.stream.synchronize()
    }
}

/// The address of element `offset` of an array of 32-bit elements.
fn element(start: CUdeviceptr, offset: usize) -> CUdeviceptr {
    start + (size_of::<f32>() * offset) as CUdeviceptr
}

/// `conv` with the addresses of the launch's memory.
fn addressed(launch: &Launch, conv: &Conv, scratch: usize, counter: usize) -> ConvRow {
    let of = |place: Place| {
        let space = index_of(place.space) as usize;
        (element(launch.space[space], place.offset as usize), launch.stride[space])
    };
    let ((input, in_stride), (out, out_stride)) = (of(conv.input), of(conv.out));
    let (extra, extra_stride) = match conv.extra {
        Extra::Bias(offset) => (element(launch.weights, offset as usize), 0),
        Extra::Residual(_, place) | Extra::Gate(place) => of(place),
        Extra::Nothing => (launch.weights, 0),
    };
    let bias = match conv.extra {
        Extra::Residual(offset, _) => element(launch.weights, offset as usize),
        _ => launch.weights,
    };
    ConvRow {
        input,
        weight: element(launch.weights, conv.weight as usize),
        out,
        extra,
        bias,
        scratch: element(launch.scratch, scratch),
        counters: element(launch.counters, counter),
        in_stride,
        out_stride,
        extra_stride,
        ..conv.row
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Running work must not lose its memory; after a failed context nothing is running.
        let _ = self.stream.synchronize();
    }
}
