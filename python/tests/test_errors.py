"""Wrong arguments: an exception of the right class with one line, and a model that is usable afterwards."""

from __future__ import annotations

import copy
import pickle

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
        ({"max_memory": np.zeros((9, 9))}, TypeError, "max_memory of type ndarray"),
        ({"max_memory": 1e9}, TypeError, "max_memory of type float: expected a number of bytes"),
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
        # What has no order, or is no list of numbers.
        ({"exits": {1, 2}}, TypeError, "exits of type set: expected whole numbers"),
        ({"exits": {1: 2}}, TypeError, "exits of type dict: expected whole numbers"),
        ({"exits": b"\x01\x02"}, TypeError, "exits of type bytes: expected whole numbers"),
        ({"exits": bytearray(b"\x01")}, TypeError, "exits of type bytearray"),
        ({"exits": iter([1])}, TypeError, "exits of type list_iterator"),
        ({"exits": np.array([1.0])}, TypeError, "exits of type ndarray: expected whole numbers"),
        ({"exits": np.array(1.5)}, TypeError, "exits of type float64: expected whole numbers"),
        ({"exits": np.array([[1]])}, TypeError, "exits of type ndarray: expected whole numbers"),
        ({"target": {1}}, TypeError, "target of type set: expected a class for each image"),
        ({"target": {1: 2}}, TypeError, "target of type dict: expected a class for each image"),
        ({"target": b"\x01"}, TypeError, "target of type bytes: expected a class for each image"),
        ({"target": memoryview(b"\x01")}, TypeError, "target of type memoryview"),
        ({"target": iter([1])}, TypeError, "target of type list_iterator"),
        ({"target": np.array([[1]])}, TypeError, "target: a class of type ndarray"),
        ({"target": True}, TypeError, "target of type bool"),
        ({"method": {"grad-cam", "layer-cam"}}, TypeError, "method of type set: expected a name or a list of names"),
        ({"method": b"cam"}, TypeError, "method of type bytes"),
        ({"tap": {"exit1"}}, TypeError, "tap of type set"),
        # What is no text.
        ({"method": "\ud800"}, ValueError, r"method '\ud800': not a text of Unicode"),
        ({"method": ["\ud800"]}, ValueError, r"method '\ud800': not a text of Unicode"),
        ({"target": "\ud800"}, ValueError, r"target '\ud800': not a text of Unicode"),
        ({"target": ["\ud800"]}, ValueError, r"class '\ud800': not a text of Unicode"),
        ({"tap": "\ud800"}, ValueError, r"tap '\ud800': not a text of Unicode"),
        ({"score": "\ud800"}, ValueError, r"score '\ud800': not a text of Unicode"),
    ],
)
def test_a_request_that_cannot_be_met(model, options, error, message):
    with pytest.raises(error) as caught:
        model.explain(CHELSEA, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert type(caught.value) is error
    assert len(model.explain(CHELSEA, exits=1)) == 1


def test_sequences_and_arrays_are_requests(model):
    expected = model.explain(CHELSEA, exits=[1, 3], target=[5])
    for exits in ((1, 3), range(1, 4, 2), np.array([1, 3]), np.array([1, 3], np.uint8), [np.int64(1), np.array(3)[()]]):
        for target in ((5,), range(5, 6), np.array([5]), ["5"], np.array(["dog"])):
            assert (model.explain(CHELSEA, exits=exits, target=target).heat == expected.heat).all()
    one = model.explain(CHELSEA, exits=1, target=5)
    assert (model.explain(CHELSEA, exits=np.array(1), target=np.array(5)).heat == one.heat).all()
    p = model.classify(CHELSEA, early_exit=np.float32(0.5))
    for early_exit in (np.array(0.5), [0.5] * 10, np.full(10, 0.5), tuple([0.5] * 10)):
        assert (model.classify(CHELSEA, early_exit=early_exit).exit == p.exit).all()
    for early_exit in ({0.5}, b"1234567890", "0.5"):
        with pytest.raises(TypeError, match="early_exit of type"):
            model.classify(CHELSEA, early_exit=early_exit)


class Path:
    """A path that gives anything."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return self.path


def test_paths_that_no_file_can_have(model):
    calls = (model.explain, model.classify, model.prepare, model.evaluate, msdcam.load, model.explain(CHELSEA).strip().save)
    for path in ("\ud800", Path("\ud800"), Path("a\ud800.png")):
        for call in (*calls, lambda path: model.explain([path]), lambda path: msdcam.load(labels=path)):
            with pytest.raises(ValueError, match="path .*ud800.*: not a name that a file can have") as caught:
                call(path)
            assert type(caught.value) is ValueError and str(caught.value).isprintable()
    # A path of bytes is that of its name.
    whole = model.explain(CHELSEA, exits=1)
    assert (model.explain(Path(str(CHELSEA).encode()), exits=1).heat == whole.heat).all()
    for call in (model.explain, model.evaluate, msdcam.load):
        with pytest.raises(FileNotFoundError, match="missing"):
            call(Path(b"missing"))


def test_labels_are_names(model):
    names = list("abcdefghij")
    assert msdcam.load(device="cpu", labels=names).labels == tuple(names)
    for labels, error in ((set(names), TypeError), (dict.fromkeys(names), TypeError), (b"abcdefghij", TypeError)):
        with pytest.raises(error, match="labels of type"):
            msdcam.load(device="cpu", labels=labels)
    with pytest.raises(ValueError, match="not a text of Unicode"):
        msdcam.load(device="cpu", labels=[*names[:9], "\ud800"])


def test_pictures_of_what_is_not_there(model):
    r = model.explain(CHELSEA, method="grad-cam,guided-backprop", exits=[2, 4])
    for options, error, message in (
        ({"method": 0}, TypeError, "method of type int: expected a name"),
        ({"method": b"grad-cam"}, TypeError, "method of type bytes"),
        ({"tap": 0}, TypeError, "tap of type int"),
        ({"method": "guided-backprop", "tap": "nope"}, KeyError, "guided-backprop at nope: a pixel method has no taps"),
        ({"method": "guided-backprop", "tap": "own"}, KeyError, "a pixel method has no taps"),
        ({"tap": "nope"}, KeyError, "grad-cam at nope"),
        ({"image": "0"}, TypeError, "image of type str"),
        ({"image": 0.0}, TypeError, "image of type float"),
        ({"exit": "2"}, TypeError, "exit of type str"),
        ({"exit": 2.0}, TypeError, "exit of type float"),
        ({"scale": np.zeros(2)}, TypeError, "scale of type ndarray"),
        ({"boxes": True}, TypeError, "boxes of type bool: expected a number"),
        ({"boxes": [0.5]}, TypeError, "boxes of type list"),
        ({"boxes": "a\nb"}, ValueError, "a"),
        ({"boxes": "\ud800"}, ValueError, "not a text of Unicode"),
        ({"contours": "0.5"}, TypeError, "contours of type str: expected numbers"),
        ({"contours": {0.5, 0.2}}, TypeError, "contours of type set: expected numbers"),
        ({"contours": True}, TypeError, "contours of type bool"),
    ):
        with pytest.raises(error, match=message) as caught:
            r.overlay(**options)
        assert "\n" not in str(caught.value)
    for contours in (np.float32(0.5), np.array(0.5), [0.5], np.array([0.5]), (0.5,), np.float64(0.5)):
        assert (r.overlay(contours=contours).pixels == r.overlay(contours=0.5).pixels).all()
    for field, classes in (("predicted", r.predicted), ("target", r.target)):
        for wrong in (-1, 10):
            kept = classes.copy()
            classes[...] = wrong
            for call in (r.overlay, r.strip):
                with pytest.raises(IndexError, match=f"{field}: class {wrong}: the network has classes 0 to 9"):
                    call()
            classes[...] = kept


def test_the_target_of_a_metric(model):
    images = np.stack([model.prepare(CHELSEA)] * 2)
    few = {"exits": 1, "skip": ["curves", "road"]}
    for target in (True, [1], [1, 2], 1.5, b"cat", {1}):
        with pytest.raises(TypeError, match=f"target of type {type(target).__name__}: expected a name or a class"):
            model.faithfulness(images, target=target, **few)
    expected = model.faithfulness(images, target="cat", **few)
    for target in (3, np.int64(3), np.array(3), "3"):
        assert model.faithfulness(images, target=target, **few) == expected
    assert model.faithfulness(images, target=None, **few) == model.faithfulness(images, target="predicted", **few)
    with pytest.raises(IndexError, match="class 10"):
        model.faithfulness(images, target=10, **few)


def test_arguments_for_files_are_refused_for_images(model):
    images = np.stack([model.prepare(CHELSEA)] * 2)
    calls = [
        lambda **options: model.evaluate(images, [3, 3], **options),
        lambda **options: model.evaluate([CHELSEA], [3], **options),
        lambda **options: model.faithfulness(images, exits=1, skip="curves,road", **options),
    ]
    for call in calls:
        for options in ({"limit": 1}, {"format": "cifar10"}, {"format": "nonsense"}, {"labels_by": "name"}):
            (name,) = options
            with pytest.raises(ValueError, match=f"{name}: is for folders and files of a set, not for given images"):
                call(**options)
        for options in ({"labels_by": 7}, {"format": None}, {"limit": "x"}):
            with pytest.raises(TypeError, match="of type"):
                call(**options)
        assert call(format="auto", labels_by="auto", limit=None)["images"] in (1, 2)


def test_file_errors_are_the_same_after_a_pickle(model, tmp_path):
    for path in (tmp_path / "missing.png", tmp_path):
        with pytest.raises(msdcam.FileError) as caught:
            model.explain(path)
        error = caught.value
        assert error.filename == str(path)
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(again) is type(error) and str(again) == str(error) and again.args == error.args
            assert (again.filename, again.errno) == (error.filename, error.errno)


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
