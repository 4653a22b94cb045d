"""Arrays and tensors: what a script passes in, as NumPy arrays, and results of the same kind.

PyTorch is used only where the script has imported it.
"""

from __future__ import annotations

import sys
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
