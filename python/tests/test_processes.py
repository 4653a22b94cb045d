"""Processes: forks, pickles, and pools of every start method. A hang is how these fail, so each has an alarm."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from conftest import CHELSEA, ROOT, run_python

import msdcam

#: In every child of a fork: a hang there ends the child, not the tests.
FORK = """
import os, signal, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)

def forked(work):
    "The exit code of a child that calls `work`: 0 if it returns True."
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        code = 99
        try:
            code = 0 if work() else 1
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_child_explains_whether_its_parent_did(threads, when):
    done = run_python(f"""{FORK}
import numpy as np, msdcam
photo = {str(CHELSEA)!r}
model = msdcam.load(device="cpu", threads={threads})
expected = model.explain(photo) if {when == "after"} else None
expected = msdcam.load(device="cpu", threads=1).explain(photo) if expected is None else expected
same = lambda: bool((model.explain(photo).heat == expected.heat).all())
def child():
    # A grandchild has to make its own threads too.
    return same() and same() and model.classify(photo).exit[0] == 10 and forked(same) == 0
codes = [forked(child) for _ in range(2)]
assert codes == [0, 0], codes
assert same(), "the parent goes on"
del model
""")
    assert done.returncode == 0, done.stderr


def test_a_child_explains_while_threads_of_its_parent_compute():
    done = run_python(f"""{FORK}
import threading, numpy as np, msdcam
photo = {str(CHELSEA)!r}
model = msdcam.load(device="cpu", threads=2)
expected = model.explain(photo)
stop = threading.Event()
def work():
    while not stop.is_set():
        model.explain(np.zeros((16, 3, 32, 32), np.float32), exits=1, method="eigen-cam")
workers = [threading.Thread(target=work)]
warnings.simplefilter("ignore", msdcam.MsdcamWarning)
[worker.start() for worker in workers]
codes = [forked(lambda: bool((model.explain(photo).heat == expected.heat).all())) for _ in range(3)]
stop.set()
[worker.join() for worker in workers]
assert codes == [0] * 3, codes
""")
    assert done.returncode == 0, done.stderr


def test_pickles_load_the_model_again(model, tmp_path):
    relative = os.path.relpath(ROOT / "weights/cifar10/msdnet_cifar10.safetensors")
    given = msdcam.load(relative, device="cpu", threads=1, fit="stretch", labels=list("abcdefghij"))
    again = pickle.loads(pickle.dumps(given))
    assert again is not given and os.path.isabs(again.path) and again.path == given.path
    assert (again.labels, again.fit, again.threads, again.device) == (tuple("abcdefghij"), "stretch", 1, "cpu")
    assert (again.explain(CHELSEA).heat == given.explain(CHELSEA).heat).all()
    assert (pickle.loads(pickle.dumps(model)).explain(CHELSEA).heat == model.explain(CHELSEA).heat).all()
    # A model does not change, so that it is its own copy.
    assert copy.copy(model) is model and copy.deepcopy({"a": model})["a"] is model
    gone = tmp_path / "net.safetensors"
    shutil.copy(given.path, gone)
    data = pickle.dumps(msdcam.load(gone, device="cpu"))
    gone.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(data)


def test_results_can_be_pickled(model):
    r = model.explain(CHELSEA, method="grad-cam,guided-backprop")
    again = pickle.loads(pickle.dumps(r))
    assert (again.heat == r.heat).all() and again.methods == r.methods
    assert (again.strip(0).pixels == r.strip(0).pixels).all()
    p = model.classify(CHELSEA)
    assert (pickle.loads(pickle.dumps(p)).logits == p.logits).all()


def explained(job):
    """The heatmap of a photo: the work of a pool."""
    model, photo = job
    return model.explain(photo, exits=10).heat


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.alarm(120)
def test_pools_of_processes(model, method):
    expected = model.explain(CHELSEA, exits=10).heat
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with multiprocessing.get_context(method).Pool(2) as pool:
            found = pool.map(explained, [(model, str(CHELSEA))] * 4)
    assert all((heat == expected).all() for heat in found)


@pytest.mark.alarm(280)
def test_a_forked_child_is_told_that_it_cannot_use_the_gpu(tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("skipped: CUDA in a forked child, on the stand-in driver: no g++")
    weights = tmp_path / "net.safetensors"
    command = [sys.executable, "-m", "msdcam", "convert", ROOT / "tests/golden/nets/blocks-even.pth", "-o", weights]
    subprocess.run(command, check=True, capture_output=True)
    code = f"""{FORK}
import msdcam
photo = {str(CHELSEA)!r}
model = msdcam.load({str(weights)!r}, device="cuda")
assert model.device == "cuda:0", model
cpu = msdcam.load({str(weights)!r}, device="cpu", threads=1)
r, expected = model.explain([photo] * 3), cpu.explain([photo] * 3)
assert abs(r.heat - expected.heat).max() < 1e-3 and abs(r.logits - expected.logits).max() < 1e-3
def refused():
    for attempt in (lambda: model.explain(photo), lambda: msdcam.load(device="cuda"), lambda: msdcam.load()):
        try:
            attempt()
            return False
        except msdcam.DeviceError as error:
            print(error)
            if "was forked from process" not in str(error) or chr(10) in str(error):
                return False
    # The CPU is there.
    return bool((cpu.explain(photo).heat == expected.heat[:1]).all())
assert forked(refused) == 0
assert (model.explain([photo] * 3).heat == r.heat).all(), "the parent goes on"
try:
    msdcam.load(device="cuda:7")
    raise SystemExit("there is no cuda:7")
except msdcam.DeviceError:
    pass
"""
    # The stand-in's own compiler, not the real one that the gate names.
    environment = {name: value for name, value in os.environ.items() if name not in ("MSDCAM_NVRTC", "MSDCAM_CUBIN")}
    command = [ROOT / "tests/standin/run", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=270, env=environment)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "spawn" in done.stdout


def test_numpy_is_all_that_an_import_brings():
    done = run_python("""
import sys, numpy
before = set(sys.modules)
import msdcam
new = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
assert new <= {"msdcam", "numpy"}, new
""")
    assert done.returncode == 0, done.stderr
    assert np.__version__
