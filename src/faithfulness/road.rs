//! ROAD, remove and debias (Rong et al. 2022, arXiv 2202.00449): deleted pixels are imputed from
//! their neighbours, so that the shape of the deletion tells the network nothing.

use super::imputation::impute;
use crate::Shape;

/// Which pixels go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The most relevant ones: MoRF.
    MostRelevantFirst,
    /// The least relevant ones: LeRF.
    LeastRelevantFirst,
}

/// How many of `pixels` stay when those beyond the `percentile`th percentile go, in (0, 100): the
/// rank of numpy's `percentile`, as pytorch-grad-cam has it. At least one stays and one goes where
/// there are two.
pub fn kept(pixels: usize, percentile: f64) -> usize {
    let rank = (pixels.saturating_sub(1) as f64 * percentile / 100.0).ceil() as usize;
    rank.clamp(1, pixels.max(1))
}

/// `image`, of `shape`, without the pixels beyond the percentile: imputed, and `noise`, of the same
/// shape, added where they were. `ranking` is [`super::most_important_first`].
pub fn without(
    image: &[f32],
    shape: Shape,
    ranking: &[u32],
    (removal, percentile): (Removal, f64),
    noise: &[f32],
) -> Vec<f32> {
    let kept = kept(ranking.len(), percentile);
    let gone = match removal {
        Removal::MostRelevantFirst => &ranking[..ranking.len() - kept],
        Removal::LeastRelevantFirst => &ranking[kept..],
    };
    let mut missing = vec![false; shape.plane()];
    gone.iter().for_each(|&at| missing[at as usize] = true);
    let mut filled = impute(image, shape, &missing);
    for (plane, noise) in filled.chunks_exact_mut(shape.plane()).zip(noise.chunks_exact(shape.plane())) {
        gone.iter().for_each(|&at| plane[at as usize] += noise[at as usize]);
    }
    filled
}

/// (LeRF - MoRF) / 2 of the class's probability, in [-0.5, 0.5]: high where the least relevant
/// pixels can go and the most relevant ones cannot (`ROADCombined` of pytorch-grad-cam).
pub fn combined(most_relevant_first: f64, least_relevant_first: f64) -> f64 {
    (least_relevant_first - most_relevant_first) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_stay_as_lie_below_numpys_percentile() {
        // numpy: (x < np.percentile(x, p)).sum() of x = arange(n).
        let of = |n: usize| [10.0, 50.0, 80.0, 90.0].map(|p| kept(n, p));
        assert_eq!(of(1024), [103, 512, 819, 921]);
        assert_eq!(of(11), [1, 5, 8, 9]);
        assert_eq!((kept(2, 1.0), kept(2, 99.0), kept(1, 50.0)), (1, 1, 1));
    }

    #[test]
    fn the_least_relevant_go_from_the_other_end() {
        let (image, shape) = ([0.0, 10.0, 20.0, 30.0, 40.0], Shape::new(1, 1, 5));
        let noise = [1.0; 5];
        let ranking = [4, 3, 2, 1, 0];
        // Two stay of five at 50.
        let most = without(&image, shape, &ranking, (Removal::MostRelevantFirst, 50.0), &noise);
        assert!(
            most.iter().zip([0.0, 10.0, 11.0, 11.0, 11.0]).all(|(a, b)| (a - b).abs() < 1e-5),
            "{most:?}"
        );
        let least = without(&image, shape, &ranking, (Removal::LeastRelevantFirst, 50.0), &noise);
        assert!(
            least.iter().zip([31.0, 31.0, 31.0, 30.0, 40.0]).all(|(a, b)| (a - b).abs() < 1e-5),
            "{least:?}"
        );
        assert_eq!(combined(0.25, 0.75), 0.25);
    }
}
