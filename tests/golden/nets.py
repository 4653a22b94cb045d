"""Tiny models of every configuration with random weights, and all results that msdcam computes.

All weights and batch-norm statistics are exact in f16, so the precision of a checkpoint does not matter.
Draws are repeated (`salt` counts them) until the results are well-conditioned, see `ill_conditioned`:
otherwise a correct f32 engine could differ from PyTorch by a whole gradient because the input of a ReLU
is within rounding of zero.
"""

import math
from collections import OrderedDict
from dataclasses import replace
from zlib import crc32

import numpy as np
import torch
from torch import nn

from gradcam import explain
from msdnet import Config, MSDNet, Relu

SMALL = Config(exits=2, base=2, step=2, channels=4, growth=2)
BLOCKS = replace(SMALL, layout="blocks")
TWO_SCALES = replace(BLOCKS, stem="imagenet", scale_factor=[1, 2], bottleneck_factor=[1, 2])
GLOBAL = {"first": True, "all": True, "shared": False, "kernel": 7}

CONFIGS = {
    # Transitions in the middle of blocks 2 and 3.
    "subnets-even": replace(SMALL, exits=3),
    # Transitions in the middle and at the end of block 3; an odd image.
    "subnets-lin_grow": replace(SMALL, exits=3, base=2, step_mode="lin_grow", input=19),
    # Blocks 1 and 2 both end in a transition.
    "subnets-gcn-first": replace(SMALL, step=1, input=22, global_conv={**GLOBAL, "all": False, "kernel": 5}),
    # Kernels of 7 on maps of 5 x 5.
    "subnets-gcn-all": replace(SMALL, step=1, input=17, classes=7, global_conv=GLOBAL),
    "subnets-gcn-all-shared": replace(SMALL, step=1, input=24, global_conv={**GLOBAL, "shared": True}),
    # Blocks 1 and 3 end in a transition; the smallest image that a head can take after three scales.
    "subnets-no-bottleneck": replace(SMALL, exits=4, base=3, step=1, input=17, bottleneck=False),
    "blocks-even": replace(BLOCKS, exits=3, classes=20),
    "blocks-lin_grow": replace(TWO_SCALES, exits=3, base=1, step=1, step_mode="lin_grow", input=34),
    # Block 1 ends in a transition, which keeps 7 of 13 channels.
    "blocks-transition-last": replace(
        TWO_SCALES, exits=3, base=4, step=1, channels=5, reduction_permille=600, input=35, classes=7
    ),
    "blocks-no-reduction": replace(
        TWO_SCALES, reduction_permille=0, kernel=5, scale_factor=[1, 3], bottleneck_factor=[2, 1], input=36
    ),
    # 129 is the smallest image that a head can take after the stem and four scales: a tap of 5 x 5.
    # Block 1 ends in a transition; block 2 has two, and ends in one.
    "blocks-imagenet-stem": replace(
        BLOCKS, stem="imagenet", channels=8, classes=11, input=129,
        scale_factor=[1, 2, 4, 4], bottleneck_factor=[1, 2, 4, 4],
    ),
    "blocks-imagenet-stem-two-scales": replace(TWO_SCALES, exits=3, input=37),
    # Exit 2 has only evidence against its class: its maps are zero everywhere.
    "blocks-empty": replace(TWO_SCALES, step=1, input=33, classes=5),
}  # fmt: skip

# How each checkpoint is stored: "mixed" is f16 convolution and linear weights, the rest f32.
PRECISION = {"blocks-even": "f16", "blocks-imagenet-stem-two-scales": "f32", "blocks-empty": "f32"}
LEGACY_CONTAINER = {"subnets-lin_grow"}  # the stream that PyTorch wrote before 1.6
UNTRACKED = {"subnets-lin_grow", "subnets-gcn-first", "subnets-gcn-all", "subnets-no-bottleneck"}  # as before PyTorch 0.4.1
IMAGES = {"blocks-imagenet-stem": 1}  # two elsewhere

RELU_MARGIN = 1e-5
CLASS_MARGIN = 1e-2
CAM_MARGIN = 0.02
MAX_SALT = 1000


def grid(rng, shape, limit, steps=1024):
    """Multiples of limit / steps in [-limit, limit], f64."""
    return torch.from_numpy(rng.integers(-steps, steps + 1, shape) * (limit / steps))


def power_of_two(x):
    return 2.0 ** round(math.log2(x))


def tensor_value(rng, module, key, shape):
    """A random value of the parameter or buffer `key` of a convolution, linear or batch norm."""
    if key == "num_batches_tracked":
        return torch.tensor(7)
    if isinstance(module, nn.BatchNorm2d) and key in ("weight", "running_var"):
        return 1.0 + grid(rng, shape, 0.5, steps=512)
    if key in ("bias", "running_mean"):
        return grid(rng, shape, 0.25)
    fan_in = math.prod(shape[1:])
    return grid(rng, shape, power_of_two(math.sqrt(6 / fan_in)))


def stored_dtype(value, precision):
    if not value.is_floating_point():
        return value.dtype
    small = precision == "f16" or (precision == "mixed" and value.dim() > 1)
    return torch.float16 if small else torch.float32


def wide_head_convolutions(net):
    """Names of the 128-wide heads' convolution weights; they alone make a checkpoint large."""
    if net.config.stem != "cifar":
        return []
    heads = [head for _, head in net.exits()]
    wanted = {id(m.weight) for head in heads for m in head.modules() if isinstance(m, nn.Conv2d)}
    return [name for name, p in net.named_parameters() if id(p) in wanted]


def random_state(net, rng, precision):
    """A state dict in the checkpoint's own precision.

    The wide heads' convolutions are overlapping views of one storage, at odd offsets: every one
    has its own values, the file holds the storage once, and readers must honor offsets.
    """
    views = wide_head_convolutions(net)
    shapes = {name: p.shape for name, p in net.state_dict().items()}
    if views:
        longest = max(math.prod(shapes[name]) for name in views)
        pool = grid(rng, (longest + 97 * len(views),), 0.125)
        pool = pool.to(torch.float32 if precision == "f32" else torch.float16)
    state = OrderedDict()
    for name, shape in shapes.items():
        if name in views:
            start = 97 * views.index(name)
            state[name] = pool[start : start + math.prod(shape)].view(shape)
        else:
            owner, key = name.rsplit(".", 1)
            value = tensor_value(rng, net.get_submodule(owner), key, tuple(shape))
            state[name] = value.to(stored_dtype(value, precision))
    return state


def turn_evidence_negative(state, head):
    """Make every path through a head lower every class: then the gradient at the tap is never positive."""
    for name, value in state.items():
        if name.startswith(head) and value.dim() == 4:
            value.abs_()
        elif name == head + "linear.weight":
            value.abs_().neg_()


class Margins:
    """The distance of a run from a discontinuity of the gradient: hooks on every ReLU and max pool."""

    def __init__(self, net):
        self.smallest = math.inf
        for module in net.modules():
            if isinstance(module, Relu):
                module.register_forward_pre_hook(self.relu)
            if isinstance(module, nn.MaxPool2d):
                module.register_forward_pre_hook(self.max_pool)

    def relu(self, _, args):
        self.smallest = min(self.smallest, args[0].detach().abs().min().item())

    def max_pool(self, module, args):
        """The margin of each window's maximum; ties of zeros are harmless after a ReLU."""
        x = args[0].detach()
        windows = nn.functional.unfold(x, module.kernel_size, padding=module.padding, stride=module.stride)
        windows = windows.view(x.shape[0], x.shape[1], module.kernel_size**2, -1)
        first, second = windows.topk(2, dim=2).values.unbind(2)
        self.smallest = min(self.smallest, (first - second)[first > 0].min().item())


def ill_conditioned(answers, exits, margin):
    """The reason why a draw is rejected, or None."""
    if margin < RELU_MARGIN:
        return "a ReLU or max pool near its kink"
    mixed = False
    for k in range(1, exits + 1):
        first, second = answers[f"logits.{k}"].topk(2, dim=1).values.unbind(1)
        if (first - second).min() < CLASS_MARGIN:
            return "two classes too close"
        signed = answers[f"signed.{k}"].flatten(1)
        contrast = signed.clamp(min=0).amax(1) - signed.clamp(min=0).amin(1)
        size = (answers[f"weights.{k}"][:, :, None, None] * answers[f"tap.{k}"]).abs().sum(1).amax((1, 2))
        empty = signed.amax(1) < -1e-3 * size
        mixed = mixed or answers[f"class.{k}"].unique().numel() > 1
        if not (empty | (contrast > CAM_MARGIN * size)).all():
            return "a map with too little contrast"
    if not mixed and len(answers["logits.1"]) > 1:
        return "the same class for every image at every exit"
    return None


def images(rng, count, side):
    """Eight-bit images in [0, 1], f32: noise, then squares of eight pixels under a little noise."""
    noise = rng.integers(0, 256, (3, side, side))
    squares = np.kron(rng.integers(0, 2, (3, 17, 17)) * 200, np.ones((8, 8), np.int64))[:, :side, :side]
    pixels = np.stack([noise, squares + rng.integers(0, 56, squares.shape)][:count])
    return torch.from_numpy(pixels.astype(np.float32) / np.float32(255))


def make(name, seed):
    """(state dict, results, metadata) of one variant."""
    config, precision = CONFIGS[name], PRECISION.get(name, "mixed")
    for salt in range(MAX_SALT):
        rng = np.random.default_rng([seed, crc32(name.encode()), salt])
        net = MSDNet(config).double().eval()
        state = random_state(net, rng, precision)
        if name == "blocks-empty":
            turn_evidence_negative(state, "classifier.1.")
        net.load_state_dict(state)
        image = images(rng, IMAGES.get(name, 2), config.input)
        margins = Margins(net)
        answers = explain(net, image.double())
        if ill_conditioned(answers, config.exits, margins.smallest) is None:
            return state, {"input": image, **answers}, {"salt": salt, "margin": margins.smallest}
    raise RuntimeError(f"{name}: no well-conditioned draw in {MAX_SALT}")


def checkpoint(name, state):
    """The object that the port itself would save."""
    if name in UNTRACKED:
        state = OrderedDict((k, v) for k, v in state.items() if not k.endswith("num_batches_tracked"))
    prefixed = OrderedDict((f"module.{key}", value) for key, value in state.items())
    if CONFIGS[name].layout == "subnets":
        optimizer = {"state": {}, "param_groups": [{"lr": 0.1, "momentum": 0.9, "params": [0, 1, 2]}]}
        return {"epoch": 3, "model": "msdnet", "state_dict": prefixed, "best_prec1": 12.5, "optimizer": optimizer}
    if name == "blocks-imagenet-stem":
        return {"epoch": 3, "arch": "msdnet", "state_dict": prefixed, "best_prec1": torch.tensor([12.5])}
    return state


def state_of(saved):
    """The state dict of a loaded checkpoint of either port, without `module.`."""
    return {key.removeprefix("module."): value for key, value in saved.get("state_dict", saved).items()}


def load_state(path):
    return state_of(torch.load(path, map_location="cpu", weights_only=True))
