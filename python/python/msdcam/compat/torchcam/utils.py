"""Pictures, as in ``torchcam.utils``; needs Pillow and Matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np


def overlay_mask(img: Any, mask: Any, colormap: Any = "jet", alpha: float = 0.7) -> Any:
    """A map over an image, both of Pillow: an RGB image of the size of ``img``.

    Args:
        img: an RGB or grayscale image.
        mask: the map, of mode F with values in [0, 1]; resized bicubically and squared.
        colormap: name of a color map of Matplotlib, or one.
        alpha: opacity of the image, from 0 up to but without 1.
    """
    from matplotlib import colormaps  # type: ignore[import-not-found,unused-ignore]
    from PIL import Image

    if not isinstance(img, Image.Image) or not isinstance(mask, Image.Image):
        raise TypeError(f"img, mask: {type(img).__name__}, {type(mask).__name__}; expected images of Pillow")
    if not isinstance(alpha, float) or not 0 <= alpha < 1:
        raise ValueError(f"alpha: {alpha!r}, expected a floating-point number from 0 to 1")
    if len(img.getbands()) not in (1, 3):
        raise ValueError(f"img: mode {img.mode}, expected an RGB or grayscale image")
    levels = np.asarray(mask.resize(img.size, resample=Image.Resampling.BICUBIC)) ** 2
    colors = colormaps.get_cmap(colormap)(levels, bytes=True)[..., :3]
    return Image.blend(Image.fromarray(colors), img.convert("RGB"), alpha)
