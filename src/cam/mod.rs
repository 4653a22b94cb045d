//! From images to maps: builds the graph that answers a question about a network, and runs it.

mod explainer;
mod grad_cam;

pub use explainer::{ExitAnswer, Explainer, MapAnswer};
pub use grad_cam::Question;
