//! Tensor names, shapes, parameter counts and multiply-adds against PyTorch's.

use crate::common::port_options::PortOptions;
use msdcam::model::msdnet::{Config, layers};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// One row of `golden/names.json`, made by `golden/make_names.py`.
#[derive(Deserialize)]
struct Row {
    name: String,
    config: PortOptions,
    tensors: usize,
    sha256: String,
    parameters: u64,
    multiply_adds: Vec<[u64; 2]>,
}

fn rows() -> Vec<Row> {
    let rows: Vec<Row> = serde_json::from_str(include_str!("../golden/names.json")).unwrap();
    assert!(rows.len() > 70, "only {} golden networks", rows.len());
    rows
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn names_and_shapes_equal_those_of_pytorch_in_order() {
    for row in rows() {
        let mut text = String::new();
        for (name, dims) in layers::tensors(&row.config.config()).unwrap() {
            text.push_str(&name);
            dims.iter().for_each(|d| text.push_str(&format!(" {d}")));
            text.push('\n');
        }
        assert_eq!(text.lines().count(), row.tensors, "{}: number of tensors", row.name);
        assert_eq!(sha256(&text), row.sha256, "{}: names or shapes differ:\n{text}", row.name);
    }
}

#[test]
fn parameters_and_multiply_adds_equal_those_of_pytorch() {
    for row in rows() {
        let parts = layers::parts(&row.config.config()).unwrap();
        let parameters: u64 = parts.iter().map(|p| p.parameters()).sum();
        assert_eq!(parameters, row.parameters, "{}: parameters", row.name);
        for (exit, expected) in row.multiply_adds.iter().enumerate() {
            let count = [false, true].map(|head| {
                parts
                    .iter()
                    .filter(|p| p.exit == exit && p.head == head)
                    .map(|p| p.multiply_adds())
                    .sum::<u64>()
            });
            // PyTorch's hooks count the left branch of a shared global convolution twice and the right
            // one never, which gives the same total.
            assert_eq!(count, *expected, "{}: multiply-adds of exit {}", row.name, exit + 1);
        }
    }
}

#[test]
fn every_golden_network_is_a_valid_configuration() {
    for row in rows() {
        assert_eq!(row.config.config().validate(), Ok(()), "{}", row.name);
    }
}

#[test]
fn counts_billions_of_parameters_without_allocating_them() {
    let config = Config { channels: 1 << 16, ..Config::cifar10_anytime() };
    let parameters: u64 = layers::parts(&config).unwrap().iter().map(|p| p.parameters()).sum();
    assert!(parameters > 1 << 36, "{parameters}");
}

#[test]
fn an_invalid_configuration_has_no_layers() {
    let config = Config { layers: Vec::new(), ..Config::cifar10_anytime() };
    assert!(layers::parts(&config).unwrap_err().to_string().contains("exits is 0"));
}
