"""Scaling of activation maps as pytorch-grad-cam and torchcam do it, in NumPy.

Both subtract a map's minimum and divide by its maximum plus a small number, which differs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def resize(image: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Bilinear resize of (..., h, w) to (..., height, width), float32.

    Pixel centers are at half integers, edges are repeated, nothing is smoothed when the image
    becomes smaller: ``cv2.resize`` with ``INTER_LINEAR``, and ``torch.nn.functional.interpolate``
    with ``mode="bilinear", align_corners=False``.
    """

    def positions(size: int, target: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        at = np.clip((np.arange(target) + 0.5) * (size / target) - 0.5, 0, size - 1)
        low = np.floor(at).astype(np.intp)
        return low, np.minimum(low + 1, size - 1), (at - low).astype(np.float32)

    image = np.asarray(image, np.float32)
    if image.shape[-2:] == (height, width):
        return image
    low, high, share = positions(image.shape[-1], width)
    image = image[..., low] * (1 - share) + image[..., high] * share
    low, high, share = positions(image.shape[-2], height)
    share = share[:, None]
    return np.asarray(image[..., low, :] * (1 - share) + image[..., high, :] * share)


def scale_cam_image(cam: NDArray[Any], target_size: tuple[int, int] | None = None) -> NDArray[Any]:
    """Maps (N, h, w), each scaled to [0, 1], then resized to ``target_size`` = (width, height).

    ``pytorch_grad_cam.utils.image.scale_cam_image``: the maximum plus 1e-7.
    """
    cam = np.asarray(cam)
    if cam.ndim != 3:
        raise ValueError(f"cam: shape {cam.shape}, expected (N, h, w)")
    if not np.issubdtype(cam.dtype, np.floating):
        cam = cam.astype(np.float32)
    cam = _to_unit_range(cam, 1e-7)
    return cam if target_size is None else resize(cam, target_size[1], target_size[0])


def normalize(cams: NDArray[Any]) -> NDArray[Any]:
    """Maps (N, h, w), each scaled to [0, 1] as torchcam does: the maximum plus 1e-8."""
    return _to_unit_range(cams, 1e-8)


def _to_unit_range(cams: NDArray[Any], epsilon: float) -> NDArray[Any]:
    """Maps (N, h, w), each less its minimum and divided by its maximum plus ``epsilon``, float32."""
    cams = cams - cams.min(axis=(1, 2), keepdims=True, initial=np.inf)
    cams = cams / (cams.max(axis=(1, 2), keepdims=True, initial=-np.inf) + epsilon)
    return cams.astype(np.float32)
