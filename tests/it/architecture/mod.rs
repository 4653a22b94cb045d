//! Architecture: which part of the library may use which, no circles within a part, and no word of one
//! model family where any model would do.

mod imports;

use std::path::Path;

use crate::common::golden::repository;
use imports::{Crate, Dependency, Module, circles};

/// What each part may use, from the lowest floor up; `a::b` allows a module of `a` alone.
const MAY_USE: [(&str, &[&str]); 13] = [
    // Shapes are plain data, and the values of many errors.
    ("error", &["engine::tensor"]),
    ("util", &["error"]),
    ("engine", &["error", "util"]),
    ("imaging", &["error", "util", "engine::tensor", "engine::bilinear"]),
    ("dataset", &["error", "util", "imaging"]),
    ("model", &["error", "util", "engine", "imaging", "dataset"]),
    ("explain", &["error", "util", "engine", "imaging", "model"]),
    ("faithfulness", &["error", "util", "engine", "imaging", "dataset", "model", "explain"]),
    ("evaluation", &["error", "util", "engine", "imaging", "dataset", "model", "explain"]),
    ("render", &["error", "util", "engine::tensor", "engine::bilinear", "imaging"]),
    ("report", &["error", "util", "imaging", "evaluation", "render"]),
    ("run", &["error", "util"]),
    (
        "cli",
        &[
            "error",
            "util",
            "engine",
            "imaging",
            "dataset",
            "model",
            "explain",
            "faithfulness",
            "evaluation",
            "render",
            "report",
            "run",
        ],
    ),
];

/// Circles that are still to be opened.
const KNOWN_CIRCLES: &[&[&str]] = &[];

/// Parts that know models only through `model`'s interface.
const FOR_ANY_MODEL: [&str; 6] = ["explain", "faithfulness", "evaluation", "report", "run", "render"];

/// Files of those parts that still name the model family.
const STILL_NAME_IT: &[&str] = &[];

/// The part of the library that a module belongs to; the root has none.
fn part(module: &Module) -> &str {
    module.first().map_or("", String::as_str)
}

fn may_use(part: &str, other: &Module) -> bool {
    let (_, allowed) = MAY_USE.iter().find(|(name, _)| *name == part).unwrap_or_else(|| {
        panic!("src/{part} is not in MAY_USE: say what it may use");
    });
    allowed.iter().any(|&allowed| {
        let names: Vec<&str> = allowed.split("::").collect();
        other.len() >= names.len() && names.iter().zip(other).all(|(name, part)| name == part)
    })
}

#[test]
fn no_part_uses_one_above_it() {
    let dependencies = Crate::read(&repository("")).dependencies();
    assert!(dependencies.len() > 1000, "only {} references found", dependencies.len());
    let wrong = |d: &&Dependency| {
        let (from, to) = (part(&d.from), part(&d.to));
        !from.is_empty() && from != to && !may_use(from, &d.to)
    };
    let wrong: Vec<String> = dependencies
        .iter()
        .filter(wrong)
        .map(|d| {
            format!(
                "{}: {} uses {}",
                d.place,
                part(&d.from),
                if d.to.is_empty() { "the root".into() } else { d.to.join("::") }
            )
        })
        .collect();
    assert!(wrong.is_empty(), "against the order of MAY_USE:\n{}", wrong.join("\n"));
}

#[test]
fn no_files_of_a_part_use_each_other_in_a_circle() {
    let dependencies = Crate::read(&repository("")).dependencies();
    // What a file offers to the modules below it is theirs to use.
    let counts = |d: &&Dependency| part(&d.from) == part(&d.to) && !d.from.starts_with(&d.to);
    let dependencies: Vec<&Dependency> = dependencies.iter().filter(counts).collect();
    let pairs: Vec<(Module, Module)> = dependencies.iter().map(|d| (d.from.clone(), d.to.clone())).collect();
    let found = circles(&pairs);
    let known: Vec<Vec<Module>> = KNOWN_CIRCLES
        .iter()
        .map(|circle| circle.iter().map(|name| name.split("::").map(String::from).collect()).collect())
        .collect();
    let mut wrong = Vec::new();
    for circle in found.iter().filter(|circle| !known.contains(circle)) {
        let names: Vec<String> = circle.iter().map(|module| format!("{:?}", module.join("::"))).collect();
        wrong.push(format!("a circle: {}", names.join(", ")));
        for d in dependencies.iter().filter(|d| circle.contains(&d.from) && circle.contains(&d.to)) {
            wrong.push(format!("    {}: {} uses {}", d.place, d.from.join("::"), d.to.join("::")));
        }
    }
    for circle in known.iter().filter(|circle| !found.contains(circle)) {
        let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
        wrong.push(format!("no longer a circle, to be taken out of KNOWN_CIRCLES: {}", names.join(", ")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_model_part_names_a_model_family() {
    let mut found = Vec::new();
    for part in FOR_ANY_MODEL {
        visit(&repository(&format!("src/{part}")), &mut |path| {
            let text = std::fs::read_to_string(path).unwrap().to_lowercase();
            if text.contains("msdnet") || text.contains("msd-net") {
                let path = path.strip_prefix(repository("")).unwrap();
                found.push(path.to_string_lossy().replace('\\', "/"));
            }
        });
    }
    found.sort();
    assert_eq!(found, STILL_NAME_IT, "left: files that name MSDNet; right: those that are known to");
}

/// Calls that open a file for reading, and so block on a pipe or read a device without end.
const OPENINGS: [&str; 4] = ["fs::read(", "fs::read_to_string(", "File::open(", "File::options("];

/// The only file that has such calls.
const INPUT_FILE: &str = "src/util/input_file.rs";

#[test]
fn files_are_opened_for_reading_in_one_place() {
    let mut found = Vec::new();
    visit(&repository("src"), &mut |path| {
        let name = path.strip_prefix(repository("")).unwrap().to_string_lossy().replace('\\', "/");
        let text = std::fs::read_to_string(path).unwrap();
        // Test modules are at the end of a file, or files of their own.
        let code =
            text.split("\nmod tests {").next().filter(|_| !name.ends_with("/tests.rs")).unwrap_or_default();
        let calls = |opening: &&str| {
            let mut places = code.match_indices(*opening);
            places.any(|(at, _)| !code[..at].ends_with(char::is_alphanumeric))
        };
        if OPENINGS.iter().any(calls) {
            found.push(name);
        }
    });
    assert_eq!(found, [INPUT_FILE], "elsewhere: use its functions");
}

fn visit(folder: &Path, to: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, to);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            to(&path);
        }
    }
}
