"""Make or check `methods.safetensors`: results of pytorch-grad-cam and captum; see README.md.

    python make_methods.py            write the file
    python make_methods.py --check    compute again, compare with the file
"""

import argparse
import copy
import json
import math
import sys
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from captum.attr import (
    GuidedBackprop, GuidedGradCam, InputXGradient, IntegratedGradients, LayerGradCam, NoiseTunnel, Saliency,
)
from pytorch_grad_cam import (
    AblationCAM, EigenCAM, EigenGradCAM, GradCAM, GradCAMElementWise, GradCAMPlusPlus, HiResCAM, LayerCAM,
    RefineCAM, ScoreCAM, XGradCAM,
)
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget
from pytorch_grad_cam.utils import svd_on_activations
from safetensors.torch import load_file
from torch import nn

from make_golden import HERE, SAME_SEED_TOLERANCE, compare, save
from msdnet import Config, DenseLayer, First, MSDNet, Relu, Transition
from nets import CONFIGS, load_state

NETS = ["subnets-lin_grow", "blocks-transition-last"]
INNER_TAP = {"subnets-lin_grow": "layer1.scale2", "blocks-transition-last": "layer2.scale1"}
STEPS = 20  # of integrated gradients
SAMPLES, SHARE, SEED = 8, 0.15, 12345  # of SmoothGrad

METHODS = {
    "grad-cam": GradCAM, "grad-cam++": GradCAMPlusPlus, "hires-cam": HiResCAM, "xgrad-cam": XGradCAM,
    "layer-cam": LayerCAM, "grad-cam-elementwise": GradCAMElementWise, "eigen-cam": EigenCAM,
    "eigen-grad-cam": EigenGradCAM, "score-cam": ScoreCAM, "ablation-cam": AblationCAM,
}  # fmt: skip


class ExitModel(nn.Module):
    """A model up to one exit, with a module at every tap to which the tools attach hooks."""

    def __init__(self, net, exit):
        super().__init__()
        net = copy.deepcopy(net)
        with_plain_relus(net)
        exits = net.exits()[:exit]
        self.steps = nn.ModuleList(step for block, _ in exits for step in block)
        self.head = exits[-1][1]
        self.last = net.config.scales - 1
        self.taps = nn.ModuleDict({"exit": nn.Identity()})
        for layer in range(sum(isinstance(step, DenseLayer) for step in self.steps) + 1):
            for scale in range(net.config.scales):
                self.taps[f"layer{layer}_scale{scale + 1}"] = nn.Identity()

    def tap(self, name):
        return self.taps["exit" if name.startswith("exit") else name.replace(".", "_")]

    def forward(self, x):
        layer = 0
        for i, step in enumerate(self.steps):
            layer += isinstance(step, DenseLayer)
            x = step(x)
            following = self.steps[i + 1] if i + 1 < len(self.steps) else None
            if not isinstance(following, Transition):
                x = {s: self.taps[f"layer{layer}_scale{s + 1}"](v) for s, v in x.items()}
        return self.head(self.taps["exit"](x[self.last]))


def with_plain_relus(module):
    """Replaces activations by `nn.ReLU`, which the tools require."""
    for name, child in module.named_children():
        if isinstance(child, Relu):
            setattr(module, name, nn.ReLU())
        with_plain_relus(child)


def margin(category):
    def target(logits):
        others = torch.cat([logits[:category], logits[category + 1 :]])
        return logits[category] - others.max()

    return target


def run(tool, image, targets, **options):
    """(maps of the one layer before ReLU and scaling, heatmaps) of a pytorch-grad-cam object."""
    raw, original = [], tool.get_cam_image

    def recording(*args):
        raw.append(original(*args))
        return raw[-1]

    tool.get_cam_image = recording
    heat = tool(image, targets, **options)
    return torch.as_tensor(np.asarray(raw[0])).double(), torch.as_tensor(heat).double()


def maps(model, image, tap, classes):
    """Every method's map at a tap, by name."""
    out, layer = {}, model.tap(tap)
    targets = [ClassifierOutputTarget(c) for c in classes]
    for name, method in METHODS.items():
        out[name], _ = run_fresh(method, model, tap, image, targets)
    for score, make in (("margin", margin), ("probability", ClassifierOutputSoftmaxTarget)):
        out[f"grad-cam.{score}"], _ = run_fresh(GradCAM, model, tap, image, [make(c) for c in classes])
    captum = LayerGradCam(model, layer).attribute(image, torch.tensor(classes))[:, 0]
    assert (captum - out["grad-cam"]).abs().max() <= 1e-9 * captum.abs().max(), "the two tools' Grad-CAM differ"
    return out


def run_fresh(method, model, tap, image, targets, **options):
    """`run` on a copy, because the tools leave hooks behind."""
    model = copy.deepcopy(model)
    return run(method(model=model, target_layers=[model.tap(tap)]), image, targets, **options)


def check_minimum_is_zero(model, image, tap):
    """Otherwise pytorch-grad-cam's ablation differs from the paper's."""
    seen = []
    handle = model.tap(tap).register_forward_hook(lambda *args: seen.append(args[2]))
    model(image)
    handle.remove()
    assert all(x.min() == 0 for x in seen[0]), f"{tap}: smallest activation is not zero"


class Normal:
    """The noise of `src/util/rng.rs`: SplitMix64, then Box and Muller."""

    def __init__(self, seed):
        self.state, self.spare = seed, None

    def uniform(self):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return ((z ^ (z >> 31)) >> 11) / (1 << 53)

    def next(self):
        if self.spare is not None:
            spare, self.spare = self.spare, None
            return spare
        radius = math.sqrt(-2 * math.log(1 - self.uniform()))
        angle = math.tau * self.uniform()
        self.spare = radius * math.sin(angle)
        return radius * math.cos(angle)


def noise(mean, deviation):
    """A replacement of `torch.normal` that returns msdcam's noise."""
    normal = Normal(SEED)
    numbers = torch.tensor([normal.next() for _ in range(deviation.numel())], dtype=torch.float64)
    return numbers.view(deviation.shape) * deviation


def pixels(model, image, category):
    """The attribution of every pixel method for one image (1, 3, H, W), by captum."""
    target = int(category)
    deviation = SHARE * (image.max() - image.min()).item()
    with mock.patch("torch.normal", noise):
        smooth = NoiseTunnel(Saliency(model)).attribute(
            image, nt_type="smoothgrad", nt_samples=SAMPLES, stdevs=deviation, target=target, abs=False
        )
    return {
        "input-gradient": Saliency(model).attribute(image, target, abs=False),
        "gradient-x-input": InputXGradient(model).attribute(image, target),
        "guided-backprop": GuidedBackprop(model).attribute(image, target),
        "guided-grad-cam": GuidedGradCam(model, model.tap("exit")).attribute(
            image, target, interpolate_mode="bilinear"
        ),
        "integrated-gradients": IntegratedGradients(model).attribute(
            image, target=target, n_steps=STEPS, method="riemann_middle"
        ),
        "smooth-grad": smooth,
    }


def exit_answers(net, exit, image, inner):
    """(maps and class of one exit, by name)."""
    model = ExitModel(net, exit)
    classes = model(image).argmax(1).tolist()
    out = {"class": torch.tensor(classes)}
    for tap in [f"exit{exit}", *inner]:
        check_minimum_is_zero(model, image, tap)
        out |= {f"{tap}/{name}": value for name, value in maps(model, image, tap, classes).items()}
    targets = [ClassifierOutputTarget(c) for c in classes]
    smooth = run_fresh(GradCAM, model, "exit", image, targets, aug_smooth=True)[1]
    out["smoothed/grad-cam"] = smooth
    return model, classes, out


def fused(net, exit, image, classes, scales):
    """The deepest layer of each scale that reaches the exit, fused by mean and by product."""
    model = ExitModel(net, exit)
    last = sum(isinstance(step, DenseLayer) for step in model.steps)

    def deepest(scale):
        """A scale feeds the next coarser one in the next layer, until it is dropped."""
        return next(n for n in range(last - scales + scale, -1, -1) if net.config.finest_scale(n) < scale)

    names = [f"layer{deepest(s)}.scale{s}" for s in range(1, scales + 1)]
    # The tool divides a map by its maximum plus 1e-7, which is large compared with the gradients at a
    # fine scale. A logit scaled by a million has the same maps without this effect.
    targets = [lambda logits, c=c: 1e6 * logits[c] for c in classes]
    layers = [model.tap(name) for name in names]
    mean = GradCAM(model=model, target_layers=layers)(image, targets)
    product = RefineCAM(model, layers, base_method=GradCAM)(image, targets)
    return names, {
        "fused/mean/grad-cam": torch.as_tensor(mean),
        "fused/refine-cam/grad-cam": torch.as_tensor(product),
    }


def make():
    # The sign of a singular vector is arbitrary, so the comparison is with the tool's own corrected form.
    corrected = svd_on_activations.get_2d_projection_with_sign_correction
    tensors, taps = {}, {}
    with (
        mock.patch("pytorch_grad_cam.eigen_cam.get_2d_projection", corrected),
        mock.patch("pytorch_grad_cam.eigen_grad_cam.get_2d_projection", corrected),
    ):
        for name in [*NETS, "default"]:
            net, image = default() if name == "default" else small(name)
            exits = [2, 10] if name == "default" else [1, net.config.exits]
            for exit in exits:
                last = exit == exits[-1]
                inner = [INNER_TAP[name]] if last and name != "default" else []
                model, classes, answers = exit_answers(net, exit, image, inner)
                if last:
                    shown = {f"pixels/{k}": v for k, v in pixels(model, image[:1], classes[0]).items()}
                    answers |= shown
                    taps[name], both = fused(net, exit, image, classes, net.config.scales)
                    answers |= both
                tensors |= {f"{name}/{exit}/{key}": value.detach() for key, value in answers.items()}
    return tensors, taps


def small(name):
    net = MSDNet(CONFIGS[name]).double().eval()
    net.load_state_dict(load_state(HERE / f"nets/{name}.pth"))
    return net, load_file(HERE / f"nets/{name}.safetensors")["input"].double()


def default():
    net = MSDNet(Config()).double().eval()
    net.load_state_dict(load_file(HERE.parents[1] / "weights/cifar10/msdnet_cifar10.safetensors"), strict=False)
    return net, load_file(HERE / "default.safetensors")["input"][:1].double()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    path = HERE / "methods.safetensors"
    tensors, taps = make()
    if args.check:
        sys.exit(0 if compare(path, load_file(path), tensors, SAME_SEED_TOLERANCE) else 1)
    facts = {"steps": STEPS, "samples": SAMPLES, "share": SHARE, "noise_seed": SEED, "taps": taps}
    facts |= {"pytorch-grad-cam": "1.5.7", "captum": "0.9.0"}
    save(path, tensors, {key: json.dumps(value) for key, value in facts.items()})


if __name__ == "__main__":
    main()
