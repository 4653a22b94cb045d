"""Pictures: saved, shown in a notebook, and used as arrays."""

from __future__ import annotations

import base64
import re
import sys
import types

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
    assert np.asarray(picture) is picture.pixels and np.array(picture).shape == (64, 64, 3)
    png, jpeg = tmp_path / "a.png", tmp_path / "a.JPG"
    picture.save(png)
    picture.save(jpeg, quality=60)
    assert png.read_bytes() == picture._repr_png_() and png.read_bytes()[:4] == b"\x89PNG"
    assert jpeg.read_bytes()[:2] == b"\xff\xd8"
    image = pytest.importorskip("PIL.Image", reason="skipped: Pillow's images: no Pillow")
    assert (np.asarray(image.open(png)) == picture.pixels).all()
    assert (np.asarray(picture.to_pil()) == picture.pixels).all()


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
    with pytest.raises(RuntimeError, match="save the picture"):
        result.show()
