//! `msdcam methods`: what the methods compute, cost, show and hide.

use std::fmt::Write as _;

use serde::Serialize;

use super::output::Output;
use super::paragraph::behind;
use super::values::method_name;
use crate::Result;
use crate::explain::Method;

/// List the methods of `explain`: formula, paper, cost, what they show, when they mislead
///
/// Without a name it is a table. Runs are those of the network for an image, an exit and a class; the first forward
/// pass is shared by all exits, classes and methods.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Method to be described in full
    #[arg(value_parser = method_name(), hide_possible_values = true)]
    name: Option<Method>,
    /// Print JSON: an object for the method, without a name a list of all
    #[arg(long)]
    json: bool,
}

/// Everything about a method. Field names are JSON keys.
#[derive(Debug, Serialize)]
struct Described {
    name: &'static str,
    title: &'static str,
    /// `activation map` or `pixel attribution`.
    gives: &'static str,
    formula: &'static str,
    paper: Paper,
    forward: &'static str,
    backward: &'static str,
    /// Where the gradient is read.
    gradient: &'static str,
    many_runs: bool,
    needs: &'static str,
    shows: &'static str,
    misleads: Option<&'static str>,
}

/// A publication. Field names are JSON keys.
#[derive(Debug, Serialize)]
struct Paper {
    authors: &'static str,
    title: &'static str,
    venue: &'static str,
    year: u16,
    identifier: &'static str,
    address: String,
}

/// Prints the table, a method, or JSON.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let text = match (args.name, args.json) {
        (Some(method), true) => json(&Described::new(method)),
        (None, true) => json(&Method::all().map(Described::new).collect::<Vec<_>>()),
        (Some(method), false) => full(&Described::new(method)),
        (None, false) => table(),
    };
    Output::default().print(&text)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("plain fields have a JSON form") + "\n"
}

impl Described {
    fn new(method: Method) -> Described {
        let from = method.publication();
        Described {
            name: method.name(),
            title: method.title(),
            gives: match method {
                Method::Map(_) => "activation map",
                Method::Pixels(_) => "pixel attribution",
            },
            formula: method.formula(),
            paper: Paper {
                authors: from.authors,
                title: from.title,
                venue: from.venue,
                year: from.year,
                identifier: from.identifier,
                address: from.address(),
            },
            forward: method.forward_passes(),
            backward: method.backward_passes(),
            gradient: method.gradient(),
            many_runs: method.takes_many_runs(),
            needs: method.needs(),
            shows: method.about(),
            misleads: method.caution(),
        }
    }
}

/// A line for each method, and where the rest is.
fn table() -> String {
    let row = |name: &str, gradient: &str, forward: &str, backward: &str, from: &str| {
        format!("{name:<20}  {gradient:<10}  {forward:<23}  {backward:<10}  {from}\n")
    };
    let mut text = row("method", "gradient", "forward passes", "backward", "published");
    for method in Method::all() {
        let (forward, backward) = (method.forward_passes(), method.backward_passes());
        let from = method.publication();
        let from = format!("{} {}", from.cited, from.year);
        text += &row(method.name(), method.gradient(), forward, backward, &from);
    }
    text + "\n`msdcam methods NAME` has the formula and the paper of one, what it shows and when it misleads.\n"
}

/// What is said of a method without a caution of its own.
const NONE_LISTED: &str = "Nothing is listed for it in particular; `msdcam faithfulness` measures whether the network relies on \
                           what a map shows.";

/// Everything about a method, a paragraph each.
fn full(method: &Described) -> String {
    let paper = &method.paper;
    let paper =
        format!("{}. {}. {} {}. {}", paper.authors, paper.title, paper.venue, paper.year, paper.address);
    let runs = format!(
        "{} forward, {} backward, for an image, an exit and a class",
        method.forward, method.backward
    );
    let mut text = format!("{} ({}): {}\n", method.title, method.name, method.gives);
    let rows = [
        ("formula", Some(method.formula)),
        ("where", Some(Method::FORMULA_SYMBOLS)),
        ("shows", Some(method.shows)),
        ("misleads", Some(method.misleads.unwrap_or(NONE_LISTED))),
        ("needs", Some(method.needs)),
        ("runs", Some(&runs)),
        ("paper", Some(&paper)),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            let _ = write!(text, "\n{}", behind(name, 10, value)); // writing to a String cannot fail
        }
    }
    text
}
