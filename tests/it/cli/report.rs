//! `msdcam report` and `msdcam figure`: the HTML page and the figure of a run.

use serde_json::Value;

use crate::cli::program::{Place, Run};

/// A run over four photos in folders for their classes: `run`.
fn labeled() -> Place {
    let place = Place::new();
    for (class, name) in [("cat", "chelsea_32"), ("cat", "noise"), ("dog", "ramp"), ("ship", "blocks")] {
        place.small(&format!("{name}.png"));
        let bytes = place.read(&format!("{name}.png"));
        place.write(&format!("set/{class}/{name}.png"), &bytes);
    }
    // All ten classes, although most have no image.
    for class in ["airplane", "automobile", "bird", "deer", "frog", "horse", "truck"] {
        std::fs::create_dir(place.path().join(format!("set/{class}"))).unwrap();
    }
    let run = place.msdcam("explain set --format folders -o run --size 64 --quiet");
    assert_eq!(run.code, 0, "{run:?}");
    place
}

fn page(place: &Place, run: &Run, at: &str) -> String {
    assert_eq!((run.code, &run.stderr[..]), (0, ""), "{run:?}");
    String::from_utf8(place.read(at)).unwrap()
}

/// The data of the page's script.
pub fn data(page: &str) -> Value {
    let data = page.split("<script type=\"application/json\" id=\"data\">").nth(1).unwrap();
    serde_json::from_str(data.split("</script>").next().unwrap()).unwrap()
}

#[test]
fn a_run_gives_a_page_and_charts() {
    let place = labeled();
    let run = place.msdcam("report run");
    let page = page(&place, &run, "run/report.html");
    let paths = ["run/report.html", "run/plots"].map(|p| p.replace('/', std::path::MAIN_SEPARATOR_STR));
    assert!(paths.iter().all(|path| run.stdout.contains(path.as_str())), "{run:?}");
    assert!(run.stdout.lines().next().unwrap().ends_with(" MB"), "its size: {run:?}");
    for outside in ["http://", "https://", "src=\"./", "@import", "url("] {
        let found = page.matches(outside).count();
        // The SVG namespace is not a link.
        let names = if outside == "http://" { page.matches("http://www.w3.org/2000/svg").count() } else { 0 };
        assert_eq!(found, names, "{outside}");
    }
    for section in ["accuracy", "classes", "hardness", "confidence", "confusion", "gallery"] {
        assert!(page.contains(&format!("<section id=\"{section}\"")), "{section}");
    }
    let data = data(&page);
    assert_eq!(data["images"].as_array().unwrap().len(), 4);
    assert_eq!((&data["aspect"], &data["sizes"][1]), (&Value::from(1.0), &serde_json::json!([8, 8])));
    let plots = place.names("run/plots");
    for plot in ["accuracy", "hardness", "first_right", "classes", "confidence_exit01", "confusion_exit10"] {
        for ending in ["svg", "png"] {
            let bytes = place.read(&format!("run/plots/{plot}.{ending}"));
            let begin: &[u8] = if ending == "svg" { b"<svg " } else { b"\x89PNG" };
            assert!(bytes.starts_with(begin), "{plot}.{ending}");
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains("NaN") && !text.contains("inf"), "{plot}.{ending}");
        }
    }
    assert_eq!(plots.len() % 2, 0, "{plots:?}");
    let again = place.msdcam("report run -o other --no-plots");
    assert_eq!(again.code, 0, "{again:?}");
    assert!(!place.path().join("other/plots").exists());
    let elsewhere = String::from_utf8(place.read("other/report.html")).unwrap();
    assert!(
        page.contains("href=\".&#x2f;") && !elsewhere.contains("href=\".&#x2f;"),
        "links only beside the run"
    );
}

#[test]
fn an_evaluation_gives_charts_with_or_without_a_run() {
    let place = labeled();
    let run = place.msdcam("evaluate set --format folders -o measured --quiet");
    assert_eq!(run.code, 0, "{run:?}");
    let charts = page(&place, &place.msdcam("report measured"), "measured/report.html");
    assert!(charts.contains("<section id=\"cost\"") && !charts.contains("<section id=\"gallery\""));
    assert!(place.names("measured/plots").contains(&"multiply_adds.svg".into()));
    place.write("run/evaluation.json", &place.read("measured/evaluation.json"));
    let both = page(&place, &place.msdcam("report run"), "run/report.html");
    assert!(both.contains("<section id=\"cost\"") && both.contains("<section id=\"gallery\""));
}

#[test]
fn a_run_whose_images_all_failed_has_the_exits_that_were_asked_for() {
    let place = Place::new();
    place.write("broken.png", b"text");
    assert_eq!(place.msdcam("explain broken.png -o run --exits 1,3 --quiet").code, 4);
    let page = page(&place, &place.msdcam("report run"), "run/report.html");
    assert!(page.contains("Where 2 exits of the model look in 1 image") && page.contains("broken.png"));
    let figure = place.msdcam("figure run --rows broken.png --exits 1");
    assert_eq!(figure.code, 4, "{figure:?}");
    assert!(
        figure.stderr.contains("run: --rows: the run has no image broken.png with pictures"),
        "{figure:?}"
    );
}

#[test]
fn unlabeled_photos_give_a_gallery_and_failed_ones_a_list() {
    let place = Place::new();
    place.small("noise.png");
    place.cat("cat.png");
    place.write("broken.png", b"no picture");
    let run = place.msdcam("explain noise.png broken.png cat.png -o run --size 64 --exits 2,5");
    assert_eq!(run.code, 3, "{run:?}");
    let page = page(&place, &place.msdcam("report run"), "run/report.html");
    assert!(page.contains("<section id=\"gallery\"") && !page.contains("<section id=\"accuracy\""));
    assert!(page.contains("<section id=\"failed\"") && page.contains("broken.png"));
    assert!(!place.path().join("run/plots").exists(), "no chart without labels");
    let data = data(&page);
    assert_eq!(data["exits"], serde_json::json!([2, 5]));
    assert_eq!(data["images"][0]["label"], Value::Null);
}

#[test]
fn a_page_of_one_exit_compares_no_exits() {
    let place = labeled();
    for line in [
        "explain set --format folders --exits 10 -o one --size 64 --quiet",
        "evaluate set --format folders --exits 10 -o one --quiet",
    ] {
        assert_eq!(place.msdcam(line).code, 0, "{line}");
    }
    let run = place.msdcam("report one");
    let page = page(&place, &run, "one/report.html");
    for needless in [
        "class=\"choice\"",
        "<section id=\"cost\"",
        "<section id=\"hardness\"",
        "need the later exits",
        "The last exit",
        "most accurate exit",
        "Move the slider",
    ] {
        assert!(!page.contains(needless), "{needless}");
    }
    for section in ["accuracy", "classes", "confidence", "confusion", "gallery"] {
        assert!(page.contains(&format!("<section id=\"{section}\"")), "{section}");
    }
    assert!(page.contains("Grad-CAM at the exit&#x27;s own tap."), "which map it is");
    let plots = place.names("one/plots");
    let of_exit = |name: &String| name.contains("_exit10.") || name.starts_with("classes.");
    assert!(plots.iter().all(of_exit), "{plots:?}");
}

#[test]
fn the_gallery_shows_the_fused_map_or_one_tap_and_says_so() {
    let place = Place::new();
    place.small("noise.png");
    place.cat("cat.png");
    let shown = |options: &str| {
        std::fs::remove_dir_all(place.path().join("run")).ok();
        let run = place.msdcam(format!("explain noise.png cat.png -o run --exits 2,10 {options}").trim());
        assert_eq!(run.code, 0, "{run:?}");
        let page = page(&place, &place.msdcam("report run"), "run/report.html");
        let data = data(&page);
        (page, data["shown"].clone(), data["sizes"].clone())
    };
    let (text, names, sizes) = shown("--tap all-scales --fuse refine-cam");
    assert!(text.contains("Grad-CAM, the maps of several taps fused by refine-cam."), "{names}");
    assert_eq!(names, serde_json::json!(["fused map", "fused map"]));
    assert_eq!(sizes, serde_json::json!([[32, 32], [32, 32]]), "as large as the input");
    let (text, names, sizes) = shown("--tap all-scales");
    assert!(names.as_array().unwrap().iter().all(|name| name.as_str().unwrap().ends_with(".scale3")));
    assert!(text.contains("Grad-CAM at layer"), "{names}");
    assert_eq!(sizes, serde_json::json!([[8, 8], [8, 8]]), "the coarsest scale, which the exits read");
    let (_, names, _) = shown("--tap layer1.scale1,layer1.scale2 --method layer-cam,grad-cam");
    assert_eq!(names, serde_json::json!(["map at layer1.scale2", "map at layer1.scale2"]));
    let (text, names, _) = shown("");
    assert!(text.contains("Grad-CAM at each exit&#x27;s own tap.") && names[0] == "map", "{names}");
}

#[test]
fn the_page_reports_unfinished_runs_and_allows_missing_pictures() {
    let place = labeled();
    std::fs::remove_file(place.path().join("run/manifest.json")).unwrap();
    let page = page(&place, &place.msdcam("report run"), "run/report.html");
    assert!(page.contains("This run is not finished"));
    let results = String::from_utf8(place.read("run/results.jsonl")).unwrap();
    let row: Value = serde_json::from_str(results.lines().next().unwrap()).unwrap();
    std::fs::remove_file(place.path().join("run").join(row["files"]["strip"].as_str().unwrap())).unwrap();
    let run = place.msdcam("report run");
    assert_eq!((run.code, run.stderr.lines().count()), (0, 1), "one line for photos: {run:?}");
    place.write("run/arrays/cam.npy", &place.read("run/arrays/cam.npy")[..128]);
    let run = place.msdcam("report run");
    assert_eq!((run.code, run.stderr.lines().count()), (0, 2), "and one for maps: {run:?}");
    let text = String::from_utf8(place.read("run/report.html")).unwrap();
    let images = data(&text)["images"].clone();
    assert!(images.as_array().unwrap().iter().all(|image| image["maps"].is_null()));
}

#[test]
fn escapes_names_on_the_page() {
    let place = labeled();
    let hostile = "</script><script>alert(1)</script>\n\"'\u{202e}&amp;";
    let results = String::from_utf8(place.read("run/results.jsonl")).unwrap();
    let rows = results.lines().map(|line| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        row["image"] = hostile.into();
        row["label_name"] = hostile.into();
        row["exits"][0]["class_name"] = hostile.into();
        row.to_string() + "\n"
    });
    place.write("run/results.jsonl", rows.collect::<String>().as_bytes());
    std::fs::remove_file(place.path().join("run/manifest.json")).unwrap();
    let page = page(&place, &place.msdcam("report run"), "run/report.html");
    assert_eq!(page.matches("<script").count(), 2, "the data's and the program's own");
    assert!(!page.contains("alert(1)</script>") && !page.contains('\u{202e}'));
    assert!(data(&page)["images"][0]["name"].as_str().unwrap().starts_with("</script><script>"));
    let outside = results.replacen("\"strip\":\"", "\"strip\":\"../../", 1);
    place.write("run/results.jsonl", outside.as_bytes());
    let run = place.msdcam("report run");
    assert!(run.code == 0 && run.stderr.contains("is outside of the folder"), "{run:?}");
}

#[test]
fn subsamples_large_runs_evenly() {
    let place = labeled();
    let text = page(&place, &place.msdcam("report run --images 2 --colormap viridis"), "run/report.html");
    let found = data(&text);
    assert_eq!(
        (found["images"].as_array().unwrap().len(), &found["initial_colormap"]),
        (2, &"viridis".into())
    );
    assert!(text.contains("2 of 4 images, evenly sampled"), "the page says that it is a part");
    let names = |n| -> Vec<String> {
        let text = page(&place, &place.msdcam(&format!("report run --images {n}")), "run/report.html");
        let images = data(&text)["images"].clone();
        images.as_array().unwrap().iter().map(|image| image["name"].as_str().unwrap().into()).collect()
    };
    let all = names(4);
    assert_eq!(names(2), [all[1].clone(), all[3].clone()]);
}

#[test]
fn refuses_folders_that_are_not_runs() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("empty")).unwrap();
    place.msdcam("report empty").refused(4, &["empty", "explain -o"]);
    place.msdcam("report nowhere").refused(4, &["nowhere"]);
    place.write("damaged/results.jsonl", b"{\"image\": 3}\n");
    place.msdcam("report damaged").refused(4, &["damaged", "results"]);
    place.write("odd/evaluation.json", b"{}");
    place.msdcam("report odd").refused(4, &["evaluation.json", "JSON"]);
}

#[test]
fn refuses_results_with_numbers_out_of_range() {
    let place = Place::new();
    let exit = |fields: &str| format!(r#"{{"exit":1,"class":0,"class_name":"a","probability":0.5{fields}}}"#);
    let line = |fields: &str, exits: &str| format!(r#"{{"image":"a.png"{fields},"exits":[{exits}]}}"#);
    for (results, cause) in [
        (line(r#","label":0"#, ""), "neither exits nor an error"),
        (line("", &exit("").replace("class\":0", "class\":99999999999")), "class 99999999999"),
        (line(r#","label":999999,"label_name":"z""#, &exit(r#","label_rank":3"#)), "class 999999"),
        (line("", &exit(r#","target":100000"#)), "class 100000"),
        (line(r#","label":0"#, &exit(r#","label_rank":4294967296"#)), "class 4294967296"),
        (line(r#","label":1"#, &exit(r#","label_rank":0"#)), "class 0, and the label has rank 0"),
        (line("", &exit("").replace("0.5", "1e6")), "probability 1000000"),
        (line("", &exit("").replace("0.5", "-0.1")), "probability -0.1"),
        (line("", &[exit(""), exit("")].join(",")), "exit 1 after exit 1"),
        (line("", &exit("").replace("exit\":1", "exit\":0")), "exit 0"),
        (line("", &exit("").replace("exit\":1", "exit\":9999999")), "exit 9999999"),
    ] {
        place.write("run/results.jsonl", results.as_bytes());
        place.msdcam("report run").refused(4, &["run: results: image a.png: ", cause]);
    }
    // A class that only the label has, and no name.
    place.write("run/results.jsonl", line(r#","label":500"#, &exit(r#","label_rank":7"#)).as_bytes());
    assert_eq!(place.msdcam("report run").code, 0);
}

#[test]
fn refuses_an_evaluation_that_does_not_add_up() {
    let place = labeled();
    assert_eq!(place.msdcam("evaluate set --format folders --exits 1,2 -o run -q").code, 0);
    let whole = String::from_utf8(place.read("run/evaluation.json")).unwrap();
    assert_eq!(place.msdcam("report run").code, 0);
    let mut value: Value = serde_json::from_str(&whole).unwrap();
    value["hardness"]["never_right"] = 18_446_744_073_709_551_615_u64.into();
    place.write("run/evaluation.json", value.to_string().as_bytes());
    place.msdcam("report run").refused(4, &["evaluation.json: JSON: first right exits: sum of the images"]);
    // The confusion matrix as the first version wrote it.
    let mut value: Value = serde_json::from_str(&whole).unwrap();
    value["exits"][0]["confusion"] = serde_json::json!(vec![vec![0; 10]; 10]);
    place.write("run/evaluation.json", value.to_string().as_bytes());
    place
        .msdcam("report run")
        .refused(4, &["evaluation.json: JSON: ", "if another version of msdcam wrote it"]);
}

#[test]
fn a_figure_has_the_requested_images_and_exits() {
    let place = labeled();
    let run = place.msdcam("figure run --rows cat/chelsea_32.png,blocks.png --exits 1,2,10 -o figure.png");
    assert_eq!((run.code, run.stdout.trim()), (0, "figure.png"), "{run:?}");
    let small = msdcam::RgbImage::open(place.path().join("figure.png")).unwrap();
    let run = place.msdcam("figure run --rows chelsea_32.png --exits 1..4 --colormap grey -o other.png");
    assert_eq!(run.code, 0, "{run:?}");
    let wide = msdcam::RgbImage::open(place.path().join("other.png")).unwrap();
    assert!(wide.width > small.width && wide.height < small.height);
    // The article's colors of right and wrong: exit 1 says cat, exit 2 dog.
    let has = |color: [u8; 3]| small.rgb.chunks(3).any(|pixel| pixel == color);
    assert!(has([0x00, 0x62, 0xa3]) && has([0xb5, 0x47, 0x08]));
}

#[test]
fn a_figure_has_all_exits_of_a_run_by_default() {
    let place = labeled();
    assert_eq!(place.msdcam("explain set --format folders -o some --exits 1,10 --size 64 --quiet").code, 0);
    let figure = |exits: &str| {
        let run = place.msdcam(&format!("figure some --select hardness>=0{exits}"));
        assert_eq!(run.code, 0, "{run:?}");
        place.read("figure.png")
    };
    assert!(figure("") == figure(" --exits 1,10"));
    place
        .msdcam("figure some --select hardness>=0 --exits 1..10")
        .refused(2, &["exit 2: the run has exits 1, 10"]);
}

#[test]
fn a_figure_selects_images_whose_prediction_changes() {
    let place = labeled();
    // For the small cat exit 1 predicts a cat, exit 2 a dog.
    let figure = |line: &[&str]| {
        let run = place.run(&[&["figure", "run", "--exits", "1,2"], line].concat());
        assert_eq!(run.code, 0, "{run:?}");
        place.read("figure.png")
    };
    let changed = figure(&["--select", "right@1 wrong@2 class=cat"]);
    assert!(changed == figure(&["--rows", "chelsea_32.png"]));
    let [all, two] = ["4", "2"].map(|most| figure(&["--select", "hardness>=0", "--most", most]).len());
    assert!(all > two, "{all} {two}");
    let run = place.run(&["figure", "run", "--select", "class=frog"]);
    run.refused(4, &["class=frog"]);
    assert_eq!(place.run(&["figure", "run"]).code, 2);
}

#[test]
fn refuses_a_figure_of_missing_images_or_exits() {
    let place = labeled();
    place.msdcam("figure run --rows lion.png").refused(4, &["lion.png"]);
    place.msdcam("figure run --rows noise.png --exits 11").refused(2, &["exit 11"]);
    place.msdcam("figure run --rows noise.png --heat-alpha 2").refused(2, &[]);
    place.small("noise.png");
    assert_eq!(place.msdcam("explain noise.png -o bare --size 64 --quiet").code, 0);
    place.msdcam("figure bare --rows noise.png").refused(4, &["noise.png", "no label"]);
}

#[test]
fn facts_of_a_run_are_printable() {
    let place = labeled();
    let mut manifest: Value = serde_json::from_slice(&place.read("run/manifest.json")).unwrap();
    manifest["fact\u{202e}"] = "a\u{1b}b\u{202e}c\u{feff}".into();
    manifest["labels"][0] = "air\u{1b}plane".into();
    place.write("run/manifest.json", manifest.to_string().as_bytes());
    let run = place.msdcam("report run");
    let page = page(&place, &run, "run/report.html");
    assert!(page.contains("a\\u{1b}b\\u{202e}c\\u{feff}"), "the fact is shown");
    assert!(!page.contains(['\u{1b}', '\u{202e}', '\u{feff}']));
}
