//! Every method against pytorch-grad-cam and captum, and against what must hold whatever they say.

mod common;

use std::collections::HashMap;

use common::close::{Tolerance, assert_close, assert_same_bits};
use common::golden::Golden;
use common::gpu::on_gpu;
use common::nets::golden_network;
use common::run;
use msdcam::cam::{
    Examiner, Finding, Fusion, Integration, MapMethod, Method, Noise, PixelMethod, Score, Smoothing, Study,
    Taps, Target, difference, reaching_taps,
};
use msdcam::device::{Device, DeviceChoice};
use msdcam::graph::Graph;
use msdcam::graph::grad::gradients;
use msdcam::graph::ops::{AvgPool, Conv2d, Linear, Op, ReluRule, Window};
use msdcam::heat::Status;
use msdcam::msdnet::{Exit, Network, built_in_weights, load};
use msdcam::{Shape, Tensor};

/// What the two tools' f64 answers and our f32 ones may differ by, as a share of the largest number.
const PARITY: Tolerance = Tolerance(1e-4);
const NETS: [&str; 3] = ["subnets-lin_grow", "blocks-transition-last", "default"];

/// A network of the golden file and its images.
fn network(name: &str) -> (Network, Tensor) {
    if name == "default" {
        let images = Golden::load("default").tensor("input");
        let cat = Tensor::new(1, images.shape, images.image(0).to_vec());
        return (load(&built_in_weights().unwrap()).unwrap(), cat);
    }
    let (golden, network) = golden_network(name);
    (network, golden.tensor("input"))
}

fn golden() -> Golden {
    Golden::load("methods")
}

/// The slowest and the fastest kernels.
fn devices() -> Vec<Device> {
    let mut all = run::devices();
    let last = all.pop().unwrap();
    all.truncate(1);
    all.push(last);
    all
}

fn device() -> Device {
    devices().pop().unwrap()
}

/// The large network runs on the fastest alone.
fn devices_for(name: &str) -> Vec<Device> {
    if name == "default" { vec![device()] } else { devices() }
}

fn exits_of(name: &str, network: &Network) -> [usize; 2] {
    [if name == "default" { 2 } else { 1 }, network.exits.len()]
}

/// All map methods but plain CAM, which no MSD-Net allows.
fn map_methods() -> Vec<MapMethod> {
    MapMethod::ALL.into_iter().filter(|&m| m != MapMethod::Cam).collect()
}

fn maps_study(network: &Network, methods: Vec<MapMethod>) -> Study {
    Study { maps: methods, ..Study::of(network, &[]) }
}

fn pixels_study(network: &Network, methods: &[PixelMethod]) -> Study {
    Study { pixels: methods.to_vec(), ..Study::of(network, &[]) }
}

fn examine(network: &Network, study: &Study, device: &Device, images: &Tensor) -> Vec<Vec<Finding>> {
    let mut examiner = Examiner::new(network, study, device, images.n).unwrap();
    examiner.examine(&images.data, &[]).unwrap()
}

/// The numbers that `pick` takes of each image's only finding.
fn joined(findings: &[Vec<Finding>], pick: impl Fn(&Finding) -> &[f32]) -> Vec<f32> {
    findings.iter().flat_map(|image| pick(&image[0]).to_vec()).collect()
}

#[test]
fn every_map_is_pytorch_grad_cam_s_at_every_exit_and_tap() {
    let golden = golden();
    for name in NETS {
        let (network, images) = network(name);
        for exit in exits_of(name, &network) {
            let inner = reaching_taps(&network, exit).into_iter().map(|tap| tap.name);
            let stored = inner.filter(|tap| golden.has(&format!("{name}/{exit}/{tap}/grad-cam")));
            let taps: Vec<String> = stored.collect();
            assert!(!taps.is_empty(), "{name}: no answer of exit {exit}");
            for device in devices_for(name) {
                let study = Study {
                    exits: vec![exit],
                    taps: Taps::Named(taps.clone()),
                    ..maps_study(&network, map_methods())
                };
                let findings = examine(&network, &study, &device, &images);
                assert_eq!(findings[0][0].maps.len(), taps.len() * map_methods().len());
                for (i, map) in findings[0][0].maps.iter().enumerate() {
                    let key = format!("{name}/{exit}/{}/{}", map.tap, map.method.name());
                    let got = joined(&findings, |f| &f.maps[i].signed);
                    assert_close(&key, &got, &golden.array(&key).1, PARITY);
                }
                let classes: Vec<usize> = findings.iter().map(|f| f[0].target).collect();
                assert_eq!(classes, golden.classes(&format!("{name}/{exit}/class")));
            }
        }
    }
}

#[test]
fn an_inner_tap_is_among_the_answers() {
    let golden = golden();
    assert!(golden.has("subnets-lin_grow/3/layer1.scale2/ablation-cam"));
    assert!(golden.has("blocks-transition-last/3/layer2.scale1/score-cam"));
}

#[test]
fn margin_and_probability_are_differentiated_as_in_pytorch_grad_cam() {
    let golden = golden();
    for name in NETS {
        let (network, images) = network(name);
        for exit in exits_of(name, &network) {
            for score in [Score::Margin, Score::Probability] {
                let study =
                    Study { exits: vec![exit], score, ..maps_study(&network, vec![MapMethod::GradCam]) };
                let findings = examine(&network, &study, &device(), &images);
                let key = format!("{name}/{exit}/exit{exit}/grad-cam.{}", score.name());
                let got = joined(&findings, |f| &f.maps[0].signed);
                assert_close(&key, &got, &golden.array(&key).1, PARITY);
            }
        }
    }
}

#[test]
fn pixel_arrays_are_captum_s() {
    let golden = golden();
    let noise = Noise {
        samples: golden.json("samples"),
        share: golden.json("share"),
        seed: golden.json("noise_seed"),
    };
    let integration = Integration { steps: golden.json("steps"), baseline: [0.0; 3] };
    for name in NETS {
        let (network, images) = network(name);
        let exit = network.exits.len();
        let study =
            Study { exits: vec![exit], noise, integration, ..pixels_study(&network, &PixelMethod::ALL) };
        for device in devices_for(name) {
            let first = Tensor::new(1, images.shape, images.image(0).to_vec());
            for pixels in &examine(&network, &study, &device, &first)[0][0].pixels {
                let key = format!("{name}/{exit}/pixels/{}", pixels.method.name());
                assert_eq!(pixels.status, Status::Ok);
                // A noisy copy may stand within rounding of a ReLU's kink.
                let tolerance =
                    if pixels.method == PixelMethod::SmoothGrad { Tolerance(1e-3) } else { PARITY };
                assert_close(&key, &pixels.values, &golden.array(&key).1, tolerance);
            }
        }
    }
}

#[test]
fn smoothing_by_flips_is_pytorch_grad_cam_s_aug_smooth() {
    let golden = golden();
    for name in NETS {
        let (network, images) = network(name);
        for exit in exits_of(name, &network) {
            let study = Study {
                exits: vec![exit],
                smoothing: Smoothing::Flips,
                ..maps_study(&network, vec![MapMethod::GradCam])
            };
            let findings = examine(&network, &study, &device(), &images);
            let key = format!("{name}/{exit}/smoothed/grad-cam");
            let got = joined(&findings, |f| &f.maps[0].heat.values);
            assert_close(&key, &got, &golden.array(&key).1, PARITY);
        }
    }
}

#[test]
fn a_smoothed_heat_map_is_the_mean_of_six_under_every_method() {
    let (network, images) = network("subnets-lin_grow");
    let one = Tensor::new(1, images.shape, images.image(0).to_vec());
    let width = images.shape.w;
    let study = Study { exits: vec![2], ..maps_study(&network, map_methods()) };
    let smoothed = Study { smoothing: Smoothing::Flips, ..study.clone() };
    let found = examine(&network, &smoothed, &device(), &one).remove(0).remove(0);
    let given = Study { target: Target::Class(found.target), ..study };
    let mut means = vec![vec![0.0; images.shape.plane()]; found.maps.len()];
    for mirrored in [false, true] {
        for factor in [0.9_f32, 1.0, 1.1] {
            let turn = |x: &mut Vec<f32>| x.chunks_exact_mut(width).for_each(<[f32]>::reverse);
            let mut copy = one.clone();
            copy.data.iter_mut().for_each(|x| *x *= factor);
            if mirrored {
                turn(&mut copy.data);
            }
            let maps = examine(&network, &given, &device(), &copy).remove(0).remove(0).maps;
            for (mean, map) in means.iter_mut().zip(maps) {
                let mut heat = map.heat.values;
                if mirrored {
                    turn(&mut heat);
                }
                mean.iter_mut().zip(heat).for_each(|(mean, h)| *mean += f64::from(h) / 6.0);
            }
        }
    }
    for (map, mean) in found.maps.iter().zip(&means) {
        assert_close(map.method.name(), &map.heat.values, mean, Tolerance(1e-5));
    }
}

#[test]
fn taps_fused_by_mean_and_by_refine_cam_are_pytorch_grad_cam_s() {
    let golden = golden();
    let named: HashMap<String, Vec<String>> = golden.json("taps");
    for name in NETS {
        let (network, images) = network(name);
        let exit = network.exits.len();
        for fusion in [Fusion::Mean, Fusion::Refine] {
            let method = MapMethod::GradCam;
            let study = Study {
                exits: vec![exit],
                taps: Taps::AllScales,
                fusion: Some(fusion),
                ..maps_study(&network, vec![method])
            };
            let findings = examine(&network, &study, &device(), &images);
            assert_eq!(findings[0][0].fused[0].taps, named[name], "{name}: all scales");
            let key = format!("{name}/{exit}/fused/{}/{}", fusion.name(), method.name());
            let got = joined(&findings, |f| &f.fused[0].heat.values);
            assert_close(&key, &got, &golden.array(&key).1, PARITY);
        }
    }
}

#[test]
fn grad_cam_of_a_study_is_the_explainer_s() {
    let (network, images) = network("subnets-lin_grow");
    let question = msdcam::cam::Question::explain_all(&network);
    let mut explainer = msdcam::cam::Explainer::new(&network, &question, &device(), 2).unwrap();
    let answers = explainer.explain(&images.data, None).unwrap();
    let study = maps_study(&network, vec![MapMethod::GradCam]);
    for (answers, findings) in answers.iter().zip(examine(&network, &study, &device(), &images)) {
        for (answer, finding) in answers.iter().zip(&findings) {
            let want = answer.map.as_ref().unwrap();
            let got = &finding.maps[0];
            assert_eq!(
                (finding.exit, finding.class, finding.target),
                (answer.exit, answer.class, want.target)
            );
            assert_same_bits("logits", &finding.logits, &answer.logits);
            assert_close("weights", &got.weights, &want.weights, Tolerance(1e-5));
            assert_close("map", &got.map, &want.map, Tolerance(1e-5));
            assert_close("heat", &got.heat.values, &want.heat, Tolerance(1e-4));
        }
    }
}

#[test]
fn every_relu_before_the_score_takes_part_in_guided_backpropagation() {
    for name in ["subnets-lin_grow", "blocks-transition-last"] {
        let (network, _) = network(name);
        for exit in &network.exits {
            let mut graph = network.graph.clone();
            let needed = graph.ancestors(&[exit.logits]);
            let is_relu =
                |(node, needed): (&msdcam::graph::Node, &bool)| *needed && matches!(node.op, Op::Relu);
            let relus = graph.nodes().iter().zip(&needed).filter(|&pair| is_relu(pair)).count();
            let seed = graph.push(Op::Input(graph.shape(exit.logits)), &[]).unwrap();
            let before = graph.nodes().len();
            gradients(&mut graph, exit.logits, seed, &[network.input], ReluRule::Guided).unwrap();
            let rules = graph.nodes()[before..].iter().filter_map(|node| match &node.op {
                Op::ReluGrad(op) => Some((op.rule, node.inputs[1])),
                _ => None,
            });
            let mut hit: Vec<_> = rules.inspect(|(rule, _)| assert_eq!(*rule, ReluRule::Guided)).collect();
            hit.dedup_by_key(|(_, relu)| *relu);
            assert!(relus > 10);
            assert_eq!(hit.len(), relus, "{name}: ReLUs with the guided rule");
        }
    }
}

#[test]
fn guided_backpropagation_differs_from_the_plain_gradient() {
    let (network, images) = network("default");
    let methods = [PixelMethod::InputGradient, PixelMethod::GuidedBackprop];
    let findings = examine(&network, &pixels_study(&network, &methods), &device(), &images);
    for finding in &findings[0] {
        let [plain, guided] = &finding.pixels[..] else { panic!("two arrays") };
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let (p, g) = (&plain.values, &guided.values);
        let cosine = dot(p, g) / (dot(p, p) * dot(g, g)).sqrt();
        assert!(cosine.abs() < 0.9, "exit {}: cosine {cosine}", finding.exit);
    }
}

#[test]
fn integrated_gradients_add_up_to_what_the_score_gains() {
    let (network, images) = network("blocks-transition-last");
    let baseline = [0.2, 0.1, 0.3];
    let study = Study {
        integration: Integration { steps: 400, baseline },
        ..pixels_study(&network, &[PixelMethod::IntegratedGradients])
    };
    let findings = examine(&network, &study, &device(), &images);
    let plane = images.shape.plane();
    let start: Vec<f32> = baseline.iter().flat_map(|&b| vec![b; plane]).collect();
    let start = Tensor::new(1, images.shape, start);
    let at_start =
        examine(&network, &pixels_study(&network, &[PixelMethod::InputGradient]), &device(), &start);
    for finding in findings.iter().flatten() {
        let gain = finding.score - at_start[0][finding.exit - 1].logits[finding.target];
        let sum: f32 = finding.pixels[0].values.iter().sum();
        assert!((sum - gain).abs() < 0.02 * gain.abs().max(0.5), "exit {}: {sum}, {gain}", finding.exit);
    }
}

#[test]
fn a_gradient_at_the_input_predicts_how_the_score_changes() {
    let (network, images) = network("subnets-lin_grow");
    let one = Tensor::new(1, images.shape, images.image(0).to_vec());
    for score in [Score::Logit, Score::Probability, Score::Margin] {
        let study = Study { score, ..pixels_study(&network, &[PixelMethod::InputGradient]) };
        let here = examine(&network, &study, &device(), &one);
        for finding in &here[0] {
            let gradient = &finding.pixels[0].values;
            let length: f32 = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
            let step = 1e-3;
            let mut moved = one.clone();
            moved.data.iter_mut().zip(gradient).for_each(|(x, g)| *x += step * g / length);
            let study = Study { target: Target::Class(finding.target), ..study.clone() };
            let there = &examine(&network, &study, &device(), &moved)[0][finding.exit - 1];
            let got = (there.score - finding.score) / step;
            assert!(
                (got - length).abs() < 0.02 * length,
                "{score:?}, exit {}: {got}, {length}",
                finding.exit
            );
        }
    }
}

#[test]
fn top_classes_final_class_labels_and_given_classes_name_what_is_explained() {
    let (network, images) = network("default");
    let explained = |target: Target, labels: &[usize]| {
        let study = Study { target, ..maps_study(&network, vec![MapMethod::GradCam]) };
        let mut examiner = Examiner::new(&network, &study, &device(), 1).unwrap();
        examiner.examine(&images.data, labels).unwrap().remove(0)
    };
    let predicted = explained(Target::Predicted, &[]);
    let last = predicted.last().unwrap().class;
    assert!(predicted.iter().any(|f| f.class != last), "exit 2 takes the cat for a dog");
    assert!(predicted.iter().all(|f| f.target == f.class && f.score == f.logits[f.class]));

    let by_final = explained(Target::Final, &[]);
    assert!(by_final.iter().all(|f| f.target == last));
    for (final_class, given) in by_final.iter().zip(explained(Target::Class(last), &[])) {
        assert_same_bits("final and given", &final_class.maps[0].map, &given.maps[0].map);
    }
    for (given, labelled) in explained(Target::Class(7), &[]).iter().zip(explained(Target::Label, &[7])) {
        assert_same_bits("given and label", &given.maps[0].map, &labelled.maps[0].map);
    }

    let top = explained(Target::Top(3), &[]);
    assert_eq!(top.len(), 3 * network.exits.len());
    for (first, top) in predicted.iter().zip(top.chunks(3)) {
        assert_same_bits("first of three", &top[0].maps[0].map, &first.maps[0].map);
        assert!(top.iter().enumerate().all(|(rank, f)| f.rank == rank && f.exit == first.exit));
        assert!(top.windows(2).all(|two| two[0].score >= two[1].score && two[0].target != two[1].target));
        for finding in top {
            let alone = &explained(Target::Class(finding.target), &[])[finding.exit - 1];
            assert_same_bits("one of three and given", &finding.maps[0].map, &alone.maps[0].map);
        }
    }
}

#[test]
fn a_margin_s_map_is_the_class_s_minus_the_runner_up_s() {
    let (network, images) = network("subnets-lin_grow");
    let study = |target, score| Study {
        target,
        score,
        ..maps_study(&network, vec![MapMethod::GradCam, MapMethod::HiResCam])
    };
    let margin = examine(&network, &study(Target::Predicted, Score::Margin), &device(), &images);
    let two = examine(&network, &study(Target::Top(2), Score::Logit), &device(), &images);
    for (margin, two) in margin.iter().zip(&two) {
        for (margin, two) in margin.iter().zip(two.chunks(2)) {
            for (i, map) in margin.maps.iter().enumerate() {
                let (own, other) = (&two[0].maps[i].signed, &two[1].maps[i].signed);
                let want: Vec<f32> = own.iter().zip(other).map(|(a, b)| a - b).collect();
                assert_close("margin", &map.signed, &want, Tolerance(1e-4));
                let diverging = map.diverging(images.shape.h, images.shape.w);
                assert!(diverging.iter().all(|v| (-1.0..=1.0).contains(v)));
            }
        }
    }
}

#[test]
fn two_exits_heat_maps_can_be_subtracted() {
    let (network, images) = network("default");
    let findings = examine(&network, &maps_study(&network, vec![MapMethod::GradCam]), &device(), &images);
    let (second, last) = (&findings[0][1].maps[0].heat, &findings[0][9].maps[0].heat);
    let values = difference(second, last).unwrap();
    assert_eq!(values.len(), 32 * 32);
    assert!(values.iter().any(|&v| v > 0.1) && values.iter().any(|&v| v < -0.1));
}

#[test]
fn a_study_says_the_same_whatever_the_batch_and_the_memory() {
    let (network, images) = network("blocks-transition-last");
    let all: Vec<Method> = Method::all().filter(|&m| m != Method::Map(MapMethod::Cam)).collect();
    let study = Study {
        noise: Noise { samples: 5, ..Noise::default() },
        integration: Integration { steps: 5, ..Integration::default() },
        smoothing: Smoothing::Flips,
        ..Study::of(&network, &all)
    };
    let both = examine(&network, &study, &device(), &images);
    let small = Study { max_memory: 4 << 20, ..study };
    let mut examiner = Examiner::new(&network, &small, &device(), 1).unwrap();
    assert_eq!(examiner.examine(&images.data, &[]).unwrap(), both);
    // The second time there is something in every buffer.
    assert_eq!(examiner.examine(&images.data, &[]).unwrap(), both);
}

#[test]
fn every_method_finds_on_a_gpu_what_it_finds_on_the_cpu() {
    on_gpu("every_method_finds_on_a_gpu_what_it_finds_on_the_cpu", || {
        let (network, images) = network("blocks-transition-last");
        let all: Vec<Method> = Method::all().filter(|&m| m != Method::Map(MapMethod::Cam)).collect();
        let study = Study {
            target: Target::Top(2),
            score: Score::Margin,
            noise: Noise { samples: 2, ..Noise::default() },
            integration: Integration { steps: 2, ..Integration::default() },
            ..Study::of(&network, &all)
        };
        let cpu = Device::open(DeviceChoice::Cpu, 0).unwrap();
        let want = examine(&network, &study, &cpu, &images);
        let got = examine(&network, &study, &device(), &images);
        for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
            assert_eq!((got.exit, got.rank, got.target), (want.exit, want.rank, want.target));
            for (got, want) in got.maps.iter().zip(&want.maps) {
                assert_close(got.method.name(), &got.signed, &want.signed, PARITY);
            }
            for (got, want) in got.pixels.iter().zip(&want.pixels) {
                assert_close(got.method.name(), &got.values, &want.values, Tolerance(1e-3));
            }
        }
    });
}

#[test]
fn another_seed_gives_another_smooth_gradient() {
    let (network, images) = network("subnets-lin_grow");
    let with = |seed| {
        let noise = Noise { samples: 3, share: 0.1, seed };
        let study = Study { noise, ..pixels_study(&network, &[PixelMethod::SmoothGrad]) };
        examine(&network, &study, &device(), &images)[0][0].pixels[0].values.clone()
    };
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}

#[test]
fn without_noise_the_smooth_gradient_is_the_gradient() {
    let (network, images) = network("subnets-lin_grow");
    let methods = [PixelMethod::InputGradient, PixelMethod::SmoothGrad];
    let noise = Noise { samples: 3, share: 0.0, seed: 0 };
    let study = Study { noise, ..pixels_study(&network, &methods) };
    for finding in examine(&network, &study, &device(), &images).iter().flatten() {
        let [plain, smooth] = &finding.pixels[..] else { panic!("two arrays") };
        assert_close("no noise", &smooth.values, &plain.values, Tolerance(1e-6));
    }
}

#[test]
fn maps_of_an_exit_with_only_evidence_against_its_class_are_empty_never_nan() {
    let (golden, network) = golden_network("blocks-empty");
    let images = golden.tensor("input");
    let study = Study { exits: vec![2], ..maps_study(&network, map_methods()) };
    for finding in examine(&network, &study, &device(), &images).iter().flatten() {
        for map in &finding.maps {
            let numbers = [&map.signed, &map.map, &map.heat.values, &map.weights];
            assert!(numbers.iter().all(|n| n.iter().all(|x| x.is_finite())), "{}", map.method.name());
            let asks_gradient = map.method.needs_gradient() && map.method != MapMethod::EigenGradCam;
            if asks_gradient {
                assert_eq!(map.heat.status, Status::Empty, "{}", map.method.name());
                assert!(map.heat.values.iter().all(|&x| x == 0.0));
            }
        }
    }
}

#[test]
fn weights_that_overflow_give_a_status_and_zeros() {
    let (_, mut network) = golden_network("subnets-lin_grow");
    // A linear layer so large that the class scores are infinite.
    let logits = network.exits[0].logits;
    let mut graph = network.graph.clone();
    let shape = graph.shape(logits);
    let factor = graph.add_param("factor", &[shape.c, shape.c], vec![1e38; shape.c * shape.c]);
    let zero = graph.add_param("zero", &[shape.c], vec![0.0; shape.c]);
    let mut huge = logits;
    for _ in 0..2 {
        huge = graph.push(Linear { weight: factor, bias: zero }, &[huge]).unwrap();
    }
    network.graph = graph;
    network.exits[0].logits = huge;
    let (_, images) = self::network("subnets-lin_grow");
    let all: Vec<Method> = Method::all().filter(|&m| m != Method::Map(MapMethod::Cam)).collect();
    let study = Study { exits: vec![1], fusion: Some(Fusion::Mean), ..Study::of(&network, &all) };
    for finding in examine(&network, &study, &device(), &images).iter().flatten() {
        let mut bad = 0;
        for map in &finding.maps {
            let numbers = [&map.signed, &map.map, &map.heat.values, &map.weights];
            assert!(numbers.iter().all(|n| n.iter().all(|x| x.is_finite())), "{}", map.method.name());
            assert!(map.heat.min.is_finite() && map.heat.max.is_finite());
            bad += usize::from(map.heat.status == Status::Nonfinite);
        }
        assert!(bad > 5, "{bad} maps are not finite");
        for pixels in &finding.pixels {
            assert!(pixels.values.iter().all(|x| x.is_finite()));
            assert_eq!(pixels.status, Status::Nonfinite, "{}", pixels.method.name());
        }
        assert!(finding.fused.iter().all(|f| f.heat.values.iter().all(|x| x.is_finite())));
    }
}

/// A network whose one head pools a tap of 2 x 2 and reads it by one linear layer.
fn pooling_network() -> Network {
    let (_, like) = golden_network("subnets-lin_grow");
    let mut graph = Graph::new();
    graph.set_stage(1);
    let input = graph.push(Op::Input(Shape::new(3, 2, 2)), &[]).unwrap();
    let weight = graph.add_param("conv", &[2, 3, 1, 1], vec![1.0, 0.0, 0.0, 0.0, 1.0, -1.0]);
    let conv = Conv2d::new(&graph, weight, None, [1, 1], [0, 0]);
    let conv = graph.push(conv, &[input]).unwrap();
    let tap = graph.push(Op::Relu, &[conv]).unwrap();
    let pooled = graph.push(AvgPool { window: Window::square(2, 2, 0) }, &[tap]).unwrap();
    let weight = graph.add_param("linear", &[2, 2], vec![1.0, 2.0, -1.0, 3.0]);
    let bias = graph.add_param("bias", &[2], vec![0.5, 0.0]);
    let logits = graph.push(Linear { weight, bias }, &[pooled]).unwrap();
    let mut config = like.config.clone();
    (config.classes, config.input) = (2, 2);
    Network { config, graph, input, exits: vec![Exit { tap, logits }], layers: Vec::new() }
}

#[test]
fn plain_cam_is_the_class_s_weights_where_a_head_allows_it() {
    let network = pooling_network();
    // Channel 1 is red; channel 2 is green minus blue.
    let image = [1.0, 2.0, 3.0, 4.0, 1.0, 1.0, 1.0, 1.0, 0.0, 2.0, 0.5, 1.0];
    let images = Tensor::new(1, Shape::new(3, 2, 2), image.to_vec());
    let study = Study {
        target: Target::Class(1),
        ..maps_study(&network, vec![MapMethod::Cam, MapMethod::GradCam, MapMethod::HiResCam])
    };
    let findings = examine(&network, &study, &device(), &images);
    let maps = &findings[0][0].maps;
    assert_eq!(maps[0].weights, [-1.0, 3.0]);
    assert_eq!(maps[0].signed, [2.0, -2.0, -1.5, -4.0]);
    // Grad-CAM and HiResCAM differ from it by the number of places alone.
    for map in &maps[1..] {
        let times_places: Vec<f32> = map.signed.iter().map(|x| 4.0 * x).collect();
        assert_close(map.method.name(), &times_places, &maps[0].signed, Tolerance(1e-6));
    }
}

#[test]
fn score_and_ablation_cam_weigh_channels_as_worked_by_hand() {
    let network = pooling_network();
    let image = [1.0, 2.0, 3.0, 4.0, 1.0, 1.0, 1.0, 1.0, 0.0, 2.0, 0.5, 1.0];
    let images = Tensor::new(1, Shape::new(3, 2, 2), image.to_vec());
    let study = Study {
        target: Target::Class(1),
        ..maps_study(&network, vec![MapMethod::AblationCam, MapMethod::ScoreCam])
    };
    let findings = examine(&network, &study, &device(), &images);
    // Channel means 2.5 and (1 + 0 + 0.5 + 0) / 4 = 0.375: a score of -2.5 + 1.125 = -1.375;
    // without channel 1 it is 1.125, without channel 2 it is -2.5.
    assert!((findings[0][0].score + 1.375).abs() < 1e-6);
    let maps = &findings[0][0].maps;
    assert_close("ablation", &maps[0].weights, &[2.5 / 1.375, -1.125 / 1.375], Tolerance(1e-6));
    // Masks: (0, 1/3, 2/3, 1) and (1, 0, 0.5, 0). The image through the first: red (0, 2/3, 2, 4), green
    // minus blue (0, -1/3, 1/3, 0): means 5/3 and 1/12; through the second: red (1, 0, 1.5, 0),
    // green minus blue (1, 0, 0.25, 0): means 0.625 and 0.3125.
    let scores: [f64; 2] = [-5.0 / 3.0 + 0.25, -0.625 + 0.9375];
    let first = 1.0 / (1.0 + (scores[1] - scores[0]).exp());
    assert_close("score", &maps[1].weights, &[first, 1.0 - first], Tolerance(1e-6));
}

/// The one-line refusal of a study.
fn refusal(network: &Network, study: &Study) -> String {
    let error = Examiner::new(network, study, &device(), 1).err().expect("refused").to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn what_cannot_be_studied_is_refused_with_what_can() {
    let (network, _) = network("subnets-lin_grow");
    let one = |method| maps_study(&network, vec![method]);
    let named = |names: &[&str]| Taps::Named(names.iter().map(ToString::to_string).collect());

    let cam = refusal(&network, &one(MapMethod::Cam));
    assert!(cam.starts_with("cam: exit 1 ") && cam.contains("2 convolutions"), "{cam}");

    let late = Study { exits: vec![1], taps: named(&["exit2"]), ..one(MapMethod::GradCam) };
    let late_error = refusal(&network, &late);
    assert!(late_error.contains("'exit2' does not reach the score of exit 1"), "{late_error}");
    assert!(late_error.contains("these do: exit1, layer0.scale1"), "{late_error}");
    // Its activations are there all the same.
    Examiner::new(&network, &Study { maps: vec![MapMethod::EigenCam], ..late }, &device(), 1).unwrap();

    let unknown = refusal(&network, &Study { taps: named(&["layer99.scale1"]), ..one(MapMethod::GradCam) });
    assert!(unknown.starts_with("tap 'layer99.scale1': the network has exit1, exit2"), "{unknown}");

    for (what, study) in [
        ("class 10", Study { target: Target::Class(10), ..one(MapMethod::GradCam) }),
        ("top 11", Study { target: Target::Top(11), ..one(MapMethod::GradCam) }),
        ("top 0", Study { target: Target::Top(0), ..one(MapMethod::GradCam) }),
        ("exit 4", Study { exits: vec![4], ..one(MapMethod::GradCam) }),
        ("no exit", Study { exits: vec![], ..one(MapMethod::GradCam) }),
        ("no method", Study::of(&network, &[])),
        ("method 'layer-cam' is asked for twice", maps_study(&network, vec![MapMethod::LayerCam; 2])),
        ("score-cam: one image takes", Study { max_memory: 1000, ..one(MapMethod::ScoreCam) }),
        ("ablation-cam: one image takes", Study { max_memory: 1000, ..one(MapMethod::AblationCam) }),
    ] {
        let error = refusal(&network, &study);
        assert!(error.starts_with(what), "{error}");
    }
    let smooth = |noise| Study { noise, ..pixels_study(&network, &[PixelMethod::SmoothGrad]) };
    for noise in [
        Noise { samples: 0, ..Noise::default() },
        Noise { share: f32::NAN, ..Noise::default() },
        Noise { share: -1.0, ..Noise::default() },
    ] {
        assert!(refusal(&network, &smooth(noise)).starts_with("smooth-grad: "));
    }
}

#[test]
fn images_and_labels_that_do_not_fit_are_refused() {
    let (network, images) = network("subnets-lin_grow");
    let study = Study { target: Target::Label, ..maps_study(&network, vec![MapMethod::LayerCam]) };
    let mut examiner = Examiner::new(&network, &study, &device(), 2).unwrap();
    let mut refused = |images: &[f32], labels: &[usize]| {
        let error = examiner.examine(images, labels).expect_err("refused").to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    };
    assert_eq!(refused(&images.data, &[1]), "1 labels for 2 images");
    assert!(refused(&images.data, &[1, 10]).starts_with("class 10: "));
    assert!(refused(&images.data[1..], &[1]).contains("numbers given"));
    assert!(refused(&[], &[]).contains("numbers given"));
    let mut bad = images.data.clone();
    bad[images.shape.len() + 2] = f32::NAN;
    assert_eq!(refused(&bad, &[1, 1]), "image 2: number 2 is NaN");
}
