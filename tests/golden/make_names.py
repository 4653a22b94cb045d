"""Writes names.json: tensors and costs of many configurations according to PyTorch.

Per configuration: the number of tensors (without num_batches_tracked), the SHA-256 of one line
`name dim dim ...` per tensor in state_dict order, the number of parameters that PyTorch counts,
and the multiply-adds of every exit's block and head, counted by hooks during a forward pass.

    python make_names.py [--check]        # PyTorch 2.x, CPU; deterministic

With `--check` it writes nothing and ends with status 1 if a configuration differs from the stored one.
"""

import argparse
import hashlib
import json
import math
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from msdnet import Config, MSDNet

PATH = Path(__file__).parent / "names.json"

BASES = {
    "cifar10": dict(),
    "cifar100": dict(layout="blocks", classes=100, exits=7, channels=16),
    "imagenet4": dict(layout="blocks", stem="imagenet", classes=1000, exits=5, step=4, growth=16,
                      scale_factor=[1, 2, 4, 4], bottleneck_factor=[1, 2, 4, 4]),
    "imagenet7": dict(layout="blocks", stem="imagenet", classes=1000, exits=5, step=7, growth=16,
                      scale_factor=[1, 2, 4, 4], bottleneck_factor=[1, 2, 4, 4]),
    "imagenet_subnets": dict(stem="imagenet", classes=7, exits=3, step=2, growth=4, channels=8,
                             scale_factor=[1, 2, 4, 4], bottleneck_factor=[1, 2, 4, 4]),
}
SMALL = dict(classes=3, exits=4, base=2, step=1, channels=4, growth=2)
GLOBAL = dict(first=False, all=False, shared=False, kernel=7)
VARIANTS = {
    "plain": dict(),
    "lin_grow": dict(step_mode="lin_grow"),
    "lin_grow_2": dict(step_mode="lin_grow", step=2),
    "no_bottleneck": dict(bottleneck=False),
    "no_transition": dict(reduction_permille=0),
    "reduction_03": dict(reduction_permille=300),
    "one_scale": dict(scale_factor=[1], bottleneck_factor=[1]),
    "two_scales": dict(scale_factor=[1, 3], bottleneck_factor=[2, 1]),
    "four_scales": dict(scale_factor=[1, 2, 2, 5], bottleneck_factor=[1, 3, 2, 4]),
    "one_exit": dict(exits=1, base=1),
    "kernel_5": dict(kernel=5),
    "global_first": dict(global_conv={**GLOBAL, "first": True}),
    "global_all": dict(global_conv={**GLOBAL, "all": True, "kernel": 5}),
    "global_both_shared": dict(global_conv={**GLOBAL, "first": True, "all": True, "shared": True}),
    "global_all_no_bottleneck": dict(global_conv={**GLOBAL, "all": True}, bottleneck=False),
    "wide_bottleneck": dict(bottleneck_factor=[9, 9, 9]),
    "odd": dict(exits=5, base=3, channels=5, growth=4, classes=17, scale_factor=[1, 2, 3]),
}


def cases():
    """(name, configuration) with the smallest input size that its heads accept."""
    for name, kw in BASES.items():
        yield name, sized(kw)
    for layout, word in (("subnets", "gcn"), ("blocks", "blocks")):
        for stem in ("cifar", "imagenet"):
            for name, kw in VARIANTS.items():
                yield f"{word}-{stem}-{name}", sized({**SMALL, "layout": layout, "stem": stem, **kw})


def sized(kw: dict) -> Config:
    c = Config(**kw)
    smallest_tap = 8 if c.stem == "cifar" else 28  # the ImageNet stem divides by four
    return replace(c, input=smallest_tap << (c.scales - 1))


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
    for block, head in net.exits():
        count[0] = 0
        x = block(x)
        trunk, count[0] = count[0], 0
        head(x[net.config.scales - 1])
        result.append([trunk, count[0]])
    return result


def row(name: str, c: Config) -> dict:
    net = MSDNet(c).eval()
    state = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    lines = "".join(" ".join([k, *map(str, v.shape)]) + "\n" for k, v in state.items())
    with torch.no_grad():
        macs = multiply_adds(net, c.input)
    return {
        "name": name,
        "config": asdict(c),
        "tensors": len(state),
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
        "parameters": sum(p.numel() for p in net.parameters()),
        "multiply_adds": macs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    rows = [row(name, c) for name, c in cases()]
    if not args.check:
        PATH.write_text("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
        return
    stored = json.loads(PATH.read_text())
    differ = [a["name"] for a, b in zip(stored, rows) if a != b]
    agrees = not differ and len(stored) == len(rows)
    print(f"{PATH.name}: {len(stored)} networks stored, {len(rows)} computed, {differ or 'none'} differ")
    sys.exit(0 if agrees else 1)


if __name__ == "__main__":
    main()
