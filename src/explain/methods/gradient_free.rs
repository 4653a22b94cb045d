//! The gradient-free methods: Score-CAM and Ablation-CAM, which take many forward passes for a map, and
//! CAM, which takes none besides the main one.

use std::collections::HashMap;

use super::ablation_cam::AblationCamRuns;
use super::cam;
use super::cam::TapValues;
use super::plain_cam::class_weights;
use super::score_cam::ScoreCamRuns;
use crate::Result;
use crate::engine::device::Device;
use crate::explain::lowering::{TapSlots, TargetSlots};
use crate::explain::method::MapMethod;
use crate::explain::progress::Progress;
use crate::explain::request::ExplainRequest;
use crate::explain::score::Score;
use crate::model::Model;

/// Sessions and weights of the gradient-free methods of a request.
pub(crate) struct GradientFree {
    score_cam: Option<ScoreCamRuns>,
    ablation_cam: Vec<AblationCamRuns>,
    /// The weights (classes, C) of CAM by exit and tap name.
    class_weights: HashMap<(usize, String), Vec<f32>>,
}

/// The map of one method for one image and class.
pub(crate) struct MapRequest<'a> {
    pub(crate) method: MapMethod,
    pub(crate) image: &'a [f32],
    pub(crate) class: usize,
    pub(crate) logits: &'a [f32],
    pub(crate) score: Score,
}

/// The logits of an image's perturbation runs by method, exit and tap name; several classes share them.
pub(crate) type Runs = HashMap<(MapMethod, usize, String), Vec<Vec<f32>>>;

impl GradientFree {
    /// The number of plans that [`GradientFree::new`] loads; they share the memory limit.
    pub(crate) fn plans(request: &ExplainRequest, targets: &[TargetSlots]) -> usize {
        let requested = |method: MapMethod| request.maps.contains(&method);
        let taps: usize =
            targets.iter().filter(|target| target.rank == 0).map(|target| target.taps.len()).sum();
        usize::from(requested(MapMethod::ScoreCam)) + if requested(MapMethod::AblationCam) { taps } else { 0 }
    }

    pub(crate) fn new(
        model: &Model,
        request: &ExplainRequest,
        targets: &[TargetSlots],
        device: &Device,
    ) -> Result<GradientFree> {
        let requested = |method: MapMethod| request.maps.contains(&method);
        let mut free =
            GradientFree { score_cam: None, ablation_cam: Vec::new(), class_weights: HashMap::new() };
        if requested(MapMethod::ScoreCam) {
            free.score_cam = Some(ScoreCamRuns::new(model, request, device)?);
        }
        for target in targets.iter().filter(|target| target.rank == 0) {
            for tap in &target.taps {
                if requested(MapMethod::AblationCam) {
                    free.ablation_cam.push(AblationCamRuns::new(
                        model,
                        request,
                        target.exit,
                        tap.tap.clone(),
                        device,
                    )?);
                }
                if requested(MapMethod::Cam) {
                    let weights = model.graph.param(class_weights(model, target.exit, &tap.tap)?);
                    free.class_weights.insert((target.exit, tap.tap.name.clone()), weights.data.to_vec());
                }
            }
        }
        Ok(free)
    }

    /// From now on, `progress` counts and stops the runs.
    pub(crate) fn follow(&mut self, progress: &Progress) {
        self.score_cam.iter_mut().for_each(|runs| runs.follow(progress));
        self.ablation_cam.iter_mut().for_each(|runs| runs.follow(progress));
    }

    /// The number of runs for the maps of an image.
    pub(crate) fn runs(&self, targets: &[TargetSlots]) -> usize {
        let plans = usize::from(self.score_cam.is_some()) + usize::from(!self.ablation_cam.is_empty());
        // The classes of an exit share its runs.
        let exits = targets.iter().filter(|target| target.rank == 0);
        plans * exits.flat_map(|target| &target.taps).map(|tap| tap.shape.c).sum::<usize>()
    }

    /// Channel weights and the map before its ReLU.
    pub(crate) fn map(
        &mut self,
        request: MapRequest,
        (exit, tap): (usize, &TapSlots),
        values: TapValues,
        runs: &mut Runs,
    ) -> Result<(Vec<f32>, Vec<f32>)> {
        let TapValues { shape, activations, .. } = values;
        let name = tap.tap.name.clone();
        let weights = if request.method == MapMethod::Cam {
            self.class_weights[&(exit, name)][request.class * shape.c..][..shape.c].to_vec()
        } else {
            let key = (request.method, exit, name);
            if !runs.contains_key(&key) {
                let logits = if request.method == MapMethod::ScoreCam {
                    let score_cam = self.score_cam.as_mut().expect("loaded for this method");
                    score_cam.logits(exit, request.image, shape, activations)?
                } else {
                    let ablation_cam = self.ablation_cam.iter_mut().find(|runs| runs.are_of(exit, &tap.tap));
                    ablation_cam.expect("loaded for this method").logits(request.image, shape, activations)?
                };
                runs.insert(key.clone(), logits);
            }
            let scores: Vec<f64> = runs[&key].iter().map(|l| request.score.of(l, request.class)).collect();
            match request.method {
                MapMethod::ScoreCam => cam::score_cam_weights(&scores),
                _ => cam::ablation_cam_weights(request.score.of(request.logits, request.class), &scores),
            }
        };
        let map = cam::weighted_sum(shape, &weights, activations);
        Ok((weights, map))
    }
}
