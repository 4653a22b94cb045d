"""Pictures: saved, shown in a notebook, and used as arrays."""

from __future__ import annotations

import base64
import os
import pickle
import re
import shutil
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import pytest
from conftest import CHELSEA

import msdcam


@pytest.fixture(scope="module")
def result(model):
    return model.explain([CHELSEA] * 10)


def test_a_picture_is_an_array_and_a_file(result, tmp_path):
    picture = result.overlay(0, exit=3, size=64)
    assert picture.shape == (64, 64, 3) and picture.pixels.dtype == np.uint8
    assert np.shares_memory(np.asarray(picture), picture.pixels)
    assert (np.array(picture) == picture.pixels).all() and not np.shares_memory(np.array(picture), picture.pixels)
    assert np.asarray(picture, dtype=float).dtype == float
    png, jpeg = tmp_path / "a.png", tmp_path / "a.JPG"
    picture.save(png)
    picture.save(jpeg, quality=60)
    assert png.read_bytes() == picture._repr_png_() and png.read_bytes()[:4] == b"\x89PNG"
    assert jpeg.read_bytes()[:2] == b"\xff\xd8"
    image = pytest.importorskip("PIL.Image", reason="skipped: Pillow's images: no Pillow")
    assert (np.asarray(image.open(png)) == picture.pixels).all()
    for made in (picture.to_pil(), image.fromarray(picture)):
        assert made.mode == "RGB" and (np.asarray(made) == picture.pixels).all()


def test_options_change_the_picture(result):
    plain = result.overlay(0).pixels
    for options in (
        {"colormap": "viridis"},
        {"heat_alpha": 0.2},
        {"scale": "shared", "exit": 2},
        {"contours": [0.25, 0.5]},
        {"contours": 0.5},
        {"boxes": "15%"},
        {"boxes": 0.5},
        {"boxes": "otsu"},
        {"style": "torchcam"},
        {"style": "pytorch-grad-cam"},
        {"exit": 1},
    ):
        picture = result.overlay(0, **options).pixels
        assert picture.shape == plain.shape and (picture != plain).any(), options
    assert result.strip(0, scale="shared").shape == result.strip(0).shape


def test_a_prepared_image_is_drawn_too(model):
    r = model.explain(model.prepare(CHELSEA))
    strip = r.strip()
    # The same maps; the photo is what the network sees.
    assert strip.shape == model.explain(CHELSEA).strip().shape
    assert (r.overlay(0, heat_alpha=0.0).pixels.std(axis=(0, 1)) > 5).all()


def test_maps_without_information_are_drawn_as_such(model):
    with pytest.warns(msdcam.MsdcamWarning):
        r = model.explain(np.zeros((1, 3, 32, 32), np.float32), method="gradient-x-input")
    assert r.overlay(0).pixels.shape == (512, 512, 3)


def test_a_notebook_shows_the_film_strips(result):
    html = result._repr_html_()
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert len(images) == 8 and "and 2 more images" in html
    assert base64.b64decode(images[0]) == result.strip(0).encode("png")
    assert "<msdcam" not in html and repr(result).startswith("<msdcam.Explanation of 10 images")


def test_show_displays_in_a_notebook_and_otherwise_opens_a_viewer(result, monkeypatch):
    opened, displayed = [], []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    result.show()
    assert len(opened) == 1 and opened[0].endswith(".png")
    notebook = types.ModuleType("IPython")
    notebook.get_ipython = lambda: object()
    display = types.ModuleType("IPython.display")
    display.Image = lambda data: ("image", data)
    display.display = displayed.append
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    result.overlay(0).show()
    assert displayed == [("image", result.overlay(0).encode("png"))] and len(opened) == 1
    monkeypatch.delitem(sys.modules, "IPython")
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    before = set(os.listdir(tempfile.gettempdir()))
    with pytest.raises(RuntimeError, match="save the picture"):
        result.show()
    left = set(os.listdir(tempfile.gettempdir())) - before
    assert not [name for name in left if name.startswith("msdcam-")]


# What is done after the call


def test_pictures_are_of_the_photo_that_was_explained(model, tmp_path, monkeypatch):
    other = CHELSEA.parents[2] / "tests/golden/images/noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    prepared = model.prepare(CHELSEA)
    whole = np.stack([pixels, pixels[::-1]])
    for given in (pixels, whole, prepared, prepared[None].copy(), [prepared], [pixels, whole[1]], [str(CHELSEA), pixels]):
        r = model.explain(given, exits=[1])
        before = [r.overlay(i, size=64).pixels for i in range(len(r))]
        for array in given if isinstance(given, list) else [given]:
            if isinstance(array, np.ndarray):
                kept = array.copy()
                array[...] = 0
        assert all((r.overlay(i, size=64).pixels == picture).all() for i, picture in enumerate(before))
        pixels[...] = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
        whole[...] = np.stack([pixels, pixels[::-1]])
        prepared[...] = model.prepare(CHELSEA)
        assert kept.shape
    # A file by its name in the working directory of the call.
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, photo in ((here, CHELSEA), (there, other)):
        folder.mkdir()
        shutil.copy(photo, folder / "photo.png")
    monkeypatch.chdir(here)
    for given in ("photo.png", Path("photo.png"), ["photo.png"], "../here/photo.png"):
        r = model.explain(given, exits=[1])
        before = r.overlay(0, size=64).pixels
        monkeypatch.chdir(there)
        assert (r.overlay(0, size=64).pixels == before).all()
        assert (pickle.loads(pickle.dumps(r)).overlay(0, size=64).pixels == before).all()
        monkeypatch.chdir(here)
    with pytest.raises(msdcam.FileError, match=r"^missing\.png: "):
        model.explain("missing.png")


def test_what_is_fresh_is_not_copied_again():
    from msdcam import _inputs

    shape = (3, 32, 32)
    own = np.zeros((2, *shape), np.float32)
    for value, is_copied in ((own, True), (list(own), False), (own.astype(float), False), (own[:, :, ::-1], False)):
        given = _inputs.images(value, shape)
        kept = _inputs.sources(given, value)
        assert (kept is not given.tensor) == is_copied
        assert not any(np.shares_memory(kept, array) for array in (own, value))


# Names


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"a\nb.png", b"\x1b[31m.png", "é\u202e.png".encode()])
def test_photos_and_models_of_any_name(model, tmp_path, name):
    path = os.path.join(tmp_path, os.fsdecode(name))
    shutil.copy(CHELSEA, path)
    for given in (path, [path], Path(path), Bytes(os.fsencode(path))):
        r = model.explain(given, exits=[1])
        assert r.strip(0).shape == r.strip(0, scale="shared").shape and r.overlay(0, size=64).shape == (64, 64, 3)
        assert "<img" in r._repr_html_()
    net = path.replace(".png", ".safetensors")
    shutil.copy(CHELSEA.parents[1] / "cifar10/msdnet_cifar10.safetensors", net)
    loaded = msdcam.load(net, device="cpu", threads=1)
    assert repr(loaded).isprintable() and repr(loaded).encode()
    assert len(loaded.explain(path, exits=1)) == 1
    picture = model.explain(CHELSEA, exits=[1]).overlay(0, size=64)
    picture.save(path)
    assert open(path, "rb").read() == picture.encode("png")
    with pytest.raises(ValueError) as caught:
        picture.save(path + ".gif")
    assert str(caught.value).isprintable()


class Bytes:
    """A path of bytes."""

    def __init__(self, path: bytes) -> None:
        self.path = path

    def __fspath__(self) -> bytes:
        return self.path


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda picture: picture.encode("a\nb"), ValueError, r"format 'a\\nb': there are png, jpeg"),
        (lambda picture: picture.encode(3), TypeError, "format of type int"),
        (lambda picture: picture.encode("jpeg", quality=1000), ValueError, "quality 1000: expected 1 to 100"),
        (lambda picture: picture.encode("jpeg", quality=-1), ValueError, "quality -1: expected 1 to 100"),
        (lambda picture: picture.encode("jpeg", quality=1 << 80), ValueError, "expected 1 to 100"),
        (lambda picture: picture.encode("jpeg", quality="x"), TypeError, "quality of type str"),
        (lambda picture: picture.save("x.png", quality=0), ValueError, "quality 0"),
        (lambda picture: picture.save("a\nb.gif"), ValueError, r"a\\nb\.gif: expected a name"),
        (lambda picture: picture.save(b"x.gif"), ValueError, r"x\.gif"),
        (lambda _: msdcam.Picture(np.zeros((2, 2, 3), np.float32)), TypeError, "picture of float32: expected uint8"),
        (lambda _: msdcam.Picture(np.zeros((2, 2), np.uint8)), ValueError, r"picture of shape \(2, 2\)"),
        (lambda _: msdcam.Picture([[1]]), TypeError, "picture of type list"),
    ],
)
def test_pictures_that_cannot_be_are_errors_of_one_line(result, call, error, message):
    picture = result.overlay(0, exit=1, size=64)
    with pytest.raises(error, match=message) as caught:
        call(picture)
    assert str(caught.value).isprintable()


def test_a_picture_of_a_part_is_encoded_too(result):
    picture = result.overlay(0, exit=1, size=64)
    assert msdcam.Picture(picture.pixels[:, ::2]).encode() == msdcam.Picture(picture.pixels[:, ::2].copy()).encode()


def test_copies_that_are_ruled_out_are_errors(result):
    for array in (result, result.overlay(0, exit=1, size=64)):
        kept = np.asarray(array)
        with pytest.raises(ValueError):
            array.__array__("f8", copy=False)
        assert array.__array__(kept.dtype, copy=False).dtype == kept.dtype
        assert array.__array__("f8").dtype == float and array.__array__(copy=True) is not kept
        if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
            with pytest.raises(ValueError):
                np.array(array, dtype="f8", copy=False)
            assert np.shares_memory(np.array(array, copy=False), kept)
