//! The runs of Score-CAM: the image seen through each channel of a tap, in batches.

use crate::engine::device::Device;
use crate::explain::forward_batches::ForwardBatches;
use crate::explain::request::ExplainRequest;
use crate::model::Model;
use crate::{Result, Shape};

/// Runs of images seen through masks.
pub(crate) struct ScoreCamRuns {
    runs: ForwardBatches,
}

impl ScoreCamRuns {
    pub(crate) fn new(model: &Model, study: &ExplainRequest, device: &Device) -> Result<ScoreCamRuns> {
        let runs = ForwardBatches::new(model, &study.exits, device, study.max_memory, "score-cam")?;
        Ok(ScoreCamRuns { runs })
    }

    /// The logits of exit `exit` for `image` (3, H, W) times the mask of each channel of
    /// `activations`, of `shape`.
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
            // One mask at a time: those of ten thousand channels would not fit in memory.
            let mask = mask(channels[i], (shape.h, shape.w), size);
            let numbers = image.iter().zip(mask.iter().cycle());
            input.iter_mut().zip(numbers).for_each(|(to, (x, m))| *to = x * m);
        })
    }
}

/// A channel resized to the image, minus its minimum, divided by its maximum; zero where it is
/// the same everywhere. The resize is bilinear between the corners, as pytorch-grad-cam's is
/// (`UpsamplingBilinear2d`): not the one with which maps become heat maps.
fn mask(channel: &[f32], (h, w): (usize, usize), (height, width): (usize, usize)) -> Vec<f32> {
    let (rows, columns) = (corner_to_corner(h, height), corner_to_corner(w, width));
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

/// For each of `to` positions its two neighbours of `from`, and the second one's share.
fn corner_to_corner(from: usize, to: usize) -> Vec<(usize, usize, f64)> {
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
    fn a_mask_reaches_from_corner_to_corner() {
        let got = mask(&[1.0, 3.0, 5.0, 7.0], (2, 2), (3, 3));
        let want = [0.0, 1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 0.5, 2.0 / 3.0, 2.0 / 3.0, 5.0 / 6.0, 1.0];
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6), "{got:?}");
    }

    #[test]
    fn a_flat_channel_hides_everything() {
        assert_eq!(mask(&[0.3; 6], (2, 3), (4, 5)), [0.0; 20]);
        assert_eq!(mask(&[0.3], (1, 1), (1, 1)), [0.0]);
    }
}
