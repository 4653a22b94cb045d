//! ROAD, remove and debias (Rong et al. 2022, arXiv 2202.00449): removed pixels are imputed from their
//! neighbors, so that the shape of the removed region does not leak information to the model.

use super::imputation::impute;
use crate::Shape;

/// Which pixels are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The most relevant pixels: MoRF.
    MostRelevantFirst,
    /// The least relevant pixels: LeRF.
    LeastRelevantFirst,
}

/// Number of pixels that are kept at a percentile in (0, 100): the rank of NumPy's `percentile`, as in
/// pytorch-grad-cam. Of two or more pixels at least one is kept and one removed.
fn kept_count(pixels: usize, percentile: f64) -> usize {
    let rank = (pixels.saturating_sub(1) as f64 * percentile / 100.0).ceil() as usize;
    rank.clamp(1, pixels.max(1))
}

/// `image`, of `shape`, with the pixels beyond the percentile removed: imputed from their neighbors,
/// plus `noise`, of the same shape. `ranking` is that of [`super::most_important_first`].
///
/// # Panics
/// When image or noise are not of `shape`, or the ranking is not one of its pixels.
pub fn remove_and_impute(
    image: &[f32],
    shape: Shape,
    ranking: &[u32],
    removal: Removal,
    percentile: f64,
    noise: &[f32],
) -> Vec<f32> {
    let (pixels, ranked) = (shape.plane(), ranking.len());
    let is_pixel = |&at: &u32| (at as usize) < pixels;
    assert!(
        pixels > 0 && ranked == pixels && ranking.iter().all(is_pixel),
        "{ranked} ranks of {pixels} pixels"
    );
    assert!(image.len() == shape.len() && noise.len() == shape.len(), "image and noise of {shape}");
    let kept = kept_count(ranking.len(), percentile);
    let removed = match removal {
        Removal::MostRelevantFirst => &ranking[..ranking.len() - kept],
        Removal::LeastRelevantFirst => &ranking[kept..],
    };
    let mut missing = vec![false; shape.plane()];
    removed.iter().for_each(|&at| missing[at as usize] = true);
    let mut filled = impute(image, shape, &missing);
    for (plane, noise) in filled.chunks_exact_mut(shape.plane()).zip(noise.chunks_exact(shape.plane())) {
        removed.iter().for_each(|&at| plane[at as usize] += noise[at as usize]);
    }
    filled
}

/// Combined ROAD score: (LeRF - MoRF) / 2 of the class's probability (`ROADCombined` of
/// pytorch-grad-cam). In [-0.5, 0.5]; high is good.
pub fn road_combined(most_relevant_first: f64, least_relevant_first: f64) -> f64 {
    (least_relevant_first - most_relevant_first) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_count_is_the_rank_of_numpys_percentile() {
        // numpy: (x < np.percentile(x, p)).sum() of x = arange(n).
        let of = |n: usize| [10.0, 50.0, 80.0, 90.0].map(|p| kept_count(n, p));
        assert_eq!(of(1024), [103, 512, 819, 921]);
        assert_eq!(of(11), [1, 5, 8, 9]);
        assert_eq!((kept_count(2, 1.0), kept_count(2, 99.0), kept_count(1, 50.0)), (1, 1, 1));
    }

    #[test]
    fn removes_the_least_relevant_from_the_other_end() {
        let (image, shape) = ([0.0, 10.0, 20.0, 30.0, 40.0], Shape::new(1, 1, 5));
        let noise = [1.0; 5];
        let ranking = [4, 3, 2, 1, 0];
        // At percentile 50, two of five pixels are kept.
        let most = remove_and_impute(&image, shape, &ranking, Removal::MostRelevantFirst, 50.0, &noise);
        assert!(
            most.iter().zip([0.0, 10.0, 11.0, 11.0, 11.0]).all(|(a, b)| (a - b).abs() < 1e-5),
            "{most:?}"
        );
        let least = remove_and_impute(&image, shape, &ranking, Removal::LeastRelevantFirst, 50.0, &noise);
        assert!(
            least.iter().zip([31.0, 31.0, 31.0, 30.0, 40.0]).all(|(a, b)| (a - b).abs() < 1e-5),
            "{least:?}"
        );
        assert_eq!(road_combined(0.25, 0.75), 0.25);
    }
}
