//! Memory: a session allocates only when it is created, and methods with many runs respect the memory limit.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};

use crate::common::gpu::{self, on_gpu};
use crate::common::nets::{asked, cam_graph, golden_network, inputs};
use crate::common::process::alone;
use crate::common::run;
use crate::common::run::{input_spaces, shared_gpu};
use msdcam::Shape;
use msdcam::engine::cpu::Isa;
use msdcam::engine::device::{Device, DeviceChoice};
use msdcam::engine::graph::Graph;
use msdcam::engine::graph::ops::{AvgPool, Conv2d, Linear, Op, Window};
use msdcam::engine::plan::{Order, Plan};
use msdcam::engine::tensor::Tensor;
use msdcam::explain::{Classifier, ExplainRequest, Explainer, Explanations, MapMethod, Method, Target};
use msdcam::model::Model;

/// The system's allocator, with counters that [`counted`] enables.
struct Counting;

/// Disabled in processes that run other tests.
static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
/// Bytes in use that were allocated since counting began, and their maximum. Memory allocated before may
/// be freed, so the sum can be negative.
static LIVE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is forwarded to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATIONS.fetch_add(usize::from(!is_harness()), Ordering::Relaxed);
            let size = layout.size() as isize;
            let live = LIVE.fetch_add(size, Ordering::Relaxed) + size;
            PEAK.fetch_max(live, Ordering::Relaxed);
        }
        // SAFETY: the caller upholds the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if COUNTS.load(Ordering::Relaxed) {
            LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        }
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Whether this is the main thread, in which the test harness reports tests that take long.
#[cfg(target_os = "linux")]
fn is_harness() -> bool {
    // SAFETY: the calls have no preconditions.
    unsafe { libc::gettid() == libc::getpid() }
}

/// Not known on this platform.
#[cfg(not(target_os = "linux"))]
fn is_harness() -> bool {
    false
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `body` in a process of its own and counts its allocations, including those of worker threads, but
/// not those of other tests.
fn counted(name: &str, body: impl FnOnce()) {
    alone(name, || {
        COUNTS.store(true, Ordering::Relaxed);
        body();
    });
}

#[test]
fn runs_after_the_first_allocate_nothing() {
    counted(test_name!(), || {
        let (golden, network) = golden_network("subnets-even");
        let (graph, exits) = cam_graph(&network);
        let plan = Arc::new(Plan::new(&graph, &asked(&exits), Order::Depth).unwrap());
        let inputs = inputs(&golden.tensor("input"), exits.len());
        let two = input_spaces(&plan, &inputs.iter().collect::<Vec<&Tensor>>());
        for isa in Isa::available() {
            for threads in [1, 2, 3] {
                for batch in [1, 2, 5, 20] {
                    let spaces: Vec<f32> =
                        two.iter().copied().cycle().take(batch * plan.input_len()).collect();
                    let mut outputs = vec![0.0; batch * plan.output_len()];
                    let mut session = run::cpu(threads, isa).session(Arc::clone(&plan), batch).unwrap();
                    session.run(&spaces, &mut outputs).unwrap();
                    let before = ALLOCATIONS.load(Ordering::Relaxed);
                    for _ in 0..3 {
                        session.run(&spaces, &mut outputs).unwrap();
                    }
                    let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
                    assert_eq!(made, 0, "{}, {threads} threads, {batch} images", isa.name());
                }
            }
        }
        assert!(ALLOCATIONS.load(Ordering::Relaxed) > 100, "the counter counts");
    });
}

/// Submits and waits for batches, and looks at every result; returns the allocations of all but the first
/// rounds.
fn allocations_of_calls(device: &Device, batch: usize) -> usize {
    let (golden, network) = golden_network("subnets-even");
    let images: Vec<f32> =
        golden.tensor("input").data.into_iter().cycle().take(batch * 3 * 32 * 32).collect();
    let exits: Vec<usize> = (1..=network.exits.len()).collect();
    let targets = [Target::Predicted, Target::Class(1), Target::Label, Target::Top(2)];
    let requests = targets.map(|target| ExplainRequest { target, ..ExplainRequest::grad_cam(&network) });
    let mut explainers = requests.map(|request| Explainer::new(&network, &request, device, batch).unwrap());
    let mut classifier = Classifier::new(&network, &exits, Order::Depth, device, batch).unwrap();
    let (labels, mut before) = (vec![1; batch], 0);
    for round in 0..4 {
        if round == 2 {
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
        for explainer in &mut explainers {
            // As many as there is room for, and one more.
            for _ in 0..3 {
                explainer.submit(&images, &labels).unwrap();
                if explainer.is_full() {
                    look_at(explainer.wait().unwrap(), batch);
                }
            }
            while explainer.in_flight() > 0 {
                look_at(explainer.wait().unwrap(), batch);
            }
        }
        classifier.submit(&images).unwrap();
        let predictions = classifier.wait().unwrap();
        let all = (0..predictions.len()).flat_map(|image| predictions.image(image));
        assert_eq!(all.filter(|prediction| prediction.confidence() >= 0.0).count(), batch * exits.len());
    }
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

fn look_at(explanations: Explanations, batch: usize) {
    assert_eq!(explanations.len(), batch);
    for explanation in (0..batch).flat_map(|image| explanations.image(image)) {
        assert!(
            explanation.score.is_finite() && explanation.prediction.rank(explanation.target) < usize::MAX
        );
        for map in explanation.maps() {
            assert_eq!(map.heatmap.values.len(), map.heatmap.width * map.heatmap.height);
        }
    }
}

#[test]
fn calls_after_the_first_allocate_nothing() {
    counted(test_name!(), || {
        for (threads, batch) in [(1, 1), (2, 1), (2, 7)] {
            let made = allocations_of_calls(&run::cpu(threads, Isa::detect()), batch);
            assert_eq!(made, 0, "{threads} threads, {batch} images");
        }
        assert!(ALLOCATIONS.load(Ordering::Relaxed) > 100, "the counter counts");
    });
}

#[test]
fn calls_after_the_first_allocate_nothing_on_a_gpu() {
    let name = test_name!();
    on_gpu(name, || {
        counted(name, || {
            // Of two images alone on the stand-in, which takes seconds for a call.
            for batch in if gpu::is_real() { 1..=2 } else { 2..=2 } {
                let made = allocations_of_calls(&Device::Cuda(shared_gpu()), batch);
                assert_eq!(made, 0, "{batch} images");
            }
            assert!(ALLOCATIONS.load(Ordering::Relaxed) > 100, "the counter counts");
        });
    });
}

/// A model with a tap of 10,000 channels of 4 x 4, for inputs of 3 x 64 x 64.
fn wide_network() -> Model {
    const CHANNELS: usize = 10_000;
    let mut graph = Graph::new();
    let input = graph.push(Op::Input(Shape::new(3, 64, 64)), &[]).unwrap();
    let weights = |n: usize| (0..n).map(|i| (i % 7) as f32 / 7.0 - 0.4).collect::<Vec<f32>>();
    let weight = graph.add_param("conv", &[CHANNELS, 3, 1, 1], weights(3 * CHANNELS));
    let conv = Conv2d::new(&graph, weight, None, [16, 16], [0, 0]);
    let conv = graph.push(conv, &[input]).unwrap();
    let tap = graph.push(Op::RELU, &[conv]).unwrap();
    let pooled =
        graph.push(AvgPool { window: Window::square(4, 4, 0), counted: [[0; 2]; 2] }, &[tap]).unwrap();
    let weight = graph.add_param("linear", &[2, CHANNELS], weights(2 * CHANNELS));
    let bias = graph.add_param("bias", &[2], vec![0.0; 2]);
    let logits = graph.push(Linear { weight, bias }, &[pooled]).unwrap();
    Model::from_graph(graph, input, &[(tap, logits)]).unwrap()
}

#[test]
fn score_cam_of_ten_thousand_channels_respects_the_memory_limit() {
    counted(test_name!(), || {
        let network = wide_network();
        let images = vec![0.5; 3 * 64 * 64];
        let device = Device::open(DeviceChoice::Cpu, 1).unwrap();
        const MIB: usize = 1 << 20;
        let most = |max_memory: usize| {
            let request = ExplainRequest {
                max_memory,
                ..ExplainRequest::new(&network, &[Method::Map(MapMethod::ScoreCam)])
            };
            let before = LIVE.load(Ordering::Relaxed);
            PEAK.store(before, Ordering::Relaxed);
            let mut explainer = Explainer::new(&network, &request, &device, 1).unwrap();
            let explanations = explainer.explain(&images).unwrap();
            assert_eq!(explanations[0][0].maps[0].weights.len(), 10_000);
            (PEAK.load(Ordering::Relaxed) - before) as usize / MIB
        };
        // The masks of all channels at once would be 156 MiB.
        let [little, much] = [8, 256].map(|limit| most(limit * MIB));
        assert!(little <= 8, "{little} MiB where 8 are allowed");
        // A larger batch costs little: the CPU has the inputs of the images that run, and of no others.
        assert!(much >= little && much < 32, "{much} MiB where 256 are allowed, {little} where 8 are");
    });
}
