"""Writes names.json: for many configurations, what PyTorch says the network looks like.

Per configuration: the number of tensors (without num_batches_tracked), the SHA-256 of one line
`name dim dim ...` per tensor in state_dict order, the number of parameters that PyTorch counts,
and the multiply-adds of every exit's block and head, counted by hooks on a real forward pass.

    python make_names.py        # PyTorch 2.x, CPU; nothing depends on random numbers
"""

import hashlib
import json
import math
from pathlib import Path

import torch
from torch import nn

from msdnet_torch import Config, GlobalConv, MSDNet

BASES = {
    "cifar10": dict(),
    "cifar100": dict(layout="blocks", classes=100, exits=7, channels=16),
    "imagenet4": dict(layout="blocks", data="imagenet", classes=1000, exits=5, step=4, growth=16,
                      scale_factor=[1, 2, 4, 4], bottleneck_factor=[1, 2, 4, 4]),
    "imagenet7": dict(layout="blocks", data="imagenet", classes=1000, exits=5, step=7, growth=16,
                      scale_factor=[1, 2, 4, 4], bottleneck_factor=[1, 2, 4, 4]),
    "imagenet_subnets": dict(data="imagenet", classes=7, exits=3, step=2, growth=4, channels=8,
                             scale_factor=[1, 2, 4, 4], bottleneck_factor=[1, 2, 4, 4]),
}
SMALL = dict(classes=3, exits=4, base=2, step=1, channels=4, growth=2)
VARIANTS = {
    "plain": dict(),
    "lin_grow": dict(step_mode="lin_grow"),
    "lin_grow_2": dict(step_mode="lin_grow", step=2),
    "no_bottleneck": dict(bottleneck=False),
    "no_transition": dict(reduction=0),
    "reduction_03": dict(reduction=0.3),
    "one_scale": dict(scale_factor=[1], bottleneck_factor=[1]),
    "two_scales": dict(scale_factor=[1, 3], bottleneck_factor=[2, 1]),
    "four_scales": dict(scale_factor=[1, 2, 2, 5], bottleneck_factor=[1, 3, 2, 4]),
    "one_exit": dict(exits=1, base=1),
    "kernel_5": dict(kernel=5),
    "global_first": dict(gcn_first=True),
    "global_all": dict(gcn_all=True, gcn_kernel=5),
    "global_both_shared": dict(gcn_first=True, gcn_all=True, gcn_shared=True),
    "global_all_no_bottleneck": dict(gcn_all=True, bottleneck=False),
    "wide_bottleneck": dict(bottleneck_factor=[9, 9, 9]),
    "odd": dict(exits=5, base=3, channels=5, growth=4, classes=17, scale_factor=[1, 2, 3]),
}


def cases():
    for name, kw in BASES.items():
        yield name, kw
    for layout in ("gcn", "blocks"):
        for data in ("cifar", "imagenet"):
            for name, kw in VARIANTS.items():
                yield f"{layout}-{data}-{name}", {**SMALL, "layout": layout, "data": data, **kw}


def ours(c: Config) -> dict:
    """The same configuration in the crate's own words."""
    has_global = c.gcn_first or c.gcn_all
    return {
        "layout": "subnets" if c.layout == "gcn" else "blocks",
        "stem": c.data,
        # The smallest tap then is 8 x 8 (CIFAR) or 7 x 7 (ImageNet), what a head needs.
        "input": (8 if c.data == "cifar" else 28) << (c.scales - 1),
        "classes": c.classes,
        "exits": c.exits,
        "base": c.base,
        "step": c.step,
        "step_mode": c.step_mode,
        "channels": c.channels,
        "growth": c.growth,
        "scale_factor": c.scale_factor,
        "bottleneck_factor": c.bottleneck_factor,
        "reduction_permille": round(1000 * c.reduction),
        "bottleneck": c.bottleneck,
        "kernel": c.kernel,
        "global_conv": dict(first=c.gcn_first, all=c.gcn_all, shared=c.gcn_shared, kernel=c.gcn_kernel)
        if has_global else None,
    }


def multiply_adds(net: MSDNet, size: int) -> list[list[int]]:
    """[block, head] of each exit."""
    count = [0]

    def hook(m, inputs, output):
        if isinstance(m, nn.Conv2d):
            count[0] += m.weight.numel() * math.prod(output.shape[2:])
        else:
            count[0] += m.weight.numel()

    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            m.register_forward_hook(hook)
    result, x = [], torch.zeros(1, 3, size, size)
    for block, head in net.stages():
        count[0] = 0
        x = block(x)
        trunk, count[0] = count[0], 0
        head(x[-1])
        result.append([trunk, count[0]])
    return result


def main() -> None:
    rows = []
    for name, kw in cases():
        c = Config(**kw)
        net = MSDNet(c).eval()
        state = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
        lines = "".join(" ".join([k, *map(str, v.shape)]) + "\n" for k, v in state.items())
        config = ours(c)
        with torch.no_grad():
            macs = multiply_adds(net, config["input"])
        rows.append({
            "name": name,
            "config": config,
            "tensors": len(state),
            "sha256": hashlib.sha256(lines.encode()).hexdigest(),
            "parameters": sum(p.numel() for p in net.parameters()),
            "multiply_adds": macs,
        })
    text = "[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n"
    (Path(__file__).parent / "names.json").write_text(text)


if __name__ == "__main__":
    main()
