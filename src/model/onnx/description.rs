//! What an ONNX file leaves open of the photo's preparation and of the classes: JSON files beside it, as timm and Hugging Face
//! write them, and the file's own metadata.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Result;
use crate::model::Normalization;
use crate::util::input_file;

/// What some editors put before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A standard deviation that is too large for pixels from 0 to 1, whatever is meant by it.
const MAX_STD: f32 = 8.0;

/// Most names that are read.
const MAX_CLASSES: usize = 1 << 20;

/// What is said, and where.
#[derive(Debug, Default, PartialEq)]
pub struct Description {
    pub normalization: Option<(Normalization, String)>,
    pub labels: Option<(Vec<String>, String)>,
    pub input_size: Option<((usize, usize), String)>,
    /// Part of the resized photo's shorter side that the input shows.
    pub crop: Option<f64>,
    /// Statements about the normalization that cannot be used, with their origin.
    pub unusable: Vec<String>,
}

impl Description {
    /// What the files beside the ONNX file `path` say, then what its `metadata` does.
    ///
    /// # Errors
    /// When a file that is called as the ONNX file cannot be read, is no JSON, or has a normalization that is none.
    pub fn find(path: &Path, metadata: &HashMap<String, String>) -> Result<Description> {
        let mut found = Description::default();
        for (file, is_own) in beside(path) {
            let Some(bytes) = input_file::read_if_exists(&file, input_file::TEXT)? else { continue };
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
            match serde_json::from_slice::<Value>(text) {
                Ok(value) => found.add(&value, &name),
                Err(error) if is_own => return Err(crate::Error::refused_by(&file, "JSON", error)),
                // A file of that name may belong to something else.
                Err(error) => found.unusable.push(format!("{name} is no JSON: {error}")),
            }
            if is_own && let Some(cause) = found.unusable.pop() {
                return Err(crate::Error::refused(&file, "normalization", cause));
            }
        }
        let metadata: serde_json::Map<String, Value> = metadata
            .iter()
            .map(|(key, text)| {
                // Exporters write Python's lists and dictionaries.
                let json =
                    serde_json::from_str(text).or_else(|_| serde_json::from_str(&python_as_json(text)));
                (key.clone(), json.unwrap_or_else(|_| Value::String(text.clone())))
            })
            .collect();
        found.add(&Value::Object(metadata), "the file's metadata");
        Ok(found)
    }

    /// Adds what `value`, which comes from `origin`, says and nothing before has said.
    fn add(&mut self, value: &Value, origin: &str) {
        // timm keeps most in an object of its own.
        let parts = [Some(value), value.get("pretrained_cfg")];
        for part in parts.into_iter().flatten() {
            match (&self.normalization, statistics(part)) {
                (None, Ok(Some((statistics, scale)))) => {
                    self.normalization = Some((statistics, format!("{origin}{scale}")));
                }
                (None, Err(cause)) => self.unusable.push(format!("{origin} has {cause}")),
                _ => {}
            }
            let names = ["id2label", "label_names", "labels", "classes", "class_names", "names"];
            let names = names.iter().find_map(|name| class_names(part.get(name)?));
            if let (None, Some(names)) = (&self.labels, names) {
                self.labels = Some((names, origin.into()));
            }
            let crop =
                part.get("crop_pct").and_then(Value::as_f64).filter(|crop| (0.01..=1.0).contains(crop));
            self.crop = self.crop.or(crop);
            if let (None, Some(size)) = (&self.input_size, part.get("input_size").and_then(input_size)) {
                self.input_size = Some((size, origin.into()));
            }
        }
    }
}

/// The files that may describe the ONNX file `path`, and whether they are called after it.
fn beside(path: &Path) -> Vec<(PathBuf, bool)> {
    let mut with_json = path.as_os_str().to_os_string();
    with_json.push(".json");
    let folder = path.parent().unwrap_or(Path::new(""));
    let general = ["config.json", "preprocessor_config.json"].map(|name| (folder.join(name), false));
    [(path.with_extension("json"), true), (PathBuf::from(with_json), true)]
        .into_iter()
        .chain(general)
        .collect()
}

/// The normalization that `part` says, and a remark on its scale. Pixels are taken to be from 0 to 1, unless no such pixels
/// could have these statistics: then they are those of bytes.
///
/// # Errors
/// When it has statistics that cannot be used; says which.
fn statistics(part: &Value) -> Result<Option<(Normalization, &'static str)>, String> {
    if part.get("do_normalize") == Some(&Value::Bool(false)) {
        return Ok(Some((Normalization::NONE, "")));
    }
    let said =
        |names: [&str; 2]| names.iter().find_map(|name| part.get(name).filter(|value| !value.is_null()));
    let (mean, std) = match (said(["mean", "image_mean"]), said(["std", "image_std"])) {
        (None, None) => return Ok(None),
        (Some(mean), Some(std)) => (mean, std),
        (Some(_), None) => return Err("a mean without std".into()),
        (None, Some(_)) => return Err("std without a mean".into()),
    };
    match (numbers(mean), numbers(std)) {
        (Some(mean), Some(std)) if std.iter().all(|&x| x > 0.0) => {
            let of_bytes = mean.iter().any(|x| x.abs() > 1.0) || std.iter().any(|&x| x > MAX_STD);
            let scaled = |list: [f32; 3]| list.map(|x| (f64::from(x) / 255.0) as f32);
            Ok(Some(if of_bytes {
                (Normalization { mean: scaled(mean), std: scaled(std) }, ", of pixels from 0 to 255")
            } else {
                (Normalization { mean, std }, "")
            }))
        }
        _ => {
            let (mean, std) = (excerpt(mean), excerpt(std));
            Err(format!(
                "mean {mean} and std {std}, expected one or three numbers each, those of std above 0"
            ))
        }
    }
}

/// The beginning of the text of `value`.
fn excerpt(value: &Value) -> String {
    const MOST: usize = 40;
    let text = value.to_string();
    let cut: String = text.chars().take(MOST).collect();
    if cut.len() < text.len() { cut + "..." } else { cut }
}

/// Three finite numbers, or one for all.
fn numbers(value: &Value) -> Option<[f32; 3]> {
    let list: Vec<f32> = match value {
        Value::Array(list) => list.iter().map(|x| Some(x.as_f64()? as f32)).collect::<Option<_>>()?,
        Value::Number(x) => vec![x.as_f64()? as f32; 3],
        _ => return None,
    };
    <[f32; 3]>::try_from(list).ok().filter(|list| list.iter().all(|x| x.is_finite()))
}

/// Names as a list, by number, or separated by commas.
fn class_names(value: &Value) -> Option<Vec<String>> {
    let names: Vec<String> = match value {
        Value::Array(list) => {
            list.iter().map(|name| Some(name.as_str()?.to_string())).collect::<Option<_>>()?
        }
        Value::Object(by_number) => {
            let mut names = vec![None; by_number.len().min(MAX_CLASSES)];
            for (number, name) in by_number {
                *names.get_mut(number.parse::<usize>().ok()?)? = Some(name.as_str()?.to_string());
            }
            names.into_iter().collect::<Option<_>>()?
        }
        Value::String(text) if text.contains(',') => {
            text.split(',').map(|name| name.trim().to_string()).collect()
        }
        _ => return None,
    };
    (names.len() > 1).then_some(names)
}

/// Height and width out of `[3, H, W]` or `[H, W]`.
fn input_size(value: &Value) -> Option<(usize, usize)> {
    let list: Vec<usize> =
        value.as_array()?.iter().map(|n| usize::try_from(n.as_u64()?).ok()).collect::<Option<_>>()?;
    match list[..] {
        [3, h, w] | [h, w] if h > 0 && w > 0 => Some((h, w)),
        _ => None,
    }
}

/// A Python literal of strings and numbers as JSON: `{0: 'cat'}` as `{"0": "cat"}`.
fn python_as_json(text: &str) -> String {
    let mut json = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                json.push('"');
                for inner in chars.by_ref().take_while(|&inner| inner != '\'') {
                    if matches!(inner, '"' | '\\') {
                        json.push('\\');
                    }
                    json.push(inner);
                }
                json.push('"');
            }
            '{' | ',' if text.starts_with('{') => {
                json.push(c);
                let mut key = String::new();
                while let Some(next) = chars.next_if(|next| next.is_ascii_digit() || next.is_whitespace()) {
                    key.push(next);
                }
                let number = key.trim();
                if number.is_empty() { json.push_str(&key) } else { json.push_str(&format!("\"{number}\"")) }
            }
            _ => json.push(c),
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(file: &str, json: &str, metadata: &[(&str, &str)]) -> Description {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), json).unwrap();
        let metadata = metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Description::find(&folder.path().join("net.onnx"), &metadata).unwrap()
    }

    #[test]
    fn timm_and_hugging_face_say_statistics_and_names() {
        let timm = r#"{"pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.5, 1], "input_size": [3, 64, 96], "crop_pct": 0.9}}"#;
        let found = described("net.json", timm, &[]);
        let statistics = Normalization { mean: [0.5; 3], std: [0.25, 0.5, 1.0] };
        assert_eq!(found.normalization, Some((statistics, "net.json".into())));
        assert_eq!((found.input_size, found.crop), (Some(((64, 96), "net.json".into())), Some(0.9)));
        let hugging_face = r#"{"id2label": {"1": "dog", "0": "cat"}, "image_mean": 0.5, "image_std": 0.5}"#;
        let found = described("config.json", hugging_face, &[("names", "{0: 'x', 1: 'y'}")]);
        assert_eq!(found.labels, Some((vec!["cat".into(), "dog".into()], "config.json".into())));
        assert_eq!(found.normalization.unwrap().0.mean, [0.5; 3]);
    }

    #[test]
    fn metadata_says_what_no_file_does() {
        let found = described(
            "config.json",
            "no JSON",
            &[("names", "{0: 'it\"s', 1: 'y'}"), ("mean", "[0, 0, 0]"), ("std", "[1, 1, 1]")],
        );
        assert_eq!(found.labels, Some((vec!["it\"s".into(), "y".into()], "the file's metadata".into())));
        assert_eq!(found.normalization.unwrap().0, Normalization::NONE);
        let found = described(
            "config.json",
            r#"{"id2label": {"0": "a", "2": "b"}, "mean": [1, 2], "std": [0, 0, 0]}"#,
            &[],
        );
        let cause = "config.json has mean [1,2] and std [0,0,0], expected one or three numbers each, those of std above 0";
        assert_eq!(found, Description { unusable: vec![cause.into()], ..Description::default() });
    }

    #[test]
    fn statistics_of_bytes_become_those_of_numbers_from_0_to_1() {
        for (json, mean, std) in [
            (r#"{"mean": [51, 102, 204], "std": [51, 51, 102]}"#, [0.2, 0.4, 0.8], [0.2, 0.2, 0.4]),
            (r#"{"mean": 127.5, "std": 127.5}"#, [0.5; 3], [0.5; 3]),
            (r#"{"mean": 0, "std": 255}"#, [0.0; 3], [1.0; 3]),
            ("\u{feff}{\"mean\": 0, \"std\": 1}", [0.0; 3], [1.0; 3]),
        ] {
            let (statistics, origin) = described("net.json", json, &[]).normalization.unwrap();
            assert_eq!(statistics, Normalization { mean, std }, "{json}");
            assert_eq!(origin.ends_with(", of pixels from 0 to 255"), json.contains('5'), "{origin}");
        }
    }

    #[test]
    fn an_own_description_that_is_damaged_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for (json, cause) in [
            ("{", "net.json: JSON: "),
            (
                r#"{"mean": [0, 0], "std": [1, 1, 1]}"#,
                "net.json: normalization: net.json has mean [0,0] and std [1,1,1]",
            ),
            (
                r#"{"pretrained_cfg": {"mean": 0, "std": 0}}"#,
                "mean 0 and std 0, expected one or three numbers each",
            ),
            (r#"{"image_std": [-1, 1, 1]}"#, "std without a mean"),
        ] {
            std::fs::write(folder.path().join("net.json"), json).unwrap();
            let found = Description::find(&folder.path().join("net.onnx"), &HashMap::new());
            let error = found.unwrap_err().to_string();
            assert!(error.contains(cause), "{error}");
        }
    }
}
