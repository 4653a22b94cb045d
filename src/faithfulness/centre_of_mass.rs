//! The centre of mass of a map, and how far it lies from another's.

/// (row, column) of the centre of mass of `map`, (h, w), whose numbers are not negative; pixel
/// centres lie at whole numbers. `None` where the map is zero everywhere.
pub fn centre_of_mass(map: &[f32], w: usize) -> Option<(f64, f64)> {
    let (mut mass, mut down, mut right) = (0.0, 0.0, 0.0);
    for (y, row) in map.chunks_exact(w).enumerate() {
        for (x, &value) in row.iter().enumerate() {
            let value = f64::from(value);
            (mass, down, right) = (mass + value, down + value * y as f64, right + value * x as f64);
        }
    }
    (mass > 0.0).then(|| (down / mass, right / mass))
}

/// The distance between two maps' centres of mass, pixels.
pub fn shift(x: &[f32], y: &[f32], w: usize) -> Option<f64> {
    let (a, b) = (centre_of_mass(x, w)?, centre_of_mass(y, w)?);
    Some((a.0 - b.0).hypot(a.1 - b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mass_pulls_by_its_size() {
        assert_eq!(centre_of_mass(&[0.0, 0.0, 3.0, 0.0, 0.0, 1.0], 3), Some((0.25, 2.0)));
        assert_eq!(centre_of_mass(&[1.0; 6], 3), Some((0.5, 1.0)));
        assert_eq!(centre_of_mass(&[0.0; 6], 3), None);
        // Three right, four down.
        let (mut a, mut b) = ([0.0; 25], [0.0; 25]);
        (a[0], b[23]) = (1.0, 0.5);
        assert_eq!(shift(&a, &b, 5), Some(5.0));
    }
}
