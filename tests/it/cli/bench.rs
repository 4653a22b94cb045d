//! `msdcam bench`: table, JSON and chart.

use crate::cli::program::Place;

#[test]
fn json_has_ordered_times_of_every_exit_with_and_without_maps() {
    let run = Place::new().msdcam("bench --seconds 0.2 --batch 2 --threads 2 --device cpu --json");
    assert_eq!(run.code, 0, "{run:?}");
    let [report] = &run.json()[..] else { panic!("{run:?}") };
    assert_eq!((report["device"].as_str(), report["threads"].as_u64()), (Some("cpu"), Some(2)));
    assert_eq!(report["batch"].as_u64(), Some(2));
    let exits = report["exits"].as_array().unwrap();
    assert_eq!(
        exits.iter().map(|e| e["exit"].as_u64().unwrap()).collect::<Vec<_>>(),
        (1..=10).collect::<Vec<_>>()
    );
    for times in exits.iter().chain([&report["all_exits"]]) {
        for what in ["forward", "grad_cam"] {
            let number = |key: &str| times[what][key].as_f64().unwrap();
            let ms = ["p50_ms", "p90_ms", "p99_ms"].map(number);
            assert!(ms[0] > 0.0 && ms.is_sorted(), "{times}");
            assert!(number("images_per_s") > 0.0 && number("samples") >= 1.0, "{times}");
        }
    }
}

#[test]
fn the_table_has_a_row_for_each_exit_and_one_for_all() {
    let run = Place::new().msdcam("bench --seconds 0.1 --quiet");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    let rows: Vec<Vec<&str>> = run.stdout.lines().skip(4).map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 11, "{run:?}");
    assert!(rows.iter().all(|row| row.len() == 9), "{run:?}");
    assert_eq!((rows[0][0], rows[9][0], rows[10][0]), ("1", "10", "all"));
}

#[test]
fn all_exits_together_are_one_row_and_json_can_accompany_the_table() {
    let place = Place::new();
    let run = place.msdcam("bench --seconds 0.1 --device cpu --quiet --exits all --json times.json");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    let rows: Vec<&str> = run.stdout.lines().skip(4).collect();
    assert!(rows.len() == 1 && rows[0].starts_with(" all "), "{run:?}");
    let text = std::fs::read_to_string(place.path().join("times.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["exits"].as_array().map(Vec::len), Some(0), "{text}");
    // The table shows the file's values rounded.
    let p50 = report["all_exits"]["grad_cam"]["p50_ms"].as_f64().unwrap();
    assert!(rows[0].contains(&format!("{p50:.3}")), "{text}\n{run:?}");
}

#[test]
fn refuses_conflicting_options() {
    let place = Place::new();
    place.msdcam("bench --exits all --picture t.svg").refused(2, &["--picture", "--exits all"]);
    place.msdcam("bench --device cpu --variant tiling=small").refused(2, &["variant", "--device cuda"]);
    place.msdcam("bench --device cuda --variant tiling=tiny").refused(2, &["tiling=auto, small, large"]);
}

#[test]
fn the_chart_has_a_point_for_each_exit_on_both_lines() {
    let place = Place::new();
    let run = place.msdcam("bench --seconds 0.1 --device cpu --quiet --picture times.svg");
    assert_eq!(run.code, 0, "{run:?}");
    let svg = std::fs::read_to_string(place.path().join("times.svg")).unwrap();
    // The lines of the axes have two points each.
    let lines = svg.lines().filter(|line| line.starts_with("<polyline") && line.matches(',').count() == 10);
    assert_eq!((lines.count(), svg.matches("<circle").count()), (2, 20), "{svg}");
}

#[test]
fn an_unwritable_chart_is_exit_code_6() {
    let run = Place::new().msdcam("bench --seconds 0.1 --device cpu --quiet --picture /proc/none/times.svg");
    assert_eq!(run.code, 6, "{run:?}");
}
