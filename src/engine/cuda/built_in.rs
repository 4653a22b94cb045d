//! Built-in machine code of the kernels for compute capability 9.0 (H100, H200): such a GPU needs no
//! NVRTC, and its first run does not wait seconds for the compiler.
//!
//! `cargo bench --bench cubin -- --built-in` regenerates the two files after a change to a kernel.
//! Machine code that does not match the kernels' source is not used.

use sha2::{Digest, Sha256};

use super::compile::options;
use super::source::source;
use crate::util::sha256;

/// Compute capability of the machine code.
pub(super) const CAPABILITY: u32 = 90;

const IMAGE: &[u8] = include_bytes!("../../../kernels/sm_90.cubin");
const MADE_FROM: &str = include_str!("../../../kernels/sm_90.source");

/// The built-in machine code, if it is for this compute capability and was compiled from the source and
/// options of this build.
pub(super) fn image(capability: u32) -> Option<&'static [u8]> {
    (capability == CAPABILITY && MADE_FROM.trim() == built_in_source()).then_some(IMAGE)
}

/// SHA-256 of the options and the kernels' source that the built-in machine code must be compiled from:
/// the content of `kernels/sm_90.source`.
pub fn built_in_source() -> String {
    let mut hash = Sha256::new();
    hash.update(options(CAPABILITY, &[]).join(" ").as_bytes());
    hash.update([0]);
    hash.update(source().as_bytes());
    sha256::hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_machine_code_matches_this_source_and_one_compute_capability() {
        assert!(image(CAPABILITY).is_some(), "stale: run `cargo bench --bench cubin -- --built-in`");
        assert_eq!(image(80), None);
        assert_eq!(image(100), None);
        assert!(IMAGE.starts_with(b"\x7fELF"));
    }
}
