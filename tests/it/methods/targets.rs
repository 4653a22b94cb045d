//! Which class and which score are explained, and what differs between two.

use crate::common::close::{Tolerance, assert_close, assert_same_bits};
use crate::methods::{device, examine, maps_study, network};
use msdcam::explain::{ExplainRequest, Explainer, MapMethod, Score, Target, difference};

#[test]
fn top_classes_final_class_labels_and_given_classes_name_what_is_explained() {
    let (network, images) = network("default");
    let explained = |target: Target, labels: &[usize]| {
        let study = ExplainRequest { target, ..maps_study(&network, vec![MapMethod::GradCam]) };
        let mut examiner = Explainer::new(&network, &study, &device(), 1).unwrap();
        examiner.explain_labeled(&images.data, labels).unwrap().remove(0)
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
        for finding in top {
            let alone = &explained(Target::Class(finding.target), &[])[finding.prediction.exit - 1];
            assert_same_bits("one of three and given", &finding.maps[0].map, &alone.maps[0].map);
        }
    }
}

#[test]
fn a_margin_s_map_is_the_class_s_minus_the_runner_up_s() {
    let (network, images) = network("subnets-lin_grow");
    let study = |target, score| ExplainRequest {
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
fn a_class_over_another_is_the_difference_of_their_maps() {
    let (network, images) = network("subnets-lin_grow");
    let study = |class, score| ExplainRequest {
        target: Target::Class(class),
        score,
        ..maps_study(&network, vec![MapMethod::GradCam, MapMethod::HiResCam])
    };
    let over = examine(&network, &study(2, Score::Over(0)), &device(), &images);
    let alone = [2, 0].map(|class| examine(&network, &study(class, Score::Logit), &device(), &images));
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
fn two_exits_heat_maps_can_be_subtracted() {
    let (network, images) = network("default");
    let findings = examine(&network, &maps_study(&network, vec![MapMethod::GradCam]), &device(), &images);
    let (second, last) = (&findings[0][1].maps[0].heatmap, &findings[0][9].maps[0].heatmap);
    let values = difference(second, last).unwrap();
    assert_eq!(values.len(), 32 * 32);
    assert!(values.iter().any(|&v| v > 0.1) && values.iter().any(|&v| v < -0.1));
}
