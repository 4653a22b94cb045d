//! A model whose maps can be computed by hand.

use crate::common::close::{Tolerance, assert_close};
use crate::methods::{device, explain_images, map_request};
use msdcam::Shape;
use msdcam::engine::graph::Graph;
use msdcam::engine::graph::ops::{AvgPool, Conv2d, Linear, Op, Window};
use msdcam::engine::tensor::Tensor;
use msdcam::explain::{ExplainRequest, MapMethod, Target};
use msdcam::model::Model;

/// A model with one head: global average pooling of a 2 x 2 tap and one linear layer.
fn pooling_network() -> Model {
    let mut graph = Graph::new();
    let input = graph.push_at(1, Op::Input(Shape::new(3, 2, 2)), &[]).unwrap();
    let weight = graph.add_param("conv", &[2, 3, 1, 1], vec![1.0, 0.0, 0.0, 0.0, 1.0, -1.0]);
    let conv = Conv2d::new(&graph, weight, None, [1, 1], [0, 0]);
    let conv = graph.push(conv, &[input]).unwrap();
    let tap = graph.push(Op::RELU, &[conv]).unwrap();
    let pooled =
        graph.push(AvgPool { window: Window::square(2, 2, 0), counted: [[0; 2]; 2] }, &[tap]).unwrap();
    let weight = graph.add_param("linear", &[2, 2], vec![1.0, 2.0, -1.0, 3.0]);
    let bias = graph.add_param("bias", &[2], vec![0.5, 0.0]);
    let logits = graph.push(Linear { weight, bias }, &[pooled]).unwrap();
    Model::from_graph(graph, input, &[(tap, logits)]).unwrap()
}

#[test]
fn cam_is_the_sum_weighted_by_the_weights_of_the_class() {
    let network = pooling_network();
    // Channel 1 is red; channel 2 is green minus blue.
    let image = [1.0, 2.0, 3.0, 4.0, 1.0, 1.0, 1.0, 1.0, 0.0, 2.0, 0.5, 1.0];
    let images = Tensor::new(1, Shape::new(3, 2, 2), image.to_vec());
    let request = ExplainRequest {
        target: Target::Class(1),
        ..map_request(&network, vec![MapMethod::Cam, MapMethod::GradCam, MapMethod::HiResCam])
    };
    let explanations = explain_images(&network, &request, &device(), &images);
    let maps = &explanations[0][0].maps;
    assert_eq!(maps[0].weights, [-1.0, 3.0]);
    assert_eq!(maps[0].signed, [2.0, -2.0, -1.5, -4.0]);
    // Grad-CAM and HiResCAM differ from it only by the factor 1 / number of positions.
    for map in &maps[1..] {
        let times_places: Vec<f32> = map.signed.iter().map(|x| 4.0 * x).collect();
        assert_close(map.method.name(), &times_places, &maps[0].signed, Tolerance(1e-6));
    }
}

#[test]
fn score_cam_and_ablation_cam_weights_equal_those_by_hand() {
    let network = pooling_network();
    let image = [1.0, 2.0, 3.0, 4.0, 1.0, 1.0, 1.0, 1.0, 0.0, 2.0, 0.5, 1.0];
    let images = Tensor::new(1, Shape::new(3, 2, 2), image.to_vec());
    let request = ExplainRequest {
        target: Target::Class(1),
        ..map_request(&network, vec![MapMethod::AblationCam, MapMethod::ScoreCam])
    };
    let explanations = explain_images(&network, &request, &device(), &images);
    // Channel means 2.5 and (1 + 0 + 0.5 + 0) / 4 = 0.375: a score of -2.5 + 1.125 = -1.375;
    // without channel 1 it is 1.125, without channel 2 it is -2.5.
    assert!((explanations[0][0].score + 1.375).abs() < 1e-6);
    let maps = &explanations[0][0].maps;
    assert_close("ablation", &maps[0].weights, &[2.5 / 1.375, -1.125 / 1.375], Tolerance(1e-6));
    // Masks: (0, 1/3, 2/3, 1) and (1, 0, 0.5, 0). The image times the first: red (0, 2/3, 2, 4), green
    // minus blue (0, -1/3, 1/3, 0): means 5/3 and 1/12; times the second: red (1, 0, 1.5, 0),
    // green minus blue (1, 0, 0.25, 0): means 0.625 and 0.3125.
    let scores: [f64; 2] = [-5.0 / 3.0 + 0.25, -0.625 + 0.9375];
    let first = 1.0 / (1.0 + (scores[1] - scores[0]).exp());
    assert_close("score", &maps[1].weights, &[first, 1.0 - first], Tolerance(1e-6));
}

#[test]
fn ablation_cam_of_the_image_itself_equals_that_by_hand() {
    // A linear classifier of pixels: the tap is the image.
    let mut graph = Graph::new();
    let input = graph.push_at(1, Op::Input(Shape::new(3, 1, 2)), &[]).unwrap();
    let weight =
        graph.add_param("linear", &[2, 6], vec![1.0, 0.0, 0.0, 2.0, 0.5, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    let bias = graph.add_param("bias", &[2], vec![0.0, 0.0]);
    let logits = graph.push(Linear { weight, bias }, &[input]).unwrap();
    let network = Model::from_graph(graph, input, &[(input, logits)]).unwrap();
    let images = Tensor::new(1, Shape::new(3, 1, 2), vec![1.0, 2.0, 3.0, 4.0, 2.0, 5.0]);
    let request =
        ExplainRequest { target: Target::Class(0), ..map_request(&network, vec![MapMethod::AblationCam]) };
    let explanations = explain_images(&network, &request, &device(), &images);
    // The score is 1 + 8 + 1 = 10, without one of the channels 9, 2 and 9.
    assert_close("ablation", &explanations[0][0].maps[0].weights, &[0.1, 0.8, 0.1], Tolerance(1e-6));
    // 0.1 x (1, 2) + 0.8 x (3, 4) + 0.1 x (2, 5).
    assert_close("map", &explanations[0][0].maps[0].signed, &[2.7, 3.9], Tolerance(1e-6));
}
