//! Sessions: plans that are ready to run on a device, with their buffers.

use super::plan::Plan;
use crate::Result;
use crate::error::GraphError;

/// Callback that writes the input space of an image: (index of the image in the batch, its space). The space
/// holds what an earlier batch left there; an error ends the call that asked for it.
pub type Fill<'a> = dyn FnMut(usize, &mut [f32]) -> Result<()> + 'a;

/// Callback of an early-exit run after each exit: (exit, from 1; index of the image in the batch; the
/// image's output space). It returns true where the image continues to the next exit.
pub type Continues<'a> = dyn FnMut(usize, usize, &[f32]) -> bool + 'a;

/// A plan on a device.
///
/// A batch is submitted, waited for, and read where the device left it: [`Session::submit`],
/// [`Session::wait`], [`Session::outputs`]. Spaces of its images follow one another: [`Plan::input_len`] and
/// [`Plan::output_len`] elements per image. A device may have several batches in flight, so that the
/// host prepares one and reads another while it computes.
pub trait Session: Send {
    /// The plan that it runs.
    fn plan(&self) -> &Plan;

    /// Largest number of images in one run.
    fn capacity(&self) -> usize;

    /// Largest number of batches in flight: 2 on a GPU; 1 on the CPU, where [`Session::submit`] computes.
    fn depth(&self) -> usize;

    /// Batches that were submitted and not yet waited for.
    fn in_flight(&self) -> usize;

    /// Starts every level on a batch of `images` images, whose input spaces `fill` writes in place, in order.
    ///
    /// # Errors
    /// [`crate::Error::Graph`] when the batch is too large or [`Session::depth`] batches are in flight, that of
    /// `fill`, [`crate::Error::Device`] when the device fails. The batch is not in flight then.
    fn submit(&mut self, images: usize, fill: &mut Fill) -> Result<()>;

    /// Waits for the oldest batch in flight; [`Session::outputs`] has its results.
    ///
    /// # Errors
    /// [`crate::Error::Graph`] when no batch is in flight, [`crate::Error::Device`] when the device fails.
    fn wait(&mut self) -> Result<()>;

    /// Output spaces of the last batch that was waited for, or that stopped early; empty after the next
    /// [`Session::submit`].
    fn outputs(&self) -> &[f32];

    /// Runs a batch to its end, with inputs and outputs in memory of the caller.
    ///
    /// # Errors
    /// [`crate::Error::Graph`] when the lengths do not fit the plan, and as [`Session::submit`].
    fn run(&mut self, inputs: &[f32], outputs: &mut [f32]) -> Result<()> {
        let images = batch_size(self.plan(), self.capacity(), inputs, outputs)?;
        none_in_flight(self.in_flight())?;
        let len = self.plan().input_len;
        self.submit(images, &mut |image, space| {
            space.copy_from_slice(&inputs[image * len..][..len]);
            Ok(())
        })?;
        self.wait()?;
        outputs.copy_from_slice(self.outputs());
        Ok(())
    }

    /// Runs a batch exit by exit and drops each image for which `continues` returns false. The plan must have
    /// been made with [`super::plan::Order::ByExit`]. Outputs of exits that an image did not reach are
    /// undefined.
    ///
    /// # Errors
    /// As [`Session::submit`]; when a batch is in flight.
    fn run_early_exit(&mut self, images: usize, fill: &mut Fill, continues: &mut Continues) -> Result<()>;

    /// The last exit of each image of the last early-exit run.
    fn reached(&self) -> &[usize];

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
    if inputs.len() != images * input_len
        || outputs.len() != images.saturating_mul(output_len)
        || images > capacity
    {
        let (inputs, outputs) = (inputs.len(), outputs.len());
        return Err(GraphError::BatchSize { capacity, input_len, output_len, inputs, outputs }.into());
    }
    Ok(images)
}

/// Checks that a batch of `images` images may be submitted.
///
/// # Errors
/// [`crate::Error::Graph`] when the session has no room for so many, or for another batch in flight.
pub(crate) fn check_batch(session: &dyn Session, images: usize) -> Result<()> {
    let (capacity, plan) = (session.capacity(), session.plan());
    if images > capacity {
        let (input_len, output_len) = (plan.input_len, plan.output_len);
        let (inputs, outputs) = (images.saturating_mul(input_len), images.saturating_mul(output_len));
        return Err(GraphError::BatchSize { capacity, input_len, output_len, inputs, outputs }.into());
    }
    match session.in_flight() {
        in_flight if in_flight >= session.depth() => Err(GraphError::BatchesInFlight { in_flight }.into()),
        _ => Ok(()),
    }
}

/// Checks that no batch is in flight.
///
/// # Errors
/// [`crate::Error::Graph`] when one is.
pub(crate) fn none_in_flight(in_flight: usize) -> Result<()> {
    match in_flight {
        0 => Ok(()),
        in_flight => Err(GraphError::BatchesInFlight { in_flight }.into()),
    }
}
