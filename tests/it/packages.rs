//! The packages that a registry gets: nothing that their sources include is left out, and each is within the limit.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::common::golden::repository;

/// The largest package that crates.io takes, bytes.
const LIMIT: u64 = 10 << 20;

/// The packages that are published, with their folders.
const PACKAGES: [(&str, &str); 2] = [("msdcam", "."), ("msdcam-weights", "weights/cifar10")];

#[test]
fn packages_are_within_the_limit_of_a_registry() {
    let folder = tempfile::tempdir().unwrap();
    let mut cargo = cargo("package");
    cargo.args(["--no-verify", "--target-dir"]).arg(folder.path());
    for (name, _) in PACKAGES {
        cargo.args(["--package", name]);
    }
    run(cargo);
    for (name, _) in PACKAGES {
        let is_this = |file: &Path| {
            let version =
                file.file_name()?.to_str()?.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".crate")?;
            version.starts_with(|c: char| c.is_ascii_digit()).then_some(())
        };
        let files = std::fs::read_dir(folder.path().join("package")).unwrap();
        let file = files.map(|file| file.unwrap().path()).find(|file| is_this(file).is_some());
        let size = file.unwrap_or_else(|| panic!("{name}: not packed")).metadata().unwrap().len();
        assert!(size < LIMIT, "{name}: {size} bytes, the limit is {LIMIT}");
    }
}

#[test]
fn packages_have_every_file_that_their_sources_include() {
    for (name, folder) in PACKAGES {
        let mut cargo = cargo("package");
        cargo.args(["--list", "--package", name]);
        let packed: BTreeSet<PathBuf> = run(cargo).lines().map(PathBuf::from).collect();
        let mut included = 0;
        // The benches are packed since the manifest names them, and are not compiled by others.
        let sources = packed.iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
        for source in sources.filter(|path| !path.starts_with("benches")) {
            let text = std::fs::read_to_string(repository(folder).join(source)).unwrap();
            let compiled = text.split("#[cfg(test)]").next().unwrap();
            for path in included_files(compiled) {
                let file = normalized(&source.parent().unwrap().join(path));
                assert!(packed.contains(&file), "{name}: {} includes {}", source.display(), file.display());
                included += 1;
            }
        }
        assert!(included > 0, "{name}: found no included file");
        for file in ["README.md", "LICENSE-APACHE", "LICENSE-MIT", "Cargo.toml"] {
            assert!(packed.contains(Path::new(file)), "{name}: no {file}");
        }
    }
}

/// The paths of `include_str!`, `include_bytes!` and the crate's own macros around them, as written.
fn included_files(source: &str) -> impl Iterator<Item = &str> {
    ["include_str!(\"", "include_bytes!(\""].into_iter().flat_map(move |call| {
        source.split(call).skip(1).map(|rest| rest.split('"').next().expect("split gives at least one piece"))
    })
}

/// `path` without `..`.
fn normalized(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in path.components() {
        if component == Component::ParentDir {
            assert!(result.pop(), "{} leaves the package", path.display());
        } else {
            result.push(component);
        }
    }
    result
}

fn cargo(command: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(repository(".")).args([command, "--offline", "--allow-dirty"]);
    cargo
}

fn run(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
