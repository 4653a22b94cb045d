//! Resumption of killed and interrupted runs.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::program::{Place, Run};
use crate::cli::run::{assert_same, cifar};

/// Random integers below a limit: SplitMix64 (Steele et al. 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

fn start(place: &Place, line: &str) -> Child {
    let words: Vec<&str> = line.split(' ').collect();
    place.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Number of files of a run so far.
fn files(run: &Path) -> usize {
    let count = |folder: &Path| fs::read_dir(folder).into_iter().flatten().count();
    count(&run.join("images/0000")) + count(run)
}

/// Waits until `is_time` or until the process ends.
fn wait(child: &mut Child, mut is_time: impl FnMut() -> bool) {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() && !is_time() {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing happens");
        std::thread::sleep(Duration::from_micros(300));
    }
}

#[test]
fn a_run_killed_at_50_points_has_the_bytes_of_an_uninterrupted_one() {
    const KILLS: usize = 50;
    let place = Place::in_memory();
    let path = |name: &str| place.path().join(name);
    place.write("set.bin", &cifar(12));
    place.small("noise.png");
    let line = "explain set.bin --exits 1,6,10 --size 24 --threads 2 -o";
    assert_eq!(place.msdcam(&format!("{line} whole")).code, 0);
    let all = files(&path("whole"));
    let mut random = Random(6);
    let (mut kills, mut finished, mut midway) = (0, 0, 0);
    while kills < KILLS || finished == 0 || path("run").exists() {
        let mut child = start(&place, &format!("{line} run"));
        if kills < KILLS {
            // Shortly after a given number of files has been written.
            let (more, later) = (random.below(all as u64 / 2) as usize, random.below(3000));
            let target = files(&path("run")) + more;
            wait(&mut child, || files(&path("run")) > target);
            std::thread::sleep(Duration::from_micros(later));
            child.kill().unwrap();
        }
        let output = child.wait_with_output().unwrap();
        match output.status.code() {
            None => {
                kills += 1;
                let journal = fs::read(path("run/journal.jsonl")).unwrap_or_default();
                midway += usize::from((2..=12).contains(&journal.iter().filter(|&&b| b == b'\n').count()));
            }
            Some(0) => {
                assert_same(&path("run"), &path("whole"), &format!("after {kills} kills"));
                fs::remove_dir_all(path("run")).unwrap();
                finished += 1;
            }
            Some(_) => panic!("{:?}", Run::from(output)),
        }
    }
    assert!(midway >= KILLS / 5, "only {midway} of {kills} kills met a run at work");
}

/// Starts a long run, sends `signals` while it is working, and waits for its end.
fn interrupted(place: &Place, line: &str, signals: &[&str]) -> Run {
    let journal = place.path().join("run/journal.jsonl");
    let lines = || fs::read(&journal).map_or(0, |text| text.iter().filter(|&&b| b == b'\n').count());
    let before = lines();
    let mut child = start(place, line);
    wait(&mut child, || lines() > before.max(2));
    for signal in signals {
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, id.as_str()]).status().unwrap().success());
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap().into()
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_run_cleanly_and_it_resumes() {
    let place = Place::in_memory();
    place.write("set.bin", &cifar(40));
    let line = "explain set.bin --exits 1,10 --size 500 --threads 1 --pictures all -o run";
    for (signals, code) in [(&["-INT"] as &[&str], 130), (&["-TERM"], 143)] {
        let run = interrupted(&place, line, signals);
        assert_eq!(run.code, code, "{run:?}");
        let told = run.stderr.lines().last().unwrap();
        assert!(told.starts_with("stopped after ") && told.ends_with("the same command resumes the run"));
        let names = place.names("run");
        assert_eq!(names, ["arrays", "images", "journal.jsonl"], "the lock is gone");
        let done: usize = told.split(' ').nth(2).unwrap().parse().unwrap();
        let journal = String::from_utf8(place.read("run/journal.jsonl")).unwrap();
        assert_eq!(journal.lines().count(), done + 1);
        assert!(done < 40, "{told}");
        // Images in progress were finished: every file belongs to a finished image.
        assert_eq!(place.names("run/images/0000").len(), done * 3);
    }
    // A second signal ends the run immediately; nothing is lost.
    let run = interrupted(&place, line, &["-INT", "-INT"]);
    assert_eq!(run.code, 130, "{run:?}");
    assert_eq!(place.msdcam(line).code, 0);
    assert_eq!(place.msdcam(&line.replace("-o run", "-o whole")).code, 0);
    assert_same(&place.path().join("run"), &place.path().join("whole"), "after four signals");
}
