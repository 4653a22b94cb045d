//! Inference of two ratios that shapes determine only up to rounding and capping: the fraction of channels
//! that transitions keep, and the bottleneck factors.

use super::guess::Guess;
use super::{Found, Unclear};
use crate::model::msdnet::config::Config;
use crate::model::msdnet::tensor_names::{Branch, Names};

impl Guess<'_> {
    /// The fraction of the channels that transitions keep, in thousandths; the roundest of those that fit.
    pub fn reduction(&self, config: &Config) -> Found<usize> {
        let names = Names::new(config);
        let (mut least, mut most, mut any, mut last) = (1, 1000, false, String::new());
        let mut layer = 0;
        for (block, layers) in config.layers_per_exit().into_iter().enumerate() {
            let mut module = usize::from(block == 0);
            for _ in 0..layers {
                (layer, module) = (layer + 1, module + 1);
                if config.finest_scale(layer) == config.finest_scale(layer - 1) {
                    continue;
                }
                let name = format!("{}.weight", names.transition(block, module, 0).conv);
                if !self.has(&name) && !any {
                    return Ok(0);
                }
                module += 1;
                let [out, cin, _, _] = self.dims(&name)?;
                let f = config.scale_factor[config.finest_scale(layer)];
                let (kept, width) = (out / f, (cin / f).max(1));
                least = least.max((kept * 1000).div_ceil(width));
                most = most.min(((kept + 1) * 1000).div_ceil(width) - 1);
                (any, last) = (true, name);
            }
        }
        let round = |step: usize| (1..=1000 / step).map(|i| i * step).find(|r| (least..=most).contains(r));
        match [500, 100, 50, 10, 1].into_iter().find_map(round) {
            Some(permille) if any => Ok(permille),
            None if any => {
                Err(Unclear { tensor: last, cause: "keeps another share than earlier transitions".into() })
            }
            _ => Ok(Config::cifar10_anytime().reduction_permille), // irrelevant: no scale is dropped
        }
    }

    /// The bottleneck factor b of each scale, from widths min(in, b x out). If all widths are capped by
    /// the input, the smallest such b.
    pub fn bottlenecks(&self, config: &Config) -> Found<Vec<usize>> {
        let names = Names::new(config);
        let mut exact: Vec<Option<usize>> = vec![None; config.scales()];
        let mut capped = vec![1; config.scales()];
        let mut layer = 0;
        for (block, layers) in config.layers_per_exit().into_iter().enumerate() {
            let mut module = usize::from(block == 0);
            for _ in 0..layers {
                layer += 1;
                let (finest_in, finest) = (config.finest_scale(layer - 1), config.finest_scale(layer));
                for (position, scale) in (finest..config.scales()).enumerate() {
                    let beside_down = scale > finest_in;
                    for (branch, source) in
                        [(Branch::Normal { beside_down }, Some(scale)), (Branch::Down, scale.checked_sub(1))]
                    {
                        let Some(source) = source.filter(|_| branch != Branch::Down || beside_down) else {
                            continue;
                        };
                        let at = names.branch(block, module, layer, position, branch);
                        let Some(bottleneck) = at.bottleneck else { continue };
                        let name = format!("{}.weight", bottleneck.conv);
                        let [inner, cin, _, _] = self.dims(&name)?;
                        let [out] = self.dims(&format!("{}.weight", at.spatial.bn))?;
                        if inner == cin {
                            capped[source] = capped[source].max(cin.div_ceil(out));
                        } else if inner.is_multiple_of(out) && inner < cin {
                            exact[source].get_or_insert(inner / out);
                        } else {
                            let cause = format!(
                                "{inner} of {cin} channels for a branch of {out}: no bottleneck factor gives that"
                            );
                            return Err(Unclear { tensor: name, cause });
                        }
                    }
                }
                module += 1;
                let drops = config.finest_scale(layer) > finest_in;
                module += usize::from(drops && config.reduction_permille > 0);
            }
        }
        Ok(exact.into_iter().zip(capped).map(|(exact, capped)| exact.unwrap_or(capped)).collect())
    }
}
