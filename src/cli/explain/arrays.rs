//! The NumPy archive of a photo that is given by name.
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

use crate::explain::{Explanation, PixelMethod};
use crate::imaging::Region;
use crate::util::npz;
use crate::util::npz::{Array, Values};

use super::layer_view::Explanations;
use super::map_arrays::{MapArrays, tap_names, target_shape};

/// Encodes the archive of an image's explanations by the `pixels` methods and others; the network's `input` has (H, W)
/// pixels and shows the part `region` of the photo.
pub fn encode(
    explanations: Explanations,
    pixels: &[PixelMethod],
    input: (usize, usize),
    region: Region,
) -> Vec<u8> {
    let layers = explanations.layers;
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
    let numbers: Vec<usize> = first().map(|e| e.prediction.exit).collect();
    let taps: Vec<&str> = numbers.iter().flat_map(|&exit| tap_names(layers, exit)).collect();
    let each = target_shape(layers, exits);
    let maps: Vec<_> = MapArrays { layers, pixels, exits: &numbers, input }
        .all()
        .into_iter()
        .map(|array| {
            let mut values = Vec::with_capacity(array.shape.iter().product());
            array.each_part(explanations, input, &mut |part| values.extend_from_slice(part));
            (array, values)
        })
        .collect();
    let each_exit = [exits];
    let each_logit = [exits, logits.len() / exits];
    let region = region_array(region);

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
    arrays.extend(maps.iter().map(|(array, values)| Array {
        name: &array.key,
        shape: &array.shape,
        values: Values::F32(values),
    }));
    npz::encode(&arrays)
}

/// x, y, width and height of a region.
pub fn region_array(Region { left, top, right, bottom }: Region) -> [f32; 4] {
    [left, top, right - left, bottom - top].map(|edge| edge as f32)
}

/// `x` as by `numpy.nan_to_num`: arrays hold no NaN. The result line's status tells of it.
pub fn finite(x: f32) -> f32 {
    if x.is_nan() { 0.0 } else { x.clamp(f32::MIN, f32::MAX) }
}
