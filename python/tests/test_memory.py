"""Memory over many calls. ``MSDCAM_CALLS=10000 pytest python/tests/test_memory.py`` is the long form."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CHELSEA, run_python

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


LIMITED = f"""
import resource, warnings, numpy as np, msdcam
warnings.simplefilter("ignore", msdcam.MsdcamWarning)
model = msdcam.load(device="cpu", threads=1)
r = model.explain({str(CHELSEA)!r}, exits=[1, 10])
photo = np.zeros((12000, 12000, 3), np.uint8)
picture = msdcam.Picture(photo[:4096, :4096])
def limited(mebibytes, call):
    "What comes of a call with so much memory more than there is now."
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + (mebibytes << 20), before[1]))
    try:
        call()
        return "done"
    except MemoryError as error:
        assert str(error).isprintable(), error
        return "refused"
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
"""


@needs_proc
def test_memory_that_the_system_refuses_is_an_error():
    # Where a call ends the process, nothing is printed.
    done = run_python(f"""{LIMITED}
for call in (
    lambda: model.prepare(photo),
    lambda: model.explain([photo, photo], exits=1),
    lambda: r.overlay(size=4096),
    lambda: r.overlay(size=4096, contours=[0.2, 0.5], boxes="15%", scale="shared"),
    lambda: r.overlay(size=4096, style="pytorch-grad-cam"),
    lambda: r.overlay(size=4096, style="article"),
    lambda: picture.encode(),
    lambda: picture.encode("jpeg"),
):
    found = [limited(mebibytes, call) for mebibytes in (30, 100, 150, 250, 500, 700, 1500)]
    assert found[0] == "refused" and found[-1] == "done" and found == sorted(found, reverse=True), found
assert len(model.explain({str(CHELSEA)!r})) == 1
print("all")
""")
    assert done.stdout == "all\n", done.stderr
