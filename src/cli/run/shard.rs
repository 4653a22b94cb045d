//! The `--shard` option.

use std::str::FromStr;

use crate::run::Shard;
use crate::{Error, Result};

/// Value of `--shard`: `2/4`, `auto` or `auto/4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardArg {
    Given(Shard),
    Auto { count: Option<usize> },
}

impl FromStr for ShardArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("auto") {
            None => text.parse().map(ShardArg::Given),
            Some("") => Ok(ShardArg::Auto { count: None }),
            Some(rest) => {
                let count = rest.strip_prefix('/').and_then(|n| n.parse().ok()).filter(|&n| n > 0);
                count
                    .map(|n| ShardArg::Auto { count: Some(n) })
                    .ok_or_else(|| format!("invalid shard '{text}'; expected i/n, auto or auto/N"))
            }
        }
    }
}

impl ShardArg {
    /// The shard; `auto` reads it from the environment.
    ///
    /// # Errors
    /// As [`Shard::auto`].
    pub fn resolve(self) -> Result<Shard> {
        let count = match self {
            ShardArg::Given(shard) => return Ok(shard),
            ShardArg::Auto { count } => count,
        };
        let variable = |name: &str| std::env::var(name).ok();
        let from_environment = || {
            let text = variable("MSDCAM_SHARDS").filter(|text| !text.is_empty());
            let number = |text: String| {
                let count = text.parse().ok().filter(|&n: &usize| n > 0);
                count.ok_or_else(|| Error::usage(format!("MSDCAM_SHARDS is '{text}', expected a number")))
            };
            text.map(number).transpose()
        };
        let count = match count {
            Some(count) => Some(count),
            None => from_environment()?,
        };
        Shard::auto(count, variable)
    }
}
