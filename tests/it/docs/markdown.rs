//! The parts of Markdown that the tests read: fences, links and headings.

/// A fenced block of code.
#[derive(Debug)]
pub struct Fence {
    pub language: String,
    pub text: String,
    /// The line of the document of its first line, from 1.
    pub line: usize,
    /// Whether only empty lines are between it and the fence before.
    pub follows: bool,
}

/// A link, with the line that its target is in.
pub struct Link {
    pub target: String,
    pub line: usize,
}

/// The fences of a document.
pub fn fences(document: &str) -> Vec<Fence> {
    let mut fences: Vec<Fence> = Vec::new();
    let (mut open, mut follows) = (false, false);
    for (line, number) in document.lines().zip(1..) {
        if let Some(language) = line.strip_prefix("```") {
            if !open {
                fences.push(Fence {
                    language: language.trim().into(),
                    text: String::new(),
                    line: number + 1,
                    follows,
                });
            }
            (open, follows) = (!open, true);
        } else if open {
            let fence = fences.last_mut().expect("a fence is open");
            fence.text += line;
            fence.text += "\n";
        } else if !line.trim().is_empty() {
            follows = false;
        }
    }
    assert!(!open, "a fence without an end");
    fences
}

/// The document with spaces for fences and code, so that lines stay where they are.
fn without_code(document: &str) -> String {
    let mut text = String::with_capacity(document.len());
    let mut in_fence = false;
    for line in document.split_inclusive('\n') {
        let is_fence = line.starts_with("```");
        in_fence ^= is_fence;
        if in_fence || is_fence {
            text += "\n";
            continue;
        }
        let mut in_code = false;
        for c in line.chars() {
            in_code ^= c == '`';
            text.push(if in_code && c != '\n' { ' ' } else { c });
        }
    }
    text
}

/// The links of a document, `[text](target)` and `![text](target)`.
pub fn links(document: &str) -> Vec<Link> {
    let text = without_code(document);
    let places = text.match_indices("](");
    let link = |(at, _): (usize, &str)| {
        let rest = &text[at + 2..];
        let target = rest[..rest.find(')')?].trim();
        let line = 1 + text[..at].matches('\n').count();
        // A title may follow the target.
        Some(Link { target: target.split_whitespace().next()?.to_string(), line })
    };
    places.filter_map(link).collect()
}

/// The anchors of a document's headings, as GitHub makes them.
pub fn anchors(document: &str) -> Vec<String> {
    let mut in_fence = false;
    let mut found: Vec<String> = Vec::new();
    for line in document.lines() {
        in_fence ^= line.starts_with("```");
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        if in_fence || !(1..=6).contains(&level) || !title.starts_with(' ') {
            continue;
        }
        let anchor = anchor(title.trim());
        let same = found.iter().filter(|other| **other == anchor).count();
        found.push(if same == 0 { anchor } else { format!("{anchor}-{same}") });
    }
    found
}

/// Lower case; letters, digits, `_` and `-` stay, a space becomes `-`, and a link is its text.
fn anchor(title: &str) -> String {
    let mut text = String::new();
    let mut rest = title;
    while let Some((before, after)) = rest.split_once("](") {
        text += before;
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    text += rest;
    let kept = text.to_lowercase();
    let kept = kept.chars().filter(|&c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn anchors_are_those_of_github() {
    let document = "# A `b`: c, d\n```sh\n# no heading\n```\n## [x](y.md) z\n## [x](y.md) z\n#none\n";
    assert_eq!(anchors(document), ["a-b-c-d", "x-z", "x-z-1"]);
}

#[test]
fn links_in_code_are_none() {
    let targets = |text| -> Vec<String> { links(text).into_iter().map(|link| link.target).collect() };
    assert_eq!(
        targets("[a](b.md) `[c](d)` ![e](f.png \"g\")\n```\n[h](i)\n```\n[j\nk](l#m)"),
        ["b.md", "f.png", "l#m"]
    );
}
