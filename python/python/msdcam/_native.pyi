"""Types of the native part."""

import os
from collections.abc import Sequence
from typing import Any, TypedDict, final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Network", "__version__", "encode", "main", "methods"]

__version__: str

class _Layer(TypedDict):
    method: str
    column: str
    heat: NDArray[np.float32]
    status: NDArray[np.uint8]
    cams: list[NDArray[np.float32]]
    taps: list[str]

class _Pixels(TypedDict):
    method: str
    values: NDArray[np.float32]
    status: NDArray[np.uint8]

class _Explained(TypedDict):
    exits: list[int]
    is_ranked: bool
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    predicted: NDArray[np.int64]
    target: NDArray[np.int64]
    score: NDArray[np.float32]
    layers: list[_Layer]
    pixels: list[_Pixels]

class _Classified(TypedDict):
    exits: list[int]
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    stopped: NDArray[np.int64]
    multiply_adds: list[int]

class _Info(TypedDict):
    labels: list[str]
    input_shape: tuple[int, int, int]
    mean: list[float]
    std: list[float]
    fit: str
    device: str
    threads: int
    gpu_error: str | None
    notes: list[str]
    taps: list[tuple[str, int, int, int, list[int]]]
    exits: list[tuple[int, str, list[str], int, int]]

@final
class Network:
    def __new__(
        cls,
        path: str | os.PathLike[str] | None,
        device: str,
        threads: int,
        file: dict[str, Any],
    ) -> Network: ...
    def info(self) -> _Info: ...
    def description(self) -> str: ...
    def prepare(self, photo: str | NDArray[np.uint8]) -> NDArray[np.float32]: ...
    def explain(
        self,
        tensor: NDArray[np.float32] | None,
        photos: Sequence[str | NDArray[np.uint8]] | None,
        request: dict[str, Any],
        labels: Sequence[int],
        batch: int | None,
    ) -> _Explained: ...
    def classify(
        self,
        tensor: NDArray[np.float32] | None,
        photos: Sequence[str | NDArray[np.uint8]] | None,
        exits: Sequence[int] | None,
        thresholds: Sequence[float | None] | None,
        batch: int | None,
    ) -> _Classified: ...
    def evaluate(
        self,
        files: dict[str, Any] | None,
        tensor: NDArray[np.float32] | None,
        photos: Sequence[str | NDArray[np.uint8]] | None,
        labels: Sequence[int],
        exits: Sequence[int] | None,
        thresholds: Sequence[float | None] | None,
        budget: float | None,
        batch: int,
    ) -> tuple[str, list[str]]: ...
    def faithfulness(
        self,
        files: dict[str, Any] | None,
        tensor: NDArray[np.float32] | None,
        photos: Sequence[str | NDArray[np.uint8]] | None,
        labels: Sequence[int],
        settings: dict[str, Any],
    ) -> tuple[str, list[str]]: ...
    def draw(
        self,
        tensor: NDArray[np.float32] | None,
        photo: str | NDArray[np.uint8] | None,
        request: dict[str, Any],
        exits: Sequence[int],
        layer: dict[str, Any],
        style: dict[str, Any],
        exit: int | None,
        title: str,
    ) -> NDArray[np.uint8]: ...
    def _panic(self) -> None: ...

def encode(pixels: NDArray[np.uint8], format: str, quality: int = 95) -> bytes: ...
def main(arguments: Sequence[str]) -> int: ...
def methods() -> tuple[list[str], list[str]]: ...
