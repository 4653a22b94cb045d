//! What determines a run's output, compared.

use std::collections::BTreeMap;

use serde_json::Value;

/// Where two settings differ, in words: `colormap: the run has jet, asked for viridis; ...`, with
/// `ours` and `theirs` for "the run has" and "asked for". What `besides` has too is left out. `None` if
/// they are the same.
pub fn differences(ours: &str, a: &Value, theirs: &str, b: &Value, besides: &Value) -> Option<String> {
    let (mut a, mut b) = (leaves(a), leaves(b));
    for key in leaves(besides).keys() {
        a.remove(key);
        b.remove(key);
    }
    let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differing = keys.into_iter().filter(|&key| a.get(key) != b.get(key));
    let told =
        differing.map(|key| format!("{key}: {ours} {}, {theirs} {}", shown(a.get(key)), shown(b.get(key))));
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// `a` with the fields of `b` that it lacks, objects within too.
pub fn merged(a: &Value, b: &Value) -> Value {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return a.clone() };
    let mut all = a.clone();
    for (key, value) in b {
        let merged = a.get(key).map_or_else(|| value.clone(), |ours| merged(ours, value));
        all.insert(key.clone(), merged);
    }
    Value::Object(all)
}

/// Every value that is neither an object nor null, under its keys with dots between them.
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

fn shown(value: Option<&&Value>) -> String {
    const LONGEST: usize = 48;
    let text = match value {
        None => "none".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain("...".chars()).collect()
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
    fn what_a_manifest_says_besides_stays_beside_the_settings() {
        let settings = json!({"weights": {"sha256": "0a"}, "size": 5});
        let all = merged(&settings, &json!({"weights": {"file": "w"}, "size": 6, "note": 1}));
        assert_eq!(all, json!({"weights": {"sha256": "0a", "file": "w"}, "size": 5, "note": 1}));
        let besides = json!({"weights": {"file": "v"}, "note": 2});
        assert_eq!(differences("a", &all, "b", &settings, &besides), None);
    }

    #[test]
    fn long_values_are_cut() {
        let told = differences("a", &json!({"x": "y".repeat(99)}), "b", &json!({}), &json!({})).unwrap();
        assert_eq!(told, format!("x: a {}..., b none", "y".repeat(48)));
    }
}
