"""Grad-CAM and input gradients at every exit, as msdcam defines them."""

import torch
import torch.nn.functional as F


def heat_map(cam, height, width):
    """Maps (N, h, w) after ReLU -> heatmaps (N, height, width) in [0, 1].

    Bilinear resize with half-pixel centers, minus each map's minimum, divided by its maximum;
    a constant map becomes zero.
    """
    resized = F.interpolate(cam[:, None], size=(height, width), mode="bilinear", align_corners=False)[:, 0]
    shifted = resized - resized.amin((1, 2), keepdim=True)
    top = shifted.amax((1, 2), keepdim=True)
    return torch.where(top > 0, shifted / top.where(top > 0, torch.ones_like(top)), torch.zeros_like(shifted))


def class_scores(net, image, rule):
    """For each exit, the sum over the batch of each image's largest logit; and the taps."""
    net.use_relu_rule(rule)
    logits, taps = net(image)
    classes = [l.argmax(1) for l in logits]
    scores = [l.gather(1, c[:, None]).sum() for l, c in zip(logits, classes, strict=True)]
    return logits, taps, classes, scores


def explain(net, image):
    """All values of every exit by name (`logits.1`, ...), exits from 1.

    Plain and guided gradients at the image are computed for the first and the last exit only.
    """
    out = {}
    image = image.clone().requires_grad_(True)
    logits, taps, classes, scores = class_scores(net, image, "plain")
    for k, (l, tap, c, score) in enumerate(zip(logits, taps, classes, scores, strict=True), start=1):
        (grad,) = torch.autograd.grad(score, tap, retain_graph=True)
        weights = grad.mean((2, 3))
        signed = (weights[:, :, None, None] * tap).sum(1)
        cam = signed.clamp(min=0)
        out |= {f"logits.{k}": l, f"class.{k}": c, f"tap.{k}": tap, f"grad.{k}": grad, f"weights.{k}": weights}
        out |= {f"signed.{k}": signed, f"cam.{k}": cam, f"heat.{k}": heat_map(cam, *image.shape[2:])}
    for rule, name in (("plain", "input_grad"), ("guided", "guided_grad")):
        _, _, _, scores = class_scores(net, image, rule)
        for k in {1, len(scores)}:
            (out[f"{name}.{k}"],) = torch.autograd.grad(scores[k - 1], image, retain_graph=True)
    net.use_relu_rule("plain")
    return {name: value.detach() for name, value in out.items()}
