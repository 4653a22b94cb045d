//! The answers are those of the command line.

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::server::{Answer, Server, question, with};
use crate::cli::program::{Place, repository};

/// Settings that differ from the default in many ways, and the options that the command has for them.
fn questions(photo: &str) -> Vec<(Value, &'static str)> {
    let base = question(photo);
    vec![
        (base.clone(), ""),
        (with(&base, json!({ "colormap": "jet", "opacity": 0.5, "scale": "own", "boxes": "none" })), ""),
        (
            with(
                &base,
                json!({
                    "method": "layer-cam", "class": "3", "score": "margin", "tap": "exit1", "colormap": "viridis",
                    "opacity": 0.75, "scale": "shared", "contours": true, "boxes": "15%",
                }),
            ),
            " --method=layer-cam --tap=exit1 --class=cat --score=margin --colormap=viridis --heat-alpha=0.75 \
             --scale=shared --boxes=15% --contours",
        ),
        (
            with(&base, json!({ "class": "final", "smooth": "flips", "boxes": "otsu" })),
            " --class=final --smooth=flips --boxes=otsu",
        ),
        (with(&base, json!({ "method": "guided-backprop" })), " --method=guided-backprop"),
        // Exits 1 and 2 do not depend on it.
        (with(&base, json!({ "tap": "exit3" })), " --tap=exit3 --exits=3..10"),
    ]
}

#[test]
fn downloads_are_the_files_of_the_command_that_the_page_shows() {
    let place = Place::new();
    let name = "it's a cat.png";
    place.cat(name);
    let server = Server::start(&place, &[]);
    let photo = server.add("it's%20a%20cat.png", &std::fs::read(place.path().join(name)).unwrap());
    for (question, options) in questions(&photo) {
        let drawing = server.ask("/api/drawing", &question);
        assert_eq!(drawing.status, 200, "{question}: {}", drawing.text());
        let command = drawing.json()["command"].as_str().unwrap().to_string();
        assert_eq!(command, format!("msdcam explain 'it'\\''s a cat.png' --device=cpu{options}"));
        let script = command.replacen("msdcam", r#""$0""#, 1) + " -q -o out";
        let mut shell = Command::new("sh");
        let run = shell.current_dir(place.path()).args(["-c", &script, env!("CARGO_BIN_EXE_msdcam")]);
        assert!(run.status().unwrap().success(), "{script}");
        let names = place.names("out");
        for (kind, ending) in [("strip", "_strip"), ("picture", "_exit03_"), ("arrays", ".npz")] {
            let answer = server.ask("/api/download", &with(&question, json!({ "kind": kind, "exit": 3 })));
            assert_eq!(answer.status, 200, "{question}: {}", answer.text());
            let file = names.iter().find(|name| name.contains(ending)).unwrap();
            assert!(
                answer.head.contains(&format!("filename=\"{}\"", file.replace(' ', "_"))),
                "{}",
                answer.head
            );
            let written = std::fs::read(place.path().join("out").join(file)).unwrap();
            assert!(answer.body == written, "{kind} of {question} is not {file} of {script}");
        }
        std::fs::remove_dir_all(place.path().join("out")).unwrap();
    }
}

#[test]
fn maps_and_predictions_are_those_of_the_results() {
    let place = Place::new();
    place.cat("cat.png");
    let server = Server::start(&place, &[]);
    let photo = server.add("cat.png", &std::fs::read(place.path().join("cat.png")).unwrap());
    let question = with(&question(&photo), json!({ "class": "final" }));
    let result = server.ask("/api/explain", &question).result();
    let run = place.msdcam("explain cat.png --class final --json --device cpu");
    let known: Value = serde_json::from_str(&run.stdout).unwrap();
    let image = &result["image"];
    let maps = STANDARD.decode(image["maps"].as_str().unwrap()).unwrap();
    let mut at = 0;
    for (i, exit) in known["exits"].as_array().unwrap().iter().enumerate() {
        assert_eq!(image["predicted"][i], exit["class"]);
        assert_eq!(image["target"][i], exit["target"]);
        assert_eq!(image["status"][i], exit["status"]);
        let near = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-6;
        assert!(near(&image["probability"][i], &exit["probability"]), "{i}");
        let top = &result["top"][i];
        assert!(top[0][0] == exit["class"] && near(&top[0][1], &exit["probability"]), "{top}");
        assert!(top[0][1].as_f64().unwrap() >= top[1][1].as_f64().unwrap(), "{top}");
        let size = result["set"]["sizes"][i].as_array().unwrap();
        let len = (size[0].as_u64().unwrap() * size[1].as_u64().unwrap()) as usize;
        assert_eq!(maps[at..at + len].iter().max(), Some(&255), "the largest element of a map is 255");
        at += len;
    }
    assert_eq!(at, maps.len());
    assert_eq!(result["set"]["exits"], json!((1..=10).collect::<Vec<_>>()));
    assert!(result["photo"].as_str().unwrap().starts_with("data:image/jpeg;base64,"));
    assert_eq!(result["pictures"], Value::Null);
}

#[test]
fn a_pixel_method_has_pictures_in_place_of_maps() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let sample = server.post("/api/sample", b"").json();
    assert_eq!((&sample["name"], &sample["width"]), (&json!("chelsea.png"), &json!(451)));
    let base = question(sample["photo"].as_str().unwrap());
    let question = with(&base, json!({ "method": "input-gradient" }));
    let result = server.ask("/api/explain", &question).result();
    assert_eq!((&result["image"]["maps"], &result["set"]["sizes"]), (&Value::Null, &json!([])));
    let pictures = result["pictures"].as_array().unwrap();
    assert_eq!(pictures.len(), 10);
    let third = pictures[2].as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap();
    let file = server.ask("/api/download", &with(&question, json!({ "kind": "picture", "exit": 3 })));
    assert!(STANDARD.decode(third).unwrap() == file.body);
}

#[test]
fn every_choice_of_the_page_is_answered() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let choices = Answer::of(&server.raw(server.head("GET", "/api/models", 0).as_bytes())).json();
    let photo = server.post("/api/sample", b"").json()["photo"].as_str().unwrap().to_string();
    let base = question(&photo);
    let mut asked = 0;
    for method in choices["methods"].as_array().unwrap() {
        if method["slow"] == true || method["name"] == "cam" {
            continue;
        }
        for score in choices["scores"].as_array().unwrap() {
            let fields = json!({ "method": method["name"], "score": score["name"] });
            let result = server.ask("/api/explain", &with(&base, fields)).result();
            assert_eq!(result["pictures"].is_null(), method["kind"] == "map", "{method}");
            asked += 1;
        }
    }
    let taps = choices["models"][0]["taps"].as_array().unwrap();
    assert_eq!(taps.len(), 60);
    for tap in taps.iter().step_by(4) {
        // A method that only reads activations has a map at every tap, also at those behind the exit.
        for (method, least) in [("eigen-cam", 10), ("grad-cam", 1)] {
            let result =
                server.ask("/api/explain", &with(&base, json!({ "method": method, "tap": tap }))).result();
            let exits = result["set"]["exits"].as_array().unwrap();
            assert!(exits.len() >= least && exits.last().unwrap() == 10, "{method} at {tap}: {exits:?}");
            asked += 1;
        }
    }
    assert_eq!(asked, 12 * 3 + 2 * 15, "methods by scores, and taps");
    let shares = choices["models"][0]["shares"].as_array().unwrap();
    assert!(shares.windows(2).all(|two| two[0].as_f64() < two[1].as_f64()) && shares[9] == 1.0, "{shares:?}");
    assert_eq!(STANDARD.decode(choices["colormaps"]["jet"].as_str().unwrap()).unwrap().len(), 768);
}

#[test]
fn a_slow_method_shows_progress_and_ends_when_nobody_waits() {
    let place = Place::new();
    let server = Server::start(&place, &["--threads", "1"]);
    let photo = server.post("/api/sample", b"").json()["photo"].as_str().unwrap().to_string();
    let slow = with(&question(&photo), json!({ "method": "score-cam" }));
    let answer = server.ask("/api/explain", &slow);
    let lines = answer.lines();
    let progress: Vec<(u64, u64)> = lines[..lines.len() - 1]
        .iter()
        .map(|line| (line["progress"][0].as_u64().unwrap(), line["progress"][1].as_u64().unwrap()))
        .collect();
    assert!(progress.len() > 1, "no progress in {} lines", lines.len());
    assert!(progress.windows(2).all(|two| two[0].0 <= two[1].0), "{progress:?}");
    assert!(progress.iter().all(|&(done, all)| done <= all && (all == 2644 || all == 0)), "{progress:?}");
    let whole = Duration::from_millis(200) * progress.len() as u32;

    // Another class takes as long again, unless the client goes away.
    let other = with(&slow, json!({ "class": "3", "smooth": "flips" })).to_string();
    let mut stream = server.connect();
    let head = server.head("POST", "/api/explain", other.len());
    std::io::Write::write_all(&mut stream, format!("{head}{other}").as_bytes()).unwrap();
    let mut first = [0; 1024];
    while !String::from_utf8_lossy(&first).contains("progress") {
        assert!(std::io::Read::read(&mut stream, &mut first).unwrap() > 0);
    }
    drop(stream);
    let start = Instant::now();
    server.ask("/api/explain", &with(&question(&photo), json!({ "method": "layer-cam" }))).result();
    // With smoothing it would take six times as long as the whole.
    assert!(start.elapsed() < 3 * whole, "{:?} after the client had left, {whole:?}", start.elapsed());
}

#[test]
fn several_models_answer_side_by_side() {
    let place = Place::new();
    let blocks = repository("tests/golden/checkpoints/blocks_zip.pt");
    assert_eq!(place.msdcam(&format!("convert {} -o blocks.safetensors", blocks.display())).code, 0);
    let built_in = repository("weights/cifar10/msdnet_cifar10.safetensors");
    let server = Server::start(&place, &["--weights", "blocks.safetensors", &built_in.to_string_lossy()]);
    let choices = Answer::of(&server.raw(server.head("GET", "/api/models", 0).as_bytes())).json();
    let names: Vec<&Value> =
        choices["models"].as_array().unwrap().iter().map(|model| &model["name"]).collect();
    assert_eq!(names, ["blocks.safetensors", "msdnet_cifar10.safetensors"]);
    let photo = server.post("/api/sample", b"").json()["photo"].as_str().unwrap().to_string();
    for model in 0..2 {
        let question = with(&question(&photo), json!({ "model": model }));
        let exits = choices["models"][model]["exits"].clone();
        assert_eq!(server.ask("/api/explain", &question).result()["set"]["exits"], exits);
        let command = server.ask("/api/drawing", &question).json()["command"].as_str().unwrap().to_string();
        assert!(
            command.contains(&format!(
                "--weights={}",
                ["blocks.safetensors", &*built_in.to_string_lossy()][model]
            )),
            "{command}"
        );
    }
    let refused = server.ask("/api/explain", &with(&question(&photo), json!({ "model": 2 })));
    assert_eq!((refused.status, refused.json()["error"].as_str()), (400, Some("model 2 of 2, from 0")));
}

#[test]
fn the_share_of_computation_is_that_of_classify() {
    let place = Place::new();
    place.cat("cat.png");
    let server = Server::start(&place, &[]);
    let choices = Answer::of(&server.raw(server.head("GET", "/api/models", 0).as_bytes())).json();
    let shares = &choices["models"][0]["shares"];
    let mut seen = Vec::new();
    for threshold in ["0.3", "0.54", "0.7", "0.8", "0.825", "1"] {
        let run = place.msdcam(&format!("classify cat.png --early-exit {threshold} --json --device cpu -q"));
        let image = &run.json()[0];
        let exits = image["exits"].as_array().unwrap().len();
        let share = image["multiply_adds"].as_f64().unwrap() / image["multiply_adds_all"].as_f64().unwrap();
        assert!(
            (shares[exits - 1].as_f64().unwrap() - share).abs() < 1e-9,
            "exit {exits}: {shares}, {share}"
        );
        seen.push(exits);
    }
    assert!(seen.is_sorted() && seen[0] == 1 && seen.last() == Some(&10), "{seen:?}");
}

#[test]
fn a_question_that_two_ask_is_computed_once() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let photo = server.post("/api/sample", b"").json()["photo"].as_str().unwrap().to_string();
    let slow = with(&question(&photo), json!({ "method": "smooth-grad" }));
    let times: Vec<Value> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| server.ask("/api/explain", &slow).result()["milliseconds"].clone()))
            .collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(times.iter().all(|time| *time == times[0]), "{times:?}: not one computation");
}

#[test]
fn a_name_that_a_terminal_would_act_on_is_escaped_in_the_command() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let cat = std::fs::read(repository("weights/samples/chelsea.png")).unwrap();
    let photo = server.add("a%03b%1B%5B201~%0A%E2%80%AE'.png", &cat);
    let command =
        server.ask("/api/drawing", &question(&photo)).json()["command"].as_str().unwrap().to_string();
    assert_eq!(command, r"msdcam explain $'a\x03b\x1b[201~\x0a\xe2\x80\xae\'.png' --device=cpu");
}
