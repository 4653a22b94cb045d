//! Tests of the files of a network that is not an MSD-Net: its input is no square, its exits' taps differ in size, its
//! taps have any name, and it has many classes.

use std::collections::BTreeSet;
use std::path::Path;

use super::artifacts::{Artifact, ArtifactSpec, ImageArtifacts};
use super::difference::Subtrahend;
use super::layer_view::Explanations;
use super::layers::Layers;
use super::picture_set::{PictureFormat, PictureSet};
use super::record::{ExplainRecord, StatusCounts};
use super::style_args::PictureOptions;
use super::{article, article_pictures};
use crate::Shape;
use crate::cli::images::Photo;
use crate::cli::report::tiles::Sources;
use crate::cli::timings::Timings;
use crate::engine::device::{Device, DeviceChoice};
use crate::engine::graph::ops::{AvgPool, Conv2d, Linear, MaxPool, Op, Window};
use crate::engine::graph::{Graph, NodeId};
use crate::explain::{ExplainRequest, Explainer, Fusion, Method, PixelMethod, Smoothing, Taps, Target};
use crate::imaging::bounding_box::Threshold;
use crate::imaging::rgb_image::RgbImage;
use crate::imaging::{decode, with_longer_side};
use crate::model::{Model, Tap};
use crate::render::styles::ToolStyle;
use crate::render::{OverlayStyle, strip};
use crate::report::ImageResult;
use crate::util::npz::Archive;

const CLASSES: usize = 1000;

/// Values from -1 to 1 without a pattern.
fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i + seed) * 7919 % 1009) as f32 / 504.0 - 1.0).collect()
}

fn conv(graph: &mut Graph, x: NodeId, out: usize, stride: [usize; 2]) -> NodeId {
    let channels = graph.shape(x).c;
    let weight = values(out * channels * 9, graph.params().len());
    let weight = graph.add_param(format!("conv {}", graph.params().len()), &[out, channels, 3, 3], weight);
    let conv = Conv2d::new(graph, weight, None, stride, [1, 1]);
    let conv = graph.push(conv, &[x]).unwrap();
    graph.push(Op::RELU, &[conv]).unwrap()
}

fn head(graph: &mut Graph, tap: NodeId) -> NodeId {
    let Shape { h, w, .. } = graph.shape(tap);
    let whole = Window { kernel: [h, w], ..Window::square(1, 1, 0) };
    let mean = graph.push(AvgPool { window: whole, counted: [[0; 2]; 2] }, &[tap]).unwrap();
    let channels = graph.shape(mean).c;
    let weight = graph.add_param("linear", &[CLASSES, channels], values(CLASSES * channels, 5));
    let bias = graph.add_param("bias", &[CLASSES], vec![0.0; CLASSES]);
    graph.push(Linear { weight, bias }, &[mean]).unwrap()
}

/// A network with an input of `height` x `width` and exits at taps of half its width and of an eighth of it.
fn network(height: usize, width: usize) -> Model {
    let mut graph = Graph::new();
    let input = graph.push(Op::Input(Shape::new(3, height, width)), &[]).unwrap();
    let first = conv(&mut graph, input, 4, [1, 2]);
    let pooled = graph.push(MaxPool { window: Window::square(2, 2, 0) }, &[first]).unwrap();
    let between = conv(&mut graph, pooled, 5, [1, 1]);
    let second = conv(&mut graph, between, 6, [2, 2]);
    let heads = [first, second].map(|tap| (tap, head(&mut graph, tap)));
    let mut model = Model::from_graph(graph, input, &heads).unwrap();
    let inner = |name: &str, node| Tap { name: name.into(), node, scale: None };
    model.taps.extend([
        inner("/features/0/Relu_output_0", first),
        inner("../../\u{1f408}\0:*?", between),
        inner("cam", between),
        inner("CAM", first),
        inner(&"long".repeat(50), between),
    ]);
    model.labels = (0..CLASSES).map(|class| format!("class number {class}, or a long name")).collect();
    model
}

/// All files of a photo.
struct Made {
    names: Vec<String>,
    files: Vec<(Artifact, Vec<u8>)>,
    row: String,
    summary: Vec<String>,
}

impl Made {
    fn file(&self, name: &str) -> &[u8] {
        let at = self.names.iter().position(|known| known == name);
        &self.files[at.unwrap_or_else(|| panic!("{name} in {:?}", self.names))].1
    }

    fn picture(&self, name: &str) -> RgbImage {
        decode(self.file(name), Path::new(name)).unwrap()
    }

    /// The f32 arrays and their shapes.
    fn arrays(&self) -> Vec<(String, Vec<usize>)> {
        let mut archive = Archive::open(Path::new("a.npz"), self.file("a.npz")).unwrap();
        let names = archive.names().into_iter();
        names.filter_map(|name| Some((name.clone(), archive.floats(&name).ok()?.shape))).collect()
    }
}

fn options(side: usize) -> PictureOptions {
    let overlay = OverlayStyle { contours: vec![0.5], ..OverlayStyle::default() };
    PictureOptions { overlay, shared_scale: false, boxes: Some(Threshold::Share(0.15)), side }
}

fn made(
    model: &Model,
    request: &ExplainRequest,
    minus: Option<Subtrahend>,
    pictures: PictureOptions,
) -> Made {
    let image = RgbImage::new(90, 60, (0..90 * 60 * 3).map(|i| (i * i / 50 % 251) as u8).collect());
    let device = Device::open(DeviceChoice::Cpu, 2).unwrap();
    let mut explainer = Explainer::new(model, request, &device, 1).unwrap();
    let all = explainer.explain(&model.prepare(&image).tensor).unwrap().remove(0);
    let layers = Layers::new(request, minus, model, &model.labels).unwrap();
    let is_article = pictures.overlay.style == Some(ToolStyle::Article);
    let spec = ArtifactSpec {
        labels: model.labels.clone(),
        drawn_labels: model.labels.clone(),
        article: is_article.then(|| article_pictures(&layers, &request.pixels)),
        layers,
        pixels: request.pixels.clone(),
        pictures,
        archive: true,
        set: PictureSet::All,
        format: PictureFormat::Png,
        input: (model.input.height, model.input.width),
    };
    let photo = Photo::new(model, &image, None, spec.views());
    let smoothed = request.smoothing != Smoothing::None;
    let explanations = Explanations { all: &all, layers: &spec.layers, smoothed };
    let image =
        ImageArtifacts { spec: &spec, stem: "a".into(), title: "a".into(), photo: &photo, explanations };
    let mut counts = StatusCounts::default();
    counts.count(&image);
    let row = serde_json::to_string(&ExplainRecord::explained(&image, None)).unwrap();
    let files = image.list().into_iter().map(|file| (file, image.bytes(file, &Timings::default())));
    let files: Vec<_> = files.collect();
    let names: Vec<String> = files.iter().map(|(file, _)| image.name(*file)).collect();
    if spec.article.is_none() {
        let known: BTreeSet<String> = spec.known_names("a", &request.exits).into_iter().collect();
        assert_eq!(known, names.iter().cloned().collect());
    }
    Made { names, files, row, summary: counts.summary() }
}

#[test]
fn pictures_and_arrays_have_the_aspect_ratio_of_the_input() {
    for (height, width) in [(12, 48), (48, 12), (7, 40)] {
        let model = network(height, width);
        let methods = ["grad-cam", "input-gradient", "guided-backprop"].map(|name| name.parse().unwrap());
        let found = made(&model, &ExplainRequest::new(&model, &methods), None, options(96));
        let side = with_longer_side((height, width), 96);
        for name in ["a_exit01_cam.png", "a_exit02_cam.png", "a_exit01_input-gradient.png"] {
            let picture = found.picture(name);
            assert_eq!((picture.height, picture.width), side, "{name}");
        }
        let page = found.picture("a_strip.png");
        let photo = strip::photo(&page, 2).expect("the photo of a strip");
        let cell = crate::render::sheet::SheetOptions::default().picture((height, width));
        assert_eq!((photo.height, photo.width), cell);
        assert_eq!(strip::photo(&page, 7), None);
        let arrays = found.arrays();
        let has = |name: &str, shape: &[usize]| {
            assert!(arrays.contains(&(name.into(), shape.to_vec())), "{name} {shape:?}: {arrays:?}");
        };
        has("region", &[4]);
        has("logits", &[2, CLASSES]);
        has("heatmap", &[2, height, width]);
        has("pixels.input-gradient", &[2, 3, height, width]);
        let taps = model.tap_infos();
        has("cam.exit1", &[taps[0].height, taps[0].width]);
        has("cam.exit2", &[taps[1].height, taps[1].width]);
        assert!(arrays.iter().all(|(name, _)| name != "cam"));
    }
}

#[test]
fn the_article_s_pictures_have_the_aspect_ratio_of_the_input() {
    let model = network(12, 48);
    let methods = ["grad-cam", "input-gradient"].map(|name| name.parse::<Method>().unwrap());
    let overlay = OverlayStyle { style: Some(ToolStyle::Article), ..OverlayStyle::default() };
    let pictures = PictureOptions { overlay, side: crate::render::styles::article::SIDE, ..options(512) };
    let found = made(&model, &ExplainRequest::new(&model, &methods), None, pictures);
    let jpegs: Vec<&String> = found.names.iter().filter(|name| name.ends_with(".jpg")).collect();
    assert!(jpegs.len() >= 7, "{jpegs:?}");
    for name in jpegs {
        let picture = found.picture(name);
        assert_eq!((picture.height, picture.width), (128, 512), "{name}");
    }
    assert!(article::name("a", "a", "_x").ends_with("_x.jpg"));
}

#[test]
fn an_exit_without_a_scale_has_no_picture_of_it() {
    let model = network(12, 48);
    let methods = ["grad-cam", "layer-cam", "integrated-gradients"].map(|name| name.parse().unwrap());
    for (target, style) in [(Target::Predicted, None), (Target::Top(2), Some(ToolStyle::TorchCam))] {
        let request = ExplainRequest {
            taps: Taps::AllScales,
            fusion: Some(Fusion::Mean),
            target,
            ..ExplainRequest::new(&model, &methods)
        };
        let overlay = OverlayStyle { style, ..options(64).overlay };
        let found =
            made(&model, &request, Some(Subtrahend::Exit(2)), PictureOptions { overlay, ..options(64) });
        let unique: BTreeSet<String> = found.names.iter().map(|name| name.to_lowercase()).collect();
        assert_eq!(unique.len(), found.names.len(), "{:?}", found.names);
        let top = if target == Target::Predicted { "" } else { "_top1" };
        let has = |name: String| found.names.contains(&name);
        for size in ["12x24", "6x12", "3x6"] {
            assert_eq!(has(format!("a_exit01_cam_{size}{top}.png")), size == "12x24");
            assert!(has(format!("a_exit02_layer-cam_{size}{top}.png")));
            assert!(has(format!("a_strip_{size}{top}.png")));
        }
        assert!(has(format!("a_exit01_cam_12x24{top}_minus_exit02.png")));
        assert!(!has(format!("a_exit01_cam_3x6{top}_minus_exit02.png")));
        let each: &[usize] = if target == Target::Predicted { &[2] } else { &[2, 2] };
        let arrays = found.arrays();
        let shaped = |name: &str, size: &[usize]| {
            let shape = [each, size].concat();
            assert!(arrays.contains(&(name.into(), shape)), "{name} {size:?}: {arrays:?}");
        };
        shaped("cam.grad-cam.12x24", &[12, 24]);
        shaped("cam.layer-cam.3x6", &[3, 6]);
        shaped("heatmap.layer-cam.3x6", &[12, 48]);
        shaped("fused.layer-cam", &[12, 48]);
        shaped("difference.fused.grad-cam", &[12, 48]);
        shaped("difference.grad-cam.6x12", &[12, 48]);
        let mut archive = Archive::open(Path::new("a.npz"), found.file("a.npz")).unwrap();
        let cam = archive.floats("cam.layer-cam.3x6").unwrap().values;
        let (first, second) = cam.split_at(cam.len() / 2);
        assert!(first.iter().all(|&x| x == 0.0) && second.iter().any(|&x| x > 0.0));
        assert!(found.summary.iter().all(|line| line.contains("maps")), "{:?}", found.summary);
        ImageResult::parse(&format!("{{\"image\":\"a.png\",{}", &found.row[1..])).unwrap();
    }
}

#[test]
fn any_name_of_a_tap_makes_valid_and_unique_file_names() {
    let model = network(12, 48);
    let names: Vec<String> = model.taps.iter().skip(2).map(|tap| tap.name.clone()).collect();
    let request = ExplainRequest {
        exits: vec![2],
        taps: Taps::Named(names),
        fusion: Some(Fusion::Max),
        ..ExplainRequest::new(&model, &["grad-cam", "hires-cam"].map(|name| name.parse().unwrap()))
    };
    let found = made(&model, &request, None, options(48));
    let unique: BTreeSet<String> = found.names.iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(unique.len(), found.names.len(), "{:?}", found.names);
    let harmless = |c: char| c.is_alphanumeric() || "-_.\u{1f408}".contains(c);
    assert!(
        found.names.iter().all(|name| name.len() < 120 && name.chars().all(harmless)),
        "{:?}",
        found.names
    );
    for name in
        ["a_exit02_cam_features-0-Relu-output-0.png", "a_exit02_cam_cam-2.png", "a_exit02_cam_CAM-3.png"]
    {
        assert!(found.names.contains(&name.into()), "{:?}", found.names);
    }
    for (name, _) in found.arrays() {
        assert!(name.chars().all(harmless), "{name}");
    }
    assert!(found.row.contains("/features/0/Relu_output_0"));
}

#[test]
fn the_report_reads_maps_of_different_sizes() {
    let model = network(12, 48);
    for target in [Target::Predicted, Target::Top(3)] {
        let request = ExplainRequest { target, ..ExplainRequest::grad_cam(&model) };
        let found = made(&model, &request, None, options(96));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.npz"), found.file("a.npz")).unwrap();
        let record = ImageResult::parse(&format!("{{\"image\":\"a.png\",{}", &found.row[1..])).unwrap();
        let sources = Sources { folder: folder.path(), arrays: None };
        let maps = sources.maps(&record).unwrap().unwrap();
        let shapes: Vec<&[usize]> = maps.iter().map(|map| &*map.map.shape).collect();
        assert_eq!(shapes, [[12, 24], [3, 6]]);
        assert!(maps.iter().all(|map| map.map.values.iter().any(|&x| x > 0.0)));
    }
}

#[test]
fn pixel_methods_alone_need_no_tap() {
    let model = network(12, 48);
    let request = ExplainRequest::new(&model, &[Method::Pixels(PixelMethod::GuidedGradCam)]);
    let found = made(&model, &request, None, options(64));
    assert!(found.arrays().iter().all(|(name, _)| !name.starts_with("cam")));
}
