//! The end of a head, and the start of its gradient: linear layer, softmax, seed.

/// y[o] = bias[o] + sum over i of weight[o, i] * x[i].
pub(super) fn linear(weight: &[f32], bias: &[f32], x: &[f32], out: &mut [f32]) {
    for ((out, row), &bias) in out.iter_mut().zip(weight.chunks_exact(x.len())).zip(bias) {
        *out = bias + dot(row, x);
    }
}

/// Eight sums side by side: an order that the compiler can vectorise without changing it.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (chunks_a, chunks_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = chunks_a.remainder().iter().zip(chunks_b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in chunks_a.zip(chunks_b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (b + f)) + ((c + g) + (d + h)) + rest
}

/// dx[i] = sum over o of weight[o, i] * g[o].
pub(super) fn linear_grad(weight: &[f32], grad: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for (row, &g) in weight.chunks_exact(out.len()).zip(grad) {
        // A seed is one-hot: most rows count for nothing.
        if g != 0.0 {
            for (out, &w) in out.iter_mut().zip(row) {
                *out += w * g;
            }
        }
    }
}

/// The sum is taken in double precision, so that the probabilities add up to one.
pub(super) fn softmax(x: &[f32], out: &mut [f32]) {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0_f64;
    for (out, &x) in out.iter_mut().zip(x) {
        *out = (x - max).exp();
        sum += f64::from(*out);
    }
    for out in out {
        *out = (f64::from(*out) / sum) as f32;
    }
}

/// dx = p * (g - sum of g * p).
pub(super) fn softmax_grad(grad: &[f32], p: &[f32], out: &mut [f32]) {
    let mean = dot(grad, p);
    for ((out, &g), &p) in out.iter_mut().zip(grad).zip(p) {
        *out = p * (g - mean);
    }
}

/// One-hot vector of `target`, or of the first largest logit where it is negative.
pub(super) fn seed(logits: &[f32], target: f32, out: &mut [f32]) {
    let class = if target >= 0.0 { target as usize } else { first_largest(logits) };
    out.fill(0.0);
    out[class.min(logits.len() - 1)] = 1.0;
}

fn first_largest(x: &[f32]) -> usize {
    let mut best = 0;
    for i in 1..x.len() {
        if x[i] > x[best] {
            best = i;
        }
    }
    best
}
