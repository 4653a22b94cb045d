//! A node of the file with the values of its inputs, as its operator expects them.

use super::missing::of_variable_weights;
use super::{Feature, Stop, Value, operator, unsupported};
use crate::model::onnx::messages::NodeProto;
use crate::model::onnx::tensor::Tensor;

/// A node with the values of its inputs.
pub struct Node<'a> {
    pub proto: &'a NodeProto,
    pub inputs: Vec<Option<Value>>,
}

impl Node<'_> {
    pub fn name(&self) -> String {
        self.proto.label(0)
    }

    pub fn input(&self, index: usize) -> Result<&Value, Stop> {
        let missing = || Stop::Wrong(format!("its input {} is missing", index + 1));
        self.inputs.get(index).and_then(Option::as_ref).ok_or_else(missing)
    }

    /// An input that depends on the image, without padding around it.
    pub fn feature(&self, index: usize) -> Result<&Feature, Stop> {
        let feature = self.padded_feature(index)?;
        if feature.is_padded() {
            return unsupported(format!("Pad before {}", self.proto.op));
        }
        Ok(feature)
    }

    /// An input that depends on the image, perhaps with zeros around it.
    pub fn padded_feature(&self, index: usize) -> Result<&Feature, Stop> {
        let feature = self.padded_in_any_way(index)?;
        if feature.repeats_edge {
            return unsupported(format!("Pad of mode edge before {}", self.proto.op));
        }
        Ok(feature)
    }

    /// An input that depends on the image, perhaps with something around it.
    pub fn padded_in_any_way(&self, index: usize) -> Result<&Feature, Stop> {
        let feature = self.in_any_layout(index)?;
        if feature.layout.is_divided() {
            return unsupported(format!("Reshape that divides channels before {}", self.proto.op));
        }
        Ok(feature)
    }

    /// An input that depends on the image, whose channels may be divided.
    pub fn in_any_layout(&self, index: usize) -> Result<&Feature, Stop> {
        match self.input(index)? {
            Value::Feature(feature) => Ok(feature),
            Value::Probabilities(_) => unsupported("Softmax inside of the network"),
            Value::Squares(_) => unsupported(format!("{} of a normalization's divisor", self.proto.op)),
            Value::Constant(_) => unsupported(format!("{} of constants", self.proto.op)),
            Value::Unknown | Value::UnknownConstant => unsupported(operator(self.proto)),
        }
    }

    pub fn constant(&self, index: usize) -> Result<&Tensor, Stop> {
        match self.input(index)? {
            Value::Constant(tensor) => Ok(tensor),
            _ => unsupported(of_variable_weights(&self.proto.op)),
        }
    }

    pub fn optional_constant(&self, index: usize) -> Result<Option<&Tensor>, Stop> {
        match self.inputs.get(index) {
            None | Some(None) => Ok(None),
            Some(Some(_)) => self.constant(index).map(Some),
        }
    }
}
