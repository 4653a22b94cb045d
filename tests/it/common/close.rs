//! Comparison of arrays: fails on NaN, and reports where the largest error is.

/// Largest allowed error, relative to the largest magnitude of the expected array. Where all of it is
/// zero, the result must be zero.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance(pub f64);

/// For a single op in f32.
pub const OP: Tolerance = Tolerance(2e-6);
/// For a whole network in f32.
pub const NETWORK: Tolerance = Tolerance(1e-5);
/// For f64.
pub const EXACT: Tolerance = Tolerance(1e-12);
/// For f64 with constants that were rounded to f32 once.
pub const ROUNDED_ONCE: Tolerance = Tolerance(1e-6);

/// Largest error of `got`, relative to the largest magnitude of `want`.
///
/// # Errors
/// Names the index, both values and the tolerance.
pub fn compare<G, W>(got: &[G], want: &[W], Tolerance(tolerance): Tolerance) -> Result<f64, String>
where
    G: Copy + Into<f64>,
    W: Copy + Into<f64>,
{
    if got.len() != want.len() {
        return Err(format!("{} elements, expected {}", got.len(), want.len()));
    }
    let scale = want.iter().map(|&w| w.into().abs()).fold(0.0, f64::max);
    let mut worst = (0.0, 0);
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let (g, w) = (g.into(), w.into());
        if !g.is_finite() || !w.is_finite() {
            return Err(format!("element {i} of {} is {g:e}, expected {w:e}", got.len()));
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
            "element {i} of {} is {g:e}, expected {w:e}: off by {error:e}, {:e} of the largest magnitude, \
             {tolerance:e} allowed",
            got.len(),
            error / scale
        ));
    }
    Ok(if scale > 0.0 { error / scale } else { 0.0 })
}

/// Panics with `what` and the largest error unless `got` is close to `want`.
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
    assert_eq!(got.len(), want.len(), "{what}: number of elements");
    let differs = got.iter().zip(want).position(|(g, w)| g.to_bits() != w.to_bits());
    if let Some(i) = differs {
        panic!("{what}: element {i} of {} is {:e} and {:e}", got.len(), got[i], want[i]);
    }
}
