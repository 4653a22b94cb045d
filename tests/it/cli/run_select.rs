//! `--select`: pictures only of images whose prediction changes.

use serde_json::Value;

use crate::cli::program::Place;
use crate::cli::run::{cifar, rows};

#[test]
fn only_selected_images_have_pictures_and_all_have_rows() {
    let place = Place::in_memory();
    place.write("set.bin", &cifar(60));
    let explain = "explain set.bin --exits 1,4,10 --size 16";
    assert_eq!(place.msdcam(&format!("{explain} -o all")).code, 0);
    let all = rows(&place, "all/results.jsonl");
    let right = |row: &Value, at: usize| row["exits"][at]["label_rank"] == 0;
    let hardness = |row: &Value| (0..3).filter(|&at| right(row, at)).count();
    type Expected<'a> = &'a dyn Fn(&Value) -> bool;
    let selections: [(&str, Expected); 4] = [
        ("wrong@1 right@10", &|row| !right(row, 0) && right(row, 2)),
        ("hardness<=1 class=cat", &|row| hardness(row) <= 1 && row["label"] == 3),
        ("hardness=3 | first=4", &|row| hardness(row) == 3 || !right(row, 0) && right(row, 1)),
        ("hardness>3", &|_| false),
    ];
    let mut selected_at_all = 0;
    for (i, (selection, expected)) in selections.iter().enumerate() {
        let folder = format!("run{i}");
        let words: Vec<&str> = explain.split(' ').chain(["-o", &folder, "--select", selection]).collect();
        let run = place.run(&words);
        assert_eq!((run.code, run.stdout), (0, format!("{folder}: 60 images, all done\n")));
        let found = rows(&place, &format!("{folder}/results.jsonl"));
        let mut pictures = Vec::new();
        for (row, all) in found.iter().zip(&all) {
            if expected(all) {
                assert_eq!(row, all, "{selection}");
                pictures.push(row["files"]["strip"].as_str().unwrap().to_string());
            } else {
                assert!(row.get("files").is_none() && row["exits"][0].get("files").is_none(), "{row}");
                for (exit, all) in
                    row["exits"].as_array().unwrap().iter().zip(all["exits"].as_array().unwrap())
                {
                    let same = ["exit", "class", "class_name", "probability", "label_rank"];
                    assert!(same.iter().all(|key| exit[key] == all[key]), "{exit} {all}");
                }
            }
        }
        assert_eq!(found.len(), 60);
        let images = place.path().join(&folder).join("images/0000");
        let there = std::fs::read_dir(images).into_iter().flatten().count();
        assert_eq!(there, pictures.len(), "{selection}");
        selected_at_all += pictures.len();
    }
    assert!(selected_at_all > 0, "nothing was selected by anything");
}

#[test]
fn refuses_invalid_selections() {
    let place = Place::new();
    place.write("set.bin", &cifar(2));
    place.small("noise.png");
    place.write("flat/noise.png", &place.read("noise.png"));
    for (set, selection, cause) in [
        ("set.bin", "right@11", "exit 11: the requested exits are 1, 2"),
        ("set.bin", "class=tabby", "class 'tabby': "),
        ("set.bin", "sure@1", "invalid term 'sure@1'; expected right@K"),
        ("flat", "right@1", "--select needs labels, and flat has none"),
    ] {
        let run = place.run(&["explain", set, "-o", "run", "--exits", "1,2", "--select", selection]);
        run.refused(2, &[cause]);
    }
    assert!(!place.path().join("run").exists());
}
