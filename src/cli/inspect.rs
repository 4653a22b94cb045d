//! `msdcam inspect`: the content of a model file.

use crate::error::printable;
use crate::model::TapInfo;
use crate::model::inspect::{Inspection, inspect};
use crate::model::msdnet::config::{Config, HeadChannels, HeadPool, Layout, Stem};
use crate::model::msdnet::outline;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::exits::ranges;
use super::output::Output;

/// Print the architecture and taps of a checkpoint, a weights file or an ONNX file
#[derive(Debug, clap::Args)]
pub struct Args {
    /// PyTorch checkpoint, msdcam weights file or ONNX file
    file: PathBuf,
    /// State dict to read if the file has several: its key, with dots if it is nested; a prefix of tensor
    /// names may follow [default: the usual key]
    #[arg(long, value_name = "KEY")]
    state_dict: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// The content of a file, and the taps that `msdcam explain --tap` accepts.
#[derive(Debug, Serialize)]
struct Inspected {
    #[serde(flatten)]
    file: Inspection,
    taps: Vec<TapInfo>,
}

/// Inspects the file and prints a table or JSON.
pub fn run(args: Args) -> crate::Result<()> {
    let file = inspect(&args.file, args.state_dict.as_deref())?;
    let network = file.architecture.as_ref().map(outline).transpose()?;
    let network = network.as_ref().or(file.model.as_deref());
    let taps = network.map(|model| model.tap_infos()).unwrap_or_default();
    let text = if args.json {
        serde_json::to_string_pretty(&Inspected { file, taps }).expect("plain fields have a JSON form") + "\n"
    } else {
        table(&file) + &tap_table(&taps)
    };
    Output::default().print(&text)
}

fn table(i: &Inspection) -> String {
    let mut rows: Vec<(&str, String)> = vec![("format", i.format.clone())];
    rows.push(("size", format!("{} bytes", i.bytes)));
    rows.push(("sha256", i.sha256.clone()));
    rows.extend(i.external_data_sha256.iter().map(|sha| ("data beside it", format!("sha256 {sha}"))));
    rows.extend(i.source_sha256.iter().map(|sha| ("made from", format!("checkpoint {}", printable(sha)))));
    if let Some(path) = i.state_dict.as_ref().filter(|path| !path.is_empty()) {
        rows.push(("state dict", format!("under '{}'", printable(path))));
    }
    let stored =
        if i.stored.is_empty() { String::new() } else { format!(", stored as {}", i.stored.join(", ")) };
    rows.push(("tensors", format!("{} with {} elements{stored}", i.tensors, i.numbers)));
    if let Some(config) = &i.architecture {
        rows.extend(architecture(config));
    }
    if let Some(model) = &i.model {
        let (input, exits) = (model.input_shape(), model.exits.len());
        let exits = if exits == 1 { "1 exit".to_string() } else { format!("{exits} exits") };
        rows.push((
            "network",
            format!("{} x {} input, {exits}, {} classes", input.h, input.w, model.classes()),
        ));
    }
    if let (Some(mean), Some(std)) = (i.mean, i.std) {
        let usual =
            if i.labels.is_none() { " (the default of this architecture, not in the file)" } else { "" };
        rows.push(("normalized", format!("mean {mean:?}, standard deviation {std:?}{usual}")));
    }
    if let Some(labels) = &i.labels {
        let shown: Vec<_> = labels.iter().take(10).map(|label| printable(label)).collect();
        let more = if labels.len() > 10 { ", ..." } else { "" };
        rows.push(("classes", format!("{}: {}{more}", labels.len(), shown.join(", "))));
    }
    rows.extend(i.notes.iter().map(|note| ("note", printable(note))));
    rows.extend(i.assumed.iter().map(|a| ("assumed", a.clone())));
    rows.extend(i.problems.iter().map(|p| ("problem", printable(p))));

    let mut text = String::new();
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<13} {value}"); // writing to a String cannot fail
    }
    if !i.exits.is_empty() {
        text.push_str(
            "\nexit  layers  tap            parameters  multiply-adds: block        head   up to here\n",
        );
        for e in &i.exits {
            let tap = format!("{} x {} x {}", e.tap_channels, e.tap_height, e.tap_width);
            let _ = writeln!(
                text,
                "{:>4}  {:>6}  {tap:<13} {:>11}  {:>20} {:>11}  {:>11}",
                e.exit, e.layers, e.parameters, e.block, e.head, e.total
            );
        }
        let parameters: u64 = i.exits.iter().map(|e| e.parameters).sum();
        let _ = writeln!(text, "{:>4}  {:>6}  {:<13} {parameters:>11}", "all", "", "");
    }
    text
}

/// A row for each tap: its size, and the exits whose score depends on it.
fn tap_table(taps: &[TapInfo]) -> String {
    if taps.is_empty() {
        return String::new();
    }
    let width = taps.iter().map(|tap| tap.name.len()).fold("tap".len(), usize::max);
    let mut text =
        format!("\n{:width$}  {:>8}  {:<9}  reaches the score of exits\n", "tap", "channels", "size");
    for tap in taps {
        let size = format!("{} x {}", tap.height, tap.width);
        let (name, channels, exits) = (&tap.name, tap.channels, ranges(&tap.exits));
        let _ = writeln!(text, "{name:width$}  {channels:>8}  {size:<9}  {exits}");
    }
    text
}

fn architecture(c: &Config) -> Vec<(&'static str, String)> {
    let layout = match c.layout {
        Layout::Subnets => "subnets (the Grad-CAM article's port)",
        Layout::Blocks => "blocks (the authors' port)",
    };
    let stem = match c.stem {
        Stem::Cifar => "CIFAR",
        Stem::Imagenet => "ImageNet",
    };
    let stride = if c.stem_stride == 1 { "" } else { " of stride 2" };
    let numbered = |layers: &[usize]| {
        let numbers: Vec<String> = layers.iter().map(usize::to_string).collect();
        format!("{} {}", if layers.len() == 1 { "layer" } else { "layers" }, numbers.join(", "))
    };
    let behind: Vec<usize> = c.transitions.iter().map(|transition| transition.after).collect();
    let transitions = if behind.is_empty() { "none".into() } else { format!("behind {}", numbered(&behind)) };
    let dropped = match c.drops.is_empty() {
        true => String::new(),
        false => format!(", the finest dropped in {}", numbered(&c.drops)),
    };
    let bottleneck = if c.bottleneck { format!("factors {:?}", c.bottleneck_factor) } else { "none".into() };
    let mut rows = vec![
        ("layout", layout.to_string()),
        ("network", format!("{stem} stem{stride}, {} x {} input, {} classes", c.input, c.input, c.classes)),
        ("exits", format!("{}, behind {:?} layers each", c.exits(), c.layers)),
        ("scales", format!("{}, factors {:?}{dropped}", c.scales(), c.scale_factor)),
        ("channels", format!("{} times the factor, growing by {} a layer", c.channels, c.growth)),
        ("bottlenecks", bottleneck),
        ("transitions", transitions),
        ("kernels", format!("{0} x {0}", c.kernel)),
        ("heads", heads(c)),
    ];
    if let Some(g) = c.global_conv {
        let place = match (g.first, g.all) {
            (true, true) => "everywhere",
            (true, false) => "in the first layer",
            _ => "in every layer but the first",
        };
        let shared = if g.shared { ", shared weights" } else { "" };
        rows.push((
            "global",
            format!("convolutions of {} x 1 and 1 x {} {place}{shared}", g.kernel, g.kernel),
        ));
    }
    rows
}

fn heads(c: &Config) -> String {
    let channels = match c.head.channels {
        HeadChannels::Fixed(channels) => format!("{channels} channels"),
        HeadChannels::Tap => "as many channels as their tap".into(),
    };
    let pool = match c.head.pool {
        HeadPool::Average => "averages of 2 x 2".to_string(),
        HeadPool::Adaptive => "the average of the whole map".into(),
    };
    let mut text = format!("{channels}, {pool}");
    if c.head.boost != 0.0 {
        text.push_str(&format!(", {} times the exit before added", c.head.boost));
    }
    if c.head.collaboration {
        text.push_str(", linear layers that read the exit before");
    }
    text
}
