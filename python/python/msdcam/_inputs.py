"""Arguments of the public functions, checked and brought to the form that the native part takes."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Sequence
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
    return _pixels(array)


def exits(value: int | Iterable[int] | None, count: int) -> list[int] | None:
    """Exits from 1; ``None`` for all."""
    if value is None:
        return None
    given = [value] if _is_integer(value) else _integers(value, "exits")
    found = [int(operator.index(exit)) for exit in given]  # type: ignore[arg-type]
    for exit in found:
        if not 1 <= exit <= count:
            raise IndexError(f"exit {exit}: the network has exits 1 to {count}")
    return found


def target(value: Any, labels: Sequence[str]) -> tuple[str | int, list[int]]:
    """The target for the native part, and a class for each image where they are given."""
    if value is None:
        return "predicted", []
    if isinstance(value, str):
        return value, []
    if _is_integer(value):
        return class_index(value, labels), []
    return "label", classes(value, labels, "target")


def classes(value: Any, labels: Sequence[str], what: str) -> list[int]:
    """The class of each image, from indices or names."""
    array = _array(value)
    items = array.tolist() if array is not None else value
    if isinstance(items, str) or not isinstance(items, Iterable):
        raise TypeError(f"{what} of type {_type_name(value)}: expected a class for each image")
    found = []
    for item in items:
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
    folded = [label.lower() for label in labels]
    for names, name in ((list(labels), value), (folded, value.lower())):
        if name in names:
            return names.index(name)
    if value.isascii() and value.isdigit() and int(value) < len(labels):
        return int(value)
    shown = ", ".join(labels[:10]) + (", ..." if len(labels) > 10 else "")
    raise ValueError(f"class {value!r}: the network has {shown}, or by number 0 to {len(labels) - 1}")


def names(value: str | Iterable[str], what: str) -> list[str]:
    """One name, several separated by commas, or a list of names."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",")]
    found = list(value) if isinstance(value, Iterable) else None
    if found is None or not all(isinstance(name, str) for name in found):
        raise TypeError(f"{what} of type {_type_name(value)}: expected a name or a list of names")
    return found


def thresholds(value: Any, count: int) -> list[float | None] | None:
    """A confidence threshold for each of ``count`` exits; ``None`` where no image stops."""
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [number(value, "early_exit")] * count
    return [None if threshold is None else number(threshold, "early_exit") for threshold in value]


def text(value: Any, what: str) -> str:
    """A name."""
    if not isinstance(value, str):
        raise TypeError(f"{what} of type {_type_name(value)}: expected a name")
    return value


def optional_text(value: Any, what: str) -> str | None:
    """As :func:`text`, or ``None``."""
    return None if value is None else text(value, what)


def number(value: Any, what: str) -> float:
    """A number."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{what} of type {_type_name(value)}: expected a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{what}: a number that is too large") from None


def numbers(value: Any, what: str) -> list[float]:
    """Several numbers."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{what} of type {_type_name(value)}: expected numbers")
    return [number(item, what) for item in value]


def count(value: Any, what: str, least: int = 0) -> int:
    """A whole number of at least ``least``."""
    if not _is_integer(value):
        raise TypeError(f"{what} of type {_type_name(value)}: expected a whole number")
    whole = int(operator.index(value))
    if not least <= whole <= _MOST:
        expected = f"at least {least}" if whole < least else f"at most {_MOST}"
        raise ValueError(f"{what} {whole}: expected {expected}")
    return whole


def size(value: Any) -> tuple[int, int] | None:
    """The height and width of an input, or one number for both."""
    if value is None:
        return None
    if _is_integer(value):
        value = (value, value)
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"input_size of type {_type_name(value)}: expected the height and width")
    sides = [count(side, "input_size", 1) for side in value]
    if len(sides) != 2 or max(sides) > 1 << 16:
        raise ValueError(f"input_size {tuple(sides)}: expected the height and width, at most {1 << 16}")
    return sides[0], sides[1]


def normalization(value: Any) -> str | None:
    """A normalization by its name, or the means and standard deviations of red, green and blue, as text."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, Iterable):
        raise TypeError(f"normalize of type {_type_name(value)}: expected a name, or (means, standard deviations)")
    parts = [numbers(part, "normalize") for part in value]
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
    if isinstance(value, str):
        digits, unit = value, 1
        if value[-1:].lower() in _UNITS:
            digits, unit = value[:-1], _UNITS[value[-1].lower()]
        if digits.isascii() and digits.isdigit() and len(digits) < 20 and int(digits) * unit <= _MOST:
            return int(digits) * unit
    raise ValueError(f"max_memory {value!r}: expected a number of bytes such as 1000000, '512M' or '2G'")


def paths(value: Any) -> list[str]:
    """The paths of a set of images."""
    if isinstance(value, (str, os.PathLike)):
        return [os.fspath(value)]
    if isinstance(value, (list, tuple)) and all(isinstance(path, (str, os.PathLike)) for path in value):
        return [os.fspath(path) for path in value]
    raise TypeError(f"images of type {_type_name(value)}: without labels expected a path or a list of paths")


def is_paths(value: Any) -> bool:
    """Whether ``value`` is a path, or a list of paths."""
    items = value if isinstance(value, (list, tuple)) else [value]
    return bool(items) and all(isinstance(item, (str, os.PathLike)) for item in items)


def _is_integer(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return False
    return isinstance(value, (int, np.integer))


def _integers(value: Any, what: str) -> list[int]:
    if not isinstance(value, str) and isinstance(value, Iterable):
        found = list(value)
        if all(_is_integer(item) for item in found):
            return found
    raise TypeError(f"{what} of type {_type_name(value)}: expected whole numbers")


def _type_name(value: Any) -> str:
    return type(value).__name__


def _is_pil(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "PIL" and hasattr(value, "getbands")


def _is_photo(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike)) or _is_pil(value)


def _photo(value: Any) -> Source:
    if isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    if _is_pil(value):
        return _pixels(_of_pil(value))
    return _pixels(value)


def _of_pil(image: Any) -> NDArray[Any]:
    """The pixels of a PIL image as those of its file are read: upright, transparency over white."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    if image.mode == "F":
        raise TypeError("PIL image of mode F: expected pixels of 8 or 16 bits")
    if image.mode.startswith("I"):
        # 16 bits, which some versions of Pillow hold as 32.
        gray = np.clip(np.asarray(image) / 257, 0, 255).round().astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
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
            return Images(None, [_pixels(image) for image in array])
        return Images(None, [_pixels(array)])
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


def _pixels(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise TypeError(f"photo of {array.dtype}: expected uint8, (H, W, 3)")
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"uint8 array of shape {array.shape}: photos are (H, W, 3), or (N, H, W, 3)")
    if array.size == 0:
        raise ValueError(f"photo of shape {array.shape}: no pixels")
    return np.require(array, np.uint8, ["C_CONTIGUOUS", "ALIGNED"])
