//! ONNX files: convolutional networks of any family, with an exit for each output of class scores.
//!
//! ```text
//! file ─ protobuf ─ messages (tensor, external_data) ─ import (fold, layout, windows) ─ graph ─ heads ─ Model
//! ```
//!
//! The graph is taken over node by node; nothing outside of this module knows where it came from.

mod description;
mod external_data;
mod fold;
mod heads;
mod import;
mod layout;
mod messages;
mod protobuf;
mod tensor;
mod windows;

use std::io::BufReader;
use std::path::Path;

use super::digest::{Digested, Digester};
use super::source_file::SourceFile;
use super::{Labels, Model, Normalization, OpenOptions, Source, Tap, class_names};
use crate::Shape;
use crate::engine::graph::ops::Activation;
use crate::engine::graph::{NodeId, Op};
use crate::error::printable;
use crate::imaging::ResizePolicy;
use crate::util::listed::listed;
use crate::{Error, Result};

use description::Description;
use external_data::ExternalFiles;
use import::{ImageInput, Importer, Value};
use layout::Layout;
use messages::{GraphProto, ModelProto, ValueInfo, ValueKind};
use protobuf::Input;
use tensor::StoredTensor;

/// Versions of ONNX's operators that are read.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=25;
/// Height and width of the input where the file leaves them open and the user says nothing: those of ImageNet's
/// networks.
const USUAL_SIZE: (usize, usize) = (224, 224);
/// Most exits: each needs a pass over the graph, and a picture.
const MAX_EXITS: usize = 256;
const IMAGENET_CLASSES: usize = 1000;
/// Part of the resized photo that they are shown: 224 of 256 pixels.
const USUAL_CROP: f64 = 0.875;

/// Whether `bytes` begin like an ONNX file: the IR version, then the producer, operator sets or a graph.
pub(super) fn is_onnx(bytes: &[u8]) -> bool {
    match bytes {
        [0x08, 1..=20, second, ..] => matches!(second, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42 | 0x72),
        // Files whose operator sets come first.
        [0x42, length, 0x0a | 0x10, ..] => *length < 64,
        _ => false,
    }
}

/// The model in the ONNX file `source`; `options` and the files beside it say what it leaves open. What is read is added
/// to a digest, if one is taken.
///
/// # Errors
/// When the file is damaged, or the network cannot be run: names every operator that is not supported.
pub(super) fn read(
    source: &SourceFile,
    options: &OpenOptions,
    mut digester: Option<&mut Digester>,
) -> Result<Model> {
    let file = parse(source, digester.as_deref_mut())?;
    model(source, file, options, digester)
}

/// What a file says of itself.
pub(super) struct Summary {
    /// Name and version of the program that wrote it.
    pub producer: String,
    /// Version of ONNX's operators.
    pub opset: Option<i64>,
    /// Number of weights and constants.
    pub tensors: usize,
    /// Number of operators.
    pub nodes: usize,
}

/// What the file says of itself, and its model as by [`read`].
///
/// # Errors
/// When the file is damaged.
pub(super) fn inspect(source: &SourceFile, digester: &mut Digester) -> Result<(Summary, Result<Model>)> {
    let file = parse(source, Some(digester))?;
    let summary = Summary {
        producer: file.producer.clone(),
        opset: file.opset(),
        tensors: file.graph.as_ref().map_or(0, |graph| graph.initializers.len()),
        nodes: file.graph.as_ref().map_or(0, |graph| graph.nodes.len()),
    };
    Ok((summary, model(source, file, &OpenOptions::default(), Some(digester))))
}

/// The messages of the file, whose weights are read to where they stay.
fn parse(source: &SourceFile, digester: Option<&mut Digester>) -> Result<ModelProto> {
    let (stream, length) = source.stream()?;
    let mut input = Input::new(BufReader::new(Digested::new(stream, digester)));
    let file = ModelProto::read(input.message(length));
    file.map_err(|cause| Error::refused(source.path(), "ONNX", cause))
}

/// The model of a file.
fn model(
    source: &SourceFile,
    mut file: ModelProto,
    options: &OpenOptions,
    digester: Option<&mut Digester>,
) -> Result<Model> {
    let path = source.path();
    let refused = |cause: String| Error::refused(path, "ONNX", cause);
    let opset = check_opset(&file).map_err(refused)?;
    let mut graph = file.graph.take().ok_or_else(|| refused("it has no graph".into()))?;
    let description = Description::find(path, &file.metadata)?;
    let size = options.input_size.or(description.input_size.as_ref().map(|(size, _)| *size));
    let (image, mut notes) = image_input(&graph, size, options.input_size.is_some()).map_err(refused)?;
    read_external_data(&mut graph, path, digester)?;
    source.confirm()?;
    let mut importer = Importer::new(&mut graph, opset, &image).map_err(refused)?;
    importer.import(&graph.nodes, &graph.outputs).map_err(refused)?;
    let outputs = exits(&graph, &importer, &mut notes).map_err(refused)?;
    let model = build(importer, outputs);
    let mut model =
        model.map_err(
            |error| if let Error::Refused { .. } = error { error } else { refused(error.to_string()) },
        )?;
    model.input.normalization = normalization(options, &description, &mut notes);
    let is_described = options.normalization.is_some() || description.normalization.is_some();
    let crop = match description.crop {
        None if !is_described && model.classes() == IMAGENET_CLASSES => Some(USUAL_CROP),
        crop => crop,
    };
    if let Some(crop) = crop.filter(|&crop| crop < 1.0) {
        let shorter = model.input.height.min(model.input.width);
        let from = (shorter as f64 / crop).floor() as usize;
        model.input.resize = ResizePolicy::CenterCropFrom(from);
        if description.crop.is_none() {
            notes.push(format!("assumed: ImageNet's crop of {shorter} of {from} pixels (--fit)"));
        }
    }
    model.labels = labels(model.classes(), options, description, &mut notes)?;
    model.source = Source::Onnx { notes };
    Ok(model)
}

/// The normalization of pixels: the user's, that of a description, or ImageNet's with a note.
fn normalization(options: &OpenOptions, description: &Description, notes: &mut Vec<String>) -> Normalization {
    match (options.normalization, &description.normalization) {
        (Some(normalization), _) => normalization,
        (None, Some((normalization, origin))) => {
            notes.push(format!("normalization from {origin}"));
            *normalization
        }
        (None, None) => {
            let unusable: String = description.unusable.iter().map(|cause| format!("; {cause}")).collect();
            notes.push(format!(
                "assumed: ImageNet's normalization, which the file does not say (--normalize){unusable}"
            ));
            Normalization::IMAGENET
        }
    }
}

/// The names of the classes: the user's, those of a description, or for 1000 classes ImageNet's with a note.
fn labels(
    classes: usize,
    options: &OpenOptions,
    description: Description,
    notes: &mut Vec<String>,
) -> Result<Vec<String>> {
    match (&options.labels, description.labels) {
        (Some(Labels::File(file)), _) => {
            let found = class_names::read(file, classes)?;
            notes.extend(found.note());
            Ok(found.names)
        }
        (Some(Labels::ImageNet), _) if classes != IMAGENET_CLASSES => Err(Error::usage(format!(
            "--labels imagenet: the network has {classes} classes, ImageNet {IMAGENET_CLASSES}"
        ))),
        (None, Some((names, origin))) if names.len() == classes => {
            notes.push(format!("class names from {origin}"));
            Ok(class_names::told_apart(&names).names)
        }
        (asked, described) => {
            if let Some((names, origin)) = described.filter(|_| asked.is_none()) {
                notes
                    .push(format!("{origin} has {} class names, the network {classes} classes", names.len()));
            }
            if classes != IMAGENET_CLASSES {
                notes.push("assumed: classes without names are numbered from 0 (--labels)".into());
                return Ok(super::weights::numbered(classes));
            }
            if asked.is_none() {
                notes
                    .push("assumed: the 1000 classes are ImageNet's, in their usual order (--labels)".into());
            }
            Ok(class_names::imagenet())
        }
    }
}

/// Reads the tensors of `graph` that are in files beside the ONNX file `path`.
fn read_external_data(
    graph: &mut GraphProto,
    path: &Path,
    mut digester: Option<&mut Digester>,
) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let external = graph.initializers.iter_mut().filter(|(_, tensor)| tensor.external.is_some());
    let mut external: Vec<(&String, &mut StoredTensor)> = external.collect();
    if external.is_empty() {
        return Ok(());
    }
    external.sort_by_key(|(name, _)| *name);
    let mut files = ExternalFiles::new(folder);
    for (name, tensor) in external {
        let refused = |cause: String| Error::refused(path, format!("tensor '{name}'"), cause);
        let needed = tensor.bytes().map_err(refused)?;
        let Some(data) = tensor.external.take() else { continue };
        files.check(&data, needed).map_err(refused)?;
        let read = |bytes: &mut [u8]| {
            files.read(&data, bytes)?;
            if let Some(digester) = &mut digester {
                digester.external_data(bytes);
            }
            Ok(())
        };
        tensor.set_raw(needed, read).map_err(refused)?;
    }
    if let Some(digester) = digester {
        digester.end_external_data();
    }
    files.confirm()
}

/// The version of ONNX's own operators.
fn check_opset(file: &ModelProto) -> Result<i64, String> {
    if file.has_functions {
        return Err(
            "it defines operators as functions, which are not supported; export it without them".into()
        );
    }
    let version = file.opset().ok_or("it names no version of the operators")?;
    if OPSETS.contains(&version) {
        return Ok(version);
    }
    Err(format!("opset {version}, supported are {} to {}", OPSETS.start(), OPSETS.end()))
}

/// The only input that is no initializer, an image of three channels, and notes about what was assumed.
///
/// `size` is the height and width that the user, if it `is_asked`, or a description says.
fn image_input(
    graph: &GraphProto,
    size: Option<(usize, usize)>,
    is_asked: bool,
) -> Result<(ImageInput, Vec<String>), String> {
    let inputs: Vec<&ValueInfo> =
        graph.inputs.iter().filter(|input| !graph.initializers.contains_key(&input.name)).collect();
    let [input] = inputs[..] else {
        let names = listed(inputs.iter().map(|input| input.name.as_str()));
        return Err(match inputs.len() {
            0 => "it has no input".into(),
            n => format!("{n} inputs, expected one image: {names}"),
        });
    };
    let what = |cause: String| format!("input '{}': {cause}", input.name);
    let ValueKind::Tensor { element, dims } = &input.kind else {
        return Err(what("no tensor, expected an image".into()));
    };
    if !tensor::is_floating_point(*element) {
        return Err(what(
            "elements that are no floating-point numbers: export it for floats, msdcam normalizes the pixels"
                .into(),
        ));
    }
    let Some([batch, a, b, c]) = dims.as_deref().and_then(|dims| <[Option<usize>; 4]>::try_from(dims).ok())
    else {
        let rank = dims.as_ref().map_or("no".into(), |dims| dims.len().to_string());
        return Err(what(format!("{rank} dimensions, expected (N, 3, H, W)")));
    };
    let shown = |dims: [Option<usize>; 4]| {
        let dims = dims.map(|n| n.map_or("?".into(), |n| n.to_string()));
        format!("dimensions ({})", dims.join(", "))
    };
    let (layout, sides) = match (a, c) {
        (Some(3), _) => (Layout::nchw(), [b, c]),
        (_, Some(3)) => (Layout::nhwc(), [a, b]),
        _ => return Err(what(format!("{}, expected three channels", shown([batch, a, b, c])))),
    };
    if sides.contains(&Some(0)) {
        return Err(what(format!("{}, expected pixels", shown([batch, a, b, c]))));
    }
    let mut notes = Vec::new();
    let (height, width) = match (sides, size) {
        ([Some(h), Some(w)], Some(asked)) if is_asked && asked != (h, w) => {
            return Err(what(format!("{h}x{w} pixels, --input-size says {}x{}", asked.0, asked.1)));
        }
        ([Some(h), Some(w)], _) => (h, w),
        (_, Some(asked)) => asked,
        ([h, w], None) => {
            let (height, width) = (h.unwrap_or(USUAL_SIZE.0), w.unwrap_or(USUAL_SIZE.1));
            notes.push(format!(
                "assumed: input of {height}x{width} pixels, which the file leaves open (--input-size)"
            ));
            (height, width)
        }
    };
    if height.saturating_mul(width) > crate::imaging::MAX_PIXELS as usize {
        return Err(what(format!("{height}x{width} pixels")));
    }
    let image = ImageInput {
        name: input.name.clone(),
        shape: Shape::new(3, height, width),
        layout,
        batch: batch.filter(|&batch| batch > 0).unwrap_or(1),
    };
    Ok((image, notes))
}

/// The outputs that are class scores, by depth, and their nodes. Outputs with another number of classes than the last
/// are passed over with a note.
fn exits(graph: &GraphProto, importer: &Importer, notes: &mut Vec<String>) -> Result<Vec<NodeId>, String> {
    let mut scores: Vec<(NodeId, &str)> = Vec::new();
    let (mut others, mut unknown): (Vec<String>, Vec<&ValueInfo>) = (Vec::new(), Vec::new());
    let mut is_sigmoid = false;
    for output in &graph.outputs {
        let value = importer.value(&output.name);
        match value {
            Some(Value::Feature(feature) | Value::Probabilities(feature)) => {
                let shape = importer.graph.shape(feature.node);
                let is_vector = shape.len() == shape.c && shape.c > 1;
                if is_vector && feature.padding == [[0; 2]; 2] && !feature.layout.is_divided() {
                    // Probabilities of classes that do not exclude each other.
                    let node = importer.graph.node(feature.node);
                    let is_last = matches!(value, Some(Value::Feature(_)));
                    let logits =
                        (is_last && node.op == Op::Activation(Activation::Sigmoid)).then(|| node.inputs[0]);
                    is_sigmoid |= logits.is_some();
                    scores.push((logits.unwrap_or(feature.node), &output.name));
                } else {
                    others.push(format!("{} of {shape}", output.name));
                }
            }
            Some(Value::Unknown | Value::UnknownConstant) => unknown.push(output),
            Some(Value::Squares(_)) => others.push(output.name.clone()),
            Some(Value::Constant(_)) => others.push(format!("{}, a constant", output.name)),
            None => return Err(format!("output '{}' is computed by no node", output.name)),
        }
    }
    let classes = scores.last().map(|&(node, _)| importer.graph.shape(node).c);
    // Class scores that cannot be computed are no reason to explain the others alone.
    let may_be_scores = |output: &&ValueInfo| match (&output.kind, classes) {
        (ValueKind::Tensor { dims: Some(dims), .. }, Some(classes)) => {
            let fixed: Vec<usize> = dims.iter().skip(1).flatten().copied().collect();
            fixed.len() + 1 != dims.len() || fixed.iter().product::<usize>() == classes
        }
        _ => true,
    };
    let (needed, passed): (Vec<&ValueInfo>, Vec<&ValueInfo>) = unknown.into_iter().partition(may_be_scores);
    if !needed.is_empty() {
        let names: Vec<&str> = needed.iter().map(|output| output.name.as_str()).collect();
        let causes = importer.unsupported(&names);
        return Err(format!("not supported: {causes}"));
    }
    others.extend(passed.iter().map(|output| output.name.clone()));
    let Some(classes) = classes else {
        let names = listed(&others);
        return Err(if names.is_empty() {
            "it has no output".into()
        } else {
            format!("no output is class scores, (N, classes) or (N, classes, 1, 1): {names}")
        });
    };
    others.extend(
        scores
            .iter()
            .filter(|(node, _)| importer.graph.shape(*node).c != classes)
            .map(|&(node, name)| format!("{name} of {}", importer.graph.shape(node))),
    );
    scores.retain(|(node, _)| importer.graph.shape(*node).c == classes);
    scores.sort_by_key(|&(node, _)| node);
    // The same scores as they are and as probabilities.
    scores.dedup_by_key(|(node, _)| *node);
    if scores.len() > MAX_EXITS {
        return Err(format!("{} outputs of class scores, at most {MAX_EXITS} are supported", scores.len()));
    }
    if is_sigmoid {
        notes.push("scores are what the sigmoid at the end reads; probabilities are their softmax".into());
    }
    if !others.is_empty() {
        let names = printable(&listed(&others));
        notes.push(format!("passed over outputs that are not scores of {classes} classes: {names}"));
    }
    Ok(scores.into_iter().map(|(node, _)| node).collect())
}

/// The model whose exits have these logits.
fn build(importer: Importer, logits: Vec<NodeId>) -> Result<Model> {
    let Importer { graph, names, .. } = importer;
    let input = graph.ids().next().expect("the input is the first node");
    let taps = heads::taps(&graph, input, &logits);
    let exits: Vec<(NodeId, NodeId)> = taps.iter().copied().zip(logits.iter().copied()).collect();
    let mut model = Model::from_graph(graph, input, &exits)?;
    model.taps.extend(inner_taps(&model, &names));
    Ok(model)
}

/// The feature maps on which an exit depends, by the names of their values in the file.
fn inner_taps(model: &Model, names: &std::collections::HashMap<NodeId, String>) -> Vec<Tap> {
    let logits: Vec<NodeId> = model.exits.iter().map(|exit| exit.logits).collect();
    let needed = model.graph.ancestors(&logits);
    let is_map =
        |id: &NodeId| needed[id.index()] && model.graph.shape(*id).plane() > 1 && *id != model.input.node;
    let mut taken: std::collections::HashSet<String> =
        model.taps.iter().map(|tap| tap.name.clone()).collect();
    model
        .graph
        .ids()
        .filter(is_map)
        .filter_map(|id| {
            let name = tap_name(names.get(&id)?);
            taken.insert(name.clone()).then_some(Tap { name, node: id, scale: None })
        })
        .collect()
}

/// The name of a value as `--tap` takes it: `layer1/relu/Relu` for `/layer1/relu/Relu_output_0`.
fn tap_name(value: &str) -> String {
    let name = value.strip_suffix("_output_0").unwrap_or(value);
    printable(&name.trim_matches('/').replace(',', "_"))
}
