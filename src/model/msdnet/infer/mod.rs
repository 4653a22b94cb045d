//! Inference of a configuration from the names and shapes of its tensors alone.

mod bottlenecks;
mod guess;
mod trunk;

use super::config::{Config, GlobalConv, HeadChannels, HeadPool, Layout, MOST_SCALES, Stem};
use super::tensor_names;
use super::tensor_names::{Branch, Names};
use guess::Guess;
use std::collections::BTreeMap;

/// Name and dimensions of every tensor.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// An inferred configuration, and the parts of it that are not in the tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Inferred {
    /// The configuration.
    pub config: Config,
    /// What was assumed.
    pub assumed: Vec<Assumed>,
}

/// An assumption; displayed as a phrase with the option that changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assumed {
    /// The input has this many rows and columns.
    Input(usize),
    /// A CIFAR stem has stride 1.
    StemStride,
    /// Heads end in a 2x2 average pool.
    HeadPool,
    /// Every activation is a ReLU.
    Relu,
    /// An exit's logits are its own head's.
    OwnLogits,
    /// The branches of global convolutions do not share weights.
    UnsharedGlobal,
}

impl std::fmt::Display for Assumed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Assumed::Input(size) => {
                write!(f, "input of {size} x {size} pixels, the usual for this stem (--input-size)")
            }
            Assumed::StemStride => f.write_str("first convolution of stride 1 (--stem-stride)"),
            Assumed::HeadPool => f.write_str("heads that end in a 2 x 2 average pool (--head-pool)"),
            Assumed::Relu => f.write_str("ReLU behind every batch norm (no other activation is supported)"),
            Assumed::OwnLogits => {
                f.write_str("logits of each head alone, not added to those of the exit before (--boosted)")
            }
            Assumed::UnsharedGlobal => f.write_str(
                "global convolutions with weights of their own in both branches (--shared-global)",
            ),
        }
    }
}

/// The reason why no configuration follows: the deciding tensor, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// The tensor; empty if it is no single one.
    pub tensor: String,
    /// What is wrong.
    pub cause: String,
}

impl Unclear {
    /// The error for the file of these tensors.
    pub fn refused(self, file: &std::path::Path) -> crate::Error {
        crate::Error::refused(file, self.place(), self.cause)
    }

    /// The tensor as the place of an error.
    pub fn place(&self) -> String {
        if self.tensor.is_empty() { "tensors".into() } else { format!("tensor '{}'", self.tensor) }
    }
}

type Found<T> = Result<T, Unclear>;

/// The configuration of a model with these tensors.
///
/// Widths follow from shapes, everything else from the presence of names. What no tensor tells is assumed:
/// see [`Assumed`]. The input size is one for which the heads' linear layers fit, the usual if that is one:
/// convolutions accept any.
///
/// The result still has to be compared with every tensor: see [`super::check_tensors`].
///
/// # Errors
/// The tensor from which nothing follows, and why.
pub fn infer(shapes: &Shapes) -> Found<Inferred> {
    let layout = layout(shapes)?;
    let guess = Guess { shapes, layout };
    let mut config = Config { layout, ..Config::cifar10_anytime() };

    let heads = guess.heads()?;
    config.layers = vec![1; heads]; // names depend on the number of exits
    guess.stem_and_widths(&mut config)?;
    guess.trunk(&mut config)?;
    let first = guess.growth(&mut config)?;
    guess.kernels(&mut config, &first)?;
    guess.head(&mut config)?;
    config.bottleneck_factor = vec![1; config.scales()];
    if config.bottleneck {
        config.bottleneck_factor = guess.bottlenecks(&config)?;
    }
    config.validate().map_err(|cause| Unclear { tensor: first.clone(), cause })?;
    let mut assumed = vec![Assumed::Input(config.input)];
    if config.stem == Stem::Cifar {
        assumed.push(Assumed::StemStride);
    }
    assumed.push(Assumed::HeadPool);
    assumed.push(Assumed::Relu);
    if config.layout == Layout::Blocks && !config.head.collaboration {
        assumed.push(Assumed::OwnLogits);
    }
    if config.global_conv.is_some() {
        assumed.push(Assumed::UnsharedGlobal);
    }
    Ok(Inferred { config, assumed })
}

fn layout(shapes: &Shapes) -> Found<Layout> {
    let has = |prefix: &str| shapes.keys().any(|name| name.starts_with(prefix));
    if has("subnets.0.MSD_first.") {
        Ok(Layout::Subnets)
    } else if has("blocks.0.") {
        Ok(Layout::Blocks)
    } else {
        Err(Unclear { tensor: String::new(), cause: "no MSD-Net of a known layout".into() })
    }
}

impl Guess<'_> {
    /// Number of exits with a head.
    fn heads(&self) -> Found<usize> {
        let (prefix, linear) = match self.layout {
            Layout::Subnets => ("subnets.", "classifier.weight"),
            Layout::Blocks => ("classifier.", "linear.weight"),
        };
        let heads: Vec<_> = self
            .children(prefix)
            .into_iter()
            .filter(|i| self.has(&format!("{prefix}{i}.{linear}")))
            .collect();
        if heads.is_empty() {
            return Err(Unclear {
                tensor: format!("{prefix}*.{linear}"),
                cause: "absent: no exit has a head".into(),
            });
        }
        Ok(heads.len())
    }

    fn stem_and_widths(&self, config: &mut Config) -> Found<()> {
        let bare = self.layout == Layout::Blocks && self.has("blocks.0.0.layers.0.1.weight");
        let stem = if bare { Stem::Imagenet } else { Stem::Cifar };
        let names = Names::new(&Config { stem, ..config.clone() });
        let mut widths: Vec<usize> = Vec::new();
        loop {
            let tensor = format!("{}.weight", names.first(widths.len()).bn);
            let Ok([width]) = self.dims(&tensor) else { break };
            widths.push(width);
            if widths.len() > MOST_SCALES {
                return Err(Unclear { tensor, cause: format!("more than {MOST_SCALES} scales") });
            }
        }
        if widths.is_empty() {
            return Err(Unclear { tensor: format!("{}.weight", names.first(0).bn), cause: "absent".into() });
        }
        // The factors need no common unit but the largest.
        let channels = widths.iter().fold(0, |divisor, &width| gcd(divisor, width));
        config.channels = channels;
        config.scale_factor = widths.iter().map(|w| w / channels).collect();
        config.bottleneck_factor = vec![1; widths.len()];
        // The article's port names both stems alike: an ImageNet stem has a 7x7 kernel, and heads as wide
        // as their tap.
        let seven = matches!(self.dims(&format!("{}.weight", names.first(0).conv)), Ok([_, 3, 7, 7]));
        let head = Names::new(config).head(0).first.conv;
        let as_wide = matches!(self.dims(&format!("{head}.weight")), Ok([out, tap, _, _]) if out == tap);
        config.stem = if bare || seven && as_wide { Stem::Imagenet } else { Stem::Cifar };
        Ok(())
    }

    /// Kernel size, and which convolutions are global.
    fn kernels(&self, config: &mut Config, first_branch: &str) -> Found<()> {
        let names = Names::new(config);
        let beside_down = config.finest_scale(1) > 0;
        let spatial = names.branch(0, 1, 1, 0, Branch::Normal { beside_down }).spatial.conv;
        let mut firsts: Vec<String> = (0..config.scales()).map(|s| names.first(s).conv).collect();
        if config.stem == Stem::Imagenet {
            firsts.remove(0);
        }
        let global = |conv: &String| self.has(&format!("{}.weight", tensor_names::global(conv)[0]));
        let (first, all) = (firsts.first().is_some_and(global), global(&spatial));
        let plain = [(!all).then_some(&spatial), firsts.first().filter(|_| !first)];
        if let Some(conv) = plain.into_iter().flatten().next() {
            let [_, _, kernel, _] = self.dims(&format!("{conv}.weight"))?;
            config.kernel = kernel;
        }
        let with_kernel = if all { Some(&spatial) } else { firsts.first().filter(|_| first) };
        if let Some(conv) = with_kernel {
            let [_, _, kernel, _] = self.dims(&format!("{}.weight", tensor_names::global(conv)[0]))?;
            config.global_conv = Some(GlobalConv { first, all, shared: false, kernel });
        }
        if config.kernel.is_multiple_of(2) {
            let cause = format!("a kernel of even side {}", config.kernel);
            return Err(Unclear { tensor: first_branch.into(), cause });
        }
        Ok(())
    }

    /// Number of classes, the insides of the heads, and an input size for which they fit.
    fn head(&self, config: &mut Config) -> Found<()> {
        let names = Names::new(config);
        let linear = format!("{}.weight", names.head(0).linear);
        let [classes, columns] = self.dims(&linear)?;
        config.classes = classes;
        let mut as_wide = true;
        let mut inner = 0;
        for exit in 0..config.exits() {
            let [out, tap, _, _] = self.dims(&format!("{}.weight", names.head(exit).first.conv))?;
            as_wide &= out == tap;
            inner = if exit == 0 { out } else { inner };
        }
        config.head.channels = if as_wide { HeadChannels::Tap } else { HeadChannels::Fixed(inner) };
        config.head.pool = HeadPool::Average;
        config.head.collaboration = self.has("isc_modules.0.0.weight");
        let usual = match config.stem {
            Stem::Cifar => 8 << (config.scales() - 1),
            Stem::Imagenet => 28 << (config.scales() - 1),
        };
        let fits = |input: &usize| {
            let side = Config { input: *input, ..config.clone() }.pooled_size();
            columns == inner.saturating_mul(side * side)
        };
        let sizes = [usual, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512];
        config.input = sizes.into_iter().find(fits).ok_or_else(|| {
            let cause = format!(
                "reads {columns} elements of heads of {inner} channels: no usual input size gives that many"
            );
            Unclear { tensor: linear, cause }
        })?;
        Ok(())
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
