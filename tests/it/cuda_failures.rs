//! Failures of GPUs: each is a one-line error with exit code 5, without a panic.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::common::golden::repository;
use crate::common::gpu;
use crate::common::gpu::on_standin;
use crate::common::process::{only, passed};
use msdcam::engine::cuda::Cuda;
use msdcam::engine::cuda::nvrtc::Nvrtc;
use msdcam::engine::device::{Device, DeviceChoice, DeviceOptions};
use msdcam::engine::graph::Graph;
use msdcam::engine::graph::ops::{Op, Window};
use msdcam::engine::plan::{Order, Plan};
use msdcam::{Error, Shape};

/// The one line of a device error that holds all of `words`.
#[track_caller]
fn assert_says<T>(result: Result<T, Error>, words: &[&str]) {
    let Err(error) = result else { panic!("no error, expected one with {words:?}") };
    let line = error.to_string();
    assert!(matches!(error, Error::Device(_)), "{line}");
    assert!(!line.contains('\n'), "{line}");
    assert!(words.iter().all(|word| line.contains(word)), "'{line}' lacks one of {words:?}");
}

/// A chain of levels: enough launches for something to go wrong between them.
fn plan() -> Arc<Plan> {
    let mut graph = Graph::new();
    let mut x = graph.push(Op::Input(Shape::new(3, 65, 63)), &[]).unwrap();
    for _ in 0..4 {
        x = graph.push(Op::RELU, &[x]).unwrap();
        x = graph
            .push(msdcam::engine::graph::ops::MaxPool { window: Window::square(3, 1, 1) }, &[x])
            .unwrap();
    }
    Arc::new(Plan::new(&graph, &[x], Order::Depth).unwrap())
}

/// Runs the test `name` again with a library path of its own, and no GPU of this machine's.
fn with_library_path(name: &str, path: &Path, settings: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = only(&mut command, name)
        .env("MSDCAM_CUDA_TESTS", "standin")
        .env("LD_LIBRARY_PATH", path)
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    passed(name, output);
}

#[test]
fn without_a_driver_auto_takes_the_cpu_and_cuda_says_what_it_looked_for() {
    match gpu::open() {
        Err(error) if error.to_string().contains("no NVIDIA driver") => {
            assert_says(Device::open(DeviceChoice::Cuda(0), 1), &["cuda", "libcuda.so", "looked for"]);
            let device = Device::open(DeviceChoice::Auto, 1).unwrap();
            assert!(device.description().starts_with("cpu"), "{}", device.description());
        }
        _ => skipped!("this machine has an NVIDIA driver"),
    }
}

#[test]
fn the_program_ends_with_code_5_and_one_line_where_there_is_no_gpu() {
    let name = test_name!();
    if gpu::at_hand() || !gpu::standin_works(name) {
        return;
    }
    let mut command = Command::new(repository("tests/standin/run"));
    command.arg(env!("CARGO_BIN_EXE_msdcam")).args(["classify", "--device", "cuda:3"]);
    command.arg(repository("weights/samples/chelsea.png"));
    let output = gpu::as_standin(&mut command).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("no GPU 3") && said.trim_end().lines().count() == 1, "{said}");
}

#[test]
fn a_driver_that_lacks_functions_is_named_with_what_it_lacks() {
    let name = test_name!();
    if gpu::is_real() {
        return skipped!("{name}: there is a real driver");
    }
    if gpu::at_hand() {
        assert_says(gpu::open(), &["libcuda.so", "lacks", "cuCtx"]);
        let options = DeviceOptions { threads: 1, ..DeviceOptions::default() };
        let (device, reason) = Device::with_options(&options).unwrap();
        assert_says(Err::<(), _>(reason.expect("a reason")), &["lacks"]);
        assert!(device.description().starts_with("cpu"), "{}", device.description());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("stub.c");
    std::fs::write(&source, "int cuInit(unsigned flags) { return (int)flags; }\n").unwrap();
    let stub = folder.path().join("libcuda.so.1");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&stub).arg(&source).status();
    if !built.is_ok_and(|status| status.success()) {
        return skipped!("{name}: needs cc");
    }
    with_library_path(name, folder.path(), &[]);
}

#[test]
fn a_driver_without_a_device_is_no_gpu() {
    let settings = [("STANDIN_DEVICES", "0")];
    on_standin(test_name!(), &settings, || {
        assert_says(gpu::open(), &["no CUDA-capable device"]);
    });
}

#[test]
fn gpus_hidden_by_the_environment_are_no_gpus() {
    let settings = [("CUDA_VISIBLE_DEVICES", "")];
    on_standin(test_name!(), &settings, || {
        assert_says(gpu::open(), &["no CUDA-capable device"]);
    });
}

#[test]
fn a_gpu_that_is_not_there_is_answered_with_those_that_are() {
    on_standin(test_name!(), &[], || {
        assert_says(Cuda::new(99), &["no GPU 99", "only GPU 0"]);
    });
}

#[test]
fn without_nvrtc_the_places_are_named() {
    let settings =
        [("STANDIN_NO_NVRTC", "1"), ("HOME", "/nonexistent"), ("VIRTUAL_ENV", ""), ("CUDA_HOME", "")];
    on_standin(test_name!(), &settings, || match gpu::open() {
        Ok(_) => skipped!("this machine has an NVRTC of its own"),
        // The stand-in pretends to be a chip for which there is built-in machine code, and refuses it.
        error => {
            let words = ["no NVRTC", "libnvrtc.so", "MSDCAM_NVRTC", "the built-in kernels were refused"];
            assert_says(error, &words);
        }
    });
}

#[test]
fn nvrtc_is_found_beside_the_python_on_the_path() {
    let name = test_name!();
    if gpu::is_real() {
        return skipped!("{name}: needs the stand-in driver");
    }
    if gpu::at_hand() {
        let path = Nvrtc::find(None).unwrap().path;
        assert!(path.starts_with(std::env::var("FOLDER").unwrap()), "{}", path.display());
        return;
    }
    if !gpu::standin_works(name) {
        return;
    }
    let built = Command::new(repository("tests/standin/run")).arg("--build").output().unwrap();
    let home = String::from_utf8(built.stdout).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let nvidia = folder.path().join("lib/python3.12/site-packages/nvidia/cu13");
    std::fs::create_dir_all(&nvidia).unwrap();
    std::fs::create_dir(folder.path().join("bin")).unwrap();
    std::fs::write(folder.path().join("bin/python3"), "").unwrap();
    std::os::unix::fs::symlink(Path::new(home.trim()).join("nvrtc"), nvidia.join("lib")).unwrap();
    let path = format!("{}:{}", folder.path().join("bin").display(), std::env::var("PATH").unwrap());
    let places = ["HOME", "VIRTUAL_ENV", "CONDA_PREFIX", "CUDA_HOME", "CUDA_PATH"].map(|key| (key, ""));
    let settings = [("STANDIN_NO_NVRTC", "1"), ("PATH", &path), ("FOLDER", folder.path().to_str().unwrap())];
    passed(name, gpu::standin(name, &[&places[..], &settings[..]].concat()));
}

#[test]
fn machine_code_that_is_none_is_named_with_its_file() {
    let name = test_name!();
    let folder = tempfile::tempdir().unwrap();
    let (text, cut) = (folder.path().join("text.cubin"), folder.path().join("cut.cubin"));
    std::fs::write(&text, "no machine code").unwrap();
    let whole = std::fs::read(repository("kernels/sm_90.cubin")).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let missing = folder.path().join("missing.cubin");
    for (file, words) in [
        (&text, "15 bytes, not a whole ELF file"),
        (&cut, "not a whole ELF file"),
        (&missing, "No such file"),
    ] {
        let settings = [("MSDCAM_CUBIN", file.to_str().unwrap()), ("WORDS", words)];
        on_standin(name, &settings, || {
            let [file, words] = ["MSDCAM_CUBIN", "WORDS"].map(|key| std::env::var(key).unwrap());
            assert_says(gpu::open(), &[&file, &words]);
        });
        if gpu::at_hand() {
            return; // one file a process
        }
    }
}

#[test]
fn built_in_machine_code_that_the_driver_refuses_is_said_where_it_was_asked_for() {
    let name = test_name!();
    // A driver of the right chip refuses what it cannot load; another chip has none.
    for settings in [&[][..], &[("STANDIN_CC", "8.0")]] {
        on_standin(name, settings, || {
            let refused = Cuda::with_variant(0, "kernels=built-in".parse().unwrap());
            match std::env::var("STANDIN_CC") {
                Ok(_) => assert_says(refused, &["no built-in kernels for compute capability 80"]),
                Err(_) => assert_says(refused, &["the built-in kernels were refused", "CUDA_ERROR"]),
            }
        });
    }
}

#[test]
fn an_nvrtc_that_was_named_and_is_none_is_named_back() {
    let settings = [("MSDCAM_NVRTC", "/nonexistent/folder")];
    on_standin(test_name!(), &settings, || {
        assert_says(gpu::open(), &["no NVRTC can be loaded from '/nonexistent/folder'"]);
    });
}

#[test]
fn a_kernel_that_does_not_compile_is_named_with_file_and_line() {
    on_standin(test_name!(), &[], || {
        let source =
            "#line 41 \"kernels/broken.cu\"\nextern \"C\" __global__ void f() {\n    int x = y;\n}\n";
        let options = msdcam::engine::cuda::options(90, &[90]);
        let result = Nvrtc::find(None).unwrap().compile(source, &options);
        assert_says(result, &["kernels/broken.cu", "42", "sm_90"]);
    });
}

#[test]
fn too_little_memory_halves_the_batch_and_says_so() {
    let settings = [("STANDIN_MEMORY", "4000000")];
    on_standin(test_name!(), &settings, || {
        let device = Device::Cuda(gpu::open().unwrap());
        let plan = plan();
        let mut session = device.session(Arc::clone(&plan), 64).unwrap();
        let capacity = session.capacity();
        assert!(capacity < 64 && 64 % capacity == 0, "batches of {capacity}");
        assert!(session.notes()[0].contains(&format!("{capacity}, not of 64")), "{:?}", session.notes());
        let input = vec![0.5; capacity * plan.input_len()];
        let mut output = vec![f32::NAN; capacity * plan.output_len()];
        session.run(&input, &mut output).unwrap();
        assert!(output.iter().take(3 * 65 * 63).all(|&x| x == 0.5));
        assert!(
            session.run(&vec![0.0; 64 * plan.input_len()], &mut vec![0.0; 64 * plan.output_len()]).is_err()
        );
    });
}

#[test]
fn too_little_memory_for_one_image_is_an_error() {
    let settings = [("STANDIN_MEMORY", "20000")];
    on_standin(test_name!(), &settings, || {
        let result = gpu::open().and_then(|gpu| gpu.session(plan(), 8).map(|_| ()));
        assert_says(result, &["memory", "OUT_OF_MEMORY"]);
    });
}

#[test]
fn a_fault_in_the_middle_ends_this_run_and_all_later_ones() {
    let settings = [("STANDIN_FAULT", "11")];
    on_standin(test_name!(), &settings, || {
        let plan = plan();
        let device = Device::Cuda(gpu::open().unwrap());
        let mut session = device.session(Arc::clone(&plan), 1).unwrap();
        let input = vec![0.5; plan.input_len()];
        let mut output = vec![f32::NAN; plan.output_len()];
        assert_eq!(plan.levels().len(), 8);
        session.run(&input, &mut output).unwrap();
        for _ in 0..2 {
            assert_says(
                session.run(&input, &mut output),
                &["running the plan", "CUDA_ERROR_ILLEGAL_ADDRESS"],
            );
        }
        assert_says(device.session(plan, 1), &["CUDA_ERROR_ILLEGAL_ADDRESS"]);
    });
}

#[test]
fn a_damaged_cache_entry_is_made_anew_and_a_cache_that_others_can_write_is_not_used() {
    let name = test_name!();
    let folder = tempfile::tempdir().unwrap();
    let settings = [("XDG_CACHE_HOME", folder.path().to_str().unwrap())];
    on_standin(name, &settings, || {
        let cache = std::env::var("XDG_CACHE_HOME").unwrap();
        let only_entry = || {
            let entries: Vec<_> = std::fs::read_dir(Path::new(&cache).join("msdcam")).unwrap().collect();
            assert_eq!(entries.len(), 1);
            entries[0].as_ref().unwrap().path()
        };
        gpu::open().unwrap();
        let whole = std::fs::read(only_entry()).unwrap();
        let mut damaged = whole.clone();
        damaged[100] ^= 1;
        // Not what was stored; and stored well, but nothing that the driver takes.
        for entry in [damaged, whole[..50].to_vec(), with_checksum(b"no machine code")] {
            std::fs::write(only_entry(), entry).unwrap();
            gpu::open().unwrap();
            assert!(std::fs::read(only_entry()).unwrap() == whole, "the entry is as before");
        }
        let own = Path::new(&cache).join("msdcam");
        let open = |mode| {
            std::fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            gpu::open().unwrap().kernels().to_string()
        };
        assert_eq!(open(0o700), "NVRTC, from the cache");
        assert_eq!(open(0o777), format!("NVRTC, not cached: {}: other users can write to it", own.display()));
    });
}

fn with_checksum(image: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    [sha2::Sha256::digest(image).as_slice(), image].concat()
}
