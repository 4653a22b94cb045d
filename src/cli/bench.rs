//! `msdcam bench`: latency and throughput of each exit on a device.

mod measurement;

use std::path::PathBuf;

use crate::Result;
use crate::engine::cuda::Variant;
use crate::engine::device::Device;
use crate::render::chart::{ChartSize, LineChart, Series, YOrigin};
use crate::util::atomic_file;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use measurement::{Measurement, ROUNDS, Subject, measure};

use super::model::{LoadedModel, ModelArgs};
use super::output::Output;
use super::timings::Timings;
use super::values::seconds;

/// Measure the latency of each exit, with and without Grad-CAM
///
/// A time is the latency of one batch, from the input in memory to the results in memory: the input is
/// checked and copied to the device, and every prediction and map is read once where the device left it, which
/// checks it; copies of the results are not made. images/s is measured separately on a GPU: there one batch is
/// prepared and read while another runs. Measurements are interleaved, so that other load on the machine affects all of them equally.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Images per batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
    /// Approximate total duration in seconds
    #[arg(long, value_name = "S", default_value_t = 20.0, value_parser = seconds, allow_hyphen_values = true)]
    seconds: f64,
    /// Exits to measure
    #[arg(long, value_enum, default_value_t = Exits::Each)]
    exits: Exits,
    /// Print one JSON object instead of a table; with FILE, write it there as well as the table
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    json: Option<Option<PathBuf>>,
    /// Write a chart of latency against exit to FILE, as SVG
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Variant of the CUDA kernels, for their development: the form of `cuda::Variant`
    #[arg(long, value_name = "WORDS", hide = true)]
    variant: Option<Variant>,
    #[command(flatten)]
    model: ModelArgs,
}

/// The exits that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Exits {
    /// Each exit, and all exits together
    Each,
    /// Only all exits together
    All,
}

/// Approximate seconds of back-to-back runs between two events of the device's clock.
const DEVICE_SECONDS: f64 = 0.1;

/// All results.
#[derive(Debug, Serialize)]
struct BenchReport {
    device: String,
    /// Only of the CPU device.
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<usize>,
    batch: usize,
    exits: Vec<ExitTimes>,
    all_exits: Times,
}

#[derive(Debug, Serialize)]
struct ExitTimes {
    exit: usize,
    #[serde(flatten)]
    times: Times,
}

#[derive(Debug, Serialize)]
struct Times {
    forward: Latency,
    grad_cam: Latency,
}

/// Latency of one batch, and throughput.
#[derive(Debug, Clone, Serialize)]
struct Latency {
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    images_per_s: f64,
    samples: usize,
    /// Measured by the device's own clock, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_ms: Option<f64>,
}

/// Measures the exits and prints a table or JSON.
pub fn run(args: Args) -> Result<()> {
    if args.picture.is_some() && args.exits == Exits::All {
        return Err(crate::Error::usage(
            "--picture shows each exit, but --exits all measures only all exits together",
        ));
    }
    let model = args.model.load_variant(&Timings::default(), args.variant.clone().unwrap_or_default())?;
    let batch = usize::from(args.batch);
    let alone = if args.exits == Exits::Each { model.exits.len() } else { 0 };
    let subjects = (1..=alone).map(|exit| vec![exit]).chain([(1..=model.exits.len()).collect()]);
    let subjects = subjects.flat_map(|exits: Vec<usize>| [false, true].map(|maps| (exits.clone(), maps)));
    let mut measurements = subjects
        .map(|(exits, maps)| {
            let subject = Subject::new(&model, exits, maps, batch)?;
            Ok(Measurement::new(subject))
        })
        .collect::<Result<Vec<_>>>()?;
    model.announce();
    measurements.iter_mut().for_each(|m| model.announce_notes(m.subject.session().notes()));
    let bar = progress(&model, &measurements);
    measure(&mut measurements, &noise(batch * model.input_shape().len()), args.seconds, &bar)?;
    for measurement in &mut measurements {
        let repeats = (DEVICE_SECONDS / quantile(&measurement.sorted(), 0.5)).clamp(1.0, 1000.0);
        measurement.device_ms = measurement.subject.session().device_ms(batch, repeats as usize)?;
    }

    let mut times = measurements.chunks_exact(2).map(|pair| Times {
        forward: Latency::new(&pair[0], batch),
        grad_cam: Latency::new(&pair[1], batch),
    });
    let exits = times.by_ref().take(alone).enumerate();
    let exits = exits.map(|(i, times)| ExitTimes { exit: i + 1, times }).collect();
    let all_exits = times.next().expect("all exits together come last");
    let report =
        BenchReport { device: device_name(&model), threads: threads(&model), batch, exits, all_exits };
    if let Some(file) = &args.picture {
        atomic_file::write_atomically(file, chart(&report, &chart_device(&model.device)).as_bytes())?;
    }
    let json = || serde_json::to_string(&report).expect("plain fields have a JSON form") + "\n";
    if let Some(Some(file)) = &args.json {
        atomic_file::write_atomically(file, json().as_bytes())?;
    }
    let text = if args.json == Some(None) { json() } else { report.table(&model.device.description()) };
    Output::default().print(&text)
}

impl Latency {
    fn new(measurement: &Measurement, batch: usize) -> Latency {
        let sorted = measurement.sorted();
        let (batches, seconds) = match measurement.overlapped {
            (0, _) => (sorted.len(), sorted.iter().sum()),
            overlapped => overlapped,
        };
        // Rounded to nanoseconds, the resolution of the clock.
        let ms = |p| (quantile(&sorted, p) * 1e9).round() / 1e6;
        Latency {
            p50_ms: ms(0.5),
            p90_ms: ms(0.9),
            p99_ms: ms(0.99),
            images_per_s: (batch * batches) as f64 / seconds,
            samples: sorted.len(),
            device_ms: measurement.device_ms,
        }
    }
}

fn progress(model: &LoadedModel, measurements: &[Measurement]) -> ProgressBar {
    if model.quiet {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style =
        ProgressStyle::with_template("{bar:32} {percent} %, {eta} left").expect("the template is valid");
    ProgressBar::new(measurements.len() as u64 * u64::from(ROUNDS + 1)).with_style(style)
}

/// The `p`-quantile by the nearest-rank method: an element of `sorted`.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let rank = (p * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Pseudorandom elements in [0, 1): the upper bits of a linear congruential generator (Knuth's
/// MMIX).
fn noise(len: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..len).map(|_| next()).collect()
}

/// Median latency of each exit, as SVG.
fn chart(report: &BenchReport, device: &str) -> String {
    let line = |pick: fn(&Times) -> &Latency| -> Vec<(f64, f64)> {
        report.exits.iter().map(|exit| (exit.exit as f64, pick(&exit.times).p50_ms)).collect()
    };
    let (forward, grad_cam) = (line(|t| &t.forward), line(|t| &t.grad_cam));
    let series = [
        Series { name: "with Grad-CAM", points: &grad_cam, intervals: &[] },
        Series { name: "forward alone", points: &forward, intervals: &[] },
    ];
    let title = format!("Latency up to each exit, batch {}: {device}", report.batch);
    let chart = LineChart { title: &title, x: "exit", y: "median, ms", from: YOrigin::Zero, series: &series };
    chart.draw(ChartSize::FILE).svg()
}

/// The device in the title of the chart: `cpu (2 threads, avx512)`, `NVIDIA H200`.
fn chart_device(device: &Device) -> String {
    match device {
        Device::Cpu(cpu) => cpu.description(),
        Device::Cuda(gpu) => gpu.name().into(),
    }
}

/// `cpu` or `cuda:0`: the first word of the description.
fn device_name(model: &LoadedModel) -> String {
    model.device.description().split(' ').next().unwrap_or_default().into()
}

fn threads(model: &LoadedModel) -> Option<usize> {
    match &model.device {
        Device::Cpu(cpu) => Some(cpu.threads()),
        Device::Cuda(_) => None,
    }
}

impl BenchReport {
    fn table(&self, device: &str) -> String {
        let plural = if self.batch == 1 { "" } else { "s" };
        let mut text = format!("{device}, batches of {} image{plural}, times in ms\n\n", self.batch);
        let device = if self.all_exits.forward.device_ms.is_some() {
            format!("{:>9}", "device")
        } else {
            String::new()
        };
        let columns = format!("{:>8}{:>9}{:>9}{:>12}{device}", "p50", "p90", "p99", "images/s");
        let width = columns.len();
        text += &format!("{:4}  {:<width$}    {}\n", "", "forward", "forward and Grad-CAM");
        text += &format!("exit  {columns}    {columns}\n");
        let mut row = |name: &str, times: &Times| {
            text += &format!("{name:>4}  {}    {}\n", times.forward.columns(), times.grad_cam.columns());
        };
        for exit in &self.exits {
            row(&exit.exit.to_string(), &exit.times);
        }
        row("all", &self.all_exits);
        text
    }
}

impl Latency {
    fn columns(&self) -> String {
        let Latency { p50_ms, p90_ms, p99_ms, images_per_s, .. } = self;
        let device = self.device_ms.map(|ms| format!("{ms:>9.3}")).unwrap_or_default();
        format!("{p50_ms:>8.3}{p90_ms:>9.3}{p99_ms:>9.3}{images_per_s:>12.1}{device}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_samples() {
        let times: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([0.5, 0.9, 0.99, 1.0].map(|p| quantile(&times, p)), [50.0, 90.0, 99.0, 100.0]);
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
    }

    #[test]
    fn noise_is_uniform_over_its_range() {
        let values = noise(10_000);
        assert!(values.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = values.iter().sum::<f32>() / 1e4;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
