"""Where each exit of an image classifier looks: Grad-CAM and 16 other methods, from one forward pass.

>>> import msdcam
>>> model = msdcam.load()                         # or load("net.onnx"); arrays in, arrays out
>>> r = model.explain("cat.png")                  # doctest: +SKIP
>>> r.heat.shape, r.labels[r.predicted[0, -1]]    # doctest: +SKIP
((1, 10, 32, 32), 'cat')
"""

from __future__ import annotations

from . import _native
from .errors import DeviceError, FileError, MissingFileError, MsdcamWarning
from .explanation import STATUSES, Explanation, Maps
from .model import Exit, Model, Tap, load
from .picture import Picture
from .predictions import Predictions

__version__ = _native.__version__

#: The names of the CAM methods and of the pixel methods.
CAM_METHODS, PIXEL_METHODS = (tuple(names) for names in _native.methods())

__all__ = [
    "CAM_METHODS",
    "PIXEL_METHODS",
    "STATUSES",
    "DeviceError",
    "Exit",
    "Explanation",
    "FileError",
    "Maps",
    "MissingFileError",
    "Model",
    "MsdcamWarning",
    "Picture",
    "Predictions",
    "Tap",
    "__version__",
    "load",
]


def __getattr__(name: str) -> object:
    """``msdcam.compat`` and ``msdcam.ray``, which are imported at their first use."""
    if name in ("compat", "ray"):
        import importlib

        return importlib.import_module(f"msdcam.{name}")
    raise AttributeError(f"module 'msdcam' has no attribute {name!r}")
