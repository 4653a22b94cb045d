//! The fuzz targets over their seeds: every input of `fuzz/corpus`, without a fuzzer.

use crate::common::golden::repository;

#[path = "../../fuzz/targets.rs"]
mod targets;

#[test]
fn every_fuzz_target_holds_for_its_seeds() {
    for (name, body) in targets::TARGETS {
        let folder = repository("fuzz/corpus").join(name);
        let mut seeds = 0;
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            body(&std::fs::read(&path).unwrap());
            seeds += 1;
        }
        assert!(seeds >= 3, "{name}: {seeds} seeds");
    }
}

#[test]
fn every_fuzz_target_is_a_binary_of_the_fuzz_crate() {
    let manifest = std::fs::read_to_string(repository("fuzz/Cargo.toml")).unwrap();
    for (name, _) in targets::TARGETS {
        let path = format!("fuzz_targets/{name}.rs");
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"{path}\"")), "{name}");
        let body = std::fs::read_to_string(repository("fuzz").join(path)).unwrap();
        assert!(body.contains(&format!("msdcam_fuzz::{name}(data)")), "{name}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), targets::TARGETS.len());
}
