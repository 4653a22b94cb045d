//! Operators on constants: arithmetic of shapes, and weights that exporters reshape, transpose or scale.

mod arithmetic;
mod broadcast;
mod dimensions;
mod generators;
mod selections;

pub use dimensions::{axes, axis, flattened, permutation, reshaped, shape, sizes, squeezed, unsqueezed};
pub use selections::{SliceRanges, split_sizes};

use super::messages::NodeProto;
use super::tensor::Tensor;
use arithmetic::{arithmetic, cast, reduce_prod, unary};
use generators::{constant_of_shape, range};
use selections::{choose, concat, expand, gather, split, transpose};

/// The result of `node` for constant `inputs`; `None` for an operator that is not computed here. An input that is not
/// given is `None`.
///
/// # Errors
/// When the operator does not accept such inputs.
pub fn fold(node: &NodeProto, inputs: &[Option<&Tensor>]) -> Option<Result<Vec<Tensor>, String>> {
    let one = |result: Result<Tensor, String>| Some(result.map(|tensor| vec![tensor]));
    let input =
        |i: usize| inputs.get(i).copied().flatten().ok_or_else(|| format!("input {} is missing", i + 1));
    let all = || (0..inputs.len()).map(input).collect::<Result<Vec<_>, _>>();
    match node.op.as_str() {
        "Constant" => one(node.constant()),
        "ConstantOfShape" => one(input(0).and_then(|shape| constant_of_shape(node, shape))),
        "Identity" => one(input(0).cloned()),
        "Dropout" => one(input(0).and_then(|x| match inputs {
            [_, ratio, training, ..] if drops_out(*ratio, *training) => Err("training mode".into()),
            _ => Ok(x.clone()),
        })),
        "Cast" => one(input(0).and_then(|x| cast(x, node.int("to", 1)?))),
        "Shape" => one(input(0).and_then(|x| shape(node, &x.dims))),
        "Size" => one(input(0).map(|x| Tensor::integers(&[], vec![x.len() as i64]))),
        "Reshape" => one(input(0).and_then(|x| {
            let dims = reshaped(&x.dims, input(1)?.as_integers()?, node.int("allowzero", 0)? != 0)?;
            Ok(Tensor { dims, elements: x.elements.clone() })
        })),
        "Flatten" => one(input(0).and_then(|x| {
            let dims = flattened(&x.dims, node.int("axis", 1)?)?;
            Ok(Tensor { dims, elements: x.elements.clone() })
        })),
        "Transpose" => one(input(0).and_then(|x| Ok(transpose(x, &permutation(node, x.dims.len())?)))),
        "Squeeze" | "Unsqueeze" => one(input(0).and_then(|x| {
            let axes = axes(node, inputs.get(1).copied().flatten())?;
            let dims =
                if node.op == "Squeeze" { squeezed(&x.dims, axes) } else { unsqueezed(&x.dims, axes) }?;
            Ok(Tensor { dims, elements: x.elements.clone() })
        })),
        "Concat" => one(all().and_then(|parts| concat(&parts, node.int("axis", 0)?))),
        "Gather" => one(input(0).and_then(|x| gather(x, input(1)?, node.int("axis", 0)?))),
        "Slice" => one(input(0).and_then(|x| {
            let ranges = SliceRanges::new(node, inputs)?;
            ranges.of(x)
        })),
        "Split" => Some(input(0).and_then(|x| split(node, x, inputs.get(1).copied().flatten()))),
        "Range" => one(all().and_then(|inputs| range(&inputs))),
        "Expand" => one(input(0).and_then(|x| expand(x, input(1)?.as_integers()?))),
        "ReduceProd" => {
            one(input(0).and_then(|x| reduce_prod(node, x, axes(node, inputs.get(1).copied().flatten())?)))
        }
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Min" | "Max" | "Equal" | "Less" | "Greater" => {
            one(all().and_then(|operands| arithmetic(&node.op, &operands)))
        }
        "Neg" | "Sqrt" | "Reciprocal" | "Sigmoid" | "Exp" | "Abs" | "Floor" | "Ceil" | "Tanh" | "Relu" => {
            one(input(0).and_then(|x| unary(&node.op, x)))
        }
        "Where" => one(input(0).and_then(|condition| choose(condition, input(1)?, input(2)?))),
        _ => None,
    }
}

/// Whether `node` is computed here where its inputs are constant.
pub fn is_folded(node: &NodeProto) -> bool {
    fold(node, &[]).is_some()
}

/// Whether a `Dropout` with these inputs, all but the first, changes anything.
pub fn drops_out(ratio: Option<&Tensor>, is_training: Option<&Tensor>) -> bool {
    let is_zero = |x: &Tensor| x.scalar() == Some(0.0);
    is_training.is_some_and(|x| !is_zero(x)) && !ratio.is_some_and(is_zero)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::messages::Attribute;
    use crate::model::onnx::tensor::{Elements, IntegerType};

    fn node(op: &str, attributes: &[(&str, Attribute)]) -> NodeProto {
        let mut node = NodeProto { op: op.into(), ..NodeProto::default() };
        for (name, value) in attributes {
            let value = match value {
                Attribute::Int(n) => Attribute::Int(*n),
                Attribute::Ints(n) => Attribute::Ints(n.clone()),
                _ => unreachable!("not in these tests"),
            };
            node.attributes.insert((*name).into(), value);
        }
        node
    }

    fn run(node: &NodeProto, inputs: &[&Tensor]) -> Result<Tensor, String> {
        let inputs: Vec<Option<&Tensor>> = inputs.iter().copied().map(Some).collect();
        fold(node, &inputs).expect("it is computed here").map(|mut results| results.remove(0))
    }

    fn integers(elements: &[i64]) -> Tensor {
        Tensor::integers(&[elements.len()], elements.to_vec())
    }

    #[test]
    fn the_arithmetic_of_a_view_gives_its_dimensions() {
        let dims = integers(&[1, 8, 4, 4]);
        let batch = run(&node("Gather", &[]), &[&dims, &Tensor::integers(&[], vec![0])]).unwrap();
        assert_eq!(batch, Tensor::integers(&[], vec![1]));
        let batch = run(&node("Unsqueeze", &[("axes", Attribute::Ints(vec![0]))]), &[&batch]).unwrap();
        let target =
            run(&node("Concat", &[("axis", Attribute::Int(0))]), &[&batch, &integers(&[-1])]).unwrap();
        assert_eq!(target, integers(&[1, -1]));
        assert_eq!(reshaped(&[1, 8, 4, 4], &[1, -1], false).unwrap(), [1, 128]);
        assert_eq!(reshaped(&[2, 3], &[0, -1], false).unwrap(), [2, 3]);
        for wrong in [&[-1, -1][..], &[5], &[0, 0, 0], &[-2, 3]] {
            assert!(reshaped(&[2, 3], wrong, false).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn slices_follow_numpy() {
        let x = Tensor::integers(&[2, 3], vec![0, 1, 2, 3, 4, 5]);
        let slice = |starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]| {
            run(
                &node("Slice", &[]),
                &[&x, &integers(starts), &integers(ends), &integers(axes), &integers(steps)],
            )
        };
        assert_eq!(
            slice(&[1], &[i64::MAX], &[1], &[1]).unwrap(),
            Tensor::integers(&[2, 2], vec![1, 2, 4, 5])
        );
        assert_eq!(
            slice(&[-1], &[i64::MIN], &[1], &[-1]).unwrap(),
            Tensor::integers(&[2, 3], vec![2, 1, 0, 5, 4, 3])
        );
        assert_eq!(slice(&[0, 0], &[1, 3], &[0, 1], &[1, 2]).unwrap(), Tensor::integers(&[1, 2], vec![0, 2]));
        assert_eq!(slice(&[2], &[1], &[1], &[1]).unwrap().dims, [2, 0]);
        assert!(slice(&[0], &[1], &[1], &[0]).is_err());
        assert!(slice(&[0], &[1], &[2], &[1]).is_err());
    }

    #[test]
    fn splits_are_even_or_as_asked() {
        let x = Tensor::integers(&[5, 2], (0..10).collect());
        let split = |attributes: &[(&str, i64)], asked: Option<&[i64]>, outputs: usize| {
            let attributes: Vec<_> = attributes.iter().map(|&(name, n)| (name, Attribute::Int(n))).collect();
            let node = NodeProto { outputs: vec!["y".into(); outputs], ..node("Split", &attributes) };
            let asked = asked.map(integers);
            fold(&node, &[Some(&x), asked.as_ref()]).unwrap()
        };
        let parts = split(&[("num_outputs", 2)], None, 2).unwrap();
        assert_eq!(parts[1], Tensor::integers(&[2, 2], vec![6, 7, 8, 9]));
        let parts = split(&[], Some(&[1, 4]), 2).unwrap();
        assert_eq!((&parts[0].dims[..], &parts[1].dims[..]), (&[1, 2][..], &[4, 2][..]));
        let parts = split(&[("axis", -1)], None, 2).unwrap();
        assert_eq!(parts[1], Tensor::integers(&[5, 1], vec![1, 3, 5, 7, 9]));
        assert!(split(&[], None, 2).is_err(), "not even, and no number of parts");
        for wrong in [&[1, 5][..], &[5], &[-1, 6], &[i64::MAX, i64::MAX]] {
            assert!(split(&[], Some(wrong), 2).is_err(), "{wrong:?}");
        }
        assert!(
            split(&[("num_outputs", 0)], None, 2).is_err() && split(&[("num_outputs", 3)], None, 2).is_err()
        );
    }

    #[test]
    fn tensors_are_transposed_and_broadcast() {
        let x = Tensor::floats(&[2, 3], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let t = run(&node("Transpose", &[]), &[&x]).unwrap();
        assert_eq!(t, Tensor::floats(&[3, 2], [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
        let row = Tensor::floats(&[3], [1.0, 10.0, 100.0]);
        let product = run(&node("Mul", &[]), &[&x, &row]).unwrap();
        assert_eq!(product, Tensor::floats(&[2, 3], [0.0, 10.0, 200.0, 3.0, 40.0, 500.0]));
        assert!(run(&node("Mul", &[]), &[&x, &t]).is_err());
        assert!(run(&node("Div", &[]), &[&integers(&[1]), &integers(&[0])]).is_err());
        let large = Tensor::integers(&[2000, 1], vec![1; 2000]);
        assert!(run(&node("Add", &[]), &[&large, &integers(&[1; 2000])]).is_err());
    }

    #[test]
    fn integers_stay_in_the_range_of_their_type() {
        let of = |bits, is_signed, elements: &[i64]| Tensor {
            dims: vec![elements.len()],
            elements: Elements::Integers(elements.into(), IntegerType { bits, is_signed }),
        };
        let (a, b) = (of(8, false, &[250, 3]), of(8, false, &[10, 5]));
        assert_eq!(run(&node("Add", &[]), &[&a, &b]), Ok(of(8, false, &[4, 8])));
        assert_eq!(run(&node("Sub", &[]), &[&b, &a]), Ok(of(8, false, &[16, 2])));
        assert_eq!(
            run(&node("Mul", &[]), &[&of(32, true, &[1 << 20]), &of(32, true, &[4097])]),
            Ok(of(32, true, &[1 << 20]))
        );
        assert_eq!(run(&node("Neg", &[]), &[&of(8, true, &[-128])]), Ok(of(8, true, &[-128])));
        assert_eq!(
            run(&node("Pow", &[]), &[&integers(&[-1, 3]), &integers(&[65, 2])]),
            Ok(integers(&[-1, 9]))
        );
        assert!(run(&node("Pow", &[]), &[&integers(&[2]), &integers(&[-1])]).is_err());
        assert!(run(&node("Sub", &[]), &[&of(64, false, &[1]), &of(64, false, &[2])]).is_err());
        assert!(run(&node("Add", &[]), &[&a, &integers(&[1, 2])]).is_err(), "of different types");
        let equal = run(&node("Equal", &[]), &[&a, &of(8, false, &[250])]).unwrap();
        assert_eq!(equal, of(1, false, &[1, 0]));
    }

    #[test]
    fn axes_that_do_not_exist_are_refused() {
        let scalar = Tensor::integers(&[], vec![1]);
        assert!(squeezed(&[], Some(vec![0])).is_err());
        assert!(run(&node("Concat", &[("axis", Attribute::Int(0))]), &[&scalar, &scalar]).is_err());
        assert!(run(&node("Gather", &[]), &[&scalar, &scalar]).is_err());
        let bounds = [i64::MAX - 1, i64::MAX, 10].map(|n| Tensor::integers(&[], vec![n]));
        assert_eq!(
            run(&node("Range", &[]), &[&bounds[0], &bounds[1], &bounds[2]]),
            Ok(integers(&[i64::MAX - 1]))
        );
        assert_eq!(squeezed(&[1, 3, 1], Some(vec![0, -1])).unwrap(), [3]);
        assert!(squeezed(&[1, 3], Some(vec![1])).is_err() && squeezed(&[1], Some(vec![4])).is_err());
        assert_eq!(unsqueezed(&[3], Some(vec![0, 2])).unwrap(), [1, 3, 1]);
        assert!(unsqueezed(&[3], None).is_err() && unsqueezed(&[3], Some(vec![9])).is_err());
        let x = integers(&[1, 2]);
        assert!(run(&node("Gather", &[]), &[&x, &integers(&[2])]).is_err());
        assert!(permutation(&node("Transpose", &[("perm", Attribute::Ints(vec![0, 0]))]), 2).is_err());
    }
}
