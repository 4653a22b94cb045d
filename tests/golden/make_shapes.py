"""Writes shapes.safetensors: OpenCV's boxes and contourpy's contour lines of heatmaps.

Made with OpenCV 5.0.0, contourpy 1.3.3, PyTorch 2.15.0, NumPy 2.4.6; seed 29. Usage: python make_shapes.py

  <map>.heat            (H, W) in [0, 1]
  <map>.box             (4, 5): for the thresholds 0.15, 0.3, 0.7 and Otsu's x, y, width, height of the box
                        around the largest 8-connected component, and the threshold as a fraction
  <map>.contour.<level> (N, 2): every point (x, y) at which a contour line crosses a grid line
"""
from pathlib import Path

import contourpy
import cv2
import numpy as np
import torch
from safetensors.numpy import save_file

rng = np.random.default_rng(29)
out = {}


def heat(values, size):
    """Resized and scaled to [0, 1], as f32."""
    x = torch.from_numpy(np.maximum(values, 0).astype(np.float32))[None, None]
    x = torch.nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()
    x = x - x.min()
    return x / x.max()


def box(warm):
    """The box around the largest component, which must be the only one of its size."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(warm.astype(np.uint8), connectivity=8)
    parts = sorted(stats[1:], key=lambda part: -part[cv2.CC_STAT_AREA])
    assert len(parts) == 1 or parts[0][cv2.CC_STAT_AREA] > parts[1][cv2.CC_STAT_AREA]
    return [float(v) for v in parts[0][:4]]


maps = {"noise": heat(rng.normal(0, 1, (8, 8)), (47, 61)), "blobs": heat(rng.normal(-0.6, 1, (7, 7)), (64, 64)),
        "wide": heat(rng.normal(0, 1, (2, 9)), (12, 90))}
for name, values in maps.items():
    out[f"{name}.heat"] = values
    boxes = [box(values >= np.float32(share)) + [share] for share in (0.15, 0.3, 0.7)]
    gray = np.uint8(255 * values)
    level, warm = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    boxes.append(box(warm) + [(level + 1) / 255])
    out[f"{name}.box"] = np.array(boxes, np.float32)
    for level in (0.25, 0.5, 0.75):
        lines = contourpy.contour_generator(z=values.astype(np.float64)).lines(level)
        points = np.concatenate(lines).astype(np.float32)
        out[f"{name}.contour.{level}"] = np.unique(points, axis=0)

save_file(out, Path(__file__).with_name("shapes.safetensors"))
