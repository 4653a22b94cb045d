"""Pictures: pixels that can be saved, shown in a notebook, and used as an array."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _native

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
        self.pixels = pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, 3)."""
        height, width, channels = self.pixels.shape
        return height, width, channels

    def save(self, path: str | os.PathLike[str], *, quality: int = 95) -> None:
        """Write a PNG or JPEG file, as the name's ending says; ``quality`` is for JPEG, 1 to 100."""
        name = os.fspath(path)
        ending = os.path.splitext(name)[1].lower()
        if ending not in _FORMATS:
            raise ValueError(f"{name}: expected a name that ends in .png, .jpg or .jpeg")
        data = self.encode(_FORMATS[ending], quality=quality)
        with open(path, "wb") as file:
            file.write(data)

    def encode(self, format: str = "png", *, quality: int = 95) -> bytes:
        """The bytes of a "png" or "jpeg" file."""
        return _native.encode(self.pixels, format, quality)

    def to_pil(self) -> PilImage:
        """As an image of Pillow, which has to be installed."""
        from PIL import Image

        return Image.fromarray(self.pixels)

    def show(self) -> None:
        """Show it: in the notebook, or else with the system's viewer."""
        from ._show import show_png

        show_png(self.encode("png"))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy:
            return np.array(self.pixels, dtype=dtype)
        return np.asarray(self.pixels, dtype=dtype)

    def _repr_png_(self) -> bytes:
        return self.encode("png")

    def __repr__(self) -> str:
        height, width, _ = self.pixels.shape
        return f"<msdcam.Picture of {width} x {height} pixels>"
