//! `msdcam bench`: how long each exit takes on this device.

mod picture;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::Result;
use crate::engine::cuda::Variant;
use crate::engine::device::Device;
use crate::engine::plan::Order;
use crate::engine::session::Session;
use crate::explain::{Classifier, ExplainRequest, Explainer};
use crate::util::atomic_file;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::model::{Model, ModelArgs};
use super::output::Output;
use super::timings::Timings;

/// Measure how long each exit takes on this device, with and without Grad-CAM
///
/// A time is that of one batch, from the input in memory to the answers in memory. All measurements
/// take turns, so that a slow moment of the machine falls on all alike.
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_CODES)]
pub struct Args {
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
    /// About how long to measure in all
    #[arg(long, value_name = "S", default_value_t = 20.0, value_parser = seconds, allow_hyphen_values = true)]
    seconds: f64,
    /// What to measure: each exit and all together, or only all together
    #[arg(long, value_enum, default_value_t = Exits::Each)]
    exits: Exits,
    /// One JSON object on standard output instead of a table; or in FILE, beside the table
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    json: Option<Option<PathBuf>>,
    /// Also draw the times against the exits, as an SVG picture
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// How a GPU runs, for those who develop the kernels: the words of `cuda::Variant`
    #[arg(long, value_name = "WORDS", hide = true)]
    variant: Option<Variant>,
    #[command(flatten)]
    model: ModelArgs,
}

/// Which answers are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Exits {
    /// Each exit, and all together
    Each,
    /// All together
    All,
}

/// Turns that each measurement gets.
const ROUNDS: u32 = 10;

/// About how long to run back to back between two events of the device's clock.
const DEVICE_SECONDS: f64 = 0.1;

/// Everything measured.
#[derive(Debug, Serialize)]
struct Report {
    device: String,
    /// Of the CPU device only.
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

/// Times of one batch, and what they make in images.
#[derive(Debug, Clone, Serialize)]
struct Latency {
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    images_per_s: f64,
    samples: usize,
    /// By the device's own clock, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_ms: Option<f64>,
}

/// Measures and prints a table or JSON.
pub fn run(args: Args) -> Result<()> {
    if args.picture.is_some() && args.exits == Exits::All {
        return Err(crate::Error::usage("--picture draws each exit: --exits all times none of them"));
    }
    let model = match &args.variant {
        Some(variant) => args.model.load_variant(&Timings::default(), variant)?,
        None => args.model.load(&Timings::default())?,
    };
    let batch = usize::from(args.batch);
    let alone = if args.exits == Exits::Each { model.exits() } else { 0 };
    let questions = (1..=alone).map(|exit| vec![exit]).chain([(1..=model.exits()).collect()]);
    let questions = questions.flat_map(|exits: Vec<usize>| [false, true].map(|maps| (exits.clone(), maps)));
    let mut measurements = questions
        .map(|(exits, maps)| {
            let subject = Subject::new(&model, exits, maps, batch)?;
            Ok(Measurement { subject, times: Vec::new(), device_ms: None })
        })
        .collect::<Result<Vec<_>>>()?;
    model.announce();
    measurements.iter_mut().for_each(|m| model.announce_notes(m.subject.session().notes()));
    let bar = progress(&model, &measurements);
    measure(&mut measurements, &noise(batch * model.network.input_shape().len()), args.seconds, &bar)?;
    for measurement in &mut measurements {
        let repeats = (DEVICE_SECONDS / quantile(&measurement.sorted(), 0.5)).clamp(1.0, 1000.0);
        measurement.device_ms = measurement.subject.session().device_ms(batch, repeats as usize)?;
    }

    let mut times = measurements
        .chunks_exact(2)
        .map(|pair| Times { forward: pair[0].latency(batch), grad_cam: pair[1].latency(batch) });
    let exits = times.by_ref().take(alone).enumerate();
    let exits = exits.map(|(i, times)| ExitTimes { exit: i + 1, times }).collect();
    let all_exits = times.next().expect("all exits together come last");
    let report = Report { device: device_name(&model), threads: threads(&model), batch, exits, all_exits };
    if let Some(file) = &args.picture {
        atomic_file::write_atomically(file, picture::draw(&report, &title_of(&model.device)).as_bytes())?;
    }
    let json = || serde_json::to_string(&report).expect("plain fields have a JSON form") + "\n";
    if let Some(Some(file)) = &args.json {
        atomic_file::write_atomically(file, json().as_bytes())?;
    }
    let text = if args.json == Some(None) { json() } else { report.table(&model.device.description()) };
    Output::default().print(&text)
}

/// What is timed.
enum Subject {
    Forward(Classifier),
    GradCam(Box<Explainer>),
}

impl Subject {
    fn new(model: &Model, exits: Vec<usize>, maps: bool, batch: usize) -> Result<Subject> {
        let (network, device) = (&model.network, &model.device);
        if !maps {
            return Classifier::new(network, &exits, Order::Depth, device, batch).map(Subject::Forward);
        }
        let request = ExplainRequest { exits, ..ExplainRequest::grad_cam(network) };
        Ok(Subject::GradCam(Box::new(Explainer::new(network, &request, device, batch)?)))
    }

    fn run(&mut self, input: &[f32]) -> Result<()> {
        match self {
            Subject::Forward(classifier) => classifier.classify(input).map(drop),
            Subject::GradCam(explainer) => explainer.explain(input).map(drop),
        }
    }

    fn session(&mut self) -> &mut dyn Session {
        match self {
            Subject::Forward(classifier) => classifier.session_mut(),
            Subject::GradCam(explainer) => explainer.session_mut(),
        }
    }
}

/// A subject and its times.
struct Measurement {
    subject: Subject,
    /// Seconds.
    times: Vec<f64>,
    device_ms: Option<f64>,
}

impl Measurement {
    /// Asks until `time` is over, at least once; the first, unmeasured time warms the caches.
    fn burst(&mut self, input: &[f32], time: Duration) -> Result<()> {
        let start = Instant::now();
        self.subject.run(input)?;
        loop {
            let before = Instant::now();
            self.subject.run(input)?;
            self.times.push(before.elapsed().as_secs_f64());
            if start.elapsed() >= time {
                return Ok(());
            }
        }
    }

    /// The times, shortest first.
    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.times.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn latency(&self, batch: usize) -> Latency {
        let sorted = self.sorted();
        // Nanoseconds are the clock's last digit.
        let ms = |p| (quantile(&sorted, p) * 1e9).round() / 1e6;
        Latency {
            p50_ms: ms(0.5),
            p90_ms: ms(0.9),
            p99_ms: ms(0.99),
            images_per_s: (batch * sorted.len()) as f64 / sorted.iter().sum::<f64>(),
            samples: sorted.len(),
            device_ms: self.device_ms,
        }
    }
}

fn measure(measurements: &mut [Measurement], input: &[f32], seconds: f64, bar: &ProgressBar) -> Result<()> {
    let start = Instant::now();
    let total = Duration::from_secs_f64(seconds);
    // One round more than is measured: the first brings the clock speed and the memory up.
    let burst = total / (ROUNDS + 1) / measurements.len() as u32;
    for round in 0..=ROUNDS {
        for measurement in measurements.iter_mut() {
            measurement.burst(input, burst)?;
            if round == 0 {
                measurement.times.clear();
            }
            bar.inc(1);
        }
        // A network too slow for its share still gets one measured round.
        if round > 0 && start.elapsed() >= total {
            break;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn progress(model: &Model, measurements: &[Measurement]) -> ProgressBar {
    if model.quiet {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style =
        ProgressStyle::with_template("{bar:32} {percent} %, {eta} left").expect("the template is sound");
    ProgressBar::new(measurements.len() as u64 * u64::from(ROUNDS + 1)).with_style(style)
}

/// The smallest number that a share `p` of the `sorted` numbers does not exceed.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let rank = (p * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Numbers spread over [0, 1): a linear congruential generator (Knuth's MMIX), its upper bits.
fn noise(len: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..len).map(|_| next()).collect()
}

/// The device in a picture's title, short enough for it: `cpu (2 threads, avx512)`, `NVIDIA H200`.
fn title_of(device: &Device) -> String {
    match device {
        Device::Cpu(cpu) => cpu.description(),
        Device::Cuda(gpu) => gpu.name().into(),
    }
}

/// `cpu`, or `cuda:0`: the description's first word.
fn device_name(model: &Model) -> String {
    model.device.description().split(' ').next().unwrap_or_default().into()
}

fn threads(model: &Model) -> Option<usize> {
    match &model.device {
        Device::Cpu(cpu) => Some(cpu.threads()),
        Device::Cuda(_) => None,
    }
}

impl Report {
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

fn seconds(text: &str) -> Result<f64, String> {
    const LONGEST: f64 = 86_400.0;
    let wanted = || format!("expected a number above 0 and at most {LONGEST}");
    let seconds: f64 = text.parse().map_err(|_| wanted())?;
    if seconds > 0.0 && seconds <= LONGEST { Ok(seconds) } else { Err(wanted()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_numbers() {
        let times: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([0.5, 0.9, 0.99, 1.0].map(|p| quantile(&times, p)), [50.0, 90.0, 99.0, 100.0]);
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
    }

    #[test]
    fn noise_is_spread_over_its_range() {
        let numbers = noise(10_000);
        assert!(numbers.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = numbers.iter().sum::<f32>() / 1e4;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
