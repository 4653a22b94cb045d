//! The end of every help text: exit codes and examples.

use std::fmt::Write as _;

use super::color::HEADING;

/// What the exit codes of every command mean.
pub const EXIT_CODES: [(u8, &str); 8] = [
    (0, "success"),
    (2, "usage error"),
    (3, "some images failed"),
    (4, "input refused (weights or all images)"),
    (5, "device error"),
    (6, "cannot write output"),
    (130, "stopped by Ctrl-C"),
    (143, "stopped by SIGTERM"),
];

/// A command line that works, and what it does.
pub type Example = (&'static str, &'static str);

/// The examples of a command; `None` stands for the program as a whole.
pub fn of(command: Option<&str>) -> &'static [Example] {
    match command {
        None => &[
            ("msdcam explain photo.png", "every exit's heatmap over the photo, into msdcam-out/"),
            ("msdcam serve --open", "the same on a page in the browser"),
            ("msdcam explain --help", "what a command does, with its options and examples"),
            ("msdcam doctor", "whether the program works on this machine, and what is missing"),
        ],
        Some("explain") => &[
            ("msdcam explain photo.png", "Grad-CAM at every exit, into msdcam-out/"),
            (
                "msdcam explain photo.png --method layer-cam,guided-backprop -o out",
                "two other methods, by one forward pass, into out/",
            ),
            (
                "msdcam explain photo.png --class top3 --json -o out",
                "the three likeliest classes of each exit",
            ),
            (
                "msdcam explain test_batch.bin -o run",
                "a data set, as a run that can be interrupted and resumed",
            ),
        ],
        Some("merge") => &[
            ("msdcam merge shard1 shard2 -o run", "the folders of two machines as one run"),
            ("msdcam merge shards", "all shards in one folder, which becomes the run"),
        ],
        Some("classify") => &[
            ("msdcam classify photo.png", "class and confidence of every exit"),
            (
                "msdcam classify photo.png --early-exit 0.9",
                "stops at the first exit that is confident enough, and says what that saves",
            ),
            ("msdcam classify photos --json", "a folder of photos: a line of JSON for each"),
        ],
        Some("evaluate") => &[
            (
                "msdcam evaluate test_batch.bin",
                "accuracy and calibration of every exit, hardness of the images",
            ),
            ("msdcam evaluate test_batch.bin --budget 50M", "accuracy at 50 million multiply-adds an image"),
            (
                "msdcam evaluate test_batch.bin -o run",
                "the same as files, from which `msdcam report` draws charts",
            ),
        ],
        Some("faithfulness") => &[
            ("msdcam faithfulness test_batch.bin --limit 100", "metrics of Grad-CAM's maps of 100 images"),
            (
                "msdcam faithfulness photos --method grad-cam,layer-cam --exits 10 -o out",
                "two methods at one exit, with tables and charts",
            ),
        ],
        Some("bench") => &[
            ("msdcam bench --seconds 5", "latency of every exit on this device, with and without heatmaps"),
            ("msdcam bench --exits all --batch 8 --seconds 5", "batches of 8 images through all exits"),
            ("msdcam bench --device cuda --json gpu.json", "the first GPU, with the numbers as a file too"),
        ],
        Some("convert") => &[
            ("msdcam convert checkpoint.pth -o weights.safetensors", "a checkpoint as a weights file"),
            (
                "msdcam convert checkpoint.pth --labels names.txt --dtype f16 -o w.safetensors",
                "with class names, in half the size",
            ),
        ],
        Some("inspect") => &[
            ("msdcam inspect checkpoint.pth", "layers, exits and taps of a checkpoint"),
            ("msdcam inspect net.onnx --json", "those of an ONNX file, as JSON"),
        ],
        Some("report") => &[
            ("msdcam report run", "run/report.html, and every chart as a file"),
            ("msdcam report run --images 100 --no-plots -o page", "a gallery of 100 images alone, in page/"),
        ],
        Some("figure") => &[
            (
                "msdcam figure run --rows 00000,00001 --exits 1,5,10",
                "two images by three exits, into figure.png",
            ),
            (
                "msdcam figure run --select 'wrong@1 right@10' -o hard.png",
                "images that only the last exit gets right",
            ),
        ],
        Some("serve") => &[
            ("msdcam serve --open", "the page, in the browser"),
            ("msdcam serve --weights net.onnx --port 9000", "an ONNX file instead of the built-in network"),
        ],
        Some("methods") => &[
            ("msdcam methods", "every method, with what it costs and where it was published"),
            ("msdcam methods grad-cam++", "one method: formula, paper, what it shows, when it misleads"),
            ("msdcam methods --json", "everything about all methods, as JSON"),
        ],
        Some("doctor") => &[
            ("msdcam doctor", "the devices, what they need, and a short self-test of each"),
            ("msdcam doctor --json", "the same as JSON, for a bug report or a script"),
        ],
        Some("completions") => &[
            (
                "msdcam completions bash > ~/.local/share/bash-completion/completions/msdcam",
                "bash, from the next session on; make the folder first if it is missing",
            ),
            ("msdcam completions zsh > ~/.zfunc/_msdcam", "zsh; ~/.zfunc stands for any folder of $fpath"),
            (
                "msdcam completions fish > ~/.config/fish/completions/msdcam.fish",
                "fish, which looks for it there",
            ),
        ],
        Some("man") => &[
            ("msdcam man | man -l -", "the manual page of the program"),
            ("msdcam man explain > msdcam-explain.1", "that of a command, as a file"),
            ("msdcam man -o ~/.local/share/man/man1", "all pages, where `man msdcam` finds them"),
        ],
        Some(_) => &[],
    }
}

/// The end of the help text of a command: exit codes, then its examples.
pub fn ending(command: Option<&str>) -> String {
    let codes: Vec<String> = EXIT_CODES.iter().map(|(code, meaning)| format!("{code} {meaning}")).collect();
    let mut text =
        format!("{HEADING}Exit codes:{HEADING:#} {}\n\n{HEADING}Examples:{HEADING:#}", codes.join(", "));
    for (line, does) in of(command) {
        let _ = write!(text, "\n  {line}\n      {does}"); // writing to a String cannot fail
    }
    text
}
