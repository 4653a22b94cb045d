"""Writes styles.safetensors: the article's, pytorch-grad-cam's, torchcam's and captum's pictures.

Made with OpenCV 5.0.0, Pillow 13.0.0, PyTorch 2.15.0, torchvision 0.29.2, grad-cam 1.5.7, torchcam 0.5.0,
captum 0.9.0, matplotlib 3.11.2, NumPy 2.4.6; seed 23. Usage: python make_styles.py; see README.md.
"""
import io
from pathlib import Path

import cv2
import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from captum.attr import LayerAttribution
from captum.attr import visualization
from matplotlib.figure import Figure
from PIL import Image
from pytorch_grad_cam.utils.image import scale_cam_image, show_cam_on_image
from safetensors.numpy import load_file, save_file
from torchcam.methods.core import _CAM
from torchcam.utils import overlay_mask
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import save_image

HERE = Path(__file__).parent
SIDE = 512  # of the article's pictures
SIZE = 96  # of the others here
rng = np.random.default_rng(23)
out = {}


def saved(picture):
    """The pixels that torchvision's save_image writes, by way of a lossless file."""
    file = io.BytesIO()
    save_image(torch.from_numpy(picture.transpose(2, 0, 1)), file, format="png")
    return np.asarray(Image.open(file))


def article(seen, cam, gradient):
    """The article's steps (siddsax/VisualizeMSDNet, gradCam.py and heatmapping.py), rewritten.

    `seen` is the model's input in [0, 1], `gradient` the gradient of the score at the input: both (32, 32, 3),
    red first. The photo, whose first channel is red, is added to OpenCV's colors, whose first channel is blue.
    Two backward passes add up in one gradient. Returns the pictures before JPEG compression, red first.
    """
    mask = cv2.resize(cam, (SIDE, SIDE))
    mask = mask - np.min(mask)
    mask = mask / np.max(mask)
    photo = cv2.resize(seen, (SIDE, SIDE))
    both = np.float32(cv2.applyColorMap(np.uint8(255 * mask), cv2.COLORMAP_JET)) / 255 + photo
    both = np.uint8(255 * (both / np.max(both)))
    doubled = cv2.resize(gradient + gradient, (SIDE, SIDE))
    return {"cam": both[:, :, ::-1], "gb": saved(doubled), "cam_gb": saved(doubled * np.float64(mask)[..., None]),
            "input": saved(photo)}


def pytorch_grad_cam(photo, cam):
    """Its maps are scaled at their own size, resized, and scaled again when the layers are averaged."""
    mask = scale_cam_image(scale_cam_image(cam[None], (SIZE, SIZE)))[0]
    return show_cam_on_image(np.float32(photo) / 255, mask, use_rgb=True)


def torchcam(photo, cam):
    """Its maps are scaled at their own size; the mask is resized by Pillow."""
    mask = _CAM._normalize(torch.from_numpy(cam[None].copy()))
    return np.asarray(overlay_mask(Image.fromarray(photo), to_pil_image(mask, mode="F")))


def captum(photo, signed, method, sign):
    """As in the tutorial of LayerGradCam: interpolate, then visualize_image_attr, on a figure without margins."""
    attribution = LayerAttribution.interpolate(torch.from_numpy(signed)[None, None], (SIZE, SIZE))[0].numpy()
    figure = Figure(figsize=(SIZE / 100, SIZE / 100), dpi=100)
    axis = figure.add_axes([0, 0, 1, 1])
    axis.set_axis_off()
    visualization.visualize_image_attr(
        attribution.transpose(1, 2, 0), np.float32(photo) / 255, method, sign, plt_fig_axis=(figure, axis),
        use_pyplot=False,
    )
    file = io.BytesIO()
    figure.savefig(file, dpi=100)
    drawn = np.asarray(Image.open(file).convert("RGB"))
    assert drawn.shape == photo.shape, drawn.shape
    return drawn


cat = np.asarray(Image.open(HERE / "chelsea_32.png").convert("RGB"))
seen = np.float32(cat) / 255
answers = load_file(HERE / "default.safetensors")
photo = Image.open(HERE / "chelsea.png").convert("RGB").crop((75, 0, 375, 300))
photo = np.asarray(photo.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
out["photo"], out["seen"] = photo, cat

signed = {"cat": answers["cam.5"][0], "noise": rng.normal(0, 1, (8, 8)).astype(np.float32),
          "tiny": rng.normal(0, 1e-7, (7, 7)).astype(np.float32)}
for name, map in signed.items():
    cam = np.maximum(map, 0)
    gradient = rng.normal(0, 0.2, (32, 32, 3)).astype(np.float32)
    out[f"{name}.map"] = map
    out[f"{name}.pytorch-grad-cam"] = pytorch_grad_cam(photo, cam)
    out[f"{name}.torchcam"] = torchcam(photo, cam)
    out[f"{name}.captum.blended"] = captum(photo, map, "blended_heat_map", "positive")
    out[f"{name}.captum.signed"] = captum(photo, map, "heat_map", "all")
    if name == "noise":
        continue
    out[f"{name}.gradient"] = gradient.transpose(2, 0, 1)
    for what, picture in article(seen, cam, gradient).items():
        out[f"{name}.article.{what}"] = picture[3::8, 5::8]

save_file({name: np.ascontiguousarray(array) for name, array in out.items()}, HERE / "styles.safetensors")
