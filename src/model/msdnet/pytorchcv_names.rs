//! The tensor names of pytorchcv's MSDNet, a third port, as those of the authors' port, which it follows in
//! everything else.

use std::collections::BTreeMap;

/// The same tensors under the authors' names.
///
/// # Errors
/// The first name that follows none of pytorchcv's rules.
pub fn renamed(names: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    let bottleneck = names.keys().any(|name| name.contains(".bn_conv."));
    let mut renamed: BTreeMap<String, String> = BTreeMap::new();
    for (name, source) in names {
        let port = authors(&name, bottleneck)
            .ok_or_else(|| format!("'{name}' is not a name of pytorchcv's MSDNet"))?;
        if let Some(other) = renamed.insert(port, source) {
            return Err(format!("'{other}' and '{name}' are the same tensor of the network"));
        }
    }
    Ok(renamed)
}

/// The authors' name of tensor `name`.
fn authors(name: &str, bottleneck: bool) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let number = |part: &str, word: &str| -> Option<usize> {
        let digits = part.strip_prefix(word)?;
        let plain = digits.starts_with(|c: char| matches!(c, '1'..='9'));
        digits.parse::<usize>().ok().filter(|_| plain)?.checked_sub(1)
    };
    let module = |part: &str| Some(if part == "conv" { "0" } else { (part == "bn").then_some("1")? });
    Some(match &parts[..] {
        ["init_layer", "scale_blocks", scale, rest @ .., tensor] => {
            let scale = number(scale, "scale_block")?;
            match rest {
                ["conv", kind @ ("conv" | "bn")] => {
                    format!("blocks.0.0.layers.{scale}.{}.{tensor}", module(kind)?)
                }
                [kind] => format!("blocks.0.0.layers.{scale}.net.{}.{tensor}", module(kind)?),
                _ => return None,
            }
        }
        ["feature_blocks", block, "blocks", layer, "scale_blocks", scale, rest @ .., tensor] => {
            let (block, scale) = (number(block, "block")?, number(scale, "scale_block")?);
            // Module 0 of the authors' first block is the first layer.
            let index = |j: usize| if block == 0 { j + 1 } else { j };
            match (number(layer, "layer"), number(layer, "trans"), rest) {
                (Some(j), _, [branch, convolution, kind]) => {
                    let branch = match *branch {
                        "block" | "curr_block" => "conv_normal",
                        "down_block" => "conv_down",
                        _ => return None,
                    };
                    let net = match (*convolution, *kind, bottleneck) {
                        ("bn_conv", "conv", true) | ("conv", "conv", false) => 0,
                        ("bn_conv", "bn", true) | ("conv", "bn", false) => 1,
                        ("conv", "conv", true) => 3,
                        ("conv", "bn", true) => 4,
                        _ => return None,
                    };
                    format!("blocks.{block}.{}.layers.{scale}.{branch}.net.{net}.{tensor}", index(j))
                }
                (None, Some(j), [kind]) => {
                    format!("blocks.{block}.{}.m.{scale}.net.{}.{tensor}", index(j), module(kind)?)
                }
                _ => return None,
            }
        }
        ["classifiers", classifier, "features", convolution, kind, tensor] => {
            let (exit, m) = (number(classifier, "classifier")?, number(convolution, "conv")?);
            format!("classifier.{exit}.m.{m}.net.{}.{tensor}", module(kind)?)
        }
        ["classifiers", classifier, "output", tensor] => {
            format!("classifier.{}.linear.{tensor}", number(classifier, "classifier")?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_gives_the_authors_name() {
        for (theirs, authors_name) in [
            ("init_layer.scale_blocks.scale_block1.conv.conv.weight", "blocks.0.0.layers.0.0.weight"),
            ("init_layer.scale_blocks.scale_block1.conv.bn.bias", "blocks.0.0.layers.0.1.bias"),
            ("init_layer.scale_blocks.scale_block2.conv.weight", "blocks.0.0.layers.1.net.0.weight"),
            (
                "feature_blocks.block1.blocks.layer1.scale_blocks.scale_block1.block.bn_conv.conv.weight",
                "blocks.0.1.layers.0.conv_normal.net.0.weight",
            ),
            (
                "feature_blocks.block2.blocks.layer1.scale_blocks.scale_block2.down_block.conv.bn.running_var",
                "blocks.1.0.layers.1.conv_down.net.4.running_var",
            ),
            (
                "feature_blocks.block2.blocks.trans3.scale_blocks.scale_block1.bn.weight",
                "blocks.1.2.m.0.net.1.weight",
            ),
            ("classifiers.classifier3.features.conv2.bn.weight", "classifier.2.m.1.net.1.weight"),
            ("classifiers.classifier1.output.bias", "classifier.0.linear.bias"),
        ] {
            assert_eq!(authors(theirs, true).as_deref(), Some(authors_name));
        }
        assert_eq!(authors("classifiers.classifier0.output.bias", true), None);
        assert_eq!(
            authors(
                "feature_blocks.block2.blocks.layer1.scale_blocks.scale_block1.block.conv.conv.weight",
                false
            )
            .as_deref(),
            Some("blocks.1.0.layers.0.conv_normal.net.0.weight")
        );
    }
}
