//! TODO.

pub(crate) mod ablation_cam;
pub mod cam;
pub(crate) mod eigen_cam;
pub(crate) mod gradient_free;
pub(crate) mod pixels;
pub(crate) mod plain_cam;
pub(crate) mod score_cam;
pub(crate) mod smoothing;
