"""What the tests share: the repository's photos and models, and the built-in network on the CPU."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import msdcam

ROOT = Path(__file__).resolve().parents[2]
CHELSEA = ROOT / "weights/samples/chelsea.png"
#: Four photos of different sizes and formats.
PHOTOS = [CHELSEA, *(ROOT / "tests/golden/images" / name for name in ("noise.png", "grey.jpg", "alpha.webp"))]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alarm(seconds): the most that a test may take")


@pytest.fixture(autouse=True)
def alarm(request: pytest.FixtureRequest) -> Iterator[None]:
    """Ends a test that hangs, which is how most of these would fail."""
    marker = request.node.get_closest_marker("alarm")
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(marker.args[0] if marker else 300)
    yield
    signal.alarm(0)


def _too_long(*_: Any) -> None:
    raise TimeoutError("the test takes too long")


@pytest.fixture(scope="session")
def model() -> msdcam.Model:
    """The built-in network on two threads of the CPU."""
    return msdcam.load(device="cpu", threads=2)


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """The results of the article's own code for four images: see tests/golden/README.md."""
    return read_safetensors(ROOT / "tests/golden/default.safetensors")


@pytest.fixture(scope="session")
def program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line of the package."""

    def run(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "msdcam", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=240, **options)

    return run


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            kind = {"F32": np.float32, "I64": np.int64, "U8": np.uint8, "F64": np.float64}[entry["dtype"]]
            arrays[name] = np.frombuffer(data[begin:end], kind).reshape(entry["shape"])
    return arrays


def close(found: np.ndarray, expected: np.ndarray, share: float = 1e-4) -> None:
    """Asserts that two arrays differ by no more than a share of the largest magnitude; NaN is a difference."""
    assert found.shape == expected.shape
    largest = np.abs(expected).max()
    assert np.abs(found - expected).max() <= share * largest


def run_python(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs ``code`` in a fresh interpreter."""
    environment = {**os.environ, **options.pop("env", {})}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=options.pop("timeout", 120), env=environment, **options
    )
