//! How a GPU runs plans, where a developer wants it otherwise than by default: to measure one way
//! beside another in one build. Users need none of it.

use std::path::PathBuf;
use std::str::FromStr;

use crate::Error;

/// How convolutions are cut. The bits of the results do not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tiling {
    /// Small tiles where the chip would otherwise stand idle, else large ones.
    #[default]
    Auto,
    /// Small tiles, sums split among threads and blocks.
    Split,
    /// Large tiles, each sum made by one thread.
    Whole,
}

/// Where the kernels' machine code comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Kernels {
    /// The file that `MSDCAM_CUBIN` names, where that is set; else the built-in machine code, where
    /// it is for this chip and `MSDCAM_NVRTC` is not set; else NVRTC's.
    #[default]
    Auto,
    /// The built-in machine code or none.
    BuiltIn,
    /// NVRTC's, with these options beside the usual ones.
    Compiled(Vec<String>),
    /// A file with machine code that was made for this build.
    File(PathBuf),
}

/// How the levels of a run are launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Launches {
    /// Captured once for each batch size, then replayed as a graph.
    #[default]
    Graph,
    /// One by one on the stream.
    Stream,
}

/// See the module's documentation. As text, comma-separated words:
///
/// | word | meaning |
/// |---|---|
/// | `kernels=auto`, `built-in`, `compiled`, or a file's path | [`Kernels`] |
/// | `option=--generate-line-info` | compiled, with this option; may be repeated |
/// | `launches=graph`, `stream` | [`Launches`] |
/// | `tiling=auto`, `split`, `whole` | [`Tiling`] |
///
/// ```
/// use msdcam::engine::cuda::{Launches, Variant};
///
/// let variant: Variant = "launches=stream,tiling=split".parse()?;
/// assert_eq!(variant.launches, Launches::Stream);
/// # Ok::<(), msdcam::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variant {
    /// Where the machine code comes from.
    pub kernels: Kernels,
    /// How a run is launched.
    pub launches: Launches,
    /// How convolutions are cut.
    pub tiling: Tiling,
}

impl FromStr for Variant {
    type Err = Error;

    /// # Errors
    /// [`Error::Usage`] that names the word and what may stand there.
    fn from_str(text: &str) -> Result<Variant, Error> {
        let mut variant = Variant::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let unknown = |known: &str| {
                Err(Error::usage(format!("variant '{text}': '{word}' is none of {key}={known}")))
            };
            match (key, value) {
                ("kernels", "auto") => variant.kernels = Kernels::Auto,
                ("kernels", "built-in") => variant.kernels = Kernels::BuiltIn,
                ("kernels", "compiled") => variant.kernels = Kernels::Compiled(Vec::new()),
                ("kernels", "") => return unknown("auto, built-in, compiled, FILE"),
                ("kernels", file) => variant.kernels = Kernels::File(file.into()),
                ("option", option) if option.starts_with('-') => match &mut variant.kernels {
                    Kernels::Compiled(options) => options.push(option.into()),
                    other => *other = Kernels::Compiled(vec![option.into()]),
                },
                ("option", _) => return unknown("--OPTION of NVRTC"),
                ("launches", "graph") => variant.launches = Launches::Graph,
                ("launches", "stream") => variant.launches = Launches::Stream,
                ("launches", _) => return unknown("graph, stream"),
                ("tiling", "auto") => variant.tiling = Tiling::Auto,
                ("tiling", "split") => variant.tiling = Tiling::Split,
                ("tiling", "whole") => variant.tiling = Tiling::Whole,
                ("tiling", _) => return unknown("auto, split, whole"),
                _ => {
                    let known = "kernels, option, launches, tiling";
                    return Err(Error::usage(format!("variant '{text}': '{key}' is none of {known}")));
                }
            }
        }
        Ok(variant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        let read = |text: &str| text.parse::<Variant>().unwrap();
        assert_eq!(read(""), Variant::default());
        let all = read("kernels=a/b.cubin,launches=stream,tiling=whole");
        assert_eq!(all.kernels, Kernels::File("a/b.cubin".into()));
        assert_eq!((all.launches, all.tiling), (Launches::Stream, Tiling::Whole));
        let options = vec!["-DX=1".to_string(), "-lineinfo".to_string()];
        assert_eq!(read("option=-DX=1,option=-lineinfo").kernels, Kernels::Compiled(options));
    }

    #[test]
    fn a_word_that_means_nothing_is_named() {
        for (text, named) in [
            ("tiling=tiny", "tiling=auto, split, whole"),
            ("launches=", "launches=graph, stream"),
            ("option=fast", "option=--OPTION"),
            ("kernels", "kernels=auto"),
            ("launch=graph", "'launch' is none of kernels, option, launches, tiling"),
        ] {
            let error = text.parse::<Variant>().unwrap_err().to_string();
            assert!(error.contains(named) && error.contains(text), "{error}");
        }
    }
}
