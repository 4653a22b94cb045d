//! The tensors of an MSD-Net in a state dict: under which prefix they are, and which are no part of it.

use std::collections::{BTreeMap, BTreeSet};

use super::infer::Shapes;
use super::pytorchcv_names;
use crate::util::listed::listed;

/// What to do with another network.
const OTHERS: &str = "; other networks are read as ONNX files, which torch.onnx.export writes";

/// The ends of the name of a network's first convolution, one for each layout and stem.
const FIRST: [&str; 6] = [
    "blocks.0.0.layers.0.0.",
    "blocks.0.0.layers.0.net.0.",
    "subnets.0.MSD_first.subnets.0.0.",
    "subnets.0.MSD_first.subnets.0.0.conv_l1.",
    "init_layer.scale_blocks.scale_block1.conv.conv.",
    "init_layer.scale_blocks.scale_block1.conv.",
];
/// The first parts of the names of a network's tensors.
const ROOTS: [&str; 6] =
    ["blocks.", "classifier.", "subnets.", "init_layer.", "feature_blocks.", "classifiers."];
/// Ends of names of counters that no network reads: batches seen, and the results of a profiler (thop).
const COUNTERS: [&str; 3] = ["num_batches_tracked", "total_ops", "total_params"];

/// The tensors of a network in a state dict.
#[derive(Debug, PartialEq, Eq)]
pub struct Recognized {
    /// Name in the state dict of each tensor, by its name in the port.
    pub names: BTreeMap<String, String>,
    /// Dimensions of each tensor by its name in the port.
    pub shapes: Shapes,
    /// Names of the mean and the standard deviation in the state dict, if a layer before the network normalizes
    /// its input.
    pub statistics: Option<[String; 2]>,
    /// Tensors that this kind of file lacks because all their elements are zero.
    pub zeros: Vec<String>,
    /// One phrase for each group of tensors that was left out, and for an unusual prefix.
    pub notes: Vec<String>,
}

/// Finds the MSD-Net in a state dict of these tensors.
///
/// # Errors
/// A phrase that says why there is none, or not exactly one.
pub fn recognize(all: &Shapes) -> Result<Recognized, String> {
    let prefix = prefix(all)?;
    let mut found = Recognized {
        names: BTreeMap::new(),
        shapes: Shapes::new(),
        statistics: statistics(all),
        zeros: Vec::new(),
        notes: Vec::new(),
    };
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    let collaboration = collaboration(all, prefix);
    for name in all.keys() {
        if COUNTERS.contains(&name.rsplit('.').next().unwrap_or_default()) {
            continue;
        }
        let is_part = |rest: &&str| ROOTS.iter().any(|root| rest.starts_with(root));
        let inside = name.strip_prefix(prefix).filter(is_part);
        let port = match collaboration {
            Some(outer) => name.strip_prefix(outer).and_then(|outside| collaboration_name(outside, inside)),
            None => inside.map(String::from),
        };
        match port {
            Some(port) => {
                if let Some(other) = found.names.insert(port, name.clone()) {
                    return Err(format!("'{other}' and '{name}' are the same tensor of the network"));
                }
            }
            // The classifiers of the network inside, which those around it replace.
            None if collaboration.is_some() && inside.is_some() => {}
            None => {
                let outside =
                    collaboration.or_else(|| outer(prefix)).and_then(|outer| name.strip_prefix(outer));
                if outside.is_some_and(|rest| is_part(&rest) || rest.starts_with("isc_modules.")) {
                    return Err(format!(
                        "'{name}' stands outside of the network under '{prefix}': a network around it, of a kind that is \
                         not known"
                    ));
                }
                let rest = name.strip_prefix(prefix).unwrap_or(name);
                *left_out.entry(rest.split('.').next().unwrap_or(rest)).or_default() += 1;
            }
        }
    }
    if found.names.keys().any(|name| name.starts_with("init_layer.")) {
        found.names = pytorchcv_names::renamed(found.names)?;
        found.notes.push("the tensor names of pytorchcv".into());
    }
    found.shapes = found.names.iter().map(|(port, name)| (port.clone(), all[name].clone())).collect();
    if !found.names.keys().any(|name| name.ends_with(".running_mean")) {
        return Err(
            "no running statistics at all: its batch norms use those of the batch, or only parameters were \
                    saved; save the state_dict() of a model that tracks them"
                .into(),
        );
    }
    let bias = "blocks.0.0.layers.0.0.bias";
    if let Some([channels]) = found.shapes.get("blocks.0.0.layers.0.1.weight").map(Vec::as_slice)
        && !found.shapes.contains_key(bias)
    {
        found.shapes.insert(bias.into(), vec![*channels]);
        found.zeros.push(bias.into());
        found.notes.push("a stem without bias".into());
    }
    if !prefix.is_empty() && !prefix.split_terminator('.').all(|part| part == "module") {
        found.notes.push(format!("the network under '{prefix}'"));
    }
    if !left_out.is_empty() {
        let tensors: usize = left_out.values().sum();
        let (tensors, are) =
            if tensors == 1 { ("1 tensor".into(), "is") } else { (format!("{tensors} tensors"), "are") };
        let groups = listed(left_out.keys());
        found.notes.push(format!("left out {tensors} under {groups}, which {are} no part of an MSD-Net"));
    }
    Ok(found)
}

/// The only tensors called `mean` and `std`, if they have an element for each color.
fn statistics(all: &Shapes) -> Option<[String; 2]> {
    let only = |end: &str| -> Option<String> {
        let mut found = all.iter().filter(|(name, _)| name.rsplit('.').next() == Some(end));
        let (name, dims) = found.next().filter(|_| found.next().is_none())?;
        (dims.iter().product::<usize>() == 3 && dims.contains(&3)).then(|| name.clone())
    };
    Some([only("mean")?, only("std")?])
}

/// What stands before the names of the network: the only one, or the one without a prefix.
fn prefix(all: &Shapes) -> Result<&str, String> {
    let before = |name: &'_ String, end: &str| -> Option<usize> {
        let at = FIRST.iter().find_map(|first| name.strip_suffix(end)?.strip_suffix(first).map(str::len))?;
        (at == 0 || name[..at].ends_with('.')).then_some(at)
    };
    let first = |name: &'_ String| before(name, "weight");
    let prefixes: BTreeSet<&str> = all.keys().filter_map(|name| first(name).map(|at| &name[..at])).collect();
    let ends = |end: &str| all.keys().any(|name| name.ends_with(end));
    let has_mark =
        |end: &str| all.keys().any(|name| before(name, end).is_some()) || !prefixes.is_empty() && ends(end);
    if has_mark("weight_mask") || has_mark("weight_orig") && !ends("weight_u") {
        return Err(
            "pruned weights ('weight_orig' and 'weight_mask'); call torch.nn.utils.prune.remove(module, \
                    'weight') on each module before saving"
                .into(),
        );
    }
    if ["weight_g", "weight_u", "parametrizations.weight.original0", "parametrizations.weight.original"]
        .into_iter()
        .any(has_mark)
    {
        return Err(
            "weights under weight_norm or another parametrization; call torch.nn.utils.remove_weight_norm, \
                    remove_spectral_norm or parametrize.remove_parametrizations on each module before saving"
                .into(),
        );
    }
    match prefixes.iter().collect::<Vec<_>>()[..] {
        [prefix] => Ok(prefix),
        [&"", ..] => Ok(""),
        [] => Err(match all.len() {
            0 => "no MSD-Net: there are no tensors".into(),
            1 => format!("no MSD-Net of a known layout: 1 tensor, {}{OTHERS}", listed(all.keys())),
            count => format!("no MSD-Net of a known layout: {count} tensors, {}{OTHERS}", listed(all.keys())),
        }),
        _ => {
            let names = prefixes.iter().map(|prefix| prefix.trim_end_matches('.'));
            Err(format!("several networks, choose one with --state-dict: {}", listed(names)))
        }
    }
}

/// What stands before the names around a network under `prefix`.
fn outer(prefix: &str) -> Option<&str> {
    let inner = prefix.strip_suffix('.')?;
    Some(inner.rfind('.').map_or("", |at| &prefix[..=at]))
}

/// What stands before the names of a network around the one under `prefix`, whose exits read the exits before
/// them (IMTA); `None` if there is none.
fn collaboration<'a>(all: &Shapes, prefix: &'a str) -> Option<&'a str> {
    let outer = ["net.", "net.module."].iter().find_map(|inner| prefix.strip_suffix(inner))?;
    all.contains_key(&format!("{outer}isc_modules.0.0.weight")).then_some(outer)
}

/// The port's name of a tensor of such a network; its own classifiers replace those of the one inside.
fn collaboration_name(outside: &str, inside: Option<&str>) -> Option<String> {
    if outside.starts_with("isc_modules.") {
        return Some(outside.into());
    }
    if let Some((exit, part)) = outside.strip_prefix("classifier.").and_then(|rest| rest.split_once('.'))
        && matches!(part, "weight" | "bias")
    {
        return Some(format!("classifier.{exit}.linear.{part}"));
    }
    inside.filter(|name| !(name.starts_with("classifier.") && name.contains(".linear."))).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: [&str; 5] = [
        "blocks.0.0.layers.0.net.0.weight",
        "blocks.0.0.layers.0.net.1.weight",
        "blocks.0.0.layers.0.net.1.running_mean",
        "blocks.0.0.layers.0.net.1.num_batches_tracked",
        "classifier.0.linear.weight",
    ];

    fn shapes<'a>(names: impl IntoIterator<Item = &'a str>) -> Shapes {
        names.into_iter().map(|name| (name.to_string(), vec![1])).collect()
    }

    fn under(prefix: &str) -> Vec<String> {
        NETWORK.iter().map(|name| format!("{prefix}{name}")).collect()
    }

    #[test]
    fn any_prefix_is_found_and_removed() {
        for prefix in [
            "",
            "module.",
            "module.module.",
            "_orig_mod.",
            "module._orig_mod.",
            "model.",
            "net.",
            "1.",
            "_fsdp_wrapped_module.",
        ] {
            let names = under(prefix);
            let found = recognize(&shapes(names.iter().map(String::as_str))).unwrap();
            assert_eq!(found.names.len(), 4, "{prefix}");
            assert_eq!(
                found.names["classifier.0.linear.weight"],
                format!("{prefix}classifier.0.linear.weight")
            );
            let noted = !prefix.is_empty() && !prefix.starts_with("module.module") && prefix != "module.";
            assert_eq!(found.notes.len(), usize::from(noted), "{prefix}: {:?}", found.notes);
        }
    }

    #[test]
    fn what_no_exit_reads_is_left_out_with_a_note() {
        let extra = ["switcher.linear.weight", "switcher.linear.bias", "n_averaged", "blocks.0.0.total_ops"];
        let found = recognize(&shapes(NETWORK.into_iter().chain(extra))).unwrap();
        assert_eq!(found.names.len(), 4);
        assert_eq!(
            found.notes,
            ["left out 3 tensors under 'n_averaged', 'switcher', which are no part of an MSD-Net"]
        );
    }

    #[test]
    fn a_layer_that_normalizes_the_input_is_found() {
        let mut all = shapes(under("1.").iter().map(String::as_str));
        all.extend([("0.mean".to_string(), vec![1, 3, 1, 1]), ("0.std".to_string(), vec![3])]);
        let expected = ["0.mean", "0.std"].map(String::from);
        assert_eq!(recognize(&all).unwrap().statistics, Some(expected));
        all.insert("0.std".into(), vec![1]);
        assert_eq!(recognize(&all).unwrap().statistics, None);
    }

    #[test]
    fn what_is_no_single_network_is_refused_in_words() {
        let refusal = |names: &[&str]| recognize(&shapes(names.iter().copied())).unwrap_err();
        assert_eq!(refusal(&[]), "no MSD-Net: there are no tensors");
        assert_eq!(
            refusal(&["a", "b"]),
            format!("no MSD-Net of a known layout: 2 tensors, 'a', 'b'{OTHERS}")
        );
        assert_eq!(refusal(&["a"]), format!("no MSD-Net of a known layout: 1 tensor, 'a'{OTHERS}"));
        let two: Vec<String> = under("model.").into_iter().chain(under("ema.")).collect();
        let two: Vec<&str> = two.iter().map(String::as_str).collect();
        assert_eq!(refusal(&two), "several networks, choose one with --state-dict: 'ema', 'model'");
        let beside: Vec<String> = under("").into_iter().chain(under("ema.")).collect();
        let found = recognize(&shapes(beside.iter().map(String::as_str))).unwrap();
        assert_eq!(found.names["classifier.0.linear.weight"], "classifier.0.linear.weight");
        assert!(refusal(&["blocks.0.0.layers.0.net.0.weight_orig"]).starts_with("pruned weights"));
        assert!(refusal(&["x.blocks.0.0.layers.0.0.weight_g"]).starts_with("weights under weight_norm"));
        assert!(refusal(&NETWORK[..2]).starts_with("no running statistics at all"));
        let inside = under("net.");
        let around = ["classifier.0.weight", "classifier.0.bias"];
        let all: Vec<&str> = inside.iter().map(String::as_str).chain(around).collect();
        assert!(refusal(&all).starts_with("'classifier.0.bias' stands outside of the network under 'net.'"));
        let later = [NETWORK[0], NETWORK[2], "blocks.0.1.layers.0.conv_normal.net.0.weight_mask"];
        assert!(refusal(&later).starts_with("pruned weights"));
    }
}
