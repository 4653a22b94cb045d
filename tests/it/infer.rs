//! Configurations inferred from tensor names and shapes alone.

use crate::common::port_options::PortOptions;
use msdcam::model::msdnet::config::{GlobalConv, HeadPool, Layout, Transition};
use msdcam::model::msdnet::infer::{Assumed, Shapes, infer};
use msdcam::model::msdnet::{Config, confirm, layers};
use serde::Deserialize;
use std::path::Path;

fn shapes(config: &Config) -> Shapes {
    layers::tensors(config).unwrap().into_iter().collect()
}

fn golden() -> Vec<(String, Config)> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
        config: PortOptions,
    }
    let rows: Vec<Row> = serde_json::from_str(include_str!("../golden/names.json")).unwrap();
    rows.into_iter().map(|row| (row.name, row.config.config())).collect()
}

#[test]
fn infers_every_golden_configuration_from_its_tensors() {
    for (name, config) in golden() {
        let found = infer(&shapes(&config)).unwrap_or_else(|e| panic!("{name}: {e:?}")).config;
        assert_eq!(layers::tensors(&found), layers::tensors(&config), "{name}");
        let costs = |c| layers::parts(c).unwrap().iter().map(|p| p.multiply_adds()).collect::<Vec<_>>();
        assert_eq!(costs(&found), costs(&config), "{name}: {found:?}");
    }
}

#[test]
fn infers_the_published_configurations_exactly() {
    for config in [
        Config::cifar10_anytime(),
        Config::cifar100_anytime(),
        Config::imagenet(4),
        Config::imagenet(6),
        Config::imagenet(7),
        Config::cifar10_anytime().with_layers(&[3, 1, 3, 5, 7], 0.5),
        Config::cifar100_anytime().with_layers(&[4, 2, 3, 4, 5, 6, 7], 0.5),
        Config::cifar100_anytime().with_layers(&[2, 5, 1, 3], 0.7),
        Config::cifar10_anytime().with_layers(&[4, 1, 1], 0.0),
        // Scales dropped as late as possible, transitions at a third and two thirds of the layers.
        Config {
            drops: vec![8, 9],
            transitions: vec![Transition { after: 3, width: 17 }, Transition { after: 6, width: 17 }],
            ..Config::cifar100_anytime().with_layers(&[4, 5], 0.0)
        },
        Config { channels: 5, scale_factor: vec![2, 3, 5], ..Config::cifar100_anytime() }
            .with_layers(&[3, 4], 0.3),
        Config {
            global_conv: Some(GlobalConv { first: true, all: false, shared: false, kernel: 7 }),
            ..Config::cifar10_anytime()
        },
    ] {
        assert_eq!(infer(&shapes(&config)).unwrap().config, config);
    }
}

#[test]
fn reports_what_was_assumed() {
    let plain = infer(&shapes(&Config::cifar10_anytime())).unwrap();
    let always = [Assumed::Input(32), Assumed::StemStride, Assumed::HeadPool, Assumed::Relu];
    assert_eq!(plain.assumed, always);
    let shared = GlobalConv { first: true, all: true, shared: true, kernel: 5 };
    let global = infer(&shapes(&Config { global_conv: Some(shared), ..Config::cifar10_anytime() })).unwrap();
    assert_eq!(global.config.global_conv, Some(GlobalConv { shared: false, ..shared }));
    assert_eq!(global.assumed[..4], always);
    assert_eq!(global.assumed[4..], [Assumed::UnsharedGlobal]);
    let authors = infer(&shapes(&Config::imagenet(4))).unwrap().assumed;
    assert_eq!(authors, [Assumed::Input(224), Assumed::HeadPool, Assumed::Relu, Assumed::OwnLogits]);
}

#[test]
fn finds_an_input_size_that_fits_the_heads() {
    let config = Config { input: 96, ..Config::cifar100_anytime() };
    assert_eq!(infer(&shapes(&config)).unwrap().config, config);
    // A pooling of the whole map reads as much as the usual input does.
    let mut adaptive = Config { input: 64, ..Config::cifar100_anytime() };
    adaptive.head.pool = HeadPool::Adaptive;
    assert_eq!(infer(&shapes(&adaptive)).unwrap().config, Config::cifar100_anytime());
}

#[test]
fn refuses_an_unclear_architecture_and_names_the_deciding_tensor() {
    let said = |edit: fn(&mut Shapes)| {
        let mut shapes = shapes(&Config::cifar10_anytime());
        edit(&mut shapes);
        let unclear = infer(&shapes).unwrap_err();
        format!("{}: {}", unclear.tensor, unclear.cause)
    };
    assert_eq!(said(|s| s.retain(|k, _| !k.starts_with("subnets."))), ": no MSD-Net of a known layout");
    assert_eq!(
        said(|s| s.retain(|k, _| !k.contains("classifier"))),
        "subnets.*.classifier.weight: absent: no exit has a head"
    );
    assert_eq!(
        said(|s| s.retain(|k, _| !k.starts_with("subnets.3.MSD_layer_9."))),
        "subnets.3.MSD_layer_9: absent: a block without a layer"
    );
    assert_eq!(
        said(|s| {
            s.insert("subnets.0.MSD_first.subnets.1.1.weight".into(), vec![65]);
        }),
        "subnets.3.Transition.scales.0.0.weight: 86 channels, no multiple of its scale's factor 65"
    );
    assert_eq!(
        said(|s| {
            s.insert("subnets.13.classifier.weight".into(), vec![10]);
            s.insert("subnets.10.classifier.weight".into(), vec![10]);
        }),
        "subnets.10.classifier.weight: has dimensions [10], expected 2 of them, none zero"
    );
    let resnet: Shapes = [("conv1.weight".to_string(), vec![64, 3, 7, 7])].into();
    assert_eq!(infer(&resnet).unwrap_err().cause, "no MSD-Net of a known layout");
}

#[test]
fn a_missing_tensor_is_always_an_error() {
    for (name, config) in
        golden().into_iter().filter(|(name, _)| name.contains("global") || name.contains("odd"))
    {
        let whole = shapes(&config);
        for gone in whole.keys() {
            let mut shapes = whole.clone();
            shapes.remove(gone);
            let passes =
                infer(&shapes).is_ok_and(|found| confirm(Path::new("x"), &found.config, &shapes).is_ok());
            assert!(!passes, "{name} without {gone}");
        }
    }
}

#[test]
fn invalid_dimensions_are_always_an_error() {
    for layout in [Layout::Subnets, Layout::Blocks] {
        let whole = shapes(&Config { layout, ..Config::cifar10_anytime() }.with_layers(&[4, 2, 2], 0.5));
        for name in whole.keys() {
            for dims in
                [vec![], vec![0], vec![usize::MAX], vec![1 << 40, 1, 1, 1], vec![3, 3, 2, 2], vec![0; 4]]
            {
                let mut shapes = whole.clone();
                shapes.insert(name.clone(), dims.clone());
                let passes =
                    infer(&shapes).is_ok_and(|found| confirm(Path::new("x"), &found.config, &shapes).is_ok());
                assert!(!passes, "{name} as {dims:?}");
            }
        }
    }
}

#[test]
fn counts_mismatched_tensors_and_names_the_first() {
    let config = Config::cifar10_anytime();
    let mut shapes = shapes(&config);
    shapes.retain(|name, _| !name.starts_with("subnets.19.features"));
    shapes.insert("extra.weight".into(), vec![1]);
    shapes.insert("subnets.19.classifier.bias".into(), vec![11]);
    let said = confirm(Path::new("a.pth"), &config, &shapes).unwrap_err().to_string();
    assert_eq!(
        said,
        "a.pth: tensors: 12 missing: subnets.19.features.0.bias, subnets.19.features.0.weight, \
         subnets.19.features.1.bias, ...; 1 unexpected: extra.weight; \
         1 of another shape: subnets.19.classifier.bias is [11], expected [10]"
    );
}
