"""Writes resize.safetensors: results of Pillow, PyTorch and OpenCV for msdcam's resizes.

Made with Pillow 13.0.0, PyTorch 2.15.0, OpenCV 5.0.0, NumPy 2.4.6; seed 7. Usage: python make_resize.py

Pillow cases, 8-bit RGB, (H, W, 3):
  <case>.in        the photo (omitted if a formula in the test gives it)
  <case>.out       Image.resize to shorter side S, its central S x S (torchvision's rounding)
  display.<i>.box  (x0, y0, x1, y1) of the photo; display.<i>.out: Image.resize(box=..., BICUBIC)
  stretch.<case>.out  Image.resize to W x H of view.<case>'s photo; pad.<case>.out: ImageOps.pad, (128, 51, 0) around it
PyTorch cases, f32: map.<h>x<w>.in (h, w), map.<h>x<w>.<H>x<W> (H, W), F.interpolate bilinear.
OpenCV cases, f32: heat.<i>.in (h, w), heat.<i>.out: every eighth row and column of the map resized to 512 x 512
(INTER_LINEAR), minus its minimum, divided by its maximum.
"""
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.numpy import save_file

rng = np.random.default_rng(7)
out = {}


def photo(h, w):
    """Noise with saturated values, which tests both rounding and clipping."""
    x = rng.integers(-40, 296, (h, w, 3))
    return np.clip(x, 0, 255).astype(np.uint8)


def network_view(x, s):
    h, w = x.shape[:2]
    if (h, w) == (s, s):
        return x
    short, long = min(h, w), max(h, w)
    longer = int(s * long / short)
    size = (s, longer) if w <= h else (longer, s)
    y = Image.fromarray(x).resize(size, Image.Resampling.BILINEAR)
    left, top = int(round((size[0] - s) / 2.0)), int(round((size[1] - s) / 2.0))
    return np.asarray(y.crop((left, top, left + s, top + s)))


for h, w, s in [(1, 1, 32), (33, 47, 32), (47, 33, 32), (5, 7, 32), (32, 32, 32), (2, 2, 32),
                (31, 95, 32), (1, 300, 32), (300, 1, 32), (61, 37, 7), (3, 200, 5), (97, 64, 31)]:
    x = photo(h, w)
    out[f"view.{h}x{w}.{s}.in"] = x
    out[f"view.{h}x{w}.{s}.out"] = network_view(x, s).copy()

# A photo of one row and five thousand columns, by formula.
i = np.arange(5000)
row = np.stack([i % 256, (i * 7) % 256, (i // 3) % 256], axis=-1).astype(np.uint8)[None]
out["ramp.1x5000.32.out"] = network_view(row, 32).copy()
out["ramp.5000x1.32.out"] = network_view(row.transpose(1, 0, 2).copy(), 32).copy()

x = photo(23, 31)
out["display.in"] = x
for n, (box, size) in enumerate([
    ((0.0, 0.0, 31.0, 23.0), (64, 48)),
    ((4.0, 0.0, 27.0, 23.0), (61, 61)),
    ((3.75, 0.25, 26.5, 22.5), (40, 40)),
    ((0.0, 0.0, 31.0, 23.0), (11, 9)),
    ((1.3, 2.7, 4.1, 5.5), (16, 16)),
    ((4.0, 1.0, 24.0, 21.0), (20, 20)),
    ((2.0, 0.0, 28.0, 23.0), (29, 10)),
    ((0.0, 5.0, 31.0, 9.0), (30, 11)),
    ((2.5, 1.5, 29.0, 22.0), (40, 9)),
]):
    y = Image.fromarray(x).resize(size, Image.Resampling.BICUBIC, box=box)
    out[f"display.{n}.box"] = np.array(box, np.float32)
    out[f"display.{n}.out"] = np.asarray(y).copy()

for (h, w), targets in {(8, 8): [(32, 32), (61, 61), (8, 8)], (7, 7): [(224, 224)], (1, 1): [(5, 3)],
                        (2, 9): [(17, 33)], (5, 3): [(3, 2)], (1, 6): [(4, 64)]}.items():
    m = rng.normal(0, 1, (h, w)).astype(np.float32)
    out[f"map.{h}x{w}.in"] = m
    for size in targets:
        y = torch.nn.functional.interpolate(torch.from_numpy(m)[None, None], size=size, mode="bilinear",
                                            align_corners=False)
        y = y[0, 0].numpy()
        if size == (224, 224):  # every fifth row and column keep the file small
            y = y[::5, ::5]
        out[f"map.{h}x{w}.{size[0]}x{size[1]}"] = np.ascontiguousarray(y)

for n, m in enumerate([np.maximum(rng.normal(0, 1, (8, 8)), 0), rng.uniform(2, 3, (7, 7)), rng.normal(0, 9, (4, 4))]):
    m = m.astype(np.float32)
    y = cv2.resize(m, (512, 512), interpolation=cv2.INTER_LINEAR)
    y = y - np.min(y)
    y = y / np.max(y)
    out[f"heat.{n}.in"], out[f"heat.{n}.out"] = m, y[::8, ::8].copy()

# Tall photos, whose columns Pillow 13 resizes first, and those next to them.
for h, w, s in [(100, 40, 32), (97, 64, 32), (96, 64, 32), (95, 64, 32), (60, 33, 32), (40, 20, 32)]:
    x = photo(h, w)
    out[f"view.{h}x{w}.{s}.in"] = x
    out[f"view.{h}x{w}.{s}.out"] = network_view(x, s).copy()

for (h, w, s), (height, width) in {(33, 47, 32): (20, 30), (47, 33, 32): (32, 32), (5, 7, 32): (16, 16),
                                   (97, 64, 31): (31, 31), (100, 40, 32): (32, 32), (40, 20, 32): (9, 33)}.items():
    y = Image.fromarray(out[f"view.{h}x{w}.{s}.in"])
    out[f"stretch.{h}x{w}.{s}.out"] = np.asarray(y.resize((width, height), Image.Resampling.BILINEAR)).copy()
    y = ImageOps.pad(y, (width, height), Image.Resampling.BILINEAR, color=(128, 51, 0))
    out[f"pad.{h}x{w}.{s}.out"] = np.asarray(y).copy()

save_file(out, Path(__file__).with_name("resize.safetensors"))
