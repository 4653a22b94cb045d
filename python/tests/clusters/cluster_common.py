"""Images and recipes of docs/clusters.md, and the comparison with one process, for the tests of Ray, Dask and Spark."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
IMAGES = int(os.environ.get("MSDCAM_CLUSTER_IMAGES", "200"))
CIFAR = Path(os.environ.get("MSDCAM_CIFAR10", ROOT.parent / "shared" / "cifar10" / "test_batch.bin"))


def photos(count: int) -> np.ndarray:
    """Images (N, 32, 32, 3) of uint8: CIFAR-10's test images where they are, else blobs from a seed."""
    if CIFAR.is_file():
        records = np.fromfile(CIFAR, np.uint8, count * 3073).reshape(-1, 3073)
        return np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    coarse = np.random.default_rng(22).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def recipe(name: str) -> str:
    """The Python code behind ``<!-- recipe: NAME -->`` in docs/clusters.md."""
    text = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- recipe: {name} -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found, name
    return found[1]


def assert_same(found: dict[str, np.ndarray], answers: dict[str, np.ndarray], names: list[str]) -> None:
    """Whether every image is there once, and its results are those of one process, bit for bit."""
    order = np.argsort(found["id"])
    assert np.array_equal(found["id"][order], np.arange(len(answers["predicted"])))
    for name in names:
        mine, theirs = np.asarray(found[name])[order], answers[name]
        assert mine.dtype == theirs.dtype and mine.shape == theirs.shape, (name, mine.dtype, mine.shape)
        assert mine.tobytes() == theirs.tobytes(), name
