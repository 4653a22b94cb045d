"""Writes the colormaps, 256 RGB byte triples per file: <name>.rgb.

Made with matplotlib 3.11.2 (`bytes=True`, so the values that matplotlib itself draws) and
OpenCV 5.0.0 (jet). Usage: python make_colormaps.py
"""
from pathlib import Path

import cv2
import matplotlib
import numpy as np

here = Path(__file__).parent
steps = np.arange(256, dtype=np.uint8)

for name in ["viridis", "turbo", "inferno", "magma", "cividis", "RdBu_r"]:
    table = matplotlib.colormaps[name](steps.astype(int), bytes=True)[:, :3]
    (here / f"{name.lower()}.rgb").write_bytes(table.astype(np.uint8).tobytes())

jet = cv2.applyColorMap(steps.reshape(1, 256), cv2.COLORMAP_JET)[0, :, ::-1]
(here / "jet.rgb").write_bytes(np.ascontiguousarray(jet).tobytes())

# As captum and torchcam draw them with matplotlib, whose gray is not exactly 0, 1, 2 ...
red_white_green = matplotlib.colors.LinearSegmentedColormap.from_list("RdWhGn", ["red", "white", "green"])
tables = {"jet_matplotlib": "jet", "gray_matplotlib": "gray", "greens": "Greens", "red_white_green": red_white_green}
for name, colors in tables.items():
    table = matplotlib.colormaps.get_cmap(colors)(steps.astype(int), bytes=True)[:, :3]
    (here / f"{name}.rgb").write_bytes(table.astype(np.uint8).tobytes())
