//! The numbers of one image, for NumPy.
//!
//! With E exits, N classes an exit (`--class topN`; the dimension is absent otherwise):
//!
//! | key | dimensions | |
//! |---|---|---|
//! | `exit` | (E) | which exits |
//! | `logits` | (E, classes) | class scores before the softmax |
//! | `class` | (E) | the class that each exit predicts |
//! | `target`, `score` | (E[, N]) | the class that is explained, and its score |
//! | `cam` | (E[, N], h, w) | a method's maps after their ReLU, at the tap's size |
//! | `heatmap` | (E[, N], H, W) | the same at the input's size, in [0, 1] |
//! | `fused` | (E[, N], H, W) | the maps of all taps as one, in [0, 1] |
//! | `difference` | (E[, N], H, W) | with `--minus`, in [-1, 1] |
//! | `difference.fused` | (E[, N], H, W) | the same of `fused` |
//! | `pixels.METHOD` | (E[, N], 3, H, W) | a pixel method's array |
//! | `tap` | (E, taps) | names of the taps, where there is a map |
//!
//! With several map methods their names follow (`cam.layer-cam`, `fused.layer-cam`,
//! `difference.fused.layer-cam`), and with several taps those of the taps, since taps differ in size
//! (`cam.layer-cam.scale2`).

use crate::explain::{ActivationMap, Explanation};
use crate::util::npz;
use crate::util::npz::{Array, Values};

use super::layer_view::{Explanations, View};
use super::layers::{Kind, Layer};

/// A key, dimensions and numbers.
struct Named {
    key: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// The archive of an image's findings; the network sees `side` x `side` pixels.
pub fn encode(findings: Explanations, side: usize) -> Vec<u8> {
    let exits = findings.exits();
    let first = || (0..exits).map(|i| findings.at(i, 0));
    let integers = |pick: &dyn Fn(&Explanation) -> usize,
                    findings: &mut dyn Iterator<Item = &Explanation>| {
        findings.map(|finding| pick(finding) as i64).collect::<Vec<i64>>()
    };
    let exit = integers(&|f| f.prediction.exit, &mut first());
    let class = integers(&|f| f.prediction.class, &mut first());
    let target = integers(&|f| f.target, &mut findings.all.iter());
    let logits: Vec<f32> = first().flat_map(|f| &f.prediction.logits).map(|&x| finite(x)).collect();
    let score: Vec<f32> = findings.all.iter().map(|f| finite(f.score)).collect();
    let taps: Vec<&str> = first().flat_map(|finding| taps(findings, finding)).collect();
    let each = each_finding(findings);
    let named = maps(findings, side);
    let each_exit = [exits];
    let each_logit = [exits, logits.len() / exits];

    let mut arrays = vec![
        Array { name: "exit", shape: &each_exit, values: Values::I64(&exit) },
        Array { name: "logits", shape: &each_logit, values: Values::F32(&logits) },
        Array { name: "class", shape: &each_exit, values: Values::I64(&class) },
        Array { name: "target", shape: &each, values: Values::I64(&target) },
        Array { name: "score", shape: &each, values: Values::F32(&score) },
    ];
    let tap_shape = [exits, taps.len() / exits];
    if !taps.is_empty() {
        arrays.push(Array { name: "tap", shape: &tap_shape, values: Values::Text(&taps) });
    }
    arrays.extend(named.iter().map(|n| Array {
        name: &n.key,
        shape: &n.shape,
        values: Values::F32(&n.values),
    }));
    npz::encode(&arrays)
}

/// The names of the taps of `finding`'s maps.
fn taps<'a>(findings: Explanations<'a>, finding: &'a Explanation) -> impl Iterator<Item = &'a str> {
    finding.maps.iter().take(findings.layers.taps.len()).map(|map| map.tap.as_str())
}

/// (E), or (E, N).
fn each_finding(findings: Explanations) -> Vec<usize> {
    let ranks = findings.layers.ranks;
    if ranks > 1 { vec![findings.exits(), ranks] } else { vec![findings.exits()] }
}

/// Every layer's arrays.
fn maps(findings: Explanations, side: usize) -> Vec<Named> {
    let layers = findings.layers.all.iter().filter(|layer| layer.rank == 0);
    layers.flat_map(|layer| of_layer(findings, layer, side)).collect()
}

/// The arrays of a layer, whatever its rank: each finding's numbers one after another.
fn of_layer(findings: Explanations, layer: &Layer, side: usize) -> Vec<Named> {
    let array = |word: &str, own: &[usize], pick: &dyn Fn(usize, usize) -> Vec<f32>| {
        let ranks = findings.layers.ranks;
        let each = (0..findings.exits()).flat_map(|i| (0..ranks).map(move |rank| (i, rank)));
        Named {
            key: key(findings, word, layer.kind),
            shape: [each_finding(findings).as_slice(), own].concat(),
            values: each.flat_map(|(i, rank)| pick(i, rank)).collect(),
        }
    };
    let square = [side, side];
    let shown = |i: usize, rank: usize| match findings.view(&Layer { rank, ..layer.clone() }, i, side) {
        View::Heat(heat) | View::Signed(heat) => heat.values,
        View::Pixels(pixels) => pixels.values.clone(),
    };
    match (layer.kind, layer.minus) {
        (Kind::Map { .. } | Kind::Fused { .. }, Some(_)) => vec![array("difference", &square, &shown)],
        (Kind::Fused { .. }, None) => vec![array("fused", &square, &shown)],
        (Kind::Pixels { .. }, _) => vec![array("pixels", &[3, side, side], &shown)],
        (Kind::Map { method, tap }, None) => {
            let map =
                |i: usize, rank: usize| -> &ActivationMap { findings.map(findings.at(i, rank), method, tap) };
            let shape = map(0, 0).shape;
            vec![
                array("cam", &[shape.h, shape.w], &|i, rank| map(i, rank).map.clone()),
                array("heatmap", &square, &shown),
            ]
        }
    }
}

/// `word`, and what tells this array from the others of the word.
fn key(findings: Explanations, word: &str, kind: Kind) -> String {
    let methods = findings.all[0].maps.len() / findings.layers.taps.len().max(1);
    let mut parts = vec![word];
    let method = match kind {
        Kind::Fused { method } => {
            parts.extend((word != "fused").then_some("fused"));
            Some(findings.all[0].fused[method].method.name()).filter(|_| methods > 1)
        }
        Kind::Map { method, .. } => {
            Some(findings.map(&findings.all[0], method, 0).method.name()).filter(|_| methods > 1)
        }
        Kind::Pixels { method } => Some(findings.all[0].pixels[method].method.name()),
    };
    parts.extend(method);
    if let Kind::Map { tap, .. } = kind
        && findings.layers.taps.len() > 1
    {
        parts.push(&findings.layers.taps[tap]);
    }
    parts.join(".")
}

/// As `numpy.nan_to_num`: no file holds NaN. The results' status says where a score was none.
fn finite(x: f32) -> f32 {
    if x.is_nan() { 0.0 } else { x.clamp(f32::MIN, f32::MAX) }
}
