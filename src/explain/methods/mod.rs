//! The methods: one file for the formulas on a tap's values, one for each method with many runs, and
//! one for the pixel methods.

pub(crate) mod ablation_cam;
pub mod cam;
pub(crate) mod eigen_cam;
pub(crate) mod gradient_free;
pub(crate) mod pixels;
pub(crate) mod plain_cam;
pub(crate) mod score_cam;
pub(crate) mod smoothing;
