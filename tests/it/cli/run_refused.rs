//! Refusals and disk errors in a run directory.

use std::time::{Duration, Instant};

use crate::cli::program::Place;
use crate::cli::run::{cifar, contents};

#[test]
fn refuses_another_request_and_lists_the_differences() {
    let place = Place::new();
    place.write("set.bin", &cifar(3));
    let explain = "explain set.bin -o run --exits 1,2 --size 16";
    assert_eq!(place.msdcam(explain).code, 0);
    let before = contents(&place.path().join("run"));
    let refused = |line: &str, difference: &str| place.msdcam(line).refused(2, &["run: ", difference, " -o"]);
    refused(&format!("{explain} --colormap viridis"), "colormap: the run has jet, asked for viridis");
    refused(&explain.replace("1,2", "1"), "exits: the run has [1,2], asked for [1]");
    refused(&explain.replace("16", "17"), "size: the run has 16, asked for 17");
    refused(&format!("{explain} --fit pad"), "fit: the run has crop, asked for pad");
    refused(&format!("{explain} --class dog"), "class: the run has predicted, asked for dog");
    refused(&format!("{explain} --method layer-cam"), "methods: the run has [\"grad-cam\"], asked for");
    refused(&format!("{explain} --select right@1"), "select: the run has none, asked for right@1");
    place.write("set.bin", &cifar(4));
    refused(explain, "dataset.images: the run has 3, asked for 4; dataset.sha256: the run has ");
    let mut changed = cifar(3);
    changed[3000] ^= 1;
    place.write("set.bin", &changed);
    refused(explain, "dataset.sha256: the run has ");
    assert_eq!(contents(&place.path().join("run")), before);
}

#[test]
fn refuses_other_weights() {
    let place = Place::new();
    place.write("set.bin", &cifar(2));
    let checkpoint = crate::cli::program::repository("tests/golden/nets/blocks-even.pth");
    place.run(&["convert", checkpoint.to_str().unwrap(), "-o", "w.safetensors"]);
    assert_eq!(place.msdcam("explain set.bin -o run --exits 1 --size 16").code, 0);
    let run = place.msdcam("explain set.bin -o run --exits 1 --size 16 --weights w.safetensors");
    // CIFAR labels may not match a model with another number of classes, which is checked first.
    assert!(matches!(run.code, 2 | 4), "{run:?}");
    if run.code == 2 {
        run.refused(2, &["weights.sha256: the run has "]);
    }
}

#[test]
fn a_run_and_photos_as_arguments_do_not_share_a_folder() {
    let place = Place::new();
    place.write("set.bin", &cifar(2));
    place.small("noise.png");
    assert_eq!(place.msdcam("explain set.bin -o run --exits 1 --size 16").code, 0);
    let before = contents(&place.path().join("run"));
    place
        .msdcam("explain noise.png -o run")
        .refused(2, &["run: holds the run of a data set; choose another"]);
    assert_eq!(contents(&place.path().join("run")), before);
    assert_eq!(place.msdcam("explain noise.png -o photos --exits 1 --size 16").code, 0);
    place
        .msdcam("explain set.bin -o photos --exits 1 --size 16")
        .refused(2, &["photos: holds explanations of photos; choose another folder with -o"]);
    for option in ["--retry-failed", "--shard 1/2", "--select right@1"] {
        let run = place.msdcam(&format!("explain noise.png -o photos {option}"));
        run.refused(2, &[option.split(' ').next().unwrap(), "applies to data sets only"]);
    }
}

#[test]
fn names_the_process_that_holds_the_folder_unless_it_has_ended() {
    let place = Place::in_memory();
    place.write("set.bin", &cifar(200));
    let words: Vec<&str> = "explain set.bin -o run --size 1024 --exits 1".split(' ').collect();
    let mut first = place.command(&words).spawn().unwrap();
    let started = Instant::now();
    while !place.path().join("run/journal.jsonl").exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "no journal");
        std::thread::sleep(Duration::from_millis(2));
    }
    let holder = format!("run: cannot write: in use by process {} on ", first.id());
    place.run(&words).refused(6, &[&holder, " since 20"]);
    place.small("noise.png");
    place.msdcam("explain noise.png -o run").refused(6, &[&holder]);
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(place.path().join("run/lock").exists(), "killed before it could remove it");
    place.msdcam("explain set.bin -o run --size 16 --exits 1").refused(2, &["size: the run has 1024"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_stopped_by_a_full_disk_resumes() {
    let place = Place::new();
    place.write("set.bin", &cifar(12));
    let words = "explain set.bin --exits 1,10 --size 128";
    assert_eq!(place.msdcam(&format!("{words} -o whole")).code, 0);
    std::fs::create_dir(place.path().join("disk")).unwrap();
    // A separate file system in a separate mount namespace.
    let script = format!(
        "mount -t tmpfs -o size=700k none disk || exit 99\n\
         \"$0\" {words} -o disk/run; echo code $?\n\
         find disk/run -name '*.tmp'\n\
         \"$0\" {words} -o disk/run; echo code $?\n\
         mount -o remount,size=100m disk\n\
         \"$0\" {words} -o disk/run; echo code $?\n\
         cp -r disk/run room"
    );
    let mut shell = std::process::Command::new("unshare");
    shell.args(["-Urm", "sh", "-c", &script, env!("CARGO_BIN_EXE_msdcam")]).current_dir(place.path());
    let Ok(output) = shell.output().map(crate::cli::program::Run::from) else {
        return skipped!("a full disk: needs unshare");
    };
    if !output.stdout.contains("code") {
        return skipped!("a full disk: cannot mount one: {}", output.stderr.trim());
    }
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(
        lines,
        ["code 6", "code 6", "run: 12 images, all done", "code 0"]
            .map(|line| { if line.starts_with("run") { "disk/run: 12 images, all done" } else { line } })
    );
    let errors: Vec<&str> = output.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 2, "{output:?}");
    assert!(errors[0].contains("cannot write: No space left on device"), "{output:?}");
    crate::cli::run::assert_same(
        &place.path().join("room"),
        &place.path().join("whole"),
        "after a full disk",
    );
}

#[cfg(unix)]
#[test]
fn a_file_size_limit_ends_a_run_cleanly() {
    let place = Place::in_memory();
    place.write("set.bin", &cifar(4));
    let words = "explain set.bin --exits 1,10 --size 64";
    assert_eq!(place.msdcam(&format!("{words} -o whole")).code, 0);
    // In blocks of 512 or 1024 bytes; a strip is larger.
    let script = format!("ulimit -f 40; \"$0\" {words} -o run");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_msdcam")]).current_dir(place.path());
    let run: crate::cli::program::Run = shell.output().unwrap().into();
    run.refused(6, &["run/images/0000/", "cannot write: File too large"]);
    assert!(place.names("run/images/0000").iter().all(|name| !name.ends_with(".tmp")));
    assert_eq!(place.msdcam(&format!("{words} -o run")).code, 0);
    crate::cli::run::assert_same(&place.path().join("run"), &place.path().join("whole"), "after a limit");
}
