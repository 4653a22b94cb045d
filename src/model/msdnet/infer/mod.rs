//! Inference of a configuration from the names and shapes of its tensors alone.

mod guess;
mod ratios;

use super::config::{Config, GlobalConv, Layout, Stem, StepMode};
use super::tensor_names;
use super::tensor_names::{Branch, Names};
use super::validate::MOST_SCALES;
use guess::Guess;
use std::collections::BTreeMap;

/// Name and dimensions of every tensor.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// An inferred configuration, and the parts of it that are not in the tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inferred {
    /// The configuration.
    pub config: Config,
    /// What was assumed.
    pub assumed: Vec<Assumed>,
}

/// An assumption; displayed as a phrase with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assumed {
    /// The input has this many rows and columns.
    Input(usize),
    /// The branches of global convolutions do not share weights.
    UnsharedGlobal,
}

impl std::fmt::Display for Assumed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Assumed::Input(size) => {
                write!(f, "input of {size} x {size} pixels: the usual for this stem, the file does not tell")
            }
            Assumed::UnsharedGlobal => f.write_str(
                "global convolutions with weights of their own in both branches: the file is the same when they share them",
            ),
        }
    }
}

/// The reason why no configuration follows: the deciding tensor, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// The tensor.
    pub tensor: String,
    /// What is wrong.
    pub cause: String,
}

type Found<T> = Result<T, Unclear>;

/// The configuration of a model with these tensors.
///
/// Widths follow from shapes, everything else from the presence of names. Two properties are not in the
/// tensors and are assumed: the input size, because convolutions accept any (the head's 2x2 average
/// pool and linear layer only require a tap of 5 to 12 pixels: 8 for CIFAR, 7 for ImageNet); and
/// whether the branches of global convolutions share weights, because the port stores both branches in
/// either case.
///
/// The result still has to be compared with every tensor: see [`super::check_tensors`].
pub fn infer(shapes: &Shapes) -> Found<Inferred> {
    let layout = layout(shapes)?;
    let guess = Guess { shapes, layout };
    let mut config = Config { layout, ..Config::cifar10_anytime() };
    let mut assumed = Vec::new();

    config.exits = guess.exits()?;
    guess.stem_and_widths(&mut config)?;
    guess.steps(&mut config)?;
    let first = guess.first_branch(&mut config)?;
    guess.kernels(&mut config, &first)?;
    guess.head(&mut config)?;
    config.input = match config.stem {
        Stem::Cifar => 8 << (config.scales() - 1),
        Stem::Imagenet => 28 << (config.scales() - 1),
    };
    assumed.push(Assumed::Input(config.input));
    if config.global_conv.is_some() {
        assumed.push(Assumed::UnsharedGlobal);
    }
    config.bottleneck_factor = vec![1; config.scales()];
    let unclear = |cause| Unclear { tensor: first.clone(), cause };
    config.validate().map_err(unclear)?;
    config.reduction_permille = guess.reduction(&config)?;
    if config.bottleneck {
        config.bottleneck_factor = guess.bottlenecks(&config)?;
    }
    config.validate().map_err(|cause| Unclear { tensor: first.clone(), cause })?;
    Ok(Inferred { config, assumed })
}

fn layout(shapes: &Shapes) -> Found<Layout> {
    let has = |prefix: &str| shapes.keys().any(|name| name.starts_with(prefix));
    if has("subnets.0.MSD_first.") {
        Ok(Layout::Subnets)
    } else if has("blocks.0.") {
        Ok(Layout::Blocks)
    } else {
        let cause = match shapes.keys().next() {
            Some(first) => format!(
                "absent, and so is 'blocks.0.0.layers.0': no MSD-Net ({} tensors, the first is '{first}')",
                shapes.len()
            ),
            None => "absent: there are no tensors".into(),
        };
        Err(Unclear { tensor: "subnets.0.MSD_first.subnets.0.0.weight".into(), cause })
    }
}

impl Guess<'_> {
    fn exits(&self) -> Found<usize> {
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
            let base = *widths.first().unwrap_or(&width);
            if !width.is_multiple_of(base) {
                let cause = format!("{width} channels are no multiple of the finest scale's {base}");
                return Err(Unclear { tensor, cause });
            }
            widths.push(width);
            if widths.len() > MOST_SCALES {
                return Err(Unclear { tensor, cause: format!("more than {MOST_SCALES} scales") });
            }
        }
        let [channels, ..] = widths[..] else {
            return Err(Unclear { tensor: format!("{}.weight", names.first(0).bn), cause: "absent".into() });
        };
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

    /// Number of layers of each block, and the rule behind it.
    fn steps(&self, config: &mut Config) -> Found<()> {
        let layers: Vec<usize> = (0..config.exits).map(|block| self.layers(block)).collect();
        let block = |b: usize| match self.layout {
            Layout::Subnets => format!("subnets.{b}.MSD_layer_*"),
            Layout::Blocks => format!("blocks.{b}.*.layers"),
        };
        if let Some(empty) = layers.iter().position(|&n| n == 0) {
            let cause = format!("absent, although there are {} heads", config.exits);
            return Err(Unclear { tensor: block(empty), cause });
        }
        config.base = layers[0];
        let even = (StepMode::Even, layers.get(1).copied().unwrap_or(1));
        let grown = match self.layout {
            Layout::Subnets => layers.get(2),
            Layout::Blocks => layers.get(1),
        };
        let grown = (StepMode::LinGrow, grown.map_or(1, |n| n - 1));
        for (mode, step) in [even, grown] {
            (config.step_mode, config.step) = (mode, step);
            if config.layers_per_exit() == layers {
                return Ok(());
            }
        }
        let cause = format!("blocks of {layers:?} layers, neither evenly nor linearly spaced");
        Err(Unclear { tensor: block(config.exits - 1), cause })
    }

    fn layers(&self, block: usize) -> usize {
        match self.layout {
            Layout::Subnets => {
                let children = self.children(&format!("subnets.{block}."));
                children.iter().filter(|c| c.starts_with("MSD_layer_")).count()
            }
            Layout::Blocks => {
                let prefix = format!("blocks.{block}.");
                let dense = |m: &&str| self.children(&format!("{prefix}{m}.")).contains("layers");
                self.children(&prefix)
                    .iter()
                    .filter(|m| dense(m))
                    .count()
                    .saturating_sub(usize::from(block == 0))
            }
        }
    }

    /// Growth and whether there are bottlenecks, from the first dense layer's finest branch.
    /// Returns that branch's batch norm weight.
    fn first_branch(&self, config: &mut Config) -> Found<String> {
        let normal = Branch::Normal { beside_down: false };
        let at = |bottleneck| Names::new(&Config { bottleneck, ..config.clone() }).branch(0, 1, 1, 0, normal);
        let [with, without] = [at(true), at(false)];
        let bottleneck = match self.layout {
            Layout::Subnets => with.bottleneck.is_some_and(|b| self.has(&format!("{}.weight", b.conv))),
            Layout::Blocks => self.has(&format!("{}.weight", with.spatial.bn)),
        };
        config.bottleneck = bottleneck;
        let spatial = if bottleneck { with.spatial } else { without.spatial };
        let deciding = format!("{}.weight", spatial.bn);
        let [grown] = self.dims(&deciding)?;
        config.growth = grown;
        Ok(deciding)
    }

    /// Kernel size, and which convolutions are global.
    fn kernels(&self, config: &mut Config, first_branch: &str) -> Found<()> {
        let names = Names::new(config);
        let spatial = names.branch(0, 1, 1, 0, Branch::Normal { beside_down: false }).spatial.conv;
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

    fn head(&self, config: &mut Config) -> Found<()> {
        let [classes, _] = self.dims(&format!("{}.weight", Names::new(config).head(0).linear))?;
        config.classes = classes;
        Ok(())
    }
}
