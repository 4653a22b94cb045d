//! `msdcam doctor`: whether the program works on this machine, and what is missing.

mod environment;
mod finding;
mod gpu;
mod machine;
mod self_test;
mod time_limit;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use self::finding::{Finding, State};
use self::self_test::{TOLERANCE, difference_from_stored, difference_of_heatmaps};
use self::time_limit::within;
use super::color;
use super::output::Output;
use crate::engine::cpu::{Cpu, Isa};
use crate::engine::cuda::{Cuda, Variant};
use crate::engine::device::Device;
use crate::explain::Explanation;
use crate::model::Model;
use crate::{Error, Result};

/// Check this machine: devices, drivers, compilers, caches, and a self-test
///
/// Every finding is `ok`, a `note` (the program works without it, or differently), or `wrong` (it is there and does not
/// work); below it is what to do. The self-test explains a generated picture by the built-in network on the CPU and on each
/// GPU, and compares the logits and maps with a stored answer. The exit code is 0 if the program can work here, on the CPU
/// alone or with GPUs, and 5 if a device that is there does not work.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Time for the self-test of a device, in which kernels may be compiled.
const SELF_TEST: Duration = Duration::from_secs(300);

/// All findings. Field names are JSON keys.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether nothing is wrong.
    works: bool,
    /// Devices that gave the right answer: `cpu`, `cuda:0`.
    devices: Vec<String>,
    findings: Vec<Finding>,
}

/// Checks everything and prints what was found.
///
/// # Errors
/// [`Error::Device`] when something that is there does not work, after all was printed.
pub fn run(args: &Args) -> Result<()> {
    let report = check_up();
    let text = if args.json {
        serde_json::to_string_pretty(&report).expect("plain fields have a JSON form") + "\n"
    } else {
        let colors = color::suits(&std::io::stdout());
        let lines: String = report.findings.iter().map(|finding| finding.lines(colors)).collect();
        match report.devices[..] {
            [] => lines,
            _ => format!("{lines}\nmsdcam works on {}\n", report.devices.join(", ")),
        }
    };
    Output::default().print(&text)?;
    let wrong: Vec<&str> =
        report.findings.iter().filter(|finding| finding.state == State::Wrong).map(|f| f.topic).collect();
    match wrong[..] {
        [] => Ok(()),
        _ => Err(Error::device(format!("not in order: {}", wrong.join(", ")))),
    }
}

fn check_up() -> Report {
    let (kernels, isa) = machine::cpu_kernels();
    let mut findings = vec![machine::program(), machine::cpu(), kernels, machine::memory()];
    findings.extend(machine::huge_pages());
    let gpus = gpu::gpus();
    findings.extend(gpus.findings);
    findings.push(environment::environment());
    let (network, model) = machine::network();
    findings.push(network);
    let mut devices = Vec::new();
    let Some(model) = model.map(Arc::new) else { return Report { works: false, devices, findings } };
    let mut reference = None;
    if let Some(isa) = isa {
        let answer = test_cpu(&model, isa);
        let advice = "please report this, with the output of `msdcam doctor --json`";
        let (finding, explanations) = judged("cpu", answer, advice, None);
        if finding.state == State::Ok {
            devices.push("cpu".into());
        }
        findings.push(finding);
        reference = explanations;
    }
    for gpu in &gpus.gpus {
        let name = format!("cuda:{}", gpu.ordinal);
        let (finding, _) = judged(&name, test_gpu(&model, gpu.ordinal), &gpus.advice, reference.as_deref());
        if finding.state == State::Ok {
            devices.push(name);
        }
        findings.push(finding);
    }
    Report { works: findings.iter().all(|finding| finding.state != State::Wrong), devices, findings }
}

/// What a device answered.
struct Answer {
    explanations: Vec<Explanation>,
    /// Of an explanation after the first, which warms up; seconds.
    seconds: f64,
    /// Where the kernels come from.
    kernels: String,
}

fn test_cpu(model: &Arc<Model>, isa: Isa) -> Result<Answer, String> {
    let model = Arc::clone(model);
    tested(move || {
        let device = Device::Cpu(Cpu::with_isa(0, isa)?);
        answer(&model, &device, isa.name().into())
    })
}

fn test_gpu(model: &Arc<Model>, ordinal: usize) -> Result<Answer, String> {
    let model = Arc::clone(model);
    tested(move || {
        let gpu = Cuda::with_variant(ordinal, Variant::from_env())?;
        let kernels = gpu.kernels().to_string();
        answer(&model, &Device::Cuda(gpu), kernels)
    })
}

fn tested(test: impl FnOnce() -> Result<Answer> + Send + 'static) -> Result<Answer, String> {
    within(SELF_TEST, test)?.map_err(|e| e.to_string())
}

fn answer(model: &Model, device: &Device, kernels: String) -> Result<Answer> {
    let mut explainer = self_test::explainer(model, device)?;
    self_test::explain(model, &mut explainer)?;
    let start = Instant::now();
    let explanations = self_test::explain(model, &mut explainer)?;
    Ok(Answer { explanations, seconds: start.elapsed().as_secs_f64(), kernels })
}

/// The finding about a device's answer, and the answer.
fn judged(
    device: &str,
    answer: Result<Answer, String>,
    advice: &str,
    reference: Option<&[Explanation]>,
) -> (Finding, Option<Vec<Explanation>>) {
    const TOPIC: &str = "self-test";
    let Answer { explanations, seconds, kernels } = match answer {
        Ok(answer) => answer,
        Err(e) => {
            let facts = json!({ "device": device, "error": e });
            return (Finding::wrong(TOPIC, format!("{device}: {e}"), advice).with(facts), None);
        }
    };
    let from_stored = difference_from_stored(&explanations);
    let from_cpu = reference.map(|cpu| difference_of_heatmaps(&explanations, cpu));
    let facts = json!({
        "device": device,
        "kernels": kernels,
        "difference_from_stored": from_stored,
        "difference_of_heatmaps_from_cpu": from_cpu,
        "ms": 1000.0 * seconds,
    });
    let beside = from_cpu.map_or(String::new(), |d| format!(", {d:.0e} from the heatmaps of the CPU"));
    let text = format!(
        "{device} ({kernels}): 10 exits with their heatmaps in {:.1} ms; {from_stored:.0e} from the stored logits and \
         maps{beside}",
        1000.0 * seconds
    );
    let right = from_stored <= TOLERANCE && from_cpu.is_none_or(|difference| difference <= TOLERANCE);
    let finding = match right {
        true => Finding::ok(TOPIC, text),
        false => Finding::wrong(TOPIC, format!("{text}: more than {TOLERANCE:.0e}"), advice),
    };
    (finding.with(facts), Some(explanations))
}
