"""Evaluation and faithfulness over sets of images, against the command line's JSON."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from conftest import CHELSEA, PHOTOS, ROOT

import msdcam

TIMES = ("milliseconds", "milliseconds_all", "same_predictions")


def without_times(value):
    """A report without what differs from run to run, or is not in the package's."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES}
    if isinstance(value, list):
        return [without_times(item) for item in value]
    return value


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Fourteen photos in the folders of two classes."""
    folder = tmp_path_factory.mktemp("set")
    names = ["orientation_1.png", "orientation_3.jpg", "orientation_5.webp", "noise.png", "blocks.png"]
    found = [*PHOTOS, *(ROOT / "tests/golden/images" / name for name in names)]
    for i, photo in enumerate(found):
        for label in ("cat", "dog")[: 1 + i % 2]:
            (folder / label).mkdir(exist_ok=True)
            shutil.copy(photo, folder / label / f"{i:02}{photo.suffix}")
    return folder


def test_evaluation_has_the_numbers_of_the_command_line(model, photos, program):
    # Few exits: the command line also measures the time of each.
    common = ["evaluate", photos, "--json", "-q", "--device", "cpu", "--threads", 2, "--exits", "2,10"]
    for option, value, keyword in [("--early-exit", "0.5", {"early_exit": 0.5}), ("--budget", "90M", {"budget": 90e6})]:
        done = program(*common, option, value)
        assert done.returncode == 0, done.stderr
        expected = without_times(json.loads(done.stdout))
        found = model.evaluate(photos, exits=[2, 10], **keyword)
        assert expected.pop("weights") == "built-in"
        expected.pop("source_sha256", None)
        assert found == expected
    assert len(found["exits"]) == 2 and found["images"] == 13


def test_evaluation_of_arrays(model, photos):
    files = model.evaluate(photos, exits=[1, 10])
    paths = sorted(photos.glob("*/*"))
    labels = [path.parent.name for path in paths]
    for images in (paths, np.stack([model.prepare(path) for path in paths])):
        found = model.evaluate(images, labels, exits=[1, 10])
        for key in ("images", "classes", "exits", "hardness", "budgeted", "failed"):
            assert found[key] == files[key], key
    with pytest.raises(ValueError, match="labels: 1 classes for 13 images"):
        model.evaluate(paths, ["cat"])
    with pytest.raises(ValueError, match="labels"):
        model.evaluate(np.zeros((1, 3, 32, 32), np.float32))
    with pytest.raises(ValueError, match="no images"):
        model.evaluate(np.zeros((0, 3, 32, 32), np.float32), [])


def test_images_that_cannot_be_used_are_left_out_with_a_warning(model, photos, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(photos, folder)
    (folder / "cat" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.warns(msdcam.MsdcamWarning, match=r"1 image was left out: .*bad\.png"):
        found = model.evaluate(folder)
    assert found["failed"] == 1 and found["images"] == 13
    only = tmp_path / "only" / "cat"
    only.mkdir(parents=True)
    (only / "bad.png").write_bytes(b"")
    with pytest.raises(msdcam.FileError, match="none of 1 can be used"):
        model.evaluate(only.parent)


def test_sets_that_are_none(model, photos, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(msdcam.FileError):
        model.evaluate(tmp_path / "empty")
    with pytest.raises(msdcam.FileError, match="labels"):
        model.evaluate(CHELSEA)
    with pytest.raises(msdcam.FileError):
        model.evaluate(tmp_path / "missing")
    for options in ({"format": "coco"}, {"labels_by": "luck"}, {"limit": 0}, {"budget": 5}, {"early_exit": 2}):
        with pytest.raises(ValueError):
            model.evaluate(photos, **options)
    with pytest.raises(ValueError, match="give one"):
        model.evaluate(photos, early_exit=0.5, budget=60e6)


def test_faithfulness_has_the_numbers_of_the_command_line(model, photos, program):
    options = ["--exits", "2,10", "--method", "grad-cam,layer-cam", "--steps", 4, "--percentiles", "20,80"]
    options += ["--limit", 6, "--randomize", 2]
    done = program("faithfulness", photos, "--json", "-q", "--device", "cpu", "--threads", 2, *options)
    assert done.returncode == 0, done.stderr
    expected = json.loads(done.stdout)
    found = model.faithfulness(
        photos, exits=[2, 10], method="grad-cam,layer-cam", steps=4, percentiles=[20, 80], limit=6, randomize=2
    )
    assert found["rows"] == expected["rows"] and found["randomisation"] == expected["randomisation"]
    assert found["images"] == expected["about"]["images"] == 6


def test_faithfulness_of_arrays(model, photos):
    paths = sorted(photos.glob("*/*"))[:3]
    quick = {"exits": 10, "skip": ["curves", "road", "coherency"]}
    files = model.faithfulness([str(path) for path in paths], **quick)
    arrays = model.faithfulness(np.stack([model.prepare(path) for path in paths]), **quick)
    assert files["rows"] == arrays["rows"]
    labeled = model.faithfulness(paths, ["cat", 3, "CAT"], target="label", **quick)
    assert labeled["rows"] == model.faithfulness(paths, target="cat", **quick)["rows"]
    for options in ({"skip": "all"}, {"ties": "x"}, {"mask_space": "x"}, {"baseline": "x"}, {"target": "top2"}):
        with pytest.raises(ValueError):
            model.faithfulness(paths, **{**quick, **options})
    with pytest.raises(ValueError):
        model.faithfulness(paths, exits=10, percentiles=[0, 200])
