//! The CUDA device against the CPU device and PyTorch's stored answers: on a real GPU, or under
//! the stand-in driver (see `common/gpu.rs`).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Command;
use std::sync::Arc;

use crate::common::close::{Tolerance, assert_close, assert_same_bits};
use crate::common::golden::repository;
use crate::common::gpu;
use crate::common::gpu::{on_gpu, on_standin};
use crate::common::nets::{asked, cam_graph, inputs, random_network};
use crate::common::process::passed;
use crate::common::random::Random;
use crate::common::run::{filling, input_spaces, output, run_with, shared_gpu};
use msdcam::Shape;
use msdcam::engine::cuda::nvrtc::Nvrtc;
use msdcam::engine::cuda::{Cuda, Tiling, Variant, options, source};
use msdcam::engine::device::{Device, DeviceChoice};
use msdcam::engine::plan::{Order, Plan, PlanOptions};
use msdcam::engine::tensor::Tensor;
use msdcam::model::msdnet::Config;

const TOLERANCE: Tolerance = Tolerance(1e-4);

fn cuda(tiling: Tiling) -> Device {
    Device::Cuda(shared_gpu().with_tiling(tiling))
}

/// The GPU with the variant of these words.
fn open(words: &str) -> msdcam::Result<Cuda> {
    Cuda::with_variant(0, words.parse::<Variant>().unwrap().with_env())
}

fn cpu() -> Device {
    Device::open(DeviceChoice::Cpu, 0).unwrap()
}

fn images(n: usize, size: usize) -> Tensor {
    Tensor::new(n, Shape::new(3, size, size), Random::new(n as u64).numbers(n * 3 * size * size))
}

/// The default network's plan for everything that the program asks, and `n` images for it.
fn default_case(n: usize, options: PlanOptions) -> (Arc<Plan>, Vec<Tensor>) {
    case(&Config::cifar10_anytime(), n, options)
}

/// The same of the first three exits on the stand-in, which takes half a second for ten of them: three have branches
/// beside the trunk as well.
fn short_case(n: usize, options: PlanOptions) -> (Arc<Plan>, Vec<Tensor>) {
    match gpu::is_real() {
        true => default_case(n, options),
        false => case(&Config::cifar10_anytime().with_layers(&[4, 2, 2], 0.5), n, options),
    }
}

/// The plan of a network for everything that the program asks, and `n` images for it.
fn case(config: &Config, n: usize, options: PlanOptions) -> (Arc<Plan>, Vec<Tensor>) {
    let network = random_network(config);
    let (graph, exits) = cam_graph(&network);
    let plan = Plan::with_options(&graph, &asked(&exits), &options).unwrap();
    (Arc::new(plan), inputs(&images(n, network.input.width), exits.len()))
}

/// The output spaces of a batch.
fn run_spaces(device: &Device, plan: &Arc<Plan>, spaces: &[f32]) -> Vec<f32> {
    let n = spaces.len() / plan.input_len();
    let mut out = vec![f32::NAN; n * plan.output_len()];
    device.session(Arc::clone(plan), n).unwrap().run(spaces, &mut out).unwrap();
    out
}

/// The numbers of every output slot: what lies between them is nobody's.
fn answers(plan: &Plan, spaces: &[f32]) -> Vec<f32> {
    plan.outputs().iter().flat_map(|slot| output(plan, slot, spaces).data).collect()
}

#[test]
fn every_exit_of_the_default_network_is_answered_as_on_the_cpu() {
    on_gpu(test_name!(), || {
        let (all, none) = (PlanOptions::new(Order::Depth), PlanOptions::unoptimized(Order::Depth));
        for (options, n) in [(all, 3), (none, 1)] {
            let network = random_network(&Config::cifar10_anytime());
            let (graph, exits) = cam_graph(&network);
            let inputs = inputs(&images(n, 32), exits.len());
            let inputs: Vec<&Tensor> = inputs.iter().collect();
            let outputs = asked(&exits);
            let want = run_with(&cpu(), &graph, &outputs, &options, &inputs);
            let got = run_with(&cuda(Tiling::Auto), &graph, &outputs, &options, &inputs);
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                let op = graph.node(outputs[i]).op.name();
                assert_close(&format!("exit {}: {op}", i / 6 + 1), &got.data, &want.data, TOLERANCE);
            }
        }
    });
}

#[test]
fn any_batch_any_tiling_and_any_run_give_the_same_bits() {
    on_gpu(test_name!(), || {
        let (plan, inputs) = short_case(4, PlanOptions::new(Order::Depth));
        let spaces = input_spaces(&plan, &inputs.iter().collect::<Vec<_>>());
        let want = answers(&plan, &run_spaces(&cuda(Tiling::Small), &plan, &spaces));
        let whole = answers(&plan, &run_spaces(&cuda(Tiling::Large), &plan, &spaces));
        assert_same_bits("large tiles", &whole, &want);
        let mut session = cuda(Tiling::Auto).session(Arc::clone(&plan), 4).unwrap();
        for batch in [1, 3, 4, 1] {
            let mut out = vec![f32::NAN; 4 * plan.output_len()];
            let batches =
                spaces.chunks(batch * plan.input_len()).zip(out.chunks_mut(batch * plan.output_len()));
            for (inputs, outputs) in batches {
                session.run(inputs, outputs).unwrap();
            }
            assert_same_bits(&format!("batches of {batch}"), &answers(&plan, &out), &want);
        }
    });
}

#[test]
fn every_variant_gives_the_same_answers() {
    let name = test_name!();
    on_gpu(name, || {
        // Three exits have branches beside the trunk, as ten have.
        let three_exits = Config::cifar10_anytime().with_layers(&[4, 2, 2], 0.5);
        let (plan, inputs) = case(&three_exits, 2, PlanOptions::new(Order::Depth));
        let spaces = input_spaces(&plan, &inputs.iter().collect::<Vec<_>>());
        let of = |words: &str| {
            let device = Device::Cuda(open(words).unwrap());
            answers(&plan, &run_spaces(&device, &plan, &spaces))
        };
        let want = of("");
        for launches in ["launches=graph", "launches=stream", "launches=branches"] {
            for more in ["", ",edges=programmatic", ",copies=kernel", ",edges=programmatic,copies=kernel"] {
                let words = format!("{launches}{more}");
                assert_same_bits(&words, &of(&words), &want);
            }
        }
        if Nvrtc::find(None).is_err() {
            return skipped!("{name}: NVRTC's code beside the built-in one: no NVRTC");
        }
        let compiled = of("kernels=compiled");
        // Another release of the compiler may order products otherwise.
        assert_close("kernels=compiled", &compiled, &want, Tolerance(1e-5));
        let words = "kernels=compiled,launches=stream,tiling=large";
        assert_same_bits(words, &of(words), &compiled);
        // What the compiler makes for the chip that both the stand-in and the built-in code are for.
        let nvrtc = Nvrtc::find(None).unwrap();
        let image = nvrtc.compile(&source(), &options(90, &nvrtc.architectures())).unwrap().image;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("level.cubin");
        std::fs::write(&file, image).unwrap();
        let words = format!("kernels={}", file.display());
        match open(&words) {
            Ok(_) => assert_same_bits(&words, &of(&words), &compiled),
            Err(e) => skipped!("{name}: machine code for 9.0 from a file: {e}"),
        }
    });
}

#[test]
fn a_run_that_stops_early_computes_less_and_answers_the_same() {
    on_gpu(test_name!(), || {
        let (plan, inputs) = default_case(3, PlanOptions::new(Order::ByExit));
        let spaces = input_spaces(&plan, &inputs.iter().collect::<Vec<_>>());
        let full = run_spaces(&cuda(Tiling::Auto), &plan, &spaces);
        let mut session = cuda(Tiling::Auto).session(Arc::clone(&plan), 3).unwrap();
        // Image 0 stops at exit 1, image 1 at exit 4, image 2 never.
        let stops = [1, 4, 11];
        let mut unsure = |exit: usize, image: usize, _: &[f32]| exit < stops[image];
        session.run_early_exit(3, &mut filling(&spaces), &mut unsure).unwrap();
        let (reached, early) = (session.reached(), session.outputs());
        assert_eq!(reached, [1, 4, 10]);
        assert!(session.multiply_adds_done() < 2 * plan.multiply_adds());
        for (image, &last) in reached.iter().enumerate() {
            for slot in &plan.outputs()[..6 * last] {
                let [early, full] = [early, &full[..]].map(|spaces| output(&plan, slot, spaces));
                assert_same_bits(&format!("image {image}: {slot}"), early.image(image), full.image(image));
            }
        }
    });
}

#[test]
fn the_tests_of_ops_networks_and_random_graphs_pass() {
    let name = test_name!();
    if gpu::at_hand() || !gpu::standin_works(name) {
        return; // on a real GPU those tests are run by themselves
    }
    let mut command = Command::new(repository("tests/standin/run"));
    command.arg(std::env::current_exe().unwrap()).args(["ops::", "network::", "random_graphs::"]);
    let output = gpu::as_standin(&mut command).output().unwrap();
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("devices_and_reference_agree_on_random_graphs ... ok"), "{out}");
}

/// The program below.
const PRINT_HASH: &str = "cuda::print_hash";

/// A program for the tests below: prints a hash of the default network's answers.
#[test]
#[ignore = "a program for other tests"]
fn print_hash() {
    if gpu::at_hand() {
        let (plan, inputs) = short_case(1, PlanOptions::new(Order::Depth));
        let spaces = input_spaces(&plan, &inputs.iter().collect::<Vec<_>>());
        let mut hash = DefaultHasher::new();
        let branches = open("launches=branches,edges=programmatic,copies=kernel").unwrap();
        let devices = [cuda(Tiling::Small), cuda(Tiling::Large), Device::Cuda(branches)];
        for device in devices {
            let answers = answers(&plan, &run_spaces(&device, &plan, &spaces));
            assert!(answers.iter().all(|x| x.is_finite()));
            answers.iter().for_each(|x| x.to_bits().hash(&mut hash));
        }
        println!("hash: {:016x}", hash.finish());
    }
}

fn hash_with(settings: &[(&str, &str)]) -> String {
    let out = passed(PRINT_HASH, gpu::standin(PRINT_HASH, settings));
    out[out.find("hash: ").expect("a hash")..].lines().next().unwrap().into()
}

#[test]
fn threads_and_blocks_may_run_in_any_order() {
    let name = test_name!();
    if gpu::at_hand() || !gpu::standin_works(name) {
        return;
    }
    let forward = hash_with(&[]);
    for order in ["backward", "random:1", "random:2"] {
        assert_eq!(hash_with(&[("STANDIN_ORDER", order)]), forward, "{order}");
    }
    assert_eq!(hash_with(&[("STANDIN_LAZY", "1")]), forward, "work as late as possible");
}

#[test]
fn the_kernels_are_clean_under_sanitizers() {
    let name = test_name!();
    if gpu::at_hand() || !gpu::standin_works(name) {
        return;
    }
    assert_eq!(hash_with(&[("STANDIN_SANITIZE", "address,undefined")]).len(), 22);
}

#[test]
fn a_level_is_one_launch_and_a_run_one_copy_each_way() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("counts.json");
    let settings = [("STANDIN_COUNT", file.to_str().unwrap())];
    on_standin(test_name!(), &settings, || {
        let (plan, inputs) = default_case(2, PlanOptions::new(Order::Depth));
        let spaces = input_spaces(&plan, &inputs.iter().collect::<Vec<_>>());
        run_spaces(&cuda(Tiling::Auto), &plan, &spaces);
        println!("levels: {}", plan.levels().len());
    });
    if let Ok(text) = std::fs::read_to_string(&file) {
        let counts: serde_json::Value = serde_json::from_str(&text).unwrap();
        let (plan, _) = default_case(2, PlanOptions::new(Order::Depth));
        assert_eq!(counts["kernels"]["level"].as_u64(), Some(plan.levels().len() as u64), "{text}");
        let download = &counts["memcpy_device_to_host"];
        assert_eq!(download["count"].as_u64(), Some(1), "{text}");
        assert_eq!(download["bytes"].as_u64(), Some(2 * 4 * plan.output_len() as u64), "{text}");
        // Weights, tables and steps, and the list of images, are uploaded once.
        assert_eq!(counts["memcpy_host_to_device"]["count"].as_u64(), Some(4 + 1), "{text}");
        assert_eq!(counts["host_allocations"].as_u64(), Some(2), "one batch in flight at a time: {text}");
    }
}

#[test]
fn the_program_itself_runs_on_a_gpu() {
    let name = test_name!();
    if gpu::at_hand() || !gpu::standin_works(name) {
        return;
    }
    let explain = |device: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(repository("tests/standin/run"));
        command
            .arg(env!("CARGO_BIN_EXE_msdcam"))
            .args(["explain", "--device", device, "-o"])
            .arg(folder.path());
        command.arg(repository("weights/samples/chelsea.png"));
        let output = gpu::as_standin(&mut command).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{said}");
        let results = std::fs::read_to_string(folder.path().join("results.jsonl")).unwrap();
        (said, serde_json::from_str::<serde_json::Value>(&results).unwrap())
    };
    let ((said, got), (_, want)) = (explain("auto"), explain("cpu"));
    assert!(said.contains("cuda:0"), "{said}");
    let classes = |results: &serde_json::Value| -> Vec<serde_json::Value> {
        results["exits"].as_array().unwrap().iter().map(|exit| exit["class"].clone()).collect()
    };
    assert_eq!(classes(&got).len(), 10, "{got}");
    assert_eq!(classes(&got), classes(&want));
}

#[test]
fn the_program_explains_on_a_gpu_as_on_the_cpu_whatever_is_asked() {
    let name = test_name!();
    if gpu::at_hand() || !gpu::standin_works(name) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(repository("tests/standin/run"));
        command.arg(env!("CARGO_BIN_EXE_msdcam")).args(args).current_dir(folder.path());
        let output = gpu::as_standin(&mut command).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{said}");
    };
    let checkpoint = repository("tests/golden/nets/blocks-transition-last.pth");
    run(&["convert", checkpoint.to_str().unwrap(), "-o", "w.safetensors"]);
    let photo = repository("tests/golden/images/noise.png");
    let ranges = |device: &str| {
        let methods = "grad-cam,layer-cam,score-cam,ablation-cam,eigen-cam,guided-grad-cam,smooth-grad";
        let asked = ["--method", methods, "--class", "top2", "--tap", "all-scales", "--minus", "runner-up"];
        let rest =
            ["--samples", "2", "--size", "32", "--weights", "w.safetensors", "--device", device, "-o", "out"];
        run(&[&["explain", photo.to_str().unwrap()], &asked[..], &rest[..]].concat());
        let results = std::fs::read_to_string(folder.path().join("out/results.jsonl")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&results).unwrap();
        let maps =
            record["exits"].as_array().unwrap().iter().flat_map(|e| e["maps"].as_array().unwrap().clone());
        let number = |map: &serde_json::Value, key: &str| map[key].as_f64().unwrap();
        maps.map(|map| [number(&map, "score"), number(&map, "max")]).collect::<Vec<_>>()
    };
    let (got, want) = (ranges("cuda"), ranges("cpu"));
    assert!(want.len() > 50 && got.len() == want.len(), "{} maps", got.len());
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        assert_close(&format!("score and maximum of map {i}"), got, want, Tolerance(1e-3));
    }
}

#[test]
fn the_device_says_how_long_a_run_takes() {
    on_gpu(test_name!(), || {
        let two_exits = Config::cifar10_anytime().with_layers(&[4, 2], 0.5);
        let (plan, inputs) = case(&two_exits, 1, PlanOptions::new(Order::Depth));
        let spaces = input_spaces(&plan, &inputs.iter().collect::<Vec<_>>());
        let mut session = cuda(Tiling::Auto).session(Arc::clone(&plan), 1).unwrap();
        let mut out = vec![0.0; plan.output_len()];
        session.run(&spaces, &mut out).unwrap();
        let ms = session.device_ms(1, 2).unwrap().unwrap();
        assert!(ms > 0.0 && ms.is_finite(), "{ms} ms");
        assert_eq!(session.device_ms(2, 1).unwrap(), None, "more images than the memory holds");
        let prefixes = session.prefix_ms(1, 1).unwrap().unwrap();
        assert_eq!(prefixes.len(), plan.levels().len());
        assert!(prefixes.iter().all(|ms| *ms > 0.0 && ms.is_finite()), "{prefixes:?}");
        assert_eq!(session.prefix_ms(2, 1).unwrap(), None, "more images than the memory holds");
        // Timing parts of the plan leaves nothing behind that a run would meet.
        let mut again = vec![f32::NAN; plan.output_len()];
        session.run(&spaces, &mut again).unwrap();
        assert_same_bits("a run after timing", &answers(&plan, &again), &answers(&plan, &out));
    });
}
