//! Wrong calls of metrics, evaluations and data sets.

use std::path::Path;

use msdcam::evaluation::{
    Accuracy, Budgeted, Evaluation, ExitOutcome, ImageOutcome, ThresholdSearch, Thresholds, exit_shares,
    hardness_csv, list_line, wilson,
};
use msdcam::faithfulness::{
    Baseline, FaithfulnessEvaluator, MapEvaluator, MapSample, Removal, SaliencyMap, Settings, blur,
    center_shift, coherency, complexity, object_share, pointing_energy, pointing_game_hit, remove_and_impute,
    salient_iou, spearman, structural_similarity,
};
use msdcam::imaging::MapStatus;
use msdcam::{ExplainRequest, PixelMethod, Result, Shape};

use super::Gives::{Panic, Refused, Value};
use super::{check, cpu, shown, small_model};

/// A row of the evaluator's metrics for an image of ones.
fn measured(exit: usize, class: usize) -> Result<String> {
    let settings = Settings { curves: None, road: None, ..Settings::of_the_papers([0.0; 3], 8) };
    let mut evaluator = MapEvaluator::new(&small_model(), &[1], &settings, &cpu(), 1 << 20, 1)?;
    let sample = MapSample { index: 0, image: &[1.0; 3 * 8 * 8], heatmap: &[0.5; 64], class };
    shown(evaluator.evaluate(exit, &[sample])?.len())
}

#[test]
fn metrics_say_what_they_need() {
    check(&[
        ("an exit that the evaluator lacks", Refused("exit 3: the network has exits 1 to 1"), || {
            measured(3, 0)
        }),
        ("a class that the model lacks", Refused("class 9: the network has classes 0 to 1"), || {
            measured(1, 9)
        }),
        ("an evaluator of no exit", Refused("no exit requested"), || {
            let settings = Settings::of_the_papers([0.0; 3], 8);
            MapEvaluator::new(&small_model(), &[], &settings, &cpu(), 1 << 20, 1).map(|_| String::new())
        }),
        ("more indices than images", Panic("images and indices"), || {
            let (model, settings) = (small_model(), Settings::of_the_papers([0.0; 3], 8));
            let request = ExplainRequest::grad_cam(&model);
            let mut evaluator = FaithfulnessEvaluator::new(&model, &request, &settings, &cpu(), 1, 1)?;
            shown(evaluator.evaluate(&[1.0; 3 * 8 * 8], &[], &[0, 1])?.len())
        }),
        ("complexity of nothing", Value("0.0"), || shown(complexity(&[]))),
        ("coherency of two sizes", Panic("elements of two maps"), || shown(coherency(&[1.0], &[1.0, 2.0]))),
        ("correlation of two sizes", Panic("elements of two maps"), || shown(spearman(&[1.0], &[1.0, 2.0]))),
        ("intersection from no share", Value("None"), || shown(salient_iou(&[1.0], &[1.0], f32::NAN))),
        ("centers of no width", Panic("rows of 0 pixels in a map of 2"), || {
            shown(center_shift(&[1.0, 0.0], &[0.0, 1.0], 0))
        }),
        ("similarity of other sizes", Panic("maps of 1 and 2 elements, expected 1 x 1"), || {
            shown(structural_similarity(&[1.0], &[1.0, 2.0], (1, 1), 1.0))
        }),
        ("similarity of NaN", Value("None"), || {
            shown(structural_similarity(&[f32::NAN; 121], &[0.0; 121], (11, 11), 1.0))
        }),
        ("pointing without width", Panic("rows of 0 pixels"), || {
            shown(pointing_game_hit(&[1.0], &[true], 0, 1.0))
        }),
        ("pointing at nothing", Panic("in a map of 0"), || shown(pointing_game_hit(&[], &[], 1, 1.0))),
        ("energy that is infinite", Value("None"), || shown(pointing_energy(&[f32::INFINITY], &[true]))),
        ("the share of nothing", Value("0.0"), || shown(object_share(&[]))),
        ("a blur of nothing", Panic("a plane of 0 elements, expected 0 x 0"), || shown(blur(&[], (0, 0)))),
        ("a baseline of nothing", Panic("an image of 0 elements"), || {
            shown(Baseline::Mean.of(&[], Shape::new(3, 0, 0), [0.0; 3]))
        }),
        ("removal of nothing", Panic("0 ranks of 4 pixels"), || {
            let (image, shape) = ([0.0; 4], Shape::new(1, 2, 2));
            shown(remove_and_impute(&image, shape, &[], Removal::MostRelevantFirst, 50.0, &image))
        }),
        ("removal of a pixel outside", Panic("2 ranks of 2 pixels"), || {
            let (image, shape) = ([0.0; 2], Shape::new(1, 1, 2));
            shown(remove_and_impute(&image, shape, &[0, 9], Removal::MostRelevantFirst, 50.0, &image))
        }),
        ("a pixel attribution of no shape", Panic("a pixel attribution of 3x0x0"), || {
            let (method, shape) = (PixelMethod::InputGradient, Shape::new(3, 0, 0));
            let pixels =
                msdcam::PixelAttribution { method, shape, values: Vec::new(), status: MapStatus::Ok };
            shown(SaliencyMap::of_pixels(&pixels).signed)
        }),
    ]);
}

/// An outcome whose label is 0, with a right prediction of each of `exits` exits.
fn outcome(exits: usize) -> ImageOutcome {
    ImageOutcome { label: 0, exits: vec![ExitOutcome::new(0, 0.5, 0); exits].into() }
}

#[test]
fn an_evaluation_says_what_it_needs() {
    check(&[
        ("the exit of an outcome without exits", Panic("an outcome has an exit"), || {
            shown(Thresholds(vec![Some(0.5)]).exit_of(&outcome(0)))
        }),
        (
            "thresholds of more exits than anyone has",
            Panic("thresholds of 18446744073709551615 exits"),
            || shown(Thresholds::uniform(0.5, usize::MAX).0.len()),
        ),
        ("shares of no budget", Panic("shares by 0 of 3 exits"), || shown(exit_shares(0.0, 3))),
        ("a search among nothing", Panic("0 outcomes"), || {
            shown(ThresholdSearch::new(Vec::new()).thresholds(&[]))
        }),
        ("a search among outcomes without exits", Panic("each of 0 exits"), || {
            shown(ThresholdSearch::new(vec![&outcome(0)]).thresholds(&[]))
        }),
        ("a budget of fewer exits", Panic("multiply-adds of the exits"), || {
            shown(ThresholdSearch::new(vec![&outcome(3)]).within(1.0, &[1, 2]))
        }),
        ("budgets of one image", Panic("a budget needs two images, has 1"), || {
            shown(Budgeted::new(&[outcome(1)], &[1]).images)
        }),
        ("an evaluation of nothing", Panic("an evaluation needs an image"), || {
            shown(Evaluation::new(&[], &[1], &[], None).images)
        }),
        ("an evaluation with fewer multiply-adds", Panic("multiply-adds of the exits"), || {
            shown(Evaluation::new(&[outcome(2)], &[1, 2], &["a".into()], Some(&[1])).images)
        }),
        ("a label without a name", Panic("a class beyond the 0 that have a name"), || {
            shown(Evaluation::new(&[outcome(1)], &[1], &[], None).images)
        }),
        ("the accuracy of no exit", Panic("an outcome lacks exit 4"), || {
            shown(Accuracy::new(&[outcome(1)], 4))
        }),
        ("a part of nothing", Value("[0.0, 100.0]"), || shown(wilson(0, 0))),
        ("more than all", Panic("2 of 1"), || shown(wilson(2, 1))),
        ("a line of an image without exits", Panic("exits of image 'a'"), || {
            shown(hardness_csv([("a", &outcome(0))].into_iter(), &[1], &["cat".into()]))
        }),
        ("a line of a label without a name", Value("[1] a "), || shown(list_line("a", &outcome(1), &[]))),
        ("the label of no image", Panic("image 5 of 1"), || {
            let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chelsea_32.png");
            shown(msdcam::dataset::open(&[photo], msdcam::dataset::Format::Auto)?.label(5))
        }),
    ]);
}
