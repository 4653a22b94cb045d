"""Arrays and tensors: what a script passes in, as NumPy arrays, and results of the same kind.

PyTorch is used only where the script has imported it.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_tensor(x: Any) -> bool:
    """Whether ``x`` is a tensor of PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def to_numpy(x: Any) -> NDArray[Any]:
    """``x`` as a NumPy array; a tensor is taken off its graph and its device."""
    return x.detach().cpu().numpy() if is_tensor(x) else np.asarray(x)


def copy(x: Any) -> Any:
    """A copy of a tensor, off its graph, or as an array of anything else."""
    return x.detach().clone() if is_tensor(x) else np.array(x)


def class_index(x: Any, name: str) -> int:
    """The index of a class: a whole number, or a tensor or array of one.

    Raises TypeError for anything else and IndexError below 0, where PyTorch counts from the end; ``name`` is the
    argument's.
    """
    try:
        if isinstance(x, (bool, np.bool_)):
            raise TypeError
        index = operator.index(x)
    except TypeError:
        # That of an array has several lines.
        shown = " ".join(repr(x).split())
        raise TypeError(f"{name}: class {shown}, expected the index of a class") from None
    if index < 0:
        raise IndexError(f"{name}: class {index}, expected 0 or more")
    return index


def class_indices(x: Any, count: int, name: str) -> list[int]:
    """One class for all of ``count`` images, or that of each.

    Raises TypeError for what is neither an index nor a sequence of them; otherwise as :func:`class_index`.
    """
    is_several = getattr(x, "ndim", 0) == 1 or (isinstance(x, Sequence) and not isinstance(x, (str, bytes, bytearray)))
    if not is_several:
        return [class_index(x, name)] * count
    if len(x) != count:
        raise ValueError(f"{name}: {len(x)} for {count} images, expected one for each")
    return [class_index(index, name) for index in x]


def like(array: NDArray[Any], x: Any) -> Any:
    """``array`` as a tensor on the device of ``x`` where ``x`` is one, otherwise unchanged."""
    if is_tensor(x):
        return sys.modules["torch"].from_numpy(np.ascontiguousarray(array)).to(x.device)
    return array


def images(x: Any, name: str) -> NDArray[Any]:
    """Prepared images, (N, C, H, W) of a floating-point type.

    Raises TypeError or ValueError for anything else; ``name`` is the argument's.
    """
    array = to_numpy(x)
    if array.ndim != 4:
        raise ValueError(f"{name}: shape {array.shape}, expected (N, C, H, W)")
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"{name}: {array.dtype}, expected normalized images of a floating-point type")
    return array
