"""Memory over many calls. ``MSDCAM_CALLS=10000 pytest python/tests/test_memory.py`` is the long form."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CHELSEA

import msdcam

CALLS = int(os.environ.get("MSDCAM_CALLS", "500"))


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="skipped: memory of the process: no /proc")


@needs_proc
def test_nothing_grows_over_many_calls(model):
    image = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)

    def calls(count: int) -> None:
        for i in range(count):
            model.explain(image, exits=1 + i % 2)
            model.classify(image, exits=1)
            if i % 10 == 0:
                with pytest.raises(IndexError):
                    model.explain(image, exits=11)
                with pytest.raises(msdcam.FileError):
                    model.explain("missing.png")

    calls(200)
    before = resident()
    calls(CALLS)
    # A leak of one heatmap a call would be 4 KiB.
    assert resident() - before < 2000 * CALLS


@needs_proc
def test_explainers_of_old_requests_are_given_back(model):
    def requests(classes: int) -> None:
        for target in range(classes):
            model.explain(CHELSEA, exits=[1], target=target, batch_size=8)

    requests(6)
    before = resident()
    requests(10)
    requests(10)
    # Each holds a few MiB of buffers.
    assert resident() - before < 16 << 20


@needs_proc
def test_models_are_given_back():
    def loads(count: int) -> None:
        for _ in range(count):
            msdcam.load(device="cpu", threads=2).explain(CHELSEA, exits=1)

    loads(3)
    before, threads = resident(), len(os.listdir("/proc/self/task"))
    loads(6)
    assert resident() - before < 32 << 20
    assert len(os.listdir("/proc/self/task")) <= threads
