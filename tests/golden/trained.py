"""Results of the article's code for the default weights, reduced to a small file.

The results are those of the article's published code, unmodified, run on a CPU with PyTorch 2.11; this
module selects from them and checks them against this folder's definition of the model.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gradcam import explain, heat_map
from msdnet import Config, MSDNet
from nets import load_state

IMAGES = ["chelsea_32", "noise", "ramp", "blocks"]
EXITS = range(1, 11)
TAPS = (1, 5, 10)  # exits whose whole tap is kept, for the first image; the others keep channel means


def select(answers):
    """The content of `default.safetensors`, selected from the article's f32 results."""
    kept = {"input": answers["input"]}
    for k in EXITS:
        kept |= {f"{what}.{k}": answers[f"{what}.{k}"] for what in ("logits", "class", "cam")}
        kept[f"tap_mean.{k}"] = answers[f"features.{k}"].double().mean((2, 3))
        kept[f"heat.{k}"] = heat_map(answers[f"cam.{k}"].double(), 32, 32)
        kept[f"mask512.{k}"] = answers[f"mask512.{k}"][:1]
        if k in TAPS:
            kept[f"tap.{k}"] = answers[f"features.{k}"][:1]
    return kept


def read_images(folder):
    pixels = [np.asarray(Image.open(Path(folder) / f"{name}.png").convert("RGB")) for name in IMAGES]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255


def recompute(checkpoint, folder):
    """The same results from the checkpoint and the PNG files by this folder's definition, in f64."""
    net = MSDNet(Config()).double().eval()
    net.load_state_dict(load_state(checkpoint))
    image = read_images(folder)
    ours = explain(net, image.double())
    kept = {"input": image}
    for k in EXITS:
        kept |= {f"{what}.{k}": ours[f"{what}.{k}"] for what in ("logits", "class", "cam", "heat")}
        kept[f"tap_mean.{k}"] = ours[f"tap.{k}"].mean((2, 3))
        kept[f"mask512.{k}"] = heat_map(ours[f"cam.{k}"][:1], 512, 512)[:, ::8, ::8]
        if k in TAPS:
            kept[f"tap.{k}"] = ours[f"tap.{k}"][:1]
    return kept
