//! The `--exits` option.

use std::str::FromStr;

use crate::{Error, Result};

/// The option of commands that can be limited to some exits.
#[derive(Debug, Clone, clap::Args)]
pub struct ExitArgs {
    /// Exits to use: all, or numbers and inclusive ranges such as 1,3,10 or 2..5
    #[arg(long, value_name = "LIST", default_value = "all", allow_hyphen_values = true)]
    exits: Exits,
}

impl ExitArgs {
    /// As [`Exits::resolve`].
    pub fn resolve(&self, exits: usize) -> Result<Vec<usize>> {
        self.exits.resolve(exits)
    }
}

/// `all`, or numbers and inclusive ranges: `1,3,10` or `2..5`.
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
        let number = |t: &str| {
            t.trim().parse().map_err(|_| format!("invalid exit '{t}'; expected all, 1,3,10 or 2..5"))
        };
        let range = |part: &str| -> Result<(usize, usize), String> {
            let Some((first, last)) = part.split_once("..") else { return number(part).map(|n| (n, n)) };
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("empty range {part}; the smaller exit comes first"));
            }
            Ok((first, last))
        };
        text.split(',').map(range).collect::<Result<_, _>>().map(Exits::Ranges)
    }
}

impl Exits {
    /// The exits of a model with `exits` exits: ascending, each once.
    ///
    /// # Errors
    /// When the model lacks one.
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

/// Ascending exits in the form that [`Exits`] parses: `1,3..5`.
pub fn ranges(exits: &[usize]) -> String {
    let runs = exits.chunk_by(|a, b| a + 1 == *b);
    let runs = runs.map(|run| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}..{last}"),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exits(text: &str) -> Result<Vec<usize>, String> {
        text.parse::<Exits>()?.resolve(10).map_err(|e| e.to_string())
    }

    #[test]
    fn numbers_and_ranges_are_sorted_and_deduplicated() {
        assert_eq!(exits("all").unwrap(), (1..=10).collect::<Vec<_>>());
        assert_eq!(exits("10,3,1,3").unwrap(), [1, 3, 10]);
        assert_eq!(exits("2..5, 4..6").unwrap(), [2, 3, 4, 5, 6]);
        assert_eq!(exits("7..7").unwrap(), [7]);
    }

    #[test]
    fn printed_ranges_parse_to_the_same_exits() {
        for (list, text) in [(&[][..], ""), (&[3], "3"), (&[1, 2, 3, 5, 9, 10], "1..3,5,9..10")] {
            assert_eq!(ranges(list), text);
            assert!(list.is_empty() || exits(text).unwrap() == list);
        }
    }

    #[test]
    fn rejects_invalid_and_missing_exits() {
        assert_eq!(exits("11").unwrap_err(), "exit 11: the network has exits 1 to 10");
        assert_eq!(exits("0..3").unwrap_err(), "exit 0: the network has exits 1 to 10");
        assert_eq!(exits("1..18446744073709551615").unwrap_err().split(':').count(), 2);
        for (text, cause) in [
            ("", "invalid exit ''"),
            ("1,", "invalid exit ''"),
            ("-1", "invalid exit '-1'"),
            ("5..2", "empty range 5..2"),
        ] {
            assert!(exits(text).unwrap_err().starts_with(cause), "{text}");
        }
    }
}
