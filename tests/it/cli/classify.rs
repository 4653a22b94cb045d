//! `msdcam classify`: the predictions of `explain`, and early exit.

use serde_json::Value;

use crate::cli::program::Place;

const IMAGES: [&str; 4] = ["chelsea_32.png", "noise.png", "ramp.png", "blocks.png"];

fn classify(place: &Place, options: &str) -> Vec<Value> {
    IMAGES.iter().for_each(|name| place.small(name));
    let run = place.msdcam(&format!("classify {} --json{options}", IMAGES.join(" ")));
    assert_eq!(run.code, 0, "{run:?}");
    run.json()
}

fn exits(image: &Value) -> &Vec<Value> {
    image["exits"].as_array().unwrap()
}

/// Exit, class and probability.
fn prediction(exit: &Value) -> (u64, u64, f64) {
    (exit["exit"].as_u64().unwrap(), exit["class"].as_u64().unwrap(), exit["probability"].as_f64().unwrap())
}

#[test]
fn classify_agrees_with_explain() {
    let place = Place::new();
    let classified = classify(&place, "");
    let run = place.msdcam(&format!("explain {} --json -o out --size 16", IMAGES.join(" ")));
    for (a, b) in classified.iter().zip(run.json()) {
        assert_eq!(a["image"], b["image"]);
        assert_eq!(exits(a).len(), 10);
        for (a, b) in exits(a).iter().zip(exits(&b)) {
            assert_eq!(
                (&a["exit"], &a["class"], &a["class_name"]),
                (&b["exit"], &b["class"], &b["class_name"])
            );
            let (p, q) = (prediction(a).2, prediction(b).2);
            assert!((p - q).abs() < 1e-5, "{p} {q}");
        }
    }
    assert!(!place.path().join("msdcam-out").exists(), "classify writes nothing");
}

#[test]
fn early_exit_stops_at_the_first_confident_exit_and_saves_the_rest() {
    let place = Place::new();
    let full = classify(&place, "");
    let mut stops = Vec::new();
    for threshold in [0.3, 0.6, 0.9] {
        let early = classify(&place, &format!(" --early-exit {threshold}"));
        for (full, early) in full.iter().zip(&early) {
            let (full, answers) = (exits(full), exits(early));
            let first = full.iter().position(|e| prediction(e).2 >= threshold).unwrap_or(9);
            assert_eq!(answers.len(), first + 1, "{threshold}: {early}");
            for (a, b) in answers.iter().zip(full) {
                assert_eq!((prediction(a).0, prediction(a).1), (prediction(b).0, prediction(b).1));
                assert!((prediction(a).2 - prediction(b).2).abs() < 1e-5, "{a} {b}");
            }
            let sure = prediction(&full[first]).2 >= threshold;
            let stopped_at = if sure { Value::from(first + 1) } else { Value::Null };
            assert_eq!(early["stopped_at"], stopped_at);
            let (done, all) =
                (early["multiply_adds"].as_u64().unwrap(), early["multiply_adds_all"].as_u64().unwrap());
            assert_eq!(done == all, first == 9, "{early}");
            assert!(done <= all && done > 0, "{early}");
            stops.push((first, done));
        }
    }
    // The test requires images that stop at several exits; later exits cost more.
    stops.sort();
    stops.dedup();
    assert!(stops.len() >= 3, "{stops:?}");
    assert!(stops.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1), "{stops:?}");
}

#[test]
fn early_exit_considers_only_the_requested_exits() {
    let place = Place::new();
    for image in classify(&place, " --exits 4,8 --early-exit 0.01") {
        assert_eq!(exits(&image).iter().map(|e| prediction(e).0).collect::<Vec<_>>(), [4]);
    }
}

#[test]
fn the_table_shows_exits_and_multiply_adds() {
    let place = Place::new();
    place.cat("chelsea.png");
    let run = place.msdcam("classify chelsea.png --early-exit 0.7");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 7, "{run:?}");
    assert_eq!(
        (lines[0], lines[1].split_whitespace().collect::<Vec<_>>()),
        ("chelsea.png", vec!["exit", "class", "sure"])
    );
    assert!(lines[5].split_whitespace().take(2).eq(["4", "cat"]), "{run:?}");
    assert!(
        lines[6].starts_with("  stopped at exit 4: ") && lines[6].contains("million multiply-adds"),
        "{run:?}"
    );
    let run = place.msdcam("classify chelsea.png --early-exit 1");
    assert!(
        run.stdout.contains("no exit reached the confidence") && run.stdout.contains("100.0 %"),
        "{run:?}"
    );
}
