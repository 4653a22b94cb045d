//! Comparison of numbers: fails on NaN, and says where the worst error is.

/// How far `got` may be from `want`, as a share of the largest number of `want`. Where all of
/// `want` is zero, `got` must be zero.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance(pub f64);

/// For f32 arithmetic of a single op.
pub const OP: Tolerance = Tolerance(2e-6);
/// For f32 arithmetic of a whole network.
pub const NETWORK: Tolerance = Tolerance(1e-5);
/// For f64 arithmetic.
pub const EXACT: Tolerance = Tolerance(1e-12);
/// For f64 arithmetic with constants that were rounded to f32 once.
pub const ROUNDED_ONCE: Tolerance = Tolerance(1e-6);

/// The worst error of `got` as a share of the largest number of `want`.
///
/// # Errors
/// Says which number is wrong, what both are and what was allowed.
pub fn compare<G, W>(got: &[G], want: &[W], Tolerance(tolerance): Tolerance) -> Result<f64, String>
where
    G: Copy + Into<f64>,
    W: Copy + Into<f64>,
{
    if got.len() != want.len() {
        return Err(format!("{} numbers, expected {}", got.len(), want.len()));
    }
    let scale = want.iter().map(|&w| w.into().abs()).fold(0.0, f64::max);
    let mut worst = (0.0, 0);
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let (g, w) = (g.into(), w.into());
        if !g.is_finite() || !w.is_finite() {
            return Err(format!("number {i} of {} is {g:e}, expected {w:e}", got.len()));
        }
        if (g - w).abs() > worst.0 {
            worst = ((g - w).abs(), i);
        }
    }
    let (error, i) = worst;
    let Some((&g, &w)) = got.get(i).zip(want.get(i)) else { return Ok(0.0) };
    let (g, w): (f64, f64) = (g.into(), w.into());
    if !approx::abs_diff_eq!(g, w, epsilon = tolerance * scale) {
        return Err(format!(
            "number {i} of {} is {g:e}, expected {w:e}: off by {error:e}, {:e} of the largest number, \
             {tolerance:e} allowed",
            got.len(),
            error / scale
        ));
    }
    Ok(if scale > 0.0 { error / scale } else { 0.0 })
}

/// Panics with `what` and the worst error unless `got` is close to `want`.
#[track_caller]
pub fn assert_close<G, W>(what: &str, got: &[G], want: &[W], tolerance: Tolerance)
where
    G: Copy + Into<f64>,
    W: Copy + Into<f64>,
{
    if let Err(fault) = compare(got, want, tolerance) {
        panic!("{what}: {fault}");
    }
}

/// Panics with `what` and the first difference unless both have the same bits.
#[track_caller]
pub fn assert_same_bits(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}: number of numbers");
    let differs = got.iter().zip(want).position(|(g, w)| g.to_bits() != w.to_bits());
    if let Some(i) = differs {
        panic!("{what}: number {i} of {} is {:e} and {:e}", got.len(), got[i], want[i]);
    }
}
