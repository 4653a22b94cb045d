//! Compilation of the kernels for one compute capability, through the cache.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::cache::Cache;
use super::nvrtc::Nvrtc;
use super::source::source;
use crate::Result;
use crate::util::sha256;

/// NVRTC's options for compute capability `capability` (90 for 9.0). `supported` are those for which NVRTC
/// can generate machine code; a newer GPU gets PTX, which its driver translates.
pub fn options(capability: u32, supported: &[u32]) -> Vec<String> {
    let newest = supported.iter().copied().filter(|&known| known <= capability).max();
    let architecture = match newest {
        Some(known) if known != capability => format!("compute_{known}"),
        _ => format!("sm_{capability}"),
    };
    // No fast math: denormals count, division and square root are exact. Products and sums
    // contract to fused multiply-adds, which round once.
    let fixed = ["--std=c++17", "--fmad=true", "--ftz=false", "--prec-div=true", "--prec-sqrt=true"];
    std::iter::once(format!("--gpu-architecture={architecture}"))
        .chain(fixed.iter().map(|option| option.to_string()))
        .collect()
}

/// What the origin of kernels begins with that are compiled at every start, before the reason.
pub(super) const NOT_CACHED: &str = "NVRTC, not cached: ";

/// An image of the kernels that NVRTC compiled.
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
    /// Whether it was compiled earlier.
    pub(super) from_cache: bool,
    /// Why the cache is not used.
    cache_problem: Option<String>,
}

impl Image {
    /// Where it comes from, in words.
    pub(super) fn origin(&self) -> String {
        match &self.cache_problem {
            _ if self.from_cache => "NVRTC, from the cache".into(),
            Some(problem) => format!("{NOT_CACHED}{problem}"),
            None => "NVRTC".into(),
        }
    }
}

/// NVRTC's image of the kernels for compute capability `capability`, with `more` options. `nvrtc` is as for
/// [`Nvrtc::find`]; without `use_cache` the kernels are compiled even if the cache has an image.
///
/// # Errors
/// [`crate::Error::Device`] when there is no NVRTC, or a kernel does not compile.
pub(super) fn image(
    nvrtc: Option<&Path>,
    capability: u32,
    more: &[String],
    use_cache: bool,
) -> Result<Image> {
    let nvrtc = Nvrtc::find(nvrtc)?;
    let mut options = options(capability, &nvrtc.architectures());
    options.extend_from_slice(more);
    let source = source();
    let key = key(&source, &options, capability, nvrtc.version);
    let cache = Cache::open();
    if use_cache && let Some(bytes) = cache.load(&key) {
        return Ok(Image { bytes, from_cache: true, cache_problem: None });
    }
    let bytes = nvrtc.compile(&source, &options)?.image;
    cache.store(&key, &bytes);
    Ok(Image { bytes, from_cache: false, cache_problem: cache.problem().map(String::from) })
}

/// SHA-256 of everything that the image depends on.
fn key(source: &str, options: &[String], capability: u32, version: (i32, i32)) -> String {
    let mut hash = Sha256::new();
    let facts = format!("chip {capability}, NVRTC {}.{}, {}", version.0, version.1, options.join(" "));
    hash.update(facts.as_bytes());
    hash.update([0]);
    hash.update(source.as_bytes());
    sha256::hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_name_the_compute_capability_and_no_fast_math() {
        let all = options(90, &[80, 90, 100]).join(" ");
        assert!(all.starts_with("--gpu-architecture=sm_90 "), "{all}");
        assert!(!all.contains("fast"), "{all}");
    }

    #[test]
    fn a_newer_compute_capability_gets_ptx_of_the_newest_supported_one() {
        assert_eq!(options(120, &[80, 90, 100])[0], "--gpu-architecture=compute_100");
        assert_eq!(options(75, &[80, 90])[0], "--gpu-architecture=sm_75");
        assert_eq!(options(90, &[])[0], "--gpu-architecture=sm_90");
    }

    #[test]
    fn keys_differ_where_source_options_capability_or_version_do() {
        let options = options(90, &[]);
        let base = key("a", &options, 90, (13, 0));
        assert_eq!(base.len(), 64);
        assert_ne!(base, key("b", &options, 90, (13, 0)));
        assert_ne!(base, key("a", &[], 90, (13, 0)));
        assert_ne!(base, key("a", &options, 80, (13, 0)));
        assert_ne!(base, key("a", &options, 90, (12, 8)));
    }
}
