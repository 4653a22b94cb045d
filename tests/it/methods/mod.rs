//! Methods against pytorch-grad-cam, captum and properties that must hold by definition.

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

/// What the two tools' f64 answers and our f32 ones may differ by, as a share of the largest number.
pub const PARITY: Tolerance = Tolerance(1e-4);

pub const NETS: [&str; 3] = ["subnets-lin_grow", "blocks-transition-last", "default"];

/// A network of the golden file and its images.
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

/// The slowest and the fastest kernels.
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

/// The large network runs on the fastest alone.
pub fn devices_for(name: &str) -> Vec<Device> {
    if name == "default" { vec![device()] } else { devices() }
}

pub fn exits_of(name: &str, network: &Model) -> [usize; 2] {
    [if name == "default" { 2 } else { 1 }, network.exits.len()]
}

/// All map methods but plain CAM, which no MSD-Net allows.
pub fn map_methods() -> Vec<MapMethod> {
    MapMethod::ALL.into_iter().filter(|&m| m != MapMethod::Cam).collect()
}

pub fn maps_study(network: &Model, methods: Vec<MapMethod>) -> ExplainRequest {
    ExplainRequest { maps: methods, signed: true, ..ExplainRequest::new(network, &[]) }
}

pub fn pixels_study(network: &Model, methods: &[PixelMethod]) -> ExplainRequest {
    ExplainRequest { pixels: methods.to_vec(), ..ExplainRequest::new(network, &[]) }
}

pub fn examine(
    network: &Model,
    study: &ExplainRequest,
    device: &Device,
    images: &Tensor,
) -> Vec<Vec<Explanation>> {
    let mut examiner = Explainer::new(network, study, device, images.n).unwrap();
    examiner.explain(&images.data).unwrap()
}

/// The numbers that `pick` takes of each image's only finding.
pub fn joined(findings: &[Vec<Explanation>], pick: impl Fn(&Explanation) -> &[f32]) -> Vec<f32> {
    findings.iter().flat_map(|image| pick(&image[0]).to_vec()).collect()
}
