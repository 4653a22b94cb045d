"""Predictions: the result of ``Model.classify``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Predictions"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions of N images at E exits, for K classes.

    With early exit an image stops at the first exit whose confidence reaches the threshold, and later exits are not
    computed: their logits and probabilities are NaN.
    """

    exit: NDArray[np.int64]
    """(N,): the exit at which each image stopped, from 1; without early exit, the last one."""
    predicted: NDArray[np.int64]
    """(N,): the class that this exit predicts, from 0."""
    confidence: NDArray[np.float32]
    """(N,): its probability."""
    logits: NDArray[np.float32]
    """(N, E, K): class scores before the softmax."""
    probabilities: NDArray[np.float32]
    """(N, E, K)."""
    multiply_adds: NDArray[np.int64]
    """(N,): multiply-adds of each image, up to the exit at which it stopped."""
    exits: tuple[int, ...]
    """The E exits, from 1."""
    labels: tuple[str, ...]
    """The names of the K classes."""

    def __len__(self) -> int:
        return len(self.exit)

    @property
    def names(self) -> list[str]:
        """The predicted class of each image by name: N strings."""
        return [self.labels[index] for index in self.predicted]

    def to_dict(self) -> dict[str, NDArray[np.generic]]:
        """The arrays by name, each with one row an image, as Ray and Arrow take them."""
        return {
            "exit": self.exit,
            "predicted": self.predicted,
            "confidence": self.confidence,
            "logits": self.logits,
            "probabilities": self.probabilities,
            "multiply_adds": self.multiply_adds,
        }

    def __repr__(self) -> str:
        return f"<msdcam.Predictions of {len(self)} images at exits {list(self.exits)}>"
