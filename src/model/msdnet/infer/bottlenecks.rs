//! Inference of the bottleneck factors, which shapes determine only up to capping.

use super::guess::Guess;
use super::{Found, Unclear};
use crate::model::msdnet::config::Config;
use crate::model::msdnet::tensor_names::{Branch, Names};

impl Guess<'_> {
    /// The bottleneck factor b of each scale, from widths min(in, b x out). If all widths are capped by
    /// the input, the smallest such b.
    pub fn bottlenecks(&self, config: &Config) -> Found<Vec<usize>> {
        let names = Names::new(config);
        let mut exact: Vec<Option<usize>> = vec![None; config.scales()];
        let mut capped = vec![1; config.scales()];
        let mut layer = 0;
        for (block, &layers) in config.layers.iter().enumerate() {
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
                module += usize::from(config.transition(layer).is_some());
            }
        }
        Ok(exact.into_iter().zip(capped).map(|(exact, capped)| exact.unwrap_or(capped)).collect())
    }
}
