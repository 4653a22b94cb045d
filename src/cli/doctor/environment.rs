//! Environment variables that change what the program does.

use serde_json::{Map, Value};

use super::finding::Finding;

/// The variables of `docs/devices.md`, those by which NVRTC is searched for, and those of colors and panics.
const VARIABLES: [&str; 14] = [
    "MSDCAM_CPU",
    "MSDCAM_NVRTC",
    "MSDCAM_CUBIN",
    "MSDCAM_SHARDS",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_HOME",
    "CUDA_PATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "XDG_CACHE_HOME",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "RUST_BACKTRACE",
];

/// What variables with this beginning are options of the program.
const OWN: &str = "MSDCAM_";

/// Those of the variables that are set, and names that look like one of them.
pub fn environment() -> Finding {
    let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
    let set = VARIABLES.iter().filter_map(|&name| Some((name.to_string(), text(std::env::var_os(name)?))));
    let set: Vec<(String, String)> = set.collect();
    let unknown = std::env::vars_os().map(|(name, _)| text(name));
    let mut unknown: Vec<String> =
        unknown.filter(|name| name.starts_with(OWN) && !VARIABLES.contains(&name.as_str())).collect();
    unknown.sort();
    let shards = std::env::var_os("MSDCAM_SHARDS").map(text);
    let not_a_number = shards.filter(|shards| !shards.is_empty() && shards.parse::<usize>().is_err());
    let shown: Vec<String> = set.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let shown = if shown.is_empty() { "no variable is set that matters".into() } else { shown.join(", ") };
    let facts: Map<String, Value> = set.into_iter().map(|(name, value)| (name, value.into())).collect();
    let mut problems = Vec::new();
    if !unknown.is_empty() {
        problems.push(format!("unknown to this version: {}", unknown.join(", ")));
    }
    problems.extend(not_a_number.map(|shards| format!("MSDCAM_SHARDS is '{shards}', expected a number")));
    let finding = match problems.is_empty() {
        true => Finding::ok("environment", shown),
        false => Finding::note(
            "environment",
            format!("{shown}; {}", problems.join("; ")),
            format!(
                "variables of the program are {}; docs/devices.md explains them",
                VARIABLES[..4].join(", ")
            ),
        ),
    };
    finding.with(Value::Object(facts))
}
