//! Which exits and which class: `--exits` and `--class`.

use std::str::FromStr;

use msdcam::error::printable;
use msdcam::{Error, Result};

/// `all`, or numbers and ranges with both ends included: `1,3,10` or `2..5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exits {
    All,
    Ranges(Vec<(usize, usize)>),
}

impl FromStr for Exits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Exits::All);
        }
        let number =
            |t: &str| t.trim().parse().map_err(|_| format!("'{t}' is no exit; expected all, 1,3,10 or 2..5"));
        let range = |part: &str| -> Result<(usize, usize), String> {
            let Some((first, last)) = part.split_once("..") else { return number(part).map(|n| (n, n)) };
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("{part} is empty; the smaller exit comes first"));
            }
            Ok((first, last))
        };
        text.split(',').map(range).collect::<Result<_, _>>().map(Exits::Ranges)
    }
}

impl Exits {
    /// The exits, ascending, each once, of a network that has `exits`.
    ///
    /// # Errors
    /// When the network lacks one: names those that it has.
    pub fn resolve(&self, exits: usize) -> Result<Vec<usize>> {
        let ranges = match self {
            Exits::All => &[(1, exits)][..],
            Exits::Ranges(ranges) => ranges,
        };
        let mut ends = ranges.iter().flat_map(|&(first, last)| [first, last]);
        if let Some(missing) = ends.find(|&exit| exit == 0 || exit > exits) {
            return Err(Error::usage(format!("exit {missing}: the network has exits 1 to {exits}")));
        }
        Ok((1..=exits).filter(|exit| ranges.iter().any(|(a, b)| (a..=b).contains(&exit))).collect())
    }
}

/// The class that a map is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// The one that the exit predicts.
    Predicted,
    /// A name, or a number from 0.
    Named(String),
}

impl From<&str> for Class {
    fn from(text: &str) -> Self {
        if text == "predicted" { Class::Predicted } else { Class::Named(text.into()) }
    }
}

impl Class {
    /// The class's number; `None` for each exit's own. A name is taken before a number, and its
    /// case does not matter.
    ///
    /// # Errors
    /// When no class is called so: names some that there are.
    pub fn resolve(&self, labels: &[String]) -> Result<Option<usize>> {
        let Class::Named(name) = self else { return Ok(None) };
        let exact = labels.iter().position(|label| label == name);
        let any_case = || labels.iter().position(|label| label.to_lowercase() == name.to_lowercase());
        let number = || name.parse().ok().filter(|&n: &usize| n < labels.len());
        exact.or_else(any_case).or_else(number).map(Some).ok_or_else(|| {
            const SHOWN: usize = 10;
            let some: Vec<String> = labels.iter().take(SHOWN).map(|label| printable(label)).collect();
            let more = if labels.len() > SHOWN { ", ..." } else { "" };
            Error::usage(format!(
                "class '{name}': the network has {}{more}, or by number 0 to {}",
                some.join(", "),
                labels.len() - 1
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exits(text: &str) -> Result<Vec<usize>, String> {
        text.parse::<Exits>()?.resolve(10).map_err(|e| e.to_string())
    }

    #[test]
    fn exits_are_numbers_and_ranges_in_any_order() {
        assert_eq!(exits("all").unwrap(), (1..=10).collect::<Vec<_>>());
        assert_eq!(exits("10,3,1,3").unwrap(), [1, 3, 10]);
        assert_eq!(exits("2..5, 4..6").unwrap(), [2, 3, 4, 5, 6]);
        assert_eq!(exits("7..7").unwrap(), [7]);
    }

    #[test]
    fn what_is_no_exit_is_said_with_those_that_there_are() {
        assert_eq!(exits("11").unwrap_err(), "exit 11: the network has exits 1 to 10");
        assert_eq!(exits("0..3").unwrap_err(), "exit 0: the network has exits 1 to 10");
        assert_eq!(exits("1..18446744073709551615").unwrap_err().split(':').count(), 2);
        for (text, cause) in
            [("", "'' is no exit"), ("1,", "'' is no exit"), ("-1", "'-1' is"), ("5..2", "5..2 is")]
        {
            assert!(exits(text).unwrap_err().starts_with(cause), "{text}");
        }
    }

    #[test]
    fn a_class_is_a_name_then_a_number() {
        let labels = ["cat", "Dog", "0"].map(String::from);
        let class = |text: &str| Class::from(text).resolve(&labels);
        assert_eq!(class("predicted"), Ok(None));
        assert_eq!(class("dog"), Ok(Some(1)));
        assert_eq!(class("1"), Ok(Some(1)));
        assert_eq!(class("0"), Ok(Some(2)));
        let error = class("3").unwrap_err().to_string();
        assert_eq!(error, "class '3': the network has cat, Dog, 0, or by number 0 to 2");
    }
}
