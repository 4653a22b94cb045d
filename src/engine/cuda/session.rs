//! The session on a GPU: upload, levels and download, captured once for each batch size and replayed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::sys::{CUevent_flags, CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaFunction, CudaGraph, CudaStream, DriverError, LaunchConfig, PushKernelArg};

use super::Cuda;
use super::abi::THREADS;
use super::error::{describe, driver, is_out_of_memory};
use super::memory::{Constants, Images, Memory};
use super::program::Program;
use super::variant::Launches;
use crate::Result;
use crate::engine::plan::Plan;
use crate::engine::session::{Continues, Session, batch_size};
use crate::error::DeviceError;

/// A captured run.
struct Replay(CudaGraph);

// SAFETY: a graph may move between threads as long as only one uses it at a time, and a session uses it
// only through `&mut self`.
unsafe impl Send for Replay {}

/// A plan on a GPU.
pub(super) struct CudaSession {
    // Before the memory, so that no graph outlives the addresses in it.
    replays: HashMap<usize, Replay>,
    memory: Memory,
    constants: Constants,
    plan: Arc<Plan>,
    program: Program,
    stream: Arc<CudaStream>,
    level: CudaFunction,
    launches: Launches,
    notes: Vec<String>,
    multiply_adds: u64,
}

/// Most elements of a space over all images: kernels index with 32 bits.
const MAX_ELEMENTS: usize = 1 << 31;

impl CudaSession {
    /// Loads `plan` for batches of up to `batch` images, or of half as many, and so on, where memory does not
    /// suffice.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when memory does not suffice for one image.
    pub(super) fn new(cuda: &Cuda, plan: Arc<Plan>, batch: usize) -> Result<CudaSession> {
        let stream = &cuda.context.new_stream().map_err(driver("stream"))?;
        let program = Program::new(&plan, cuda.limits, cuda.variant.tiling)?;
        let constants = Constants::new(stream, &program).map_err(driver("uploading the weights"))?;
        let longest = plan.input_len.max(plan.work_len).max(plan.output_len).max(1);
        let wanted = batch.max(1);
        let mut images = wanted.min((MAX_ELEMENTS / longest).max(1));
        let memory = loop {
            match Memory::new(stream, &plan, &program, images) {
                Ok(memory) => break memory,
                Err(e) if is_out_of_memory(e) && images > 1 => images /= 2,
                Err(e) if is_out_of_memory(e) => {
                    let elements = plan.input_len + plan.work_len + plan.output_len;
                    let bytes = elements.saturating_mul(images * size_of::<f32>());
                    let reason = Some(describe(e));
                    return Err(DeviceError::OutOfMemory { device: "cuda", images, bytes, reason }.into());
                }
                Err(e) => return Err(driver("allocating memory")(e)),
            }
        };
        let notes = match images < wanted {
            true => vec![format!("cuda: memory suffices for batches of {images}, not of {wanted}")],
            false => Vec::new(),
        };
        Ok(CudaSession {
            replays: HashMap::new(),
            memory,
            constants,
            plan,
            program,
            stream: Arc::clone(stream),
            level: cuda.level.clone(),
            launches: cuda.variant.launches,
            notes,
            multiply_adds: 0,
        })
    }

    /// Enqueues the launches of `levels` for `images`.
    fn enqueue(&self, levels: Range<usize>, images: Images) -> Result<(), DriverError> {
        for level in levels {
            for grid in self.program.grids(level, images.count()).0 {
                let launch = self.memory.launch(&self.constants, &grid, images);
                let config = LaunchConfig {
                    grid_dim: (grid.blocks, 1, 1),
                    block_dim: (THREADS, 1, 1),
                    shared_mem_bytes: grid.shared,
                };
                // SAFETY: the argument has the layout of the kernel's parameter (a test compares the two),
                // and its addresses are of memory that lives as long as the session.
                unsafe { self.stream.launch_builder(&self.level).arg(&launch).launch(config) }?;
            }
        }
        Ok(())
    }

    /// Enqueues upload, all levels and download for the first `n` images.
    fn enqueue_all(&mut self, n: usize) -> Result<(), DriverError> {
        self.memory.enqueue_upload(n)?;
        self.enqueue(0..self.program.len(), Images::First(n))?;
        self.memory.enqueue_download(n)
    }

    /// Captures the work that `enqueue` enqueues.
    fn capture(
        &mut self,
        enqueue: impl FnOnce(&mut CudaSession) -> Result<(), DriverError>,
    ) -> Result<CudaGraph> {
        let failed = driver("capturing the run");
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).map_err(&failed)?;
        let enqueued = enqueue(self);
        // Ended even after an error: a capturing stream cannot be used for anything else.
        let graph = self.stream.end_capture(CUgraphInstantiate_flags(0));
        enqueued.map_err(&failed)?;
        let graph = graph.map_err(&failed)?.ok_or_else(|| DeviceError::Call {
            call: "capturing the run".into(),
            code: 0,
            reason: "an empty capture".into(),
        })?;
        graph.upload().map_err(&failed)?;
        Ok(graph)
    }

    /// Captures the graph that [`CudaSession::launch_all`] replays for the first `n` images, if needed.
    fn prepare(&mut self, n: usize) -> Result<()> {
        if self.launches == Launches::Graph && !self.replays.contains_key(&n) {
            let graph = self.capture(|session| session.enqueue_all(n))?;
            self.replays.insert(n, Replay(graph));
        }
        Ok(())
    }

    /// Upload, all levels and download of the first `n` images: as a graph, or launch by launch.
    fn launch_all(&mut self, n: usize) -> Result<(), DriverError> {
        match self.launches {
            Launches::Graph => self.replays[&n].0.launch(),
            Launches::Stream => self.enqueue_all(n),
        }
    }

    /// Mean time in milliseconds of `repeats` calls of `launch`, between two events.
    fn mean_ms(
        &mut self,
        repeats: usize,
        mut launch: impl FnMut(&mut CudaSession) -> Result<(), DriverError>,
    ) -> Result<f64> {
        let failed = driver("timing the plan");
        let event =
            |session: &CudaSession| session.stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
        let start = event(self).map_err(&failed)?;
        for _ in 0..repeats {
            launch(self).map_err(&failed)?;
        }
        let end = event(self).map_err(&failed)?;
        let elapsed = start.elapsed_ms(&end).map_err(&failed)?;
        Ok(f64::from(elapsed) / repeats as f64)
    }

    /// Counts the multiply-adds of `levels` for `images` images.
    fn count(&mut self, levels: Range<usize>, images: usize) {
        self.multiply_adds += self.program.multiply_adds[levels].iter().sum::<u64>() * images as u64;
    }

    /// One segment of an early-exit run: `levels` for the images in `active`, then the download of the first
    /// `n` output spaces.
    fn segment(&mut self, levels: Range<usize>, active: &[u32], n: usize) -> Result<(), DriverError> {
        self.memory.list(active)?;
        self.enqueue(levels, Images::Listed(active.len()))?;
        self.memory.enqueue_download(n)?;
        self.stream.synchronize()
    }
}

impl Session for CudaSession {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn capacity(&self) -> usize {
        self.memory.images
    }

    fn run(&mut self, inputs: &[f32], outputs: &mut [f32]) -> Result<()> {
        let n = batch_size(&self.plan, self.memory.images, inputs, outputs)?;
        if n == 0 {
            return Ok(());
        }
        self.prepare(n)?;
        let failed = driver("running the plan");
        self.memory.stage(inputs);
        self.launch_all(n).map_err(&failed)?;
        self.stream.synchronize().map_err(&failed)?;
        outputs.copy_from_slice(self.memory.downloaded(n));
        self.count(0..self.program.len(), n);
        Ok(())
    }

    fn run_early_exit(
        &mut self,
        inputs: &[f32],
        outputs: &mut [f32],
        continues: &mut Continues,
    ) -> Result<Vec<usize>> {
        let n = batch_size(&self.plan, self.memory.images, inputs, outputs)?;
        let failed = driver("running the plan");
        self.memory.stage(inputs);
        self.memory.enqueue_upload(n).map_err(&failed)?;
        let mut reached = vec![0; n];
        let mut active: Vec<u32> = (0..n as u32).collect();
        let mut done = 0;
        for exit in 1..=self.plan.exits.len() {
            if active.is_empty() {
                break;
            }
            let end = self.plan.exits[exit - 1];
            self.segment(done..end, &active, n).map_err(&failed)?;
            self.count(done..end, active.len());
            done = end;
            outputs.copy_from_slice(self.memory.downloaded(n));
            active.retain(|&image| {
                let image = image as usize;
                reached[image] = exit;
                continues(exit, image, &outputs[image * self.plan.output_len..][..self.plan.output_len])
            });
        }
        Ok(reached)
    }

    fn multiply_adds_done(&self) -> u64 {
        self.multiply_adds
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Times whole runs, copies included, on the inputs that were last staged.
    fn device_ms(&mut self, images: usize, repeats: usize) -> Result<Option<f64>> {
        if images == 0 || images > self.memory.images || repeats == 0 {
            return Ok(None);
        }
        self.prepare(images)?;
        Ok(Some(self.mean_ms(repeats, |session| session.launch_all(images))?))
    }

    /// Each prefix is a graph that contains it several times, to amortize the cost of a launch; the first
    /// replay is not timed, and the result is the minimum of three times.
    fn prefix_ms(&mut self, images: usize, repeats: usize) -> Result<Option<Vec<f64>>> {
        if images == 0 || images > self.memory.images || repeats == 0 {
            return Ok(None);
        }
        let (copies, rounds) = (repeats.min(8), repeats.min(3));
        let mut times = Vec::new();
        for levels in 1..=self.program.len() {
            let graph = self.capture(|session| {
                (0..copies).try_for_each(|_| session.enqueue(0..levels, Images::First(images)))
            })?;
            graph.launch().map_err(driver("timing the plan"))?;
            let mut shortest = f64::INFINITY;
            for _ in 0..rounds {
                let ms = self.mean_ms(repeats.div_ceil(copies * rounds), |_| graph.launch())?;
                shortest = shortest.min(ms / copies as f64);
            }
            times.push(shortest);
        }
        Ok(Some(times))
    }
}
