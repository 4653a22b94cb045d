"""Results against PyTorch's stored ones, and against the files of the command line, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import PHOTOS, ROOT, close, read_safetensors

import msdcam


def test_every_exit_agrees_with_the_article_s_code(model, golden):
    r = model.explain(golden["input"])
    assert r.heat.shape == (4, 10, 32, 32) and r.cam.shape == (4, 10, 8, 8)
    for e, exit in enumerate(r.exits):
        close(r.logits[:, e], golden[f"logits.{exit}"])
        close(r.cam[:, e], golden[f"cam.{exit}"])
        assert np.abs(r.heat[:, e] - golden[f"heat.{exit}"]).max() < 1e-3
        assert (r.predicted[:, e] == golden[f"class.{exit}"]).all()


def test_methods_agree_with_pytorch_grad_cam(model, golden):
    truth = read_safetensors(ROOT / "tests/golden/methods.safetensors")
    methods = [name for name in msdcam.CAM_METHODS if f"default/10/exit10/{name}" in truth]
    assert len(methods) >= 10
    r = model.explain(golden["input"][:1], exits=10, method=methods, target=int(truth["default/10/class"][0]))
    for method in methods:
        # The stored maps are those before the ReLU.
        expected = np.maximum(truth[f"default/10/exit10/{method}"], 0)
        close(r[method].cam[:, 0], expected)


@pytest.fixture(scope="module")
def written(tmp_path_factory, program):
    """The archives that the command line writes of four photos."""
    folder = tmp_path_factory.mktemp("explain")
    options = ["--device", "cpu", "--threads", 2, "--method", "grad-cam,layer-cam,guided-backprop"]
    done = program("explain", *PHOTOS, "-o", folder, *options)
    assert done.returncode == 0, done.stderr
    return folder


def test_arrays_have_the_bits_of_the_command_line_s_archives(model, written):
    r = model.explain(PHOTOS, method=["grad-cam", "layer-cam", "guided-backprop"])
    for i, photo in enumerate(PHOTOS):
        with np.load(written / f"{photo.stem}.npz") as archive:
            for method in ("grad-cam", "layer-cam"):
                assert (r[method].heat[i] == archive[f"heatmap.{method}"]).all()
                assert (r[method].cam[i] == archive[f"cam.{method}"]).all()
            assert (r.pixels["guided-backprop"][i] == archive["pixels.guided-backprop"]).all()
            assert (r.logits[i] == archive["logits"]).all()
            assert (r.score[i] == archive["score"]).all()
            assert (r.predicted[i] == archive["class"]).all() and (r.target[i] == archive["target"]).all()
            assert r.exits == tuple(archive["exit"])
            assert [r.taps] == [tuple(archive["tap"][:, 0])]


def test_pictures_have_the_pixels_of_the_command_line_s(model, written):
    image = pytest.importorskip("PIL.Image", reason="skipped: pixels of pictures: no Pillow")
    r = model.explain(PHOTOS, method=["grad-cam", "layer-cam", "guided-backprop"])
    for i, photo in enumerate(PHOTOS):
        for method, name in [("grad-cam", "cam"), ("layer-cam", "layer-cam"), ("guided-backprop", "guided-backprop")]:
            overlay = np.asarray(image.open(written / f"{photo.stem}_exit07_{name}.png"))
            assert (r.overlay(i, exit=7, method=method).pixels == overlay).all()
            suffix = "strip" if name == "cam" else f"strip_{name}"
            strip = np.asarray(image.open(written / f"{photo.stem}_{suffix}.png"))
            assert (r.strip(i, method=method).pixels == strip).all()


def test_results_do_not_depend_on_the_batch(model, golden):
    images = np.concatenate([golden["input"]] * 3)
    whole = model.explain(images)
    for batch_size in (1, 5, 64):
        r = model.explain(images, batch_size=batch_size)
        assert (r.heat == whole.heat).all() and (r.logits == whole.logits).all()
    single = model.explain(images[2])
    assert (single.heat[0] == whole.heat[2]).all()


def test_classes_are_those_of_the_explanation_and_of_the_command_line(model, golden, program):
    images = golden["input"]
    r, p = model.explain(images), model.classify(images)
    assert (p.logits == r.logits).all() and (p.probabilities == r.probabilities).all()
    assert (p.exit == 10).all() and (p.predicted == r.predicted[:, -1]).all()
    assert (p.confidence == r.confidence[:, -1]).all()
    done = program("classify", PHOTOS[0], "--json", "--device", "cpu")
    assert model.labels[model.classify(PHOTOS[0]).predicted[0]] in done.stdout


def test_early_exit_stops_and_computes_no_more(model, golden):
    images = np.concatenate([golden["input"]] * 4)
    full = model.classify(images)
    early = model.classify(images, early_exit=0.6)
    reached = full.probabilities.max(axis=2) >= 0.6
    first = np.where(reached.any(axis=1), reached.argmax(axis=1), 9)
    assert (early.exit == first + 1).all() and len(set(early.exit)) > 1
    for i, last in enumerate(first):
        assert (early.logits[i, : last + 1] == full.logits[i, : last + 1]).all()
        assert np.isnan(early.logits[i, last + 1 :]).all()
        assert early.confidence[i] == full.probabilities[i, last].max()
        # Layers that only later exits need are not counted.
        assert 0 < early.multiply_adds[i] <= model.exits[last].multiply_adds
    order = np.argsort(early.exit, kind="stable")
    assert (np.diff(early.multiply_adds[order]) >= 0).all()
    assert (early.multiply_adds < full.multiply_adds)[early.exit < 10].all()
    some = model.classify(images, exits=[1, 10], early_exit=[0.9, None])
    assert set(some.exit) <= {1, 10}


def test_targets_are_classes_names_and_lists(model, golden):
    images = golden["input"]
    cat = model.explain(images, target="cat")
    for target in (3, "3", "CAT", np.int64(3), [3, 3, 3, 3], ["cat"] * 4, np.array([3, 3, 3, 3])):
        r = model.explain(images, target=target)
        assert (r.target == 3).all() and (r.heat == cat.heat).all()
    final = model.explain(images, target="final")
    assert (final.target == final.predicted[:, -1:]).all()
    mixed = model.explain(images, target=[0, 3, 5, 9])
    for i, target in enumerate([0, 3, 5, 9]):
        assert (mixed.heat[i] == model.explain(images[i], target=target).heat[0]).all()


def test_several_targets_have_a_dimension_of_their_own(model, golden):
    r = model.explain(golden["input"], exits=[1, 10], target="top3")
    assert r.heat.shape == (4, 2, 3, 32, 32) and r.cam.shape == (4, 2, 3, 8, 8)
    assert r.target.shape == r.score.shape == r.status.shape == (4, 2, 3)
    assert (r.target[..., 0] == r.predicted).all()
    one = model.explain(golden["input"], exits=[1, 10])
    assert (r.heat[:, :, 0] == one.heat).all()
    assert r.strip(0, rank=2).pixels.ndim == 3
    assert model.explain(golden["input"], target="top1").heat.shape == (4, 10, 1, 32, 32)
    assert r.top(3)[1][0][0][0] == r.labels[r.predicted[1, 0]]


def test_taps_and_fusion(model, golden):
    r = model.explain(golden["input"], tap="all-scales", fuse="mean", exits=[2, 10])
    assert [maps.tap for maps in r.maps] == ["fused", "scale1", "scale2", "scale3"]
    assert r.heat.shape == (4, 2, 32, 32) and r["grad-cam", "scale1"].cam.shape == (4, 2, 32, 32)
    with pytest.raises(ValueError, match="no size in common"):
        r.cam
    named = model.explain(golden["input"], tap=["exit10"], exits=10)
    assert (named.heat == model.explain(golden["input"], exits=10).heat).all()
    assert r.strip(0).pixels.shape[2] == r.strip(0, tap="scale2").pixels.shape[2] == 3


def test_pixel_methods_alone(model, golden):
    r = model.explain(golden["input"], method="guided-backprop,input-gradient", exits=[3])
    assert r.methods == ("guided-backprop", "input-gradient")
    assert r.pixels["input-gradient"].shape == (4, 1, 3, 32, 32)
    assert (r.pixel_status["input-gradient"] == "ok").all()
    with pytest.raises(ValueError, match="no CAM method"):
        r.heat
    assert r.overlay(0).pixels.shape == (512, 512, 3)


def test_other_models(program, tmp_path):
    weights = tmp_path / "net.safetensors"
    done = program("convert", ROOT / "tests/golden/nets/blocks-transition-last.pth", "-o", weights)
    assert done.returncode == 0, done.stderr
    small = msdcam.load(weights, device="cpu", threads=1, labels=["a", "b", "c", "d", "e", "f", "g"][:7])
    assert small.path == str(weights) and len(small.labels) == 7
    r = small.explain(PHOTOS[0])
    assert r.heat.shape == (1, len(small.exits), *small.input_shape[1:])
    onnx = msdcam.load(ROOT / "fuzz/corpus/onnx/good.onnx", device="cpu", threads=1)
    assert onnx.notes
    r = onnx.explain(PHOTOS[0])
    assert r.heat.shape[0] == 1 and np.isfinite(r.heat).all()
