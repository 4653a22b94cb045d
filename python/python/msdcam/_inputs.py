"""Arguments of the public functions, checked and brought to the form that the native part takes."""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage
else:
    PilImage = Any

#: A photo: a file, a PIL image, or pixels (H, W, 3) of uint8.
Photo: TypeAlias = Union[str, "os.PathLike[str]", "PilImage", NDArray[np.uint8]]

#: Where the pixels of an image can be read again: a file, or (H, W, 3) of uint8.
Source: TypeAlias = Union[str, NDArray[np.uint8]]

#: Exits, from 1: one, or several in ascending order; ``None`` for all.
Exits: TypeAlias = Union[int, Sequence[int], NDArray[np.integer[Any]], None]

#: Codes of DLPack for memory that the CPU can read: its own, and that which CUDA has pinned.
_HOST = (1, 3)

#: Beyond what any count may be.
_MOST = (1 << 63) - 1

_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@runtime_checkable
class Exchangeable(Protocol):
    """An array of another package, such as a tensor of PyTorch on the CPU (DLPack)."""

    def __dlpack__(self, *, stream: None = ...) -> Any: ...

    def __dlpack_device__(self) -> tuple[Any, int]: ...


@dataclass(frozen=True)
class Images:
    """The images of a call: normalized inputs, or photos."""

    tensor: NDArray[np.float32] | None
    """(N, 3, H, W), contiguous."""
    photos: list[Source] | None

    def __len__(self) -> int:
        return len(self.tensor) if self.tensor is not None else len(self.photos or [])


def images(value: Any, shape: tuple[int, int, int]) -> Images:
    """The images that a caller gave; ``shape`` is the (3, H, W) that the network reads.

    Contiguous arrays of float32 are not copied.
    """
    if _is_photo(value):
        return Images(None, [_photo(value)])
    array = _array(value)
    if array is not None:
        return _of_array(array, shape)
    if not isinstance(value, (list, tuple)):
        raise TypeError(
            f"images of type {_type_name(value)}: expected a path, a PIL image, an array, or a list of them"
        )
    elements = [item if _is_photo(item) else _element(item, i) for i, item in enumerate(value)]
    prepared = [isinstance(item, np.ndarray) and item.dtype != np.uint8 for item in elements]
    if elements and all(prepared):
        shapes = {item.shape for item in elements}
        if len(shapes) != 1:
            raise ValueError(f"images of shapes {', '.join(map(str, sorted(shapes)))}: expected one shape")
        return _of_array(np.stack(elements), shape)
    if any(prepared):
        raise TypeError("a list of both photos and normalized arrays: expected one kind")
    return Images(None, [_photo(item) for item in elements])


def photo(value: Any) -> Source:
    """One photo that a caller gave."""
    if _is_photo(value):
        return _photo(value)
    array = _array(value)
    if array is None:
        raise TypeError(f"photo of type {_type_name(value)}: expected a path, a PIL image or an array (H, W, 3)")
    return pixels(array)


def sources(given: Images, value: Any) -> Sequence[Source] | NDArray[np.float32]:
    """The images of ``given``, which ``value`` was, as pictures of them read them later: files by absolute paths, and
    arrays that the caller cannot change."""
    is_list = isinstance(value, (list, tuple))
    if given.tensor is not None:
        # A list has been put together.
        return given.tensor if is_list or _is_own(given.tensor, value) else given.tensor.copy()
    photos = given.photos or []
    return [_kept(photo, origin) for photo, origin in zip(photos, value if is_list else [value] * len(photos))]


def _kept(photo: Source, origin: Any) -> Source:
    if isinstance(photo, str):
        return absolute(photo)
    return photo if _is_own(photo, origin) else photo.copy()


def _is_own(array: NDArray[Any], origin: Any) -> bool:
    """Whether an array that was made from ``origin`` is known to share no memory with it."""
    return _is_pil(origin) or (isinstance(origin, np.ndarray) and not np.may_share_memory(array, origin))


def absolute(path: str) -> str:
    """The same file from another working directory."""
    if os.path.isabs(path):
        return path
    try:
        # Not normalized: the parent of a symbolic link is not that of its name.
        return os.path.join(os.getcwd(), path)
    except OSError:
        # The working directory is gone, and the file with it.
        return path


def exits(value: Exits, count: int) -> list[int] | None:
    """Exits from 1; ``None`` for all."""
    given = _scalar(value)
    if given is None:
        return None
    given = [given] if _is_integer(given) else items(given, "exits", "whole numbers")
    if not all(_is_integer(exit) for exit in given):
        raise TypeError(f"exits of type {_type_name(value)}: expected whole numbers")
    found = [int(operator.index(exit)) for exit in given]
    for exit in found:
        if not 1 <= exit <= count:
            raise IndexError(f"exit {exit}: the network has exits 1 to {count}")
    return found


def target(value: Any, labels: Sequence[str]) -> tuple[str | int, list[int]]:
    """The target for the native part, and a class for each image where they are given."""
    value = _scalar(value)
    if value is None:
        return "predicted", []
    if isinstance(value, str):
        return text(value, "target"), []
    if _is_integer(value):
        return class_index(value, labels), []
    return "label", classes(value, labels, "target")


def one_target(value: Any, labels: Sequence[str]) -> str | int:
    """The target for the native part, where labels have an argument of their own."""
    value = _scalar(value)
    if value is not None and not isinstance(value, str) and not _is_integer(value):
        raise TypeError(
            f"target of type {_type_name(value)}: expected a name or a class; for the class of each image give "
            "labels, and target='label'"
        )
    return target(value, labels)[0]


def classes(value: Any, labels: Sequence[str], what: str) -> list[int]:
    """The class of each image, from indices or names."""
    found = []
    for item in items(value, what, "a class for each image"):
        if not isinstance(item, str) and not _is_integer(item):
            raise TypeError(f"{what}: a class of type {_type_name(item)}, expected an index or a name")
        found.append(class_index(item, labels))
    return found


def class_index(value: Any, labels: Sequence[str]) -> int:
    """The index of a class, given by its index or its name, in any case if none matches exactly."""
    if not isinstance(value, str):
        index = int(operator.index(value))
        if not 0 <= index < len(labels):
            raise IndexError(f"class {index}: the network has classes 0 to {len(labels) - 1}")
        return index
    value = text(value, "class")
    folded = [label.lower() for label in labels]
    for names, name in ((list(labels), value), (folded, value.lower())):
        if name in names:
            return names.index(name)
    if value.isascii() and value.isdigit() and int(value) < len(labels):
        return int(value)
    shown = ", ".join(labels[:10]) + (", ..." if len(labels) > 10 else "")
    raise ValueError(f"class {value!r}: the network has {shown}, or by number 0 to {len(labels) - 1}")


def names(value: str | Sequence[str], what: str) -> list[str]:
    """One name, several separated by commas, or a list of names."""
    if isinstance(value, str):
        return [name.strip() for name in text(value, what).split(",")]
    found = items(value, what, "a name or a list of names")
    if not all(isinstance(name, str) for name in found):
        raise TypeError(f"{what} of type {_type_name(value)}: expected a name or a list of names")
    return [text(name, what) for name in found]


def thresholds(value: Any, count: int) -> list[float | None] | None:
    """A confidence threshold for each of ``count`` exits; ``None`` where no image stops."""
    value = _scalar(value)
    if value is None:
        return None
    if _is_number(value):
        return [number(value, "early_exit")] * count
    found = items(value, "early_exit", "a number, or one for each exit")
    return [None if threshold is None else number(threshold, "early_exit") for threshold in found]


def text(value: Any, what: str) -> str:
    """A name."""
    if not isinstance(value, str):
        raise TypeError(f"{what} of type {_type_name(value)}: expected a name")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} {value!r}: not a text of Unicode") from None
    return value


def optional_text(value: Any, what: str) -> str | None:
    """As :func:`text`, or ``None``."""
    return None if value is None else text(value, what)


def number(value: Any, what: str) -> float:
    """A number."""
    value = _scalar(value)
    if not _is_number(value):
        raise TypeError(f"{what} of type {_type_name(value)}: expected a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{what}: a number that is too large") from None


def numbers(value: Any, what: str) -> list[float]:
    """Several numbers."""
    return [number(item, what) for item in items(value, what, "numbers")]


def numbers_or_one(value: Any, what: str) -> list[float]:
    """Several numbers, or one."""
    value = _scalar(value)
    return [number(value, what)] if _is_number(value) else numbers(value, what)


def index(value: Any, what: str) -> int:
    """A position or number of something, which may be negative."""
    value = _scalar(value)
    if not _is_integer(value):
        raise TypeError(f"{what} of type {_type_name(value)}: expected a whole number")
    return int(operator.index(value))


def items(value: Any, what: str, expected: str) -> list[Any]:
    """The elements of a sequence or an array: of what has an order, unlike a set."""
    array = None if isinstance(value, (str, bytes, bytearray, memoryview)) else _array(value)
    if array is not None and array.ndim > 0:
        return array.tolist() if array.ndim == 1 else list(array)
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"{what} of type {_type_name(value)}: expected {expected}")
    return list(value)


def count(value: Any, what: str, least: int = 0) -> int:
    """A whole number of at least ``least``."""
    whole = index(value, what)
    if not least <= whole <= _MOST:
        expected = f"at least {least}" if whole < least else f"at most {_MOST}"
        raise ValueError(f"{what} {whole}: expected {expected}")
    return whole


def size(value: Any) -> tuple[int, int] | None:
    """The height and width of an input, or one number for both."""
    value = _scalar(value)
    if value is None:
        return None
    if _is_integer(value):
        value = (value, value)
    sides = [count(side, "input_size", 1) for side in items(value, "input_size", "the height and width")]
    if len(sides) != 2 or max(sides) > 1 << 16:
        raise ValueError(f"input_size {tuple(sides)}: expected the height and width, at most {1 << 16}")
    return sides[0], sides[1]


def normalization(value: Any) -> str | None:
    """A normalization by its name, or the means and standard deviations of red, green and blue, as text."""
    if value is None or isinstance(value, str):
        return optional_text(value, "normalize")
    found = items(value, "normalize", "a name, or (means, standard deviations)")
    parts = [numbers(part, "normalize") for part in found]
    if [len(part) for part in parts] != [3, 3]:
        raise ValueError("normalize: expected three means and three standard deviations")
    return "/".join(",".join(repr(x) for x in part) for part in parts)


def optional_count(value: Any, what: str, least: int = 0) -> int | None:
    """As :func:`count`, or ``None``."""
    return None if value is None else count(value, what, least)


def memory(value: int | str) -> int:
    """Bytes, such as ``1000``, ``"512M"`` or ``"2G"``."""
    if _is_integer(value):
        return count(value, "max_memory")
    if not isinstance(value, str):
        raise TypeError(f"max_memory of type {_type_name(value)}: expected a number of bytes")
    digits, unit = value, 1
    if value[-1:].lower() in _UNITS:
        digits, unit = value[:-1], _UNITS[value[-1].lower()]
    if digits.isascii() and digits.isdigit() and len(digits) < 20 and int(digits) * unit <= _MOST:
        return int(digits) * unit
    raise ValueError(f"max_memory {value!r}: expected a number of bytes such as 1000000, '512M' or '2G'")


def paths(value: Any) -> list[str]:
    """The paths of a set of images."""
    if isinstance(value, (str, os.PathLike)):
        return [path(value)]
    if isinstance(value, (list, tuple)) and all(isinstance(item, (str, os.PathLike)) for item in value):
        return [path(item) for item in value]
    raise TypeError(f"images of type {_type_name(value)}: without labels expected a path or a list of paths")


def is_paths(value: Any) -> bool:
    """Whether ``value`` is a path, or a list of paths."""
    items = value if isinstance(value, (list, tuple)) else [value]
    return bool(items) and all(isinstance(item, (str, os.PathLike)) for item in items)


def path(value: str | os.PathLike[str]) -> str:
    """A path as text, in which the bytes of a name that is not UTF-8 are kept as Python keeps them."""
    found = os.fspath(value)
    try:
        return os.fsdecode(os.fsencode(found))
    except UnicodeEncodeError:
        raise ValueError(f"path {found!r}: not a name that a file can have") from None


def shown(path: str) -> str:
    """A path, or a part of it, as text of one line that can be printed: other bytes and signs are escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _is_integer(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return False
    return isinstance(value, (int, np.integer))


def _is_number(value: Any) -> bool:
    return _is_integer(value) or isinstance(value, (float, np.floating))


def _scalar(value: Any) -> Any:
    """The element of an array without dimensions; anything else unchanged."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _type_name(value: Any) -> str:
    return type(value).__name__


def _is_pil(value: Any) -> bool:
    # Not imported here: where there is an image of Pillow, there is its module.
    kind = getattr(sys.modules.get("PIL.Image"), "Image", None)
    return isinstance(kind, type) and isinstance(value, kind)


def _is_photo(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike)) or _is_pil(value)


def _photo(value: Any) -> Source:
    if isinstance(value, (str, os.PathLike)):
        return path(value)
    if _is_pil(value):
        return pixels(_of_pil(value))
    return pixels(value)


def _of_pil(image: Any) -> NDArray[Any]:
    """The pixels of a PIL image as those of its file are read: upright, transparency over white."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise TypeError("PIL image of mode F: expected pixels of 8 or 16 bits")
    transparent = image.info.get("transparency")
    if image.mode.startswith("I"):
        # 16 bits, which some versions of Pillow hold as 32.
        levels = np.asarray(image)
        gray = np.clip(levels / 257, 0, 255).round().astype(np.uint8)
        if isinstance(transparent, int):
            gray[levels == transparent] = 255
        return np.repeat(gray[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or transparent is not None:
        if image.mode == "La":
            # Pillow has no way from it to RGBA.
            image = image.convert("LA")
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def _element(value: Any, i: int) -> NDArray[Any]:
    """An array of a list of images."""
    array = _array(value)
    if array is None:
        raise TypeError(f"image {i} of type {_type_name(value)}: expected a path, a PIL image or an array")
    return array


def _array(value: Any) -> NDArray[Any] | None:
    """``value`` as an array, without a copy; ``None`` if it is no array."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Exchangeable) and not isinstance(value, type):
        device, index = value.__dlpack_device__()
        if int(device) not in _HOST:
            raise ValueError(f"{_type_name(value)} on a GPU (DLPack device {int(device)}:{index}): call .cpu()")
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError) as error:
            # Tensors that need a gradient, are conjugates, or have elements that NumPy does not know.
            reason = str(error).partition("\n")[0].rstrip(".")
            raise TypeError(f"{_type_name(value)} cannot be read as an array: {reason}") from error
    if hasattr(value, "__array__") and not isinstance(value, type):
        return np.asarray(value)
    return None


def _of_array(array: NDArray[Any], shape: tuple[int, int, int]) -> Images:
    if array.dtype == np.uint8:
        if array.ndim == 4:
            return Images(None, [pixels(image) for image in array])
        return Images(None, [pixels(array)])
    channels, height, width = shape
    if array.dtype.kind != "f":
        raise TypeError(
            f"images of {array.dtype}: expected photos of uint8, (H, W, 3), or normalized images of a float type, "
            f"(N, {channels}, {height}, {width})"
        )
    if array.ndim == 3 and array.shape == shape:
        array = array[None]
    if array.ndim != 4 or array.shape[1:] != shape:
        hint = "; photos are of uint8" if array.shape[-1:] == (3,) else ""
        raise ValueError(
            f"images of shape {array.shape}: the network reads normalized images of "
            f"(N, {channels}, {height}, {width}){hint}"
        )
    # What is too large for float32 becomes infinite, which is refused with its place.
    with np.errstate(over="ignore"):
        return Images(np.require(array, np.float32, ["C_CONTIGUOUS", "ALIGNED"]), None)


def as_array(array: NDArray[Any], dtype: Any, copy: bool | None) -> NDArray[Any]:
    """What ``__array__`` returns for a result that holds ``array``."""
    if copy:
        return np.array(array, dtype=dtype)
    if copy is False and dtype is not None and np.dtype(dtype) != array.dtype:
        raise ValueError(f"an array of {array.dtype} as {np.dtype(dtype)}: needs a copy, which copy=False rules out")
    return np.asarray(array, dtype=dtype)


def pixels(array: NDArray[Any], what: str = "photo") -> NDArray[np.uint8]:
    """The pixels of a photo or picture, checked and contiguous."""
    if array.dtype != np.uint8:
        raise TypeError(f"{what} of {array.dtype}: expected uint8, (H, W, 3)")
    if array.ndim != 3 or array.shape[2] != 3:
        expected = "photos are (H, W, 3), or (N, H, W, 3)" if what == "photo" else "expected (H, W, 3)"
        raise ValueError(f"{'uint8 array' if what == 'photo' else what} of shape {array.shape}: {expected}")
    if array.size == 0:
        raise ValueError(f"{what} of shape {array.shape}: no pixels")
    return np.require(array, np.uint8, ["C_CONTIGUOUS", "ALIGNED"])
