"""Guided backpropagation with pytorch-grad-cam's arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..network import network_of


class GuidedBackpropReLUModel:
    """Guided backpropagation of one image.

    Args:
        model: as for :class:`GradCAM`.
        device: accepted, not used: the model's own.
    """

    def __init__(self, model: Any, device: Any = None) -> None:
        self.model = network_of(model)

    def __call__(self, input_img: Any, target_category: int | None = None) -> NDArray[Any]:
        """The gradient (H, W, 3) of a class's logit, by default the predicted one's, at the first image."""
        images = arrays.images(input_img, "input_img")[:1]
        chosen = None if target_category is None else arrays.class_index(target_category, "target_category")
        result = self.model.msdcam.explain(
            np.ascontiguousarray(images),
            exits=[self.model.exit],
            method="guided-backprop",
            target="predicted" if chosen is None else [chosen],
        )
        return np.asarray(result.pixels["guided-backprop"][0, 0].transpose(1, 2, 0))
