//! `msdcam methods`, and the table of the manual, which is made of the same facts.

use std::fmt::Write as _;

use msdcam::Method;
use serde_json::Value;

use crate::cli::program::{Place, repository};

#[test]
fn the_table_has_a_line_for_each_method_and_fits_100_columns() {
    let run = Place::new().msdcam("methods");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    for method in Method::all() {
        let lines = run.stdout.lines().filter(|line| line.split_whitespace().next() == Some(method.name()));
        let [line] = lines.collect::<Vec<_>>()[..] else { panic!("{}: {}", method.name(), run.stdout) };
        assert!(line.ends_with(&method.publication().year.to_string()), "{line}");
    }
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 100), "{}", run.stdout);
}

#[test]
fn a_method_is_described_in_full_within_80_columns() {
    let place = Place::new();
    for method in Method::all() {
        let run = place.run(&["methods", method.name()]);
        assert_eq!(run.code, 0, "{run:?}");
        let text = run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        let from = method.publication();
        let facts = [method.formula(), method.about(), method.needs(), from.authors, from.title, from.venue];
        for fact in facts.into_iter().chain(method.caution()) {
            let fact = fact.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(&fact), "{}: {fact}: {text}", method.name());
        }
        assert!(text.ends_with(&from.address()), "{text}");
        assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{}", run.stdout);
    }
    place.msdcam("methods gradcam").refused(2, &["'gradcam'", "grad-cam, "]);
}

#[test]
fn json_has_every_fact_of_every_method() {
    let place = Place::new();
    let run = place.msdcam("methods --json");
    let all: Vec<Value> = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(all.len(), Method::all().count());
    for (found, method) in all.iter().zip(Method::all()) {
        let one = place.run(&["methods", method.name(), "--json"]);
        assert_eq!(&serde_json::from_str::<Value>(&one.stdout).unwrap(), found);
        let paper = &found["paper"];
        assert_eq!(found["name"], method.name());
        assert_eq!(found["misleads"], method.caution().map_or(Value::Null, Value::from));
        assert_eq!(
            (&paper["year"], &found["formula"]),
            (&method.publication().year.into(), &method.formula().into())
        );
        for key in ["title", "gives", "forward", "backward", "gradient", "needs", "shows"] {
            assert!(found[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {found}");
        }
    }
}

const MANUAL: &str = "docs/explain.md";
const START: &str = "<!-- methods: written by MSDCAM_BLESS=1 cargo test --test it cli::methods -->\n";
const END: &str = "<!-- end of methods -->\n";

/// The tables of the manual.
fn tables() -> String {
    let mut text = String::new();
    for (what, is_map) in [
        ("**CAM methods** give an activation map at a tap", true),
        ("**Pixel methods** give an attribution for every pixel of the network's input", false),
    ] {
        let _ = write!(
            text,
            "{what}:\n\n| name | formula | forward | backward | published | what it shows |\n|---|---|---|---|---|---|\n"
        );
        for method in Method::all().filter(|method| matches!(method, Method::Map(_)) == is_map) {
            let from = method.publication();
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | [{}]({}) | {} |",
                method.name(),
                method.formula(),
                method.forward_passes(),
                method.backward_passes(),
                from.citation(),
                from.address(),
                method.about()
            );
        }
        text.push('\n');
    }
    let _ = writeln!(text, "{}", Method::FORMULA_SYMBOLS);
    text
}

#[test]
fn the_manual_has_the_formulas_papers_and_costs_of_the_library() {
    let path = repository(MANUAL);
    let manual = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = manual.split_once(START).expect("the tables' start");
    let (found, after) = rest.split_once(END).expect("the tables' end");
    let expected = format!("\n{}", tables());
    if std::env::var_os("MSDCAM_BLESS").is_some() {
        std::fs::write(path, format!("{before}{START}{expected}{END}{after}")).unwrap();
    } else {
        assert!(found == expected, "{MANUAL} differs from the library, which has\n{expected}");
    }
}
