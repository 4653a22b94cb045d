//! Image counts of a run.

/// Number of images of a run, and how many of them failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Images, including those that failed.
    pub images: usize,
    /// Images that failed.
    pub failed: usize,
}

/// The counts of several shards together.
impl std::iter::Sum for Summary {
    fn sum<I: Iterator<Item = Summary>>(shards: I) -> Summary {
        shards.fold(Summary { images: 0, failed: 0 }, |a, b| Summary {
            images: a.images + b.images,
            failed: a.failed + b.failed,
        })
    }
}
