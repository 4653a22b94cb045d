//! Output folders: whose files a folder holds, and what no command replaces.

use serde_json::Value;

#[cfg(target_os = "linux")]
use crate::cli::program::Run;
use crate::cli::program::{Place, repository};
use crate::cli::run::{cifar, contents};

/// A place with a small photo and a data set of three images.
fn place() -> Place {
    let place = Place::in_memory();
    place.write("a.png", &std::fs::read(repository("tests/golden/chelsea_32.png")).unwrap());
    place.write("set.bin", &cifar(3));
    place
}

const SMALL: &str = "--exits 1 --size 16";

#[test]
fn files_of_another_program_are_not_replaced() {
    let place = place();
    for (command, name) in [
        ("explain a.png", "manifest.json"),
        ("explain a.png", "results.jsonl"),
        ("explain a.png", "a_strip.png"),
        ("explain set.bin", "manifest.json"),
        ("explain set.bin", "results.jsonl"),
        ("explain set.bin", "images/a.png"),
        ("evaluate set.bin", "evaluation.json"),
        ("evaluate set.bin", "hardness.csv"),
        ("faithfulness a.png", "faithfulness.json"),
        ("faithfulness a.png", "faithfulness.csv"),
    ] {
        let folder = format!("{}-{}", command.replace(' ', "-"), name.replace('/', "-"));
        place.write(&format!("{folder}/{name}"), b"mine");
        let run = place.msdcam(&format!("{command} -o {folder} --exits 1"));
        assert!(matches!(run.code, 2 | 6), "{command}, {name}: {run:?}");
        run.refused(run.code, &[&folder, name.split('/').next().unwrap(), " is there, and not as part of "]);
        assert_eq!(place.read(&format!("{folder}/{name}")), b"mine", "{command}, {name}");
    }
    assert_eq!(place.msdcam(&format!("explain set.bin -o run {SMALL}")).code, 0);
    place.write("run/report.html", b"<html>mine");
    place.msdcam("report run").refused(2, &["run: report.html is there, and not as part of a report"]);
    assert_eq!(place.read("run/report.html"), b"<html>mine");
    assert!(!place.path().join("run/plots").exists());
}

#[test]
fn results_of_several_commands_share_a_folder() {
    let place = place();
    let explain = format!("explain set.bin -o out {SMALL}");
    for command in
        [&explain, "evaluate set.bin -o out --exits 1", "faithfulness a.png -o out --exits 1", "report out"]
    {
        // Each also replaces its own files.
        for _ in 0..2 {
            let run = place.msdcam(command);
            assert_eq!(run.code, 0, "{command}: {run:?}");
        }
    }
    let kind = |name: &str| {
        serde_json::from_slice::<Value>(&place.read(&format!("out/{name}"))).unwrap()["kind"].clone()
    };
    let kinds = ["manifest.json", "evaluation.json", "faithfulness.json"].map(kind);
    assert_eq!(kinds, ["run", "evaluation", "faithfulness"]);
    let names = place.names("out");
    assert!(names.iter().all(|name| !name.contains("lock") && !name.ends_with(".tmp")), "{names:?}");
}

#[test]
fn an_input_is_never_an_output() {
    let place = place();
    let photo = place.read("a.png");
    place.write("a_strip.png", &photo);
    place.write("a_exit01_cam.PNG", &photo);
    for (line, name) in
        [("a.png a_strip.png", "a_strip.png"), ("a.png a_strip.png ./a_exit01_cam.PNG", "a_strip.png")]
    {
        let run = place.msdcam(&format!("explain {line} -o . {SMALL}"));
        run.refused(2, &[name, ": is an input; choose another folder with -o"]);
    }
    assert!(place.read("a_strip.png") == photo && place.read("a_exit01_cam.PNG") == photo);
    std::fs::remove_file(place.path().join("a_strip.png")).unwrap();
    let run = place.msdcam(&format!("explain a.png a_exit01_cam.PNG -o . {SMALL}"));
    run.refused(2, &["a_exit01_cam.png: is an input"]);
    let checkpoint = std::fs::read(repository("tests/golden/nets/blocks-even.pth")).unwrap();
    place.write("net.pth", &checkpoint);
    place.write("labels.txt", b"a\nb\nc\n");
    for line in
        ["-o labels.txt --labels labels.txt", "-o ../labels.txt --labels x/../labels.txt", "-o net.pth"]
    {
        place.write("x/y", b"");
        let line = line.replace("../labels.txt", "x/../labels.txt").replace("x/x/", "x/");
        place
            .msdcam(&format!("convert net.pth {line}"))
            .refused(2, &[": is an input; choose another file with -o"]);
    }
    assert!(place.read("net.pth") == checkpoint && place.read("labels.txt") == b"a\nb\nc\n");
    assert_eq!(place.msdcam(&format!("explain set.bin -o run {SMALL}")).code, 0);
    let before = contents(&place.path().join("run"));
    for name in before.keys().filter(|name| !name.to_string_lossy().contains("exit01")) {
        let line = format!("figure run --select hardness>=0 -o run/{}", name.display());
        place.msdcam(&line).refused(2, &[": is an input; choose another file with -o"]);
    }
    assert_eq!(contents(&place.path().join("run")), before);
}

#[test]
fn a_command_that_fails_early_leaves_the_results_of_the_one_before() {
    let place = place();
    assert_eq!(place.msdcam(&format!("explain a.png -o out {SMALL}")).code, 0);
    assert_eq!(place.msdcam("evaluate set.bin -o out2 --exits 1").code, 0);
    let before = ["out", "out2"].map(|folder| contents(&place.path().join(folder)));
    place.msdcam("explain a.png -o out --exits 99").refused(2, &["99"]);
    place.msdcam("evaluate a.png -o out2").refused(4, &["labels"]);
    assert_eq!(["out", "out2"].map(|folder| contents(&place.path().join(folder))), before);
}

#[test]
fn masks_are_found_by_the_name_of_a_photo_that_is_elsewhere() {
    let place = place();
    // An empty mask: the photo has no object. The photo itself would be one, everywhere.
    let black = msdcam::RgbImage { width: 32, height: 32, rgb: vec![0; 3 * 32 * 32] };
    place.write("masks/a.png", &msdcam::imaging::encode_png(&black));
    let absolute = place.path().join("a.png");
    for photo in ["a.png", "./a.png", absolute.to_str().unwrap()] {
        let run = place.msdcam(&format!("faithfulness {photo} --exits 1 --masks masks --json"));
        assert_eq!(run.code, 0, "{run:?}");
        assert_eq!(run.json()[0]["rows"][0]["pointing"]["pointing_game"], Value::Null, "{photo}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_called_lock_is_not_followed() {
    let place = place();
    place.write("victim", b"precious");
    std::fs::create_dir(place.path().join("out")).unwrap();
    std::os::unix::fs::symlink("../victim", place.path().join("out/lock")).unwrap();
    place.msdcam(&format!("explain a.png -o out {SMALL}")).refused(6, &["out/lock: cannot write: "]);
    assert_eq!(place.read("victim"), b"precious");
    assert!(place.path().join("out/lock").is_symlink());
    // Nor is a file of that name replaced that is no lock.
    place.write("other/lock", b"combination: 1234");
    place.msdcam(&format!("explain a.png -o other {SMALL}")).refused(6, &["other/lock: cannot write: "]);
    assert_eq!(place.read("other/lock"), b"combination: 1234");
}

#[test]
fn two_commands_do_not_write_into_one_folder_at_once() {
    let place = place();
    place.write("out/evaluation.lock", b"");
    let held = std::fs::File::options().write(true).open(place.path().join("out/evaluation.lock")).unwrap();
    held.lock().unwrap();
    place.msdcam("evaluate set.bin -o out --exits 1").refused(6, &["out: cannot write: in use by "]);
    // Another command's files are others.
    assert_eq!(place.msdcam("faithfulness a.png -o out --exits 1").code, 0);
}

#[test]
fn a_data_set_that_is_its_own_output_folder_stays_the_same_set() {
    let place = place();
    let photo = place.read("a.png");
    for name in ["ds/cat/1.png", "ds/cat/2.png", "ds/dog/1.png"] {
        place.write(name, &photo);
    }
    let explain = format!("explain ds -o ds {SMALL}");
    let first = place.msdcam(&explain);
    assert_eq!(first.code, 0, "{first:?}");
    assert_eq!(place.msdcam("report ds").code, 0);
    let again = place.msdcam(&explain);
    assert_eq!((again.code, &again.stdout), (0, &first.stdout), "{again:?}");
    // A class of the set that has the name of the run's pictures.
    place.write("odd/images/1.png", &photo);
    place.write("odd/dog/1.png", &photo);
    let run = place.msdcam(&format!("explain odd -o odd {SMALL} --labels-by none"));
    run.refused(2, &["odd: images is there, and not as part of the run of a data set"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_marker_that_cannot_be_opened_is_not_taken_for_another_programs() {
    let place = place();
    let line = format!("explain a.png -o out {SMALL} -q");
    assert_eq!(place.msdcam(&line).code, 0);
    let before = contents(&place.path().join("out"));
    let program = place.command::<&str>(&[]);
    let mut unread = 0;
    // The standard streams and the lock, and a few more.
    for files in 3..12 {
        let limited = format!("ulimit -n {files} && exec \"$0\" {line}");
        let mut shell = std::process::Command::new("sh");
        shell.current_dir(place.path()).args(["-c", &limited]).arg(program.get_program());
        let run = Run::from(shell.output().unwrap());
        assert!(!run.stderr.contains("is there, and not as part of"), "{files} files: {run:?}");
        if run.stderr.contains("out/manifest.json: file: cannot read: Too many open files") {
            assert_eq!((run.code, run.stderr.lines().count()), (4, 1), "{files} files: {run:?}");
            unread += 1;
        }
        assert_eq!(contents(&place.path().join("out")), before, "{files} files: {run:?}");
    }
    assert!(unread > 0, "the marker could always be opened");
}
