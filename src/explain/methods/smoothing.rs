//! Test-time augmentation: heatmaps averaged over the input and its mirror image, each times 0.9, 1 and
//! 1.1, as by `aug_smooth` of pytorch-grad-cam.

use crate::Shape;
use crate::explain::explanation::Explanation;
use crate::imaging::heatmap::{Heatmap, MapStatus};

/// An augmented copy of the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Copy {
    mirrored: bool,
    factor: f32,
}

/// All copies except the image itself.
pub(crate) const OTHER_COPIES: [Copy; 5] = [
    Copy { mirrored: false, factor: 0.9 },
    Copy { mirrored: false, factor: 1.1 },
    Copy { mirrored: true, factor: 0.9 },
    Copy { mirrored: true, factor: 1.0 },
    Copy { mirrored: true, factor: 1.1 },
];

impl Copy {
    /// This copy of each of `images`, of `shape`.
    pub(crate) fn apply(self, images: &[f32], shape: Shape) -> Vec<f32> {
        let mut changed: Vec<f32> = images.iter().map(|x| x * self.factor).collect();
        if self.mirrored {
            changed.chunks_exact_mut(shape.w).for_each(<[f32]>::reverse);
        }
        changed
    }
}

/// Replaces each heatmap of `explanations` by the mean of itself and those of `copies`; those of mirrored
/// copies are mirrored back first. The first index is the image, the second the target.
pub(crate) fn average(explanations: &mut [Vec<Explanation>], copies: &[(Copy, Vec<Vec<Explanation>>)]) {
    for (image, explanations) in explanations.iter_mut().enumerate() {
        for (target, explanation) in explanations.iter_mut().enumerate() {
            let others = |pick: &dyn Fn(&Explanation) -> Heatmap| -> Vec<(Copy, Heatmap)> {
                copies.iter().map(|(copy, found)| (*copy, pick(&found[image][target]))).collect()
            };
            for (i, map) in explanation.maps.iter_mut().enumerate() {
                mean(&mut map.heatmap, &others(&|f| f.maps[i].heatmap.clone()));
            }
            for (i, map) in explanation.fused.iter_mut().enumerate() {
                mean(&mut map.heatmap, &others(&|f| f.fused[i].heatmap.clone()));
            }
        }
    }
}

/// Replaces `heatmap` by the mean of itself and `others`; zero if one of them is not finite.
fn mean(heatmap: &mut Heatmap, others: &[(Copy, Heatmap)]) {
    let any = |status: MapStatus| others.iter().any(|(_, other)| other.status == status);
    if heatmap.status == MapStatus::Nonfinite || any(MapStatus::Nonfinite) {
        heatmap.values.fill(0.0);
        heatmap.status = MapStatus::Nonfinite;
        return;
    }
    for (copy, other) in others {
        for (row, other) in
            heatmap.values.chunks_exact_mut(heatmap.width).zip(other.values.chunks_exact(heatmap.width))
        {
            let width = row.len();
            for (x, value) in row.iter_mut().enumerate() {
                *value += other[if copy.mirrored { width - 1 - x } else { x }];
            }
        }
    }
    let count = (others.len() + 1) as f32;
    heatmap.values.iter_mut().for_each(|v| *v /= count);
    if any(MapStatus::Ok) {
        heatmap.status = MapStatus::Ok;
    }
}
