//! `Resize` and `Upsample`: where the rows and columns of a larger or smaller map come from.

use super::{Feature, Importer, Node, Stop, unsupported};
use crate::Shape;
use crate::engine::graph::ops::{Interpolation, Resize, Sampling};
use crate::model::onnx::fold::axis;

/// Largest side of a resized map.
const MAX_SIDE: f64 = u16::MAX as f64;
/// Most elements of a resized map: a file of a few bytes may ask for any number.
const MAX_RESIZED: usize = 1 << 28;
/// Denominators of the fractions that scales of single precision are taken for.
const MAX_DENOMINATOR: u32 = 1024;

/// What one axis of a map is to become.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Target {
    /// Its length.
    len: usize,
    /// Positions of the result for one of the map.
    scale: f64,
}

impl Target {
    /// `from` positions in `scale` times as many, rounded down.
    fn scaled(from: usize, scale: f32) -> Result<Target, String> {
        let exact = fraction(scale);
        let len = (from as f64 * exact + 1e-9).floor();
        if !(scale.is_finite() && scale > 0.0 && (1.0..=MAX_SIDE).contains(&len)) {
            return Err(format!("a side of {from} cannot be scaled by {scale}"));
        }
        Ok(Target { len: len as usize, scale: exact })
    }

    /// `from` positions in `to` ones.
    fn sized(from: usize, to: i64) -> Result<Target, String> {
        match usize::try_from(to) {
            Ok(len @ 1..) if to as f64 <= MAX_SIDE => Ok(Target { len, scale: len as f64 / from as f64 }),
            _ => Err(format!("a side of {from} cannot become {to}")),
        }
    }

    /// Where the positions are by the coordinate mode `mode`, on an axis of `from`; `None` for another mode.
    fn sampling(self, mode: &str, from: usize) -> Option<Sampling> {
        let Target { len, scale } = self;
        let step = 1.0 / scale;
        let (scale, shift) = match mode {
            "half_pixel" => (step, step / 2.0 - 0.5),
            "pytorch_half_pixel" if len == 1 => (step, 0.0),
            "pytorch_half_pixel" => (step, step / 2.0 - 0.5),
            // The middle of the map is that of the result, also where its length was rounded.
            "half_pixel_symmetric" => {
                let whole = scale * from as f64;
                (step, from as f64 / 2.0 * (1.0 - len as f64 / whole) + step / 2.0 - 0.5)
            }
            "align_corners" if len == 1 => (step, 0.0),
            "align_corners" => ((from - 1) as f64 / (len - 1) as f64, 0.0),
            "asymmetric" => (step, 0.0),
            "tf_half_pixel_for_nn" => (step, step / 2.0),
            _ => return None,
        };
        Some(Sampling { len, scale, shift })
    }
}

/// The fraction of the least denominator that is `scale` in single precision; `scale` if there is none.
fn fraction(scale: f32) -> f64 {
    let exact = f64::from(scale);
    let fractions = (1..=MAX_DENOMINATOR).map(|below| (exact * f64::from(below)).round() / f64::from(below));
    fractions.into_iter().find(|&fraction| fraction as f32 == scale).unwrap_or(exact)
}

impl Importer {
    /// `Resize`, and `Upsample`, which it was called before opset 10.
    pub(super) fn resize(&mut self, node: &Node) -> Result<Feature, Stop> {
        let feature = node.feature(0)?.clone();
        let op = node.proto.op.as_str();
        let is_old = op == "Upsample" || self.opset < 11;
        let mode = node.proto.text("mode", "nearest")?;
        let coordinates = if is_old {
            "asymmetric"
        } else {
            node.proto.text("coordinate_transformation_mode", "half_pixel")?
        };
        if node.proto.int("antialias", 0)? != 0 {
            return unsupported(format!("{op} with antialias"));
        }
        let interpolation = match (mode, node.proto.text("nearest_mode", "round_prefer_floor")?) {
            ("linear" | "bilinear", _) => Interpolation::Linear,
            ("nearest", _) if is_old => Interpolation::Floor,
            ("nearest", "round_prefer_floor") => Interpolation::NearestPreferFloor,
            ("nearest", "round_prefer_ceil") => Interpolation::NearestPreferCeil,
            ("nearest", "floor") => Interpolation::Floor,
            ("nearest", "ceil") => Interpolation::Ceil,
            ("nearest", other) => return Err(Stop::Wrong(format!("attribute 'nearest_mode' is '{other}'"))),
            (other, _) => return unsupported(format!("{op} of mode {other}")),
        };
        let shape = self.graph.shape(feature.node);
        let (from, mut sides) = ([shape.h, shape.w], [None; 2]);
        for (axis, target) in self.resize_targets(node, &feature)? {
            let size = self.dims(&feature)[axis];
            match feature.layout.side(axis, shape) {
                Some(side) => sides[side] = Some(target),
                None if target == (Target { len: size, scale: 1.0 }) => {}
                None => return unsupported(format!("{op} of other axes than rows and columns")),
            }
        }
        let mut samplings = [Sampling { len: 0, scale: 1.0, shift: 0.0 }; 2];
        for side in 0..2 {
            let target = sides[side].unwrap_or(Target { len: from[side], scale: 1.0 });
            if is_old && interpolation == Interpolation::Floor && target.scale < 1.0 {
                return unsupported(format!("{op} of mode nearest to smaller maps before opset 11"));
            }
            let Some(sampling) = target.sampling(coordinates, from[side]) else {
                return unsupported(format!("{op} by {coordinates}"));
            };
            samplings[side] = sampling;
        }
        self.resized(&feature, interpolation, samplings)
    }

    /// The axes of `feature` that `node` says, and what they become.
    fn resize_targets(&self, node: &Node, feature: &Feature) -> Result<Vec<(usize, Target)>, Stop> {
        let dims = self.dims(feature);
        let rank = dims.len();
        let axes = match node.proto.ints("axes")? {
            Some(axes) => axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?,
            None => (0..rank).collect(),
        };
        let has_attribute = node.proto.attributes.contains_key("scales");
        let place = if node.proto.op == "Upsample" || self.opset < 11 { 1 } else { 2 };
        let scales = if has_attribute { None } else { node.optional_constant(place)? };
        let scales = match scales {
            _ if has_attribute => Some(node.proto.floats("scales")?),
            Some(scales) if scales.len() > 0 => Some(scales.as_floats()?.to_vec()),
            _ => None,
        };
        let sizes =
            if place == 2 { node.optional_constant(3)?.filter(|sizes| sizes.len() > 0) } else { None };
        let counted = |count: usize| {
            if count == axes.len() { Ok(()) } else { Err(format!("{count} sizes of {} axes", axes.len())) }
        };
        let targets: Vec<Target> = match (scales, sizes) {
            (Some(scales), None) => {
                counted(scales.len())?;
                axes.iter()
                    .zip(&scales)
                    .map(|(&a, &scale)| Target::scaled(dims[a], scale))
                    .collect::<Result<_, _>>()?
            }
            (None, Some(sizes)) => {
                let sizes = sizes.as_integers()?;
                counted(sizes.len())?;
                let targets = axes.iter().zip(sizes).map(|(&a, &size)| Target::sized(dims[a], size));
                let targets = targets.collect::<Result<Vec<_>, _>>()?;
                let scales = || targets.iter().map(|target| target.scale);
                match node.proto.text("keep_aspect_ratio_policy", "stretch")? {
                    "stretch" => targets,
                    policy @ ("not_larger" | "not_smaller") => {
                        let scale = if policy == "not_larger" {
                            scales().fold(f64::INFINITY, f64::min)
                        } else {
                            scales().fold(0.0, f64::max)
                        };
                        let kept = axes.iter().map(|&a| {
                            let len = (scale * dims[a] as f64 + 0.5).floor();
                            Ok(Target { scale, ..Target::sized(dims[a], len as i64)? })
                        });
                        kept.collect::<Result<Vec<_>, String>>()?
                    }
                    other => {
                        return Err(Stop::Wrong(format!(
                            "attribute 'keep_aspect_ratio_policy' is '{other}'"
                        )));
                    }
                }
            }
            (None, None) => return Err("neither scales nor sizes are given".into()),
            (Some(_), Some(_)) => return Err("both scales and sizes are given".into()),
        };
        Ok(axes.into_iter().zip(targets).collect())
    }

    /// `feature` with other rows and columns.
    pub(super) fn resized(
        &mut self,
        feature: &Feature,
        interpolation: Interpolation,
        axes: [Sampling; 2],
    ) -> Result<Feature, Stop> {
        let shape = self.graph.shape(feature.node);
        let same = |len: usize| Sampling { len, scale: 1.0, shift: 0.0 };
        if axes == [same(shape.h), same(shape.w)] {
            return Ok(feature.clone());
        }
        let [h, w] = axes.map(|axis| axis.len);
        let elements = h.saturating_mul(w).saturating_mul(shape.c);
        if elements > MAX_RESIZED {
            let larger = Shape { h, w, ..shape };
            return Err(Stop::Wrong(format!("{larger} are more than {MAX_RESIZED} elements")));
        }
        let node = self.graph.push(Resize { interpolation, axes }, &[feature.node])?;
        Ok(Feature::new(node, feature.layout.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_of_single_precision_are_fractions() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(
            [(2.0, 2.0), (0.6, 0.6), (1.0 / 3.0, 1.0 / 3.0), (1.5, 1.5)]
                .iter()
                .all(|&(x, y)| close(fraction(x as f32), y))
        );
        assert_eq!(fraction(std::f32::consts::PI), f64::from(std::f32::consts::PI));
        assert_eq!(Target::scaled(10, 0.7).unwrap().len, 7);
        assert_eq!(Target::scaled(7, 0.6).unwrap(), Target { len: 4, scale: 0.6 });
        for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-3, 1e30] {
            assert!(Target::scaled(10, scale).is_err(), "{scale}");
        }
        assert!([0, -1, 1 << 40].iter().all(|&to| Target::sized(10, to).is_err()));
    }

    #[test]
    fn coordinates_follow_their_mode() {
        let double = Target::sized(4, 8).unwrap();
        let of = |target: Target, mode| target.sampling(mode, 4).map(|s| (s.scale, s.shift));
        assert_eq!(of(double, "half_pixel"), Some((0.5, -0.25)));
        assert_eq!(of(double, "half_pixel_symmetric"), Some((0.5, -0.25)));
        assert_eq!(of(double, "align_corners"), Some((3.0 / 7.0, 0.0)));
        assert_eq!(of(double, "asymmetric"), Some((0.5, 0.0)));
        assert_eq!(of(double, "tf_half_pixel_for_nn"), Some((0.5, 0.25)));
        assert_eq!(of(double, "tf_crop_and_resize"), None);
        let one = Target::sized(4, 1).unwrap();
        assert_eq!(
            (of(one, "pytorch_half_pixel"), of(one, "align_corners")),
            (Some((4.0, 0.0)), Some((4.0, 0.0)))
        );
        // 2.5 rows are rounded to 2, in the middle of which is still that of the four.
        let part = Target::scaled(4, 0.625).unwrap();
        assert_eq!((part.len, of(part, "half_pixel_symmetric")), (2, Some((1.6, 0.7))));
    }
}
