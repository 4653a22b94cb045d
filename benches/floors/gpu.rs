//! The GPU: its kernels, memory, launches with attributes, captures and timing.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::Arc;
use std::time::Instant;

use bytemuck::{Pod, Zeroable};
use cudarc::driver::sys;
use cudarc::driver::sys::{
    CUdevice_attribute as Ask, CUevent_flags, CUgraphInstantiate_flags, CUlaunchAttribute,
    CUlaunchAttributeID as Attribute, CUlaunchAttributeValue, CUstreamCaptureMode,
};
use cudarc::driver::{CudaContext, CudaEvent, CudaFunction, CudaGraph, CudaStream, DriverError, result};
use cudarc::nvrtc::Ptx;
use msdcam::{Error, Result};

/// Cycles for which the stream is kept busy before a timed section: half a millisecond.
const HOLD: u64 = 1_000_000;

/// The driver's error for `what`.
pub fn said<T>(what: &str, result: Result<T, DriverError>) -> Result<T> {
    result.map_err(|e| Error::device(format!("{what}: {:?}", e.0)))
}

/// Launch attributes.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Plain,
    /// Programmatic stream serialization: may start before the previous kernel has ended.
    Programmatic,
    /// Cooperative: all blocks run concurrently.
    Cooperative,
    /// In clusters of this many blocks.
    Cluster(u32),
}

impl Kind {
    fn attribute(self) -> Option<CUlaunchAttribute> {
        let mut value = CUlaunchAttributeValue { pad: [0; 64] };
        let id = match self {
            Kind::Plain => return None,
            Kind::Programmatic => {
                value.programmaticStreamSerializationAllowed = 1;
                Attribute::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
            }
            Kind::Cooperative => {
                value.cooperative = 1;
                Attribute::CU_LAUNCH_ATTRIBUTE_COOPERATIVE
            }
            Kind::Cluster(x) => {
                value.clusterDim = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x, y: 1, z: 1 };
                Attribute::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
            }
        };
        Some(CUlaunchAttribute { id, pad: [0; 4], value })
    }
}

/// The first GPU, with the kernels of this bench.
pub struct Gpu {
    pub name: String,
    /// Compute capability, 90 for 9.0.
    pub capability: u32,
    pub multiprocessors: u32,
    pub l2_bytes: u32,
    /// Whether the driver is the stand-in, whose times are meaningless.
    pub standin: bool,
    pub context: Arc<CudaContext>,
    pub stream: Arc<CudaStream>,
    short: bool,
    kernels: BTreeMap<&'static str, CudaFunction>,
}

impl Gpu {
    /// Opens the GPU, without kernels. `short` is for a tiny run.
    pub fn open(short: bool) -> Result<Gpu> {
        let context = said("opening the GPU", CudaContext::new(0))?;
        let ask = |about| said("a device attribute", context.attribute(about)).map(i32::unsigned_abs);
        let name = said("the GPU's name", context.name())?;
        let standin = name.starts_with("Stand-in");
        Ok(Gpu {
            name,
            capability: 10 * ask(Ask::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?
                + ask(Ask::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            multiprocessors: ask(Ask::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            l2_bytes: ask(Ask::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?,
            standin,
            stream: said("a stream", context.new_stream())?,
            context,
            short: short || standin,
            kernels: BTreeMap::new(),
        })
    }

    /// Loads the kernels `names` of `image`: all in advance, since loading is not allowed during a capture.
    pub fn load(&mut self, image: Vec<u8>, names: impl Iterator<Item = &'static str>) -> Result<()> {
        let module = said("loading the kernels", self.context.load_module(Ptx::from_binary(image)))?;
        for name in names {
            self.kernels.insert(name, said(name, module.load_function(name))?);
        }
        Ok(())
    }

    /// A count or a size: `full`, or `short` in a tiny run.
    pub fn pick<T>(&self, full: T, short: T) -> T {
        if self.short { short } else { full }
    }

    /// `bytes` of device memory, every byte 0xff.
    pub fn memory(&self, bytes: usize) -> Result<Memory> {
        // SAFETY: freed when dropped, and written before anything reads it.
        let at = said("device memory", unsafe { result::malloc_sync(bytes) })?;
        let memory = Memory { at, bytes, stream: self.stream.clone() };
        memory.set(0xff)?;
        Ok(memory)
    }

    /// Device memory with `values`.
    pub fn upload<T: Pod>(&self, values: &[T]) -> Result<Memory> {
        let memory = self.memory(size_of_val(values))?;
        memory.write(values)?;
        Ok(memory)
    }

    /// A timing event.
    pub fn event(&self) -> Result<CudaEvent> {
        said("an event", self.context.new_event(Some(CUevent_flags::CU_EVENT_DEFAULT)))
    }

    /// Launches `kernel` with (blocks, threads per block). A kernel whose argument has fewer than eight bytes
    /// takes the low ones.
    pub fn launch(&self, kernel: &str, shape: (u32, u32), kind: Kind, arguments: &[u64]) -> Result<()> {
        let pointers = arguments.iter().map(|argument| std::ptr::from_ref(argument).cast_mut().cast());
        self.launch_on(&self.stream, kernel, shape, kind, pointers.collect())
    }

    /// As above, on `stream`, with pointers to the arguments.
    pub fn launch_on(
        &self,
        stream: &CudaStream,
        kernel: &str,
        (blocks, threads): (u32, u32),
        kind: Kind,
        mut arguments: Vec<*mut c_void>,
    ) -> Result<()> {
        let function =
            self.kernels.get(kernel).ok_or_else(|| Error::device(format!("no kernel {kernel}")))?;
        let mut attribute = kind.attribute();
        let config = sys::CUlaunchConfig {
            gridDimX: blocks,
            gridDimY: 1,
            gridDimZ: 1,
            blockDimX: threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: 0,
            hStream: stream.cu_stream(),
            attrs: attribute.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut),
            numAttrs: attribute.is_some().into(),
        };
        let (function, extra) = (function.cu_function(), std::ptr::null_mut());
        // SAFETY: the arguments match the kernel and live until the call returns.
        let code = unsafe { sys::cuLaunchKernelEx(&config, function, arguments.as_mut_ptr(), extra) };
        said(kernel, code.result())
    }

    /// Waits for all work; returns any error since the last call.
    pub fn wait(&self) -> Result<()> {
        said("waiting for the GPU", self.stream.synchronize())
    }

    /// The work that `submit` submits, captured as a graph.
    pub fn capture(&self, submit: impl FnOnce() -> Result<()>) -> Result<CudaGraph> {
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        said("beginning a capture", self.stream.begin_capture(mode))?;
        let submitted = submit();
        // Ended in any case, because a capturing stream cannot be used otherwise.
        let graph = self.stream.end_capture(CUgraphInstantiate_flags(0));
        submitted?;
        let graph = said("ending a capture", graph)?.ok_or_else(|| Error::device("an empty capture"))?;
        said("uploading a graph", graph.upload())?;
        Ok(graph)
    }

    /// Device time in microseconds of each repetition of `submit`. The stream is kept busy meanwhile, so that
    /// the time for submitting is not included.
    pub fn device_times(&self, repeats: usize, mut submit: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
        let (start, end) = (self.event()?, self.event()?);
        let mut time = || {
            self.launch("hold", (1, 1), Kind::Plain, &[HOLD])?;
            said("recording an event", start.record(&self.stream))?;
            submit()?;
            said("recording an event", end.record(&self.stream))?;
            Ok(1e3 * f64::from(said("timing", start.elapsed_ms(&end))?))
        };
        (0..repeats).map(|_| time()).collect()
    }

    /// Host time in microseconds of each repetition of `submit`, until the work is done.
    pub fn host_times(&self, repeats: usize, mut submit: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
        let mut time = || {
            let begin = Instant::now();
            submit()?;
            self.wait()?;
            Ok(begin.elapsed().as_secs_f64() * 1e6)
        };
        (0..repeats).map(|_| time()).collect()
    }
}

/// Device memory.
pub struct Memory {
    pub at: u64,
    pub bytes: usize,
    stream: Arc<CudaStream>,
}

impl Memory {
    /// Sets every byte.
    pub fn set(&self, byte: u8) -> Result<()> {
        // SAFETY: the memory is owned and has that length.
        said("setting memory", unsafe {
            result::memset_d8_async(self.at, byte, self.bytes, self.stream.cu_stream())
        })
    }

    /// Overwrites the beginning.
    pub fn write<T: Pod>(&self, values: &[T]) -> Result<()> {
        assert!(size_of_val(values) <= self.bytes);
        // SAFETY: the memory is long enough, and `values` lives until the stream is done.
        said("an upload", unsafe { result::memcpy_htod_async(self.at, values, self.stream.cu_stream()) })?;
        said("an upload", self.stream.synchronize())
    }

    /// The first `len` values, when all work is done.
    pub fn read<T: Pod + Zeroable>(&self, len: usize) -> Result<Vec<T>> {
        let mut values = vec![T::zeroed(); len];
        assert!(size_of_val(&values[..]) <= self.bytes);
        let stream = self.stream.cu_stream();
        // SAFETY: the memory is long enough, and `values` lives until the stream is done.
        said("a download", unsafe { result::memcpy_dtoh_async(&mut values, self.at, stream) })?;
        said("a download", self.stream.synchronize())?;
        Ok(values)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: owned; freeing waits for the kernels that use it.
        let _ = unsafe { result::free_sync(self.at) };
    }
}
