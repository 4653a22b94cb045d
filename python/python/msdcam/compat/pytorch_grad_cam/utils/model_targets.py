"""Targets: the score of a class that is explained.

Those of pytorch-grad-cam itself are accepted as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import arrays


class ClassifierOutputTarget:
    """The logit of a class."""

    def __init__(self, category: int) -> None:
        self.category = category

    def __call__(self, model_output: Any) -> Any:
        """The class's element of logits (classes) or column of logits (N, classes)."""
        return model_output[..., self.category]


class ClassifierOutputSoftmaxTarget:
    """The probability of a class."""

    def __init__(self, category: int) -> None:
        self.category = category

    def __call__(self, model_output: Any) -> Any:
        """The class's probability for logits (classes) or (N, classes)."""
        logits = arrays.to_numpy(model_output)
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares = powers[..., self.category] / powers.sum(axis=-1)
        return arrays.like(np.asarray(shares), model_output)
