//! Operators that are not supported: the values behind them, and the list of all in an error.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::{Importer, Stop, Value, is_on_maps, operator, unsupported};
use crate::model::onnx::fold::is_folded;
use crate::model::onnx::messages::NodeProto;

/// Why a value is unknown.
#[derive(Debug, Clone)]
pub struct Cause {
    /// The node that it comes from, by its results: nobody else has the same.
    node: Arc<[String]>,
    /// What is not supported there, if it is that node.
    op: Option<String>,
    /// The values that the node reads.
    inputs: Arc<[String]>,
}

impl Cause {
    pub(super) fn of(node: &NodeProto, op: Option<String>) -> Cause {
        let inputs = node.inputs.iter().chain(&node.captured).cloned();
        Cause { node: node.outputs.clone().into(), op, inputs: inputs.collect() }
    }
}

impl Importer {
    /// What the results of `node` are where some of its `inputs` are not known: its own operator may be missing too.
    ///
    /// # Errors
    /// When the operator is not supported, whatever the unknown inputs are.
    pub(super) fn unknown_result(node: &NodeProto, inputs: &[Option<Value>]) -> Result<Value, Stop> {
        let depends = |input: &Value| !matches!(input, Value::Constant(_) | Value::UnknownConstant);
        let maps = inputs.iter().flatten().filter(|input| depends(input)).count();
        match node.op.as_str() {
            "Shape" | "Size" => Ok(Value::UnknownConstant),
            _ if maps == 0 && is_folded(node) => Ok(Value::UnknownConstant),
            op @ "Div" if maps > 1 => unsupported(of_two_maps(op)),
            op @ ("Conv" | "Gemm" | "MatMul") if maps > 1 => unsupported(of_variable_weights(op)),
            op if is_on_maps(op) => Ok(Value::Unknown),
            _ => unsupported(operator(node)),
        }
    }

    /// Notes that `node`, of which `op` is the reason if it is one, does not give values that are known.
    pub(super) fn mark_unknown(&mut self, node: &NodeProto, value: &Value, op: Option<String>) {
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            self.values.insert(name.clone(), value.clone());
            // An `If` has the cause from the branch that was chosen.
            self.unknown.entry(name.clone()).or_insert_with(|| Cause::of(node, op.clone()));
        }
    }

    /// The operators that are not supported and on which the values `names` depend, each with the number of its nodes.
    pub fn unsupported(&self, names: &[&str]) -> String {
        let mut open: Vec<&str> = names.to_vec();
        let mut seen = HashSet::new();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        while let Some(name) = open.pop() {
            let Some(cause) = self.unknown.get(name) else { continue };
            if !seen.insert(&cause.node) {
                continue;
            }
            if let Some(op) = &cause.op {
                *counts.entry(op).or_default() += 1;
            }
            open.extend(cause.inputs.iter().map(String::as_str));
        }
        let all: Vec<String> = counts.iter().map(|(op, n)| format!("{op} ({n})")).collect();
        let hint = if counts.keys().any(|op| is_quantized(op)) {
            "; it is quantized: the network of floating-point numbers is needed"
        } else if counts.contains_key("NonMaxSuppression") {
            "; it finds objects: class scores of whole images are explained"
        } else {
            ""
        };
        all.join(", ") + hint
    }
}

/// Whether operator `op` computes with quantized numbers.
fn is_quantized(op: &str) -> bool {
    let words = ["Quantize", "QLinear", "ConvInteger", "MatMulInteger"];
    words.iter().any(|word| op.contains(word))
}

/// A product or quotient that is not supported.
pub fn of_two_maps(op: &str) -> String {
    format!("{op} of two maps")
}

/// A layer that is not supported.
pub fn of_variable_weights(op: &str) -> String {
    format!("{op} whose parameters depend on the image")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_behind_a_missing_one_are_found_too() {
        let result = |op: &str, inputs: &[&Value]| {
            let node = NodeProto { op: op.into(), ..NodeProto::default() };
            let inputs: Vec<Option<Value>> = inputs.iter().map(|&input| Some(input.clone())).collect();
            match Importer::unknown_result(&node, &inputs) {
                Ok(Value::UnknownConstant) => "constant".into(),
                Ok(_) => "map".into(),
                Err(Stop::Unsupported(op) | Stop::Wrong(op)) => op,
            }
        };
        let (map, constant) = (&Value::Unknown, &Value::UnknownConstant);
        assert_eq!(result("Relu", &[map]), "map");
        assert_eq!(result("Shape", &[map]), "constant");
        assert_eq!(result("Gather", &[constant]), "constant");
        assert_eq!(result("Gather", &[map, constant]), "map");
        assert_eq!(result("GatherND", &[map, constant]), "GatherND");
        assert_eq!(result("Split", &[map]), "map");
        assert_eq!(result("Pow", &[map]), "Pow");
        assert_eq!(result("Erf", &[constant]), "Erf");
        assert_eq!(result("Mul", &[map, constant]), "map");
        assert_eq!(result("Mul", &[map, map]), "map");
        assert_eq!(result("Div", &[map, map]), "Div of two maps");
        assert_eq!(result("MatMul", &[map, map]), "MatMul whose parameters depend on the image");
    }
}
