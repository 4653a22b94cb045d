//! The forward passes of Score-CAM: one for each channel of a tap, of the image masked by it.

use crate::engine::device::Device;
use crate::explain::forward_batches::ForwardBatches;
use crate::explain::progress::Progress;
use crate::explain::request::ExplainRequest;
use crate::model::Model;
use crate::{Result, Shape};

/// The forward pass of a request's exits for masked images.
pub(crate) struct ScoreCamRuns {
    runs: ForwardBatches,
}

impl ScoreCamRuns {
    pub(crate) fn new(model: &Model, request: &ExplainRequest, device: &Device) -> Result<ScoreCamRuns> {
        let runs = ForwardBatches::new(model, &request.exits, device, request.max_memory, "score-cam")?;
        Ok(ScoreCamRuns { runs })
    }

    /// From now on, `progress` counts and stops the runs.
    pub(crate) fn follow(&mut self, progress: &Progress) {
        self.runs.follow(progress);
    }

    /// For each channel of `activations` (`shape`), the logits of exit `exit` for `image` (3, H, W)
    /// times the channel's mask.
    pub(crate) fn logits(
        &mut self,
        exit: usize,
        image: &[f32],
        shape: Shape,
        activations: &[f32],
    ) -> Result<Vec<Vec<f32>>> {
        let size = (self.runs.image().h, self.runs.image().w);
        let channels: Vec<&[f32]> = activations.chunks_exact(shape.plane()).collect();
        self.runs.logits(exit, channels.len(), |i, input| {
            // One mask at a time: the masks of thousands of channels would not fit in memory.
            let mask = mask(channels[i], (shape.h, shape.w), size);
            let elements = image.iter().zip(mask.iter().cycle());
            input.iter_mut().zip(elements).for_each(|(to, (x, m))| *to = x * m);
        })
    }
}

/// A channel resized to the image and scaled to [0, 1]; zero if it is constant. The resize is bilinear
/// with aligned corners, as in pytorch-grad-cam (`UpsamplingBilinear2d`), unlike that of heatmaps.
fn mask(channel: &[f32], (h, w): (usize, usize), (height, width): (usize, usize)) -> Vec<f32> {
    let (rows, columns) = (align_corners(h, height), align_corners(w, width));
    let mut values = Vec::with_capacity(height * width);
    for &(top, bottom, down) in &rows {
        for &(left, right, across) in &columns {
            let row = |y: usize| {
                let (a, b) = (f64::from(channel[y * w + left]), f64::from(channel[y * w + right]));
                a + across * (b - a)
            };
            let (above, below) = (row(top), row(bottom));
            values.push(above + down * (below - above));
        }
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values.iter().map(|v| ((v - low) / (high - low + 1e-8)) as f32).collect()
}

/// For each of `to` positions, the indices of its two neighbors among `from` and the weight of the
/// second, with aligned corners.
fn align_corners(from: usize, to: usize) -> Vec<(usize, usize, f64)> {
    let step = if to > 1 { (from - 1) as f64 / (to - 1) as f64 } else { 0.0 };
    let position = |i: usize| {
        let at = i as f64 * step;
        let low = (at as usize).min(from - 1);
        (low, (low + 1).min(from - 1), at - low as f64)
    };
    (0..to).map(position).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_aligns_the_corners() {
        let got = mask(&[1.0, 3.0, 5.0, 7.0], (2, 2), (3, 3));
        let want = [0.0, 1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 0.5, 2.0 / 3.0, 2.0 / 3.0, 5.0 / 6.0, 1.0];
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6), "{got:?}");
    }

    #[test]
    fn a_constant_channel_masks_everything() {
        assert_eq!(mask(&[0.3; 6], (2, 3), (4, 5)), [0.0; 20]);
        assert_eq!(mask(&[0.3], (1, 1), (1, 1)), [0.0]);
    }
}
