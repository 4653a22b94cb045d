//! A contiguous part of a set, for one of several machines.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::{Error, Result};

/// Shard `index` (from 1) of `count`: a contiguous range of the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// The whole set.
    pub const WHOLE: Shard = Shard { index: 1, count: 1 };

    /// Shard `index` of `count`; `None` unless `index` is in 1..=`count`.
    pub fn new(index: usize, count: usize) -> Option<Shard> {
        (1..=count).contains(&index).then_some(Shard { index, count })
    }

    /// Index, from 1.
    pub fn index(self) -> usize {
        self.index
    }

    /// Number of shards of the set.
    pub fn count(self) -> usize {
        self.count
    }

    /// Indices of the shard's images in a set of `images`. Shard sizes differ by at most one.
    pub fn range(self, images: usize) -> Range<usize> {
        // 128 bits cannot overflow here.
        let cut = |k: usize| (images as u128 * k as u128 / self.count as u128) as usize;
        cut(self.index - 1)..cut(self.index)
    }

    /// The shard of this process among those that a scheduler started, from environment variables that
    /// `variable` looks up:
    ///
    /// - a Slurm array: `SLURM_ARRAY_TASK_ID`, `_MIN`, `_STEP`, `_COUNT`; the processes of torchrun or a
    ///   Slurm step within a task divide that task's shard;
    /// - torchrun: `RANK` and `WORLD_SIZE`;
    /// - a Slurm job step: `SLURM_PROCID` and `SLURM_NTASKS`;
    /// - an indexed Kubernetes job: `JOB_COMPLETION_INDEX`, and `count`, because Kubernetes does not
    ///   provide the number of shards.
    ///
    /// # Errors
    /// When none of them is set, a value is not a number, or `count` contradicts them.
    pub fn auto(count: Option<usize>, variable: impl Fn(&str) -> Option<String>) -> Result<Shard> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let number = |name: &str| variable(name).map(|value| parse(name, &value)).transpose();
        let pair = |index: &str, count: &str| -> Result<Option<Shard>> {
            let (Some(i), Some(n)) = (number(index)?, number(count)?) else { return Ok(None) };
            let shard = Shard::new(i.saturating_add(1), n);
            shard.map(Some).ok_or_else(|| Error::usage(format!("{index} is {i} and {count} is {n}")))
        };
        let array = array(&number)?;
        let in_step = array.is_none() || variable("SLURM_STEP_ID").is_some();
        let process = match pair("RANK", "WORLD_SIZE")? {
            None if in_step => pair("SLURM_PROCID", "SLURM_NTASKS")?,
            torchrun => torchrun,
        };
        let found = match (array, process) {
            (Some(outer), Some(inner)) => Some(outer.split(inner)),
            (one, other) => one.or(other),
        };
        match (found, number("JOB_COMPLETION_INDEX")?, count) {
            (Some(shard), _, Some(n)) if shard.count != n => {
                Err(Error::usage(format!("--shard auto/{n}: the scheduler started {}", shard.count)))
            }
            (Some(shard), ..) => Ok(shard),
            (None, Some(i), Some(n)) => Shard::new(i.saturating_add(1), n)
                .ok_or_else(|| Error::usage(format!("JOB_COMPLETION_INDEX is {i}, of {n} shards"))),
            (None, Some(_), None) => Err(Error::usage(
                "--shard auto: Kubernetes does not provide the number of shards; use auto/N or set MSDCAM_SHARDS",
            )),
            (None, None, _) => Err(Error::usage(
                "--shard auto: found no variables of a Slurm array or step, torchrun or an indexed Kubernetes job",
            )),
        }
    }

    /// Subdivides this shard: its shard `inner`.
    fn split(self, inner: Shard) -> Shard {
        let index = (self.index - 1).saturating_mul(inner.count).saturating_add(inner.index);
        Shard { index, count: self.count.saturating_mul(inner.count) }
    }
}

/// The shard of a Slurm array task.
fn array(number: &impl Fn(&str) -> Result<Option<usize>>) -> Result<Option<Shard>> {
    let Some(id) = number("SLURM_ARRAY_TASK_ID")? else { return Ok(None) };
    let min = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
    let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
    let max = number("SLURM_ARRAY_TASK_MAX")?;
    let count = number("SLURM_ARRAY_TASK_COUNT")?;
    let wrong = |why: &str| Error::usage(format!("SLURM_ARRAY_TASK_ID is {id}: {why}"));
    let Some(count) = count.or_else(|| max.map(|max| max.saturating_sub(min) / step + 1)) else {
        return Err(wrong("SLURM_ARRAY_TASK_COUNT is missing"));
    };
    let steps = id.checked_sub(min).ok_or_else(|| wrong("below SLURM_ARRAY_TASK_MIN"))?;
    let irregular = || wrong("the array's indices have gaps; use consecutive indices or --shard i/n");
    if steps % step != 0 {
        return Err(irregular());
    }
    Shard::new(steps / step + 1, count).map(Some).ok_or_else(irregular)
}

fn parse(name: &str, value: &str) -> Result<usize> {
    value.trim().parse().map_err(|_| Error::usage(format!("{name} is '{value}', expected a number")))
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    /// `2/4`.
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let shard = numbers.and_then(|(index, count)| Shard::new(index, count));
        shard.ok_or_else(|| format!("invalid shard '{text}'; expected i/n with i from 1 to n, such as 2/4"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(count: Option<usize>, variables: &[(&str, &str)]) -> Result<String> {
        let variable = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_string());
        Shard::auto(count, variable).map(|shard| shard.to_string())
    }

    #[test]
    fn shards_partition_a_set_into_almost_equal_ranges() {
        for (images, count) in [(0, 3), (2, 5), (10, 3), (100, 7), (usize::MAX, 4)] {
            let shards = (1..=count).map(|index| Shard::new(index, count).unwrap().range(images));
            let mut end = 0;
            for range in shards {
                assert_eq!(range.start, end);
                assert!(range.len() == images / count || range.len() == images.div_ceil(count));
                end = range.end;
            }
            assert_eq!(end, images);
        }
    }

    #[test]
    fn a_shard_parses_its_own_display_form() {
        assert_eq!("2/4".parse::<Shard>().unwrap().to_string(), "2/4");
        for text in ["", "0/4", "5/4", "1/0", "1", "a/b", "-1/4", "1/4/2", "99999999999999999999/1"] {
            let error = text.parse::<Shard>().unwrap_err();
            assert!(error.starts_with(&format!("invalid shard '{text}'")), "{error}");
        }
    }

    #[test]
    fn the_shard_is_read_from_scheduler_variables() {
        let array = [
            ("SLURM_ARRAY_TASK_ID", "7"),
            ("SLURM_ARRAY_TASK_MIN", "3"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
        ];
        assert_eq!(auto(None, &array).unwrap(), "3/4");
        // In a batch script these are the values of process 0 of a future step, not of a shard.
        let batch = [("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8")];
        assert_eq!(auto(None, &[&array[..], &batch].concat()).unwrap(), "3/4");
        let step = [("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2"), ("SLURM_STEP_ID", "0")];
        assert_eq!(auto(None, &[&array[..], &step].concat()).unwrap(), "6/8");
        assert_eq!(auto(None, &step).unwrap(), "2/2");
        let torchrun = [("RANK", "0"), ("WORLD_SIZE", "3")];
        assert_eq!(auto(None, &[&torchrun[..], &step].concat()).unwrap(), "1/3");
        assert_eq!(auto(Some(3), &torchrun).unwrap(), "1/3");
        assert_eq!(auto(Some(5), &[("JOB_COMPLETION_INDEX", "4")]).unwrap(), "5/5");
    }

    #[test]
    fn contradictory_scheduler_variables_are_refused_by_name() {
        for (count, variables, cause) in [
            (None, &[] as &[(&str, &str)], "found no variables of"),
            (Some(4), &[("RANK", "0")], "no variables of"),
            (Some(4), &[("RANK", "0"), ("WORLD_SIZE", "3")], "auto/4: the scheduler started 3"),
            (None, &[("RANK", "3"), ("WORLD_SIZE", "3")], "RANK is 3 and WORLD_SIZE is 3"),
            (None, &[("RANK", "x"), ("WORLD_SIZE", "3")], "RANK is 'x'"),
            (None, &[("JOB_COMPLETION_INDEX", "0")], "auto/N"),
            (Some(2), &[("JOB_COMPLETION_INDEX", "2")], "JOB_COMPLETION_INDEX is 2, of 2 shards"),
            (None, &[("SLURM_ARRAY_TASK_ID", "1")], "SLURM_ARRAY_TASK_COUNT is missing"),
            (
                None,
                &[
                    ("SLURM_ARRAY_TASK_ID", "17"),
                    ("SLURM_ARRAY_TASK_MIN", "1"),
                    ("SLURM_ARRAY_TASK_COUNT", "3"),
                ],
                "have gaps",
            ),
        ] {
            let error = auto(count, variables).unwrap_err();
            assert!(error.to_string().contains(cause), "{error}");
            assert!(matches!(error, Error::Usage(_)), "{error}");
        }
    }
}
