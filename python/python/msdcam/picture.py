"""Pictures: pixels that can be saved, shown in a notebook, and used as an array."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _inputs, _native

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

__all__ = ["Picture"]

_FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}


class Picture:
    """An RGB picture.

    ``pixels`` is (H, W, 3) of uint8; NumPy, Matplotlib's ``imshow`` and ``PIL.Image.fromarray`` take the picture
    itself. A notebook shows it.
    """

    __slots__ = ("pixels",)

    pixels: NDArray[np.uint8]

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        if not isinstance(pixels, np.ndarray):
            raise TypeError(f"picture of type {type(pixels).__name__}: expected an array of uint8, (H, W, 3)")
        _inputs.pixels(pixels, "picture")
        self.pixels = pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, 3)."""
        height, width, channels = self.pixels.shape
        return height, width, channels

    def save(self, path: str | os.PathLike[str], *, quality: int = 95) -> None:
        """Write a PNG or JPEG file, as the name's ending says; ``quality`` is for JPEG, 1 to 100."""
        name = _inputs.path(path)
        ending = os.path.splitext(name)[1].lower()
        if ending not in _FORMATS:
            raise ValueError(f"{_inputs.shown(name)}: expected a name that ends in .png, .jpg or .jpeg")
        data = self.encode(_FORMATS[ending], quality=quality)
        with open(name, "wb") as file:
            file.write(data)

    def encode(self, format: str = "png", *, quality: int = 95) -> bytes:
        """The bytes of a "png" or "jpeg" file; ``quality`` is for JPEG, 1 to 100."""
        quality = _inputs.index(quality, "quality")
        if not 1 <= quality <= 100:
            raise ValueError(f"quality {quality}: expected 1 to 100")
        return _native.encode(_inputs.pixels(self.pixels, "picture"), _inputs.text(format, "format"), quality)

    def to_pil(self) -> PilImage:
        """As an image of Pillow, which has to be installed."""
        from PIL import Image

        return Image.fromarray(self.pixels)

    def show(self) -> None:
        """Show it: in the notebook, or else with the system's viewer."""
        from ._show import show_png

        show_png(self.encode("png"))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return _inputs.as_array(self.pixels, dtype, copy)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        # What Pillow reads, and NumPy; the types of NumPy know only the method.
        # With strides, Pillow calls `tobytes`.
        return {**self.pixels.__array_interface__, "strides": self.pixels.strides}

    def tobytes(self) -> bytes:
        """The pixels, row by row, red first."""
        return self.pixels.tobytes()

    def _repr_png_(self) -> bytes:
        return self.encode("png")

    def __repr__(self) -> str:
        height, width, _ = self.pixels.shape
        return f"<msdcam.Picture of {width} x {height} pixels>"
