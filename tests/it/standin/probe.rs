//! Programs that the tests of the stand-in run under it: they use cudarc as msdcam
//! does. Each prints `name: value` lines and asserts its results.
//!
//! The unsafe blocks launch kernels and call the driver with arguments that
//! outlive the call.
#![allow(clippy::undocumented_unsafe_blocks, reason = "said once, above")]

use std::sync::Arc;

use cudarc::driver::sys;
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{
    CudaContext, CudaModule, CudaStream, DevicePtrMut, DriverError, LaunchConfig, PushKernelArg,
};
use cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts};

/// Environment variable that is set where a probe runs.
pub const VARIABLE: &str = "MSDCAM_STANDIN_PROBE";

pub fn called() -> bool {
    let called = std::env::var_os(VARIABLE).is_some();
    if !called {
        println!("a program for the tests of the stand-in driver: nothing to do by itself");
    }
    called
}

pub struct Device {
    pub context: Arc<CudaContext>,
    pub stream: Arc<CudaStream>,
}

impl Device {
    pub fn new() -> Self {
        let context = CudaContext::new(0).unwrap();
        // As in msdcam: one stream, and no events of cudarc in captures.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().unwrap();
        Device { context, stream }
    }

    pub fn module(&self, name: &str, source: &str) -> Arc<CudaModule> {
        self.context.load_module(compile(name, source, &[]).unwrap()).unwrap()
    }
}

pub fn compile(name: &str, source: &str, more: &[&str]) -> Result<cudarc::nvrtc::Ptx, CompileError> {
    let options = more.iter().map(|o| o.to_string()).collect();
    let options =
        CompileOptions { name: Some(name.into()), arch: Some("sm_90"), options, ..Default::default() };
    compile_ptx_with_opts(source, options)
}

pub fn grid(blocks: u32, threads: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 }
}

pub fn name<T>(result: Result<T, DriverError>) -> String {
    result.map_or_else(|e| format!("{:?}", e.0), |_| "none".into())
}

pub const SCALE: &str = r#"
extern "C" __global__ void __launch_bounds__(128) scale(float* out, const float* in, float factor, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = in[i] * factor + 1.0f;
}
"#;

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn vector_addition() {
    if !called() {
        return;
    }
    let device = Device::new();
    let module = device.module("scale.cu", SCALE);
    let scale = module.load_function("scale").unwrap();
    let n = 1003i32;
    let input: Vec<f32> = (0..n).map(|i| i as f32).collect();
    let given = device.stream.clone_htod(&input).unwrap();
    let mut out = unsafe { device.stream.alloc::<f32>(1003) }.unwrap();
    let mut launch = device.stream.launch_builder(&scale);
    launch.arg(&mut out).arg(&given).arg(&2.0f32).arg(&n);
    unsafe { launch.launch(grid(8, 128)) }.unwrap();
    let got = device.stream.clone_dtoh(&out).unwrap();
    assert!(got.iter().zip(&input).all(|(g, i)| *g == i * 2.0 + 1.0));
}

const REDUCE: &str = r#"
extern "C" __global__ void reduce(float* out, const float* in, int n) {
    __shared__ float part[32], unused;
    extern __shared__ __align__(16) float mine[];
    int t = threadIdx.x;
    float v = 0.0f;
    for (int i = t; i < n; i += blockDim.x) v += in[i];
    mine[t] = v;
    __syncthreads();
    v = mine[blockDim.x - 1 - t];
    for (int d = 16; d > 0; d >>= 1) v += __shfl_down_sync(0xffffffffu, v, d);
    if (t % 32 == 0) part[t / 32] = v;
    __syncthreads();
    if (t >= 32) return;
    unsigned voters = __ballot_sync(0xffffffffu, t < blockDim.x / 32);
    v = (voters >> t & 1u) ? part[t] : 0.0f;
    for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
    if (t == 0) atomicAdd(out, v);
}
"#;

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn reduction() {
    if !called() {
        return;
    }
    let device = Device::new();
    let reduce = device.module("reduce.cu", REDUCE).load_function("reduce").unwrap();
    let input: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let given = device.stream.clone_htod(&input).unwrap();
    let mut out = device.stream.alloc_zeros::<f32>(1).unwrap();
    let mut launch = device.stream.launch_builder(&reduce);
    launch.arg(&mut out).arg(&given).arg(&1000i32);
    let shape = LaunchConfig { shared_mem_bytes: 160 * 4, ..grid(1, 160) };
    unsafe { launch.launch(shape) }.unwrap();
    println!("sum: {}", device.stream.clone_dtoh(&out).unwrap()[0]);
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn graph() {
    if !called() {
        return;
    }
    let device = Device::new();
    let stream = &device.stream;
    let module = device.module("scale.cu", SCALE);
    let scale = module.load_function("scale").unwrap();
    let mut given = stream.alloc_zeros::<f32>(37).unwrap();
    let mut out = unsafe { stream.alloc::<f32>(37) }.unwrap();
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    stream.memset_zeros(&mut out).unwrap();
    {
        // Copied when captured: these values are dropped before the graph runs.
        let (factor, n) = (Box::new(3.0f32), Box::new(36i32));
        let mut launch = stream.launch_builder(&scale);
        launch.arg(&mut out).arg(&given).arg(&*factor).arg(&*n);
        unsafe { launch.launch(grid(1, 64)) }.unwrap();
    }
    let graph = stream.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    graph.upload().unwrap();
    for round in 0..3 {
        let input: Vec<f32> = (0..37).map(|i| (i * round) as f32).collect();
        stream.memcpy_htod(&input, &mut given).unwrap();
        graph.launch().unwrap();
        let got = stream.clone_dtoh(&out).unwrap();
        assert!(got[..36].iter().zip(&input).all(|(g, i)| *g == i * 3.0 + 1.0), "round {round}: {got:?}");
        assert_eq!(got[36], 0.0);
    }
}

/// One step on each of two streams; prints the result where the second waits for the first, and where it does not.
#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn graph_of_two_streams() {
    if !called() {
        return;
    }
    let device = Device::new();
    let stream = &device.stream;
    let mut data = stream.alloc_zeros::<u32>(1).unwrap();
    for waits in [true, false] {
        stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
        let side = stream.fork().unwrap();
        let mut set = |stream: &CudaStream, value: u32| {
            let (start, _guard) = data.device_ptr_mut(stream);
            // SAFETY: the range is that of the allocation.
            unsafe { sys::cuMemsetD32Async(start, value, 1, stream.cu_stream()) }.result().unwrap();
        };
        set(stream, 1);
        if waits {
            side.join(stream).unwrap();
        }
        set(&side, 2);
        stream.join(&side).unwrap();
        let graph = stream.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
        graph.launch().unwrap();
        let name = if waits { "waits" } else { "does not wait" };
        println!("{name}: {}", stream.clone_dtoh(&data).unwrap()[0]);
    }
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn capture_rules() {
    if !called() {
        return;
    }
    let device = Device::new();
    let stream = &device.stream;
    let begin = || stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    let end = || stream.end_capture(CUgraphInstantiate_flags(0)).map(|g| g.is_some());
    let outside = stream.record_event(None).unwrap();

    begin().unwrap();
    assert_eq!(name(stream.wait(&outside)), "CUDA_ERROR_STREAM_CAPTURE_ISOLATION");
    assert_eq!(name(end()), "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED");

    begin().unwrap();
    assert_eq!(name(stream.synchronize()), "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED");
    assert_eq!(name(end()), "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED");

    let mut data = stream.alloc_zeros::<f32>(5).unwrap();
    begin().unwrap();
    let side = stream.fork().unwrap();
    side.memset_zeros(&mut data).unwrap();
    assert_eq!(name(end()), "CUDA_ERROR_STREAM_CAPTURE_UNJOINED");

    begin().unwrap();
    let side = stream.fork().unwrap();
    side.memset_zeros(&mut data).unwrap();
    stream.join(&side).unwrap();
    assert!(end().unwrap());
    let default = device.context.default_stream();
    let refused = default.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL);
    assert_eq!(name(refused), "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED");
}

const RELAY: &str = r#"
// Block b adds to the result of block b - 1, once that block has set its flag.
extern "C" __global__ void relay(int* value, volatile int* flags) {
    __shared__ int carried;
    if (threadIdx.x == 0) {
        if (blockIdx.x > 0)
            while (flags[blockIdx.x - 1] == 0) __nanosleep(20);
        carried = blockIdx.x == 0 ? 0 : value[blockIdx.x - 1];
    }
    __syncthreads();
    int sum = __reduce_add_sync(0xffffffffu, int(threadIdx.x)) + carried;
    if (threadIdx.x == 0) {
        value[blockIdx.x] = sum;
        __threadfence();
        flags[blockIdx.x] = 1;
    }
#ifdef MSDCAM_STANDIN
    standin::grid_sync();
    if (threadIdx.x == 0 && value[gridDim.x - 1] != 496 * int(gridDim.x)) __trap();
#endif
}
"#;

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn cooperative() {
    if !called() {
        return;
    }
    let device = Device::new();
    let relay = device.module("relay.cu", RELAY).load_function("relay").unwrap();
    let mut value = unsafe { device.stream.alloc::<i32>(132) }.unwrap();
    let mut flags = device.stream.alloc_zeros::<i32>(132).unwrap();
    let mut launch = device.stream.launch_builder(&relay);
    launch.arg(&mut value).arg(&mut flags);
    unsafe { launch.launch_cooperative(grid(132, 32)) }.unwrap();
    let got = device.stream.clone_dtoh(&value).unwrap();
    assert!(got.iter().enumerate().all(|(b, v)| *v == 496 * (b as i32 + 1)), "{got:?}");
    // More blocks than the device holds at once cannot wait for each other.
    let mut launch = device.stream.launch_builder(&relay);
    launch.arg(&mut value).arg(&mut flags);
    let refused = unsafe { launch.launch_cooperative(grid(132 * 32 + 1, 32)) };
    assert_eq!(name(refused.map(|_| ())), "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE");
}

const LANGUAGE: &str = r#"
namespace filter {
template <int TAPS, class T>
__device__ __forceinline__ T weigh(const T* __restrict__ in, int at) {
    __shared__ T taps[TAPS];
    if (threadIdx.x < TAPS) taps[threadIdx.x] = T(threadIdx.x + 1);
    __syncthreads();
    T sum = 0;
#pragma unroll
    for (int k = 0; k < TAPS; ++k) sum = fmaf(__ldg(in + at + k), taps[k], sum);
    return sum;
}
}  // namespace filter
__constant__ float offset[2];
struct Job { const float4* in; float* out; int n; };
template <int TAPS>
__global__ void blur(Job job) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float v = filter::weigh<TAPS>(reinterpret_cast<const float*>(job.in), min(i, job.n - 1));
    v += filter::weigh<1>(reinterpret_cast<const float*>(job.in), 0);
    if (i < job.n) job.out[i] = v + offset[1];
}
namespace shape { constexpr int THREADS = 64; }
namespace shape {
namespace {
__launch_bounds__(THREADS, 2) __global__ void unused(const Job job) {}
}
}
extern "C" {
__global__ void __launch_bounds__(shape::THREADS) use(const Job* const __restrict__ jobs, bool twice);
__global__ void __launch_bounds__(shape::THREADS) use(const Job* const __restrict__ jobs, bool twice) {
    alignas(16) __shared__ float2 pairs[2][33],
        rest;
    volatile __shared__ int flag;
    extern __shared__ float4 rows[][2];
    const char* text = R"(__shared__ } ")";
    flag = text[0] == '"' || text[0] == '{';
    rest = pairs[1][32] = make_float2(rows[0][1].w, float(flag));
}
}
"#;

#[repr(C)]
#[derive(Clone, Copy)]
struct Job {
    input: sys::CUdeviceptr,
    out: sys::CUdeviceptr,
    n: i32,
}
unsafe impl cudarc::driver::DeviceRepr for Job {}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn language() {
    use cudarc::driver::{DevicePtr, DevicePtrMut};
    use cudarc::nvrtc::{Ptx, result, sys as nvrtc};
    if !called() {
        return;
    }
    let device = Device::new();
    let source = std::ffi::CString::new(LANGUAGE).unwrap();
    let program = result::create_program(&source, Some(c"language.cu")).unwrap();
    let mut lowered = std::ptr::null();
    unsafe {
        nvrtc::nvrtcAddNameExpression(program, c"blur<3>".as_ptr()).result().unwrap();
        result::compile_program(program, &["--gpu-architecture=sm_90", "--std=c++17", "-lineinfo"]).unwrap();
        nvrtc::nvrtcGetLoweredName(program, c"blur<3>".as_ptr(), &mut lowered).result().unwrap();
    }
    let lowered = unsafe { std::ffi::CStr::from_ptr(lowered) }.to_str().unwrap().to_string();
    assert_eq!(lowered, "_Z4blurILi3EEv3Job");
    let mut bytes = 0;
    let mut cubin = Vec::new();
    unsafe {
        nvrtc::nvrtcGetCUBINSize(program, &mut bytes).result().unwrap();
        cubin.resize(bytes, 0u8);
        nvrtc::nvrtcGetCUBIN(program, cubin.as_mut_ptr().cast()).result().unwrap();
        result::destroy_program(program).unwrap();
    }
    let module = device.context.load_module(Ptx::from_binary(cubin)).unwrap();
    let blur = module.load_function(&lowered).unwrap();
    module.load_function("use").unwrap();
    let mut global = module.get_global("offset", &device.stream).unwrap();
    let mut offset = unsafe { global.transmute_mut::<f32>(2) }.unwrap();
    device.stream.memcpy_htod(&[0.0f32, 0.5], &mut offset).unwrap();

    let input: Vec<f32> = (0..24).map(|i| (i * i) as f32).collect();
    let given = device.stream.clone_htod(&input).unwrap();
    let mut out = device.stream.alloc_zeros::<f32>(21).unwrap();
    let job = {
        let (input, _in) = given.device_ptr(&device.stream);
        let (out, _out) = out.device_ptr_mut(&device.stream);
        Job { input, out, n: 21 }
    };
    let mut launch = device.stream.launch_builder(&blur);
    launch.arg(&job);
    unsafe { launch.launch(grid(3, 8)) }.unwrap();
    let got = device.stream.clone_dtoh(&out).unwrap();
    let want = |i: usize| input[i] + 2.0 * input[i + 1] + 3.0 * input[i + 2] + input[0] + 0.5;
    assert!((0..21).all(|i| got[i] == want(i)), "{got:?}");
}

const CLUSTER: &str = r#"
// Every block sums the values in the shared memory of its cluster's blocks.
extern "C" __global__ void gather(int* out) {
    __shared__ int mine[2];
    if (threadIdx.x == 0) mine[1] = blockIdx.x * 10;
    standin::cluster_sync();
    int sum = 0;
    for (unsigned r = 0; r < standin::cluster_size(); ++r) sum += standin::map_shared(mine, r)[1];
    if (threadIdx.x == 0) out[blockIdx.x] = sum + int(standin::cluster_rank());
    standin::cluster_sync();
}
"#;

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn cluster() {
    if !called() {
        return;
    }
    let device = Device::new();
    let gather = device.module("gather.cu", CLUSTER).load_function("gather").unwrap();
    let mut out = device.stream.alloc_zeros::<i32>(12).unwrap();
    let mut attribute: sys::CUlaunchAttribute = unsafe { std::mem::zeroed() };
    attribute.id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute.value.clusterDim = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x: 4, y: 1, z: 1 };
    let mut config: sys::CUlaunchConfig = unsafe { std::mem::zeroed() };
    (config.gridDimX, config.gridDimY, config.gridDimZ) = (12, 1, 1);
    (config.blockDimX, config.blockDimY, config.blockDimZ) = (64, 1, 1);
    config.hStream = device.stream.cu_stream();
    config.attrs = &mut attribute;
    config.numAttrs = 1;
    let function = gather.cu_function();
    {
        let (mut address, _sync) = cudarc::driver::DevicePtrMut::device_ptr_mut(&mut out, &device.stream);
        let mut params = [(&raw mut address).cast()];
        unsafe { sys::cuLaunchKernelEx(&config, function, params.as_mut_ptr(), std::ptr::null_mut()) }
            .result()
            .unwrap();
    }
    let got = device.stream.clone_dtoh(&out).unwrap();
    let want: Vec<i32> = (0..12).map(|b| (b / 4 * 16 + 6) * 10 + b % 4).collect();
    assert_eq!(got, want);
}
