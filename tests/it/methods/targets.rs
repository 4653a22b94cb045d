//! Targets and scores, and differences between two explanations.

use crate::common::close::{Tolerance, assert_close, assert_same_bits};
use crate::methods::{device, explain_images, map_request, network};
use msdcam::explain::{ExplainRequest, Explainer, MapMethod, Score, Target, difference};

#[test]
fn every_kind_of_target_selects_its_class() {
    let (network, images) = network("default");
    let explained = |target: Target, labels: &[usize]| {
        let request = ExplainRequest { target, ..map_request(&network, vec![MapMethod::GradCam]) };
        let mut explainer = Explainer::new(&network, &request, &device(), 1).unwrap();
        explainer.explain_labeled(&images.data, labels).unwrap().remove(0)
    };
    let predicted = explained(Target::Predicted, &[]);
    let last = predicted.last().unwrap().prediction.class;
    assert!(predicted.iter().any(|f| f.prediction.class != last), "exit 2 takes the cat for a dog");
    assert!(
        predicted
            .iter()
            .all(|f| f.target == f.prediction.class && f.score == f.prediction.logits[f.prediction.class])
    );

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
        assert!(
            top.iter()
                .enumerate()
                .all(|(rank, f)| f.rank == rank && f.prediction.exit == first.prediction.exit)
        );
        assert!(top.windows(2).all(|two| two[0].score >= two[1].score && two[0].target != two[1].target));
        for explanation in top {
            let alone = &explained(Target::Class(explanation.target), &[])[explanation.prediction.exit - 1];
            assert_same_bits("one of three and given", &explanation.maps[0].map, &alone.maps[0].map);
        }
    }
}

#[test]
fn the_map_of_the_margin_is_the_difference_from_the_runner_up() {
    let (network, images) = network("subnets-lin_grow");
    let request = |target, score| ExplainRequest {
        target,
        score,
        ..map_request(&network, vec![MapMethod::GradCam, MapMethod::HiResCam])
    };
    let margin = explain_images(&network, &request(Target::Predicted, Score::Margin), &device(), &images);
    let two = explain_images(&network, &request(Target::Top(2), Score::Logit), &device(), &images);
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
fn the_map_of_one_class_over_another_is_the_difference_of_their_maps() {
    let (network, images) = network("subnets-lin_grow");
    let request = |class, score| ExplainRequest {
        target: Target::Class(class),
        score,
        ..map_request(&network, vec![MapMethod::GradCam, MapMethod::HiResCam])
    };
    let over = explain_images(&network, &request(2, Score::Over(0)), &device(), &images);
    let alone =
        [2, 0].map(|class| explain_images(&network, &request(class, Score::Logit), &device(), &images));
    for (image, over) in over.iter().enumerate() {
        for (cell, over) in over.iter().enumerate() {
            let [own, other] = &alone;
            let (own, other) = (&own[image][cell], &other[image][cell]);
            assert!((over.score - (own.score - other.score)).abs() < 1e-5 * own.score.abs().max(1.0));
            for (i, map) in over.maps.iter().enumerate() {
                let pairs = own.maps[i].signed.iter().zip(&other.maps[i].signed);
                let want: Vec<f32> = pairs.map(|(a, b)| a - b).collect();
                assert_close("over", &map.signed, &want, Tolerance(1e-4));
            }
        }
    }
}

#[test]
fn heatmaps_of_two_exits_can_be_subtracted() {
    let (network, images) = network("default");
    let explanations =
        explain_images(&network, &map_request(&network, vec![MapMethod::GradCam]), &device(), &images);
    let (second, last) = (&explanations[0][1].maps[0].heatmap, &explanations[0][9].maps[0].heatmap);
    let values = difference(second, last).unwrap();
    assert_eq!(values.len(), 32 * 32);
    assert!(values.iter().any(|&v| v > 0.1) && values.iter().any(|&v| v < -0.1));
}
