//! Rows of the report: independent measurements, their output and storage.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use msdcam::util::atomic_file::write_atomically;
use msdcam::{Error, Result};
use serde_json::{Value, json};

use crate::gpu::Gpu;

/// Table with unit and description of every row.
const TABLE: &str = include_str!("README.md");

/// Seconds after which a run is aborted.
const LIMIT: u64 = 30;

/// The result of a row.
pub struct Found {
    pub value: f64,
    /// Whether the kernels' results are correct.
    pub ok: bool,
    pub details: Value,
}

impl Found {
    /// The median of `samples`, with their spread as details.
    pub fn median(samples: &[f64], ok: bool) -> Found {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
        let details = json!({
            "min": short(at(0.0)), "p90": short(at(0.9)), "max": short(at(1.0)), "samples": sorted.len(),
        });
        Found { value: at(0.5), ok, details }
    }

    /// With one more detail.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Found {
        self.details[name] = value.into();
        self
    }
}

/// The median alone.
pub fn median(samples: &[f64]) -> f64 {
    Found::median(samples, true).value
}

/// A number with five significant digits.
pub fn short(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

type Measure = Box<dyn Fn(&Gpu) -> Result<Found>>;

/// The measurements, in order.
#[derive(Default)]
pub struct Rows(Vec<(String, Measure)>);

impl Rows {
    /// Adds a measurement; `name` is a row of the table.
    pub fn add(&mut self, name: impl Into<String>, measure: impl Fn(&Gpu) -> Result<Found> + 'static) {
        self.0.push((name.into(), Box::new(measure)));
    }

    /// Measures the rows whose names begin with `only`, each after `before`; prints each immediately and writes
    /// `facts` with all rows so far to `file`. Returns whether all rows are correct.
    pub fn run(
        self,
        gpu: &Gpu,
        mut facts: Value,
        only: &str,
        file: Option<PathBuf>,
        before: impl Fn(&Gpu) -> Result<()>,
    ) -> Result<bool> {
        let current = watchdog();
        facts["rows"] = json!([]);
        let mut good = true;
        for (name, measure) in self.0.into_iter().filter(|(name, _)| name.starts_with(only)) {
            current.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&name);
            let begin = Instant::now();
            // cudarc panics if the driver lacks a call.
            let found = catch_unwind(AssertUnwindSafe(|| before(gpu).and_then(|()| measure(gpu))));
            let found = found.unwrap_or_else(|_| Err(Error::device("panicked")));
            let mut row = describe(&name);
            match found {
                Ok(Found { value, ok, details }) => {
                    row["value"] = short(value).into();
                    // Times of the stand-in are meaningless.
                    row["ok"] = (ok && value.is_finite() && (value > 0.0 || gpu.standin)).into();
                    row["details"] = details;
                }
                Err(e) => {
                    row["ok"] = false.into();
                    row["error"] = e.to_string().into();
                }
            }
            row["seconds"] = short(begin.elapsed().as_secs_f64()).into();
            good &= row["ok"] == true;
            let mut out = std::io::stdout().lock();
            let printed = writeln!(out, "{row}").and_then(|()| out.flush());
            printed.map_err(|e| Error::write("stdout".as_ref(), e))?;
            facts["rows"].as_array_mut().expect("made above").push(row);
            if let Some(file) = &file {
                write_atomically(file, format!("{facts:#}\n").as_bytes())?;
            }
        }
        Ok(good)
    }
}

/// The table's line for the row `name`.
fn describe(name: &str) -> Value {
    let start = format!("| `{name}` | ");
    let line =
        TABLE.lines().find_map(|line| line.strip_prefix(&start)).and_then(|rest| rest.strip_suffix(" |"));
    let (unit, what) = line.and_then(|rest| rest.split_once(" | ")).expect("every row is in README.md");
    json!({ "name": name, "unit": unit, "what": what })
}

/// Ends the process when a run takes too long: kernels time out, but a driver might hang. The caller keeps
/// the name of the current row in the return value.
fn watchdog() -> Arc<Mutex<String>> {
    let current = Arc::new(Mutex::new(String::new()));
    let row = current.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(LIMIT));
        let row = row.lock().unwrap_or_else(PoisonError::into_inner).clone();
        eprintln!("error: floors: given up after {LIMIT} s, in row {row}");
        // Not `exit`, which waits for the driver.
        std::process::abort();
    });
    current
}
