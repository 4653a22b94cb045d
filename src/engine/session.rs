//! A plan that is ready to run on a device, with its buffers.

use super::plan::Plan;
use crate::Result;

/// Asked after each exit: (exit from 1, image of the batch, that image's output space); true
/// where the image needs later exits too.
pub type Continues<'a> = dyn FnMut(usize, usize, &[f32]) -> bool + 'a;

/// A plan on a device.
///
/// Inputs and outputs are whole input and output spaces, one image after another:
/// `plan.input_len` and `plan.output_len` numbers each.
pub trait Session: Send {
    /// What it runs.
    fn plan(&self) -> &Plan;

    /// The most images of one run.
    fn capacity(&self) -> usize;

    /// Runs every level on all images in `inputs`.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when the device fails.
    fn run(&mut self, inputs: &[f32], outputs: &mut [f32]) -> Result<()>;

    /// Runs exit by exit, dropping an image once `continues` says that it needs no later exit,
    /// and returns the last exit that each image ran. The plan is one made with
    /// [`super::plan::Order::ByExit`]; outputs of exits that an image did not reach are
    /// undefined.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn run_early_exit(
        &mut self,
        inputs: &[f32],
        outputs: &mut [f32],
        continues: &mut Continues,
    ) -> Result<Vec<usize>>;

    /// Multiply-adds done by all runs so far.
    fn multiply_adds_done(&self) -> u64;

    /// What the user should know about how the plan was loaded: that memory sufficed only for
    /// smaller batches than asked for.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// Milliseconds of the device's own clock for one run of `images` images, the mean of `repeats`
    /// runs back to back; `None` where the device has no clock of its own.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn device_ms(&mut self, _images: usize, _repeats: usize) -> Result<Option<f64>> {
        Ok(None)
    }

    /// Milliseconds of the device's own clock for the first level, the first two, and so on up to all
    /// levels of a run of `images` images, without copies: the difference of two neighbours is what a
    /// level costs where it stands. Each is the shortest of a few means, over `repeats` runs back to
    /// back or somewhat more in all, on the inputs of the last run. `None` where the device has no clock of its own.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn prefix_ms(&mut self, _images: usize, _repeats: usize) -> Result<Option<Vec<f64>>> {
        Ok(None)
    }
}
