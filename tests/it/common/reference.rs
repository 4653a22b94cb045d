//! Reference implementation: every op in f64, in loops that follow its formula, and the execution of
//! graphs and plans with it. It shares only the parameters of ops with `src`.

use msdcam::Shape;
use msdcam::engine::graph::ops::{
    Activation, AvgPool, BatchNorm, Interpolation, Lrn, Op, PooledConv2dGrad, ReluGrad, ReluRule, Resize,
    ResizeMinMax, Window,
};
use msdcam::engine::graph::{Graph, NodeId, Param, ParamId};
use msdcam::engine::plan::{Plan, Slot, Space};
use msdcam::engine::tensor::Tensor;

/// Every node's value for one image; `inputs` in the order of the graph's input nodes.
pub fn evaluate(graph: &Graph, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut given = inputs.iter();
    let mut values: Vec<Vec<f64>> = Vec::new();
    for node in graph.nodes() {
        let value = match node.op {
            Op::Input(shape) => {
                let input = given.next().expect("an input for each input node");
                assert_eq!(input.len(), shape.len(), "elements of an input");
                input.clone()
            }
            _ => {
                let read = |id: &NodeId| Value { shape: graph.shape(*id), data: &values[id.index()] };
                let x: Vec<Value> = node.inputs.iter().map(read).collect();
                apply(&node.op, graph.params(), &x, node.shape)
            }
        };
        assert_eq!(value.len(), node.shape.len(), "elements of {}", node.op.name());
        values.push(value);
    }
    values
}

/// `outputs` of `graph` for a batch, image after image.
pub fn run(graph: &Graph, outputs: &[NodeId], inputs: &[&Tensor]) -> Vec<Vec<f64>> {
    let mut batch = vec![Vec::new(); outputs.len()];
    for image in 0..inputs[0].n {
        let values = evaluate(graph, &image_inputs(inputs, image));
        for (all, id) in batch.iter_mut().zip(outputs) {
            all.extend(&values[id.index()]);
        }
    }
    batch
}

/// The outputs of `plan` for a batch, image after image. Memory is NaN until a step writes it.
pub fn run_plan(plan: &Plan, inputs: &[&Tensor]) -> Vec<Vec<f64>> {
    let mut batch = vec![Vec::new(); plan.outputs().len()];
    for image in 0..inputs[0].n {
        let mut memory = PlanMemory::new(plan, f64::NAN);
        for (slot, input) in plan.inputs().iter().zip(image_inputs(inputs, image)) {
            memory.write(slot, &input);
        }
        for step in plan.steps() {
            let x: Vec<Vec<f64>> = step.inputs().iter().map(|slot| memory.read(slot).to_vec()).collect();
            let slots = step.inputs().iter();
            let x: Vec<Value> =
                slots.zip(&x).map(|(slot, data)| Value { shape: slot.shape(), data }).collect();
            memory.write(&step.output(), &apply(step.op(), plan.params(), &x, step.output().shape()));
        }
        for (all, slot) in batch.iter_mut().zip(plan.outputs()) {
            all.extend(memory.read(slot));
        }
    }
    batch
}

fn image_inputs(inputs: &[&Tensor], image: usize) -> Vec<Vec<f64>> {
    inputs.iter().map(|t| t.image(image).iter().map(|&x| f64::from(x)).collect()).collect()
}

/// One image's three spaces, of any kind of number.
pub struct PlanMemory<T> {
    input: Vec<T>,
    work: Vec<T>,
    output: Vec<T>,
}

impl<T: Clone> PlanMemory<T> {
    pub fn new(plan: &Plan, fill: T) -> Self {
        PlanMemory {
            input: vec![fill.clone(); plan.input_len()],
            work: vec![fill.clone(); plan.work_len()],
            output: vec![fill; plan.output_len()],
        }
    }

    /// Value at `slot`. Panics where the slot leaves its space.
    pub fn read(&self, slot: &Slot) -> &[T] {
        let space = match slot.space() {
            Space::Input => &self.input,
            Space::Work => &self.work,
            Space::Output => &self.output,
        };
        &space[slot.offset()..slot.offset() + slot.shape().len()]
    }

    pub fn write(&mut self, slot: &Slot, numbers: &[T]) {
        let space = match slot.space() {
            Space::Input => &mut self.input,
            Space::Work => &mut self.work,
            Space::Output => &mut self.output,
        };
        space[slot.offset()..slot.offset() + slot.shape().len()].clone_from_slice(numbers);
    }
}

/// A value of one image: `data[(c * H + y) * W + x]`.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    pub shape: Shape,
    pub data: &'a [f64],
}

impl Value<'_> {
    fn at(&self, c: usize, y: usize, x: usize) -> f64 {
        self.data[(c * self.shape.h + y) * self.shape.w + x]
    }
}

/// A value in the making.
struct Result {
    shape: Shape,
    data: Vec<f64>,
}

impl Result {
    fn zeros(shape: Shape) -> Self {
        Result { shape, data: vec![0.0; shape.len()] }
    }

    fn at(&mut self, c: usize, y: usize, x: usize) -> &mut f64 {
        &mut self.data[(c * self.shape.h + y) * self.shape.w + x]
    }
}

/// The result of one op.
pub fn apply(op: &Op, params: &[Param], x: &[Value], shape: Shape) -> Vec<f64> {
    let param = |id: ParamId| &params[id.index()].data[..];
    match op {
        Op::Input(_) => unreachable!("inputs are given"),
        Op::Copy => x[0].data.to_vec(),
        Op::Conv2d(op) => {
            let sum = conv2d(&op.window, op.groups, param(op.weight), op.bias.map(param), x[0], shape);
            let sum: Vec<f64> = match x.get(1) {
                Some(residual) => sum.iter().zip(residual.data).map(|(a, b)| a + b).collect(),
                None => sum,
            };
            match op.relu {
                Some(op) => sum.into_iter().map(|x| relu(x, op.max)).collect(),
                None => sum,
            }
        }
        Op::Conv2dGrad(op) => {
            let grad = conv2d_grad(&op.window, op.groups, param(op.weight), x[0], shape);
            match op.relu {
                Some(relu) => relu_grad(relu, &grad, x[1].data),
                None => grad,
            }
        }
        Op::BatchNorm(op) => {
            let y = batch_norm(op, params, x[0], |x, mean, scale, bias| (x - mean) * scale + bias);
            match op.relu {
                Some(op) => y.into_iter().map(|y| relu(y, op.max)).collect(),
                None => y,
            }
        }
        Op::BatchNormGrad(op) => batch_norm(&op.forward, params, x[0], |g, _, scale, _| g * scale),
        Op::Relu(op) => x[0].data.iter().map(|&x| relu(x, op.max)).collect(),
        Op::ReluGrad(op) => relu_grad(*op, x[0].data, x[1].data),
        Op::MaxPool(op) => max_pool(&op.window, x[0], shape),
        Op::MaxPoolGrad(op) => max_pool_grad(&op.window, x[0], x[1]),
        Op::AvgPool(op) => avg_pool(op, x[0], shape),
        Op::AvgPoolGrad(op) => avg_pool_grad(&op.forward, x[0], shape),
        Op::Concat => x.iter().flat_map(|part| part.data).copied().collect(),
        Op::Activation(op) => x[0].data.iter().map(|&x| activation(*op, x)).collect(),
        Op::ActivationGrad(op) => {
            x[0].data.iter().zip(x[1].data).map(|(&g, &x)| g * activation_slope(*op, x)).collect()
        }
        Op::Mul => {
            let factor = |i: usize| x[1].data[if x[1].shape == shape { i } else { i / shape.plane() }];
            (0..shape.len()).map(|i| x[0].data[i] * factor(i)).collect()
        }
        Op::ChannelDot => {
            let products: Vec<f64> = x[0].data.iter().zip(x[1].data).map(|(a, b)| a * b).collect();
            products.chunks(x[0].shape.plane()).map(|channel| channel.iter().sum()).collect()
        }
        Op::ChannelShuffle(op) => {
            // (G, C / G) transposed to (C / G, G).
            let (groups, each) = (op.groups, shape.c / op.groups);
            let order = (0..each).flat_map(|j| (0..groups).map(move |i| i * each + j));
            order.flat_map(|c| &x[0].data[c * shape.plane()..][..shape.plane()]).copied().collect()
        }
        Op::Lrn(op) => {
            let scale = lrn_scales(op, x[0]);
            x[0].data.iter().zip(&scale).map(|(x, s)| x / s.powf(op.beta.into())).collect()
        }
        Op::LrnGrad(op) => lrn_grad(op, x[0], x[1]),
        Op::Resize(op) => {
            let mut out = Result::zeros(shape);
            resize(op, x[0].shape, shape.c, |c, p, q, y, z, part| {
                *out.at(c, p, q) += part * x[0].at(c, y, z)
            });
            out.data
        }
        Op::ResizeGrad(op) => {
            let mut dx = Result::zeros(shape);
            resize(&op.forward, shape, shape.c, |c, p, q, y, z, part| {
                *dx.at(c, y, z) += part * x[0].at(c, p, q);
            });
            dx.data
        }
        Op::Slice(op) => x[0].data[op.offset..op.offset + op.shape.len()].to_vec(),
        Op::SliceGrad(op) => {
            let mut dx = vec![0.0; shape.len()];
            dx[op.offset..op.offset + x[0].data.len()].copy_from_slice(x[0].data);
            dx
        }
        Op::Linear(op) => linear(param(op.weight), param(op.bias), x[0].data),
        Op::LinearGrad(op) => linear_grad(param(op.weight), x[0].data, shape.len()),
        Op::Add => (0..shape.len()).map(|i| x.iter().map(|x| x.data[i]).sum()).collect(),
        Op::Softmax => softmax(x[0].data),
        Op::SoftmaxGrad => softmax_grad(x[0].data, x[1].data),
        Op::OneHot => one_hot(x[0].data, x[1].data[0]),
        Op::SpatialMean => {
            x[0].data.chunks(x[0].shape.plane()).map(|c| c.iter().sum::<f64>() / c.len() as f64).collect()
        }
        Op::PooledConv2dGrad(op) => pooled_conv2d_grad(op, &params[op.weight.index()], x[0]),
        Op::WeightedSum(op) => weighted_sum(op.relu, x[0].data, x[1]),
        Op::Range => range(x[0].data).to_vec(),
        Op::ResizeMinMax(op) => resize_min_max(op, x[0]),
        Op::Cam(op) => {
            let weights = pooled_conv2d_grad(&op.pooled, &params[op.pooled.weight.index()], x[0]);
            let map = weighted_sum(op.sum.relu, &weights, x[1]);
            let range = range(&map);
            [&weights[..], &map, &range].concat()
        }
        Op::Classifier(op) => {
            let (weight, image) = (param(op.linear.weight), x[0].shape);
            let [h, w] =
                op.window.positions("classifier", image.h, image.w).expect("the graph has checked it");
            let pooled_shape = Shape { h, w, ..image };
            let pool = AvgPool { window: op.window, counted: [[0; 2]; 2] };
            let pooled = avg_pool(&pool, x[0], pooled_shape);
            let logits = linear(weight, param(op.linear.bias), &pooled);
            let class = one_hot(&logits, x[1].data[0]);
            let grad = linear_grad(weight, &class, pooled.len());
            let grad = avg_pool_grad(&pool, Value { shape: pooled_shape, data: &grad }, image);
            let grad = op.relu.map_or(grad.clone(), |relu| relu_grad(relu, &grad, x[0].data));
            [&logits[..], &softmax(&logits), &grad].concat()
        }
    }
}

/// The pixel under window position `p` at window row (or column) `u`, if it is inside the image.
fn pixel(window: &Window, axis: usize, p: usize, u: usize, size: usize) -> Option<usize> {
    (p * window.stride[axis] + u * window.dilation[axis])
        .checked_sub(window.padding[0][axis])
        .filter(|&y| y < size)
}

/// Calls `visit(p, q, u, v, y, x)` for every window position and every pixel under it.
fn windows(
    window: &Window,
    output: Shape,
    image: Shape,
    mut visit: impl FnMut(usize, usize, usize, usize, usize, usize),
) {
    for p in 0..output.h {
        for q in 0..output.w {
            for u in 0..window.kernel[0] {
                for v in 0..window.kernel[1] {
                    let y = pixel(window, 0, p, u, image.h);
                    let x = pixel(window, 1, q, v, image.w);
                    if let (Some(y), Some(x)) = (y, x) {
                        visit(p, q, u, v, y, x);
                    }
                }
            }
        }
    }
}

/// weight[o, i, u, v].
fn tap(window: &Window, weight: &[f32], channels: usize, [o, i, u, v]: [usize; 4]) -> f64 {
    f64::from(weight[((o * channels + i) * window.kernel[0] + u) * window.kernel[1] + v])
}

/// y[o, p, q] = bias[o] + sum over i, u, v of weight[o, i, u, v] * x[i, p*sy - py + u*dy, q*sx - px + v*dx].
fn conv2d(
    window: &Window,
    groups: usize,
    weight: &[f32],
    bias: Option<&[f32]>,
    x: Value,
    shape: Shape,
) -> Vec<f64> {
    let mut out = Result::zeros(shape);
    let each = x.shape.c / groups;
    for o in 0..shape.c {
        let first = o / (shape.c / groups) * each;
        for i in 0..each {
            windows(window, shape, x.shape, |p, q, u, v, y, z| {
                *out.at(o, p, q) += tap(window, weight, each, [o, i, u, v]) * x.at(first + i, y, z);
            });
        }
        if let Some(bias) = bias {
            for i in 0..shape.plane() {
                out.data[o * shape.plane() + i] += f64::from(bias[o]);
            }
        }
    }
    out.data
}

/// dx[i, y, x] = sum over o, u, v of weight[o, i, u, v] * g[o, p, q],
/// where p*sy - py + u*dy = y and q*sx - px + v*dx = x.
fn conv2d_grad(window: &Window, groups: usize, weight: &[f32], g: Value, shape: Shape) -> Vec<f64> {
    let mut dx = Result::zeros(shape);
    let each = shape.c / groups;
    for o in 0..g.shape.c {
        let first = o / (g.shape.c / groups) * each;
        for i in 0..each {
            windows(window, g.shape, shape, |p, q, u, v, y, x| {
                *dx.at(first + i, y, x) += tap(window, weight, each, [o, i, u, v]) * g.at(o, p, q);
            });
        }
    }
    dx.data
}

/// f(x, mean, weight / sqrt(variance + eps), bias), per channel.
fn batch_norm(op: &BatchNorm, params: &[Param], x: Value, f: fn(f64, f64, f64, f64) -> f64) -> Vec<f64> {
    let [weight, bias, mean, variance] =
        [op.weight, op.bias, op.mean, op.variance].map(|id| &params[id.index()].data);
    let mut out = Result::zeros(x.shape);
    for c in 0..x.shape.c {
        let scale = f64::from(weight[c]) / (f64::from(variance[c]) + f64::from(op.eps)).sqrt();
        for y in 0..x.shape.h {
            for z in 0..x.shape.w {
                *out.at(c, y, z) = f(x.at(c, y, z), f64::from(mean[c]), scale, f64::from(bias[c]));
            }
        }
    }
    out.data
}

fn relu(x: f64, max: f32) -> f64 {
    x.max(0.0).min(f64::from(max))
}

fn relu_grad(relu: ReluGrad, grad: &[f64], result: &[f64]) -> Vec<f64> {
    let open = |g: f64, y: f64| match relu.rule {
        ReluRule::Plain => y > 0.0,
        ReluRule::Guided => y > 0.0 && g > 0.0,
        ReluRule::Deconvnet => g > 0.0,
    };
    grad.iter()
        .zip(result)
        .map(|(&g, &y)| if open(g, y) && y < f64::from(relu.max) { g } else { 0.0 })
        .collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn activation(op: Activation, x: f64) -> f64 {
    match op {
        Activation::Sigmoid => sigmoid(x),
        Activation::HardSigmoid { slope, offset } => {
            (f64::from(slope) * x + f64::from(offset)).clamp(0.0, 1.0)
        }
        Activation::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Silu => x * sigmoid(x),
        Activation::LeakyRelu { slope } => x.max(0.0) + f64::from(slope) * x.min(0.0),
    }
}

/// The derivative at `x`.
fn activation_slope(op: Activation, x: f64) -> f64 {
    match op {
        Activation::Sigmoid => sigmoid(x) * sigmoid(-x),
        Activation::HardSigmoid { slope, offset } => {
            let y = f64::from(slope) * x + f64::from(offset);
            if 0.0 < y && y < 1.0 { slope.into() } else { 0.0 }
        }
        Activation::HardSwish if x <= -3.0 => 0.0,
        Activation::HardSwish if x >= 3.0 => 1.0,
        Activation::HardSwish => x / 3.0 + 0.5,
        Activation::Silu => sigmoid(x) * (1.0 + x * sigmoid(-x)),
        Activation::LeakyRelu { slope } => {
            if x > 0.0 {
                1.0
            } else {
                slope.into()
            }
        }
    }
}

/// The channels in the window of channel `c` of `channels`.
fn lrn_window(op: &Lrn, c: usize, channels: usize) -> impl Iterator<Item = usize> + use<> {
    let (before, behind) = ((op.size - 1) / 2, op.size / 2);
    (0..channels).filter(move |&other| other + before >= c && other <= c + behind)
}

/// bias + alpha / size * sum of the squares in the window of each element.
fn lrn_scales(op: &Lrn, x: Value) -> Vec<f64> {
    let plane = x.shape.plane();
    let scale = |i: usize| {
        let window = lrn_window(op, i / plane, x.shape.c);
        let sum: f64 = window.map(|c| x.data[c * plane + i % plane].powi(2)).sum();
        f64::from(op.bias) + f64::from(op.alpha) / op.size as f64 * sum
    };
    (0..x.data.len()).map(scale).collect()
}

/// The derivative of each result with respect to each element of its window, times the result's gradient.
fn lrn_grad(op: &Lrn, g: Value, x: Value) -> Vec<f64> {
    let (plane, beta) = (x.shape.plane(), f64::from(op.beta));
    let scales = lrn_scales(op, x);
    let mut dx = vec![0.0; x.data.len()];
    for (i, &s) in scales.iter().enumerate() {
        dx[i] += g.data[i] * s.powf(-beta);
        for c in lrn_window(op, i / plane, x.shape.c) {
            let other = c * plane + i % plane;
            let ds = 2.0 * f64::from(op.alpha) / op.size as f64 * x.data[other];
            dx[other] -= g.data[i] * x.data[i] * beta * s.powf(-beta - 1.0) * ds;
        }
    }
    dx
}

/// Calls `visit(c, p, q, y, x, part)` for each pixel (p, q) of the result and each (y, x) of the input that it comes from.
fn resize(
    op: &Resize,
    input: Shape,
    channels: usize,
    mut visit: impl FnMut(usize, usize, usize, usize, usize, f64),
) {
    // Pixels with their parts, for each position along an axis.
    let along = |axis: usize, size: usize| -> Vec<Vec<(usize, f64)>> {
        let sampling = op.axes[axis];
        let place = |i: usize| (sampling.scale * i as f64 + sampling.shift).clamp(0.0, (size - 1) as f64);
        let nearest = |place: f64| match op.interpolation {
            Interpolation::NearestPreferFloor => (place - 0.5 - 1e-9).ceil(),
            Interpolation::NearestPreferCeil => (place + 0.5 + 1e-9).floor(),
            Interpolation::Floor => (place + 1e-9).floor(),
            Interpolation::Ceil => (place - 1e-9).ceil(),
            Interpolation::Linear => unreachable!("two pixels"),
        };
        let pixels = |i: usize| match op.interpolation {
            Interpolation::Linear => {
                // The hat function of each pixel.
                let hat = |pixel: usize| (pixel, (1.0 - (place(i) - pixel as f64).abs()).max(0.0));
                (0..size).map(hat).collect()
            }
            _ => vec![((nearest(place(i)).max(0.0) as usize).min(size - 1), 1.0)],
        };
        (0..sampling.len).map(pixels).collect()
    };
    let (rows, columns) = (along(0, input.h), along(1, input.w));
    for c in 0..channels {
        for (p, row) in rows.iter().enumerate() {
            for (q, column) in columns.iter().enumerate() {
                for &(y, down) in row {
                    for &(x, right) in column {
                        visit(c, p, q, y, x, down * right);
                    }
                }
            }
        }
    }
}

/// For each (channel, position): the pixel of the first maximum in row order.
fn winners(window: &Window, x: Value, output: Shape) -> Vec<(usize, usize)> {
    let mut winners = Vec::new();
    for c in 0..x.shape.c {
        let mut best: Vec<Option<(usize, usize)>> = vec![None; output.plane()];
        windows(window, output, x.shape, |p, q, _, _, y, z| {
            let best = &mut best[p * output.w + q];
            if best.is_none_or(|(by, bz)| x.at(c, y, z) > x.at(c, by, bz)) {
                *best = Some((y, z));
            }
        });
        winners.extend(best.into_iter().map(|b| b.expect("no window is empty")));
    }
    winners
}

fn max_pool(window: &Window, x: Value, shape: Shape) -> Vec<f64> {
    let winners = winners(window, x, shape);
    winners.iter().enumerate().map(|(i, &(y, z))| x.at(i / shape.plane(), y, z)).collect()
}

fn max_pool_grad(window: &Window, g: Value, x: Value) -> Vec<f64> {
    let mut dx = Result::zeros(x.shape);
    for (i, (y, z)) in winners(window, x, g.shape).into_iter().enumerate() {
        *dx.at(i / g.shape.plane(), y, z) += g.data[i];
    }
    dx.data
}

/// The elements of window (p, q): pixels, and padding that counts.
fn elements(pool: &AvgPool, p: usize, q: usize, image: Shape) -> f64 {
    let along = |axis: usize, position: usize, size: usize| {
        let [before, after] = pool.counted.map(|side| side[axis]);
        let place = |u: usize| position * pool.window.stride[axis] + u + before;
        let inside = |u: &usize| {
            place(*u).checked_sub(pool.window.padding[0][axis]).is_some_and(|y| y < before + size + after)
        };
        (0..pool.window.kernel[axis]).filter(inside).count()
    };
    (along(0, p, image.h) * along(1, q, image.w)) as f64
}

fn avg_pool(pool: &AvgPool, x: Value, shape: Shape) -> Vec<f64> {
    let mut out = Result::zeros(shape);
    for c in 0..shape.c {
        windows(&pool.window, shape, x.shape, |p, q, _, _, y, z| {
            *out.at(c, p, q) += x.at(c, y, z) / elements(pool, p, q, x.shape);
        });
    }
    out.data
}

fn avg_pool_grad(pool: &AvgPool, g: Value, shape: Shape) -> Vec<f64> {
    let mut dx = Result::zeros(shape);
    for c in 0..shape.c {
        windows(&pool.window, g.shape, shape, |p, q, _, _, y, x| {
            *dx.at(c, y, x) += g.at(c, p, q) / elements(pool, p, q, shape);
        });
    }
    dx.data
}

/// y[o] = bias[o] + sum over i of weight[o, i] * x[i].
fn linear(weight: &[f32], bias: &[f32], x: &[f64]) -> Vec<f64> {
    let row = |o: usize| (0..x.len()).map(|i| f64::from(weight[o * x.len() + i]) * x[i]).sum::<f64>();
    bias.iter().enumerate().map(|(o, &b)| f64::from(b) + row(o)).collect()
}

/// dx[i] = sum over o of weight[o, i] * g[o].
fn linear_grad(weight: &[f32], g: &[f64], len: usize) -> Vec<f64> {
    (0..len).map(|i| (0..g.len()).map(|o| f64::from(weight[o * len + i]) * g[o]).sum()).collect()
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = x.iter().map(|x| (x - max).exp()).sum();
    x.iter().map(|x| (x - max).exp() / sum).collect()
}

fn softmax_grad(g: &[f64], p: &[f64]) -> Vec<f64> {
    let mean: f64 = g.iter().zip(p).map(|(g, p)| g * p).sum();
    g.iter().zip(p).map(|(g, p)| p * (g - mean)).collect()
}

fn one_hot(logits: &[f64], target: f64) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let predicted = logits.iter().position(|&x| x == largest).expect("a largest logit");
    let class = if target < 0.0 { predicted } else { target as usize };
    (0..logits.len()).map(|i| f64::from(u8::from(i == class))).collect()
}

/// out[i] = sum over o, p, q of g[o, p, q] * weight[o, i, u, v] / pixels, over the taps (u, v) that are
/// valid in the class of (p, q).
fn pooled_conv2d_grad(op: &PooledConv2dGrad, weight: &Param, g: Value) -> Vec<f64> {
    let [_, channels, kh, kw] = weight.dims[..] else { panic!("{:?}", weight.dims) };
    let classes = &op.classes;
    let mut out = vec![0.0; channels];
    for o in 0..g.shape.c {
        for p in 0..g.shape.h {
            for q in 0..g.shape.w {
                let (top, bottom) = classes.valid_rows[classes.rows[p]];
                let (left, right) = classes.valid_columns[classes.columns[q]];
                for (i, out) in out.iter_mut().enumerate() {
                    for tap in (top..bottom).flat_map(|u| (left..right).map(move |v| u * kw + v)) {
                        let w = weight.data[(o * channels + i) * kh * kw + tap];
                        *out += g.at(o, p, q) * f64::from(w) / op.pixels as f64;
                    }
                }
            }
        }
    }
    out
}

fn weighted_sum(positive: bool, weights: &[f64], x: Value) -> Vec<f64> {
    let sum =
        |i: usize| -> f64 { (0..x.shape.c).map(|c| weights[c] * x.data[c * x.shape.plane() + i]).sum() };
    (0..x.shape.plane()).map(sum).map(|y| if positive { y.max(0.0) } else { y }).collect()
}

fn range(x: &[f64]) -> [f64; 2] {
    [x.iter().copied().fold(f64::INFINITY, f64::min), x.iter().copied().fold(f64::NEG_INFINITY, f64::max)]
}

/// Bilinear with half-pixel centres, minus the minimum, divided by the maximum.
fn resize_min_max(op: &ResizeMinMax, map: Value) -> Vec<f64> {
    // Where output pixel i lies between two input pixels, and how near the second.
    let between = |i: usize, to: usize, from: usize| {
        let center = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
        (center.floor() as usize, center.ceil() as usize, center.fract())
    };
    let mut out = Vec::new();
    for i in 0..op.height {
        let (top, bottom, down) = between(i, op.height, map.shape.h);
        for j in 0..op.width {
            let (left, right, across) = between(j, op.width, map.shape.w);
            let row = |y: usize| map.at(0, y, left) + across * (map.at(0, y, right) - map.at(0, y, left));
            out.push(row(top) + down * (row(bottom) - row(top)));
        }
    }
    let [min, max] = range(&out);
    out.iter().map(|x| if max > min { (x - min) / (max - min) } else { 0.0 }).collect()
}
