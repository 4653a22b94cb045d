//! The commands of a document: the lines of its `sh` fences, and which of them a test cannot run.

use super::markdown;

/// A command of a document.
#[derive(Debug, PartialEq)]
pub struct Command {
    /// One line for a shell, without its comment.
    pub line: String,
    /// The line of the document that it begins in.
    pub number: usize,
    /// What it prints on standard output: the `text` fence behind its own, if it is the fence's only command.
    pub prints: Option<String>,
}

/// Commands that are not run, by the words that they begin with, and why.
const NOT_RUN: [(&str, &str); 10] = [
    ("cargo install", "builds the program, which the test has"),
    ("cargo test", "runs this test"),
    ("cargo run", "needs cargo and the sources; .ci/run runs it"),
    ("pip install", "needs a network; python/check installs the wheel"),
    ("release/archive", "needs zig, and builds the program once more"),
    ("docker build", "needs a container engine"),
    ("python3 docs/article.py", "needs NumPy and all maps of CIFAR-10's test set"),
    ("python benches/", "needs the Python package, and minutes"),
    ("msdcam serve", "waits for a browser; tests/it/serve starts it"),
    ("msdcam bench --weights net.onnx --device cuda", "needs a GPU"),
];

/// Why a command is not run, if it is not.
pub fn why_not_run(line: &str) -> Option<&'static str> {
    NOT_RUN.iter().find(|(words, _)| begins_with(line, words)).map(|&(_, why)| why)
}

fn begins_with(line: &str, words: &str) -> bool {
    line.strip_prefix(words)
        .is_some_and(|rest| rest.is_empty() || words.ends_with('/') || rest.starts_with(' '))
}

/// Panics unless each entry of the list is about one of `commands`.
pub fn every_reason_is_needed<'a>(commands: impl Iterator<Item = &'a Command> + Clone) {
    for (words, why) in NOT_RUN {
        let mut those = commands.clone();
        assert!(
            those.any(|command| begins_with(&command.line, words)),
            "no document has '{words}' any more: {why}"
        );
    }
}

/// The commands of a document.
pub fn of(document: &str) -> Vec<Command> {
    let fences = markdown::fences(document);
    let mut commands = Vec::new();
    for (i, fence) in fences.iter().enumerate().filter(|(_, fence)| fence.language == "sh") {
        let mut lines = of_fence(&fence.text, fence.line);
        let next = fences.get(i + 1).filter(|next| next.language == "text" && next.follows);
        if let (Some(next), [only]) = (next, &mut lines[..]) {
            only.prints = Some(next.text.clone());
        }
        commands.extend(lines);
    }
    commands
}

fn of_fence(text: &str, first: usize) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut begun: Option<Command> = None;
    for (i, line) in text.lines().enumerate() {
        let mut line = without_comment(line).trim().to_string();
        let goes_on = line.ends_with('\\');
        if goes_on {
            line.pop();
        }
        let command = match begun.take() {
            Some(begun) => Command { line: format!("{} {}", begun.line.trim_end(), line), ..begun },
            None => Command { line, number: first + i, prints: None },
        };
        if goes_on {
            begun = Some(command);
        } else if !command.line.is_empty() {
            commands.push(command);
        }
    }
    assert_eq!(begun, None, "the last line goes on");
    commands
}

/// The line up to a `#` at its beginning or behind a space, outside of quotes.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '#' && before.is_whitespace() => return &line[..at],
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => {}
        }
        before = c;
    }
    line
}

/// Whether `found` is what the document says. A line `...` there stands for any lines.
pub fn prints_as(found: &str, document: &str) -> bool {
    let mut parts = document.trim_end().split("\n...\n").map(|part| part.trim_end_matches("\n..."));
    let ends_open = document.trim_end().ends_with("\n...");
    let Some(mut rest) = parts.next().and_then(|first| found.trim_end().strip_prefix(first)) else {
        return false;
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    ends_open || rest.is_empty()
}

#[test]
fn commands_are_read_as_a_shell_reads_them() {
    let text = "a 'b # c' # d\n\n# only a comment\nx page/#y \\\n    z  # w\n";
    let lines: Vec<_> =
        of_fence(text, 10).into_iter().map(|command| (command.number, command.line)).collect();
    assert_eq!(lines, [(10, "a 'b # c'".into()), (13, "x page/#y z".into())]);
    let document = "```sh\nmsdcam a\n```\n\n```text\nb\n```\n```sh\nc\nd\n```\n";
    let prints: Vec<_> = of(document).into_iter().map(|command| command.prints).collect();
    assert_eq!(prints, [Some("b\n".into()), None, None]);
}

#[test]
fn printed_lines_may_be_left_out_of_a_document() {
    let found = "a\nb\nc\nd\n";
    for same in ["a\nb\nc\nd\n", "a\n...\nd\n", "a\nb\n...\n", "a\n...\nc\nd"] {
        assert!(prints_as(found, same), "{same:?}");
    }
    for other in ["a\nb\nc\n", "b\n...\n", "a\n...\nx\n", "a\n...\nc\n"] {
        assert!(!prints_as(found, other), "{other:?}");
    }
}
