//! Windows of convolutions and poolings: the attributes that say where they are.

use super::messages::NodeProto;
use crate::engine::graph::ops::Window;

/// Where the windows of a convolution or a pooling are over an image; rows first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Rows and columns of padding before the image.
    pub before: [usize; 2],
    /// The same behind it.
    pub after: [usize; 2],
    /// The part of `after` that the file has as a `Pad` of its own, a part of the pooled image.
    padded_after: [usize; 2],
    /// Whether a window may begin inside and end behind the padding.
    pub ceil: bool,
}

impl Placement {
    /// The windows of `node`, whose kernel is `kernel` if a weight says it, over an image of `size` that is padded with
    /// `padded` zeros (before, after) already.
    ///
    /// # Errors
    /// When an attribute is missing or has impossible values.
    pub fn new(
        node: &NodeProto,
        kernel: Option<[usize; 2]>,
        size: [usize; 2],
        padded: [[usize; 2]; 2],
    ) -> Result<Placement, String> {
        let pair = |name: &str| -> Result<Option<[usize; 2]>, String> {
            let Some(list) = node.ints(name)? else { return Ok(None) };
            let [a, b] = list[..] else {
                return Err(format!("attribute '{name}' has {} elements", list.len()));
            };
            match [a, b].map(usize::try_from) {
                [Ok(a), Ok(b)] if a.max(b) <= usize::from(u16::MAX) => Ok(Some([a, b])),
                _ => Err(format!("attribute '{name}' is {list:?}")),
            }
        };
        let positive = |name: &str, default: [usize; 2]| -> Result<[usize; 2], String> {
            let found = pair(name)?.unwrap_or(default);
            if found.contains(&0) { Err(format!("attribute '{name}' is {found:?}")) } else { Ok(found) }
        };
        let kernel = match (pair("kernel_shape")?, kernel) {
            (Some(said), Some(own)) if said != own => {
                return Err(format!("attribute 'kernel_shape' is {said:?}, its weight is {own:?}"));
            }
            (said, own) => own.or(said).ok_or("attribute 'kernel_shape' is missing")?,
        };
        if kernel.contains(&0) {
            return Err(format!("a window of {kernel:?}"));
        }
        let (stride, dilation) = (positive("strides", [1, 1])?, positive("dilations", [1, 1])?);
        let pads = match node.ints("pads")? {
            None => [0; 4],
            Some(list) => {
                let all: Vec<usize> = list.iter().filter_map(|&n| usize::try_from(n).ok()).collect();
                match all[..] {
                    [a, b, c, d] if all.iter().all(|&n| n <= usize::from(u16::MAX)) => [a, b, c, d],
                    _ => return Err(format!("attribute 'pads' is {list:?}")),
                }
            }
        };
        let (mut before, mut after) = ([pads[0], pads[1]], [pads[2], pads[3]]);
        let auto = node.text("auto_pad", "NOTSET")?;
        for axis in 0..2 {
            let (whole, span) =
                (size[axis] + padded[0][axis] + padded[1][axis], (kernel[axis] - 1) * dilation[axis] + 1);
            match auto {
                "NOTSET" | "" => {}
                "VALID" => (before[axis], after[axis]) = (0, 0),
                "SAME_UPPER" | "SAME_LOWER" => {
                    let last = (whole.div_ceil(stride[axis]) - 1) * stride[axis];
                    let total = (last + span).saturating_sub(whole);
                    let half = total / 2;
                    let is_upper = auto == "SAME_UPPER";
                    (before[axis], after[axis]) =
                        if is_upper { (half, total - half) } else { (total - half, half) };
                }
                other => return Err(format!("attribute 'auto_pad' is '{other}'")),
            }
            before[axis] += padded[0][axis];
            after[axis] += padded[1][axis];
        }
        let ceil = node.int("ceil_mode", 0)? != 0;
        Ok(Placement { kernel, stride, dilation, before, after, padded_after: padded[1], ceil })
    }

    /// The padding behind an image of `size` that gives as many windows as `ceil` says: PyTorch's rule, by which the last
    /// window begins inside of the image or of the padding before it.
    pub fn reach(&self, size: [usize; 2]) -> [usize; 2] {
        std::array::from_fn(|axis| {
            let (stride, before) = (self.stride[axis], self.before[axis]);
            let end = size[axis] + before + self.padded_after[axis];
            let span = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
            let whole = size[axis] + before + self.after[axis];
            if !self.ceil || whole < span {
                return self.after[axis];
            }
            let mut last = (whole - span).div_ceil(stride);
            if last * stride >= end {
                last -= 1;
            }
            (last * stride + span).saturating_sub(size[axis] + before).max(self.after[axis])
        })
    }

    /// The engine's window with padding `after` behind the image.
    pub fn window(&self, after: [usize; 2]) -> Window {
        Window {
            kernel: self.kernel,
            stride: self.stride,
            padding: [self.before, after],
            dilation: self.dilation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::messages::Attribute;

    fn placed(
        attributes: &[(&str, &[i64])],
        ceil: bool,
        auto: &str,
        size: [usize; 2],
    ) -> Result<Placement, String> {
        let mut node = NodeProto::default();
        for (name, list) in attributes {
            node.attributes.insert((*name).into(), Attribute::Ints(list.to_vec()));
        }
        node.attributes.insert("ceil_mode".into(), Attribute::Int(ceil.into()));
        node.attributes.insert("auto_pad".into(), Attribute::Text(auto.into()));
        Placement::new(&node, None, size, [[0; 2]; 2])
    }

    #[test]
    fn same_padding_is_divided_with_the_odd_one_at_the_named_end() {
        let windows: &[(&str, &[i64])] = &[("kernel_shape", &[3, 2]), ("strides", &[2, 1])];
        let upper = placed(windows, false, "SAME_UPPER", [8, 8]).unwrap();
        assert_eq!((upper.before, upper.after), ([0, 0], [1, 1]));
        let lower = placed(windows, false, "SAME_LOWER", [8, 8]).unwrap();
        assert_eq!((lower.before, lower.after), ([1, 1], [0, 0]));
    }

    /// torch.nn.functional.max_pool2d of PyTorch 2.11 gives 4, 3, 3 and 2 rows.
    #[test]
    fn rounding_up_follows_pytorch() {
        let rows = |kernel: i64, stride: i64, pad: i64, size: usize| {
            let list = |n: i64| [n, n];
            let (kernel, stride) = (list(kernel), list(stride));
            let placed = placed(
                &[("kernel_shape", &kernel), ("strides", &stride), ("pads", &[pad; 4])],
                true,
                "NOTSET",
                [size; 2],
            );
            let placed = placed.unwrap();
            (size + placed.before[0] + placed.reach([size; 2])[0] - placed.kernel[0]) / placed.stride[0] + 1
        };
        assert_eq!([rows(3, 2, 0, 8), rows(3, 2, 0, 7), rows(2, 3, 1, 6), rows(2, 4, 1, 6)], [4, 3, 3, 2]);
    }

    #[test]
    fn impossible_attributes_are_refused() {
        for attributes in [
            &[][..],
            &[("kernel_shape", &[0, 1][..])],
            &[("kernel_shape", &[3])],
            &[("kernel_shape", &[3, 3]), ("strides", &[0, 1])],
            &[("kernel_shape", &[3, 3]), ("pads", &[-1, 0, 0, 0])],
            &[("kernel_shape", &[3, 3]), ("pads", &[1, 1])],
            &[("kernel_shape", &[1 << 20, 3])],
        ] {
            assert!(placed(attributes, false, "NOTSET", [8, 8]).is_err(), "{attributes:?}");
        }
        assert!(placed(&[("kernel_shape", &[3, 3])], false, "OTHER", [8, 8]).is_err());
    }
}
