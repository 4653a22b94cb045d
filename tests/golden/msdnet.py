"""MSD-Net in PyTorch, in the two published layouts: for golden results, peers and training.

`Config` has the fields of `src/model/msdnet/config.rs`. `MSDNet(config)` has the tensor names of the
port that `config.layout` names, so that its checkpoints load with `load_state_dict`:

    subnets   the Grad-CAM article's port: `subnets.*`, biased convolutions
    blocks    the authors' port: `blocks.*` and `classifier.*`, convolutions without bias

`net(images)` returns two lists with an entry per exit: the logits (N, classes) and the tap
(N, C, h, w), which is the map that the exit's classifier reads.
"""

from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass(frozen=True)
class Config:
    layout: str = "subnets"
    stem: str = "cifar"
    input: int = 32
    classes: int = 10
    exits: int = 10
    base: int = 4
    step: int = 2
    step_mode: str = "even"
    channels: int = 32
    growth: int = 6
    scale_factor: list = field(default_factory=lambda: [1, 2, 4])
    bottleneck_factor: list = field(default_factory=lambda: [1, 2, 4])
    reduction_permille: int = 500
    bottleneck: bool = True
    kernel: int = 3
    global_conv: dict | None = None

    @property
    def scales(self):
        return len(self.scale_factor)

    @property
    def biased(self):
        return self.layout == "subnets"

    def layers_per_exit(self):
        """Layers of each block; the linear growth of the ports differs by one step."""
        if self.step_mode == "even":
            later = [self.step] * (self.exits - 1)
        else:
            start = 0 if self.layout == "subnets" else 1
            later = [self.step * i + 1 for i in range(start, start + self.exits - 1)]
        return [self.base, *later]

    def finest_scale(self, layer):
        """Finest remaining scale in layer `layer`, from 1; layer 0 is the first layer."""
        per_scale = -(-sum(self.layers_per_exit()) // self.scales)
        return max(layer - 1, 0) // per_scale

    def uses_global_conv(self, where):
        return self.global_conv is not None and self.global_conv[where]


class ReluByRule(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, rule):
        y = x.clamp(min=0)
        ctx.save_for_backward(y)
        ctx.rule = rule
        return y

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        if ctx.rule == "guided":
            grad = grad * (y > 0)
        return grad.clamp(min=0), None


class Relu(nn.Module):
    """ReLU with a choice of gradient.

    plain: passed where the input is positive. deconvnet: passed where the gradient itself is
    positive. guided: both.
    """

    rule = "plain"

    def forward(self, x):
        return x.relu() if self.rule == "plain" else ReluByRule.apply(x, self.rule)


class Net(nn.Module):
    """The authors' port keeps most sequences in an attribute `net`."""

    def __init__(self, steps):
        super().__init__()
        self.net = steps

    def forward(self, x):
        return self.net(x)


class GlobalConv(nn.Module):
    """A global convolution, separable in both orders: k x 1 then 1 x k, plus 1 x k then k x 1.

    If shared, the second branch is the first one on the transposed image; the port's checkpoints contain the
    unused `conv_r*` all the same.
    """

    def __init__(self, config, cin, cout, stride):
        super().__init__()
        k, self.shared = config.global_conv["kernel"], config.global_conv["shared"]

        def tall(c):
            return nn.Conv2d(c, cout, (k, 1), stride=(stride, 1), padding=(k // 2, 0))

        def wide(c):
            return nn.Conv2d(c, cout, (1, k), stride=(1, stride), padding=(0, k // 2))

        self.conv_l1, self.conv_l2 = tall(cin), wide(cout)
        self.conv_r1, self.conv_r2 = wide(cin), tall(cout)

    def left(self, x):
        return self.conv_l2(self.conv_l1(x))

    def forward(self, x):
        if self.shared:
            return self.left(x) + self.left(x.mT).mT
        return self.left(x) + self.conv_r2(self.conv_r1(x))


def spatial(config, cin, cout, stride, where):
    if config.uses_global_conv(where):
        return GlobalConv(config, cin, cout, stride)
    k = config.kernel
    return nn.Conv2d(cin, cout, k, stride=stride, padding=k // 2, bias=config.biased)


def normalized(conv, channels):
    return [conv, nn.BatchNorm2d(channels), Relu()]


def named(config, steps):
    """A sequence, wrapped as in the port."""
    return nn.Sequential(*steps) if config.layout == "subnets" else Net(nn.Sequential(*steps))


class First(nn.Module):
    """The first layer: every scale from the image, each coarser one from the finer one."""

    def __init__(self, config):
        super().__init__()
        scales, cin = nn.ModuleList(), 3
        for s, factor in enumerate(config.scale_factor):
            cout = config.channels * factor
            if s == 0 and config.stem == "imagenet":
                conv = nn.Conv2d(3, cout, 7, stride=2, padding=3)
                scales.append(nn.Sequential(*normalized(conv, cout), nn.MaxPool2d(3, stride=2, padding=1)))
            else:
                conv = spatial(config, cin, cout, 2 if s else 1, "first")
                scales.append(named(config, normalized(conv, cout)))
            cin = cout
        self.key = "subnets" if config.layout == "subnets" else "layers"
        self.add_module(self.key, scales)

    def forward(self, image):
        out, x = {}, image
        for s, scale in enumerate(getattr(self, self.key)):
            out[s] = x = scale(x)
        return out


class DenseScale(nn.Module):
    """The branches of a layer at one scale: from the scale itself and from the next finer one, if any."""

    def __init__(self, config, scale, width, from_finer):
        super().__init__()
        self.config = config
        cout = config.growth * config.scale_factor[scale] // (2 if from_finer else 1)
        normal = self.branch(scale, width, cout, 1)
        down = self.branch(scale - 1, width, cout, 2) if from_finer else None
        if config.layout == "subnets":
            self.conv_modules = nn.ModuleList([down, normal] if from_finer else [normal])
        else:
            if from_finer:
                self.conv_down = Net(down)
            self.conv_normal = Net(normal)

    def branch(self, source, width, cout, stride):
        """[1x1 convolution, batch norm, ReLU,] spatial convolution, batch norm, ReLU."""
        config, cin = self.config, width * self.config.scale_factor[source]
        steps, inner = [], cin
        if config.bottleneck:
            inner = min(cin, config.bottleneck_factor[source] * cout)
            steps += normalized(nn.Conv2d(cin, inner, 1, bias=config.biased), inner)
        steps += normalized(spatial(config, inner, cout, stride, "all"), cout)
        if config.layout == "blocks":
            return nn.Sequential(*steps)
        names = ["Spatial_down" if stride == 2 else "Spatial_forward", "BN_out", "ReLU_out"]
        if config.bottleneck:
            names = ["Bottleneck_1x1", "Bottleneck_BN", "Bottleneck_ReLU", *names]
        sequence = nn.Sequential()
        for name, step in zip(names, steps, strict=True):
            sequence.add_module(name, step)
        return sequence

    def forward(self, finer, x):
        if self.config.layout == "subnets":
            sources = [finer, x][-len(self.conv_modules) :]
            added = [m(source) for m, source in zip(self.conv_modules, sources, strict=True)]
        else:
            added = [self.conv_down(finer)] if hasattr(self, "conv_down") else []
            added.append(self.conv_normal(x))
        return torch.cat([x, *added], dim=1)


class DenseLayer(nn.Module):
    """One layer over the remaining scales."""

    def __init__(self, config, layer, width):
        super().__init__()
        self.alive = range(config.finest_scale(layer), config.scales)
        finest_before = config.finest_scale(layer - 1)
        self.key = "subnets" if config.layout == "subnets" else "layers"
        scales = [DenseScale(config, s, width, s > finest_before) for s in self.alive]
        self.add_module(self.key, nn.ModuleList(scales))

    def forward(self, x):
        return {s: m(x.get(s - 1), x[s]) for s, m in zip(self.alive, getattr(self, self.key), strict=True)}


class Transition(nn.Module):
    """A 1x1 convolution per scale that keeps a fraction of the channels."""

    def __init__(self, config, layer, width, kept):
        super().__init__()
        self.alive = range(config.finest_scale(layer), config.scales)
        scales = nn.ModuleList()
        for f in (config.scale_factor[s] for s in self.alive):
            conv = nn.Conv2d(width * f, kept * f, 1, bias=config.biased)
            scales.append(named(config, normalized(conv, kept * f)))
        self.key = "scales" if config.layout == "subnets" else "m"
        self.add_module(self.key, scales)

    def forward(self, x):
        return {s: m(x[s]) for s, m in zip(self.alive, getattr(self, self.key), strict=True)}


class Head(nn.Module):
    """An exit's classifier: two strided convolutions, an average pool, a linear layer."""

    def __init__(self, config, tap):
        super().__init__()
        inner = 128 if config.stem == "cifar" else tap

        def conv(cin):
            return normalized(nn.Conv2d(cin, inner, 3, stride=2, padding=1, bias=config.biased), inner)

        if config.layout == "subnets":
            self.features = nn.Sequential(*conv(tap), *conv(inner), nn.AvgPool2d(2))
            self.classifier = nn.Linear(inner, config.classes)
        else:
            self.m = nn.Sequential(named(config, conv(tap)), named(config, conv(inner)), nn.AvgPool2d(2))
            self.linear = nn.Linear(inner, config.classes)

    def forward(self, tap):
        features, linear = self.children()
        return linear(features(tap).flatten(1))


class MSDNet(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        blocks, heads = nn.ModuleList(), nn.ModuleList()
        layer, width = 0, config.channels
        for count in config.layers_per_exit():
            steps = [] if len(blocks) else [("MSD_first", First(config))]
            for _ in range(count):
                layer += 1
                steps.append((f"MSD_layer_{layer}", DenseLayer(config, layer, width)))
                width += config.growth
                drops = config.finest_scale(layer) > config.finest_scale(layer - 1)
                if drops and config.reduction_permille:
                    kept = width * config.reduction_permille // 1000
                    steps.append(("Transition", Transition(config, layer, width, kept)))
                    width = kept
            block = nn.Sequential()
            for i, (name, step) in enumerate(steps):
                name = name if config.layout == "subnets" else str(i)
                assert not hasattr(block, name), f"two {name} in one block: the port would lose one"
                block.add_module(name, step)
            blocks.append(block)
            heads.append(Head(config, width * config.scale_factor[-1]))
        if config.layout == "subnets":
            self.subnets = nn.ModuleList([*blocks, *heads])
        else:
            self.blocks, self.classifier = blocks, heads

    def exits(self):
        """(block, head) of each exit."""
        if self.config.layout == "blocks":
            return list(zip(self.blocks, self.classifier, strict=True))
        n = self.config.exits
        return list(zip(self.subnets[:n], self.subnets[n:], strict=True))

    def use_relu_rule(self, rule):
        for module in self.modules():
            if isinstance(module, Relu):
                module.rule = rule

    def forward(self, x):
        logits, taps = [], []
        for block, head in self.exits():
            x = block(x)
            taps.append(x[self.config.scales - 1])
            logits.append(head(taps[-1]))
        return logits, taps
