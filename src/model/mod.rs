//! TODO.

pub mod convert;
pub mod inspect;
pub mod msdnet;
pub mod pretrained;
pub mod pytorch;
pub mod source_file;
pub mod weights;
