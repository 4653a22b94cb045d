"""The CAM classes of pytorch-grad-cam over msdcam: same arguments, same maps."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..network import activation_maps, network_of, taps_of
from ..scaling import scale_cam_image

# Classes of model_targets, also those of pytorch-grad-cam itself, and the score that each stands for.
SCORES = {"ClassifierOutputTarget": "logit", "ClassifierOutputSoftmaxTarget": "probability"}


class BaseCAM:
    """A CAM method for one exit of a model, as pytorch-grad-cam's class of the same name.

    Args:
        model: from :func:`msdcam.compat.load`, or a :class:`msdcam.Model`, of which the last exit is explained.
        target_layers: layers (``model.layer4[-1]``), paths of modules (``"layer4.1"``) or names of taps, of
            whose maps the mean is taken; the feature map that the exit's classifier reads if left out.
        reshape_transform: must be None: there are no transformers.

    Attributes:
        outputs: logits (N, classes) of the last call.
        batch_size: accepted, not used: batches are limited by memory.
    """

    method: str = ""

    def __init__(
        self,
        model: Any,
        target_layers: Sequence[Any] | None = None,
        reshape_transform: Callable[..., Any] | None = None,
    ) -> None:
        if reshape_transform is not None:
            raise NotImplementedError(
                f"{type(self).__name__}: reshape_transform is for transformers, which msdcam does not run"
            )
        self.model = network_of(model)
        self.target_layers = target_layers
        self._taps = taps_of(self.model, target_layers, "target_layers")
        self.outputs: Any = None

    def __call__(
        self,
        input_tensor: Any,
        targets: Sequence[Any] | None = None,
        aug_smooth: bool = False,
        eigen_smooth: bool = False,
    ) -> NDArray[Any]:
        """Heatmaps (N, H, W) in [0, 1], float32.

        Args:
            input_tensor: normalized images (N, C, H, W), a tensor or an array.
            targets: one for each image, ``ClassifierOutputTarget`` or ``ClassifierOutputSoftmaxTarget``; the
                predicted classes if None.
            aug_smooth: the mean over the image and its mirror image, each times 0.9, 1 and 1.1.
            eigen_smooth: the first principal component of gradient times activation; HiResCAM has it.

        Raises:
            ValueError: for images of another shape or targets of another number.
            IndexError: for a class that does not exist.
            NotImplementedError: for targets and smoothing that msdcam does not have.
        """
        images = arrays.images(input_tensor, "input_tensor")
        method = self._smoothed() if eigen_smooth else self.method
        if not aug_smooth:
            return self._explain(images, input_tensor, targets, method)
        maps = []
        for mirrored in (False, True):
            for factor in (0.9, 1, 1.1):
                copies = (images[..., ::-1] if mirrored else images) * np.asarray(factor, images.dtype)
                heat = self._explain(copies, input_tensor, targets, method)
                maps.append(heat[..., ::-1] if mirrored else heat)
        return np.asarray(np.mean(np.asarray(maps, np.float32), axis=0))

    def _explain(self, images: NDArray[Any], source: Any, targets: Sequence[Any] | None, method: str) -> NDArray[Any]:
        images = np.ascontiguousarray(images)
        heat = np.empty((len(images), len(self._taps), *images.shape[2:]), np.float32)
        logits: NDArray[Any] | None = None
        for score, chosen, classes in scores_of(targets, len(images)):
            batch = images if chosen is None else images[chosen]
            rows = slice(None) if chosen is None else chosen
            for index, tap in enumerate(self._taps):
                cam, outputs = activation_maps(self.model, batch, method, classes, score, tap)
                heat[rows, index] = scale_cam_image(cam, (images.shape[3], images.shape[2]))
            if logits is None:
                logits = np.empty((len(images), outputs.shape[1]), np.float32)
            logits[rows] = outputs
        self.outputs = None if logits is None else arrays.like(logits, source)
        return scale_cam_image(heat.mean(axis=1))

    def _smoothed(self) -> str:
        raise NotImplementedError(
            f"{type(self).__name__}: eigen_smooth needs the activations, which msdcam does not return; "
            "HiResCAM has it, as EigenGradCAM"
        )

    def __enter__(self) -> BaseCAM:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to release: errors are not caught."""


def scores_of(targets: Sequence[Any] | None, count: int) -> list[tuple[str, NDArray[Any] | None, Any]]:
    """For each kind of score: its name, the indices of its images (None: all) and their classes."""
    if targets is None:
        return [("logit", None, "predicted")]
    targets = list(targets)
    if len(targets) != count:
        raise ValueError(f"targets: {len(targets)} for {count} images, expected one for each")
    scores = np.array([_score(target, index) for index, target in enumerate(targets)])
    classes = np.array([_category(target, index) for index, target in enumerate(targets)], np.int64)
    kinds = sorted(set(scores.tolist()))
    if len(kinds) == 1:
        return [(kinds[0], None, classes.tolist())]
    groups = ((kind, np.flatnonzero(scores == kind)) for kind in kinds)
    return [(kind, chosen, classes[chosen].tolist()) for kind, chosen in groups]


def _score(target: Any, index: int) -> str:
    name = type(target).__name__
    if name not in SCORES:
        raise NotImplementedError(
            f"targets[{index}]: {name}; msdcam explains the score of one class: {' or '.join(SCORES)}"
        )
    return SCORES[name]


def _category(target: Any, index: int) -> int:
    return arrays.class_index(target.category, f"targets[{index}]")


class GradCAM(BaseCAM):
    """Grad-CAM: channels weighted by the mean of their gradient."""

    method = "grad-cam"


class HiResCAM(BaseCAM):
    """HiResCAM: gradient times activation, element by element."""

    method = "hires-cam"

    def _smoothed(self) -> str:
        warn_of_sign("HiResCAM with eigen_smooth")
        return "eigen-grad-cam"


class XGradCAM(BaseCAM):
    """XGrad-CAM: channels weighted by their gradient's mean over the activation."""

    method = "xgrad-cam"


class GradCAMPlusPlus(BaseCAM):
    """Grad-CAM++: channels weighted by their positive gradients."""

    method = "grad-cam++"


class LayerCAM(BaseCAM):
    """LayerCAM: positive gradient times activation, element by element."""

    method = "layer-cam"


class GradCAMElementWise(BaseCAM):
    """Grad-CAM element-wise: the positive products of gradient and activation."""

    method = "grad-cam-elementwise"


class ScoreCAM(BaseCAM):
    """Score-CAM: channels weighted by the score of the image masked by them."""

    method = "score-cam"


class AblationCAM(BaseCAM):
    """Ablation-CAM: channels weighted by what the score loses without them.

    A channel is ablated by zeros. Where a layer has negative values, pytorch-grad-cam takes a value far
    below them instead: a UserWarning says so for layers that are not known to have none.

    Raises NotImplementedError for a ratio other than 1.
    """

    method = "ablation-cam"

    def __init__(
        self,
        model: Any,
        target_layers: Sequence[Any] | None = None,
        reshape_transform: Callable[..., Any] | None = None,
        ablation_layer: Any = None,
        batch_size: int = 32,
        ratio_channels_to_ablate: float = 1.0,
    ) -> None:
        if ratio_channels_to_ablate != 1.0 or ablation_layer is not None:
            raise NotImplementedError("AblationCAM: msdcam ablates every channel, by zeros; leave ratio and layer out")
        super().__init__(model, target_layers, reshape_transform)
        self.batch_size = batch_size
        unknown = [tap for tap in self._taps if tap is not None and "relu" not in tap.rpartition("/")[2].lower()]
        if unknown:
            warnings.warn(
                f"AblationCAM: {unknown[0]}: if it has negative values, pytorch-grad-cam does not ablate by zeros, "
                "as msdcam does",
                stacklevel=2,
            )


class EigenCAM(BaseCAM):
    """Eigen-CAM: first principal component of the activations.

    A component's sign is arbitrary. Here the element farthest from zero is positive; pytorch-grad-cam takes what
    LAPACK returns, so that its map may be that of the other sign. A UserWarning says so.
    """

    method = "eigen-cam"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        warn_of_sign(type(self).__name__)

    def _smoothed(self) -> str:
        return self.method


class EigenGradCAM(EigenCAM):
    """Eigen-Grad-CAM: first principal component of gradient times activation; its sign as in :class:`EigenCAM`."""

    method = "eigen-grad-cam"


class RefineCAM:
    """RefineCAM: the product of the maps of several layers, each made by ``base_method``."""

    def __init__(
        self,
        model: Any,
        target_layers: Sequence[Any],
        reshape_transform: Callable[..., Any] | None = None,
        base_method: type[BaseCAM] = GradCAMPlusPlus,
        **options: Any,
    ) -> None:
        self.base_cam_per_layer = [base_method(model, [layer], reshape_transform, **options) for layer in target_layers]
        if not self.base_cam_per_layer:
            raise ValueError("target_layers: an empty list")

    def __call__(
        self, input_tensor: Any, targets: Sequence[Any] | None = None, eigen_smooth: bool = False
    ) -> NDArray[Any]:
        """Heatmaps (N, H, W) in [0, 1], float32."""
        # The original passes eigen_smooth where its base takes aug_smooth.
        maps = [base(input_tensor, targets, eigen_smooth) for base in self.base_cam_per_layer]
        return scale_cam_image(np.prod(maps, axis=0))


def warn_of_sign(what: str) -> None:
    """A warning that the sign of a principal component is not the original's."""
    warnings.warn(
        f"{what}: the sign of a principal component is arbitrary; msdcam makes the element farthest from zero "
        "positive, pytorch-grad-cam takes LAPACK's",
        stacklevel=3,
    )


def _without_equivalent(name: str, instead: str) -> type:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"{name} has no equivalent in msdcam{instead}")

    return type(name, (), {"__init__": __init__, "__doc__": f"Not in msdcam: raises NotImplementedError{instead}."})


# Importable, so that a script that imports them and does not use them runs.
FullGrad = _without_equivalent("FullGrad", "; LayerCAM on early layers is closest")
ShapleyCAM = _without_equivalent("ShapleyCAM", "")
FinerCAM = _without_equivalent("FinerCAM", "; msdcam explain --minus explains the difference of two classes")
FEM = _without_equivalent("FEM", "")
KPCA_CAM = _without_equivalent("KPCA_CAM", "")
RandomCAM = _without_equivalent("RandomCAM", "; msdcam faithfulness compares with random maps")
SegEigenCAM = _without_equivalent("SegEigenCAM", "")
SESS = _without_equivalent("SESS", "")
DeepFeatureFactorization = _without_equivalent("DeepFeatureFactorization", "")
