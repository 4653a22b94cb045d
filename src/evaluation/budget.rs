//! Budgeted batch classification (Huang et al. 2018, section 4): a set of images shares a budget of
//! multiply-adds. Each image stops at the first exit whose confidence reaches the exit's threshold; the
//! thresholds are determined on other images. The results equal those of the authors' PyTorch port
//! (`adaptive_inference.py`) exactly.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::accuracy::percent;
use super::{ImageOutcome, Milliseconds};

/// The authors' budgets: p of [`exit_shares`].
pub const BUDGETS: std::ops::RangeInclusive<u16> = 1..=39;

/// Most exits: beyond any network's, so that a number of them is no large allocation.
const MOST_EXITS: usize = 1 << 16;

/// Confidence thresholds of the exits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Thresholds(
    /// The lowest confidence at which an image stops; `None` where no image stops. Every image stops at
    /// the last exit, whatever its threshold.
    pub Vec<Option<f32>>,
);

/// Thresholds and results of one budget. Field names are JSON keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// The authors' parameter of the budget: see [`exit_shares`].
    pub p: u16,
    /// Determined on the validation images.
    pub thresholds: Thresholds,
    /// Top-1 accuracy on the validation images, in percent.
    pub validation_top1: f64,
    /// Top-1 accuracy on the test images, in percent.
    pub top1: f64,
    /// Mean multiply-adds per test image.
    pub multiply_adds: f64,
    /// Mean milliseconds per test image, if measured: from the times of the exits in batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
    /// Test images that stop at each exit.
    pub left: Vec<u64>,
}

/// Results over all budgets. Field names are JSON keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budgeted {
    /// Validation images, which determine the thresholds: those at even positions from 0.
    pub validation_images: usize,
    /// Test images, to which the thresholds are applied: the others.
    pub images: usize,
    /// The budgets, from small to large.
    pub budgets: Vec<Budget>,
}

/// Share of the images that is to stop at each of `exits` exits: proportional to (p / 20)^k at exit k.
///
/// # Panics
/// When `p` is not positive and finite, or there are more than 65,536 exits.
pub fn exit_shares(p: f32, exits: usize) -> Vec<f32> {
    assert!(p > 0.0 && p.is_finite() && exits <= MOST_EXITS, "shares by {p} of {exits} exits");
    // The authors' precision and order of operations, as rounding decides how many images stop.
    let log = (p / 20.0).ln();
    let shares: Vec<f32> = (1..=exits).map(|k| (log * k as f32).exp()).collect();
    let sum: f32 = shares.iter().sum();
    shares.iter().map(|share| share / sum).collect()
}

impl Thresholds {
    /// The same threshold for each of `exits` exits.
    ///
    /// # Panics
    /// When there are more than 65,536 exits.
    pub fn uniform(probability: f32, exits: usize) -> Thresholds {
        assert!(exits <= MOST_EXITS, "thresholds of {exits} exits");
        Thresholds(vec![Some(probability); exits])
    }

    /// Position of the exit at which an image with these predictions stops.
    ///
    /// # Panics
    /// When there is no prediction.
    pub fn exit_of(&self, outcome: &ImageOutcome) -> usize {
        let stops = |(exit, threshold): (&super::ExitOutcome, &Option<f32>)| {
            threshold.is_some_and(|threshold| exit.probability >= threshold)
        };
        let last = outcome.exits.len().checked_sub(1).expect("an outcome has an exit");
        outcome.exits.iter().zip(&self.0).take(last).position(stops).unwrap_or(last)
    }
}

/// Search for thresholds on a set of images, for any number of budgets.
pub struct ThresholdSearch<'a> {
    outcomes: Vec<&'a ImageOutcome>,
    /// For each exit the indices of the images, by descending confidence.
    by_confidence: Vec<Vec<u32>>,
}

impl<'a> ThresholdSearch<'a> {
    /// Sorts `outcomes` by the confidence of each exit.
    ///
    /// # Panics
    /// When there are no outcomes, or they do not have the same number of exits, at least one.
    pub fn new(outcomes: Vec<&'a ImageOutcome>) -> ThresholdSearch<'a> {
        let exits = outcomes.first().map_or(0, |outcome| outcome.exits.len());
        let same = outcomes.iter().all(|outcome| outcome.exits.len() == exits);
        assert!(exits > 0 && same, "{} outcomes, each of {exits} exits", outcomes.len());
        let sort = |exit: usize| {
            let mut order: Vec<u32> = (0..outcomes.len() as u32).collect();
            let probability = |i: u32| outcomes[i as usize].exits[exit].probability;
            order.sort_by(|&a, &b| probability(b).total_cmp(&probability(a)));
            order
        };
        let by_confidence = (0..exits).map(sort).collect();
        ThresholdSearch { outcomes, by_confidence }
    }

    /// Thresholds at which `shares` of the images stop, as closely as possible: at each exit the most
    /// confident of the remaining images.
    pub fn thresholds(&self, shares: &[f32]) -> Thresholds {
        let n = self.outcomes.len();
        let mut stopped = vec![false; n];
        let mut thresholds = Vec::new();
        for (exit, (order, share)) in
            self.by_confidence.iter().zip(shares).enumerate().take(self.by_confidence.len() - 1)
        {
            let count = (n as f32 * share).floor() as usize;
            let probability = |&i: &u32| self.outcomes[i as usize].exits[exit].probability;
            let remaining = order.iter().filter(|&&i| !stopped[i as usize]);
            let threshold = count.checked_sub(1).and_then(|nth| remaining.map(probability).nth(nth));
            for (i, stopped) in stopped.iter_mut().enumerate() {
                *stopped |= threshold.is_some_and(|t| probability(&(i as u32)) >= t);
            }
            thresholds.push(threshold);
        }
        thresholds.push(Some(0.0));
        Thresholds(thresholds)
    }

    /// Thresholds whose mean multiply-adds per image are as large as possible within `budget`;
    /// `multiply_adds` are those of an image that stops at each exit. `None` where the first exit already
    /// exceeds the budget.
    ///
    /// # Panics
    /// When there are more or fewer `multiply_adds` than exits.
    pub fn within(&self, budget: f64, multiply_adds: &[u64]) -> Option<Thresholds> {
        assert_eq!(multiply_adds.len(), self.by_confidence.len(), "multiply-adds of the exits");
        let (first, last) = (*multiply_adds.first()? as f64, *multiply_adds.last()? as f64);
        if budget < first {
            return None;
        }
        if budget >= last {
            return Some(Thresholds(vec![None; multiply_adds.len()]));
        }
        let mut best = (first, Thresholds::uniform(0.0, multiply_adds.len()));
        // Bisection of log p: the multiply-adds grow with p.
        let (mut low, mut high) = (0.01_f32, 2000.0_f32);
        for _ in 0..30 {
            let p = (low * high).sqrt();
            let thresholds = self.thresholds(&exit_shares(p, multiply_adds.len()));
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

/// Results of thresholds on a set of images.
pub(super) struct Applied {
    pub(super) top1: f64,
    pub(super) multiply_adds: f64,
    pub(super) left: Vec<u64>,
}

/// Applies thresholds to `outcomes`.
pub(super) fn applied<'a>(
    outcomes: impl Iterator<Item = &'a ImageOutcome>,
    thresholds: &Thresholds,
    multiply_adds: &[u64],
) -> Applied {
    let mut left = vec![0_u64; multiply_adds.len()];
    let mut right = 0;
    for outcome in outcomes {
        let exit = thresholds.exit_of(outcome);
        left[exit] += 1;
        right += u64::from(outcome.exits[exit].is_right());
    }
    let images: u64 = left.iter().sum();
    let work: f64 = left.iter().zip(multiply_adds).map(|(&n, &work)| n as f64 * work as f64).sum();
    Applied { top1: percent(right, images), multiply_adds: work / images as f64, left }
}

impl Budgeted {
    /// Determines the thresholds on the outcomes at even positions, and applies them to the others.
    ///
    /// # Panics
    /// When there are fewer than two outcomes, or one has more or fewer exits than there are `multiply_adds`.
    pub fn new(outcomes: &[ImageOutcome], multiply_adds: &[u64]) -> Budgeted {
        assert!(outcomes.len() > 1, "a budget needs two images, has {}", outcomes.len());
        let fits = |outcome: &ImageOutcome| outcome.exits.len() == multiply_adds.len();
        assert!(outcomes.iter().all(fits), "an outcome lacks one of {} exits", multiply_adds.len());
        let part = |first: usize| outcomes.iter().skip(first).step_by(2);
        let search = ThresholdSearch::new(part(0).collect());
        let budget = |p: u16| {
            let thresholds = search.thresholds(&exit_shares(f32::from(p), multiply_adds.len()));
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

    /// Sets the milliseconds of each budget from those of the exits.
    pub fn set_milliseconds(&mut self, exits: &[Milliseconds]) {
        for budget in &mut self.budgets {
            let sum: f64 = budget.left.iter().zip(exits).map(|(&n, ms)| n as f64 * ms.in_batch).sum();
            budget.milliseconds = Some(sum / self.images as f64);
        }
    }
}

/// `dynamic.txt` in the format of the authors' code: a line for each budget with accuracy, tab and
/// multiply-adds.
pub fn dynamic_txt(budgets: &[Budget]) -> String {
    let mut text = String::new();
    for budget in budgets {
        // Debug writes 5.0 like Python, Display writes 5. Writing to a String cannot fail.
        let _ = writeln!(text, "{:?}\t{:?}", budget.top1, budget.multiply_adds);
    }
    text
}
