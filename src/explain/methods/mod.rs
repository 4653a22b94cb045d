//! Explanation methods: their formulas, and the runs of those that need more than one.
//!
//! | module | methods |
//! |---|---|
//! | [`cam`] | CAM methods with one forward and one backward pass; `eigen_cam` has their principal component |
//! | `gradient_free` | CAM methods without a gradient: `score_cam`, `ablation_cam`, `plain_cam` |
//! | `pixels` | pixel methods |
//! | `smoothing` | heatmaps averaged over copies of the image, for any CAM method |
//!
//! Grad-CAM itself is not here: `lowering` makes it part of the graph.

pub(crate) mod ablation_cam;
pub mod cam;
pub(crate) mod eigen_cam;
pub(crate) mod gradient_free;
pub(crate) mod pixels;
pub(crate) mod plain_cam;
pub(crate) mod score_cam;
pub(crate) mod smoothing;
