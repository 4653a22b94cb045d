//! Files of class names, in the forms in which they are passed around.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use crate::util::{imagenet, input_file};
use crate::{Error, Result};

/// Class names out of a text file.
#[derive(Debug, PartialEq, Eq)]
pub struct ClassNames {
    pub names: Vec<String>,
    /// Names that occur more than once in the file, as they are told apart in `names`.
    pub doubles: Vec<String>,
}

/// Reads the names of `classes` classes, one a line. Before each name may be its number (`0, tench`), or all
/// lines may have a WordNet id before it (`n01440764 tench`). Or JSON: a list, or an object from numbers to names or to lists
/// that end with the name, as Keras has it. Classes of the same name get their number behind it,
/// `crane (134)` and `crane (517)` in ImageNet.
///
/// # Errors
/// [`Error::Refused`] when the file cannot be read, a line is empty, or there are more or fewer.
pub fn read(path: &Path, classes: usize) -> Result<ClassNames> {
    let text = input_file::read_text(path, input_file::TEXT)?;
    let names = match text.trim_start().starts_with(['[', '{']) {
        true => of_json(&text).map_err(|cause| Error::refused(path, "labels", cause))?,
        false => Vec::new(),
    };
    let lines: Vec<&str> = match names.is_empty() {
        true => text.trim_end_matches(['\n', '\r']).lines().map(str::trim).collect(),
        false => names.iter().map(|name| name.trim()).collect(),
    };
    if let Some(empty) = lines.iter().position(|line| line.is_empty()) {
        return Err(Error::refused(path, format!("line {}", empty + 1), "empty"));
    }
    if lines.len() != classes {
        let cause = format!("{} names for a network of {classes} classes", lines.len());
        return Err(Error::refused(path, "labels", cause));
    }
    let without = |prefix: &dyn Fn(usize, &str) -> bool| -> Option<Vec<&str>> {
        lines.iter().enumerate().map(|(i, line)| after(line, |word| prefix(i, word))).collect()
    };
    let names = without(&|i, word| word.parse() == Ok(i))
        .or_else(|| without(&|i, word| word.parse() == Ok(i + 1)))
        .or_else(|| without(&|_, word| is_word_net_id(word)))
        .unwrap_or(lines);
    Ok(told_apart(&names))
}

/// The names of a JSON text.
fn of_json(text: &str) -> std::result::Result<Vec<String>, String> {
    let json = serde_json::from_str(text);
    let json: Value =
        json.map_err(|e| format!("neither names, one a line, nor JSON, as which it begins: {e}"))?;
    let name = |value: &Value| {
        let value = value.as_array().map_or(Some(value), |list| list.last());
        value.and_then(Value::as_str).map(str::to_string)
    };
    let names: Option<Vec<String>> = match &json {
        Value::Array(list) => list.iter().map(|value| value.as_str().map(str::to_string)).collect(),
        Value::Object(map) => (0..map.len()).map(|i| map.get(&i.to_string()).and_then(name)).collect(),
        _ => None,
    };
    let names = names.filter(|names| !names.is_empty());
    names.ok_or_else(|| "JSON, but no list of names, nor an object from 0, 1, ... to names".into())
}

/// What follows a first word for which `is` holds, and a separator.
fn after(line: &str, is: impl Fn(&str) -> bool) -> Option<&str> {
    let end = line.find([',', ':', ' ', '\t'])?;
    let (word, rest) = line.split_at(end);
    let name = rest.trim_start_matches([',', ':', ' ', '\t']);
    (is(word) && !name.is_empty()).then_some(name)
}

fn is_word_net_id(word: &str) -> bool {
    word.len() == 9 && word.starts_with('n') && word.bytes().skip(1).all(|byte| byte.is_ascii_digit())
}

/// The names of ImageNet's classes.
pub fn imagenet() -> Vec<String> {
    imagenet::classes().map(|(_, name)| name.to_string()).collect()
}

impl ClassNames {
    /// A note about names that occur more than once.
    pub fn note(&self) -> Option<String> {
        let doubles = || format!("classes of the same name are {}", self.doubles.join(", "));
        (!self.doubles.is_empty()).then(doubles)
    }
}

/// The names with their number behind those that occur more than once.
pub fn told_apart(names: &[impl AsRef<str>]) -> ClassNames {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    names.iter().for_each(|name| *counts.entry(name).or_default() += 1);
    let mut doubles = Vec::new();
    let unique = |(i, name): (usize, &&str)| match counts[name] {
        1 => name.to_string(),
        _ => {
            let numbered = format!("{name} ({i})");
            doubles.push(numbered.clone());
            numbered
        }
    };
    ClassNames { names: names.iter().enumerate().map(unique).collect(), doubles }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &[u8]) -> Result<ClassNames> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.txt");
        std::fs::write(&path, text).unwrap();
        read(&path, 3)
    }

    #[test]
    fn every_usual_form_gives_the_names() {
        for text in [
            &b"tench\ngreat white shark, Carcharodon\n3\n"[..],
            b"\xef\xbb\xbftench\r\ngreat white shark, Carcharodon\r\n3\r\n\r\n",
            b"0, tench\n1, great white shark, Carcharodon\n2, 3\n",
            b"0: tench\n1: great white shark, Carcharodon\n2: 3",
            b"1 tench\n2\tgreat white shark, Carcharodon\n3 3",
            b"n01440764 tench\nn01484850 great white shark, Carcharodon\nn00000003 3",
            br#"["tench", "great white shark, Carcharodon", "3"]"#,
            br#"{"0": "tench", "1": "great white shark, Carcharodon", "2": "3"}"#,
            br#"{"0": ["n01440764", "tench"], "2": ["n00000003", "3"], "1": ["n01484850", "great white shark, Carcharodon"]}"#,
        ] {
            let expected = ["tench", "great white shark, Carcharodon", "3"];
            assert_eq!(names(text).unwrap().names, expected, "{}", String::from_utf8_lossy(text));
        }
        for text in [&b"{0: 'tench',\n 1: 'shark',\n 2: '3'}"[..], b"[1, 2, 3]", b"{\"a\": \"b\"}", b"[]"] {
            let error = names(text).unwrap_err().to_string();
            assert!(error.contains("JSON"), "{error}");
        }
        assert_eq!(names(b"0\n1\n2").unwrap().names, ["0", "1", "2"]);
        assert_eq!(names(b"0 a\n1 b\nc").unwrap().names, ["0 a", "1 b", "c"]);
        assert_eq!(names(b"0 a\n2 b\n1 c").unwrap().names, ["0 a", "2 b", "1 c"], "not their numbers");
        let utf16: Vec<u8> = "\u{feff}a\r\n\u{e9}\r\nc".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(names(&utf16).unwrap().names, ["a", "\u{e9}", "c"]);
    }

    #[test]
    fn classes_of_the_same_name_are_told_apart_by_their_number() {
        let found = names(b"crane\nowl\ncrane").unwrap();
        assert_eq!(
            (found.names.join("; "), found.doubles.join("; ")),
            ("crane (0); owl; crane (2)".into(), "crane (0); crane (2)".into())
        );
    }

    #[test]
    fn what_is_no_list_of_names_is_refused() {
        for (text, error) in [
            (&b"a\n\nc"[..], "labels.txt: line 2: empty"),
            (b"a\nb", "labels.txt: labels: 2 names for a network of 3 classes"),
            (b"a\n\xff\nc", "labels.txt: UTF-8: invalid utf-8 sequence"),
        ] {
            let shown = names(text).unwrap_err().to_string();
            assert!(shown.contains(error), "{shown}");
        }
    }
}
