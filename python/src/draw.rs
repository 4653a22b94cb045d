//! Pictures by the library's renderer, as arrays of pixels and as files.

use std::hint::black_box;

use msdcam::cli::drawing::{Drawing, LayerExit, PictureOptions, shown};
use msdcam::error::printable;
use msdcam::imaging::{encode_jpeg, encode_png};
use msdcam::render::styles::ToolStyle;
use msdcam::{Colormap, Error, ExitPrediction, MapStatus, Model, OverlayStyle, Result, RgbImage};
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::arrays::{copied, elements, zeros};
use crate::request::RequestArguments;

/// Longest side of a picture that is encoded, in pixels: a limit of JPEG.
const MAX_SIDE: usize = 65_500;

/// Longest side of an overlay, in pixels.
const MAX_OVERLAY: usize = 4096;

/// How a picture looks, as a dictionary: options of the command line.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct StyleArguments {
    size: usize,
    colormap: Option<String>,
    heat_alpha: Option<f32>,
    contours: Vec<f32>,
    boxes: Option<String>,
    style: Option<String>,
    shared_scale: bool,
}

/// One layer of one image, as a dictionary: E exits, R targets an exit, K classes.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct LayerArguments<'py> {
    method: String,
    column: Option<String>,
    rank: usize,
    /// (E, K).
    probabilities: PyReadonlyArray2<'py, f32>,
    /// E classes.
    predicted: Vec<usize>,
    /// E x R classes, exits first.
    target: Vec<usize>,
    /// For each exit (R, h, w); empty where there are none.
    cams: Vec<PyReadonlyArray3<'py, f32>>,
    /// E x R heatmaps or attributions, one after another.
    values: PyReadonlyArray1<'py, f32>,
    /// E x R codes.
    status: Vec<u8>,
}

/// A layer with elements of its own.
pub struct LayerToDraw {
    method: String,
    column: Option<String>,
    rank: usize,
    exits: Vec<LayerExit>,
}

impl StyleArguments {
    fn options(&self) -> Result<PictureOptions> {
        let style = self.style.as_deref().map(str::parse::<ToolStyle>).transpose()?;
        let fixed = [
            ("colormap", self.colormap.is_some()),
            ("heat_alpha", self.heat_alpha.is_some()),
            ("scale", self.shared_scale),
        ];
        if let (Some(style), Some((name, _))) = (style, fixed.into_iter().find(|(_, given)| *given)) {
            return Err(Error::usage(format!("style {style}: sets its own {name}; omit {name}")));
        }
        if !(16..=MAX_OVERLAY).contains(&self.size) {
            return Err(Error::usage(format!("size {}: expected 16 to {MAX_OVERLAY} pixels", self.size)));
        }
        if let Some(level) = self.contours.iter().find(|&&level| !(level > 0.0 && level < 1.0)) {
            return Err(Error::usage(format!("contours {level}: expected levels between 0 and 1")));
        }
        let default = OverlayStyle::default();
        let heat_alpha = self.heat_alpha.unwrap_or(default.heat_alpha);
        if !(0.0..=1.0).contains(&heat_alpha) {
            return Err(Error::usage(format!("heat_alpha {heat_alpha}: expected an opacity from 0 to 1")));
        }
        let colormap = self.colormap.as_deref().map(str::parse::<Colormap>).transpose()?;
        Ok(PictureOptions {
            overlay: OverlayStyle {
                style,
                colormap: colormap.unwrap_or(default.colormap),
                heat_alpha,
                contours: self.contours.clone(),
            },
            shared_scale: self.shared_scale,
            boxes: self.boxes.as_deref().map(str::parse).transpose()?,
            side: self.size,
        })
    }
}

impl LayerArguments<'_> {
    /// The layer; `numbers` are those of its exits.
    ///
    /// # Errors
    /// When the arrays do not fit each other.
    pub fn owned(self, numbers: &[usize]) -> PyResult<LayerToDraw> {
        let invalid = || PyValueError::new_err("the arrays of the explanation do not fit each other");
        let exits = numbers.len();
        let &[rows, classes] = self.probabilities.shape() else { unreachable!("two dimensions") };
        let ranks = self.target.len().checked_div(exits).unwrap_or(0);
        let all = exits * ranks;
        let values = elements(&self.values, "values")?;
        let probabilities = elements(&self.probabilities, "probabilities")?;
        let fits = [
            all > 0 && self.target.len() == all && self.status.len() == all,
            rows == exits && self.predicted.len() == exits,
            values.len().is_multiple_of(all.max(1)),
            self.cams.is_empty() || self.cams.len() == exits,
            self.cams.iter().all(|cam| cam.shape()[0] == ranks),
        ];
        if fits != [true; 5] {
            return Err(invalid());
        }
        let len = values.len() / all;
        let mut found = Vec::with_capacity(all);
        for (at, (&target, &code)) in self.target.iter().zip(&self.status).enumerate() {
            let (exit, rank) = (at / ranks, at % ranks);
            let map = match self.cams.get(exit) {
                None => (Vec::new(), (0, 0)),
                Some(cam) => {
                    let (h, w) = (cam.shape()[1], cam.shape()[2]);
                    (elements(cam, "cam")?[rank * h * w..][..h * w].to_vec(), (h, w))
                }
            };
            let status = match code {
                1 => MapStatus::Empty,
                2 => MapStatus::Constant,
                3 => MapStatus::Nonfinite,
                _ => MapStatus::Ok,
            };
            found.push(LayerExit {
                prediction: ExitPrediction {
                    exit: numbers[exit],
                    class: self.predicted[exit],
                    logits: Vec::new(),
                    probabilities: probabilities[exit * classes..][..classes].to_vec(),
                },
                target,
                map,
                values: values[at * len..][..len].to_vec(),
                status,
            });
        }
        let LayerArguments { method, column, rank, .. } = self;
        Ok(LayerToDraw { method, column, rank, exits: found })
    }
}

/// Bytes for each pixel of a picture that drawing it takes at most, without the styles of other tools and with them;
/// measured, with a reserve.
const BYTES_PER_PIXEL: [usize; 2] = [20, 44];

/// Checks that the system has memory for the picture of `photo` at one exit, of which the renderer asks for a part in
/// ways that cannot be refused.
///
/// # Errors
/// `MemoryError` when it has not.
pub fn check_memory(photo: &RgbImage, style: &StyleArguments) -> PyResult<()> {
    // Larger ones are refused.
    let side = style.size.min(MAX_OVERLAY);
    let picture = side * side * BYTES_PER_PIXEL[usize::from(style.style.is_some())];
    // The rows of the photo are resized before its columns.
    let bytes = picture.saturating_add(photo.height.saturating_mul(3 * side));
    // Of memory that is not used the compiler does not ask.
    black_box(zeros::<u8>("picture", bytes)?);
    Ok(())
}

/// Draws a layer over `photo`: the exit at position `exit`, or the film strip of all with the headline `title`.
///
/// # Errors
/// When a setting is out of range, or the arrays do not fit the model.
pub fn draw(
    model: &Model,
    photo: &RgbImage,
    (request, style): (&RequestArguments, &StyleArguments),
    layer: LayerToDraw,
    (exit, title): (Option<usize>, &str),
) -> Result<RgbImage> {
    let drawing = Drawing::new(model, &request.request(model)?, style.options()?)?;
    let shown = (shown(&drawing, layer.method.parse()?, layer.column.as_deref())?, layer.rank);
    match exit {
        Some(exit) => drawing.picture(model, photo, shown, layer.exits, exit),
        None => drawing.strip(model, photo, title, shown, layer.exits),
    }
}

/// The picture that a normalized input shows: (3, H, W).
pub fn denormalized(model: &Model, tensor: &[f32]) -> RgbImage {
    let (height, width) = (model.input.height, model.input.width);
    let (plane, normalization) = (height * width, model.input.normalization);
    let value = |i: usize, c: usize| {
        let x = tensor[c * plane + i] * normalization.std[c] + normalization.mean[c];
        // Saturates; NaN is 0.
        (x * 255.0).round() as u8
    };
    let rgb = (0..plane).flat_map(|i| [0, 1, 2].map(|c| value(i, c))).collect();
    RgbImage::new(width, height, rgb)
}

/// The bytes of a picture file: `pixels` is (H, W, 3), `format` is "png" or "jpeg".
///
/// # Errors
/// `ValueError` for another shape or format.
#[pyfunction]
#[pyo3(signature = (pixels, format, quality=95))]
pub fn encode<'py>(
    py: Python<'py>,
    pixels: PyReadonlyArray3<'py, u8>,
    format: &str,
    quality: i64,
) -> PyResult<Bound<'py, PyBytes>> {
    let &[height, width, channels] = pixels.shape() else { unreachable!("three dimensions") };
    if channels != 3 || !(1..=MAX_SIDE).contains(&height) || !(1..=MAX_SIDE).contains(&width) {
        let text = format!("picture of shape ({height}, {width}, {channels}): expected (H, W, 3)");
        return Err(PyValueError::new_err(text));
    }
    if !(1..=100).contains(&quality) {
        return Err(PyValueError::new_err(format!("quality {quality}: expected 1 to 100")));
    }
    let quality = quality as u8;
    let picture = RgbImage::new(width, height, copied("picture", elements(&pixels, "picture")?)?);
    let bytes = match format {
        "png" => py.detach(|| encode_png(&picture)),
        "jpeg" => py.detach(|| encode_jpeg(&picture, quality)),
        _ => {
            return Err(PyValueError::new_err(format!(
                "format '{}': there are png, jpeg",
                printable(format)
            )));
        }
    };
    Ok(PyBytes::new(py, &bytes))
}
