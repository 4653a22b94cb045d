"""Wrong arguments: an exception of the right class with one line, and a model that is usable afterwards."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import CHELSEA, ROOT

import msdcam


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"exits": 11}, IndexError, "exit 11: the network has exits 1 to 10"),
        ({"exits": [0]}, IndexError, "exit 0: the network has exits 1 to 10"),
        ({"exits": -1}, IndexError, "exit -1: the network has exits 1 to 10"),
        ({"exits": []}, ValueError, "no exit requested"),
        ({"exits": [3, 2]}, ValueError, "exit 2 after exit 3"),
        ({"exits": "3"}, TypeError, "exits of type str"),
        ({"exits": 1.5}, TypeError, "exits of type float"),
        ({"exits": [True]}, TypeError, "exits of type list"),
        ({"method": "gradcam"}, ValueError, "method 'gradcam': there are grad-cam, "),
        ({"method": []}, ValueError, "no method"),
        ({"method": 3}, TypeError, "method of type int"),
        ({"method": ["grad-cam", "grad-cam"]}, ValueError, "grad-cam"),
        ({"method": "cam"}, ValueError, "cam"),
        ({"target": 10}, IndexError, "class 10: the network has classes 0 to 9"),
        ({"target": -1}, IndexError, "class -1: the network has classes 0 to 9"),
        ({"target": "tiger"}, ValueError, "class 'tiger': the network has airplane, "),
        ({"target": [1, 2]}, ValueError, "target: 2 classes for 1 images"),
        ({"target": []}, ValueError, "target: 0 classes for 1 images"),
        ({"target": [10]}, IndexError, "class 10"),
        ({"target": ["tiger"]}, ValueError, "class 'tiger'"),
        ({"target": [1.5]}, TypeError, "class of type float"),
        ({"target": 1.5}, TypeError, "target of type float"),
        ({"target": "label"}, ValueError, "target: 0 classes for 1 images"),
        ({"target": "top0"}, ValueError, "top 0"),
        ({"target": "top11"}, ValueError, "top 11"),
        ({"tap": "layer99"}, ValueError, "tap 'layer99': the network has exit1"),
        ({"tap": "exit10", "exits": 1}, ValueError, "does not reach"),
        ({"tap": ["exit1", "exit1"]}, ValueError, "exit1"),
        ({"score": "loss"}, ValueError, "score 'loss': there are logit, "),
        ({"fuse": "mean"}, ValueError, "needs several taps"),
        ({"fuse": "sum", "tap": "all-scales"}, ValueError, "'sum'"),
        ({"smooth": "blur"}, ValueError, "smoothing 'blur'"),
        ({"method": "smooth-grad", "samples": 0}, ValueError, "0"),
        ({"method": "smooth-grad", "noise": float("nan")}, ValueError, "NaN"),
        ({"baseline": "grey"}, ValueError, "baseline 'grey': there are zero, black, white"),
        ({"steps": -1}, ValueError, "steps -1"),
        ({"seed": "x"}, TypeError, "seed of type str"),
        ({"max_memory": "lots"}, ValueError, "max_memory 'lots'"),
        ({"max_memory": 1000, "method": "ablation-cam"}, ValueError, "ablation-cam: one image takes"),
        ({"batch_size": 0}, ValueError, "batch_size 0"),
        ({"batch_size": 1.5}, TypeError, "batch_size of type float"),
        ({"batch_size": 1 << 70}, ValueError, "batch_size 1180591620717411303424: expected at most"),
        ({"exits": 1 << 70}, IndexError, "exit 1180591620717411303424"),
        ({"target": 1 << 70}, IndexError, "class 1180591620717411303424"),
        ({"score": 3}, TypeError, "score of type int: expected a name"),
        ({"fuse": 3}, TypeError, "fuse of type int"),
        ({"smooth": None}, TypeError, "smooth of type NoneType"),
        ({"baseline": 0}, TypeError, "baseline of type int"),
        ({"noise": "x"}, TypeError, "noise of type str: expected a number"),
        ({"noise": 10**400}, ValueError, "noise"),
    ],
)
def test_a_request_that_cannot_be_met(model, options, error, message):
    with pytest.raises(error) as caught:
        model.explain(CHELSEA, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert len(model.explain(CHELSEA, exits=1)) == 1


def test_early_exit_needs_confidences(model):
    for early_exit, error in [(0, ValueError), (1.5, ValueError), ([0.5], ValueError), ("x", TypeError)]:
        with pytest.raises(error):
            model.classify(CHELSEA, early_exit=early_exit)
    with pytest.raises(ValueError, match="early_exit NaN|above 0"):
        model.classify(CHELSEA, early_exit=float("nan"))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"device": "tpu"}, ValueError, "device 'tpu'"),
        ({"device": 0}, TypeError, "device of type int"),
        ({"fit": 1}, TypeError, "fit of type int"),
        ({"input_size": "x"}, TypeError, "input_size of type str"),
        ({"input_size": [3]}, ValueError, "input_size (3,)"),
        ({"input_size": 0}, ValueError, "input_size 0"),
        ({"normalize": 3}, TypeError, "normalize of type int"),
        ({"normalize": ((1, 2, 3),)}, ValueError, "normalize: expected three"),
        ({"labels": 3}, TypeError, "labels of type int"),
        ({"path": 3}, TypeError, "int"),
        ({"device": "cuda:x"}, ValueError, "device 'cuda:x'"),
        ({"threads": -1}, ValueError, "threads -1"),
        ({"threads": 1 << 20}, ValueError, "threads"),
        ({"labels": ["a"]}, ValueError, "labels: 1 names, the network has 10 classes"),
        ({"normalize": "imagenet"}, ValueError, "ONNX"),
        ({"fit": "squash"}, ValueError, "fit 'squash'"),
    ],
)
def test_a_model_that_cannot_be_loaded_so(options, error, message):
    with pytest.raises(error) as caught:
        msdcam.load(**options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_no_model(tmp_path):
    empty = tmp_path / "empty.onnx"
    empty.write_bytes(b"")
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes((ROOT / "weights/cifar10/msdnet_cifar10.safetensors").read_bytes()[:100_000])
    checkpoint = ROOT / "tests/golden/nets/blocks-even.pth"
    for path in (empty, truncated, checkpoint, CHELSEA, tmp_path, ROOT / "fuzz/corpus/onnx/cycle.onnx"):
        with pytest.raises(msdcam.FileError) as caught:
            msdcam.load(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError) as caught:
        msdcam.load(tmp_path / "missing.onnx")
    assert caught.value.filename == str(tmp_path / "missing.onnx")
    with pytest.raises(ValueError, match="normalize 'x'"):
        msdcam.load(ROOT / "fuzz/corpus/onnx/good.onnx", normalize="x")


def test_a_device_that_is_not_there():
    with pytest.raises(msdcam.DeviceError) as caught:
        msdcam.load(device="cuda:99")
    assert isinstance(caught.value, RuntimeError) and "\n" not in str(caught.value)


def test_results_that_were_not_asked_for(model):
    r = model.explain(CHELSEA, method="grad-cam,guided-backprop", exits=[2, 4])
    for key in ("layer-cam", ("grad-cam", "scale1"), "guided-backprop"):
        with pytest.raises(KeyError):
            r[key]
    for key in (1.5, np.array([0]), (0, 1), None, ("grad-cam", "own", "x")):
        with pytest.raises(TypeError, match="key of type"):
            r[key]
    assert len(list(r)) == 1 and (r["grad-cam", "own"].heat == r[-1].heat).all()
    for wrong in (lambda: r[1], lambda: r.overlay(1), lambda: r.overlay(0, exit=3), lambda: r.strip(0, rank=1)):
        with pytest.raises(IndexError):
            wrong()
    for options in ({"colormap": "pink"}, {"heat_alpha": 2}, {"size": 4}, {"contours": 3}, {"boxes": "x"}):
        with pytest.raises(ValueError):
            r.overlay(0, **options)
    for options in ({"colormap": 1}, {"heat_alpha": "x"}, {"style": 1}, {"contours": ["x"]}, {"size": "x"}):
        with pytest.raises(TypeError, match="of type"):
            r.overlay(0, **options)
    with pytest.raises(ValueError, match="sets its own colormap"):
        r.strip(0, style="torchcam", colormap="jet")
    with pytest.raises(ValueError, match="scale"):
        r.strip(0, scale="log")
    with pytest.raises(KeyError):
        r.overlay(0, method="layer-cam")
    with pytest.raises(ValueError, match="ends in"):
        r.overlay(0).save("a.gif")


def test_a_panic_is_an_exception_and_the_object_says_so():
    broken = msdcam.load(device="cpu", threads=2)
    broken.explain(CHELSEA)
    with pytest.raises(RuntimeError, match="internal error: asked for by a test .*please report"):
        broken._native._panic()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="after a panic, load it again: asked for by a test"):
            broken.explain(CHELSEA)
    assert len(msdcam.load(device="cpu", threads=2).explain(CHELSEA)) == 1


def test_the_native_part_checks_what_it_is_given(model):
    native = model._native
    request = {"exits": None}
    with pytest.raises((TypeError, KeyError, ValueError)):
        native.explain(None, None, request, [], None)
    strided = np.zeros((2, 3, 32, 64), np.float32)[..., ::2]
    with pytest.raises(ValueError, match="contiguous"):
        native.classify(strided, None, None, None, None)
    with pytest.raises(ValueError):
        native.classify(None, None, None, None, None)
    with pytest.raises(ValueError):
        native.classify(np.zeros((1, 3, 8, 8), np.float32), None, None, None, None)
    with pytest.raises((TypeError, ValueError)):
        msdcam._native.encode(np.zeros((2, 2, 4), np.uint8), "png")
    with pytest.raises(ValueError):
        msdcam._native.encode(np.zeros((2, 2, 3), np.uint8), "bmp")
