//! The NumPy archive of one image.
//!
//! With E exits and N targets per exit (`--class topN`; the dimension is absent otherwise):
//!
//! | key | shape | |
//! |---|---|---|
//! | `region` | (4) | x, y, width and height of the part of the photo that the input shows, in the photo's pixels |
//! | `exit` | (E) | exits, from 1 |
//! | `logits` | (E, classes) | class scores before the softmax |
//! | `class` | (E) | predicted class of each exit |
//! | `target`, `score` | (E[, N]) | explained class and its score |
//! | `cam` | (E[, N], h, w) | activation maps after their ReLU, at the tap's size |
//! | `heatmap` | (E[, N], H, W) | the same at the input's size, in [0, 1] |
//! | `fused` | (E[, N], H, W) | fusion of the maps of all taps, in [0, 1] |
//! | `difference` | (E[, N], H, W) | with `--minus`, in [-1, 1] |
//! | `difference.fused` | (E[, N], H, W) | the same for `fused` |
//! | `pixels.METHOD` | (E[, N], 3, H, W) | pixel attribution of a method |
//! | `tap` | (E, taps) | names of the taps, if there are maps |
//!
//! With several CAM methods the method's name follows (`cam.layer-cam`, `fused.layer-cam`,
//! `difference.fused.layer-cam`); with several taps, which differ in size, the tap's name in file names follows
//! (`cam.layer-cam.scale2`).
//!
//! Where the exits' taps differ in (h, w), each exit has its own array instead of `cam`: `cam.exit1`, `cam.exit2`,
//! ... of ([N,] h, w). Where an exit has no tap of a scale, its part of the arrays is zero and the name in `tap` is
//! empty.

use crate::explain::Explanation;
use crate::imaging::Region;
use crate::util::npz;
use crate::util::npz::{Array, Values};

use super::layer_view::Explanations;
use super::layers::{HeatmapSource, Layer, LayerKind, Layers};

/// An f32 array with its key.
struct NamedArray {
    key: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// Encodes the archive of an image's explanations; the network's `input` has (H, W) pixels and shows the part
/// `region` of the photo.
pub fn encode(explanations: Explanations, input: (usize, usize), region: Region) -> Vec<u8> {
    let exits = explanations.exits();
    let first = || (0..exits).map(|i| explanations.at(i, 0));
    let integers = |pick: &dyn Fn(&Explanation) -> usize,
                    explanations: &mut dyn Iterator<Item = &Explanation>| {
        explanations.map(|explanation| pick(explanation) as i64).collect::<Vec<i64>>()
    };
    let exit = integers(&|e| e.prediction.exit, &mut first());
    let class = integers(&|e| e.prediction.class, &mut first());
    let target = integers(&|e| e.target, &mut explanations.all.iter());
    let logits: Vec<f32> = first().flat_map(|e| &e.prediction.logits).map(|&x| finite(x)).collect();
    let score: Vec<f32> = explanations.all.iter().map(|e| finite(e.score)).collect();
    let taps: Vec<&str> = first().flat_map(|explanation| taps(explanations, explanation)).collect();
    let each = target_shape(explanations);
    let named = layer_arrays(explanations, input);
    let each_exit = [exits];
    let each_logit = [exits, logits.len() / exits];

    let Region { left, top, right, bottom } = region;
    let region = [left, top, right - left, bottom - top].map(|edge| edge as f32);

    let mut arrays = vec![
        Array { name: "region", shape: &[4], values: Values::F32(&region) },
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

/// The name of the tap of each column; empty where the exit has none.
fn taps<'a>(explanations: Explanations<'a>, explanation: &'a Explanation) -> impl Iterator<Item = &'a str> {
    let exit = explanation.prediction.exit;
    (0..explanations.layers.taps.len()).map(move |tap| match explanations.layers.map_at(exit, 0, tap) {
        Some(at) => &*explanation.maps[at].tap,
        None => "",
    })
}

/// (E), or (E, N).
fn target_shape(explanations: Explanations) -> Vec<usize> {
    let ranks = explanations.layers.ranks;
    if ranks > 1 { vec![explanations.exits(), ranks] } else { vec![explanations.exits()] }
}

/// The arrays of every layer; all ranks of a layer share an array.
fn layer_arrays(explanations: Explanations, input: (usize, usize)) -> Vec<NamedArray> {
    let layers = explanations.layers.all.iter().filter(|layer| layer.rank == 0);
    layers.flat_map(|layer| arrays_of_layer(explanations, layer, input)).collect()
}

fn arrays_of_layer<'a>(
    explanations: Explanations<'a>,
    layer: &Layer,
    input: (usize, usize),
) -> Vec<NamedArray> {
    let (height, width) = input;
    let joint = |key, size: &[usize], pick: &dyn Fn(&'a Explanation) -> Vec<f32>| {
        joint_array(explanations, layer.kind, key, size, pick)
    };
    match layer.kind {
        LayerKind::Heatmap(source) => {
            let heatmap = |e| explanations.heatmap_at(source, e, input).values;
            let (mut arrays, prefix) = match source {
                HeatmapSource::Cam { method, tap } => (cam_arrays(explanations, method, tap), "heatmap"),
                HeatmapSource::Fused { .. } => (Vec::new(), "fused"),
            };
            arrays.push(joint(key(explanations, &[prefix], source), &[height, width], &heatmap));
            arrays
        }
        LayerKind::Difference(difference) => {
            let minuend = difference.minuend();
            let prefix: &[&str] = match minuend {
                HeatmapSource::Cam { .. } => &["difference"],
                HeatmapSource::Fused { .. } => &["difference", "fused"],
            };
            let values = |e| explanations.difference(difference, e, input).values;
            vec![joint(key(explanations, prefix, minuend), &[height, width], &values)]
        }
        LayerKind::Pixels { method } => {
            let name = explanations.all[0].pixels[method].method.name();
            let values = |e: &'a Explanation| e.pixels[method].values.clone();
            vec![joint(format!("pixels.{name}"), &[3, height, width], &values)]
        }
    }
}

/// The array of all exits, each of `size`: zero for those that do not have what the layer shows.
fn joint_array<'a>(
    explanations: Explanations<'a>,
    kind: LayerKind,
    key: String,
    size: &[usize],
    pick: &dyn Fn(&'a Explanation) -> Vec<f32>,
) -> NamedArray {
    let zeros = || vec![0.0; size.iter().product()];
    let values = |e| if explanations.has(kind, e) { pick(e) } else { zeros() };
    NamedArray {
        key,
        shape: [target_shape(explanations).as_slice(), size].concat(),
        values: explanations.all.iter().flat_map(values).collect(),
    }
}

/// The activation maps of a method in a column of taps: one array if they have one size, otherwise one for each exit.
fn cam_arrays(explanations: Explanations, method: usize, tap: usize) -> Vec<NamedArray> {
    let source = HeatmapSource::Cam { method, tap };
    let (kind, key) = (LayerKind::Heatmap(source), key(explanations, &["cam"], source));
    let size = |explanation| {
        let shape = explanations.map(explanation, method, tap).shape;
        [shape.h, shape.w]
    };
    let mut sizes = explanations.all.iter().filter(|e| explanations.has(kind, e)).map(size);
    let Some(first) = sizes.next() else { return Vec::new() };
    if sizes.all(|size| size == first) {
        let map = |e| explanations.map(e, method, tap).map.clone();
        return vec![joint_array(explanations, kind, key, &first, &map)];
    }
    let ranks = target_shape(explanations).split_off(1);
    let of_exit = |exit: usize| NamedArray {
        key: format!("{key}.exit{}", explanations.at(exit, 0).prediction.exit),
        shape: [ranks.as_slice(), &size(explanations.at(exit, 0))].concat(),
        values: (0..explanations.layers.ranks)
            .flat_map(|rank| &explanations.map(explanations.at(exit, rank), method, tap).map)
            .copied()
            .collect(),
    };
    let exits = (0..explanations.exits()).filter(|&exit| explanations.has(kind, explanations.at(exit, 0)));
    exits.map(of_exit).collect()
}

/// The key of a heatmap's array: `prefix`, then method and tap where there are several.
fn key(explanations: Explanations, prefix: &[&str], source: HeatmapSource) -> String {
    let Layers { methods, tap_files, .. } = explanations.layers;
    let mut parts = prefix.to_vec();
    if methods.len() > 1 {
        parts.push(methods[source.method()].name());
    }
    if let HeatmapSource::Cam { tap, .. } = source
        && tap_files.len() > 1
    {
        parts.push(&tap_files[tap]);
    }
    parts.join(".")
}

/// `x` as by `numpy.nan_to_num`: archives hold no NaN. The result line's status tells of it.
fn finite(x: f32) -> f32 {
    if x.is_nan() { 0.0 } else { x.clamp(f32::MIN, f32::MAX) }
}
