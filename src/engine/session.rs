//! Sessions: plans that are ready to run on a device, with their buffers.

use super::plan::Plan;
use crate::Result;
use crate::error::GraphError;

/// Callback of an early-exit run after each exit: (exit, from 1; index of the image in the batch; the
/// image's output space). It returns true where the image continues to the next exit.
pub type Continues<'a> = dyn FnMut(usize, usize, &[f32]) -> bool + 'a;

/// A plan on a device.
///
/// Inputs and outputs are the input and output spaces of the batch's images, one after another:
/// [`Plan::input_len`] and [`Plan::output_len`] elements per image.
pub trait Session: Send {
    /// The plan that it runs.
    fn plan(&self) -> &Plan;

    /// Largest number of images in one run.
    fn capacity(&self) -> usize;

    /// Runs every level on all images of `inputs`.
    ///
    /// # Errors
    /// [`crate::Error::Graph`] when the lengths do not fit the plan, [`crate::Error::Device`] when the device fails.
    fn run(&mut self, inputs: &[f32], outputs: &mut [f32]) -> Result<()>;

    /// Runs exit by exit and drops each image for which `continues` returns false; returns the last exit
    /// that each image ran. The plan must have been made with [`super::plan::Order::ByExit`]. Outputs of
    /// exits that an image did not reach are undefined.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn run_early_exit(
        &mut self,
        inputs: &[f32],
        outputs: &mut [f32],
        continues: &mut Continues,
    ) -> Result<Vec<usize>>;

    /// Multiply-adds of all runs so far.
    fn multiply_adds_done(&self) -> u64;

    /// Messages for the user about the loading of the plan, such as a smaller batch than requested for
    /// lack of memory.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// Time of one run of `images` images in milliseconds of the device's own clock: the mean of `repeats`
    /// runs back to back. `None` where the device has no clock.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn device_ms(&mut self, _images: usize, _repeats: usize) -> Result<Option<f64>> {
        Ok(None)
    }

    /// Times of the first level, the first two levels, and so on up to all levels of a run of `images`
    /// images, in milliseconds of the device's own clock and without copies: the difference of two
    /// neighbors is the time of one level in its place. Each is the minimum of a few means over at least
    /// `repeats` runs back to back in all, on the inputs of the last run. `None` where the device has no
    /// clock.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn prefix_ms(&mut self, _images: usize, _repeats: usize) -> Result<Option<Vec<f64>>> {
        Ok(None)
    }
}

/// The number of images in a batch of input and output spaces for a session of `plan` with room for
/// `capacity` images.
///
/// # Errors
/// [`crate::Error::Graph`] when `inputs` or `outputs` is not that many whole spaces, or the batch is too large.
pub(crate) fn batch_size(plan: &Plan, capacity: usize, inputs: &[f32], outputs: &[f32]) -> Result<usize> {
    let (input_len, output_len) = (plan.input_len, plan.output_len);
    let images = inputs.len() / input_len;
    if inputs.len() != images * input_len || outputs.len() != images * output_len || images > capacity {
        let (inputs, outputs) = (inputs.len(), outputs.len());
        return Err(GraphError::BatchSize { capacity, input_len, output_len, inputs, outputs }.into());
    }
    Ok(images)
}
