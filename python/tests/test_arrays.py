"""Arrays of every kind: accepted where they are right, otherwise refused with one line; none is copied in vain."""

from __future__ import annotations

import ctypes
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import CHELSEA, ROOT

import msdcam


@pytest.fixture(scope="module")
def images(golden):
    """(4, 3, 32, 32) of float32."""
    return golden["input"].copy()


@pytest.fixture(scope="module")
def expected(model, images):
    return model.explain(images)


def same(r, expected):
    return (r.heat == expected.heat).all() and (r.logits == expected.logits).all()


def test_layouts_and_types_that_hold_the_same_numbers_give_the_same_bits(model, images, expected):
    read_only = images.copy()
    read_only.flags.writeable = False
    every_other = np.repeat(images, 2, axis=0)[::2]
    reversed_twice = images[::-1].copy()[::-1]
    unaligned = np.frombuffer(b"\0" + images.tobytes(), np.uint8)[1:].view(np.float32).reshape(images.shape)
    for given in (
        read_only,
        every_other,
        reversed_twice,
        unaligned,
        np.asfortranarray(images),
        images.astype(np.float64),
        images.astype(">f4"),
        list(images),
        tuple(images.astype(np.float64)),
        np.ma.MaskedArray(images),
    ):
        assert same(model.explain(given), expected)
    assert same(model.explain(images[1]), model.explain(images[1:2]))


def test_half_precision_is_widened(model, images):
    half = images.astype(np.float16)
    assert same(model.explain(half), model.explain(half.astype(np.float32)))


def test_inputs_are_left_as_they_are(model, images):
    before = images.copy()
    model.explain(images, method="score-cam", exits=1)
    assert (images == before).all()


def test_pixels_paths_and_pillow_images_are_the_same_photo(model):
    image = pytest.importorskip("PIL.Image", reason="skipped: Pillow's images: no Pillow")
    # Lossless formats: decoders of others round differently.
    names = ["grey16.png", "alpha.png", "grey_alpha.png", "lossless.webp"]
    photos = [CHELSEA, *(ROOT / "tests/golden/images" / name for name in names)]
    whole = model.explain(photos)
    assert len(whole) == 5
    for i, path in enumerate(photos):
        pictures = image.open(path)
        assert same(model.explain(pictures), whole[i])
        assert same(model.explain(str(path)), whole[i]) and same(model.explain([path]), whole[i])
    pixels = np.asarray(image.open(CHELSEA).convert("RGB"))
    assert same(model.explain(pixels), whole[0])
    assert same(model.explain(pixels[None]), whole[0])
    assert same(model.explain(pixels[::-1][::-1]), whole[0])
    assert same(model.explain([str(CHELSEA), pixels, image.open(CHELSEA)])[1], whole[0])
    assert (model.prepare(pixels) == model.prepare(CHELSEA)).all()
    assert same(model.explain(model.prepare(CHELSEA)), whole[0])


def pillow_images(image, folder):
    """Images of every mode with a transparent color, each also as a file where PNG has its kind."""
    levels = np.arange(40 * 48).reshape(40, 48)
    rows, columns = np.indices(levels.shape) // 8 * 8
    colors = np.stack([rows, columns, 255 - columns], axis=2).astype(np.uint8)
    gray = image.fromarray((levels % 256).astype(np.uint8))
    palette = image.fromarray(colors).quantize(16)
    kinds = {
        "1": (image.fromarray(levels % 3 == 0), [0]),
        "L": (gray, [0, 7, 200]),
        "P": (palette, [0, 3, bytes(range(0, 256, 17))]),
        "RGB": (image.fromarray(colors), [(16, 16, 239), (0, 24, 231)]),
        "I;16": (image.fromarray((rows * 1300).astype(np.uint16)), [0, 8 * 1300]),
        "I": (image.fromarray((rows * 1300).astype(np.int32)), [0, 8 * 1300]),
    }
    for mode, (picture, transparent) in kinds.items():
        assert picture.mode == mode
        for number, color in enumerate(transparent):
            path = folder / f"{mode.partition(';')[0]}{len(mode)}-{number}.png"
            # Pillow has no PNG of mode I.
            kinds["I;16" if mode == "I" else mode][0].save(path, transparency=color)
            yield picture, color, path


def test_a_transparent_color_is_the_same_from_a_file_and_from_pillow(model, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="skipped: Pillow's images: no Pillow")
    # Of the network's size nothing is resized: every pixel counts.
    size = model.input_shape[1:][::-1]
    for picture, color, path in pillow_images(image, tmp_path):
        whole = model.prepare(path)
        assert (model.prepare(image.open(path)) == whole).all(), path.name
        told = picture.copy()
        told.info["transparency"] = color
        assert (model.prepare(told) == whole).all(), path.name
        assert not (model.prepare(picture) == whole).all(), f"{path.name}: nothing is transparent"
        small = tmp_path / "small.png"
        opened = image.open(path)
        color = opened.info["transparency"]
        opened.crop((0, 0, *size)).save(small, transparency=color)
        assert (model.prepare(image.open(small)) == model.prepare(small)).all(), path.name
    plain = image.fromarray(np.full((40, 48), 30000, np.uint16))
    plain.save(tmp_path / "gray.png", transparency=0)
    found = model.prepare(image.open(tmp_path / "gray.png"))
    assert (found == model.prepare(plain)).all() and (found == model.prepare(tmp_path / "gray.png")).all()


def test_floats_of_pillow_are_refused_whatever_is_transparent(model):
    image = pytest.importorskip("PIL.Image", reason="skipped: Pillow's images: no Pillow")
    for info in ({}, {"transparency": 0}, {"transparency": b"\0"}):
        picture = image.fromarray(np.full((40, 48), 0.5, np.float32))
        picture.info.update(info)
        with pytest.raises(TypeError, match="mode F"):
            model.explain(picture)


def test_every_mode_of_pillow_with_a_transparent_color_that_it_does_not_have(model):
    image = pytest.importorskip("PIL.Image", reason="skipped: Pillow's images: no Pillow")
    for mode in ("CMYK", "YCbCr", "HSV", "LAB", "RGBX", "RGBA", "LA", "PA", "La", "RGBa"):
        plain = image.new(mode, (40, 48), (10, 20, 30, 255)[: len(image.new(mode, (1, 1)).getbands())])
        expected = model.prepare(plain)
        plain.info["transparency"] = 0
        assert (model.prepare(plain) == expected).all(), mode


def test_images_of_a_package_that_builds_on_pillow_are_photos(model):
    image = pytest.importorskip("PIL.Image", reason="skipped: Pillow's images: no Pillow")

    class Opened(image.Image):
        pass

    opened = Opened()
    loaded = image.open(CHELSEA).convert("RGB")
    opened.im, opened._mode, opened._size = loaded.im, loaded.mode, loaded.size
    assert type(opened).__module__ != "PIL.Image"
    assert same(model.explain(opened), model.explain(loaded)) and same(model.explain([opened]), model.explain(loaded))


def test_a_photo_turned_by_its_orientation_is_the_same_from_a_file_and_from_pillow(model):
    image = pytest.importorskip("PIL.Image", reason="skipped: Pillow's images: no Pillow")
    path = ROOT / "tests/golden/images/orientation_5.png"
    assert same(model.explain(image.open(path)), model.explain(path))


def test_no_images_give_no_rows(model):
    for nothing in (np.zeros((0, 3, 32, 32), np.float32), []):
        r = model.explain(nothing, method="grad-cam,guided-backprop")
        assert len(r) == 0 and r.heat.shape == (0, 10, 32, 32) and r.cam.shape == (0, 10, 8, 8)
        assert r.pixels["guided-backprop"].shape == (0, 10, 3, 32, 32) and r.logits.shape == (0, 10, 10)
        p = model.classify(nothing)
        assert p.exit.shape == p.predicted.shape == (0,) and p.logits.shape == (0, 10, 10)
        assert len(model.classify(nothing, early_exit=0.5)) == 0
        assert all(len(array) == 0 for array in r.to_dict().values())
        assert "0 images" in r._repr_html_()
    with pytest.raises(IndexError):
        model.explain(np.zeros((0, 3, 32, 32), np.float32), exits=11)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_elements_that_are_not_finite_are_refused_with_their_place(model, images, expected, bad):
    wrong = np.concatenate([images] * 10)
    wrong[29, 1, 2, 3] = bad
    for call in (model.explain, model.classify, lambda x: model.classify(x, early_exit=0.9)):
        with pytest.raises(ValueError, match=r"^image 29: element 1091 is "):
            call(wrong)
    for call in (lambda x: model.evaluate(x, [0] * 40), lambda x: model.faithfulness(x, exits=1, skip="curves,road")):
        with pytest.raises(ValueError, match=r"^image 29: element 1091 is "):
            call(wrong)
    with pytest.raises(ValueError, match=r"^image 0: "):
        model.explain(np.full((1, 3, 32, 32), 1e300))
    # The object is usable afterwards.
    assert same(model.explain(images), expected)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.zeros((2, 3, 31, 32), np.float32), ValueError, r"\(2, 3, 31, 32\).*\(N, 3, 32, 32\)"),
        (np.zeros((32, 32, 3), np.float32), ValueError, "photos are of uint8"),
        (np.zeros((3, 32), np.float32), ValueError, r"\(3, 32\)"),
        (np.float32(1), ValueError, r"\(\)"),
        (np.zeros((1, 3, 32, 32, 1), np.float32), ValueError, "network reads"),
        (np.zeros((3, 32, 32), np.uint8), ValueError, r"\(H, W, 3\)"),
        (np.zeros((32, 32), np.uint8), ValueError, r"\(H, W, 3\)"),
        (np.zeros((32, 32, 4), np.uint8), ValueError, r"\(H, W, 3\)"),
        (np.zeros((0, 32, 3), np.uint8), ValueError, "no pixels"),
        (np.zeros((3, 32, 32), np.int64), TypeError, "int64"),
        (np.zeros((3, 32, 32), bool), TypeError, "bool"),
        (np.zeros((3, 32, 32), complex), TypeError, "complex"),
        (np.full((3, 32, 32), None), TypeError, "object"),
        ({"a": 1}, TypeError, "dict"),
        (None, TypeError, "NoneType"),
        (5, TypeError, "int"),
        ([CHELSEA, np.zeros((3, 32, 32), np.float32)], TypeError, "one kind"),
        ([np.zeros((3, 32, 32)), np.zeros((3, 32, 31))], ValueError, "one shape"),
        ([CHELSEA, 7], TypeError, "image 1 of type int"),
        (iter([CHELSEA]), TypeError, "expected a path"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(model, given, error, message):
    for call in (model.explain, model.classify):
        with pytest.raises(error, match=message) as caught:
            call(given)
        assert "\n" not in str(caught.value)


def test_photos_that_cannot_be_read_are_file_errors(model, tmp_path):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(CHELSEA.read_bytes()[:5000])
    with pytest.raises(msdcam.FileError, match=r"damaged\.png: PNG: .*truncated") as caught:
        model.explain([CHELSEA, damaged, CHELSEA])
    assert isinstance(caught.value, OSError) and caught.value.filename == str(damaged)
    missing = tmp_path / "missing.png"
    with pytest.raises(FileNotFoundError, match=r"missing\.png") as caught:
        model.explain(missing)
    assert isinstance(caught.value, msdcam.FileError) and caught.value.errno == 2
    for other in (tmp_path, Path(__file__), "a\0b"):
        with pytest.raises((msdcam.FileError, ValueError)) as caught:
            model.explain(other)
        assert "\n" not in str(caught.value)
    assert len(model.explain(CHELSEA)) == 1


class Exchanged:
    """An array of another package that shares its memory by DLPack alone."""

    def __init__(self, array: np.ndarray, device: tuple[int, int] = (1, 0)) -> None:
        self.array, self.device = array, device

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device


def test_arrays_of_other_packages_are_read_by_dlpack(model, images, expected):
    assert same(model.explain(Exchanged(images)), expected)
    assert same(model.explain([Exchanged(image) for image in images]), expected)
    assert (model.explain(images, target=Exchanged(np.array([0, 1, 2, 3]))).target[:, 0] == [0, 1, 2, 3]).all()


def test_dlpack_in_is_not_copied(images):
    from msdcam import _inputs

    found = _inputs.images(Exchanged(images), (3, 32, 32)).tensor
    assert np.shares_memory(found, images)
    assert np.shares_memory(_inputs.images(images, (3, 32, 32)).tensor, images)


def test_a_tensor_on_a_gpu_is_told_to_come_to_the_cpu(model, images):
    with pytest.raises(ValueError, match=r"GPU .*call \.cpu\(\)"):
        model.explain(Exchanged(images, (2, 1)))
    with pytest.raises(ValueError, match=r"\.cpu\(\)"):
        model.explain([Exchanged(images[0], (2, 0))])


def test_results_are_exported_without_a_copy(model, images):
    r = model.explain(images, method="grad-cam,guided-backprop")
    p = model.classify(images)
    for array in (r.heat, *r.cams, r.logits, r.pixels["guided-backprop"], r.target, p.logits):
        assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
        shared = np.from_dlpack(array)
        assert np.shares_memory(shared, array)
    assert np.asarray(r) is r.heat


def test_tensors_of_pytorch(model, images, expected):
    torch = pytest.importorskip("torch", reason="skipped: tensors of PyTorch: no torch")
    tensor = torch.from_numpy(images.copy())
    assert same(model.explain(tensor), expected)
    assert same(model.explain(tensor.double()), expected)
    assert same(model.explain(list(tensor)), expected)
    with pytest.raises(TypeError, match="grad"):
        model.explain(tensor.requires_grad_())
    with pytest.raises(TypeError, match="Tensor"):
        model.explain(torch.zeros(3, 32, 32, dtype=torch.bfloat16))
    heat = torch.from_dlpack(expected.heat)
    assert heat.data_ptr() == expected.heat.ctypes.data


def test_results_have_memory_of_their_own(model, images):
    first = model.explain(images)
    kept = first.heat.copy()
    model.explain(images[::-1])
    assert (first.heat == kept).all()
    assert not np.shares_memory(first.heat, images)


def test_maps_without_information_are_counted_in_one_warning(model):
    black = np.zeros((2, 3, 32, 32), np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        r = model.explain(black, method=["grad-cam", "eigen-cam", "gradient-x-input"])
    assert (r.pixel_status["gradient-x-input"] == "empty").all()
    expected = sum(int((codes != 0).sum()) for codes in [maps.status_code for maps in r.maps])
    (warning,) = [w for w in caught if issubclass(w.category, msdcam.MsdcamWarning)]
    assert str(warning.message).startswith(f"{expected + 20} of 60 maps carry no information")
    assert warning.filename == __file__
    assert (r.pixels["gradient-x-input"] == 0).all()


def test_no_map_is_nan(model, images):
    huge = np.full((1, 3, 32, 32), 3e38, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", msdcam.MsdcamWarning)
        r = model.explain(huge)
    assert np.isfinite(r.heat).all() and np.isfinite(r.cam).all()
    assert set(r.status.ravel()) <= set(msdcam.STATUSES)


def test_references_are_given_back(model, images):
    import sys

    array = images.copy()
    before = sys.getrefcount(array)
    r = model.explain(array)
    model.classify(array)
    del r
    assert sys.getrefcount(array) == before
    assert ctypes.sizeof(ctypes.c_float) == array.itemsize
