//! Budgeted batch classification (Huang et al. 2018, section 4): a set of images shares a budget;
//! each leaves at the first exit that is sure enough, and how sure that is is found on other
//! images. The rule is that of the authors' PyTorch code (github.com/kalviny/MSDNet-PyTorch,
//! `adaptive_inference.py`), number for number.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::accuracy::percent;
use super::{Milliseconds, Outcome};

/// The authors' budgets: p of [`leaving_shares`].
pub const BUDGETS: std::ops::RangeInclusive<u16> = 1..=39;

/// How sure each exit has to be for an image to leave there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Thresholds(
    /// The least probability of the predicted class; `None` where no image leaves. At the last
    /// exit every image leaves, whatever is said here.
    pub Vec<Option<f32>>,
);

/// One budget and what it gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// The authors' number for it; see [`leaving_shares`].
    pub p: u16,
    /// Found on the first part of the images.
    pub thresholds: Thresholds,
    /// Percentage of the first part that is right.
    pub validation_top1: f64,
    /// Percentage of the second part that is right.
    pub top1: f64,
    /// Mean multiply-adds of an image of the second part.
    pub multiply_adds: f64,
    /// Mean milliseconds of one, where they were measured: those of the exits at which the images
    /// leave, in batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
    /// How many images of the second part leave at each exit.
    pub left: Vec<u64>,
}

/// The curve of budgets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budgeted {
    /// Images on which thresholds are found: the first, third, fifth ...
    pub validation_images: usize,
    /// Images to which they are applied: the others.
    pub images: usize,
    /// One entry a budget, from small to large.
    pub budgets: Vec<Budget>,
}

/// Which share of the images is to leave at each of `exits`: proportional to (p / 20)^k at exit k.
pub fn leaving_shares(p: f32, exits: usize) -> Vec<f32> {
    // In the authors' precision and order: a share decides by rounding how many images leave.
    let log = (p / 20.0).ln();
    let shares: Vec<f32> = (1..=exits).map(|k| (log * k as f32).exp()).collect();
    let sum: f32 = shares.iter().sum();
    shares.iter().map(|share| share / sum).collect()
}

impl Thresholds {
    /// One and the same for all of `exits`.
    pub fn same(probability: f32, exits: usize) -> Thresholds {
        Thresholds(vec![Some(probability); exits])
    }

    /// The position of the exit at which an image leaves, if its exits are so sure.
    pub fn leaves_at(&self, outcome: &Outcome) -> usize {
        let leaves = |(exit, threshold): (&super::ExitOutcome, &Option<f32>)| {
            threshold.is_some_and(|threshold| exit.probability >= threshold)
        };
        let last = outcome.exits.len() - 1;
        outcome.exits.iter().zip(&self.0).take(last).position(leaves).unwrap_or(last)
    }
}

/// Images in the order in which each exit is sure of them, to find thresholds for many budgets.
pub struct Walk<'a> {
    outcomes: Vec<&'a Outcome>,
    /// For each exit the images, the surest first.
    surest: Vec<Vec<u32>>,
}

impl<'a> Walk<'a> {
    /// Sorts `outcomes`.
    ///
    /// # Panics
    /// When there is none.
    pub fn new(outcomes: Vec<&'a Outcome>) -> Walk<'a> {
        let sort = |exit: usize| {
            let mut order: Vec<u32> = (0..outcomes.len() as u32).collect();
            let probability = |i: u32| outcomes[i as usize].exits[exit].probability;
            order.sort_by(|&a, &b| probability(b).total_cmp(&probability(a)));
            order
        };
        let surest = (0..outcomes[0].exits.len()).map(sort).collect();
        Walk { outcomes, surest }
    }

    /// Thresholds at which the images leave in `shares`, as nearly as may be: at each exit the
    /// surest of those that are still there.
    pub fn thresholds(&self, shares: &[f32]) -> Thresholds {
        let n = self.outcomes.len();
        let mut left = vec![false; n];
        let mut thresholds = Vec::new();
        for (exit, (order, share)) in self.surest.iter().zip(shares).enumerate().take(self.surest.len() - 1) {
            let leaving = (n as f32 * share).floor() as usize;
            let probability = |&i: &u32| self.outcomes[i as usize].exits[exit].probability;
            let stayed = order.iter().filter(|&&i| !left[i as usize]);
            let threshold = leaving.checked_sub(1).and_then(|nth| stayed.map(probability).nth(nth));
            for (i, left) in left.iter_mut().enumerate() {
                *left |= threshold.is_some_and(|t| probability(&(i as u32)) >= t);
            }
            thresholds.push(threshold);
        }
        thresholds.push(Some(0.0));
        Thresholds(thresholds)
    }

    /// The thresholds for which the mean of `multiply_adds` (of an image that leaves at each exit)
    /// over these images is largest without exceeding `budget`; `None` where the first exit
    /// already does.
    pub fn within(&self, budget: f64, multiply_adds: &[u64]) -> Option<Thresholds> {
        let (first, last) = (*multiply_adds.first()? as f64, *multiply_adds.last()? as f64);
        if budget < first {
            return None;
        }
        if budget >= last {
            return Some(Thresholds(vec![None; multiply_adds.len()]));
        }
        let mut best = (first, Thresholds::same(0.0, multiply_adds.len()));
        // The work grows with p; half of its logarithm's range goes each time.
        let (mut low, mut high) = (0.01_f32, 2000.0_f32);
        for _ in 0..30 {
            let p = (low * high).sqrt();
            let thresholds = self.thresholds(&leaving_shares(p, multiply_adds.len()));
            let work = applied(self.outcomes.iter().copied(), &thresholds, multiply_adds).multiply_adds;
            if work > budget {
                high = p;
                continue;
            }
            low = p;
            if work > best.0 {
                best = (work, thresholds);
            }
        }
        Some(best.1)
    }
}

/// What thresholds give.
pub(super) struct Applied {
    pub(super) top1: f64,
    pub(super) multiply_adds: f64,
    pub(super) left: Vec<u64>,
}

pub(super) fn applied<'a>(
    outcomes: impl Iterator<Item = &'a Outcome>,
    thresholds: &Thresholds,
    multiply_adds: &[u64],
) -> Applied {
    let mut left = vec![0_u64; multiply_adds.len()];
    let mut right = 0;
    for outcome in outcomes {
        let exit = thresholds.leaves_at(outcome);
        left[exit] += 1;
        right += u64::from(outcome.exits[exit].is_right());
    }
    let images: u64 = left.iter().sum();
    let work: f64 = left.iter().zip(multiply_adds).map(|(&n, &work)| n as f64 * work as f64).sum();
    Applied { top1: percent(right, images), multiply_adds: work / images as f64, left }
}

impl Budgeted {
    /// Finds thresholds on every second outcome, from the first on, and applies them to the others.
    ///
    /// # Panics
    /// When there are fewer than two outcomes.
    pub fn new(outcomes: &[Outcome], multiply_adds: &[u64]) -> Budgeted {
        let part = |first: usize| outcomes.iter().skip(first).step_by(2);
        let walk = Walk::new(part(0).collect());
        let budget = |p: u16| {
            let thresholds = walk.thresholds(&leaving_shares(f32::from(p), multiply_adds.len()));
            let validation_top1 = applied(part(0), &thresholds, multiply_adds).top1;
            let Applied { top1, multiply_adds, left } = applied(part(1), &thresholds, multiply_adds);
            Budget { p, thresholds, validation_top1, top1, multiply_adds, milliseconds: None, left }
        };
        Budgeted {
            validation_images: part(0).count(),
            images: part(1).count(),
            budgets: BUDGETS.map(budget).collect(),
        }
    }
}

impl Budgeted {
    /// Sets each budget's milliseconds from those of the exits.
    pub fn set_milliseconds(&mut self, exits: &[Milliseconds]) {
        for budget in &mut self.budgets {
            let sum: f64 = budget.left.iter().zip(exits).map(|(&n, ms)| n as f64 * ms.in_batch).sum();
            budget.milliseconds = Some(sum / self.images as f64);
        }
    }
}

/// `dynamic.txt` as the authors' code writes it: accuracy, tab, multiply-adds, a line a budget.
pub fn dynamic_txt(budgets: &[Budget]) -> String {
    let mut text = String::new();
    for budget in budgets {
        // Debug, like Python, writes 5.0 where Display writes 5. Writing to a String cannot fail.
        let _ = writeln!(text, "{:?}\t{:?}", budget.top1, budget.multiply_adds);
    }
    text
}
