//! Every op of a model with its shapes there, on the CPU: time, rate, percentage of the
//! machine's peak multiply-add rate, and bytes.
//!
//!     cargo bench --bench ops -- [cifar|imagenet|FILE.onnx] [avx512|avx2|portable] [threads] [schedule]
//!
//! `schedule`, instead: by the cost model, how many times as fast as one thread more threads are, for one image and for
//! several. The model knows levels, their division and barriers, not that threads share memory and its bandwidth.
//!
//! An op is timed as the difference between a plan with many independent copies of it and a plan
//! with one, so that copying inputs and waking threads cancel out. Each copy has its own weights and
//! writes its own result, as in the model, where nothing is read twice in a row. Bytes are the minimum
//! traffic of the op: inputs, weights and result in f32.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use msdcam::engine::cpu::{Cpu, Isa};
use msdcam::engine::device::Device;
use msdcam::engine::graph::ops::Window;
use msdcam::engine::graph::{Graph, Op, Param};
use msdcam::engine::plan::{Order, Plan, PlanOptions, Step};
use msdcam::engine::session::Session;
use msdcam::explain::{ExplainRequest, Explainer};
use msdcam::model::Model;
use msdcam::model::msdnet::Config;
use msdcam::{Result, Shape};
use support::{median, noise, random_network};

mod peak;
#[path = "../support/mod.rs"]
mod support;

/// Rounds of each measurement; the peak is measured in each.
const ROUNDS: usize = 5;
/// Seconds of one round.
const TURN: f64 = 0.004;
/// Maximum number of copies of an op; fewer if their results or weights would exceed this many elements.
const COPIES: usize = 16;
const MOST_RESULTS: usize = 1 << 17;
const MOST_WEIGHTS: usize = 1 << 23;

/// Steps with the same op and shapes.
struct Kind {
    step: Step,
    /// Number of such steps in the model.
    count: usize,
    weights: usize,
    /// Clock cycles that the cost model estimates on one thread.
    estimate: f64,
    /// Time in microseconds, and the peak rate measured with it in GFLOP/s.
    time: f64,
    peak: f64,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let given = |name: &str| args.iter().any(|a| a == name);
    let isa = Isa::available().into_iter().find(|isa| given(isa.name())).unwrap_or(Isa::detect());
    let threads = args.iter().find_map(|a| a.parse().ok()).unwrap_or(1);
    let cpu = Cpu::with_isa(threads, isa)?;
    let device = Device::Cpu(cpu.clone());

    let model = match args.iter().find(|arg| arg.ends_with(".onnx")) {
        Some(path) => Model::open(path)?,
        None if given("imagenet") => random_network(&Config::imagenet(4)),
        None => random_network(&Config::cifar10_anytime()),
    };
    let mut explainer = Explainer::new(&model, &ExplainRequest::grad_cam(&model), &device, 1)?;
    let plan = explainer.session().plan().clone();
    if given("schedule") {
        return print_schedule(&cpu, &plan);
    }
    let mut kinds = kinds(&plan);
    for kind in &mut kinds {
        measure(kind, plan.params(), &device, &cpu)?;
    }
    let images = noise(model.input_shape().len(), &mut 7, 1.0);
    let mut whole: Vec<f64> = (0..20)
        .map(|_| {
            let start = Instant::now();
            explainer.explain(&images).map(|_| start.elapsed().as_secs_f64() * 1e6)
        })
        .collect::<Result<_>>()?;
    print(&mut kinds, &device.description(), median(&mut whole), threads);
    Ok(())
}

/// The kinds of steps of `plan`.
fn kinds(plan: &Plan) -> Vec<Kind> {
    let mut kinds = BTreeMap::new();
    for step in plan.steps() {
        let weights = params(step.op()).iter().map(|&id| plan.params()[id].data.len()).sum();
        let kind = Kind { step: step.clone(), count: 0, weights, estimate: 0.0, time: 0.0, peak: 0.0 };
        kinds.entry(name(step)).or_insert(kind).count += 1;
    }
    kinds.into_values().collect()
}

/// Number of elements of the parameters that `op` reads.
fn params(op: &Op) -> Vec<usize> {
    match op {
        Op::Conv2d(op) => [op.bias, Some(op.weight)].into_iter().flatten().map(|id| id.index()).collect(),
        Op::Conv2dGrad(op) => vec![op.weight.index()],
        Op::Linear(op) => vec![op.weight.index(), op.bias.index()],
        Op::LinearGrad(op) => vec![op.weight.index()],
        Op::PooledConv2dGrad(op) => vec![op.weight.index()],
        Op::Cam(op) => vec![op.pooled.weight.index()],
        Op::Classifier(op) => vec![op.linear.weight.index(), op.linear.bias.index()],
        _ => vec![],
    }
}

/// The op and its window.
fn family(step: &Step) -> String {
    let window = match step.op() {
        Op::Conv2d(op) => Some(op.window),
        Op::Conv2dGrad(op) => Some(op.window),
        Op::MaxPool(op) => Some(op.window),
        Op::AvgPool(op) => Some(op.window),
        Op::Classifier(op) => Some(op.window),
        _ => None,
    };
    let window = window.map_or(String::new(), |Window { kernel: [h, w], stride: [s, _], .. }| {
        format!(" {h}x{w}{}", if s == 1 { String::new() } else { format!("/{s}") })
    });
    format!("{}{window}", step.op().name())
}

/// The op, its window and its shapes.
fn name(step: &Step) -> String {
    let inputs: Vec<String> = step.inputs().iter().map(|slot| slot.shape().to_string()).collect();
    format!("{} {} -> {}", family(step), inputs.join(", "), step.output().shape())
}

/// A plan of `copies` independent copies of `step`'s op.
fn plan_of(step: &Step, params: &[Param], copies: usize) -> Result<Plan> {
    let mut graph = Graph::new();
    for param in params {
        graph.add_param(&*param.name, &param.dims, param.data.clone());
    }
    let inputs: Vec<_> =
        step.inputs().iter().map(|slot| graph.push(Op::Input(slot.shape()), &[])).collect::<Result<_>>()?;
    let first = graph.push(step.op().clone(), &inputs)?;
    for _ in 1..copies {
        graph.push(step.op().clone(), &inputs)?;
    }
    Plan::with_options(&graph, &[first], &PlanOptions::unoptimized(Order::Depth))
}

/// A session with its inputs and outputs.
struct Subject {
    session: Box<dyn Session>,
    inputs: Vec<f32>,
    outputs: Vec<f32>,
}

impl Subject {
    fn new(plan: Plan, device: &Device) -> Result<Self> {
        let inputs = noise(plan.input_len(), &mut 3, 1.0);
        let outputs = vec![0.0; plan.output_len()];
        Ok(Subject { session: device.session(Arc::new(plan), 1)?, inputs, outputs })
    }

    /// Microseconds of one run: the median over a round.
    fn turn(&mut self) -> Result<f64> {
        let start = Instant::now();
        let mut times = Vec::new();
        self.session.run(&self.inputs, &mut self.outputs)?; // warms the caches
        while times.is_empty() || start.elapsed().as_secs_f64() < TURN {
            let begin = Instant::now();
            self.session.run(&self.inputs, &mut self.outputs)?;
            times.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        Ok(median(&mut times))
    }
}

fn measure(kind: &mut Kind, params: &[Param], device: &Device, cpu: &Cpu) -> Result<()> {
    let fit = |most: usize, len: usize| most / len.max(1);
    let copies =
        COPIES.min(fit(MOST_RESULTS, kind.step.output().shape().len())).min(fit(MOST_WEIGHTS, kind.weights));
    let copies = copies.max(1);
    let [one, many] = [1, 1 + copies].map(|copies| plan_of(&kind.step, params, copies));
    let (one, many) = (one?, many?);
    kind.estimate = (cpu.estimated_cycles(&many, 1, 1)? - cpu.estimated_cycles(&one, 1, 1)?) / copies as f64;
    let (mut one, mut many) = (Subject::new(one, device)?, Subject::new(many, device)?);
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        peaks.push(peak::gflops(cpu.isa()));
        times.push((many.turn()? - one.turn()?) / copies as f64);
    }
    kind.time = median(&mut times).max(0.0);
    kind.peak = median(&mut peaks);
    Ok(())
}

fn print(kinds: &mut [Kind], device: &str, whole: f64, threads: usize) {
    kinds.sort_by(|a, b| (b.time * b.count as f64).total_cmp(&(a.time * a.count as f64)));
    let total: f64 = kinds.iter().map(|k| k.time * k.count as f64).sum();
    let mut peaks: Vec<f64> = kinds.iter().map(|k| k.peak).collect();
    let peak = median(&mut peaks);
    println!("{device}, batch 1; one core's multiply-add units: {peak:.1} GFLOP/s (measured)\n");
    println!(
        "{:>5} {:>6} {:>9} {:>9} {:>8} {:>6} {:>9} {:>7}  op",
        "steps", "share", "us each", "MMAC", "GFLOP/s", "peak", "KB", "GB/s"
    );
    let mut work = 0;
    for kind in kinds.iter() {
        let macs = kind.step.multiply_adds();
        work += macs * kind.count as u64;
        let numbers: usize = kind.step.inputs().iter().map(|slot| slot.shape()).map(|s: Shape| s.len()).sum();
        let bytes = 4 * (numbers + kind.weights + kind.step.output().shape().len());
        let rate = 2e-3 * macs as f64 / kind.time;
        println!(
            "{:>5} {:>5.1}% {:>9.2} {:>9.3} {:>8.1} {:>5.0}% {:>9.1} {:>7.1}  {}",
            kind.count,
            100.0 * kind.time * kind.count as f64 / total,
            kind.time,
            macs as f64 * 1e-6,
            rate,
            100.0 * rate / kind.peak / threads as f64,
            bytes as f64 / 1024.0,
            1e-3 * bytes as f64 / kind.time,
            name(&kind.step)
        );
    }
    print_families(kinds, total, peak * threads as f64);
    println!(
        "\nall ops: {:.0} us, {:.1} MMAC, {:.0} % of peak; the network with Grad-CAM: {whole:.0} us",
        total,
        work as f64 * 1e-6,
        2e-1 * work as f64 / total / peak / threads as f64,
    );
}

/// Estimated speedups over one thread, by threads and images of a batch: as divided among teams, and with every image on
/// all threads.
fn print_schedule(cpu: &Cpu, plan: &Plan) -> Result<()> {
    const BATCHES: [usize; 7] = [1, 2, 3, 4, 8, 16, 64];
    println!(
        "{}, times as fast as one thread, estimated; in parentheses, images one after another\n",
        cpu.isa().name()
    );
    println!("threads {}", BATCHES.map(|images| format!("{images:>14}")).concat());
    let alone = cpu.estimated_cycles(plan, 1, 1)?;
    for threads in [1, 2, 4, 8, 16, 64] {
        let together = alone / cpu.estimated_cycles(plan, threads, 1)?;
        print!("{threads:>7} ");
        for images in BATCHES {
            let speedup = images as f64 * alone / cpu.estimated_cycles(plan, threads, images)?;
            print!("{:>14}", format!("{speedup:.1} ({together:.1})"));
        }
        println!();
    }
    Ok(())
}

/// The table summed over shapes, by op and window. `fit`: the measured time over the estimated one,
/// relative to all ops, which is the factor by which the cost model's constants of that op are off.
fn print_families(kinds: &[Kind], total: f64, peak: f64) {
    let mut families: BTreeMap<String, (usize, f64, u64, f64)> = BTreeMap::new();
    for kind in kinds {
        let family = families.entry(family(&kind.step)).or_default();
        family.0 += kind.count;
        family.1 += kind.time * kind.count as f64;
        family.2 += kind.step.multiply_adds() * kind.count as u64;
        family.3 += kind.estimate * kind.count as f64;
    }
    let cycles: f64 = families.values().map(|family| family.3).sum();
    println!(
        "\n{:>5} {:>6} {:>9} {:>9} {:>8} {:>6} {:>6}",
        "steps", "share", "us", "MMAC", "GFLOP/s", "peak", "fit"
    );
    for (name, (count, time, macs, estimate)) in families {
        let fit = (time / total) / (estimate / cycles);
        let rate = 2e-3 * macs as f64 / time;
        println!(
            "{count:>5} {:>5.1}% {time:>9.1} {:>9.3} {rate:>8.1} {:>5.0}% {fit:>6.2}  {name}",
            100.0 * time / total,
            macs as f64 * 1e-6,
            100.0 * rate / peak
        );
    }
}
