//! Parsers of option values that several commands share.

use std::ffi::OsStr;
use std::str::FromStr;

use clap::builder::{PossibleValue, TypedValueParser};

use crate::explain::Method;
use crate::imaging::bounding_box;

/// A parser whose values shells complete by `names`; what it refuses is said in its own words.
#[derive(Debug, Clone)]
pub struct Completed<P> {
    parser: P,
    names: fn() -> Vec<&'static str>,
}

impl<P: TypedValueParser> TypedValueParser for Completed<P> {
    type Value = P::Value;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<P::Value, clap::Error> {
        self.parser.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.names)().into_iter().map(PossibleValue::new)))
    }
}

/// `parser`, whose values shells complete by `names`.
pub fn completed<P: TypedValueParser>(parser: P, names: fn() -> Vec<&'static str>) -> Completed<P> {
    Completed { parser, names }
}

/// The parser of a method's name.
pub fn method_name() -> impl TypedValueParser<Value = Method> {
    completed(<Method as FromStr>::from_str, || Method::all().map(Method::name).collect())
}

/// A probability above 0: a confidence at which an image may exit.
pub fn probability(text: &str) -> Result<f32, String> {
    let p = text.parse().ok().filter(|&p: &f32| p > 0.0 && p <= 1.0);
    p.ok_or_else(|| "expected a number above 0 and at most 1".into())
}

/// An opacity from 0 to 1, such as `0.5` or `50%`.
pub fn opacity(text: &str) -> Result<f32, String> {
    let opacity = bounding_box::share(text).filter(|opacity| (0.0..=1.0).contains(opacity));
    opacity.ok_or_else(|| "expected an opacity from 0 to 1".into())
}

/// A level strictly between 0 and 1, such as `0.5` or `25%`.
pub fn level(text: &str) -> Result<f32, String> {
    let level = bounding_box::share(text).filter(|&level| level > 0.0 && level < 1.0);
    level.ok_or_else(|| "expected levels between 0 and 1, such as 0.5 or 25%,50%".into())
}

/// A duration in seconds, above 0 and at most a day.
pub fn seconds(text: &str) -> Result<f64, String> {
    const DAY: f64 = 86_400.0;
    let seconds = text.parse().ok().filter(|&seconds: &f64| seconds > 0.0 && seconds <= DAY);
    seconds.ok_or_else(|| format!("expected a number above 0 and at most {DAY}"))
}

/// A number of bytes such as `1000`, `64K`, `512M` or `2G`; units are powers of 1024.
pub fn bytes(text: &str) -> Result<usize, String> {
    let invalid = || "expected a number of bytes such as 1000000, 512M or 2G".to_string();
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number: usize = number.parse().map_err(|_| invalid())?;
    number.checked_mul(unit).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts_have_units_of_1024() {
        assert_eq!(bytes("1000"), Ok(1000));
        assert_eq!(["3k", "512M", "2G"].map(|text| bytes(text).unwrap()), [3072, 512 << 20, 2 << 30]);
        for text in ["", "G", "-1", "1.5G", "2T", "99999999999999999999", "99999999999999G"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nan_is_in_no_range() {
        assert!(probability("nan").is_err() && opacity("nan").is_err() && level("nan").is_err());
        assert!(seconds("nan").is_err());
    }
}
