//! The session on a GPU: upload, levels and download, captured once for each batch size and staging set, and
//! replayed.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::sys::{CUdeviceptr, CUevent_flags, CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaEvent, CudaGraph, CudaStream, DriverError};

use super::Cuda;
use super::error::{describe, driver, is_out_of_memory};
use super::kernels::Functions;
use super::launch::{launch_level, launch_transfer};
use super::memory::{Constants, IN_FLIGHT, Images, Memory};
use super::program::Program;
use super::variant::{Copies, Edges, Launches};
use crate::Result;
use crate::engine::plan::Plan;
use crate::engine::session::{Continues, Fill, Session, check_batch, none_in_flight};
use crate::error::{DeviceError, GraphError};

/// A captured run.
struct Replay(CudaGraph);

// SAFETY: a graph may move between threads as long as only one uses it at a time, and a session uses it
// only through `&mut self`.
unsafe impl Send for Replay {}

/// A plan on a GPU.
pub(super) struct CudaSession {
    // Before the memory, so that no graph outlives the addresses in it.
    replays: HashMap<Batch, Replay>,
    memory: Memory,
    constants: Constants,
    plan: Arc<Plan>,
    program: Program,
    stream: Arc<CudaStream>,
    branches: Option<Branches>,
    functions: Functions,
    launches: Launches,
    edges: Edges,
    copies: Copies,
    notes: Vec<String>,
    /// In the order of submission.
    in_flight: VecDeque<Batch>,
    /// The batch whose outputs the caller may read.
    ready: Option<Batch>,
    /// The last exit of each image of an early-exit run, and the images that still run.
    reached: Vec<usize>,
    active: Vec<u32>,
    multiply_adds: u64,
}

/// What a run with branches needs beside the session's stream.
struct Branches {
    /// The branches' streams.
    streams: Vec<Arc<CudaStream>>,
    /// The upload's end, and the end of each of the streams.
    start: CudaEvent,
    ends: Vec<CudaEvent>,
    /// For each node that another stream waits for, its end.
    done: Vec<Option<CudaEvent>>,
}

impl Branches {
    fn new(cuda: &Cuda, program: &Program) -> Result<Branches, DriverError> {
        let event = || cuda.context.new_event(None);
        let last = program.nodes.iter().map(|node| node.stream).max().unwrap_or(0);
        let done = program.nodes.iter().map(|node| node.awaited.then(event).transpose());
        Ok(Branches {
            streams: (0..last).map(|_| cuda.context.new_stream()).collect::<Result<_, _>>()?,
            start: event()?,
            ends: (0..last).map(|_| event()).collect::<Result<_, _>>()?,
            done: done.collect::<Result<_, _>>()?,
        })
    }
}

/// A number of images in one of the staging sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Batch {
    set: usize,
    images: usize,
}

/// The set of batches that run alone.
const FIRST_SET: usize = 0;

/// Most elements of a space over all images: kernels index with 32 bits.
const MAX_ELEMENTS: usize = 1 << 31;

impl CudaSession {
    /// Loads `plan` for batches of up to `batch` images, or of half as many, and so on, where memory does not
    /// suffice.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when memory does not suffice for one image, or the plan exceeds a limit of the
    /// kernels.
    pub(super) fn new(cuda: &Cuda, plan: Arc<Plan>, batch: usize) -> Result<CudaSession> {
        let stream = &cuda.context.new_stream().map_err(driver("stream"))?;
        let longest = plan.input_len.max(plan.work_len).max(plan.output_len).max(1);
        if longest > MAX_ELEMENTS {
            let reason = format!("an image takes {longest} elements, kernels index {MAX_ELEMENTS}");
            return Err(DeviceError::Unsupported { device: "cuda", reason }.into());
        }
        let program = Program::new(&plan, cuda.limits, &cuda.variant)?;
        let constants = Constants::new(stream, &program).map_err(driver("uploading the weights"))?;
        let wanted = batch.max(1);
        let mut images = wanted.min(MAX_ELEMENTS / longest);
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
        let branches = match cuda.variant.launches {
            Launches::Branches => Some(Branches::new(cuda, &program).map_err(driver("stream"))?),
            Launches::Graph | Launches::Stream => None,
        };
        let fewer = || format!("cuda: memory suffices for batches of {images}, not of {wanted}");
        let notes = (images < wanted).then(fewer).into_iter().chain(cuda.note()).collect();
        Ok(CudaSession {
            replays: HashMap::new(),
            memory,
            constants,
            plan,
            program,
            stream: Arc::clone(stream),
            branches,
            functions: cuda.functions.clone(),
            launches: cuda.variant.launches,
            edges: cuda.variant.edges,
            copies: cuda.variant.copies,
            notes,
            in_flight: VecDeque::with_capacity(IN_FLIGHT),
            ready: None,
            reached: Vec::new(),
            active: Vec::new(),
            multiply_adds: 0,
        })
    }

    /// Enqueues the launches of the node with this index for `images`. `follows`: a launch is the last thing
    /// that `stream` waits for.
    fn enqueue_node(
        &self,
        node: usize,
        images: Images,
        stream: &CudaStream,
        mut follows: bool,
    ) -> Result<(), DriverError> {
        for grid in self.program.grids(node, images.count()).0 {
            let share = self.program.nodes[node].stream;
            let argument = self.memory.launch(&self.constants, &grid, images, share);
            let edges = if follows { self.edges } else { Edges::Plain };
            // SAFETY: the addresses are of memory that lives as long as the session, which waits for the stream
            // when it is dropped.
            unsafe { launch_level(&self.functions.level, stream, &grid, &argument, edges) }?;
            follows = true;
        }
        Ok(())
    }

    /// Enqueues the launches of `levels` for `images`, one after another. `follows` is as for
    /// [`CudaSession::enqueue_node`].
    fn enqueue(&self, levels: Range<usize>, images: Images, mut follows: bool) -> Result<(), DriverError> {
        for (index, node) in self.program.nodes.iter().enumerate() {
            if levels.contains(&node.level) {
                self.enqueue_node(index, images, &self.stream, follows)?;
                follows = true;
            }
        }
        Ok(())
    }

    /// Enqueues all launches for `images`, each on the stream of its branch, between what is and what will be
    /// enqueued on the session's stream.
    fn enqueue_branches(
        &self,
        branches: &Branches,
        images: Images,
        follows: bool,
    ) -> Result<(), DriverError> {
        let Branches { streams, start, ends, done } = branches;
        let stream = |index: usize| if index == 0 { &self.stream } else { &streams[index - 1] };
        start.record(&self.stream)?;
        let mut started = vec![false; streams.len() + 1];
        started[0] = follows;
        for (index, node) in self.program.nodes.iter().enumerate() {
            let own = stream(node.stream);
            for &before in &node.after {
                own.wait(done[before].as_ref().expect("an event for each awaited node"))?;
            }
            if node.stream > 0 && !started[node.stream] && node.after.is_empty() {
                own.wait(start)?;
            }
            let follows = started[node.stream] && node.after.is_empty();
            self.enqueue_node(index, images, own, follows)?;
            started[node.stream] = true;
            if let Some(event) = &done[index] {
                event.record(own)?;
            }
        }
        for (branch, end) in streams.iter().zip(ends) {
            end.record(branch)?;
            self.stream.wait(end)?;
        }
        Ok(())
    }

    /// Enqueues upload, all levels and download of `batch`.
    fn enqueue_all(&mut self, batch: Batch) -> Result<(), DriverError> {
        let Batch { set, images } = batch;
        if self.copies == Copies::Engine {
            self.memory.enqueue_upload(set, images)?;
        } else {
            self.transfer(self.memory.upload(set, images), Edges::Plain)?;
        }
        let (first, follows) = (Images::First(images), self.copies == Copies::Kernel);
        match &self.branches {
            Some(branches) => self.enqueue_branches(branches, first, follows)?,
            None => self.enqueue(0..self.program.len(), first, follows)?,
        }
        if self.copies == Copies::Engine {
            return self.memory.enqueue_download(set, images);
        }
        // With branches it waits for several streams.
        let edges = if self.branches.is_none() && self.program.len() > 0 { self.edges } else { Edges::Plain };
        self.transfer(self.memory.download(set, images), edges)
    }

    /// Enqueues a copy by a kernel.
    fn transfer(
        &self,
        (from, to, count): (CUdeviceptr, CUdeviceptr, usize),
        edges: Edges,
    ) -> Result<(), DriverError> {
        // SAFETY: both arrays are the session's, allocated with more alignment, and live as long as it, which waits for
        // the stream when it is dropped.
        unsafe { launch_transfer(&self.functions.transfer, &self.stream, from, to, count, edges) }
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

    /// Captures the graph that [`CudaSession::launch_all`] replays for `batch`, if needed.
    fn prepare(&mut self, batch: Batch) -> Result<()> {
        if self.launches != Launches::Stream && !self.replays.contains_key(&batch) {
            let graph = self.capture(|session| session.enqueue_all(batch))?;
            self.replays.insert(batch, Replay(graph));
        }
        Ok(())
    }

    /// Upload, all levels and download of `batch`: as a graph, or launch by launch.
    fn launch_all(&mut self, batch: Batch) -> Result<(), DriverError> {
        match self.launches {
            Launches::Graph | Launches::Branches => self.replays[&batch].0.launch(),
            Launches::Stream => self.enqueue_all(batch),
        }
    }

    /// Marks the end of the batch before and launches `batch` behind it.
    fn follow(&mut self, batch: Batch) -> Result<(), DriverError> {
        if let Some(before) = self.in_flight.back() {
            self.memory.mark_end(before.set)?;
        }
        self.launch_all(batch)
    }

    /// Lets `fill` write the input spaces of `batch`.
    fn stage(&mut self, batch: Batch, fill: &mut Fill) -> Result<()> {
        (0..batch.images).try_for_each(|image| fill(image, self.memory.staged(batch.set, image)))
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

    /// One segment of an early-exit run of `batch`: `levels` for the images that still run, then the download.
    fn segment(&mut self, levels: Range<usize>, batch: Batch) -> Result<(), DriverError> {
        self.memory.list(&self.active)?;
        self.enqueue(levels, Images::Listed(self.active.len()), false)?;
        self.memory.enqueue_download(batch.set, batch.images)?;
        self.stream.synchronize()
    }
}

impl Drop for CudaSession {
    fn drop(&mut self) {
        // Batches in flight end before their graphs and memory; after a failed context none is running.
        let _ = self.stream.synchronize();
    }
}

impl Session for CudaSession {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn capacity(&self) -> usize {
        self.memory.images
    }

    fn depth(&self) -> usize {
        IN_FLIGHT
    }

    fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn submit(&mut self, images: usize, fill: &mut Fill) -> Result<()> {
        check_batch(self, images)?;
        self.ready = None;
        let taken = |set: &usize| self.in_flight.iter().any(|batch| batch.set == *set);
        let set = (0..IN_FLIGHT).find(|set| !taken(set)).expect("fewer batches than sets");
        let (batch, failed) = (Batch { set, images }, driver("running the plan"));
        self.memory.prepare(set, &self.plan).map_err(&failed)?;
        self.stage(batch, fill)?;
        if images > 0 {
            self.prepare(batch)?;
            self.follow(batch).map_err(|e| {
                // What was enqueued must not meet the next batch's inputs.
                let _ = self.stream.synchronize();
                failed(e)
            })?;
        }
        self.in_flight.push_back(batch);
        self.count(0..self.program.len(), images);
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        self.ready = None;
        let batch = self.in_flight.pop_front().ok_or(GraphError::NoBatch)?;
        let ended = match self.in_flight.is_empty() {
            true => self.stream.synchronize(),
            false => self.memory.wait_for(batch.set),
        };
        ended.map_err(driver("running the plan"))?;
        self.ready = Some(batch);
        Ok(())
    }

    fn outputs(&self) -> &[f32] {
        self.ready.map_or(&[], |batch| self.memory.downloaded(batch.set, batch.images))
    }

    fn run_early_exit(&mut self, images: usize, fill: &mut Fill, continues: &mut Continues) -> Result<()> {
        check_batch(self, images)?;
        none_in_flight(self.in_flight())?;
        self.ready = None;
        let (batch, failed) = (Batch { set: FIRST_SET, images }, driver("running the plan"));
        self.stage(batch, fill)?;
        self.memory.enqueue_upload(batch.set, images).map_err(&failed)?;
        self.reached.clear();
        self.reached.resize(images, 0);
        self.active.clear();
        self.active.extend(0..images as u32);
        let mut done = 0;
        for exit in 1..=self.plan.exits.len() {
            if self.active.is_empty() {
                break;
            }
            let end = self.plan.exits[exit - 1];
            self.segment(done..end, batch).map_err(&failed)?;
            self.count(done..end, self.active.len());
            done = end;
            let outputs = self.memory.downloaded(batch.set, images);
            self.active.retain(|&image| {
                let image = image as usize;
                self.reached[image] = exit;
                continues(exit, image, &outputs[image * self.plan.output_len..][..self.plan.output_len])
            });
        }
        self.ready = Some(batch);
        Ok(())
    }

    fn reached(&self) -> &[usize] {
        &self.reached
    }

    fn multiply_adds_done(&self) -> u64 {
        self.multiply_adds
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Times whole runs, copies included, on what the first staging set holds.
    fn device_ms(&mut self, images: usize, repeats: usize) -> Result<Option<f64>> {
        if images == 0 || images > self.memory.images || repeats == 0 {
            return Ok(None);
        }
        none_in_flight(self.in_flight())?;
        self.ready = None;
        let batch = Batch { set: FIRST_SET, images };
        self.prepare(batch)?;
        Ok(Some(self.mean_ms(repeats, |session| session.launch_all(batch))?))
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
                (0..copies).try_for_each(|_| session.enqueue(0..levels, Images::First(images), false))
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
