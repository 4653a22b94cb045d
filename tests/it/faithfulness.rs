//! Faithfulness metrics against public tools: pytorch-grad-cam, torchcam, Xplique, TorchRay, Quantus,
//! scipy, scikit-image, scikit-learn and OpenCV; see `golden/README.md`.

use crate::common::close::{NETWORK, Tolerance, assert_close};
use crate::common::golden::Golden;
use crate::common::nets::golden_network;
use msdcam::engine::device::{Device, DeviceChoice};
use msdcam::explain::{ExplainRequest, MapMethod, Method, PixelMethod, Target};
use msdcam::faithfulness::{
    Baseline, CurveSettings, FaithfulnessEvaluator, MapEvaluation, MapEvaluator, MapSample, Metrics,
    POINTING_TOLERANCE_AT_224, Removal, RoadSettings, SALIENT_SHARE, Settings, Ties,
};
use msdcam::imaging::heatmap::MapStatus;
use msdcam::model::Model;
use msdcam::{Error, RequestError, Shape, faithfulness};

const GRAD_CAM: Method = Method::Map(MapMethod::GradCam);

fn percentiles(golden: &Golden) -> Vec<f64> {
    golden.json("percentiles")
}

#[test]
fn map_similarities_match_scipy_scikit_and_opencv() {
    let golden = Golden::load("metrics");
    let array = |name: &str| golden.array(&format!("arrays/{name}"));
    let ((dims, x), (_, y)) = (array("x"), array("y"));
    let size = (dims[0], dims[1]);
    let wide = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    let signed = |v: &[f32]| v.iter().map(|x| 2.0 * x - 1.0).collect::<Vec<_>>();
    let found = [
        ("spearman", faithfulness::spearman(&x, &y)),
        ("pearson", faithfulness::pearson(&wide(&x), &wide(&y))),
        ("ssim", faithfulness::structural_similarity(&x, &y, size, 1.0)),
        ("ssim_signed", faithfulness::structural_similarity(&signed(&x), &signed(&y), size, 2.0)),
    ];
    for (name, found) in found {
        assert_close(name, &[found.unwrap()], &array(name).1, Tolerance(1e-6));
    }
    let share = golden.json("bright");
    assert_eq!(share, SALIENT_SHARE);
    assert_close(
        "overlap",
        &[faithfulness::salient_iou(&x, &y, share).unwrap()],
        &array("overlap").1,
        Tolerance(1e-6),
    );
    let centers = [&x, &y].map(|v| faithfulness::center_of_mass(v, size.1).unwrap());
    let centers = centers.map(<[f64; 2]>::from);
    assert_close("centre_of_mass", centers.as_flattened(), &array("centre_of_mass").1, Tolerance(1e-6));
    let complexities = [faithfulness::complexity(&x), faithfulness::complexity(&y)];
    assert_close("complexity", &complexities, &array("complexity").1, Tolerance(1e-6));
    let (image, shape) = (array("image").1, Shape::new(3, size.0, size.1));
    let blurred = Baseline::Blur.of(&image, shape, [0.0; 3]);
    assert_close("blur", &blurred, &array("blur").1, Tolerance(1e-6));
}

#[test]
fn road_imputation_matches_pytorch_grad_cam() {
    let golden = Golden::load("metrics");
    let array = |name: &str| golden.array(&format!("arrays/{name}"));
    let ((dims, x), (_, image)) = (array("x"), array("image"));
    let shape = Shape::new(3, dims[0], dims[1]);
    let ranking = faithfulness::most_important_first(&x, Ties::Position, 0);
    for (name, removal) in [("most", Removal::MostRelevantFirst), ("least", Removal::LeastRelevantFirst)] {
        let (_, want) = array(&format!("imputed_{name}"));
        let no_noise = vec![0.0; shape.len()];
        for (&p, want) in percentiles(&golden).iter().zip(want.chunks_exact(shape.len())) {
            let filled = faithfulness::remove_and_impute(&image, shape, &ranking, removal, p, &no_noise);
            assert_close(&format!("{name} at {p}"), &filled, want, Tolerance(2e-6));
            // The same pixels, not only the same values.
            let changed = |v: &[f32]| v.iter().zip(&image).map(|(a, b)| a != b).collect::<Vec<_>>();
            assert!(changed(&filled) == changed(want), "{name} at {p}: other pixels");
        }
    }
}

#[test]
fn pointing_games_match_torchray_and_quantus() {
    let golden = Golden::load("metrics");
    let array = |name: &str| golden.array(&format!("pointing/{name}"));
    let ((dims, maps), (_, objects)) = (array("maps"), array("objects"));
    let (plane, width) = (dims[1] * dims[2], dims[2]);
    let objects: Vec<Vec<bool>> =
        objects.chunks_exact(plane).map(|object| object.iter().map(|&on| on == 1.0).collect()).collect();
    let tolerances: Vec<f64> = golden.json("tolerances");
    assert_eq!(tolerances.last(), Some(&POINTING_TOLERANCE_AT_224));
    let (mut torchray, mut any_maximum, mut energies) = (Vec::new(), Vec::new(), Vec::new());
    for map in maps.chunks_exact(plane) {
        let maxima: Vec<usize> = (0..plane).filter(|&at| map[at] == 1.0).collect();
        for object in &objects {
            let hits =
                |map: &[f32], tolerance| faithfulness::pointing_game_hit(map, object, width, tolerance);
            torchray.extend(tolerances.iter().map(|&tolerance| f32::from(hits(map, tolerance))));
            // Quantus checks every maximum, we check the first.
            let alone = |&at: &usize| (0..plane).map(|i| f32::from(i == at)).collect::<Vec<_>>();
            any_maximum.push(f32::from(maxima.iter().any(|at| hits(&alone(at), 0.0))));
            energies.push(faithfulness::pointing_energy(map, object).unwrap());
        }
    }
    assert_close("torchray", &torchray, &array("torchray").1, Tolerance(0.0));
    assert_close("quantus_game", &any_maximum, &array("quantus_game").1, Tolerance(0.0));
    assert_close("quantus_mass", &energies, &array("quantus_mass").1, Tolerance(1e-6));
    assert_close("quantus_localisation", &energies, &array("quantus_localisation").1, Tolerance(1e-6));
}

/// A network with the golden results of PyTorch for its images.
fn network_with_golden(net: &str) -> (Golden, Model) {
    if net == "default" {
        return (Golden::load("default"), Model::pretrained().unwrap());
    }
    golden_network(net)
}

fn indices(images: usize) -> Vec<u64> {
    (0..images as u64).collect()
}

fn cpu(threads: usize) -> Device {
    Device::open(DeviceChoice::Cpu, threads).unwrap()
}

fn settings(golden: &Golden, baseline: Baseline) -> Settings {
    let steps = golden.json("steps");
    Settings {
        curves: Some(CurveSettings { steps, deletion: baseline, insertion: baseline }),
        road: Some(RoadSettings { percentiles: percentiles(golden), noise: 0.0 }),
        ..Settings::of_the_papers([0.0; 3], steps)
    }
}

fn column(table: &[Vec<MapEvaluation>], of: impl Fn(&Metrics) -> f64) -> Vec<f64> {
    table.iter().map(|rows| of(rows[0].metrics.as_ref().unwrap())).collect()
}

#[test]
fn map_metrics_match_pytorch_grad_cam_torchcam_and_xplique() {
    let golden = Golden::load("metrics");
    let nets: std::collections::BTreeMap<String, Vec<usize>> = golden.json("nets");
    assert_eq!(nets.len(), 3);
    for (net, exits) in &nets {
        let (answers, network) = network_with_golden(net);
        let images = answers.tensor("input");
        for &exit in exits {
            let (heats, classes) =
                (answers.tensor(&format!("heat.{exit}")), answers.classes(&format!("class.{exit}")));
            let sample = |i: usize| MapSample {
                index: i as u64,
                image: images.image(i),
                heatmap: heats.image(i),
                class: classes[i],
            };
            let samples: Vec<MapSample> = (0..images.n).map(sample).collect();
            for baseline in [Baseline::Zero, Baseline::Mean, Baseline::Blur] {
                let settings = settings(&golden, baseline);
                let mut evaluator =
                    MapEvaluator::new(&network, &[exit], &settings, &cpu(2), 1 << 26, 2).unwrap();
                let found: Vec<Metrics> =
                    evaluator.evaluate(exit, &samples).unwrap().into_iter().map(Option::unwrap).collect();
                let check = |what: &str, of: &dyn Fn(&Metrics) -> f64| {
                    let name = format!("{net}/{exit}/{what}");
                    let column: Vec<f64> = found.iter().map(of).collect();
                    assert_close(&name, &column, &golden.array(&name).1, NETWORK);
                };
                check("confidence", &|m| m.confidence);
                check("absolute_drop", &Metrics::absolute_drop);
                check("drop", &Metrics::drop);
                check("increase", &|m| f64::from(u8::from(m.increases())));
                check("increase_torchcam", &|m| f64::from(u8::from(m.increases())));
                // The divisor 1 - confidence amplifies the error.
                let gains: Vec<f64> = found.iter().map(Metrics::gain).collect();
                let name = format!("{net}/{exit}/gain");
                assert_close(&name, &gains, &golden.array(&name).1, Tolerance(1e-4));
                check("complexity", &|m| m.complexity);
                let area = |curve: &Option<faithfulness::Curve>| curve.as_ref().unwrap().area();
                check(&format!("deletion_{}", baseline.name()), &|m| area(&m.deletion));
                check(&format!("insertion_{}", baseline.name()), &|m| area(&m.insertion));
                check("road_combined", &|m| m.road().unwrap()[2]);
                for (name, of) in [
                    ("road_most", (|p| p.most_relevant_first) as fn(&faithfulness::RoadPoint) -> f64),
                    ("road_least", |p| p.least_relevant_first),
                ] {
                    let points: Vec<f64> = found.iter().flat_map(|m| &m.road).map(of).collect();
                    let name = format!("{net}/{exit}/{name}");
                    assert_close(&name, &points, &golden.array(&name).1, NETWORK);
                }
            }
        }
    }
}

#[test]
fn coherency_matches_pytorch_grad_cam() {
    let golden = Golden::load("metrics");
    for (net, exit) in [("default", 2), ("default", 10), ("subnets-lin_grow", 3)] {
        let (answers, network) = network_with_golden(net);
        let request = ExplainRequest { exits: vec![exit], ..ExplainRequest::new(&network, &[GRAD_CAM]) };
        let settings = Settings { curves: None, road: None, ..Settings::of_the_papers([0.0; 3], 1) };
        let mut evaluator = FaithfulnessEvaluator::new(&network, &request, &settings, &cpu(2), 4, 2).unwrap();
        let images = answers.tensor("input");
        let table = evaluator.evaluate(&images.data, &[], &indices(images.n)).unwrap();
        let found = column(&table, |m| m.coherency.unwrap());
        // Here the maps are ours, in f32 like the masked images.
        let name = format!("{net}/{exit}/coherency");
        assert_close(&name, &found, &golden.array(&name).1, Tolerance(1e-4));
    }
}

#[test]
fn the_last_exit_agrees_with_itself_and_pixel_methods_are_evaluated() {
    let (answers, network) = network_with_golden("subnets-lin_grow");
    let images = answers.tensor("input");
    let methods = [GRAD_CAM, Method::Pixels(PixelMethod::InputGradient)];
    let request = ExplainRequest {
        exits: vec![1, 3],
        target: Target::Final,
        ..ExplainRequest::new(&network, &methods)
    };
    let settings = Settings::of_the_papers([0.0; 3], 5);
    let mut evaluator = FaithfulnessEvaluator::new(&network, &request, &settings, &cpu(1), 2, 1).unwrap();
    for rows in evaluator.evaluate(&images.data, &[], &indices(images.n)).unwrap() {
        let places: Vec<_> = rows.iter().map(|row| (row.exit, row.method)).collect();
        assert_eq!(places, [(1, methods[0]), (1, methods[1]), (3, methods[0]), (3, methods[1])]);
        assert!(rows.iter().all(|row| row.target == rows[2].class));
        for row in rows {
            let metrics = row.metrics.unwrap();
            let agreement = metrics.agreement.unwrap();
            let itself = (agreement.spearman, agreement.iou, agreement.center_shift) == (1.0, 1.0, 0.0);
            assert_eq!(itself, row.exit == 3, "{agreement:?}");
            assert!(agreement.same_class);
            assert_eq!(metrics.adcc().is_some(), metrics.coherency.is_some());
            assert_eq!((metrics.road.len(), metrics.deletion.unwrap().scores.len()), (9, 6));
        }
    }
}

#[test]
fn metrics_depend_on_the_seed_and_not_on_batch_or_threads() {
    let (answers, network) = network_with_golden("default");
    let images = answers.tensor("input");
    let request = ExplainRequest { exits: vec![1], ..ExplainRequest::new(&network, &[GRAD_CAM]) };
    let evaluate = |seed: u64, batch: usize, threads: usize| {
        let papers = Settings::of_the_papers([0.0; 3], 4);
        let settings = Settings { seed, ties: Ties::Random, ..papers };
        let mut evaluator =
            FaithfulnessEvaluator::new(&network, &request, &settings, &cpu(threads), batch, threads).unwrap();
        // In one call, or image by image with its index.
        if batch > 1 {
            return evaluator.evaluate(&images.data, &[], &indices(images.n)).unwrap();
        }
        (0..images.n).flat_map(|i| evaluator.evaluate(images.image(i), &[], &[i as u64]).unwrap()).collect()
    };
    let table = evaluate(7, 4, 2);
    assert!(table == evaluate(7, 1, 1) && table == evaluate(7, 3, 3), "batch or threads matter");
    let other = evaluate(8, 4, 2);
    assert_ne!(column(&table, |m| m.road().unwrap()[0]), column(&other, |m| m.road().unwrap()[0]));
    assert_eq!(column(&table, Metrics::drop), column(&other, Metrics::drop));
}

#[test]
fn an_evaluation_is_stopped_before_its_next_run() {
    let (answers, network) = network_with_golden("default");
    let images = answers.tensor("input");
    let settings = Settings::of_the_papers([0.0; 3], 4);
    for method in [GRAD_CAM, Method::Pixels(PixelMethod::SmoothGrad)] {
        let request = ExplainRequest { exits: vec![1], ..ExplainRequest::new(&network, &[method]) };
        let make = || FaithfulnessEvaluator::new(&network, &request, &settings, &cpu(1), 4, 1).unwrap();
        let mut evaluator = make();
        let indices = indices(images.n);
        evaluator.evaluate(&images.data, &[], &indices).unwrap();
        std::thread::spawn(evaluator.stopper()).join().unwrap();
        let stopped = evaluator.evaluate(&images.data, &[], &indices).unwrap_err();
        assert!(matches!(stopped, Error::Request(RequestError::Stopped { .. })), "{stopped}");
        assert!(make().evaluate(&images.data, &[], &indices).is_ok());
    }
}

#[test]
fn empty_maps_are_not_measured() {
    let (answers, network) = network_with_golden("blocks-empty");
    let images = answers.tensor("input");
    let request = ExplainRequest::new(&network, &[GRAD_CAM]);
    let settings = Settings::of_the_papers([0.0; 3], 4);
    let mut evaluator = FaithfulnessEvaluator::new(&network, &request, &settings, &cpu(1), 2, 1).unwrap();
    let table = evaluator.evaluate(&images.data, &[], &indices(images.n)).unwrap();
    let rows: Vec<&MapEvaluation> = table.iter().flatten().collect();
    assert!(rows.iter().any(|row| row.status == MapStatus::Empty));
    assert!(rows.iter().all(|row| row.metrics.is_some() == (row.status == MapStatus::Ok)));
}

#[test]
fn rejects_settings_out_of_range() {
    let (_, network) = network_with_golden("subnets-lin_grow");
    let good = ExplainRequest::new(&network, &[GRAD_CAM]);
    let refused = |request: &ExplainRequest, settings: Settings| {
        let evaluator = FaithfulnessEvaluator::new(&network, request, &settings, &cpu(1), 1, 1);
        evaluator.err().expect("refused").to_string()
    };
    let papers = || Settings::of_the_papers([0.0; 3], 4);
    let road = |percentiles: &[f64], noise| Settings {
        road: Some(RoadSettings { percentiles: percentiles.into(), noise }),
        ..papers()
    };
    for percentile in [0.0, 100.0, -1.0, f64::NAN] {
        assert!(refused(&good, road(&[50.0, percentile], 0.0)).starts_with("road: percentile"));
    }
    assert_eq!(refused(&good, road(&[], 0.0)), "road: expected at least one percentile");
    assert!(refused(&good, road(&[50.0], f64::INFINITY)).starts_with("road: noise"));
    assert!(refused(&good, Settings::of_the_papers([0.0; 3], 0)).contains("at least 1 step"));
    let several = ExplainRequest { target: Target::Top(2), ..good.clone() };
    assert!(refused(&several, papers()).contains("one map for each exit and method"));
}
