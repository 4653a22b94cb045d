//! Class activation maps: the pooled gradient of a convolution, and the weighted sum of channels.
//!
//! The pooled gradient: Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391) weights channel i by
//! the spatial mean of the gradient at the tap. Where the tap is read by a convolution, that
//! gradient is dx[i, y, x] = sum of weight[o, i, u, v] * g[o, p, q], and summing it over y and x
//! gives every g[o, p, q] the factor "sum of weight[o, i, u, v] over the (u, v) whose pixel is
//! inside the image". Which (u, v) are depends only on the distance of (p, q) from the border, so the
//! positions form few classes: 4 for an 8x8 tap under a 3x3 window of stride 2, 9 for 7x7.
//! Hence mean[i] = 1 / (H W) * sum over classes b, o of S[b, o] * K[b, o, i], where S sums g over
//! a class's positions and K sums the kernel over its valid taps. This is exact, and the gradient
//! map is never computed. A device with the kernel in its cache may sum in the other order:
//! mean[i] = 1 / (H W) * sum over o, u, v of T[o, u, v] * weight[o, i, u, v], where T sums S over the
//! classes in which (u, v) is valid.

use std::ops::Range;

use super::Window;
use crate::engine::graph::{Graph, ParamId};
use crate::error::GraphError;
use crate::util::allocation;
use crate::{Result, Shape};

/// Border classes of a window's positions, separately for rows and columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BorderClasses {
    /// Class of each row of positions.
    pub rows: Vec<usize>,
    /// Class of each column of positions.
    pub columns: Vec<usize>,
    /// Valid window rows of each row class, as (first, end).
    pub valid_rows: Vec<(usize, usize)>,
    /// Valid window columns of each column class, as (first, end).
    pub valid_columns: Vec<(usize, usize)>,
}

impl BorderClasses {
    /// The classes of `window` over an image of `input`'s height and width.
    ///
    /// # Errors
    /// When the window does not fit.
    pub fn new(window: &Window, input: Shape) -> Result<Self> {
        let [h, w] = window.positions("pooled_conv2d_grad", input.h, input.w)?;
        let axis = |positions: usize, size: usize, axis: usize| {
            let mut valid: Vec<(usize, usize)> = Vec::new();
            let class_of = |position: usize| {
                let Range { start, end } = window.inside(axis, position, size);
                valid.iter().position(|&v| v == (start, end)).unwrap_or_else(|| {
                    valid.push((start, end));
                    valid.len() - 1
                })
            };
            let classes = (0..positions).map(class_of).collect::<Vec<_>>();
            (classes, valid)
        };
        let (rows, valid_rows) = axis(h, input.h, 0);
        let (columns, valid_columns) = axis(w, input.w, 1);
        Ok(BorderClasses { rows, columns, valid_rows, valid_columns })
    }

    /// Number of classes: row classes times column classes.
    pub fn count(&self) -> usize {
        self.valid_rows.len() * self.valid_columns.len()
    }

    /// Checks that every position has a class, and that the classes are inside a window of `sides`.
    fn check(&self, sides: [usize; 2]) -> Result<()> {
        let axes = [(&self.rows, &self.valid_rows), (&self.columns, &self.valid_columns)];
        for ((unit, expected), (positions, valid)) in ["rows", "columns"].into_iter().zip(sides).zip(axes) {
            let is_range = |&(first, end): &(usize, usize)| first <= end && end <= expected;
            if !valid.iter().all(is_range) || positions.iter().any(|&class| class >= valid.len()) {
                let given = valid.iter().map(|&(first, end)| first.max(end)).max().unwrap_or(0);
                return Err(GraphError::WeightSize { op: "border classes", unit, expected, given }.into());
            }
        }
        Ok(())
    }

    /// The class of position (row, column).
    ///
    /// # Panics
    /// When there is no such position.
    pub fn class(&self, row: usize, column: usize) -> usize {
        self.rows[row] * self.valid_columns.len() + self.columns[column]
    }
}

/// Parameters of [`super::Op::PooledConv2dGrad`]; input: the gradient g of the convolution's result.
#[derive(Debug, Clone, PartialEq)]
pub struct PooledConv2dGrad {
    /// The convolution's weight (O, I, KH, KW).
    pub weight: ParamId,
    /// Border classes of its window over the tap.
    pub classes: BorderClasses,
    /// Pixels of the tap: H W.
    pub pixels: usize,
}

impl PooledConv2dGrad {
    pub(super) fn shape(&self, graph: &Graph, grad: Shape) -> Result<Shape> {
        let [channels, inputs, rows, columns] = graph.dims("pooled_conv2d_grad", self.weight)?;
        self.classes.check([rows, columns])?;
        let expected = Shape::new(channels, self.classes.rows.len(), self.classes.columns.len());
        if grad != expected {
            return Err(GraphError::GradientShape { op: "pooled_conv2d_grad", expected, given: grad }.into());
        }
        Ok(Shape::vector(inputs))
    }

    /// K / (H W), (O, I, classes): the sum of the kernel over each class's valid taps, of a weight (O, I, KH, KW). They
    /// are written to `sums`, which grows to the longest that it is used for.
    ///
    /// # Errors
    /// When the system has too little memory.
    pub(crate) fn kernel_sums<'a>(
        &self,
        dims: [usize; 4],
        weight: &[f32],
        sums: &'a mut Vec<f32>,
    ) -> Result<&'a [f32]> {
        /// Kernels whose taps lie side by side in the first cache, so that they are summed in vectors.
        const BLOCK: usize = 256;
        let (kernels, width, area) = (dims[0] * dims[1], dims[3], dims[2] * dims[3]);
        let columns = &self.classes.valid_columns;
        let valid = self.classes.valid_rows.iter().flat_map(|&r| columns.iter().map(move |&c| (r, c)));
        let mut taps = vec![[0.0; BLOCK]; area];
        let (classes, pixels) = (self.classes.count(), self.pixels as f64);
        let share = 1.0 / pixels;
        let sums = allocation::at_least("weights", kernels * classes, sums)?;
        for (sums, block) in sums.chunks_mut(BLOCK * classes).zip(weight.chunks(BLOCK * area)) {
            for (k, kernel) in block.chunks_exact(area).enumerate() {
                taps.iter_mut().zip(kernel).for_each(|(tap, &w)| tap[k] = f64::from(w));
            }
            for (class, ((top, bottom), (left, right))) in valid.clone().enumerate() {
                let mut totals = [0.0; BLOCK];
                for row in taps.chunks_exact(width).take(bottom).skip(top) {
                    for tap in &row[left..right] {
                        totals.iter_mut().zip(tap).for_each(|(total, &w)| *total += w);
                    }
                }
                // The same quotient without a division.
                let means = match self.pixels.is_power_of_two() {
                    true => totals.map(|total| (total * share) as f32),
                    false => totals.map(|total| (total / pixels) as f32),
                };
                sums.chunks_exact_mut(classes).zip(means).for_each(|(sums, mean)| sums[class] = mean);
            }
        }
        Ok(sums)
    }
}

/// Parameters of [`super::Op::WeightedSum`]; inputs: weights (C, 1, 1), channels (C, H, W).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightedSum {
    /// Whether a ReLU is applied to the sum.
    pub relu: bool,
}

pub(super) fn weighted_sum_shape(inputs: &[Shape]) -> Result<Shape> {
    let [weights, channels] = inputs else { unreachable!("arity was checked") };
    if *weights != Shape::vector(channels.c) {
        let (roles, shapes) = (["weights", "channels"], [*weights, *channels]);
        return Err(GraphError::OperandShapes { op: "weighted_sum", roles, shapes }.into());
    }
    Ok(Shape { c: 1, ..*channels })
}

/// Parameters of [`super::Op::Cam`]; inputs: the gradient of the head's first convolution, the tap (C, H, W).
///
/// The result is a record of C + H W + 2 elements: the channel weights, the map, its minimum and its
/// maximum.
#[derive(Debug, Clone, PartialEq)]
pub struct Cam {
    /// From the gradient to the channel weights.
    pub pooled: PooledConv2dGrad,
    /// From weights and tap to the map.
    pub sum: WeightedSum,
}

impl Cam {
    pub(super) fn shape(&self, graph: &Graph, inputs: &[Shape]) -> Result<Shape> {
        let weights = self.pooled.shape(graph, inputs[0])?;
        let map = weighted_sum_shape(&[weights, inputs[1]])?;
        Ok(Shape::vector(weights.len() + map.len() + 2))
    }
}
