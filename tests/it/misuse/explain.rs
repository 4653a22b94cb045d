//! Wrong calls of models and explainers.

use msdcam::engine::graph::ops::Op;
use msdcam::explain::methods::cam::{TapValues, eigen_cam, grad_cam_plus_plus_weights, hires_cam};
use msdcam::model::LayerGroup;
use msdcam::model::msdnet::{Config, build, outline};
use msdcam::{
    Classifier, ExitPrediction, ExplainRequest, Explainer, Model, Order, PixelMethod, Result, RgbImage,
    Score, Shape, Target,
};

use super::Gives::{Panic, Refused, Value};
use super::{check, cpu, foreign_node, graph_of, shown, small_model};

/// What explaining an image of ones gives, by `change` of the request for Grad-CAM.
fn explained(change: impl FnOnce(&mut Model, &mut ExplainRequest)) -> Result<String> {
    let mut model = small_model();
    let mut request = ExplainRequest::grad_cam(&model);
    change(&mut model, &mut request);
    let mut explainer = Explainer::new(&model, &request, &cpu(), usize::MAX)?;
    shown(explainer.explain(&[1.0; 3 * 8 * 8])?[0][0].prediction.class)
}

/// The first explanation of an image whose elements are `x`, `y`, 1, 1, ...
fn explained_image(x: f32, y: f32) -> Result<String> {
    let model = small_model();
    let mut explainer = Explainer::new(&model, &ExplainRequest::grad_cam(&model), &cpu(), 1)?;
    let mut image = [1.0; 3 * 8 * 8];
    (image[0], image[1]) = (x, y);
    shown(explainer.explain(&image)?[0][0].maps[0].heatmap.status)
}

#[test]
fn an_explainer_refuses_models_requests_and_images_that_do_not_fit() {
    check(&[
        ("a model without elements", Refused("is only declared, without its elements"), || {
            let model = outline(&Config::cifar10_anytime())?;
            shown(Explainer::new(&model, &ExplainRequest::grad_cam(&model), &cpu(), 1)?.capacity())
        }),
        ("a model without exits", Refused("model: no exit"), || {
            explained(|model, request| {
                model.exits.clear();
                request.exits.clear();
            })
        }),
        ("an exit whose tap is not there", Refused("model: exit 1 reads tap 7 of 1"), || {
            explained(|model, _| model.exits[0].tap = 7)
        }),
        ("an exit of another graph", Refused("model: node 3 of a graph of 1 nodes"), || {
            let mut model = small_model();
            model.graph = graph_of(Shape::new(3, 8, 8)).0;
            model.exits[0].logits = foreign_node();
            shown(Classifier::new(&model, &[1], Order::ByExit, &cpu(), 1)?.capacity())
        }),
        (
            "an input of another size",
            Refused("model: 1 inputs, of which the image is 3x8x8; expected one, of 9 x 8"),
            || explained(|model, _| model.input.height = 9),
        ),
        ("two inputs", Refused("model: 2 inputs"), || {
            explained(|model, _| {
                model.graph.push(Op::Input(Shape::vector(3)), &[]).unwrap();
            })
        }),
        ("Model::classes, without exits", Panic("a model has an exit"), || {
            let mut model = small_model();
            model.exits.clear();
            shown(model.classes())
        }),
        ("Model::exit_tap, exit 0", Panic("exit 0 of a model of exits 1 to 1"), || {
            shown(&small_model().exit_tap(0).name)
        }),
        ("Model::taps_reaching, exit 2", Panic("exit 2 of a model of exits 1 to 1"), || {
            shown(small_model().taps_reaching(2).len())
        }),
        ("exit 0", Refused("exit 0: the network has exits 1 to 1"), || explained(|_, r| r.exits = vec![0])),
        ("an exit twice", Refused("exit 1 after exit 1"), || explained(|_, r| r.exits = vec![1, 1])),
        ("taps_of exit 0", Refused("exit 0: the network has exits 1 to 1"), || {
            let model = small_model();
            shown(ExplainRequest::grad_cam(&model).taps_of(&model, 0)?)
        }),
        ("a class beyond the last", Refused("class 9: the network has classes 0 to 1"), || {
            explained(|_, r| r.target = Target::Class(9))
        }),
        ("the best of more classes", Refused("top 18446744073709551615"), || {
            explained(|_, r| r.target = Target::Top(usize::MAX))
        }),
        ("a score over a class beyond the last", Refused("class 9"), || {
            explained(|_, r| r.score = Score::Over(9))
        }),
        ("labels that are not given", Refused("the images have no labels"), || {
            explained(|_, r| r.target = Target::Label)
        }),
        ("SmoothGrad for ever", Refused("smooth-grad: 18446744073709551615 samples"), || {
            explained(|_, r| {
                r.pixels = vec![PixelMethod::SmoothGrad];
                r.noise.samples = usize::MAX;
            })
        }),
        ("SmoothGrad of NaN", Refused("noise of NaN"), || {
            explained(|_, r| {
                r.pixels = vec![PixelMethod::SmoothGrad];
                r.noise.share = f32::NAN;
            })
        }),
        (
            "integrated gradients for ever",
            Refused("integrated-gradients: 18446744073709551615 steps"),
            || {
                explained(|_, r| {
                    r.pixels = vec![PixelMethod::IntegratedGradients];
                    r.integration.steps = usize::MAX;
                })
            },
        ),
        ("a memory limit of nothing", Value("1"), || explained(|_, r| r.max_memory = 0)),
        ("a NaN in the image", Refused("image 1: element 0 is NaN"), || explained_image(f32::NAN, 1.0)),
        ("an infinite element", Refused("image 1: element 1 is -inf"), || {
            explained_image(1.0, f32::NEG_INFINITY)
        }),
        ("elements that overflow", Value("Nonfinite"), || explained_image(f32::MAX, f32::MAX)),
        ("no image", Refused("0 elements given"), || {
            let model = small_model();
            let mut explainer = Explainer::new(&model, &ExplainRequest::grad_cam(&model), &cpu(), 1)?;
            shown(explainer.explain(&[])?.len())
        }),
        ("waiting for nothing", Refused("no batch is in flight"), || {
            let model = small_model();
            let mut explainer = Explainer::new(&model, &ExplainRequest::grad_cam(&model), &cpu(), 1)?;
            shown(explainer.wait()?.len())
        }),
        ("an image beyond the batch", Panic("image 1 of a batch of 1"), || {
            let model = small_model();
            let mut explainer = Explainer::new(&model, &ExplainRequest::grad_cam(&model), &cpu(), 1)?;
            explainer.submit(&[1.0; 3 * 8 * 8], &[])?;
            shown(explainer.wait()?.image(1).len())
        }),
        ("a map without its signs", Panic("a map of exit1 without its signs"), || {
            let model = small_model();
            let mut explainer = Explainer::new(&model, &ExplainRequest::grad_cam(&model), &cpu(), 1)?;
            shown(explainer.explain(&[1.0; 3 * 8 * 8])?[0][0].maps[0].diverging(2, 2))
        }),
        ("more thresholds than exits", Refused("2 thresholds for 1 exits"), || {
            let mut classifier = Classifier::new(&small_model(), &[1], Order::ByExit, &cpu(), 1)?;
            shown(classifier.classify_early_exit(&[1.0; 3 * 8 * 8], &[None, None])?.len())
        }),
        ("a classifier of any batch", Value("(18446744073709551615, 2)"), || {
            let mut classifier = Classifier::new(&small_model(), &[1], Order::ByExit, &cpu(), usize::MAX)?;
            let images = [1.0; 2 * 3 * 8 * 8];
            shown((classifier.capacity(), classifier.classify(&images)?.len()))
        }),
        ("a threshold that is no number", Value("1"), || {
            let mut classifier = Classifier::new(&small_model(), &[1], Order::ByExit, &cpu(), 1)?;
            shown(classifier.classify_early_exit(&[1.0; 3 * 8 * 8], &[Some(f32::NAN)])?.len())
        }),
        ("the rank of no class", Panic("class 18446744073709551615 of 2"), || {
            shown(prediction().rank(usize::MAX))
        }),
        ("the confidence in no class", Panic("class 7 of 2"), || {
            shown(ExitPrediction { class: 7, ..prediction() }.confidence())
        }),
        ("the score of no class", Panic("class 2 of 2"), || shown(Score::Logit.of(&[0.0, 1.0], 2))),
        ("the score over no class", Panic("class 5 of 2"), || shown(Score::Over(5).of(&[0.0, 1.0], 1))),
        ("a formula of a tap without places", Value("[]"), || shown(hires_cam(no_places()))),
        ("weights of a tap without places", Value("[]"), || shown(grad_cam_plus_plus_weights(no_places()))),
        ("the component of other elements", Panic("elements of 2 channels of 4 places"), || {
            shown(eigen_cam(Shape::new(2, 2, 2), &[1.0; 3]))
        }),
    ]);
}

fn prediction() -> ExitPrediction {
    ExitPrediction { exit: 1, class: 1, logits: vec![0.0, 1.0], probabilities: vec![0.25, 0.75] }
}

fn no_places() -> TapValues<'static> {
    TapValues { shape: Shape::new(3, 0, 4), activations: &[], gradients: &[] }
}

#[test]
fn a_model_is_built_from_a_valid_configuration_and_whole_tensors() {
    check(&[
        ("tensors of other lengths", Refused("has 3 elements, the network expects"), || {
            shown(build(&Config::cifar10_anytime(), |_, _| Ok(vec![0.0; 3].into()))?.classes())
        }),
        (
            "more layers than anyone has",
            Refused("architecture: 2 blocks of 18446744073709551615 layers in all"),
            || shown(outline(&Config::cifar10_anytime().with_layers(&[usize::MAX, 4], 0.5))?.classes()),
        ),
        ("no exit", Refused("architecture: exits is 0"), || {
            shown(outline(&Config::cifar10_anytime().with_layers(&[], 0.5))?.classes())
        }),
        (
            "scales dropped in layers that are not there",
            Refused("architecture: scales dropped in the layers [0, 7]"),
            || shown(outline(&Config { drops: vec![0, 7], ..Config::cifar10_anytime() })?.classes()),
        ),
        ("layers of no scales", Value("0"), || {
            let none = Config { scale_factor: Vec::new(), ..Config::cifar10_anytime() };
            shown(none.with_layers(&[4], 0.5).finest_scale(3))
        }),
        ("the tap of no scales", Panic("0 scales, 1 to 16"), || {
            shown(Config { scale_factor: Vec::new(), ..Config::cifar10_anytime() }.tap_size())
        }),
        ("the layers below an exit that no one has", Value("Some(Head(18446744073709551615))"), || {
            shown(LayerGroup::cascade(usize::MAX).next())
        }),
        ("an empty photo", Panic("0 bytes of a photo of 0 pixels"), || {
            let photo = RgbImage { width: 0, height: 5, rgb: Vec::new() };
            shown(small_model().prepare(&photo).crop)
        }),
        ("a photo with fewer bytes", Panic("5 bytes of a photo of 4 pixels"), || {
            shown(small_model().prepare(&RgbImage { width: 2, height: 2, rgb: vec![0; 5] }).crop)
        }),
    ]);
}
