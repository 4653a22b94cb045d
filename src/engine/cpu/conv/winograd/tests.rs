//! The algorithm compared with the definition of a convolution, in f64.

use super::*;
use crate::engine::graph::Graph;
use crate::engine::graph::ops::Relu;

/// Pseudorandom floats in [-1, 1).
fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

struct Case {
    op: Conv2d,
    shapes: [Shape; 2],
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// With the floats around it that a step may read.
    input: Vec<f32>,
}

impl Case {
    fn new(input: Shape, out: usize, padding: [[usize; 2]; 2], relu: bool) -> Case {
        let weight = noise(out * input.c * 9, 1);
        let mut graph = Graph::new();
        let id = graph.add_param("weight", &[out, input.c, 3, 3], weight.clone());
        let window = Window { padding, ..Window::square(3, 1, 0) };
        let relu = relu.then_some(Relu::PLAIN);
        let op = Conv2d { relu, window, ..Conv2d::new(&graph, id, None, [1, 1], [0, 0]) };
        let [h, w] = op.window.positions("conv2d", input.h, input.w).unwrap();
        let mut around = vec![f32::NAN; input.len() + 2 * OVERREAD];
        around[OVERREAD..][..input.len()].copy_from_slice(&noise(input.len(), 2));
        Case { op, shapes: [input, Shape::new(out, h, w)], weight, bias: noise(out, 3), input: around }
    }

    /// Each output element, and the sum of its terms' absolute values: the scale of rounding errors.
    fn expected(&self) -> Vec<(f64, f64)> {
        let [input, output] = self.shapes;
        let [py, px] = self.op.window.padding[0];
        let x = |c: usize, y: usize, x: usize| {
            let inside = (py..py + input.h).contains(&y) && (px..px + input.w).contains(&x);
            let at = || OVERREAD + (c * input.h + y - py) * input.w + x - px;
            if inside { f64::from(self.input[at()]) } else { 0.0 }
        };
        let mut all = Vec::new();
        for (o, bias) in self.bias.iter().enumerate() {
            for (p, q) in (0..output.h).flat_map(|p| (0..output.w).map(move |q| (p, q))) {
                let (mut sum, mut size) = (f64::from(*bias), f64::from(bias.abs()));
                for (i, tap) in (0..input.c).flat_map(|i| (0..9).map(move |tap| (i, tap))) {
                    let term =
                        f64::from(self.weight[(o * input.c + i) * 9 + tap]) * x(i, p + tap / 3, q + tap % 3);
                    sum += term;
                    size += term.abs();
                }
                all.push((if self.op.relu.is_some() { sum.max(0.0) } else { sum }, size));
            }
        }
        all
    }

    /// The result with one instruction set, computed in at most `max_tiles` tiles.
    fn run(&self, isa: Isa, block: Block, max_tiles: usize) -> Vec<f32> {
        let tiling =
            WinogradTiling::new(isa, &self.op, self.shapes, block).expect("a 3x3 window of stride 1");
        let cache = WeightCache::default();
        let conv =
            WinogradKernel::new(&cache, isa, &self.op, tiling, &self.weight, Some(&self.bias)).unwrap();
        let mut output = vec![f32::NAN; self.shapes[1].len()];
        let mut scratch = vec![f32::NAN; conv.scratch_len() + OVERREAD];
        for tile in conv.tiles(max_tiles) {
            // SAFETY: input, output and scratch have the lengths required; one tile after another.
            unsafe {
                let input = self.input.as_ptr().add(OVERREAD);
                conv.compute(&tile, input, None, output.as_mut_ptr(), scratch.as_mut_ptr());
            }
        }
        output
    }
}

#[test]
fn unusual_shapes_agree_with_the_definition() {
    let shapes = [
        (Shape::new(1, 1, 1), 1, [[1, 1]; 2]),
        (Shape::new(3, 3, 3), 2, [[0, 0]; 2]),
        (Shape::new(2, 1, 9), 5, [[1, 1]; 2]),
        (Shape::new(5, 9, 1), 3, [[1, 1]; 2]),
        (Shape::new(17, 7, 7), 33, [[1, 1]; 2]),
        (Shape::new(9, 8, 5), 70, [[2, 1]; 2]),
        (Shape::new(4, 5, 18), 16, [[0, 2]; 2]),
        (Shape::new(6, 13, 31), 13, [[1, 1]; 2]),
        (Shape::new(3, 4, 40), 7, [[1, 0]; 2]),
        (Shape::new(3, 6, 15), 5, [[0, 1], [2, 0]]),
        (Shape::new(2, 5, 40), 9, [[0, 0], [0, 40]]),
        // More than one band: the transformed patches of all rows are too long.
        (Shape::new(40, 90, 66), 6, [[1, 1]; 2]),
    ];
    for (input, out, padding) in shapes {
        for relu in [false, true] {
            let case = Case::new(input, out, padding, relu);
            let expected = case.expected();
            let variants = Isa::available().into_iter().flat_map(|isa| Block::ALL.map(|block| (isa, block)));
            for (isa, block) in variants {
                let whole = case.run(isa, block, 1);
                for (i, (&result, &(exact, size))) in whole.iter().zip(&expected).enumerate() {
                    let error = (f64::from(result) - exact).abs() / size;
                    assert!(
                        error < 2e-6,
                        "{input} -> {out}, {}, {block:?}: element {i} is {result}, not {exact}",
                        isa.name()
                    );
                }
                for tiles in [2, 3, 7] {
                    let cut = case.run(isa, block, tiles);
                    assert!(
                        cut == whole,
                        "{input} -> {out}, {}, {block:?}: {tiles} tiles differ",
                        isa.name()
                    );
                }
            }
        }
    }
}

#[test]
fn other_windows_have_no_tiling() {
    let mut graph = Graph::new();
    let five = graph.add_param("five", &[2, 1, 5, 5], vec![0.0; 50]);
    let three = graph.add_param("three", &[2, 1, 3, 3], vec![0.0; 18]);
    let shapes = [Shape::new(1, 8, 8), Shape::new(2, 4, 4)];
    for (weight, stride) in [(five, [1, 1]), (three, [2, 2]), (three, [1, 2])] {
        let op = Conv2d::new(&graph, weight, None, stride, [1, 1]);
        assert!(WinogradTiling::new(Isa::detect(), &op, shapes, Block::Two).is_none(), "{:?}", op.window);
    }
}
