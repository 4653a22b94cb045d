//! Programs with a planted bug or a failure, for the tests of the stand-in: each
//! prints the result.
//!
//! The unsafe blocks launch kernels and call the driver with arguments chosen
//! here: valid ones, or invalid ones that the stand-in must refuse.
#![allow(clippy::undocumented_unsafe_blocks)] // one reason for all of them, above

use cudarc::driver::{CudaContext, PushKernelArg, sys};
use cudarc::nvrtc::CompileError;

use super::probe::{Device, SCALE, called, compile, grid, name};

fn reverse(barrier: &str) {
    let source = r#"
extern "C" __global__ void reverse(float* out, const float* in) {
    __shared__ float all[64];
    all[threadIdx.x] = in[threadIdx.x];
    BARRIER
    out[threadIdx.x] = all[blockDim.x - 1 - threadIdx.x];
}
"#;
    let device = Device::new();
    let module = device.module("reverse.cu", &source.replace("BARRIER", barrier));
    let reverse = module.load_function("reverse").unwrap();
    let input: Vec<f32> = (0..64).map(|i| i as f32).collect();
    let given = device.stream.clone_htod(&input).unwrap();
    let mut out = device.stream.alloc_zeros::<f32>(64).unwrap();
    let mut launch = device.stream.launch_builder(&reverse);
    launch.arg(&mut out).arg(&given);
    unsafe { launch.launch(grid(1, 64)) }.unwrap();
    println!("reversed: {:?}", device.stream.clone_dtoh(&out).unwrap());
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn barrier() {
    if called() {
        reverse("__syncthreads();");
    }
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn missing_barrier() {
    if called() {
        reverse("");
    }
}

fn write_at(index: i32) {
    let source = "extern \"C\" __global__ void write(float* out, int at) {\n\
                  int i = threadIdx.x;\n\
                  if (i == 3) out[at] = 1.0f;\n}";
    let device = Device::new();
    let write = device.module("write.cu", source).load_function("write").unwrap();
    let mut out = device.stream.alloc_zeros::<f32>(100).unwrap();
    let mut launch = device.stream.launch_builder(&write);
    launch.arg(&mut out).arg(&index);
    unsafe { launch.launch(grid(1, 8)) }.unwrap();
    println!("error: {}", name(device.stream.synchronize()));
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn write_past_the_end() {
    if called() {
        write_at(100);
    }
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn write_far_past_the_end() {
    if called() {
        write_at(400);
    }
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn misaligned_vector() {
    if !called() {
        return;
    }
    let source = "extern \"C\" __global__ void load(float* out, const float* in) {\n\
                  *out = reinterpret_cast<const float4*>(in + 1)->x;\n}";
    let device = Device::new();
    let load = device.module("load.cu", source).load_function("load").unwrap();
    let given = device.stream.alloc_zeros::<f32>(100).unwrap();
    let mut out = device.stream.alloc_zeros::<f32>(1).unwrap();
    let mut launch = device.stream.launch_builder(&load);
    launch.arg(&mut out).arg(&given);
    unsafe { launch.launch(grid(1, 1)) }.unwrap();
    println!("error: {}", name(device.stream.synchronize()));
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn write_past_shared_memory() {
    if !called() {
        return;
    }
    let source = "extern \"C\" __global__ void shared_overrun(int at) {\n\
                  __shared__ float all[32];\n\
                  all[threadIdx.x + at] = 1.0f;\n\
                  __syncthreads();\n}";
    let device = Device::new();
    let overrun = device.module("shared.cu", source).load_function("shared_overrun").unwrap();
    let mut launch = device.stream.launch_builder(&overrun);
    launch.arg(&1i32);
    unsafe { launch.launch(grid(1, 32)) }.unwrap();
    println!("error: {}", name(device.stream.synchronize()));
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn uninitialised_read() {
    if !called() {
        return;
    }
    let source = r#"
extern "C" __global__ void sum(float* out, const float* in) {
    __shared__ float all[4];
    if (threadIdx.x < 3) all[threadIdx.x] = 1.0f;
    __syncthreads();
    float v = 0.0f, s = 0.0f;
    for (int i = 0; i < 4; ++i) v += in[i], s += all[i];
    out[0] = v * 0.5f;
    out[1] = s;
    out[2] = fmaxf(v * 0.5f + 1.0f, 0.0f);
    out[3] = fmaxf(__int_as_float(0x7fffffff), 2.0f);
}
"#;
    let device = Device::new();
    let sum = device.module("sum.cu", source).load_function("sum").unwrap();
    let mut given = unsafe { device.stream.alloc::<f32>(4) }.unwrap();
    device.stream.memcpy_htod(&[1.0f32, 2.0, 3.0], &mut given.slice_mut(0..3)).unwrap();
    let mut out = device.stream.alloc_zeros::<f32>(4).unwrap();
    let mut launch = device.stream.launch_builder(&sum);
    launch.arg(&mut out).arg(&given);
    unsafe { launch.launch(grid(1, 4)) }.unwrap();
    let got = device.stream.clone_dtoh(&out).unwrap();
    println!("nan: global {}, shared {}, after relu {}", got[0].is_nan(), got[1].is_nan(), got[2].is_nan());
    // Any other NaN is dropped, as on a GPU.
    assert_eq!(got[3], 2.0);
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn wrong_argument() {
    if !called() {
        return;
    }
    let device = Device::new();
    let module = device.module("scale.cu", SCALE);
    let scale = module.load_function("scale").unwrap();
    let mut out = device.stream.alloc_zeros::<f32>(10).unwrap();
    let given = device.stream.alloc_zeros::<f32>(10).unwrap();
    let mut launch = device.stream.launch_builder(&scale);
    launch.arg(&mut out).arg(&10usize).arg(&1.0f32).arg(&10i32);
    let result = unsafe { launch.launch(grid(1, 10)) };
    println!("number for a pointer: {}", name(result.map(|_| ())));

    let gone = {
        use cudarc::driver::DevicePtr;
        let (address, _sync) = given.device_ptr(&device.stream);
        address
    };
    drop(given);
    let mut launch = device.stream.launch_builder(&scale);
    launch.arg(&mut out).arg(&gone).arg(&1.0f32).arg(&10i32);
    let result = unsafe { launch.launch(grid(1, 10)) };
    println!("freed memory: {}", name(result.map(|_| ())));

    let given = device.stream.alloc_zeros::<f32>(10).unwrap();
    let mut launch = device.stream.launch_builder(&scale);
    launch.arg(&mut out).arg(&given).arg(&1.0f32).arg(&10i32);
    let result = unsafe { launch.launch(grid(1, 129)) };
    println!("too many threads: {}", name(result.map(|_| ())));
    // None of these is fatal.
    device.stream.synchronize().unwrap();
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn compile_errors() {
    use cudarc::nvrtc::{result, sys as nvrtc};
    if !called() {
        return;
    }
    let log = |e: CompileError| match e {
        CompileError::CompileError { log, .. } => {
            log.to_string_lossy().lines().next().unwrap_or("").to_string()
        }
        other => format!("{other:?}"),
    };
    // A declaration over several lines is rewritten; the lines after it keep their numbers.
    let bad = "extern \"C\" __global__ void bad(float* out) {\n\
               __shared__ float a[4],\n b[\n4];\nout = missing;\n}\n";
    println!("source: {}", log(compile("bad.cu", bad, &[]).unwrap_err()));
    let global = "extern __shared__ float all[];\nextern \"C\" __global__ void k() {}\n";
    println!("global: {}", log(compile("global.cu", global, &[]).unwrap_err()));
    println!("option: {}", log(compile("bad.cu", "", &["--no-such-option"]).unwrap_err()));

    let mut program = std::ptr::null_mut();
    let (header, included) = (c"#pragma once\nint broken = ;\n".as_ptr(), c"common.cuh".as_ptr());
    let source = c"#include \"common.cuh\"\nextern \"C\" __global__ void k() {}\n".as_ptr();
    let text = unsafe {
        nvrtc::nvrtcCreateProgram(&mut program, source, c"k.cu".as_ptr(), 1, &header, &included)
            .result()
            .unwrap();
        result::compile_program(program, &["--gpu-architecture=sm_90"]).unwrap_err();
        let log = result::get_program_log(program).unwrap();
        result::destroy_program(program).unwrap();
        std::ffi::CStr::from_ptr(log.as_ptr()).to_string_lossy().into_owned()
    };
    println!("header: {}", text.lines().next().unwrap_or(""));
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn wrong_chip() {
    use cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
    if !called() {
        return;
    }
    let device = Device::new();
    for arch in ["sm_90", "sm_80", "compute_75"] {
        let options = CompileOptions { arch: Some(arch), ..Default::default() };
        let image = compile_ptx_with_opts(SCALE, options).unwrap();
        println!("{arch}: {}", name(device.context.load_module(image)));
    }
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn failures() {
    if !called() {
        return;
    }
    let body = match std::env::var("PROBE_KERNEL").unwrap().as_str() {
        "exited_lane" => "if (t == 5) return;\nout[t] = __shfl_down_sync(0xffffffffu, t, 1);",
        "exit_before_barrier" => "if (t >= 20) return;\n__syncthreads();\nout[t] = 1;",
        "two_barriers" => "if (t < 16) {\n__syncthreads();\n} else {\n__syncthreads();\n}",
        "lone_spinner" => "volatile int* flag = out;\nwhile (*flag == 0) __nanosleep(100);",
        "assertion" => "\nassert(threadIdx.x != 7);",
        "trap" => "\nif (t == 9) __trap();",
        "deep_recursion" => "out[t] = deep(t + 100000);",
        other => panic!("no such kernel: {other}"),
    };
    let source = format!(
        "__device__ __noinline__ int deep(int n) {{ volatile int a[64]; a[n % 64] = n; return n == 0 ? 0 : deep(n - 1) + a[n % 64]; }}\n\
         #line 1 \"fail.cu\"\n\
         extern \"C\" __global__ void fail(int* out) {{ int t = threadIdx.x;\n{body}\n}}"
    );
    // Line 2 of the kernel is the first of its body.
    let device = Device::new();
    let fail = device.module("fail.cu", &source).load_function("fail").unwrap();
    let mut out = device.stream.alloc_zeros::<i32>(32).unwrap();
    let mut launch = device.stream.launch_builder(&fail);
    launch.arg(&mut out);
    unsafe { launch.launch(grid(1, 32)) }.unwrap();
    println!("error: {}", name(device.stream.synchronize()));
    println!("then: {}", name(device.stream.clone_dtoh(&out)));
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn out_of_memory() {
    if !called() {
        return;
    }
    let device = Device::new();
    let first = device.stream.alloc_zeros::<u8>(600_000).unwrap();
    println!("second allocation: {}", name(device.stream.alloc_zeros::<u8>(600_000)));
    assert_eq!(device.context.mem_get_info().unwrap(), (400_000, 1_000_000));
    drop(first);
    device.stream.alloc_zeros::<u8>(600_000).unwrap();
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn fault() {
    if !called() {
        return;
    }
    let device = Device::new();
    let scale = device.module("scale.cu", SCALE).load_function("scale").unwrap();
    let given = device.stream.alloc_zeros::<f32>(10).unwrap();
    let mut out = device.stream.alloc_zeros::<f32>(10).unwrap();
    let mut errors = Vec::new();
    for _ in 0..4 {
        let mut launch = device.stream.launch_builder(&scale);
        launch.arg(&mut out).arg(&given).arg(&1.0f32).arg(&10i32);
        let launched = unsafe { launch.launch(grid(1, 10)) }.map(|_| ());
        errors.push(name(launched.and_then(|_| device.stream.synchronize())));
    }
    println!("errors: {}", errors.join(" "));
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn read_too_early() {
    if !called() {
        return;
    }
    let device = Device::new();
    let given = device.stream.clone_htod(&[7.0f32]).unwrap();
    let mut pinned = unsafe { device.context.alloc_pinned::<f32>(1) }.unwrap();
    let address = pinned.as_mut_ptr().unwrap();
    let before = unsafe {
        address.write_volatile(0.0);
        let (source, _sync) = cudarc::driver::DevicePtr::device_ptr(&given, &device.stream);
        sys::cuMemcpyDtoHAsync_v2(address.cast(), source, 4, device.stream.cu_stream()).result().unwrap();
        address.read_volatile()
    };
    device.stream.synchronize().unwrap();
    println!("read: before {before}, after {}", unsafe { address.read_volatile() });
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn unsupported_call() {
    if !called() {
        return;
    }
    let _device = Device::new();
    let mut texture = std::ptr::null_mut();
    println!("error: {}", name(unsafe { sys::cuTexRefCreate(&mut texture) }.result()));
}

#[test]
#[ignore = "a program for the tests of the stand-in driver"]
fn missing_parts() {
    if !called() {
        return;
    }
    std::panic::set_hook(Box::new(|_| {}));
    let driver = match std::panic::catch_unwind(|| CudaContext::new(0)) {
        Ok(Ok(_)) => "ready".into(),
        Ok(Err(e)) => format!("{:?}", e.0),
        Err(_) => "panicked".into(),
    };
    println!("driver: {driver}");
    let compiled = std::panic::catch_unwind(|| compile("scale.cu", SCALE, &[]).is_ok());
    println!("nvrtc: {}", compiled.map_or_else(|_| "panicked".into(), |good| format!("compiled: {good}")));
}
