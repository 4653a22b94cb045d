//! Fault injection: killed, or out of disk space, at every disk operation.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use msdcam::run::{Opened, Shard};

#[cfg(unix)]
use crate::run::work::hard_linked;
use crate::run::work::{BAD, Fault, Faulty, IMAGES, Job, Quick, contents, exit_code, new_folder, whole};

/// Runs `job` with a disk that fails at call 0, 1 and so on until nothing fails; after each failure `check`
/// inspects the folder, which `prepare` creates.
fn at_every_call(
    prepare: impl Fn(&Path),
    job: impl Fn(Arc<Faulty>) -> Job,
    check: impl Fn(&Path, &Job, &str),
) {
    for fault in Fault::ALL {
        for at in 0.. {
            let folder = new_folder();
            let run = folder.path().join("run");
            prepare(&run);
            let disk = Faulty::new(fault, at);
            let mut job = job(Arc::clone(&disk));
            let ended = job.run(&run);
            let what = format!("{fault:?} at call {at}");
            if !disk.struck() {
                ended.unwrap();
                assert!(at > 10, "{what}: too few calls");
                break;
            }
            // Some failures, such as one to remove a partial line, have no effect.
            if let Err(error) = ended {
                assert_eq!(exit_code(&error), 6, "{what}: {error}");
            }
            check(&run, &job, &what);
        }
    }
}

#[test]
fn a_run_interrupted_at_any_call_resumes_to_the_same_bytes() {
    let expected = new_folder();
    let summary = whole(expected.path());
    assert_eq!((summary.images, summary.failed), (IMAGES, BAD.len()));
    at_every_call(
        |_| (),
        |disk| Job::new(disk, Shard::WHOLE),
        |run, first, what| {
            let mut second = Job::new(Arc::new(Quick), Shard::WHOLE);
            let again = second.run(run).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(again, summary, "{what}");
            assert_eq!(contents(run), contents(expected.path()), "{what}");
            // At most the image that was being recorded is done twice, and none is skipped.
            let all: BTreeSet<usize> = first.worked_on.iter().chain(&second.worked_on).copied().collect();
            assert_eq!(all, (0..IMAGES).collect(), "{what}");
            assert!(first.worked_on.len() + second.worked_on.len() <= IMAGES + 1, "{what}");
        },
    );
}

#[test]
fn retries_can_be_interrupted_at_any_call() {
    let expected = new_folder();
    let mended = |disk, retry_failed| Job { mended: true, retry_failed, ..Job::new(disk, Shard::WHOLE) };
    mended(Arc::new(Quick), false).run(expected.path()).unwrap();
    at_every_call(
        |run| assert_eq!(whole(run).failed, BAD.len()),
        |disk| mended(disk, true),
        |run, _, what| {
            // With the same words, and before that perhaps with others.
            if what.len() % 2 == 0 {
                mended(Arc::new(Quick), false).run(run).unwrap_or_else(|e| panic!("{what}: {e}"));
            }
            mended(Arc::new(Quick), true).run(run).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(contents(run), contents(expected.path()), "{what}");
        },
    );
}

#[cfg(unix)]
#[test]
fn a_run_with_a_hard_linked_backup_resumes_at_any_call_and_the_backup_stays() {
    let expected = new_folder();
    whole(expected.path());
    let interrupted = |run: &Path| {
        Job::new(Faulty::new(Fault::KilledBefore, 60), Shard::WHOLE).run(run).unwrap_err();
    };
    let backup = new_folder();
    interrupted(backup.path());
    let backup = contents(backup.path());
    assert!(backup.keys().any(|name| name.ends_with("cam.npy")) && !backup.contains_key(Path::new("lock")));
    at_every_call(
        |run| {
            interrupted(run);
            hard_linked(run, &run.with_file_name("backup"));
        },
        |disk| Job::new(disk, Shard::WHOLE),
        |run, _, what| {
            Job::new(Arc::new(Quick), Shard::WHOLE).run(run).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(contents(run), contents(expected.path()), "{what}");
            assert_eq!(contents(&run.with_file_name("backup")), backup, "{what}");
        },
    );
}

#[test]
fn shards_interrupted_at_any_call_can_be_merged() {
    let expected = new_folder();
    whole(expected.path());
    let [one, two] = [1, 2].map(|index| Shard::new(index, 2).unwrap());
    at_every_call(
        |run| {
            Job::new(Arc::new(Quick), one).run(run).unwrap();
        },
        |disk| Job::new(disk, two),
        |run, _, what| {
            Job::new(Arc::new(Quick), two).run(run).unwrap_or_else(|e| panic!("{what}: {e}"));
            msdcam::run::merge(&Quick, &[run.into()], run).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(contents(run), contents(expected.path()), "{what}");
        },
    );
}

#[test]
fn a_merge_interrupted_at_any_call_can_be_repeated() {
    let expected = new_folder();
    whole(expected.path());
    for in_place in [false, true] {
        for fault in Fault::ALL {
            for at in 0.. {
                let folder = new_folder();
                let sources = if in_place { ["run"; 3] } else { ["a", "b", "c"] };
                let sources = sources.map(|name| folder.path().join(name));
                for (index, source) in (1..).zip(&sources) {
                    Job::new(Arc::new(Quick), Shard::new(index, 3).unwrap()).run(source).unwrap();
                }
                let sources = if in_place { &sources[..1] } else { &sources };
                let run = folder.path().join("run");
                let disk = Faulty::new(fault, at);
                let ended = msdcam::run::merge(&*disk, sources, &run);
                let what = format!("in place {in_place}, {fault:?} at call {at}");
                // Files can still be removed from a full disk.
                assert!(ended.is_ok() || disk.struck(), "{what}");
                msdcam::run::merge(&Quick, sources, &run).unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_eq!(contents(&run), contents(expected.path()), "{what}");
                if !disk.struck() {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_damaged_journal_loses_only_the_images_of_the_damage() {
    let expected = new_folder();
    whole(expected.path());
    let folder = new_folder();
    let run = folder.path().join("run");
    // Killed after all images were recorded.
    let journal = (20..).find_map(|at| {
        let _ = fs::remove_dir_all(&run);
        Job::new(Faulty::new(Fault::KilledBefore, at), Shard::WHOLE).run(&run).unwrap_err();
        let journal = fs::read(run.join("journal.jsonl")).unwrap();
        let lines = journal.iter().filter(|&&byte| byte == b'\n').count();
        (lines == IMAGES + 1).then_some(journal)
    });
    let journal = journal.unwrap();
    let header = journal.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let work = |text: &[u8]| {
        fs::write(run.join("journal.jsonl"), text).unwrap();
        let _ = fs::remove_file(run.join("manifest.json"));
        let mut job = Job::new(Arc::new(Quick), Shard::WHOLE);
        job.run(&run).unwrap();
        assert_eq!(contents(&run), contents(expected.path()));
        job.worked_on.len()
    };
    // Every offset around the ends of lines, and a sample of the others.
    let at_an_end =
        |end: usize| journal[end.saturating_sub(2)..(end + 1).min(journal.len())].contains(&b'\n');
    for end in (header..=journal.len()).filter(|&end| end % 11 == 0 || at_an_end(end)) {
        let lines = journal[header..end].iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(work(&journal[..end]), IMAGES - lines, "cut at {end}");
        // A power failure may leave the right length filled with zeros.
        let mut zeros = journal.clone();
        zeros[end..].fill(0);
        assert_eq!(work(&zeros), IMAGES - lines, "zeros from {end}");
    }
    for at in (header..journal.len()).step_by(13).filter(|&at| journal[at] != b'\n') {
        let mut flipped = journal.clone();
        flipped[at] ^= 1;
        assert_eq!(work(&flipped), if flipped[at] == b'\n' { 2 } else { 1 }, "flipped at {at}");
    }
}

#[test]
fn missing_or_truncated_pictures_are_drawn_again() {
    let expected = new_folder();
    whole(expected.path());
    let folder = new_folder();
    let run = folder.path().join("run");
    let mut job = Job::new(Faulty::new(Fault::KilledBefore, 45), Shard::WHOLE);
    job.run(&run).unwrap_err();
    let done: Vec<usize> = job.worked_on.iter().copied().filter(|image| !BAD.contains(image)).collect();
    let picture = |image: usize| {
        let name = msdcam::run::image_stem(image, ["cat.png", "CAT.png", "../cat.png"][image % 3]);
        run.join(name + "_1.png")
    };
    fs::remove_file(picture(done[0])).unwrap();
    fs::write(picture(done[1]), "x").unwrap();
    let mut job = Job::new(Arc::new(Quick), Shard::WHOLE);
    match job.open(&run).unwrap() {
        Opened::InProgress(run) => assert_eq!(run.lost(), 2),
        other => panic!("{other:?}"),
    }
    job.run(&run).unwrap();
    assert!(job.worked_on.contains(&done[0]) && job.worked_on.contains(&done[1]));
    assert_eq!(contents(&run), contents(expected.path()));
}
