//! The rows of an image in the arrays of a run.
//!
//! With N images, E exits and, with `--class topN`, a dimension of ranks after E:
//!
//! | file | shape | |
//! |---|---|---|
//! | `exit` | (E) | exits, from 1 |
//! | `tap` | (E, taps) | names of the taps, if there are maps |
//! | `state` | (N) | 0: failed, 1: classified, 2: explained |
//! | `label` | (N) | class of the data set, -1 without one |
//! | `region` | (N, 4) | as in a photo's archive |
//! | `class`, `target`, `score`, `logits` | (N, E...) | as in a photo's archive |
//! | `input` | (N, H, W, 3) | what the network saw, 8-bit RGB |
//! | `cam`, `fused`, ... | (N, E...) | as in a photo's archive, by the same keys |
//!
//! What an image does not have is zero.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::dataset::Item;
use crate::explain::{ExitPrediction, Smoothing};
use crate::run::{ArrayField, ArraySpec, ConstantArray, ConstantValues, ElementKind};

use super::array_args::{ArrayGroup, Arrays};
use super::arrays::{finite, region_array};
use super::artifacts::{ArtifactSpec, ImageArtifacts};
use super::map_arrays::{MapArray, MapArrays, MapKind, tap_names, target_shape};
use crate::cli::images::Photo;
use crate::{Error, Result};

/// The arrays of a run and what is in them.
#[derive(Debug)]
pub struct RowLayout {
    pub spec: ArraySpec,
    /// For each field, what it holds.
    contents: Vec<Content>,
}

#[derive(Debug, Clone)]
enum Content {
    State,
    Label,
    Region,
    Class,
    Target,
    Score,
    Logits,
    Input,
    Maps(MapArray),
}

/// What became of an image.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    Failed,
    Classified(&'a Photo, &'a [ExitPrediction]),
    Explained(&'a ImageArtifacts<'a>),
}

impl RowLayout {
    /// The arrays of a run at these `exits`, of a network with `classes` classes.
    ///
    /// # Errors
    /// [`Error::Usage`] when arrays are named that the request does not have.
    pub fn new(
        spec: &ArtifactSpec,
        exits: &[usize],
        classes: usize,
        smoothing: &Smoothing,
        arrays: &Arrays,
    ) -> Result<RowLayout> {
        let ArtifactSpec { layers, pixels, input, .. } = spec;
        let maps = MapArrays { layers, pixels, exits, input: *input }.all();
        let of_group = |group| maps.iter().any(|array| group_of(array.kind()) == group);
        let small = [ArrayGroup::Input, ArrayGroup::Logits];
        if let Some(missing) = arrays.named().iter().find(|&&g| !small.contains(&g) && !of_group(g)) {
            let name = missing.name();
            return Err(Error::usage(format!("--arrays {name}: the request has no array {name}")));
        }
        // Smoothed heatmaps are more than their resized maps.
        let wants = |group| arrays.wants(group, *smoothing != Smoothing::None);
        let (height, width) = spec.input;
        let each = target_shape(&spec.layers, exits.len());
        let small = [
            ("label", ElementKind::I64, vec![], Content::Label),
            ("region", ElementKind::F32, vec![4], Content::Region),
            ("class", ElementKind::I64, vec![exits.len()], Content::Class),
            ("target", ElementKind::I64, each.clone(), Content::Target),
            ("score", ElementKind::F32, each, Content::Score),
        ];
        let logits = ("logits", arrays.dtype(), vec![exits.len(), classes], Content::Logits);
        let input = ("input", ElementKind::U8, vec![height, width, 3], Content::Input);
        let fields = small.into_iter().chain(wants(ArrayGroup::Logits).then_some(logits));
        let fields = fields.chain(wants(ArrayGroup::Input).then_some(input));
        let fields = fields
            .map(|(key, kind, shape, content)| (ArrayField { key: key.to_string(), kind, shape }, content));
        let maps = maps.into_iter().filter(|array| wants(group_of(array.kind()))).map(|array| {
            let (key, shape) = (array.key.clone(), array.shape.clone());
            (ArrayField { key, kind: arrays.dtype(), shape }, Content::Maps(array))
        });
        // Written last: it says that the other rows are there.
        let state = ArrayField { key: "state".to_string(), kind: ElementKind::U8, shape: vec![] };
        let (fields, contents) = fields.chain(maps).chain([(state, Content::State)]).unzip();
        Ok(RowLayout { spec: ArraySpec { constants: constants(spec, exits), fields }, contents })
    }

    /// The keys of all arrays.
    pub fn keys(&self) -> Vec<&str> {
        self.spec.keys().collect()
    }

    /// The rows of an image: the bytes of each field.
    pub fn rows(&self, spec: &ArtifactSpec, item: &Item, found: Found) -> Vec<Vec<u8>> {
        let fields = self.spec.fields.iter().zip(&self.contents);
        fields.map(|(field, content)| row(spec, field, content, item, found)).collect()
    }
}

/// The arrays that all images have in common.
fn constants(spec: &ArtifactSpec, exits: &[usize]) -> Vec<ConstantArray> {
    let numbers = exits.iter().map(|&exit| exit as i64).collect();
    let exit =
        ConstantArray { key: "exit".into(), shape: vec![exits.len()], values: ConstantValues::I64(numbers) };
    let taps: Vec<String> =
        exits.iter().flat_map(|&exit| tap_names(&spec.layers, exit)).map(String::from).collect();
    let shape = vec![exits.len(), spec.layers.taps.len()];
    let tap = ConstantArray { key: "tap".into(), shape, values: ConstantValues::Text(taps) };
    let has_taps = !spec.layers.taps.is_empty();
    [exit].into_iter().chain(has_taps.then_some(tap)).collect()
}

fn group_of(kind: MapKind) -> ArrayGroup {
    match kind {
        MapKind::Cam => ArrayGroup::Cam,
        MapKind::Heatmap => ArrayGroup::Heatmap,
        MapKind::Fused => ArrayGroup::Fused,
        MapKind::Difference => ArrayGroup::Difference,
        MapKind::Pixels => ArrayGroup::Pixels,
    }
}

/// The bytes of one field.
fn row(spec: &ArtifactSpec, field: &ArrayField, content: &Content, item: &Item, found: Found) -> Vec<u8> {
    let len = field.row_bytes().expect("the row is in memory");
    let mut bytes = Vec::with_capacity(len);
    let photo = match found {
        Found::Failed => None,
        Found::Classified(photo, _) => Some(photo),
        Found::Explained(image) => Some(image.photo),
    };
    let explained = match found {
        Found::Explained(image) => Some(image.explanations),
        _ => None,
    };
    let predictions: Vec<&ExitPrediction> = match found {
        Found::Failed => Vec::new(),
        Found::Classified(_, predictions) => predictions.iter().collect(),
        Found::Explained(ImageArtifacts { explanations, .. }) => {
            (0..explanations.exits()).map(|i| &explanations.at(i, 0).prediction).collect()
        }
    };
    let floats = |bytes: &mut Vec<u8>, values: &[f32]| put_floats(bytes, field.kind, values);
    match content {
        Content::State => bytes.push(match found {
            Found::Failed => 0,
            Found::Classified(..) => 1,
            Found::Explained(_) => 2,
        }),
        Content::Label => bytes.extend(item.label.map_or(-1, |label| label as i64).to_le_bytes()),
        Content::Region => photo.iter().for_each(|photo| floats(&mut bytes, &region_array(photo.crop))),
        Content::Class => {
            bytes.extend(predictions.iter().flat_map(|prediction| (prediction.class as i64).to_le_bytes()));
        }
        Content::Target => {
            let all = explained.iter().flat_map(|explanations| explanations.all);
            bytes.extend(all.flat_map(|explanation| (explanation.target as i64).to_le_bytes()));
        }
        Content::Score => {
            let all = explained.iter().flat_map(|explanations| explanations.all);
            all.for_each(|explanation| floats(&mut bytes, &[finite(explanation.score)]));
        }
        Content::Logits => {
            let finite = |prediction: &&ExitPrediction| -> Vec<f32> {
                prediction.logits.iter().map(|&x| finite(x)).collect()
            };
            predictions.iter().for_each(|prediction| floats(&mut bytes, &finite(prediction)));
        }
        Content::Input => photo.iter().for_each(|photo| bytes.extend_from_slice(&photo.seen.rgb)),
        Content::Maps(array) => {
            if let Some(explanations) = explained {
                array.each_part(explanations, spec.input, &mut |part| floats(&mut bytes, part));
            }
        }
    }
    // What an image does not have is zero.
    assert!(bytes.is_empty() || bytes.len() == len, "{} bytes of {} for {}", bytes.len(), len, field.key);
    bytes.resize(len, 0);
    bytes
}

/// Appends `values` as elements of `kind`.
fn put_floats(bytes: &mut Vec<u8>, kind: ElementKind, values: &[f32]) {
    /// Elements that are converted at once.
    const PART: usize = 256;
    match kind {
        ElementKind::F16 => {
            let mut halves = [f16::ZERO; PART];
            let mut within = [0.0; PART];
            for part in values.chunks(PART) {
                let (halves, within) = (&mut halves[..part.len()], &mut within[..part.len()]);
                // Beyond the largest float16 is infinity, which no array holds.
                let largest = f16::MAX.to_f32();
                within.iter_mut().zip(part).for_each(|(to, x)| *to = x.clamp(-largest, largest));
                halves.convert_from_f32_slice(within);
                halves.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
            }
        }
        _ if cfg!(target_endian = "little") => bytes.extend_from_slice(bytemuck::cast_slice(values)),
        _ => bytes.extend(values.iter().flat_map(|x| x.to_le_bytes())),
    }
}
