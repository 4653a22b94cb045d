//! Variants of the CUDA device: origin of the machine code, launches and tiles. They serve to compare
//! implementations in one build; users need only the default.

use std::path::PathBuf;
use std::str::FromStr;

use crate::Error;
use crate::error::RequestError;

/// Tiles of convolutions. The bits of the results do not depend on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tiling {
    /// For each convolution what is estimated to be the fastest.
    #[default]
    Auto,
    /// Small tiles; sums are split among threads and blocks.
    Small,
    /// Large tiles, which pass through shared memory.
    Large,
}

/// Origin of the kernels' machine code.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Kernels {
    /// The built-in machine code, where it is for this GPU and [`Variant::nvrtc`] is not given; otherwise
    /// NVRTC's.
    #[default]
    Auto,
    /// The built-in machine code only.
    BuiltIn,
    /// NVRTC's, with these options in addition to the default ones.
    Compiled(Vec<String>),
    /// A file of machine code that was compiled from this build's kernels.
    File(PathBuf),
}

/// Launches of the levels of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Launches {
    /// Captured once for each batch size, then replayed as a graph.
    #[default]
    Graph,
    /// One by one on the stream.
    Stream,
    /// As a graph in which the exits' classifiers and backward passes run beside the later blocks.
    Branches,
}

/// Start of a launch in a graph behind the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edges {
    /// When the one before has ended.
    #[default]
    Plain,
    /// When all blocks of the one before run: programmatic dependent launch, on GPUs of compute capability 9.0 and
    /// later.
    Programmatic,
}

/// Copies of a run's input and output between host and device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Copies {
    /// By the GPU's copy engine.
    #[default]
    Engine,
    /// By a kernel, which reads and writes the host's pinned memory.
    Kernel,
}

/// A variant of the CUDA device. As text, comma-separated words:
///
/// | word | meaning |
/// |---|---|
/// | `kernels=auto`, `built-in`, `compiled`, or a file's path | [`Kernels`] |
/// | `nvrtc=PATH` | [`Variant::nvrtc`] |
/// | `option=--generate-line-info` | [`Kernels::Compiled`] with this option; may be repeated |
/// | `launches=graph`, `stream`, `branches` | [`Launches`] |
/// | `edges=plain`, `programmatic` | [`Edges`] |
/// | `copies=engine`, `kernel` | [`Copies`] |
/// | `tiling=auto`, `small`, `large` | [`Tiling`] |
///
/// ```
/// use msdcam::engine::cuda::{Launches, Variant};
///
/// let variant: Variant = "launches=stream,tiling=small".parse()?;
/// assert_eq!(variant.launches, Launches::Stream);
/// # Ok::<(), msdcam::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variant {
    /// Origin of the machine code.
    pub kernels: Kernels,
    /// The NVRTC library or its folder; without it, NVRTC is searched for, see [`super::nvrtc::Nvrtc::find`].
    pub nvrtc: Option<PathBuf>,
    /// Launches of a run.
    pub launches: Launches,
    /// Edges of the graph.
    pub edges: Edges,
    /// Copies of a run.
    pub copies: Copies,
    /// Tiles of convolutions.
    pub tiling: Tiling,
}

impl Variant {
    /// The default variant [with the environment](Variant::with_env).
    pub fn from_env() -> Variant {
        Variant::default().with_env()
    }

    /// This variant, completed by two environment variables: `MSDCAM_CUBIN` is a file of machine code that
    /// replaces [`Kernels::Auto`], `MSDCAM_NVRTC` is [`Variant::nvrtc`] where it is not given. Programs
    /// call this; the library itself does not.
    pub fn with_env(self) -> Variant {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let kernels = match (self.kernels, path("MSDCAM_CUBIN")) {
            (Kernels::Auto, Some(file)) => Kernels::File(file),
            (kernels, _) => kernels,
        };
        Variant { kernels, nvrtc: self.nvrtc.or_else(|| path("MSDCAM_NVRTC")), ..self }
    }
}

/// The error of `word`, which is not one of the `expected` ones, in the text `variant`.
fn unknown_word(variant: &str, word: &str, expected: String) -> Error {
    RequestError::UnknownVariant { variant: variant.into(), word: word.into(), expected }.into()
}

impl FromStr for Variant {
    type Err = Error;

    /// # Errors
    /// [`Error::Request`] that names the invalid word and the valid ones.
    fn from_str(text: &str) -> Result<Variant, Error> {
        let mut variant = Variant::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let unknown = |known: &str| Err(unknown_word(text, word, format!("{key}={known}")));
            match (key, value) {
                ("kernels", "auto") => variant.kernels = Kernels::Auto,
                ("kernels", "built-in") => variant.kernels = Kernels::BuiltIn,
                ("kernels", "compiled") => variant.kernels = Kernels::Compiled(Vec::new()),
                ("kernels", "") => return unknown("auto, built-in, compiled, FILE"),
                ("kernels", file) => variant.kernels = Kernels::File(file.into()),
                ("nvrtc", "") => return unknown("PATH"),
                ("nvrtc", path) => variant.nvrtc = Some(path.into()),
                ("option", option) if option.starts_with('-') => match &mut variant.kernels {
                    Kernels::Compiled(options) => options.push(option.into()),
                    other => *other = Kernels::Compiled(vec![option.into()]),
                },
                ("option", _) => return unknown("--OPTION of NVRTC"),
                ("launches", "graph") => variant.launches = Launches::Graph,
                ("launches", "stream") => variant.launches = Launches::Stream,
                ("launches", "branches") => variant.launches = Launches::Branches,
                ("launches", _) => return unknown("graph, stream, branches"),
                ("edges", "plain") => variant.edges = Edges::Plain,
                ("edges", "programmatic") => variant.edges = Edges::Programmatic,
                ("edges", _) => return unknown("plain, programmatic"),
                ("copies", "engine") => variant.copies = Copies::Engine,
                ("copies", "kernel") => variant.copies = Copies::Kernel,
                ("copies", _) => return unknown("engine, kernel"),
                ("tiling", "auto") => variant.tiling = Tiling::Auto,
                ("tiling", "small") => variant.tiling = Tiling::Small,
                ("tiling", "large") => variant.tiling = Tiling::Large,
                ("tiling", _) => return unknown("auto, small, large"),
                _ => {
                    let known = "kernels, nvrtc, option, launches, edges, copies, tiling";
                    return Err(unknown_word(text, key, known.into()));
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
    fn words_are_parsed() {
        let read = |text: &str| text.parse::<Variant>().unwrap();
        assert_eq!(read(""), Variant::default());
        let all = read("kernels=a/b.cubin,launches=branches,edges=programmatic,copies=kernel,tiling=large");
        assert_eq!(all.kernels, Kernels::File("a/b.cubin".into()));
        assert_eq!((all.launches, all.edges), (Launches::Branches, Edges::Programmatic));
        assert_eq!((all.copies, all.tiling), (Copies::Kernel, Tiling::Large));
        assert_eq!(read("nvrtc=a/lib").nvrtc, Some("a/lib".into()));
        let options = vec!["-DX=1".to_string(), "-lineinfo".to_string()];
        assert_eq!(read("option=-DX=1,option=-lineinfo").kernels, Kernels::Compiled(options));
    }

    #[test]
    fn an_invalid_word_is_named() {
        for (text, named) in [
            ("tiling=tiny", "tiling=auto, small, large"),
            ("copies=fast", "copies=engine, kernel"),
            ("launches=", "launches=graph, stream, branches"),
            ("option=fast", "option=--OPTION"),
            ("kernels", "kernels=auto"),
            (
                "launch=graph",
                "'launch' is not one of kernels, nvrtc, option, launches, edges, copies, tiling",
            ),
        ] {
            let error = text.parse::<Variant>().unwrap_err().to_string();
            assert!(error.contains(named) && error.contains(text), "{error}");
        }
    }
}
