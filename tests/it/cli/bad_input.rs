//! Invalid requests, images, weights and folders: one line, an exit code, no panic.

use crate::cli::program::{Place, repository};

fn with_cat() -> Place {
    let place = Place::new();
    place.cat("cat.png");
    place
}

#[test]
fn refuses_an_unknown_class_and_lists_the_classes() {
    let place = with_cat();
    for class in ["tabby", "10", "-1", ""] {
        let run = place.run(&["explain", "cat.png", "--class", class]);
        run.refused(2, &[&format!("class '{class}': the network has airplane, automobile"), "0 to 9"]);
    }
    assert!(!place.path().join("msdcam-out").exists(), "no folder for a request that was refused");
}

#[test]
fn refuses_an_unknown_exit_and_lists_the_exits() {
    let place = with_cat();
    for (exits, cause) in [("0", "exit 0"), ("11", "exit 11"), ("3,9..12", "exit 12")] {
        for command in ["explain", "classify"] {
            let run = place.msdcam(&format!("{command} cat.png --exits {exits}"));
            run.refused(2, &[cause, "the network has exits 1 to 10"]);
            assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        }
    }
}

#[test]
fn arguments_out_of_range_are_usage_errors() {
    let place = with_cat();
    for line in [
        "classify cat.png --early-exit NaN",
        "classify cat.png --early-exit 0",
        "classify cat.png --early-exit 1.5",
        "classify cat.png --early-exit -1",
        "classify cat.png --early-exit inf",
        "classify cat.png --threads 0",
        "classify cat.png --threads 99999999999",
        "classify cat.png --device gpu",
        "classify cat.png --device cuda:x",
        "classify cat.png --exits 3..1",
        "classify cat.png --exits ,",
        "explain cat.png --size 0",
        "explain cat.png --colormap rainbow",
        "explain",
        "bench --seconds NaN",
        "bench --seconds -1",
        "bench --batch 0",
        "dream",
    ] {
        place.msdcam(line).refused(2, &[]);
    }
}

#[test]
fn a_missing_device_is_exit_code_5() {
    with_cat().msdcam("classify cat.png --device cuda:63").refused(5, &["cuda"]);
}

#[test]
fn a_single_invalid_image_is_an_error_with_its_reason() {
    let place = with_cat();
    let cat = place.read("cat.png");
    let mut huge = cat.clone();
    huge[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
    place.write("cut.png", &cat[..cat.len() / 2]);
    place.write("empty.png", b"");
    place.write("page.png", b"<!DOCTYPE html><html></html>");
    place.write("huge.png", &huge);
    for (name, cause) in [
        ("cut.png", "truncated"),
        ("empty.png", "empty"),
        ("page.png", "HTML"),
        ("huge.png", "20000x20000"),
        ("missing.png", "cannot read"),
    ] {
        place.msdcam(&format!("explain {name} -o out")).refused(4, &[&format!("error: {name}: "), cause]);
        place.msdcam(&format!("classify {name}")).refused(4, &[&format!("error: {name}: "), cause]);
    }
    assert_eq!(place.names("out"), ["manifest.json", "results.jsonl"], "no picture of a bad image");
}

#[test]
fn an_invalid_image_among_valid_ones_fails_alone() {
    let place = with_cat();
    place.small("ramp.png");
    place.write("bad.png", b"no image");
    for line in ["explain cat.png bad.png ramp.png --exits 1 -o out", "classify cat.png bad.png ramp.png"] {
        let run = place.msdcam(line);
        run.refused(3, &["error: bad.png: file: "]);
        assert!(run.stderr.ends_with("1 of 3 images failed: bad.png\n"), "{run:?}");
        let order = ["cat.png", "ramp.png"].map(|name| run.stdout.find(name).unwrap());
        assert!(order.is_sorted() && !run.stdout.contains("bad"), "{run:?}");
        let run = place.msdcam(&format!("{line} --json"));
        let errors: Vec<bool> = run.json().iter().map(|image| image["error"].is_string()).collect();
        assert_eq!((run.code, errors), (3, vec![false, true, false]));
    }
    let run = place.msdcam("classify bad.png nothing.png");
    assert_eq!(
        (run.code, run.stderr.lines().last()),
        (4, Some("2 of 2 images failed: bad.png, nothing.png"))
    );
}

#[test]
fn explains_a_photo_of_one_pixel() {
    let place = Place::new();
    place.write("one.png", &std::fs::read(repository("tests/golden/images/one.png")).unwrap());
    let run = place.msdcam("explain one.png -o out --exits 1");
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn refuses_files_that_are_not_weights_and_names_their_format() {
    let place = with_cat();
    let weights = std::fs::read(repository("weights/cifar10/msdnet_cifar10.safetensors")).unwrap();
    let mut lying = weights.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    place.write("page.safetensors", b"<html><body>404</body></html>");
    place.write("lying.safetensors", &lying);
    place.write("cut.safetensors", &weights[..weights.len() - 1]);
    place.write("empty.safetensors", b"");
    for name in ["page", "lying", "cut", "empty", "missing"] {
        let run = place.msdcam(&format!("classify cat.png --weights {name}.safetensors"));
        run.refused(4, &[&format!("error: {name}.safetensors: ")]);
        assert_eq!((run.stdout.as_str(), run.stderr.lines().count()), ("", 1), "{run:?}");
    }
    let checkpoint = repository("tests/golden/nets/blocks-even.pth");
    let run = place.run(&["classify", "cat.png", "--weights", checkpoint.to_str().unwrap()]);
    run.refused(4, &["`msdcam convert`"]);
}

#[test]
fn rejects_html_as_checkpoint() {
    let place = Place::new();
    place.write("net.pth", b"<!DOCTYPE html><html></html>");
    place.msdcam("convert net.pth -o w.safetensors").refused(4, &["net.pth: ", "web page"]);
    place.msdcam("inspect net.pth").refused(4, &["net.pth: ", "web page"]);
    assert_eq!(place.names("."), ["net.pth"]);
}

#[test]
fn an_unwritable_folder_is_exit_code_6() {
    let place = with_cat();
    place
        .msdcam("explain cat.png -o cat.png")
        .refused(6, &["cat.png: cannot write: is a file, expected a folder"]);
    place.msdcam("explain cat.png -o cat.png/out").refused(6, &["cat.png", "cannot write"]);
    #[cfg(target_os = "linux")]
    place.msdcam("explain cat.png -o /proc/msdcam").refused(6, &["/proc/msdcam: cannot write"]);
}

#[cfg(unix)]
#[test]
fn a_pipe_or_device_instead_of_a_file_is_refused_at_once() {
    use std::time::{Duration, Instant};

    let place = with_cat();
    place.small("noise.png");
    place.write("set.bin", &crate::cli::run::cifar(2));
    let checkpoint = repository("tests/golden/checkpoints/blocks_zip.pt");
    place.write("net.pt", &std::fs::read(checkpoint).unwrap());
    let mkfifo = |name: &str| {
        let path = place.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    mkfifo("pipe");
    for (folder, files) in [
        ("started", &["journal.jsonl"] as &[&str]),
        ("finished", &["manifest.json"]),
        ("results", &["results.jsonl"]),
        ("evaluated", &["evaluation.json"]),
        ("shards", &["journal-1-of-2.jsonl"]),
        ("locked", &["lock"]),
    ] {
        std::fs::create_dir(place.path().join(folder)).unwrap();
        files.iter().for_each(|file| mkfifo(&format!("{folder}/{file}")));
    }
    for line in [
        "faithfulness noise.png --exits 1 --boxes pipe",
        "faithfulness noise.png --exits 1 --boxes /dev/zero",
        "evaluate set.bin --early-exit pipe",
        "evaluate set.bin --early-exit /dev/zero",
        "classify pipe",
        "classify noise.png --weights pipe",
        "inspect pipe",
        "convert pipe -o w",
        "convert net.pt --labels pipe -o w",
        "convert net.pt --labels /dev/zero -o w",
        "explain set.bin --exits 1 -o started",
        "explain set.bin --exits 1 -o finished",
        "explain noise.png --exits 1 -o locked",
        "report started",
        "report results",
        "report evaluated",
        "figure results --rows a",
        "merge shards",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = place.command(&words);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let started = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if started.elapsed() > Duration::from_secs(20) {
                child.kill().unwrap();
                panic!("{line} blocks");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let run: crate::cli::program::Run = child.wait_with_output().unwrap().into();
        let (codes, cause) = match line {
            // What is not a file is no marker of ours.
            "explain set.bin --exits 1 -o finished" => ([2, 2], "manifest.json is there, and not as part of"),
            _ => ([4, 6], "is a pipe or a device, not a file"),
        };
        assert!(codes.contains(&run.code), "{line}: {run:?}");
        run.refused(run.code, &[cause]);
    }
}

#[test]
fn usage_errors_are_one_printable_line() {
    let place = with_cat();
    let bad = "\u{1b}]0;owned\u{7}\n\u{202e}x";
    let shown = "\\u{1b}]0;owned\\u{7}\\n\\u{202e}x";
    for args in [
        &[bad] as &[&str],
        &["explain", bad, bad, &format!("--{bad}")],
        &["classify", "cat.png", "--exits", bad],
        &["classify", "cat.png", "--early-exit", bad],
        &["classify", "cat.png", "--device", bad],
        &["explain", "cat.png", "--select", bad],
        &["explain", "cat.png", "--shard", bad],
        &["explain", "cat.png", "--colormap", bad],
        &["explain", "cat.png", "--class", bad],
        &["convert", "cat.png", "-o", "w", "--normalize", bad],
    ] {
        let run = place.run(args);
        run.refused(2, &[shown]);
        assert_eq!((run.stderr.lines().count(), run.stdout.as_str()), (1, ""), "{run:?}");
        assert!(!run.stderr.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'), "{run:?}");
    }
    let run = place.msdcam("explain cat.png --exit 1");
    run.refused(
        2,
        &["unexpected argument '--exit' found; tip: a similar argument exists: '--exits'; try '--help'"],
    );
    place.msdcam("explain").refused(2, &["required arguments were not provided: <IMAGE>...; try '--help'"]);
    assert_eq!(place.msdcam("explain").stderr.lines().count(), 1);
}
