//! Execution of graphs on devices.

use std::sync::{Arc, OnceLock};

use msdcam::engine::cpu::{Cpu, Isa};
use msdcam::engine::cuda::{Cuda, Tiling};
use msdcam::engine::device::Device;
use msdcam::engine::graph::{Graph, NodeId};
use msdcam::engine::plan::{Order, Plan, PlanOptions, Slot};
use msdcam::engine::tensor::Tensor;

use super::close::assert_same_bits;
use super::gpu;

/// The devices under test: the CPU with every kind of kernel and one to three threads, or, where
/// [`gpu::at_hand`], the GPU in every tiling. The stand-in, which is slow, is spared the automatic one, which chooses
/// for each convolution among the other two.
pub fn devices() -> Vec<Device> {
    if gpu::at_hand() {
        let tilings =
            [Tiling::Small, Tiling::Large].into_iter().chain(gpu::is_real().then_some(Tiling::Auto));
        return tilings.map(|tiling| Device::Cuda(shared_gpu().with_tiling(tiling))).collect();
    }
    let cpus = Isa::available().into_iter().flat_map(|isa| [1, 2, 3].map(|threads| cpu(threads, isa)));
    cpus.collect()
}

/// [`devices`], of which the stand-in, which is slow, gets one tiling: the `turn`-th, in a circle. For tests over several
/// networks, which meet both.
pub fn devices_in_turn(turn: usize) -> Vec<Device> {
    let mut devices = devices();
    if gpu::at_hand() && !gpu::is_real() {
        let at = turn % devices.len();
        devices = vec![devices.swap_remove(at)];
    }
    devices
}

/// The GPU, opened once for all tests of a program: a real driver takes most of a second for it.
pub fn shared_gpu() -> Cuda {
    static GPU: OnceLock<Cuda> = OnceLock::new();
    GPU.get_or_init(|| gpu::open().unwrap()).clone()
}

/// The CPU device with this many threads and this kind of kernel.
pub fn cpu(threads: usize, isa: Isa) -> Device {
    Device::Cpu(Cpu::with_isa(threads, isa).unwrap())
}

/// `outputs` of `graph` for a batch of `inputs`, one tensor an [`msdcam::engine::graph::Op::Input`].
pub fn run(
    device: &Device,
    graph: &Graph,
    outputs: &[NodeId],
    order: Order,
    inputs: &[&Tensor],
) -> Vec<Tensor> {
    run_with(device, graph, outputs, &PlanOptions::new(order), inputs)
}

/// As [`run`], by a plan with these options.
pub fn run_with(
    device: &Device,
    graph: &Graph,
    outputs: &[NodeId],
    options: &PlanOptions,
    inputs: &[&Tensor],
) -> Vec<Tensor> {
    run_plan(device, Plan::with_options(graph, outputs, options).unwrap(), inputs)
}

/// Outputs of `plan`. It runs twice: the result must not depend on what an earlier run left in memory.
pub fn run_plan(device: &Device, plan: Plan, inputs: &[&Tensor]) -> Vec<Tensor> {
    let n = inputs[0].n;
    let plan = Arc::new(plan);
    let spaces = input_spaces(&plan, inputs);
    let mut session = device.session(Arc::clone(&plan), n).unwrap();
    let mut returned = [vec![f32::NAN; n * plan.output_len()], vec![f32::NAN; n * plan.output_len()]];
    for out in &mut returned {
        session.run(&spaces, out).unwrap();
    }
    let read = |run: usize, slot: &Slot| output(&plan, slot, &returned[run]);
    let tensors: Vec<Tensor> = plan.outputs().iter().map(|slot| read(0, slot)).collect();
    for (first, slot) in tensors.iter().zip(plan.outputs()) {
        let what = format!("{}: the second run of a plan", device.description());
        assert_same_bits(&what, &read(1, slot).data, &first.data);
    }
    tensors
}

/// Input spaces of a batch; elements between the inputs are NaN.
pub fn input_spaces(plan: &Plan, inputs: &[&Tensor]) -> Vec<f32> {
    assert_eq!(plan.inputs().len(), inputs.len(), "inputs of the plan");
    let mut spaces = vec![f32::NAN; inputs[0].n * plan.input_len()];
    for (image, space) in spaces.chunks_exact_mut(plan.input_len()).enumerate() {
        for (slot, tensor) in plan.inputs().iter().zip(inputs) {
            assert_eq!((slot.shape(), tensor.n), (tensor.shape, inputs[0].n), "an input of the plan");
            space[slot.offset()..][..slot.shape().len()].copy_from_slice(tensor.image(image));
        }
    }
    spaces
}

/// What writes these input spaces, for [`msdcam::engine::session::Session::submit`].
pub fn filling(spaces: &[f32]) -> impl FnMut(usize, &mut [f32]) -> msdcam::Result<()> {
    |image, space| {
        space.copy_from_slice(&spaces[image * space.len()..][..space.len()]);
        Ok(())
    }
}

/// The batch at `slot` of the output spaces.
pub fn output(plan: &Plan, slot: &Slot, spaces: &[f32]) -> Tensor {
    let images = spaces.chunks_exact(plan.output_len());
    let data: Vec<f32> =
        images.flat_map(|space| &space[slot.offset()..][..slot.shape().len()]).copied().collect();
    Tensor::new(data.len() / slot.shape().len(), slot.shape(), data)
}
