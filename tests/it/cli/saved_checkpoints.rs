//! One network, saved in every way that training scripts save one (`tests/golden/make_saved.py`).

use msdcam::model::weights::Weights;
use serde::Deserialize;

use crate::cli::program::{Place, repository};

/// One way to save it.
#[derive(Deserialize)]
struct Row {
    file: String,
    args: Vec<String>,
    notes: Vec<String>,
    error: Option<String>,
    other: bool,
}

#[derive(Deserialize)]
struct Expected {
    files: Vec<Row>,
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(repository("tests/golden/saved/expected.json")).unwrap();
    let Expected { files } = serde_json::from_str(&text).unwrap();
    assert!(files.len() > 30, "only {} files", files.len());
    files
}

fn path(file: &str) -> String {
    repository(&format!("tests/golden/saved/{file}")).to_str().unwrap().to_string()
}

fn weights(place: &Place) -> Weights {
    Weights::read(&place.path().join("w.safetensors")).unwrap()
}

#[test]
fn every_way_to_save_a_network_gives_its_weights_or_says_what_to_do() {
    let place = Place::new();
    assert_eq!(place.run(&["convert", &path("plain.pth"), "-o", "w.safetensors"]).code, 0);
    let plain = weights(&place);
    for row in rows() {
        let (file, source) = (&row.file, path(&row.file));
        let mut words = vec!["convert", &source, "-o", "w.safetensors"];
        words.extend(row.args.iter().map(String::as_str));
        let _ = std::fs::remove_file(place.path().join("w.safetensors"));
        let run = place.run(&words);
        match &row.error {
            Some(error) => {
                run.refused(4, &[&format!("{file}: {error}")]);
                assert!(!place.path().join("w.safetensors").exists(), "{file}");
            }
            None => {
                assert_eq!(run.code, 0, "{file}: {}", run.stderr);
                let lines: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("note: ")).collect();
                assert_eq!(lines.len(), row.notes.len(), "{file}: {lines:?}");
                for note in &row.notes {
                    assert!(
                        lines.iter().any(|line| line.contains(note.as_str())),
                        "{file}: {note}: {lines:?}"
                    );
                }
                let found = weights(&place);
                assert_eq!(found.config, plain.config, "{file}");
                if file == "prefix_sequential.pth" {
                    assert_eq!((found.mean, found.std), ([0.5, 0.25, 0.125], [0.25, 0.5, 1.0]));
                } else {
                    assert_eq!((found.mean, found.std), (plain.mean, plain.std), "{file}");
                }
                for (name, (dims, elements)) in &plain.tensors {
                    let (other, values) = &found.tensors[name];
                    assert_eq!(dims, other, "{file}: {name}");
                    let more = if row.other { 1.0 } else { 0.0 };
                    assert!(elements.iter().zip(&values[..]).all(|(a, b)| a + more == *b), "{file}: {name}");
                }
            }
        }
    }
}

#[test]
fn inspect_reads_what_convert_reads_and_says_the_same() {
    let place = Place::new();
    for row in rows().iter().filter(|row| row.error.is_none()) {
        let source = path(&row.file);
        let mut words = vec!["inspect", &source];
        words.extend(row.args.iter().map(String::as_str));
        let run = place.run(&words);
        assert_eq!(run.code, 0, "{}: {}", row.file, run.stderr);
        assert!(
            run.stdout.contains("blocks (the authors' port)") && !run.stdout.contains("problem"),
            "{}",
            run.stdout
        );
        for note in row.notes.iter().filter(|note| !note.starts_with("pixels are normalized")) {
            assert!(run.stdout.contains(note.as_str()), "{}: {note}: {}", row.file, run.stdout);
        }
    }
}

#[test]
fn folders_that_are_taken_for_checkpoints_are_named() {
    let place = Place::new();
    let folder = place.path().join("net");
    std::fs::create_dir_all(folder.join("data")).unwrap();
    std::fs::write(folder.join("data.pkl"), b"").unwrap();
    let distributed = place.path().join("step_100");
    std::fs::create_dir(&distributed).unwrap();
    std::fs::write(distributed.join("__0_0.distcp"), b"").unwrap();
    for command in ["convert net -o w.safetensors", "inspect net"] {
        place.msdcam(command).refused(4, &["net: file: ", "is an unpacked checkpoint; pack it again"]);
    }
    place.msdcam("inspect step_100").refused(4, &["is a distributed checkpoint; make one file of it with"]);
}
