//! Shards of a data set, and `msdcam merge`.

use crate::cli::program::{Place, Run};
use crate::cli::run::{assert_same, cifar, contents};

const EXPLAIN: &str = "explain set.bin --exits 1,10 --size 16";

fn place() -> Place {
    let place = Place::in_memory();
    place.write("set.bin", &cifar(11));
    assert_eq!(place.msdcam(&format!("{EXPLAIN} -o whole")).code, 0);
    place
}

#[test]
fn merged_shards_equal_the_undivided_run() {
    let place = place();
    for shard in ["3/3", "1/3", "2/3"] {
        let run = place.msdcam(&format!("{EXPLAIN} --shard {shard} -o s{}", &shard[..1]));
        assert_eq!(run.code, 0, "{run:?}");
    }
    let run = place.msdcam("merge s1 s3 s2 -o run");
    assert_eq!((run.code, run.stdout.as_str()), (0, "run: 11 images, all done\n"), "{run:?}");
    assert_same(&place.path().join("run"), &place.path().join("whole"), "merged");
    // The merged folder is an ordinary run.
    assert_eq!(place.msdcam(&format!("{EXPLAIN} -o run")).stdout, run.stdout);
    place.msdcam("merge s1 s2").refused(2, &["-o"]);
    place.msdcam("merge s1 s2 -o other").refused(4, &["s1: beside shard 1/3: shard 3/3 is missing"]);
    place.msdcam("merge s1 s2 s2 s3 -o other").refused(4, &["s2: shard 2/3: is in s2 too"]);
    assert_eq!(place.msdcam(&format!("{EXPLAIN} --colormap grey --shard 2/3 -o foreign")).code, 0);
    let foreign = "foreign: shard 2/3: colormap: it has grey, shard 1/3 in s1 has jet";
    place.msdcam("merge s1 foreign s3 -o other").refused(4, &[foreign]);
    assert!(!place.path().join("other").exists());
}

#[test]
fn shards_of_a_scheduler_share_a_folder() {
    let place = place();
    let auto = |folder: &str, shard: &str, variables: &[(&str, String)]| -> Run {
        let line = format!("{EXPLAIN} --shard {shard} -o {folder}");
        let mut command = place.command(&line.split(' ').collect::<Vec<_>>());
        command.envs(variables.iter().cloned()).output().unwrap().into()
    };
    for i in 0..4 {
        let run = auto(
            "slurm",
            "auto",
            &[
                ("SLURM_ARRAY_TASK_ID", (i + 5).to_string()),
                ("SLURM_ARRAY_TASK_MIN", "5".into()),
                ("SLURM_ARRAY_TASK_COUNT", "4".into()),
            ],
        );
        assert_eq!(run.code, 0, "{run:?}");
        let run = auto("torchrun", "auto", &[("RANK", i.to_string()), ("WORLD_SIZE", "4".into())]);
        assert_eq!(run.code, 0, "{run:?}");
        let run = auto("kubernetes", "auto/4", &[("JOB_COMPLETION_INDEX", i.to_string())]);
        assert_eq!(run.code, 0, "{run:?}");
        if i < 3 {
            place.msdcam("merge slurm").refused(4, &["slurm: beside shard 1/4: shard"]);
        }
    }
    for folder in ["slurm", "torchrun", "kubernetes"] {
        assert!(
            contents(&place.path().join(folder)).keys().any(|name| name.starts_with("journal-1-of-4.jsonl"))
        );
        assert_eq!(place.msdcam(&format!("merge {folder}")).code, 0);
        assert_same(&place.path().join(folder), &place.path().join("whole"), folder);
    }
    auto("none", "auto", &[]).refused(2, &["no variables of a Slurm array"]);
    auto("none", "auto", &[("JOB_COMPLETION_INDEX", "1".into())]).refused(2, &["MSDCAM_SHARDS"]);
    for shard in ["0/3", "4/3", "x", "auto/0"] {
        place.msdcam(&format!("{EXPLAIN} --shard {shard} -o none")).refused(2, &[]);
    }
    assert!(!place.path().join("none").exists());
}
