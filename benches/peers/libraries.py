"""Grad-CAM libraries as their manuals say, an exit at a time, and the article's own procedure.

Each library is imported by its own row: one that is missing costs no other row."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from networks import heat_map, stages, tap_of


class UpTo(nn.Module):
    """The network up to one exit: images in, that exit's logits out. `tap` is where to look."""

    def __init__(self, net, exit):
        super().__init__()
        self.net, self.exit, self.tap = net, exit, nn.Identity()

    def forward(self, x):
        for block, head in stages(self.net)[: self.exit]:
            x = block(x)
        return head(self.tap(tap_of(self.net, x)))


def up_to_each_exit(net):
    if hasattr(net, "up_to_each_exit"):
        return net.up_to_each_exit()
    return [UpTo(net, k) for k in range(1, net.config.exits + 1)]


class Library:
    def __init__(self, net, images):
        self.device = next(net.parameters()).device
        self.images = images
        self.exits = [self.prepare(model.eval()) for model in up_to_each_exit(net)]

    def __call__(self):
        x = self.images.to(self.device)
        return None, np.stack([self.heat(exit, x) for exit in self.exits], 1)


class PytorchGradCam(Library):
    def prepare(self, model):
        from pytorch_grad_cam import GradCAM

        return GradCAM(model=model, target_layers=[model.tap])

    def heat(self, cam, x):
        return cam(input_tensor=x, targets=None)


class TorchCam(Library):
    def prepare(self, model):
        from torchcam.methods import GradCAM

        return model, GradCAM(model, target_layer="tap")

    def heat(self, exit, x):
        model, extractor = exit
        scores = model(x)
        (maps,) = extractor(scores.argmax(1).tolist(), scores)
        return heat_map(maps.detach(), *x.shape[2:]).cpu().numpy()


class Captum(Library):
    def prepare(self, model):
        from captum.attr import LayerGradCam

        return model, LayerGradCam(model, model.tap)

    def heat(self, exit, x):
        model, method = exit
        with torch.no_grad():
            top = model(x).argmax(1)
        maps = method.attribute(x, target=top, relu_attributions=True)[:, 0].detach()
        return heat_map(maps, *x.shape[2:]).cpu().numpy()


class Article(Library):
    """For each exit a forward pass up to it and a backward pass of a one-hot score; then, in NumPy,
    a weighted sum of the tap's channels, OpenCV's resize, and scaling to [0, 1]."""

    def __init__(self, net, images):
        import cv2

        self.resize = cv2.resize
        super().__init__(net, images)

    def prepare(self, model):
        kept = {}

        def keep(module, inputs, tap):
            kept["tap"] = tap
            tap.register_hook(lambda grad: kept.__setitem__("grad", grad))

        model.tap.register_forward_hook(keep)
        return model, kept

    def heat(self, exit, x):
        model, kept = exit
        scores = model(x.clone().requires_grad_())
        one_hot = F.one_hot(scores.argmax(1), scores.shape[1]).to(scores)
        model.zero_grad()
        (one_hot * scores).sum().backward(retain_graph=True)
        taps, grads = kept["tap"].detach().cpu().numpy(), kept["grad"].cpu().numpy()
        return np.stack([self.one_heat(tap, grad, x.shape[2:]) for tap, grad in zip(taps, grads, strict=True)])

    def one_heat(self, tap, grad, size):
        cam = np.zeros(tap.shape[1:], np.float32)
        for channel, weight in zip(tap, grad.mean((1, 2)), strict=True):
            cam += weight * channel
        cam = self.resize(np.maximum(cam, 0), tuple(size)[::-1])
        cam -= cam.min()
        return cam / cam.max() if cam.max() > 0 else cam
