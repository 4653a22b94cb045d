"""Threads: the GIL is free during a computation, one object serves many threads, and Ctrl-C is heard."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import CHELSEA, run_python

import msdcam

# Noise has maps without positive evidence.
pytestmark = pytest.mark.filterwarnings("ignore::msdcam.MsdcamWarning")


def test_another_thread_runs_during_a_call():
    model = msdcam.load(device="cpu", threads=1)
    images = np.random.default_rng(0).normal(size=(100, 3, 32, 32)).astype(np.float32)
    done, count = threading.Event(), [0]

    def counter():
        while not done.is_set():
            count[0] += 1

    thread = threading.Thread(target=counter)
    thread.start()
    time.sleep(0.05)
    before = count[0]
    model.classify(images)
    during = count[0] - before
    done.set()
    thread.join()
    # A counter that waits for the GIL gets no step in; one that runs gets millions a second.
    assert during > 10_000, during


def test_threads_share_an_object(model):
    images = np.random.default_rng(1).normal(size=(8, 6, 3, 32, 32)).astype(np.float32)
    alone = [model.explain(batch) for batch in images]

    def work(i):
        for _ in range(3):
            r = model.explain(images[i])
            assert (r.heat == alone[i].heat).all() and (r.logits == alone[i].logits).all()
            p = model.classify(images[i], early_exit=0.5 + i / 20)
            assert (p.logits[:, 0] == alone[i].logits[:, 0]).all()
        return i

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))


def test_threads_with_different_requests_share_an_object():
    model = msdcam.load(device="cpu", threads=2)
    methods = ["grad-cam", "layer-cam", "hires-cam", "eigen-cam", "xgrad-cam", "guided-backprop"]
    alone = {method: model.explain(CHELSEA, method=method, exits=2) for method in methods}

    def work(i):
        method = methods[i % len(methods)]
        r = model.explain(CHELSEA, method=method, exits=2)
        if method == "guided-backprop":
            return (r.pixels[method] == alone[method].pixels[method]).all()
        return (r.heat == alone[method].heat).all()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(24)))


INTERRUPTED = """
import os, signal, threading, time, warnings, numpy as np, msdcam
warnings.simplefilter("ignore", msdcam.MsdcamWarning)
# Shells have background jobs ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
model = msdcam.load(device="cpu", threads=2)
images = np.random.default_rng(0).standard_normal(size=(20_000, 3, 32, 32), dtype=np.float32)
few = images[:5]
expected = model.explain(few)
def interrupted(call, after=0.3):
    "The seconds until Ctrl-C ends a call."
    threading.Timer(after, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    start = time.perf_counter()
    try:
        call()
    except KeyboardInterrupt:
        return time.perf_counter() - start
    raise SystemExit("not interrupted")
def usable():
    r = model.explain(few)
    return (r.heat == expected.heat).all() and (r.logits == expected.logits).all() and len(model.classify(few)) == 5
"""


@pytest.mark.alarm(120)
def test_ctrl_c_ends_long_calls():
    done = run_python(f"""{INTERRUPTED}
for call in (
    lambda: model.explain(images),
    lambda: model.explain(images, exits=[1, 10], method="layer-cam"),
    lambda: model.explain(images, exits=10, method="score-cam"),
    lambda: model.classify(images),
    lambda: model.classify(images, early_exit=0.99),
    lambda: model.evaluate(images, [0] * len(images)),
    lambda: model.faithfulness(images, exits=10),
    lambda: model.explain([{str(CHELSEA)!r}] * 20_000),
):
    elapsed = interrupted(call)
    assert elapsed < 20, elapsed
    assert usable()
""")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.alarm(120)
def test_ctrl_c_is_heard_while_another_thread_computes():
    done = run_python(f"""{INTERRUPTED}
start = time.perf_counter()
model.explain(images[:50])
# About two seconds of work.
count = int(100 / (time.perf_counter() - start))
worker = threading.Thread(target=lambda: model.explain(images[:count]))
worker.start()
time.sleep(0.2)
interrupted(lambda: model.explain(few))
assert worker.is_alive(), "the worker was to be at work"
worker.join()
assert usable()
""")
    assert done.returncode == 0, done.stderr


@pytest.mark.alarm(120)
def test_ctrl_c_is_heard_within_a_batch_of_a_metric():
    done = run_python(f"""{INTERRUPTED}
few_metrics = dict(skip=["curves", "road", "coherency"])
for after, call in (
    (1.0, lambda: model.faithfulness(images[:300])),
    (1.0, lambda: model.faithfulness(images[:300], exits=10, method="smooth-grad", **few_metrics)),
    (4.0, lambda: model.faithfulness(images[:300], exits=10, randomize=300, **few_metrics)),
    (2.0, lambda: model.faithfulness(images[:16], randomize=16, **few_metrics)),
):
    elapsed = interrupted(call, after) - after
    assert elapsed < 4, elapsed
    assert usable()
""")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


#: A signal handler that uses the model while the same thread computes with it; what it gets is in `found`.
HANDLER = """
import gc, signal, sys, warnings, numpy as np, msdcam
warnings.simplefilter("ignore", msdcam.MsdcamWarning)
model, other = msdcam.load(device="cpu", threads=1), msdcam.load(device="cpu", threads=1)
images = np.zeros((300, 3, 32, 32), np.float32)
few = images[:1]
expected = model.classify(few).logits
found = []
def work(use):
    try:
        found.append(use().logits.shape)
    except RuntimeError as error:
        found.append(str(error))
def during(call, handler):
    "The results of a call that a handler interrupts."
    found.clear()
    signal.signal(signal.SIGALRM, lambda *_: handler())
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        return call()
    finally:
        assert signal.setitimer(signal.ITIMER_REAL, 0) == (0.0, 0.0), "the call was too short"
def usable():
    return (model.classify(few).logits == expected).all()
"""
IN_USE = "the model is in use by this thread: a signal handler or finalizer cannot call it"


@pytest.mark.alarm(120)
def test_a_signal_handler_that_uses_the_model_gets_an_error_and_not_a_hang():
    done = run_python(f"""{HANDLER}
for call in (
    lambda: model.classify(images),
    lambda: model.classify(images, early_exit=1.0),
    lambda: model.explain(images),
    lambda: model.evaluate(images, [0] * len(images)),
):
    assert len(during(call, lambda: [work(lambda: model.classify(few)), work(lambda: model.explain(few))])) > 0
    assert len(found) == 2 and all(str(text).startswith({IN_USE!r}) for text in found), found
    # Another model is free.
    during(call, lambda: work(lambda: other.classify(few)))
    assert found == [(1, 10, 10)], found
    try:
        during(call, lambda: model.classify(few))
        raise SystemExit("the error of the handler is lost")
    except RuntimeError as error:
        assert str(error).startswith({IN_USE!r}), error
    assert usable()
""")
    assert done.returncode == 0, done.stderr


@pytest.mark.alarm(60)
def test_a_finalizer_that_uses_the_model_gets_an_error_and_not_a_hang():
    done = run_python(f"""{HANDLER}
raised = []
sys.unraisablehook = lambda about: raised.append(str(about.exc_value))
class Kept:
    def __init__(self):
        self.own = self
    def __del__(self):
        model.classify(few)
def collect():
    Kept()
    gc.collect()
during(lambda: model.classify(images), collect)
assert len(raised) == 1 and raised[0].startswith({IN_USE!r}), raised
collect()
assert len(raised) == 1 and usable()
""")
    assert done.returncode == 0, done.stderr


@pytest.mark.alarm(60)
def test_a_handler_of_a_thread_that_waits_for_the_model_waits_too():
    done = run_python(f"""{HANDLER}
import threading, time
worker = threading.Thread(target=lambda: model.explain(images))
worker.start()
time.sleep(0.1)
during(lambda: model.classify(few), lambda: work(lambda: model.classify(few)))
worker.join()
assert found == [(1, 10, 10)] and usable(), found
""")
    assert done.returncode == 0, done.stderr
