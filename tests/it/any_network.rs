//! Networks that are not MSD-Nets: an input that is not square, exits whose taps differ in size, taps without
//! scales. Transposing the images and every weight transposes every map: that holds for all of them exactly, up to
//! the order of sums.

use crate::common::close::{Tolerance, assert_close};
use crate::common::random::Random;
use crate::common::reference;
use crate::methods::device;
use msdcam::Shape;
use msdcam::engine::graph::ops::{AvgPool, BatchNorm, Conv2d, Linear, MaxPool, Op, Window};
use msdcam::engine::graph::{Graph, NodeId};
use msdcam::engine::plan::Order;
use msdcam::explain::{
    Classifier, ExplainRequest, Explainer, Explanation, Fusion, MapMethod, Method, PixelMethod, Smoothing,
    Taps, Target,
};
use msdcam::faithfulness::{
    Baseline, CascadingRandomization, CurveSettings, FaithfulnessEvaluator, RoadSettings, Settings, Ties,
    pointing_game_hit,
};
use msdcam::imaging::bounding_box::{BoundingBox, Threshold};
use msdcam::imaging::heatmap::MapStatus;
use msdcam::imaging::rgb_image::RgbImage;
use msdcam::imaging::{Region, ResizePolicy};
use msdcam::model::{Model, Source};

/// (H, W) of the network's input.
const INPUT: (usize, usize) = (12, 40);
/// (h, w) of the taps of its two exits.
const TAPS: [(usize, usize); 2] = [(12, 20), (3, 5)];
const CLASSES: usize = 7;

/// Sums in another order.
const NEAR: Tolerance = Tolerance(2e-4);

/// The planes of `values`, (n, h, w), transposed: (n, w, h).
fn transposed(values: &[f32], (h, w): (usize, usize)) -> Vec<f32> {
    let plane = |plane: &[f32]| (0..w * h).map(|i| plane[i % h * w + i / h]).collect::<Vec<f32>>();
    values.chunks_exact(h * w).flat_map(plane).collect()
}

/// Builds the network of this file, or the one that does the same with transposed images.
struct Builder {
    graph: Graph,
    random: Random,
    is_transposed: bool,
}

impl Builder {
    fn pair(&self, [rows, columns]: [usize; 2]) -> [usize; 2] {
        if self.is_transposed { [columns, rows] } else { [rows, columns] }
    }

    fn weight(&mut self, dims: [usize; 2], kernel: [usize; 2]) -> Vec<f32> {
        let len = dims[0] * dims[1] * kernel[0] * kernel[1];
        let scale = (2.0 / (len / dims[0]) as f32).sqrt();
        let values: Vec<f32> = self.random.numbers(len).iter().map(|x| scale * x).collect();
        if self.is_transposed { transposed(&values, (kernel[0], kernel[1])) } else { values }
    }

    /// A convolution with bias.
    fn conv(
        &mut self,
        x: NodeId,
        out: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> NodeId {
        let name = format!("/features/{}/Conv", self.graph.params().len());
        let channels = self.graph.shape(x).c;
        let weight = self.weight([out, channels], kernel);
        let [kh, kw] = self.pair(kernel);
        let weight = self.graph.add_param(&*name, &[out, channels, kh, kw], weight);
        let bias = self.random.numbers(out).iter().map(|x| 0.1 * x).collect::<Vec<f32>>();
        let bias = self.graph.add_param(format!("{name}.bias"), &[out], bias);
        let (stride, padding) = (self.pair(stride), self.pair(padding));
        let op = Conv2d::new(&self.graph, weight, Some(bias), stride, padding);
        self.graph.push(op, &[x]).unwrap()
    }

    fn batch_norm(&mut self, x: NodeId) -> NodeId {
        let channels = self.graph.shape(x).c;
        let mut param = |from: f32| {
            let values: Vec<f32> = self.random.numbers(channels).iter().map(|x| from + 0.2 * x).collect();
            self.graph.add_param(format!("norm {from}"), &[channels], values)
        };
        let [weight, bias, mean, variance] = [1.0, 0.1, 0.0, 1.5].map(&mut param);
        let op = BatchNorm { weight, bias, mean, variance, eps: 1e-5, relu: None };
        self.graph.push(op, &[x]).unwrap()
    }

    fn relu(&mut self, x: NodeId) -> NodeId {
        self.graph.push(Op::RELU, &[x]).unwrap()
    }

    /// A linear layer on all elements of `x`, (c, h, w) in the network that is not transposed.
    fn linear(&mut self, x: NodeId) -> NodeId {
        let shape = self.graph.shape(x);
        let [h, w] = self.pair([shape.h, shape.w]);
        let weight = self.weight([CLASSES, shape.c], [h, w]);
        let weight = self.graph.add_param("classifier", &[CLASSES, shape.len()], weight);
        let bias = self.random.numbers(CLASSES);
        let bias = self.graph.add_param("classifier.bias", &[CLASSES], bias);
        self.graph.push(Linear { weight, bias }, &[x]).unwrap()
    }
}

fn network(is_transposed: bool) -> Model {
    let mut b = Builder { graph: Graph::new(), random: Random::new(7), is_transposed };
    let [h, w] = b.pair([INPUT.0, INPUT.1]);
    let input = b.graph.push(Op::Input(Shape::new(3, h, w)), &[]).unwrap();
    let conv = b.conv(input, 6, [3, 5], [1, 2], [1, 2]);
    let first = b.relu(conv);
    let Shape { h, w, .. } = b.graph.shape(first);
    let whole = Window { kernel: [h, w], ..Window::square(1, 1, 0) };
    let mean = b.graph.push(AvgPool { window: whole, counted: [[0; 2]; 2] }, &[first]).unwrap();
    let first_logits = b.linear(mean);
    let conv = b.conv(first, 8, [3, 3], [2, 2], [1, 1]);
    let norm = b.batch_norm(conv);
    let wide = b.relu(norm);
    let pooled = b.graph.push(MaxPool { window: Window::square(2, 2, 0) }, &[wide]).unwrap();
    let conv = b.conv(pooled, 10, [3, 3], [1, 1], [1, 1]);
    let second = b.relu(conv);
    let [kh, kw] = b.pair([1, 2]);
    let window = Window { kernel: [kh, kw], ..Window::square(1, 1, 0) };
    let pooled = b.graph.push(AvgPool { window, counted: [[0; 2]; 2] }, &[second]).unwrap();
    let second_logits = b.linear(pooled);
    let exits = [(first, first_logits), (second, second_logits)];
    Model::from_graph(b.graph, input, &exits).unwrap()
}

/// `n` images of the network, and the same transposed.
fn images(n: usize) -> [Vec<f32>; 2] {
    let images = Random::new(3).numbers(n * 3 * INPUT.0 * INPUT.1);
    let other = transposed(&images, INPUT);
    [images, other]
}

/// Explanations of two images by the network, and of the transposed images by the transposed network.
fn both(change: impl Fn(ExplainRequest) -> ExplainRequest, methods: &[Method]) -> [Vec<Vec<Explanation>>; 2] {
    let images = images(2);
    [false, true].map(|is_transposed| {
        let model = network(is_transposed);
        let request = change(ExplainRequest::new(&model, methods));
        let mut explainer = Explainer::new(&model, &request, &device(), 2).unwrap();
        explainer.explain(&images[usize::from(is_transposed)]).unwrap()
    })
}

/// Each explanation and its transposed counterpart.
fn pairs(both: &[Vec<Vec<Explanation>>; 2]) -> impl Iterator<Item = (&Explanation, &Explanation)> {
    both[0].iter().flatten().zip(both[1].iter().flatten())
}

#[test]
fn a_model_of_a_graph_has_no_checkpoint_and_its_nodes_belong_to_the_exits_that_need_them() {
    let model = network(false);
    assert_eq!(model.source, Source::Graph);
    assert_eq!(model.source.checkpoint_sha256(), "");
    assert_eq!(model.input_shape(), Shape::new(3, INPUT.0, INPUT.1));
    let exits: Vec<usize> = model.exits.iter().map(|exit| model.graph.node(exit.logits).exit).collect();
    assert_eq!(exits, [1, 2]);
    let infos = model.tap_infos();
    let sizes: Vec<_> = infos.iter().map(|tap| (tap.height, tap.width)).collect();
    assert_eq!(sizes, TAPS);
    assert_eq!(infos[0].exits, [1, 2]);
    assert_eq!(infos[1].exits, [2]);
}

#[test]
fn maps_of_every_method_are_transposed_with_the_network() {
    let methods = MapMethod::ALL.into_iter().filter(|&method| method != MapMethod::Cam).map(Method::Map);
    let found = both(|request| ExplainRequest { signed: true, ..request }, &methods.collect::<Vec<_>>());
    let mut compared = 0;
    for (ours, theirs) in pairs(&found) {
        let exit = ours.prediction.exit;
        assert_close("logits", &theirs.prediction.logits, &ours.prediction.logits, NEAR);
        for (ours, theirs) in ours.maps.iter().zip(&theirs.maps) {
            let (what, size) = (format!("exit {exit} {}", ours.method.name()), TAPS[exit - 1]);
            assert_eq!((ours.shape.h, ours.shape.w), size, "{what}");
            assert_eq!((theirs.shape.h, theirs.shape.w), (size.1, size.0), "{what}");
            assert_close(&what, &theirs.map, &transposed(&ours.map, size), NEAR);
            assert_close(&what, &theirs.signed, &transposed(&ours.signed, size), NEAR);
            assert_eq!((ours.heatmap.height, ours.heatmap.width), INPUT, "{what}");
            let heatmap = transposed(&ours.heatmap.values, INPUT);
            assert_close(&what, &theirs.heatmap.values, &heatmap, NEAR);
            compared += usize::from(ours.heatmap.status == MapStatus::Ok);
        }
    }
    assert!(compared > 30, "{compared} maps with content");
}

#[test]
fn plain_cam_is_made_at_an_exit_of_one_linear_layer() {
    let found = both(
        |request| ExplainRequest { exits: vec![1], target: Target::Class(4), ..request },
        &[Method::Map(MapMethod::Cam), Method::Map(MapMethod::GradCam)],
    );
    for (ours, theirs) in pairs(&found) {
        assert_close("cam", &theirs.maps[0].map, &transposed(&ours.maps[0].map, TAPS[0]), NEAR);
        // Grad-CAM is CAM divided by the number of positions (Selvaraju et al. 2017, appendix A).
        let places = (TAPS[0].0 * TAPS[0].1) as f32;
        let scaled: Vec<f32> = ours.maps[1].map.iter().map(|x| places * x).collect();
        assert_close("grad-cam", &scaled, &ours.maps[0].map, NEAR);
    }
    let model = network(false);
    let request = ExplainRequest::new(&model, &[Method::Map(MapMethod::Cam)]);
    assert!(request.check(&model).unwrap_err().to_string().contains("exit 2"));
}

#[test]
fn pixel_attributions_are_transposed_with_the_network() {
    let methods = [
        PixelMethod::InputGradient,
        PixelMethod::GuidedBackprop,
        PixelMethod::GuidedGradCam,
        PixelMethod::GradientTimesInput,
        PixelMethod::IntegratedGradients,
    ];
    let found = both(|request| request, &methods.map(Method::Pixels));
    for (ours, theirs) in pairs(&found) {
        for (ours, theirs) in ours.pixels.iter().zip(&theirs.pixels) {
            assert_eq!((ours.shape, ours.values.len()), (Shape::new(3, 12, 40), 3 * 12 * 40));
            assert_close(ours.method.name(), &theirs.values, &transposed(&ours.values, INPUT), NEAR);
        }
    }
    let noisy = both(|request| request, &[Method::Pixels(PixelMethod::SmoothGrad)]);
    assert!(pairs(&noisy).all(|(ours, _)| ours.pixels[0].status == MapStatus::Ok));
}

#[test]
fn the_input_gradient_is_that_of_finite_differences() {
    let model = network(false);
    let [images, _] = images(1);
    let request = ExplainRequest {
        target: Target::Class(2),
        ..ExplainRequest::new(&model, &[Method::Pixels(PixelMethod::InputGradient)])
    };
    let mut explainer = Explainer::new(&model, &request, &device(), 1).unwrap();
    let found = explainer.explain(&images).unwrap();
    let wide: Vec<f64> = images.iter().map(|&x| f64::from(x)).collect();
    let logits = |image: &[f64]| {
        let values = reference::evaluate(&model.graph, &[image.to_vec()]);
        [0, 1].map(|exit: usize| values[model.exits[exit].logits.index()][2])
    };
    let (step, len) = (1e-5, wide.len());
    for at in (0..len).step_by(97) {
        let moved = [step, -step].map(|step| {
            let mut image = wide.clone();
            image[at] += step;
            logits(&image)
        });
        for exit in 0..2 {
            let want = (moved[0][exit] - moved[1][exit]) / (2.0 * step);
            let pixels = &found[0][exit].pixels[0].values;
            let largest = pixels.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            let got = f64::from(pixels[at]);
            assert!((got - want).abs() < 1e-4 * f64::from(largest), "exit {}: {got} {want}", exit + 1);
        }
    }
}

#[test]
fn all_scales_are_the_sizes_of_the_taps_that_an_exit_depends_on() {
    let model = network(false);
    let request = ExplainRequest {
        taps: Taps::AllScales,
        fusion: Some(Fusion::Mean),
        ..ExplainRequest::grad_cam(&model)
    };
    let names = |exit| -> Vec<String> {
        let taps = request.taps_of(&model, exit).unwrap();
        taps.iter().map(|tap| format!("{} {}", tap.name, request.taps.column(&model, tap))).collect()
    };
    assert_eq!(names(1), ["exit1 12x20"]);
    assert_eq!(names(2), ["exit1 12x20", "exit2 3x5"]);
    for smoothing in [Smoothing::None, Smoothing::Flips] {
        for fusion in [Fusion::Mean, Fusion::Max, Fusion::Refine] {
            let change = |request: ExplainRequest| ExplainRequest {
                taps: Taps::AllScales,
                fusion: Some(fusion),
                smoothing,
                target: Target::Top(2),
                ..request
            };
            let found = both(change, &[MapMethod::GradCam, MapMethod::LayerCam].map(Method::Map));
            for (ours, theirs) in pairs(&found) {
                assert_eq!(ours.maps.len(), 2 * ours.prediction.exit);
                assert_eq!(ours.fused[1].taps.len(), ours.prediction.exit);
                for (ours, theirs) in ours.fused.iter().zip(&theirs.fused) {
                    assert_eq!((ours.heatmap.height, ours.heatmap.width), INPUT);
                    // Only left and right are mirrored, which transposing does not keep.
                    if smoothing == Smoothing::None {
                        let want = transposed(&ours.heatmap.values, INPUT);
                        assert_close(fusion.name(), &theirs.heatmap.values, &want, NEAR);
                    }
                }
            }
        }
    }
}

#[test]
fn early_exit_stops_at_the_exit_and_gives_its_predictions() {
    let model = network(false);
    let [images, _] = images(5);
    let device = device();
    let all = Classifier::new(&model, &[1, 2], Order::Depth, &device, 3).unwrap().classify(&images).unwrap();
    let mut early = Classifier::new(&model, &[1, 2], Order::ByExit, &device, 3).unwrap();
    let costs = early.multiply_adds();
    assert!(0 < costs[0] && costs[0] < costs[1], "{costs:?}");
    let mut confidences: Vec<f32> = all.iter().map(|exits| exits[0].confidence()).collect();
    confidences.sort_by(f32::total_cmp);
    let found = early.classify_early_exit(&images, &[Some(confidences[2]), None]).unwrap();
    let stopped = found.iter().filter(|exits| exits.len() == 1).count();
    assert_eq!(stopped, 3);
    for (found, all) in found.iter().zip(&all) {
        assert_eq!(found[..], all[..found.len()]);
    }
}

/// Metrics of both networks on both images: rows by image, then exit.
#[test]
fn metrics_are_the_same_for_the_transposed_network() {
    let curves = CurveSettings { steps: 12, deletion: Baseline::Mean, insertion: Baseline::Blur };
    let road = RoadSettings { percentiles: vec![30.0, 70.0], noise: 0.0 };
    let settings = Settings {
        zero: [0.0; 3],
        curves: Some(curves),
        road: Some(road),
        coherency: true,
        ties: Ties::Position,
        seed: 5,
    };
    let images = images(2);
    let [ours, theirs] = [false, true].map(|is_transposed| {
        let (model, device) = (network(is_transposed), device());
        let methods = [Method::Pixels(PixelMethod::InputGradient), Method::Map(MapMethod::HiResCam)];
        let request = ExplainRequest::new(&model, &methods);
        let mut evaluator = FaithfulnessEvaluator::new(&model, &request, &settings, &device, 2, 2).unwrap();
        evaluator.evaluate(&images[usize::from(is_transposed)], &[], &[0, 1]).unwrap()
    });
    for (ours, theirs) in ours.iter().flatten().zip(theirs.iter().flatten()) {
        let what = format!("exit {} {:?}", ours.exit, ours.method);
        let metrics = [ours, theirs].map(|found| found.metrics.as_ref().expect("a map with content"));
        let values = metrics.map(|metrics| {
            let agreement = metrics.agreement.expect("a map of the last exit");
            let road = metrics.road.iter();
            let road = road.flat_map(|point| [point.most_relevant_first, point.least_relevant_first]);
            let mut values = vec![
                metrics.confidence,
                metrics.masked_confidence,
                metrics.complexity,
                metrics.coherency.unwrap_or(0.0),
                agreement.spearman,
                agreement.iou,
                agreement.center_shift,
            ];
            // Equal pixels of a heatmap are ordered by position, which differs.
            if matches!(ours.method, Method::Pixels(_)) {
                values.extend(metrics.deletion.iter().chain(&metrics.insertion).map(|curve| curve.area()));
                values.extend(road);
            }
            values
        });
        assert_close(&what, &values[1], &values[0], Tolerance(1e-3));
    }
}

#[test]
fn the_randomization_check_redraws_heads_and_blocks() {
    let model = network(false);
    let [images, _] = images(2);
    let methods = [Method::Map(MapMethod::GradCam), Method::Pixels(PixelMethod::InputGradient)];
    let request = ExplainRequest::new(&model, &methods);
    let check =
        CascadingRandomization { model: &model, request: &request, device: &device(), batch: 2, seed: 1 };
    let mut models = 0;
    let found = check
        .run(&images, &[], |done| {
            models = done;
            Ok::<_, msdcam::Error>(())
        })
        .unwrap();
    assert_eq!((models, check.models()), (5, 5));
    let stages: Vec<&str> = found.iter().step_by(2).map(|similarity| &*similarity.stage).collect();
    assert_eq!(stages, ["head 1", "block 1", "head 2", "block 2", "block 1"]);
    assert!(found.iter().all(|similarity| similarity.images > 0), "{found:?}");
}

/// A photo of `width` x `height` pixels of all colors, smooth enough to be resized.
fn photo(width: usize, height: usize) -> RgbImage {
    let level = |x: usize, y: usize, c: usize| {
        let wave = (x * (c + 2)) as f64 / width as f64 * 3.0 + (y * (3 - c)) as f64 / height as f64 * 2.0;
        (127.5 + 120.0 * wave.sin()) as u8
    };
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |c| level(x, y, c))));
    RgbImage::new(width, height, pixels.collect())
}

fn transposed_photo(photo: &RgbImage) -> RgbImage {
    let (width, height) = (photo.height, photo.width);
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| photo.pixel(y, x)));
    RgbImage::new(width, height, pixels.collect())
}

#[test]
fn a_transposed_photo_is_prepared_as_the_transposed_input() {
    for policy in [ResizePolicy::CenterCrop, ResizePolicy::Stretch, ResizePolicy::Pad] {
        for (width, height) in [(200, 90), (90, 200), (40, 12), (41, 12), (7, 300), (300, 7), (400, 120)] {
            let what = format!("{policy} {width} x {height}");
            let photo = photo(width, height);
            let [ours, theirs] = [false, true].map(|is_transposed| {
                let mut model = network(is_transposed);
                model.input.resize = policy;
                if is_transposed { model.prepare(&transposed_photo(&photo)) } else { model.prepare(&photo) }
            });
            let swapped = Region {
                left: ours.crop.top,
                top: ours.crop.left,
                right: ours.crop.bottom,
                bottom: ours.crop.right,
            };
            assert_eq!(theirs.crop, swapped, "{what}");
            // Columns and rows are resized one after the other, in an order of their own, and rounded in between.
            let turned = transposed_photo(&ours.seen);
            let apart = theirs.seen.rgb.iter().zip(&turned.rgb).map(|(a, b)| a.abs_diff(*b));
            assert!(apart.max() <= Some(1), "{what}");
            let aspect = (ours.crop.right - ours.crop.left) / (ours.crop.bottom - ours.crop.top);
            if policy != ResizePolicy::Stretch && width.min(height) > 11 {
                assert!((aspect / (40.0 / 12.0) - 1.0).abs() < 0.1, "{what}: {:?}", ours.crop);
            }
        }
    }
}

#[test]
fn boxes_and_peaks_are_where_they_are_in_the_photo() {
    for (width, height) in [(200, 90), (90, 200)] {
        let photo = photo(width, height);
        let [ours, theirs] = [false, true].map(|is_transposed| {
            let model = network(is_transposed);
            let photo = if is_transposed { transposed_photo(&photo) } else { photo.clone() };
            let prepared = model.prepare(&photo);
            let request = ExplainRequest::grad_cam(&model);
            let mut explainer = Explainer::new(&model, &request, &device(), 1).unwrap();
            let found = explainer.explain(&prepared.tensor).unwrap().remove(0);
            let boxes = found.iter().map(|explanation| {
                let heatmap = &explanation.maps[0].heatmap;
                let size = (heatmap.height, heatmap.width);
                let found = BoundingBox::find(heatmap, Threshold::Share(0.5))?;
                // The brightest pixel is in the box, so that the pointing game with the box as object hits.
                let is_on = |at: usize| {
                    let (x, y) = (at % size.1, at / size.1);
                    (found.x..found.x + found.width).contains(&x)
                        && (found.y..found.y + found.height).contains(&y)
                };
                let object: Vec<bool> = (0..size.0 * size.1).map(is_on).collect();
                assert!(object.iter().any(|on| *on));
                let one = pointing_game_hit(&heatmap.values, &object, size.1, 0.0);
                Some((found.in_photo(prepared.crop, size, (photo.width, photo.height))?, one))
            });
            boxes.collect::<Vec<_>>()
        });
        assert!(ours.iter().any(Option::is_some));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let (Some((ours, a)), Some((theirs, b))) = (ours, theirs) else {
                assert_eq!(ours.is_some(), theirs.is_some());
                continue;
            };
            assert_eq!(a, b);
            let edges = [theirs.y, theirs.x, theirs.height, theirs.width];
            assert_eq!([ours.x, ours.y, ours.width, ours.height], edges);
            assert!(ours.x + ours.width <= width && ours.y + ours.height <= height);
        }
    }
}
