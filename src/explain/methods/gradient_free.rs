//! The methods without a gradient, which need many runs for a map: Score-CAM and Ablation-CAM; and
//! plain CAM, which needs none.

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
use crate::explain::request::ExplainRequest;
use crate::explain::score::Score;
use crate::model::Model;

/// What the methods without a gradient need.
pub(crate) struct GradientFree {
    masked: Option<ScoreCamRuns>,
    ablated: Vec<AblationCamRuns>,
    /// For each exit and tap of the study, the weights (classes, C) of plain CAM.
    class_weights: HashMap<(usize, String), Vec<f32>>,
}

/// One map of a method without a gradient.
pub(crate) struct MapRequest<'a> {
    pub(crate) method: MapMethod,
    pub(crate) image: &'a [f32],
    pub(crate) class: usize,
    pub(crate) logits: &'a [f32],
    pub(crate) score: Score,
}

/// The logits of an image's many runs, by method, exit and tap: several classes share them.
pub(crate) type Runs = HashMap<(MapMethod, usize, String), Vec<Vec<f32>>>;

impl GradientFree {
    /// How many plans [`GradientFree::new`] loads, which share the memory.
    pub(crate) fn plans(study: &ExplainRequest, cells: &[TargetSlots]) -> usize {
        let asked = |method: MapMethod| study.maps.contains(&method);
        let taps: usize = cells.iter().filter(|cell| cell.rank == 0).map(|cell| cell.taps.len()).sum();
        usize::from(asked(MapMethod::ScoreCam)) + if asked(MapMethod::AblationCam) { taps } else { 0 }
    }

    pub(crate) fn new(
        model: &Model,
        study: &ExplainRequest,
        cells: &[TargetSlots],
        device: &Device,
    ) -> Result<GradientFree> {
        let asked = |method: MapMethod| study.maps.contains(&method);
        let mut free = GradientFree { masked: None, ablated: Vec::new(), class_weights: HashMap::new() };
        if asked(MapMethod::ScoreCam) {
            free.masked = Some(ScoreCamRuns::new(model, study, device)?);
        }
        for cell in cells.iter().filter(|cell| cell.rank == 0) {
            for tap in &cell.taps {
                if asked(MapMethod::AblationCam) {
                    free.ablated.push(AblationCamRuns::new(
                        model,
                        study,
                        cell.exit,
                        tap.tap.clone(),
                        device,
                    )?);
                }
                if asked(MapMethod::Cam) {
                    let weights = model.graph.param(class_weights(model, cell.exit, &tap.tap)?);
                    free.class_weights.insert((cell.exit, tap.tap.name.clone()), weights.data.to_vec());
                }
            }
        }
        Ok(free)
    }

    /// Channel weights and the map before its ReLU.
    pub(crate) fn map(
        &mut self,
        asked: MapRequest,
        (exit, tap): (usize, &TapSlots),
        values: TapValues,
        runs: &mut Runs,
    ) -> Result<(Vec<f32>, Vec<f32>)> {
        let TapValues { shape, activations, .. } = values;
        let name = tap.tap.name.clone();
        let weights = if asked.method == MapMethod::Cam {
            self.class_weights[&(exit, name)][asked.class * shape.c..][..shape.c].to_vec()
        } else {
            let key = (asked.method, exit, name);
            if !runs.contains_key(&key) {
                let logits = if asked.method == MapMethod::ScoreCam {
                    let masked = self.masked.as_mut().expect("loaded for this method");
                    masked.logits(exit, asked.image, shape, activations)?
                } else {
                    let ablated = self.ablated.iter_mut().find(|runs| runs.are_of(exit, &tap.tap));
                    ablated.expect("loaded for this method").logits(asked.image, shape, activations)?
                };
                runs.insert(key.clone(), logits);
            }
            let scores: Vec<f64> = runs[&key].iter().map(|l| asked.score.of(l, asked.class)).collect();
            match asked.method {
                MapMethod::ScoreCam => cam::score_cam_weights(&scores),
                _ => cam::ablation_cam_weights(asked.score.of(asked.logits, asked.class), &scores),
            }
        };
        let map = cam::weighted_sum(shape, &weights, activations);
        Ok((weights, map))
    }
}
