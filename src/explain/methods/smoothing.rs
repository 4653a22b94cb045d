//! Heat maps averaged over copies of the image, as pytorch-grad-cam's `aug_smooth` has them: the
//! input and its mirror image, each times 0.9, 1 and 1.1.

use crate::Shape;
use crate::explain::explanation::Explanation;
use crate::imaging::heatmap::{Heatmap, MapStatus};

/// One copy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Copy {
    mirrored: bool,
    factor: f32,
}

/// Every copy but the image itself.
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

/// Makes each heat map of `findings` the mean of itself and those of `copies`, which are turned
/// back first.
pub(crate) fn average(findings: &mut [Vec<Explanation>], copies: &[(Copy, Vec<Vec<Explanation>>)]) {
    for (image, findings) in findings.iter_mut().enumerate() {
        for (cell, finding) in findings.iter_mut().enumerate() {
            let others = |pick: &dyn Fn(&Explanation) -> Heatmap| -> Vec<(Copy, Heatmap)> {
                copies.iter().map(|(copy, found)| (*copy, pick(&found[image][cell]))).collect()
            };
            for (i, map) in finding.maps.iter_mut().enumerate() {
                mean(&mut map.heatmap, &others(&|f| f.maps[i].heatmap.clone()));
            }
            for (i, map) in finding.fused.iter_mut().enumerate() {
                mean(&mut map.heatmap, &others(&|f| f.fused[i].heatmap.clone()));
            }
        }
    }
}

fn mean(heat: &mut Heatmap, others: &[(Copy, Heatmap)]) {
    let any = |status: MapStatus| others.iter().any(|(_, other)| other.status == status);
    if heat.status == MapStatus::Nonfinite || any(MapStatus::Nonfinite) {
        heat.values.fill(0.0);
        heat.status = MapStatus::Nonfinite;
        return;
    }
    for (copy, other) in others {
        for (row, other) in
            heat.values.chunks_exact_mut(heat.width).zip(other.values.chunks_exact(heat.width))
        {
            let width = row.len();
            for (x, value) in row.iter_mut().enumerate() {
                *value += other[if copy.mirrored { width - 1 - x } else { x }];
            }
        }
    }
    let count = (others.len() + 1) as f32;
    heat.values.iter_mut().for_each(|v| *v /= count);
    if any(MapStatus::Ok) {
        heat.status = MapStatus::Ok;
    }
}
