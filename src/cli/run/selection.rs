//! Selection of images by the predictions of the exits: `--select`.

use std::str::FromStr;

use crate::evaluation::ImageOutcome;
use crate::explain::class_of;
use crate::{Error, Result};

/// Alternatives of conjunctions of terms: `wrong@1 right@10 | hardness=0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    text: String,
    alternatives: Vec<Vec<Term>>,
}

/// A condition on an image.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    /// `right@K` and `wrong@K`.
    Right { exit: usize, is: bool },
    /// `class=NAME`.
    Class(String),
    /// `hardness<=N`: number of exits that are right.
    Hardness(Comparison, usize),
    /// `first<=K`: the first exit that is right.
    First(Comparison, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

impl Comparison {
    /// A longer operator precedes its prefixes.
    const ALL: [(&str, Comparison); 5] = [
        ("<=", Comparison::AtMost),
        (">=", Comparison::AtLeast),
        ("<", Comparison::Less),
        (">", Comparison::More),
        ("=", Comparison::Equal),
    ];

    fn holds(self, a: usize, b: usize) -> bool {
        match self {
            Comparison::Less => a < b,
            Comparison::AtMost => a <= b,
            Comparison::Equal => a == b,
            Comparison::AtLeast => a >= b,
            Comparison::More => a > b,
        }
    }
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let terms = |words: Vec<String>| words.iter().map(|word| word.parse()).collect();
        let alternatives: Vec<Vec<Term>> =
            words(text)?.into_iter().map(terms).collect::<Result<_, String>>()?;
        match alternatives.iter().any(Vec::is_empty) {
            true => Err("a term is missing, such as right@10".into()),
            false => Ok(Selection { text: text.into(), alternatives }),
        }
    }
}

/// Words of each alternative; double quotes enclose a word that contains spaces.
fn words(text: &str) -> Result<Vec<Vec<String>>, String> {
    let (mut alternatives, mut word, mut quoted) = (vec![Vec::new()], String::new(), false);
    for c in text.chars().chain([' ']) {
        match c {
            '"' => quoted = !quoted,
            ' ' | '\t' | '|' if !quoted => {
                let alternative = alternatives.last_mut().expect("there is one from the beginning");
                alternative.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                if c == '|' {
                    alternatives.push(Vec::new());
                }
            }
            c => word.push(c),
        }
    }
    if quoted { Err("a quotation mark is not closed".into()) } else { Ok(alternatives) }
}

impl FromStr for Term {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let unknown = || {
            let known = "right@K, wrong@K, class=NAME, hardness<=N or first<=K (also < = > >=)";
            format!("invalid term '{word}'; expected {known}")
        };
        let number = |text: &str| text.parse::<usize>().map_err(|_| unknown());
        if let Some((what, exit)) = word.split_once('@') {
            let is = match what {
                "right" => true,
                "wrong" => false,
                _ => return Err(unknown()),
            };
            return Ok(Term::Right { exit: number(exit)?, is });
        }
        if let Some(class) = word.strip_prefix("class=") {
            return Ok(Term::Class(class.into()));
        }
        for (name, term) in
            [("hardness", Term::Hardness as fn(_, _) -> _), ("first", Term::First as fn(_, _) -> _)]
        {
            let Some(rest) = word.strip_prefix(name) else { continue };
            let (sign, comparison) =
                Comparison::ALL.into_iter().find(|(sign, _)| rest.starts_with(sign)).ok_or_else(unknown)?;
            return Ok(term(comparison, number(&rest[sign.len()..])?));
        }
        Err(unknown())
    }
}

impl Selection {
    /// The selection as the user wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Resolves class names against `labels` and checks exits against the requested `exits`.
    ///
    /// # Errors
    /// When an exit or a class is unknown.
    pub fn resolve<'a>(&'a self, labels: &[String], exits: &'a [usize]) -> Result<ResolvedSelection<'a>> {
        for term in self.alternatives.iter().flatten() {
            match term {
                Term::Right { exit, .. } | Term::First(_, exit) if !exits.contains(exit) => {
                    let exits: Vec<String> = exits.iter().map(usize::to_string).collect();
                    let cause =
                        format!("--select: exit {exit}: the requested exits are {}", exits.join(", "));
                    return Err(Error::usage(cause));
                }
                _ => {}
            }
        }
        let class = |term: &Term| match term {
            Term::Class(name) => class_of(name, labels, &[]).map(Some),
            _ => Ok(None),
        };
        let classes = self.alternatives.iter().map(|terms| terms.iter().map(class).collect::<Result<_>>());
        Ok(ResolvedSelection { selection: self, exits, classes: classes.collect::<Result<_>>()? })
    }
}

/// A [`Selection`] with resolved classes.
#[derive(Debug)]
pub struct ResolvedSelection<'a> {
    selection: &'a Selection,
    exits: &'a [usize],
    /// Class index of each term that names a class.
    classes: Vec<Vec<Option<usize>>>,
}

impl ResolvedSelection<'_> {
    /// Whether an image with this outcome is selected.
    pub fn matches(&self, outcome: &ImageOutcome) -> bool {
        let holds = |(term, class): (&Term, &Option<usize>)| match term {
            Term::Right { exit, is } => {
                let at = self.exits.iter().position(|e| e == exit).expect("checked by resolve");
                outcome.exits[at].is_right() == *is
            }
            Term::Class(_) => *class == Some(outcome.label),
            Term::Hardness(comparison, n) => comparison.holds(outcome.right_exits(), *n),
            Term::First(comparison, exit) => {
                outcome.first_right().is_some_and(|at| comparison.holds(self.exits[at], *exit))
            }
        };
        let mut alternatives = self.selection.alternatives.iter().zip(&self.classes);
        alternatives.any(|(terms, classes)| terms.iter().zip(classes).all(holds))
    }
}

#[cfg(test)]
mod tests {
    use crate::evaluation::ExitOutcome;

    use super::*;

    fn outcome(label: usize, ranks: &[u32]) -> ImageOutcome {
        let exit = |&label_rank| ExitOutcome { class: 0, probability: 0.5, label_rank };
        ImageOutcome { label, exits: ranks.iter().map(exit).collect() }
    }

    #[test]
    fn an_image_matches_if_all_terms_of_an_alternative_hold() {
        let labels = ["cat", "maple tree"].map(String::from);
        let selects = |text: &str, label: usize, ranks: &[u32]| {
            let selection: Selection = text.parse().unwrap();
            selection.resolve(&labels, &[1, 4, 9]).unwrap().matches(&outcome(label, ranks))
        };
        for (text, label, ranks, expected) in [
            ("wrong@1 right@9", 0, [1, 1, 0], true),
            ("wrong@1 right@9", 0, [0, 1, 0], false),
            ("wrong@1 | right@9", 0, [0, 1, 0], true),
            ("class=CAT", 0, [0, 0, 0], true),
            ("class=cat", 1, [0, 0, 0], false),
            ("class=1", 1, [0, 0, 0], true),
            ("class=\"maple tree\" hardness=3", 1, [0, 0, 0], true),
            ("hardness<=1", 1, [0, 0, 3], false),
            ("hardness<=2", 1, [0, 0, 3], true),
            ("hardness<2|hardness>2", 1, [0, 0, 3], false),
            ("first>1", 0, [1, 0, 0], true),
            ("first=9", 0, [1, 2, 0], true),
            ("first>=1", 0, [1, 2, 3], false),
        ] {
            assert_eq!(selects(text, label, &ranks), expected, "{text}: {label} {ranks:?}");
        }
    }

    #[test]
    fn invalid_selections_are_refused() {
        for (text, cause) in [
            ("", "a term is missing"),
            ("right@1 |", "a term is missing"),
            ("right", "invalid term 'right'"),
            ("right@x", "invalid term 'right@x'"),
            ("hardness!3", "invalid term 'hardness!3'"),
            ("first<=", "invalid term 'first<='"),
            ("class=\"a b", "not closed"),
        ] {
            let error = text.parse::<Selection>().unwrap_err();
            assert!(error.contains(cause), "{error}");
        }
        let selection: Selection = "right@2 class=dog".parse().unwrap();
        let error = selection.resolve(&["cat".into()], &[1, 3]).unwrap_err().to_string();
        assert_eq!(error, "--select: exit 2: the requested exits are 1, 3");
        let error = selection.resolve(&["cat".into()], &[1, 2]).unwrap_err().to_string();
        assert!(error.starts_with("class 'dog': the network has cat"), "{error}");
    }
}
