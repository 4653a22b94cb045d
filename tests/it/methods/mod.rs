//! Methods against pytorch-grad-cam and captum, and properties that hold by definition.

mod agreement;
mod by_hand;
mod parity;
mod pixels;
mod refusals;
mod targets;

use crate::common::close::Tolerance;
use crate::common::golden::Golden;
use crate::common::nets::golden_network;
use crate::common::run;
use msdcam::engine::device::Device;
use msdcam::engine::tensor::Tensor;
use msdcam::explain::{ExplainRequest, Explainer, Explanation, MapMethod, PixelMethod};
use msdcam::model::Model;

/// Tolerance between the tools' f64 results and our f32 results, relative to the largest magnitude.
pub const PARITY: Tolerance = Tolerance(1e-4);

pub const NETS: [&str; 3] = ["subnets-lin_grow", "blocks-transition-last", "default"];

/// A model of the golden file, and its images.
pub fn network(name: &str) -> (Model, Tensor) {
    if name == "default" {
        let images = Golden::load("default").tensor("input");
        let cat = Tensor::new(1, images.shape, images.image(0).to_vec());
        return (Model::pretrained().unwrap(), cat);
    }
    let (golden, network) = golden_network(name);
    (network, golden.tensor("input"))
}

pub fn golden() -> Golden {
    Golden::load("methods")
}

/// Devices with the slowest and the fastest kernels.
pub fn devices() -> Vec<Device> {
    let mut all = run::devices();
    let last = all.pop().unwrap();
    all.truncate(1);
    all.push(last);
    all
}

pub fn device() -> Device {
    devices().pop().unwrap()
}

/// The large model runs only on the fastest.
pub fn devices_for(name: &str) -> Vec<Device> {
    if name == "default" { vec![device()] } else { devices() }
}

pub fn exits_of(name: &str, network: &Model) -> [usize; 2] {
    [if name == "default" { 2 } else { 1 }, network.exits.len()]
}

/// All CAM methods except CAM itself, which MSD-Nets do not support.
pub fn map_methods() -> Vec<MapMethod> {
    MapMethod::ALL.into_iter().filter(|&m| m != MapMethod::Cam).collect()
}

pub fn map_request(network: &Model, methods: Vec<MapMethod>) -> ExplainRequest {
    ExplainRequest { maps: methods, signed: true, ..ExplainRequest::new(network, &[]) }
}

pub fn pixel_request(network: &Model, methods: &[PixelMethod]) -> ExplainRequest {
    ExplainRequest { pixels: methods.to_vec(), ..ExplainRequest::new(network, &[]) }
}

pub fn explain_images(
    network: &Model,
    request: &ExplainRequest,
    device: &Device,
    images: &Tensor,
) -> Vec<Vec<Explanation>> {
    let mut explainer = Explainer::new(network, request, device, images.n).unwrap();
    explainer.explain(&images.data).unwrap()
}

/// The values that `pick` returns for each image's only explanation, concatenated.
pub fn joined(explanations: &[Vec<Explanation>], pick: impl Fn(&Explanation) -> &[f32]) -> Vec<f32> {
    explanations.iter().flat_map(|image| pick(&image[0]).to_vec()).collect()
}
