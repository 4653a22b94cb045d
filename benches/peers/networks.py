"""The networks that are measured, photos for them, and the right answers in f64."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/golden"))

from gradcam import heat_map  # noqa: E402
from msdnet import Config, MSDNet, Relu  # noqa: E402

IMAGENET = Config(
    layout="blocks", stem="imagenet", input=224, classes=1000, exits=5, step=4, growth=16,
    scale_factor=[1, 2, 4, 4], bottleneck_factor=[1, 2, 4, 4],
)  # fmt: skip


def plain_relu(net):
    """The golden network's ReLUs with a choice of gradient give way to PyTorch's own."""
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Relu):
                setattr(parent, name, nn.ReLU())
    return net


def stages(net):
    """(block, head) of each exit, where a block maps the scales to the scales."""
    return net.exits()


def tap_of(net, scales):
    """The map that an exit's classifier reads."""
    return scales[net.config.scales - 1]


def config_of(architecture):
    """The golden network's configuration, which has a rule for the layers of the blocks where msdcam lists them.
    What it cannot express fails when the weights are loaded."""
    layers = architecture.get("layers", [])
    if layers:
        first, *others = layers
        assert others == others[:1] * len(others), layers
        architecture = architecture | {"exits": len(layers), "base": first, "step": next(iter(others), first)}
    return Config(**{name: value for name, value in architecture.items() if name in Config.__dataclass_fields__})


class Weights:
    """A weights file of msdcam: the network in it, and how its input is normalized."""

    def __init__(self, path):
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["msdcam"])
            self.state = {name: file.get_tensor(name).float() for name in file.keys()}
        self.config = config_of(about["architecture"])
        self.mean, self.std = about["mean"], about["std"]

    def network(self):
        net = plain_relu(MSDNet(self.config))
        missing, left_over = net.load_state_dict(self.state, strict=False)
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        assert not missing and not left_over, (missing, left_over)
        return net.eval()

    def images(self, count):
        """(N, 3, S, S): square pieces of the sample photo, normalized; the first is its center."""
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (photos(count, self.config.input) - mean) / std


def photos(count, size):
    photo = Image.open(ROOT / "weights/samples/chelsea.png").convert("RGB")
    rng, short = np.random.default_rng(1), min(photo.size)
    pieces = []
    for i in range(count):
        side = short if i == 0 else rng.uniform(0.4, 1.0) * short
        at = [(full - side) * (0.5 if i == 0 else rng.uniform()) for full in photo.size]
        box = (at[0], at[1], at[0] + side, at[1] + side)
        pieces.append(np.asarray(photo.resize((size, size), Image.Resampling.BILINEAR, box=box)))
    return torch.from_numpy(np.stack(pieces)).permute(0, 3, 1, 2).float() / 255


def write_random_imagenet(path):
    """A checkpoint of the five-exit ImageNet network: random convolutions (He et al. 2015), and
    batch norms that have seen the sample photo, so that numbers keep their size from layer to layer."""
    torch.manual_seed(1)
    net = plain_relu(MSDNet(IMAGENET))
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.in_features))
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
    with torch.no_grad():
        net.train()(photos(8, IMAGENET.input) * 4 - 2)
    torch.save(net.state_dict(), path)


# A ReLU whose input is nearer to zero than this (as a share of the root mean square of its layer) may
# be open or shut in f32: sums of different order there differ by a few millionths.
UNDECIDED = 3e-5


def right_answers(net, images, device="cpu"):
    """In f64: logits (N, exits, classes), heat maps (N, exits, H, W), and where a ReLU of the head is
    undecided also the maps {(image, exit): [(H, W), ...]} with the gradient let through otherwise.

    Computed on `device`, since two threads of a CPU took 12.7 s for 64 images; a GPU has no mode of less
    precision for f64. Leaves `net` on that device, in f32."""
    net, x = net.double().to(device), images.double().to(device)
    logits, heats, others = [], [], {}
    for exit, (block, head) in enumerate(stages(net)):
        with torch.no_grad():
            x = block(x)
        gates = Gates(head)
        scores, heat = explained(head, tap_of(net, x), images.shape[2:])
        logits.append(scores)
        heats.append(heat)
        undecided = gates.undecided()
        for choice in range(1, 2 ** max(map(len, undecided), default=0)):
            gates.toggle(undecided, choice)
            heat = explained(head, tap_of(net, x), images.shape[2:])[1].cpu().numpy()
            for image in (i for i, places in enumerate(undecided) if choice < 2 ** len(places)):
                others.setdefault((image, exit), []).append(heat[image])
        gates.remove()
    net.float()
    return torch.stack(logits, 1).cpu().numpy(), torch.stack(heats, 1).cpu().numpy(), others


def explained(head, tap, size):
    """Logits, and the heat map of each image's highest one."""
    tap = tap.detach().requires_grad_()
    scores = head(tap)
    (grad,) = torch.autograd.grad(scores.amax(1).sum(), tap)
    cam = (grad.mean((2, 3), keepdim=True) * tap).sum(1).clamp(min=0)
    return scores.detach(), heat_map(cam, *size).detach()


class Gates:
    """The ReLUs of a head: which of them are undecided, and the gradient with some of those toggled."""

    def __init__(self, head):
        relus = [module for module in head.modules() if isinstance(module, nn.ReLU)]
        self.inputs, self.toggled = {}, {}
        self.hooks = [relu.register_forward_hook(self.hook) for relu in relus]

    def hook(self, relu, inputs, output):
        (x,) = inputs
        self.inputs.setdefault(relu, x.detach())
        if relu in self.toggled:
            return torch.where((x > 0) ^ self.toggled[relu], x, 0)

    def undecided(self):
        """For each image: (ReLU, place in its input)."""
        images = next(iter(self.inputs.values())).shape[0]
        found = [[] for _ in range(images)]
        for relu, x in self.inputs.items():
            for image, *place in (x.abs() < UNDECIDED * x.square().mean().sqrt()).nonzero().tolist():
                found[image].append((relu, (image, *place)))
        return found

    def toggle(self, undecided, choice):
        """Toggles number i of each image's where bit i of `choice` is set."""
        self.toggled = {relu: torch.zeros_like(x, dtype=torch.bool) for relu, x in self.inputs.items()}
        for places in undecided:
            for i, (relu, place) in enumerate(places):
                self.toggled[relu][place] = bool(choice >> i & 1)

    def remove(self):
        for hook in self.hooks:
            hook.remove()
