//! A model on its device, as a Python object.

use std::path::PathBuf;

use msdcam::engine::cpu::Isa;
use msdcam::engine::cuda::Variant;
use msdcam::imaging::ResizePolicy;
use msdcam::model::inspect::exits_of_model;
use msdcam::model::{Labels, Normalization, OpenOptions, Source};
use msdcam::{DeviceChoice, DeviceOptions, Error, Model, Target};
use numpy::{PyArrayDyn, PyReadonlyArray3, PyReadonlyArray4, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::arrays::{array, elements};
use crate::call::{Signals, Stop, detached};
use crate::draw::{LayerArguments, StyleArguments, check_memory, denormalized, draw};
use crate::evaluate::{EarlyExit, FileSet, Labeled, evaluate};
use crate::faithfulness::{MetricArguments, faithfulness};
use crate::images::{ImageArguments, Photo, PhotoArgument};
use crate::request::{RequestArguments, exits, is_slow};
use crate::runtime::{Runtime, Runtimes};
use crate::{classify, errors, explain};

/// A model on its device. Its methods may be called by several threads, which take turns.
#[pyclass(frozen, module = "msdcam._native")]
pub struct Network {
    model: Model,
    runtimes: Runtimes,
    threads: usize,
    gpu_error: Option<String>,
}

/// What a caller says of an ONNX file, as a dictionary.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct FileArguments {
    input_size: Option<(usize, usize)>,
    normalize: Option<String>,
    /// "imagenet", or a file with a name a line.
    labels: Option<PathBuf>,
    /// Names that replace those of the model.
    names: Option<Vec<String>>,
    fit: Option<String>,
}

/// Files with labels, as a dictionary.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct FileSetArguments {
    paths: Vec<PathBuf>,
    format: String,
    labels_by: String,
    limit: Option<usize>,
}

impl FileArguments {
    fn options(&self) -> PyResult<OpenOptions> {
        let normalization = self.normalize.as_deref().map(|text| {
            text.parse::<Normalization>().map_err(|cause| {
                PyValueError::new_err(format!("normalize '{}': {cause}", msdcam::error::printable(text)))
            })
        });
        let labels = |file: &PathBuf| match file.to_str() {
            Some("imagenet") => Labels::ImageNet,
            _ => Labels::File(file.clone()),
        };
        Ok(OpenOptions {
            input_size: self.input_size,
            normalization: normalization.transpose()?,
            labels: self.labels.as_ref().map(labels),
        })
    }

    fn open(&self, py: Python<'_>, path: Option<PathBuf>) -> PyResult<Model> {
        let options = self.options()?;
        let fit = self.fit.as_deref().map(|text| {
            let policy = text.parse::<ResizePolicy>();
            policy.map_err(|cause| {
                PyValueError::new_err(format!("fit '{}': {cause}", msdcam::error::printable(text)))
            })
        });
        let fit = fit.transpose()?;
        let opened = detached(py, |_| match path {
            Some(path) => Ok(Model::open_with(path, &options)?),
            None if options != OpenOptions::default() => {
                Err(Error::usage("input_size, normalize and labels are for ONNX files").into())
            }
            None => Ok(Model::pretrained()?),
        });
        let mut model = opened.map_err(|stop| stop.into_python(py))?;
        if let Some(policy) = fit {
            model.input.resize = policy;
        }
        if let Some(names) = &self.names {
            if names.len() != model.classes() {
                let (given, classes) = (names.len(), model.classes());
                return Err(PyValueError::new_err(format!(
                    "labels: {given} names, the network has {classes} classes"
                )));
            }
            model.labels = names.clone();
        }
        Ok(model)
    }
}

impl Network {
    /// Calls `work` with the model and the runtime of this process, without the GIL.
    fn run<R: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce((&Model, &Runtime), &Signals) -> Result<R, Stop> + Send,
    ) -> PyResult<R> {
        let done = detached(py, |signals| {
            let runtime = self.runtimes.current()?;
            work((&self.model, runtime), signals)
        });
        done.map_err(|stop| {
            if let (Stop::Panic(message) | Stop::Memory(message), Ok(runtime)) =
                (&stop, self.runtimes.current())
            {
                runtime.break_off(message);
            }
            stop.into_python(py)
        })
    }

    /// The largest batch of a call with `images` images, unless it is given.
    fn batch(&self, given: Option<usize>, images: usize) -> PyResult<usize> {
        match (given, self.runtimes.choice()) {
            (Some(0), _) => Err(PyValueError::new_err("batch_size 0: expected at least one image")),
            // No larger than the images need, by steps, so that few runners do for all counts.
            (Some(batch), _) => Ok(batch.min(images.clamp(1, 1 << 16).next_power_of_two())),
            (None, _) if images <= 1 => Ok(1),
            (None, DeviceChoice::Cpu) => Ok(self.threads.clamp(4, 16)),
            (None, _) if images <= 32 => Ok(32),
            (None, _) => Ok(256),
        }
    }
}

#[pymethods]
impl Network {
    /// Opens the model at `path`, or the built-in one, on `device`; 0 threads are one a core.
    #[new]
    fn new(
        py: Python<'_>,
        path: Option<PathBuf>,
        device: &str,
        threads: usize,
        file: FileArguments,
    ) -> PyResult<Network> {
        let Some(choice) = DeviceChoice::parse(device) else {
            let device = msdcam::error::printable(device);
            return Err(PyValueError::new_err(format!(
                "device '{device}': expected auto, cpu, cuda or cuda:N"
            )));
        };
        if threads > 1024 {
            return Err(PyValueError::new_err(format!("threads {threads}: at most 1024")));
        }
        let model = file.open(py, path)?;
        let isa = match choice {
            DeviceChoice::Cuda(_) => None,
            _ => Isa::from_env().map_err(|error| errors::exception(py, &error))?,
        };
        let options = DeviceOptions { choice, threads, isa, variant: Variant::from_env() };
        let opened = detached(py, |_| Ok(Runtimes::open(options)?));
        let (runtimes, gpu_error) = opened.map_err(|stop| stop.into_python(py))?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { cores() } else { threads };
        Ok(Network { model, runtimes, threads, gpu_error: gpu_error.map(|error| error.to_string()) })
    }

    /// What the model is: a dictionary of plain values.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (model, info) = (&self.model, PyDict::new(py));
        let shape = model.input_shape();
        let device = match self.runtimes.choice() {
            DeviceChoice::Cuda(ordinal) => format!("cuda:{ordinal}"),
            _ => "cpu".into(),
        };
        info.set_item("labels", &model.labels)?;
        info.set_item("input_shape", (shape.c, shape.h, shape.w))?;
        info.set_item("mean", model.input.normalization.mean)?;
        info.set_item("std", model.input.normalization.std)?;
        info.set_item("fit", model.input.resize.to_string())?;
        info.set_item("device", device)?;
        info.set_item("threads", self.threads)?;
        info.set_item("gpu_error", &self.gpu_error)?;
        let notes = if let Source::Onnx { notes } = &model.source { notes.clone() } else { Vec::new() };
        info.set_item("notes", notes)?;
        let costs = exits_of_model(model);
        let taps = PyList::empty(py);
        for tap in model.tap_infos() {
            taps.append((tap.name, tap.channels, tap.height, tap.width, tap.exits))?;
        }
        info.set_item("taps", taps)?;
        let exits = PyList::empty(py);
        for (exit, cost) in (1..).zip(costs) {
            let own = model.exit_tap(exit).name.clone();
            let reaching: Vec<&str> = model.taps_reaching(exit).iter().map(|tap| tap.name.as_str()).collect();
            exits.append((exit, own, reaching, cost.total, cost.parameters))?;
        }
        info.set_item("exits", exits)?;
        Ok(info)
    }

    /// The device and its size, such as `cpu (2 threads, avx512)`.
    fn description(&self, py: Python<'_>) -> PyResult<String> {
        self.run(py, |(_, runtime), _| Ok(runtime.device.description()))
    }

    /// The input for a photo: (3, H, W).
    fn prepare<'py>(
        &self,
        py: Python<'py>,
        photo: PhotoArgument<'py>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let (photo, shape) = (photo.borrowed()?, self.model.input_shape());
        let prepared = detached(py, |_| Ok(self.model.prepare(&photo.read()?).tensor));
        let tensor = prepared.map_err(|stop| stop.into_python(py))?;
        Ok(array(py, &[shape.c, shape.h, shape.w], tensor))
    }

    /// Explains images by `request`: a dictionary of arrays.
    #[pyo3(signature = (tensor, photos, request, labels, batch))]
    fn explain<'py>(
        &self,
        py: Python<'py>,
        tensor: Option<PyReadonlyArray4<'py, f32>>,
        photos: Option<Vec<PhotoArgument<'py>>>,
        request: RequestArguments,
        labels: Vec<usize>,
        batch: Option<usize>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let arguments = ImageArguments { tensor, photos };
        let images = arguments.borrowed(&self.model)?;
        let request = request.request(&self.model).map_err(|error| errors::exception(py, &error))?;
        if labels.is_empty() && request.target == Target::Label {
            let text = "target 'label': give the class of each image as a list";
            if images.count(self.model.input_shape().len()) > 0 {
                return Err(PyValueError::new_err(text));
            }
        }
        // Methods with many runs take long: between two images a signal is heard.
        let count = images.count(self.model.input_shape().len());
        let batch = if is_slow(&request) && batch.is_none() { 1 } else { self.batch(batch, count)? };
        let results = self.run(py, |parts, signals| {
            explain::explain(parts, &images, (&request, &labels), (batch, self.threads), signals)
        })?;
        results.into_python(py)
    }

    /// Classifies images: a dictionary of arrays.
    #[pyo3(signature = (tensor, photos, exits, thresholds, batch))]
    fn classify<'py>(
        &self,
        py: Python<'py>,
        tensor: Option<PyReadonlyArray4<'py, f32>>,
        photos: Option<Vec<PhotoArgument<'py>>>,
        exits: Option<Vec<usize>>,
        thresholds: Option<Vec<Option<f32>>>,
        batch: Option<usize>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let arguments = ImageArguments { tensor, photos };
        let images = arguments.borrowed(&self.model)?;
        let batch = self.batch(batch, images.count(self.model.input_shape().len()))?;
        let exits = self::exits(exits, &self.model);
        let results = self.run(py, |parts, signals| {
            let how = (&exits[..], thresholds.as_deref());
            classify::classify(parts, &images, how, (batch, self.threads), signals)
        })?;
        results.into_python(py)
    }

    /// Evaluates exits on labeled images: JSON, and a line for each image that could not be used.
    #[pyo3(signature = (files, tensor, photos, labels, exits, thresholds, budget, batch))]
    #[allow(clippy::too_many_arguments)] // keywords of one Python function
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        files: Option<FileSetArguments>,
        tensor: Option<PyReadonlyArray4<'py, f32>>,
        photos: Option<Vec<PhotoArgument<'py>>>,
        labels: Vec<usize>,
        exits: Option<Vec<usize>>,
        thresholds: Option<Vec<Option<f32>>>,
        budget: Option<f64>,
        batch: usize,
    ) -> PyResult<(String, Vec<String>)> {
        let arguments = ImageArguments { tensor, photos };
        let images = self.labeled(files, &arguments, labels)?;
        let exits = self::exits(exits, &self.model);
        let early_exit = match (thresholds, budget) {
            (Some(_), Some(_)) => {
                return Err(PyValueError::new_err("early_exit and budget: give one of them"));
            }
            (Some(thresholds), None) => EarlyExit::Thresholds(thresholds),
            (None, Some(budget)) => EarlyExit::Budget(budget),
            (None, None) => EarlyExit::No,
        };
        let batch = self.batch(Some(batch), 1 << 16)?;
        self.run(py, |parts, signals| {
            evaluate(parts, &images, (&exits, &early_exit), (batch, self.threads), signals)
        })
    }

    /// Measures the faithfulness of maps: JSON, and a line for each image that could not be used.
    #[pyo3(signature = (files, tensor, photos, labels, settings))]
    fn faithfulness<'py>(
        &self,
        py: Python<'py>,
        files: Option<FileSetArguments>,
        tensor: Option<PyReadonlyArray4<'py, f32>>,
        photos: Option<Vec<PhotoArgument<'py>>>,
        labels: Vec<usize>,
        settings: MetricArguments,
    ) -> PyResult<(String, Vec<String>)> {
        let arguments = ImageArguments { tensor, photos };
        let images = self.labeled(files, &arguments, labels)?;
        self.run(py, |parts, signals| faithfulness(parts, &images, &settings, self.threads, signals))
    }

    /// Draws one layer of one image: pixels of shape (H, W, 3). `tensor` is the input where there is no photo;
    /// `exit` is a position, without which all exits are drawn as a film strip with the headline `title`.
    #[pyo3(signature = (tensor, photo, request, exits, layer, style, exit, title))]
    #[allow(clippy::too_many_arguments)] // keywords of one Python function
    fn draw<'py>(
        &self,
        py: Python<'py>,
        tensor: Option<PyReadonlyArray3<'py, f32>>,
        photo: Option<PhotoArgument<'py>>,
        request: RequestArguments,
        exits: Vec<usize>,
        layer: LayerArguments<'py>,
        style: StyleArguments,
        exit: Option<usize>,
        title: &str,
    ) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
        let shape = self.model.input_shape();
        let tensor = tensor.as_ref().map(|tensor| {
            if tensor.shape() != [shape.c, shape.h, shape.w] {
                return Err(PyValueError::new_err("the image is not of the network's shape"));
            }
            elements(tensor, "image")
        });
        let tensor = tensor.transpose()?;
        let photo: Option<Photo> = photo.as_ref().map(PhotoArgument::borrowed).transpose()?;
        let layer = layer.owned(&exits)?;
        let picture = detached(py, |_| {
            let photo = match (photo, tensor) {
                (Some(photo), _) => photo.read()?,
                (None, Some(tensor)) => denormalized(&self.model, tensor),
                (None, None) => return Err(Error::usage("a picture needs a photo or its input").into()),
            };
            if exit.is_some() {
                check_memory(&photo, &style)?;
            }
            Ok(draw(&self.model, &photo, (&request, &style), layer, (exit, title))?)
        });
        let picture = picture.map_err(|stop| stop.into_python(py))?;
        Ok(array(py, &[picture.height, picture.width, 3], picture.rgb))
    }

    /// Panics during a computation: for the tests.
    fn _panic(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, |(_, runtime), signals| {
            let _held = runtime.runners(signals)?;
            panic!("asked for by a test")
        })
    }
}

impl Network {
    /// The images of an evaluation.
    fn labeled<'a>(
        &self,
        files: Option<FileSetArguments>,
        images: &'a ImageArguments<'_>,
        labels: Vec<usize>,
    ) -> PyResult<Labeled<'a>> {
        match files {
            Some(FileSetArguments { paths, format, labels_by, limit }) => {
                Ok(Labeled::Files(FileSet { paths, format, labels_by, limit }))
            }
            None => Ok(Labeled::Given(images.borrowed(&self.model)?, labels)),
        }
    }
}
