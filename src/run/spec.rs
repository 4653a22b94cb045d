//! What determines a run: its specification, and the comparison of two sets of settings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Shard;
use super::arrays::ArraySpec;

/// Specification of a run.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// Everything that determines the results, as a JSON object; a null field counts as missing. A run
    /// can be resumed only with the same settings.
    pub settings: Value,
    /// Further fields of the manifest, as a JSON object. They may differ between starts; those of the
    /// first start are kept.
    pub metadata: Value,
    /// The arrays of the run, which the settings determine.
    pub arrays: ArraySpec,
    /// Number of images in the whole set.
    pub images: usize,
    /// The shard of the set that this run covers.
    pub shard: Shard,
}

/// Differences between the settings `a` and `b` as text, or `None` if they are equal:
/// `colormap: the run has jet, asked for viridis; ...`, where `ours` is "the run has" and `theirs` is
/// "asked for". Keys that occur in `ignored` are not compared.
pub fn differences(ours: &str, a: &Value, theirs: &str, b: &Value, ignored: &Value) -> Option<String> {
    let (mut a, mut b) = (leaves(a), leaves(b));
    for key in leaves(ignored).keys() {
        a.remove(key);
        b.remove(key);
    }
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differing = keys.into_iter().filter(|&key| a.get(key) != b.get(key));
    let lines: Vec<String> = differing
        .map(|key| {
            let (a, b) = (a.get(key).copied(), b.get(key).copied());
            match a.zip(b).and_then(|(a, b)| apart(a, b)) {
                Some([a, b]) => format!("{key} that differ: {ours} {a}, {theirs} {b}"),
                None => format!("{key}: {ours} {}, {theirs} {}", shown(a), shown(b)),
            }
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// `a` with the fields of `b` that it lacks, recursively.
pub fn merged(a: &Value, b: &Value) -> Value {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return a.clone() };
    let mut all = a.clone();
    for (key, value) in b {
        let merged = a.get(key).map_or_else(|| value.clone(), |ours| merged(ours, value));
        all.insert(key.clone(), merged);
    }
    Value::Object(all)
}

/// Every value that is neither an object nor null, by its path of keys joined with dots.
fn leaves(value: &Value) -> BTreeMap<String, &Value> {
    fn walk<'a>(key: String, value: &'a Value, leaves: &mut BTreeMap<String, &'a Value>) {
        let fields = match value {
            Value::Object(fields) => fields,
            Value::Null => return,
            leaf => {
                leaves.insert(key, leaf);
                return;
            }
        };
        for (name, value) in fields {
            let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            walk(key, value, leaves);
        }
    }
    let mut leaves = BTreeMap::new();
    walk(String::new(), value, &mut leaves);
    leaves
}

/// Length of a value in a message.
const MAX_CHARS: usize = 48;

/// The elements that only one of two long lists of texts has; `None` for other values, and where only the order
/// differs.
fn apart(a: &Value, b: &Value) -> Option<[String; 2]> {
    if [a, b].iter().all(|list| list.to_string().chars().count() <= MAX_CHARS) {
        return None;
    }
    let texts = |list: &Value| -> Option<Vec<String>> {
        list.as_array()?.iter().map(|text| Some(text.as_str()?.to_string())).collect()
    };
    let (a, b) = (texts(a)?, texts(b)?);
    let only = |of: &[String], other: &[String]| {
        let only: Vec<&str> = of.iter().filter(|text| !other.contains(text)).map(String::as_str).collect();
        if only.is_empty() { "none".into() } else { truncated(&only.join(" and ")) }
    };
    let apart = [only(&a, &b), only(&b, &a)];
    apart.iter().any(|only| only != "none").then_some(apart)
}

/// A value for a message.
fn shown(value: Option<&Value>) -> String {
    truncated(&match value {
        None => "none".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    })
}

/// `text` of at most [`MAX_CHARS`] characters.
fn truncated(text: &str) -> String {
    if text.chars().count() <= MAX_CHARS {
        return text.into();
    }
    text.chars().take(MAX_CHARS).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_difference_is_named_with_both_sides() {
        let a = json!({"colormap": "jet", "exits": [1, 2], "weights": {"sha256": "0a"}, "same": null});
        let b = json!({"colormap": "viridis", "exits": [1], "weights": {"sha256": "0b"}, "top": 5});
        assert_eq!(differences("the run has", &a, "asked for", &a, &json!({})), None);
        assert_eq!(
            differences("the run has", &a, "asked for", &b, &json!({})).unwrap(),
            "colormap: the run has jet, asked for viridis; exits: the run has [1,2], asked for [1]; top: the run \
             has none, asked for 5; weights.sha256: the run has 0a, asked for 0b"
        );
    }

    #[test]
    fn metadata_is_merged_into_the_manifest_but_not_compared() {
        let settings = json!({"weights": {"sha256": "0a"}, "size": 5});
        let all = merged(&settings, &json!({"weights": {"file": "w"}, "size": 6, "note": 1}));
        assert_eq!(all, json!({"weights": {"sha256": "0a", "file": "w"}, "size": 5, "note": 1}));
        let ignored = json!({"weights": {"file": "v"}, "note": 2});
        assert_eq!(differences("a", &all, "b", &settings, &ignored), None);
    }

    #[test]
    fn of_long_lists_the_elements_that_differ_are_named() {
        let keys = ["exit", "tap", "label", "region", "class", "target", "score", "logits", "input", "cam"];
        let all = json!({"arrays": keys});
        let fewer = json!({"arrays": keys[..7]});
        let others = [&keys[..9], &["heatmap"]].concat();
        let other = json!({"arrays": others});
        let text = |a: &Value, b: &Value| differences("the run has", a, "asked for", b, &json!({}));
        let expected = "arrays that differ: the run has logits and input and cam, asked for none";
        assert_eq!(text(&all, &fewer).unwrap(), expected);
        let expected = "arrays that differ: the run has none, asked for logits and input and cam";
        assert_eq!(text(&fewer, &all).unwrap(), expected);
        assert_eq!(text(&all, &other).unwrap(), "arrays that differ: the run has cam, asked for heatmap");
        let mut turned = keys;
        turned.reverse();
        assert!(text(&all, &json!({"arrays": turned})).unwrap().contains("asked for [\"cam\",\"input\""));
    }

    #[test]
    fn long_values_are_truncated() {
        let text = differences("a", &json!({"x": "y".repeat(99)}), "b", &json!({}), &json!({})).unwrap();
        assert_eq!(text, format!("x: a {}..., b none", "y".repeat(48)));
    }
}
