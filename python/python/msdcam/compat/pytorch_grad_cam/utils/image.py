"""Pictures and preparation, as in ``pytorch_grad_cam.utils.image``, without OpenCV."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...scaling import scale_cam_image

__all__ = ["COLORMAP_JET", "deprocess_image", "preprocess_image", "scale_cam_image", "show_cam_on_image"]

COLORMAP_JET = 2
"""OpenCV's number of the color map."""


def show_cam_on_image(
    img: NDArray[Any],
    mask: NDArray[Any],
    use_rgb: bool = False,
    colormap: int = COLORMAP_JET,
    image_weight: float = 0.5,
) -> NDArray[Any]:
    """A heatmap over an image, uint8 (H, W, 3), to the pixel as pytorch-grad-cam draws it.

    Args:
        img: float32 (H, W, 3) in [0, 1].
        mask: heatmap (H, W) in [0, 1].
        use_rgb: the order of the color map's channels; OpenCV's BGR by default.
        colormap: OpenCV's number; others than ``COLORMAP_JET`` need OpenCV.
        image_weight: share of the image in the sum, from 0 to 1.

    Raises:
        ValueError: if an argument is outside of its range or the sizes differ.
    """
    img, mask = np.asarray(img), np.asarray(mask)
    if mask.ndim != 2 or img.shape != (*mask.shape, 3):
        raise ValueError(f"img: shape {img.shape}, mask: shape {mask.shape}; expected (H, W, 3) and (H, W)")
    if img.max(initial=0) > 1:
        raise ValueError(f"img: maximum {img.max()}, expected floating-point numbers in [0, 1]")
    if not 0 <= image_weight <= 1:
        raise ValueError(f"image_weight: {image_weight}, expected 0 to 1")
    heatmap = _colors((255 * mask).astype(np.uint8), colormap)
    if not use_rgb:
        heatmap = heatmap[..., ::-1]
    cam = (1 - image_weight) * (np.float32(heatmap) / 255) + image_weight * img
    return np.asarray(255 * (cam / np.max(cam)), np.uint8)


def preprocess_image(
    img: NDArray[Any], mean: Sequence[float] = (0.5, 0.5, 0.5), std: Sequence[float] = (0.5, 0.5, 0.5)
) -> Any:
    """One image as a batch (1, 3, H, W), normalized.

    Args:
        img: (H, W, 3), floating-point in [0, 1] or uint8.

    Returns:
        a tensor where the script has imported PyTorch, otherwise an array.
    """
    img = np.asarray(img)
    if img.ndim != 3 or img.shape[2] != 3:
        raise ValueError(f"img: shape {img.shape}, expected (H, W, 3)")
    if img.dtype == np.uint8:
        img = img.astype(np.float32) / 255
    scaled = (img - np.asarray(mean, img.dtype)) / np.asarray(std, img.dtype)
    batch = np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])
    torch = sys.modules.get("torch")
    return batch if torch is None else torch.from_numpy(batch)


def deprocess_image(img: NDArray[Any]) -> NDArray[Any]:
    """A gradient as a picture: mean gray, a tenth of the range for one standard deviation, uint8."""
    img = img - np.mean(img)
    img = img / (np.std(img) + 1e-5)
    img = img * 0.1 + 0.5
    return np.asarray(np.clip(img, 0, 1) * 255, np.uint8)


def _colors(levels: NDArray[Any], colormap: int) -> NDArray[Any]:
    """RGB colors (..., 3) of levels from 0 to 255."""
    if colormap == COLORMAP_JET:
        return np.asarray(_jet()[levels])
    try:
        import cv2  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise NotImplementedError(f"colormap: {colormap} needs OpenCV (pip install opencv-python-headless)") from None
    return np.asarray(cv2.applyColorMap(levels, colormap))[..., ::-1]


def _jet() -> NDArray[Any]:
    """OpenCV's jet, uint8 (256, 3) in RGB."""
    i = np.arange(256)
    table = np.stack(
        [
            np.minimum(4 * i - 382, 1148 - 4 * i),
            np.minimum(4 * i - 128, 892 - 4 * i),
            np.minimum(4 * i + 128, 638 - 4 * i),
        ],
        axis=1,
    )
    # The one entry of OpenCV's table that is not on its lines.
    table[159, 2] = 1
    return np.asarray(np.clip(table, 0, 255), np.uint8)
