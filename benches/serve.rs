//! Our side of `benches/peers`: a process that stays ready, so that our calls can take turns with
//! those of other programs.
//!
//!     serve WEIGHTS cpu|cuda THREADS BATCH
//!
//! It prints one line of JSON when it is ready and one for each line that it is sent:
//!
//! | sent | what it does | printed |
//! |---|---|---|
//! | `images FILE` | takes the batch, normalised, as little-endian f32 (N, 3, H, W) | `{}` |
//! | `answers FILE` | writes `logits` (N, exits, classes), `class` (N, exits) and `heat` (N, exits, H, W) as .npz | `{}` |
//! | `forward SECONDS`, `grad_cam SECONDS` | runs all exits until the time is over, at least once | `{"ms": [..]}`, a number a call |
//!
//! A call is timed from the images in host memory to the answers in host memory.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use msdcam::cam::{ExitAnswer, Explainer, Question};
use msdcam::device::{Device, DeviceChoice};
use msdcam::npz::{self, Array, Values};
use msdcam::{Error, Result};

mod support;

struct Server {
    forward: Explainer,
    grad_cam: Explainer,
    images: Vec<f32>,
}

impl Server {
    /// What is printed for one line that was sent.
    fn serve(&mut self, line: &str) -> Result<serde_json::Value> {
        let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
        match command {
            "images" => {
                let bytes = std::fs::read(argument)
                    .map_err(|e| Error::refused(Path::new(argument), "file", e.to_string()))?;
                let (numbers, rest) = bytes.as_chunks();
                if !rest.is_empty() {
                    return Err(Error::refused(Path::new(argument), "file", "not whole f32 numbers"));
                }
                self.images = numbers.iter().map(|b| f32::from_le_bytes(*b)).collect();
            }
            "answers" => {
                let answers = self.grad_cam.explain(&self.images, None)?;
                std::fs::write(argument, encode(&answers))
                    .map_err(|e| Error::write(Path::new(argument), e))?;
            }
            "forward" => return Ok(timed(&mut self.forward, &self.images, seconds(argument)?)?.into()),
            "grad_cam" => return Ok(timed(&mut self.grad_cam, &self.images, seconds(argument)?)?.into()),
            _ => return Err(Error::usage(format!("no command '{line}'"))),
        }
        Ok(serde_json::json!({}))
    }
}

fn seconds(text: &str) -> Result<Duration> {
    let parsed = text.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    parsed.ok_or_else(|| Error::usage(format!("'{text}' is not a time in seconds")))
}

/// Milliseconds of each call.
struct Times(Vec<f64>);

impl From<Times> for serde_json::Value {
    fn from(times: Times) -> Self {
        serde_json::json!({ "ms": times.0 })
    }
}

fn timed(explainer: &mut Explainer, images: &[f32], time: Duration) -> Result<Times> {
    let start = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || start.elapsed() < time {
        let begin = Instant::now();
        let answers = explainer.explain(images, None)?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        drop(answers);
    }
    Ok(Times(times))
}

/// All answers as one .npz.
fn encode(answers: &[Vec<ExitAnswer>]) -> Vec<u8> {
    let all = || answers.iter().flatten();
    let logits: Vec<f32> = all().flat_map(|a| &a.logits).copied().collect();
    let classes: Vec<i64> = all().map(|a| a.class as i64).collect();
    let heat: Vec<f32> = all().filter_map(|a| a.map.as_ref()).flat_map(|m| &m.heat).copied().collect();
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
    let usage = || Error::usage("usage: serve WEIGHTS cpu|cuda THREADS BATCH");
    let [weights, device, threads, batch] = args else { return Err(usage()) };
    let threads = threads.parse().map_err(|_| usage())?;
    let batch: usize = batch.parse().map_err(|_| usage())?;
    let choice = match device.as_str() {
        "cpu" => DeviceChoice::Cpu,
        "cuda" => DeviceChoice::Cuda(0),
        _ => return Err(usage()),
    };
    let network = support::network(Path::new(weights))?;
    let device = Device::open(choice, threads)?;
    let all = Question::explain_all(&network);
    let alone = Question { maps: false, ..all.clone() };
    let image = network.graph.shape(network.input).len();
    let mut server = Server {
        forward: Explainer::new(&network, &alone, &device, batch)?,
        grad_cam: Explainer::new(&network, &all, &device, batch)?,
        images: vec![0.0; batch * image],
    };
    let ready = serde_json::json!({ "device": device.description(), "version": env!("CARGO_PKG_VERSION") });
    let mut out = std::io::stdout().lock();
    let mut say = |line: serde_json::Value| {
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| Error::write(Path::new("stdout"), e))
    };
    say(ready)?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Error::refused(Path::new("stdin"), "line", e.to_string()))?;
        say(server.serve(&line)?)?;
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    // `cargo bench` runs every bench with this flag alone: there is nothing to serve then.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.is_empty() {
        eprintln!("serve: a part of benches/peers/run");
        return std::process::ExitCode::SUCCESS;
    }
    match run(&args) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            e.exit_code().into()
        }
    }
}
