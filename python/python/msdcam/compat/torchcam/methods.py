"""The extractors of torchcam over msdcam: same arguments, same maps.

An extractor watches the calls of its model and explains the images of the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..network import Network, activation_maps, network_of, taps_of
from ..scaling import normalize, resize

__all__ = [
    "CAM",
    "FinerCAM",
    "GradCAM",
    "GradCAMpp",
    "ISCAM",
    "LayerCAM",
    "LeGrad",
    "RefineCAM",
    "SSCAM",
    "ScoreCAM",
    "SmoothGradCAMpp",
    "XGradCAM",
]


class _CAM:
    """A CAM method for one exit of a model.

    Args:
        model: from :func:`msdcam.compat.load`.
        target_layer: a layer (``model.layer4``), the path of a module (``"layer4"``), the name of a tap, or a list of
            them; the last feature map of more than one pixel if left out, as in torchcam.
        input_shape: accepted, not used: the model knows it.
        enable_hooks: whether calls of the model are watched from the start.
        reshape_transform: must be None: there are no transformers.
    """

    method: str = ""

    def __init__(
        self,
        model: Any,
        target_layer: Any = None,
        input_shape: Sequence[int] | None = None,
        enable_hooks: bool = True,
        reshape_transform: Any = None,
    ) -> None:
        if reshape_transform is not None:
            raise NotImplementedError(
                f"{type(self).__name__}: reshape_transform is for transformers, which msdcam does not run"
            )
        if not isinstance(model, Network):
            network_of(model)
            raise TypeError("model: an extractor watches calls of the model, which takes msdcam.compat.load(path)")
        layers = [target_layer] if target_layer is not None and not isinstance(target_layer, list) else target_layer
        self.model = model
        self._taps = [model._last_tap()] if layers is None else taps_of(model, layers, "target_layer")
        self.target_names = [tap or model.msdcam.exits[model.exit - 1].tap for tap in self._taps]
        self._images: Any = None
        self._enabled = enable_hooks
        model._observers.add(self)

    def _observe(self, images: Any) -> None:
        if self._enabled:
            # The caller may write the next batch into it.
            self._images = arrays.copy(images)

    def enable_hooks(self) -> None:
        """Watch calls of the model."""
        self._enabled = True

    def disable_hooks(self) -> None:
        """Do not watch calls of the model."""
        self._enabled = False

    def reset_hooks(self) -> None:
        """Forget the images of the last call."""
        self._images = None

    def remove_hooks(self) -> None:
        """Never again watch calls of the model."""
        self.model._observers.discard(self)

    def __enter__(self) -> _CAM:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove_hooks()
        self.reset_hooks()

    def __call__(
        self,
        class_idx: int | Sequence[int] | None = None,
        scores: Any = None,
        normalized: bool = True,
        *,
        targets: Any = None,
    ) -> list[Any]:
        """Activation maps (N, h, w), one array for each layer, for the images of the model's last call.

        Args:
            class_idx: the class that is explained, or one for each image.
            scores: what the model returned; not used, the logits are the model's own.
            normalized: whether each map is scaled to [0, 1].
            targets: must be None: msdcam explains the logit of a class.

        Raises:
            RuntimeError: if the model has not been called.
            TypeError: for a class that is no whole number.
            ValueError: if there is no class, or not one for each image.
            IndexError: for a class that does not exist.
        """
        name = type(self).__name__
        if targets is not None:
            raise NotImplementedError(f"{name}: targets: msdcam explains the logit of a class; pass class_idx")
        if class_idx is None:
            raise ValueError(f"{name}: no class_idx")
        if self._images is None:
            raise RuntimeError(f"{name}: call the model with images first")
        images = np.ascontiguousarray(arrays.images(self._images, "images"))
        classes = arrays.class_indices(class_idx, len(images), "class_idx")
        maps = []
        for tap in self._taps:
            cam, _ = activation_maps(self.model, images, self.method, classes, "logit", tap)
            maps.append(arrays.like(normalize(cam) if normalized else np.array(cam), self._images))
        return maps

    @classmethod
    def fuse_cams(cls, cams: list[Any], target_shape: tuple[int, int] | None = None) -> Any:
        """The maximum (N, h, w) of the maps of several layers, each resized to the largest or to ``target_shape``."""
        if not isinstance(cams, list):
            raise TypeError(f"cams: {type(cams).__name__}, expected a list of maps (N, h, w)")
        if not cams:
            raise ValueError("cams: an empty list")
        if len(cams) == 1:
            return cams[0]
        maps = [arrays.to_numpy(cam) for cam in cams]
        if target_shape is None:
            target_shape = (max(cam.shape[1] for cam in maps), max(cam.shape[2] for cam in maps))
        fused = np.max([resize(cls._scaled(cam), *target_shape) for cam in maps], axis=0)
        return arrays.like(fused, cams[0])

    @staticmethod
    def _scaled(cam: NDArray[Any]) -> NDArray[Any]:
        return cam

    def __repr__(self) -> str:
        return f"{type(self).__name__}(target_layer={self.target_names})"


class GradCAM(_CAM):
    """Grad-CAM: channels weighted by the mean of their gradient."""

    method = "grad-cam"


class XGradCAM(_CAM):
    """XGrad-CAM: channels weighted by their gradient's mean over the activation."""

    method = "xgrad-cam"


class LayerCAM(_CAM):
    """LayerCAM: positive gradient times activation, element by element."""

    method = "layer-cam"

    @staticmethod
    def _scaled(cam: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(np.tanh(2 * cam))


def _without_equivalent(name: str, why: str) -> type:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"torchcam's {name}: {why}")

    return type(name, (), {"__init__": __init__, "__doc__": f"Not here: raises NotImplementedError. {why}."})


# Importable, so that a script that imports them and does not use them runs.
GradCAMpp = _without_equivalent(
    "GradCAMpp",
    "its coefficients are not those of pytorch-grad-cam, which msdcam computes: model.explain(x, method='grad-cam++')",
)
ScoreCAM = _without_equivalent(
    "ScoreCAM",
    "it resizes masks otherwise than pytorch-grad-cam, as msdcam does: model.explain(x, method='score-cam')",
)
CAM = _without_equivalent("CAM", "its map is not rectified; model.explain(x, method='cam') is")
SmoothGradCAMpp = _without_equivalent("SmoothGradCAMpp", "its noise cannot be repeated; msdcam has no such method")
SSCAM = _without_equivalent("SSCAM", "its noise cannot be repeated; msdcam has no such method")
ISCAM = _without_equivalent("ISCAM", "msdcam has no such method")
LeGrad = _without_equivalent("LeGrad", "it is for transformers, which msdcam does not run")
FinerCAM = _without_equivalent(
    "FinerCAM", "msdcam has no such method; msdcam explain --minus explains a difference of two classes"
)
RefineCAM = _without_equivalent("RefineCAM", "msdcam has pytorch-grad-cam's: msdcam.compat.pytorch_grad_cam.RefineCAM")
