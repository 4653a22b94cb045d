//! A server for one batch size that prints a line for each line of input, so that its calls can alternate
//! with those of other programs (`benches/peers`) and of other variants (`benches/gpu.sh`).
//!
//!     serve WEIGHTS cpu|cuda THREADS BATCH [VARIANT]
//!
//! WEIGHTS: a file, or `random-imagenet` for the ImageNet network of step 4 with random weights. VARIANT:
//! execution on a GPU, as [`msdcam::engine::cuda::Variant`] reads it. Output is JSON: a line when the server is
//! ready, and a line for each line of input:
//!
//! | input | action | output |
//! |---|---|---|
//! | `images FILE` | reads the normalized batch, little-endian f32 (N, 3, H, W); the initial batch is noise | `{}` |
//! | `answers FILE` | writes `logits` (N, exits, classes), `class` (N, exits) and `heat` (N, exits, H, W) as .npz | `{}` |
//! | `forward SECONDS`, `grad_cam SECONDS` | runs all exits until the time is over, at least once | `{"ms": [..]}`, one number per call |
//! | `overlapped SECONDS` | the same with Grad-CAM and as many batches in flight as there is room for | `{"images_per_s": ..}` |
//! | `device REPEATS` | runs back to back | `{"device_ms": ..}`: mean time by the device's clock, including copies |
//! | `levels REPEATS` | replays growing prefixes of the plan | `{"levels": [{"ms", "prefix_ms", "ops", "multiply_adds"}, ..]}` |
//! | `plan` | | `{"plan": [[["conv2d", ..], ..], ..]}`: the ops of each job's steps, by level |
//! | `hash` | runs once | `{"sha256": ..}` of all outputs |
//! | `compare` | runs once here and once on the CPU | `{"logits": {"largest_error", "at"}, "rest": .., "maps": .., "maps_off": .., "classes_differ": ..}`; errors are relative to the largest magnitude of each output |
//! | `same_bits N..` | runs the first N images of the batch alone | `{"differ": [..]}`: those N with other bits |
//! | `soak RUNS SECONDS` | runs until one of the two is reached | `{"runs": .., "differ": ..}`: runs with other bits than the first |
//!
//! The output for an invalid line is `{"error": ..}`. A call is timed from images in host memory to results
//! in host memory, each of which is looked at: predictions with their class, maps with their status.

use std::hint::black_box;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use msdcam::engine::cuda::{Cuda, Variant};
use msdcam::engine::device::{Device, DeviceChoice};
use msdcam::engine::plan::{Job, Order};
use msdcam::explain::{Classifier, ExplainRequest, Explainer, Explanation, Explanations, Predictions};
use msdcam::model::Model;
use msdcam::model::msdnet::Config;
use msdcam::util::npz;
use msdcam::util::npz::{Array, Values};
use msdcam::util::sha256::sha256;
use msdcam::{Error, Result};
use serde_json::{Value, json};

mod support;

struct Server {
    network: Model,
    forward: Classifier,
    grad_cam: Explainer,
    images: Vec<f32>,
    batch: usize,
}

impl Server {
    /// The output for one line of input.
    fn serve(&mut self, line: &str) -> Result<Value> {
        let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
        Ok(match command {
            "images" => {
                self.images = read_images(Path::new(argument))?;
                json!({})
            }
            "answers" => {
                let answers = self.grad_cam.explain(&self.images)?;
                std::fs::write(argument, encode(&answers))
                    .map_err(|e| Error::write(Path::new(argument), e))?;
                json!({})
            }
            "forward" => {
                let (forward, images) = (&mut self.forward, &self.images);
                let call = || {
                    forward.submit(images)?;
                    look_at_predictions(forward.wait()?);
                    Ok(())
                };
                json!({ "ms": timed(call, seconds(argument)?)? })
            }
            "grad_cam" => {
                let (grad_cam, images) = (&mut self.grad_cam, &self.images);
                let call = || {
                    grad_cam.submit(images, &[])?;
                    look_at(grad_cam.wait()?);
                    Ok(())
                };
                json!({ "ms": timed(call, seconds(argument)?)? })
            }
            "overlapped" => json!({ "images_per_s": self.overlapped(seconds(argument)?)? }),
            "device" => {
                self.grad_cam.explain(&self.images)?;
                json!({ "device_ms": self.grad_cam.session_mut().device_ms(self.batch, count(argument)?)? })
            }
            "levels" => self.levels(count(argument)?)?,
            "plan" => self.plan(),
            "hash" => json!({ "sha256": hash(&self.grad_cam.explain(&self.images)?) }),
            "compare" => self.compare()?,
            "same_bits" => self.same_bits(argument)?,
            "soak" => self.soak(argument)?,
            _ => return Err(Error::usage(format!("no command '{line}'"))),
        })
    }

    /// Images per second with batches in flight.
    fn overlapped(&mut self, time: Duration) -> Result<f64> {
        let (start, mut batches) = (Instant::now(), 0);
        while batches == 0 || start.elapsed() < time {
            self.grad_cam.submit(&self.images, &[])?;
            batches += 1;
            if self.grad_cam.is_full() {
                look_at(self.grad_cam.wait()?);
            }
        }
        while self.grad_cam.in_flight() > 0 {
            look_at(self.grad_cam.wait()?);
        }
        Ok((batches * self.batch) as f64 / start.elapsed().as_secs_f64())
    }

    /// The time of each level of the plan, as part of the whole.
    fn levels(&mut self, repeats: usize) -> Result<Value> {
        self.grad_cam.explain(&self.images)?;
        let Some(prefixes) = self.grad_cam.session_mut().prefix_ms(self.batch, repeats)? else {
            return Err(Error::usage("levels are timed by a GPU's clock"));
        };
        let before = std::iter::once(&0.0).chain(&prefixes);
        let levels = self.grad_cam.session().plan().levels().iter().zip(prefixes.iter().zip(before));
        let levels: Vec<Value> = levels
            .map(|(level, (prefix, before))| {
                let steps = || level.jobs().iter().flat_map(|job| job.steps());
                let mut ops: Vec<&str> = steps().map(|step| step.op().name()).collect();
                ops.sort_unstable();
                ops.dedup();
                let multiply_adds: u64 = steps().map(|step| step.multiply_adds()).sum();
                let ms = prefix - before;
                json!({ "ms": ms, "prefix_ms": prefix, "ops": ops, "multiply_adds": multiply_adds })
            })
            .collect();
        Ok(json!({ "levels": levels }))
    }

    /// The ops of each step of each job of each level.
    fn plan(&self) -> Value {
        let ops = |job: &Job| -> Vec<&str> { job.steps().iter().map(|step| step.op().name()).collect() };
        let levels = self.grad_cam.session().plan().levels().iter();
        json!({ "plan": levels.map(|level| level.jobs().iter().map(ops).collect()).collect::<Vec<Vec<_>>>() })
    }

    /// The comparison with the results of the CPU.
    fn compare(&mut self) -> Result<Value> {
        let cpu = Device::open(DeviceChoice::Cpu, 0)?;
        let request = ExplainRequest::grad_cam(&self.network);
        let want = Explainer::new(&self.network, &request, &cpu, self.batch)?.explain(&self.images)?;
        let got = self.grad_cam.explain(&self.images)?;
        let (mut logits, mut maps) = (Largest::default(), Largest::default());
        let (mut classes_differ, mut maps_off) = (0, 0);
        for (image, (got, want)) in got.iter().zip(&want).enumerate() {
            for (got, want) in got.iter().zip(want) {
                classes_differ += usize::from(got.prediction.class != want.prediction.class);
                let mut off = false;
                for ((name, got), (_, want)) in numbers(got).into_iter().zip(numbers(want)) {
                    let (error, of_logits) = (error(got, want), name.ends_with("logits"));
                    let largest = if of_logits { &mut logits } else { &mut maps };
                    largest.take(error, || format!("image {image}, {name}"));
                    off |= !of_logits && (error.is_nan() || error > MAP_OFF);
                }
                maps_off += usize::from(off);
            }
        }
        let count = got.iter().map(Vec::len).sum::<usize>();
        let [logits, rest] = [logits, maps].map(|largest| largest.json());
        Ok(json!({
            "logits": logits, "rest": rest, "maps": count, "maps_off": maps_off, "classes_differ": classes_differ,
        }))
    }

    /// Checks smaller batches of the same images.
    fn same_bits(&mut self, argument: &str) -> Result<Value> {
        let image = self.images.len() / self.batch;
        let whole = self.grad_cam.explain(&self.images)?;
        let mut differ = Vec::new();
        for n in argument.split_whitespace() {
            let n = count(n)?;
            let Some(images) = self.images.get(..n * image).filter(|images| !images.is_empty()) else {
                return Err(Error::usage(format!("{n} images of a batch of {}", self.batch)));
            };
            if hash(&self.grad_cam.explain(images)?) != hash(&whole[..n]) {
                differ.push(n);
            }
        }
        Ok(json!({ "differ": differ }))
    }

    /// Repeats the same run.
    fn soak(&mut self, argument: &str) -> Result<Value> {
        let usage = || Error::usage(format!("soak '{argument}': wanted RUNS SECONDS"));
        let (most, time) = argument.split_once(' ').ok_or_else(usage)?;
        let (most, time) = (count(most)?, seconds(time)?);
        let first = self.grad_cam.explain(&self.images)?;
        let (start, mut runs, mut differ) = (Instant::now(), 0, 0);
        while runs < most && start.elapsed() < time {
            // Equal floats have equal bits except for the sign of zero; a NaN differs from itself.
            differ += usize::from(self.grad_cam.explain(&self.images)? != first);
            runs += 1;
        }
        Ok(json!({ "runs": runs, "differ": differ }))
    }
}

/// Relative error above which a map counts as off. Whether the gradient passes a ReLU whose input is within
/// rounding of zero is arbitrary: two correct programs may differ by some percent in a few of hundreds of
/// maps.
const MAP_OFF: f64 = 1e-4;

/// The largest of some errors and its position; NaN is the largest.
#[derive(Default)]
struct Largest {
    error: f64,
    at: String,
}

impl Largest {
    fn take(&mut self, error: f64, at: impl FnOnce() -> String) {
        if !self.error.is_nan() && (error.is_nan() || error > self.error) {
            *self = Largest { error, at: at() };
        }
    }

    /// JSON has neither NaN nor infinity.
    fn json(&self) -> Value {
        let error = if self.error.is_finite() { json!(self.error) } else { json!("not finite") };
        json!({ "largest_error": error, "at": self.at })
    }
}

/// Reads little-endian f32 values.
fn read_images(file: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(file).map_err(|e| Error::refused(file, "file", e.to_string()))?;
    let (numbers, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(Error::refused(file, "file", "not whole f32 numbers"));
    }
    Ok(numbers.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// All outputs of an explanation, with their names.
fn numbers(answer: &Explanation) -> Vec<(String, &[f32])> {
    let (prediction, map) = (&answer.prediction, &answer.maps[0]);
    let all = [
        ("logits", &prediction.logits[..]),
        ("probabilities", &prediction.probabilities[..]),
        ("weights", &map.weights[..]),
        ("map", &map.map[..]),
        ("heat", &map.heatmap.values[..]),
    ];
    all.into_iter().map(|(name, numbers)| (format!("exit {}, {name}", prediction.exit), numbers)).collect()
}

/// The largest difference relative to the largest expected magnitude; NaN if there is one.
fn error(got: &[f32], want: &[f32]) -> f64 {
    let largest = |numbers: &mut dyn Iterator<Item = f32>| {
        numbers
            .fold(0.0_f32, |most, x| if x.is_nan() || most.is_nan() { f32::NAN } else { most.max(x.abs()) })
    };
    let off = largest(&mut got.iter().zip(want).map(|(got, want)| got - want));
    let size = largest(&mut want.iter().copied());
    if off == 0.0 { 0.0 } else { f64::from(off) / f64::from(size) }
}

/// SHA-256 of the bits of all results, in order.
fn hash(answers: &[Vec<Explanation>]) -> String {
    let mut bytes = Vec::new();
    for answer in answers.iter().flatten() {
        let numbers = numbers(answer).into_iter().flat_map(|(_, numbers)| numbers);
        bytes.extend(numbers.flat_map(|x| x.to_le_bytes()));
    }
    sha256(&bytes)
}

fn count(text: &str) -> Result<usize> {
    text.parse().map_err(|_| Error::usage(format!("'{text}' is not a count")))
}

fn seconds(text: &str) -> Result<Duration> {
    let parsed = text.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    parsed.ok_or_else(|| Error::usage(format!("'{text}' is not a time in seconds")))
}

/// Looks at every prediction.
fn look_at_predictions(predictions: Predictions) {
    (0..predictions.len()).flat_map(|image| predictions.image(image)).for_each(|prediction| {
        black_box(prediction);
    });
}

/// Looks at every prediction and map.
fn look_at(explanations: Explanations) {
    (0..explanations.len()).flat_map(|image| explanations.image(image)).for_each(|explanation| {
        black_box(explanation.prediction);
        explanation.maps().for_each(|map| drop(black_box(map)));
    });
}

/// Milliseconds of each call.
fn timed(mut run: impl FnMut() -> Result<()>, time: Duration) -> Result<Vec<f64>> {
    let start = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || start.elapsed() < time {
        let begin = Instant::now();
        run()?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// All results as one .npz file.
fn encode(answers: &[Vec<Explanation>]) -> Vec<u8> {
    let all = || answers.iter().flatten();
    let logits: Vec<f32> = all().flat_map(|a| &a.prediction.logits).copied().collect();
    let classes: Vec<i64> = all().map(|a| a.prediction.class as i64).collect();
    let heat: Vec<f32> = all().flat_map(|a| &a.maps[0].heatmap.values).copied().collect();
    let (n, exits) = (answers.len(), answers[0].len());
    let side = (heat.len() / (n * exits)).isqrt();
    npz::encode(&[
        Array {
            name: "logits",
            shape: &[n, exits, logits.len() / (n * exits)],
            values: Values::F32(&logits),
        },
        Array { name: "class", shape: &[n, exits], values: Values::I64(&classes) },
        Array { name: "heat", shape: &[n, exits, side, side], values: Values::F32(&heat) },
    ])
}

fn run(args: &[String]) -> Result<()> {
    let usage = || Error::usage("usage: serve WEIGHTS cpu|cuda THREADS BATCH [VARIANT]");
    let (args, variant) = match args {
        [args @ .., variant] if args.len() == 4 => (args, variant.as_str()),
        args => (args, ""),
    };
    let [weights, device, threads, batch] = args else { return Err(usage()) };
    let threads = threads.parse().map_err(|_| usage())?;
    let batch: usize = batch.parse().ok().filter(|&batch| batch > 0).ok_or_else(usage)?;
    let network = match weights.as_str() {
        "random-imagenet" => support::random_network(&Config::imagenet(4)),
        file => support::network(Path::new(file))?,
    };
    let device = match device.as_str() {
        "cpu" => support::cpu(threads)?,
        "cuda" => Device::Cuda(Cuda::with_variant(0, variant.parse::<Variant>()?.with_env())?),
        _ => return Err(usage()),
    };
    let exits: Vec<usize> = (1..=network.exits.len()).collect();
    let request = ExplainRequest::grad_cam(&network);
    let image = network.input_shape().len();
    let mut server = Server {
        forward: Classifier::new(&network, &exits, Order::Depth, &device, batch)?,
        grad_cam: Explainer::new(&network, &request, &device, batch)?,
        images: support::noise(batch * image, &mut 1, 1.0),
        network,
        batch,
    };
    if server.grad_cam.capacity() < batch {
        return Err(Error::device(server.grad_cam.session().notes().join("; ")));
    }
    let mut ready = json!({ "device": device.description(), "version": env!("CARGO_PKG_VERSION") });
    ready["levels"] = server.grad_cam.session().plan().levels().len().into();
    if let Device::Cuda(gpu) = &device {
        ready["kernels"] = gpu.kernels().into();
    }
    let mut out = std::io::stdout().lock();
    let mut say = |line: Value| {
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| Error::write(Path::new("stdout"), e))
    };
    say(ready)?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Error::refused(Path::new("stdin"), "line", e.to_string()))?;
        say(server.serve(&line).unwrap_or_else(|e| json!({ "error": e.to_string() })))?;
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    // `cargo bench` without a target runs every bench with this flag alone: nothing to do then.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.is_empty() {
        eprintln!("serve: a part of benches/peers/run and benches/gpu.sh");
        return std::process::ExitCode::SUCCESS;
    }
    match run(&args) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            std::process::ExitCode::FAILURE
        }
    }
}
