"""Models: image classifiers with one or more exits, on a device."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _inputs, _native
from .errors import MsdcamWarning
from .explanation import STATUSES, Explanation, explanation
from .predictions import Predictions

__all__ = ["Exit", "Model", "Tap", "load"]


@dataclass(frozen=True)
class Exit:
    """A classifier inside a model."""

    index: int
    """From 1."""
    tap: str
    """The name of its own tap: the feature map that its head reads."""
    taps: tuple[str, ...]
    """The names of all taps that its scores depend on, where it can be explained."""
    multiply_adds: int
    """Multiply-adds from the image to this exit, with all heads up to it."""
    parameters: int
    """Parameters of its block and head."""


@dataclass(frozen=True)
class Tap:
    """A feature map at which an activation map can be made."""

    name: str
    """``exit3`` for the one that exit 3 reads, ``layer12.scale2`` or a name of the ONNX file for others."""
    channels: int
    height: int
    width: int
    exits: tuple[int, ...]
    """The exits, from 1, whose scores depend on it."""


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    device: str = "auto",
    threads: int = 0,
    input_size: int | tuple[int, int] | None = None,
    normalize: str | tuple[Sequence[float], Sequence[float]] | None = None,
    labels: str | os.PathLike[str] | Sequence[str] | None = None,
    fit: str | None = None,
) -> Model:
    """Load a model.

    ``path`` is a weights file of ``msdcam convert``, an ONNX file of a convolutional network, or ``None`` for the
    built-in network (CIFAR-10, ten exits). ``device`` is "cpu", "cuda", "cuda:1", or "auto" for the first GPU if there
    is one; ``threads`` are those of the CPU, 0 for one a core.

    For ONNX files: ``input_size`` is the height and width of an input that may have any; ``normalize`` is none,
    cifar10, cifar100, imagenet, or the means and standard deviations of red, green and blue; ``labels`` is "imagenet",
    a file with a name a line, or the names themselves (of any model). ``fit`` is how photos are brought to the input:
    crop, crop256, stretch or pad.

    Raises ``FileError`` (``FileNotFoundError`` where there is no file), ``DeviceError``, or ``ValueError`` for options
    that do not fit.
    """
    options = {
        "device": device,
        "threads": threads,
        "input_size": input_size,
        "normalize": normalize,
        "labels": labels if labels is None or isinstance(labels, str) else _plain(labels),
        "fit": fit,
    }
    return Model(None if path is None else os.path.abspath(_inputs.path(path)), options, shown=path)


def _plain(labels: os.PathLike[str] | Sequence[str]) -> str | list[str]:
    if isinstance(labels, os.PathLike):
        return os.path.abspath(_inputs.path(labels))
    return _inputs.names(labels, "labels")


def _restore(path: str | None, options: dict[str, Any]) -> Model:
    """The model of a pickle: loaded again, from the same file with the same options."""
    return Model(path, options)


class Model:
    """An image classifier on a device; :func:`load` makes it.

    Its methods may be called from several threads, which take turns: for more throughput use more threads of the CPU
    (``load(threads=...)``) or one process for each. Computations run without the GIL, and Ctrl-C ends them between
    two batches. A signal handler or finalizer that calls the model while it computes on the same thread gets
    ``RuntimeError``. After ``os.fork`` the child makes threads of its own; a pickle holds the path and the options, and
    loads the model again.
    """

    __slots__ = ("__weakref__", "_exits", "_info", "_native", "_options", "_path", "_taps", "labels")

    labels: tuple[str, ...]
    """The names of the classes."""

    def __init__(
        self, path: str | None, options: dict[str, Any], *, shown: str | os.PathLike[str] | None = None
    ) -> None:
        labels = options["labels"]
        if isinstance(labels, str) and labels != "imagenet":
            labels = options["labels"] = os.path.abspath(_inputs.path(labels))
        device = _inputs.text(options["device"], "device")
        file = {
            "input_size": _inputs.size(options["input_size"]),
            "normalize": _inputs.normalization(options["normalize"]),
            "labels": labels if isinstance(labels, str) else None,
            "names": None if isinstance(labels, str) else labels,
            "fit": _inputs.optional_text(options["fit"], "fit"),
        }
        threads = _inputs.count(options["threads"], "threads")
        # Messages name the file as the caller did.
        given = path if shown is None else _inputs.path(shown)
        self._native = _native.Network(given, device, threads, file)
        self._path, self._options = path, options
        info = self._info = self._native.info()
        self.labels = tuple(info["labels"])
        self._exits = tuple(
            Exit(index, own, tuple(taps), multiply_adds, parameters)
            for index, own, taps, multiply_adds, parameters in info["exits"]
        )
        self._taps = tuple(
            Tap(name, channels, height, width, tuple(exits))
            for name, channels, height, width, exits in info["taps"]
        )
        if info["gpu_error"] is not None:
            _warn(f"device auto: the CPU, as the GPU cannot be used: {info['gpu_error']}")

    @property
    def path(self) -> str | None:
        """The file, as an absolute path; ``None`` for the built-in network."""
        return self._path

    @property
    def device(self) -> str:
        """"cpu", or "cuda:0" and so on."""
        return self._info["device"]

    @property
    def threads(self) -> int:
        """Threads of the CPU."""
        return self._info["threads"]

    @property
    def description(self) -> str:
        """The device and its size, such as ``cpu (2 threads, avx512)``."""
        return self._native.description()

    @property
    def exits(self) -> tuple[Exit, ...]:
        """The exits, exit 1 first."""
        return self._exits

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The feature maps at which activation maps can be made: the exits' own, then those of inner layers."""
        return self._taps

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(3, H, W) of the input."""
        return self._info["input_shape"]

    @property
    def mean(self) -> tuple[float, ...]:
        """Subtracted from pixels in [0, 1]: red, green, blue."""
        return tuple(self._info["mean"])

    @property
    def std(self) -> tuple[float, ...]:
        """What the difference is divided by: red, green, blue."""
        return tuple(self._info["std"])

    @property
    def fit(self) -> str:
        """How photos are brought to the input: crop, crop256, stretch or pad."""
        return self._info["fit"]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed of an ONNX file, and what of it is passed over."""
        return tuple(self._info["notes"])

    def prepare(self, image: _inputs.Photo) -> NDArray[np.float32]:
        """The network's input for a photo: (3, H, W), resized, cropped and normalized as on the command line."""
        return self._native.prepare(_inputs.photo(image))

    def explain(
        self,
        images: Any,
        *,
        exits: _inputs.Exits = None,
        method: str | Sequence[str] = "grad-cam",
        target: Any = "predicted",
        tap: str | Sequence[str] | None = None,
        score: str = "logit",
        fuse: str | None = None,
        smooth: str = "none",
        samples: int = 50,
        noise: float = 0.15,
        seed: int = 0,
        steps: int = 50,
        baseline: str = "zero",
        max_memory: int | str = "1G",
        batch_size: int | None = None,
    ) -> Explanation:
        """Explain images: where each exit looks.

        ``images`` is a photo (a path, a PIL image, or (H, W, 3) of uint8), a list of photos, an array of photos
        (N, H, W, 3) of uint8, or normalized images of a float type, (N, 3, H, W) or (3, H, W) at the network's size.
        Tensors of PyTorch and others are read by DLPack without a copy. Infinite and NaN elements are refused.

        The result keeps a copy of arrays, and the absolute paths of files, for its pictures: what the caller does
        afterwards does not change it.

        ``exits`` are numbered from 1, in ascending order; ``None`` for all. ``method`` is one name or several.
        ``target`` is "predicted" (by each exit), "final" (by the last exit), "top3", a class by index or name, or
        a list with the class of each image. ``tap`` is where maps are made: each exit's own, "all-scales", or
        names; ``fuse`` is how several become one map: mean, max or refine-cam. ``score`` is logit, probability or
        margin. ``smooth`` is none or flips. ``samples``, ``noise``, ``seed`` are for smooth-grad, ``steps`` and
        ``baseline`` (zero, black, white) for integrated-gradients; ``max_memory`` is for methods with many runs.

        Results do not depend on ``batch_size``, the most images that are computed at once. Maps without information
        are zero, and a warning counts them.

        Raises ``IndexError`` for an exit or class that the network lacks, ``ValueError`` and ``TypeError`` for other
        arguments that do not fit, ``FileError`` for a photo that cannot be read, ``DeviceError``, ``MemoryError``, and
        ``KeyboardInterrupt`` after Ctrl-C; the model is usable afterwards. A signal handler or finalizer that calls the
        model while it computes on the same thread gets ``RuntimeError``.
        """
        given = _inputs.images(images, self.input_shape)
        chosen, labels = _inputs.target(target, self.labels)
        if chosen == "label" and len(given) != len(labels):
            raise ValueError(f"target: {len(labels)} classes for {len(given)} images")
        request = {
            "exits": _inputs.exits(exits, len(self._exits)),
            "methods": _inputs.names(method, "method"),
            "target": chosen,
            "tap": "own" if tap is None else ",".join(_inputs.names(tap, "tap")),
            "score": _inputs.text(score, "score"),
            "fuse": _inputs.optional_text(fuse, "fuse"),
            "smooth": _inputs.text(smooth, "smooth"),
            "samples": _inputs.count(samples, "samples"),
            "noise": _inputs.number(noise, "noise"),
            "seed": _inputs.count(seed, "seed"),
            "steps": _inputs.count(steps, "steps"),
            "baseline": _inputs.text(baseline, "baseline"),
            "max_memory": _inputs.memory(max_memory),
        }
        batch = _inputs.optional_count(batch_size, "batch_size", 1)
        sources = _inputs.sources(given, images)
        found = self._native.explain(given.tensor, given.photos, request, labels, batch)
        result = explanation(self, found, request, sources)
        _warn_of_maps(result)
        return result

    def classify(
        self,
        images: Any,
        *,
        early_exit: float | Sequence[float | None] | None = None,
        exits: _inputs.Exits = None,
        batch_size: int | None = None,
    ) -> Predictions:
        """Classify images, given as to :meth:`explain`.

        With ``early_exit`` an image stops at the first exit whose confidence reaches the threshold, above 0 and at
        most 1: one for all exits, or one for each (``None`` where no image stops). Later exits are not computed.
        """
        given = _inputs.images(images, self.input_shape)
        chosen = _inputs.exits(exits, len(self._exits))
        count = len(self._exits) if chosen is None else len(chosen)
        found = self._native.classify(
            given.tensor,
            given.photos,
            chosen,
            _inputs.thresholds(early_exit, count),
            _inputs.optional_count(batch_size, "batch_size", 1),
        )
        rows = np.arange(len(given))
        stopped, numbers = found["stopped"], np.asarray(found["exits"], dtype=np.int64)
        logits, probabilities = found["logits"], found["probabilities"]
        predicted = np.argmax(logits[rows, stopped], axis=1).astype(np.int64)
        return Predictions(
            exit=numbers[stopped],
            predicted=predicted,
            confidence=probabilities[rows, stopped, predicted],
            logits=logits,
            probabilities=probabilities,
            multiply_adds=np.asarray(found["multiply_adds"], dtype=np.int64)[stopped],
            exits=tuple(found["exits"]),
            labels=self.labels,
        )

    def evaluate(
        self,
        images: Any,
        labels: Any = None,
        *,
        exits: _inputs.Exits = None,
        early_exit: float | Sequence[float | None] | None = None,
        budget: float | None = None,
        format: str = "auto",
        labels_by: str = "auto",
        limit: int | None = None,
        batch_size: int = 64,
    ) -> dict[str, Any]:
        """Evaluate every exit on labeled images: accuracy, calibration, hardness, budgets.

        ``images`` is a folder with a subfolder for each class, a CIFAR file, or a list of them; or images as to
        :meth:`explain`, with ``labels``, the class of each. The result has the keys of ``msdcam evaluate --json``
        but for times, ``weights``, ``source_sha256`` and ``same_predictions`` of ``early_exit``; ``label_mapping`` is
        there for files alone. ``early_exit`` (as for :meth:`classify`) or ``budget``, a mean of multiply-adds per image,
        adds what is saved. ``format``, ``labels_by`` and ``limit`` are for folders and files, as on the command line,
        and refused for given images.

        Images that cannot be used are left out, with a warning.
        """
        chosen = _inputs.exits(exits, len(self._exits))
        count = len(self._exits) if chosen is None else len(chosen)
        thresholds = _inputs.thresholds(early_exit, count)
        files, given, classes = self._labeled(images, labels, format, labels_by, limit)
        if files is None and labels is None:
            raise ValueError("labels: evaluate needs the class of each image")
        text, failed = self._native.evaluate(
            files,
            given.tensor,
            given.photos,
            classes,
            chosen,
            thresholds,
            None if budget is None else _inputs.number(budget, "budget"),
            _inputs.count(batch_size, "batch_size", 1),
        )
        return _report(text, failed)

    def faithfulness(
        self,
        images: Any,
        labels: Any = None,
        *,
        exits: _inputs.Exits = None,
        method: str | Sequence[str] = "grad-cam",
        target: str | int = "predicted",
        skip: str | Sequence[str] = (),
        steps: int | None = None,
        baseline: str | None = None,
        mask_space: str = "image",
        ties: str = "position",
        percentiles: Sequence[float] = (10, 20, 30, 40, 50, 60, 70, 80, 90),
        road_noise: float = 0.01,
        seed: int = 0,
        randomize: int = 0,
        max_memory: int | str = "1G",
        format: str = "auto",
        labels_by: str = "auto",
        limit: int | None = None,
    ) -> dict[str, Any]:
        """Measure whether the model relies on what its maps show.

        ``images`` and ``labels`` are as for :meth:`evaluate`; labels are needed for the target "label" only. Of each
        method and exit ``rows`` has the metrics of ``msdcam faithfulness --json``: average drop, increase and gain,
        complexity, coherency and ADCC, insertion and deletion, ROAD, and agreement with the last exit.
        ``skip`` leaves out curves, road or coherency; ``randomize`` is the number of images for the randomization
        check, 0 for none. The others are settings of the metrics, as on the command line.

        Images that cannot be used are left out, with a warning.
        """
        files, given, classes = self._labeled(images, labels, format, labels_by, limit)
        settings = {
            "exits": _inputs.exits(exits, len(self._exits)),
            "methods": _inputs.names(method, "method"),
            "target": _inputs.one_target(target, self.labels),
            "skip": _inputs.names(skip, "skip"),
            "steps": _inputs.optional_count(steps, "steps", 1),
            "baseline": _inputs.optional_text(baseline, "baseline"),
            "mask_space": _inputs.text(mask_space, "mask_space"),
            "ties": _inputs.text(ties, "ties"),
            "percentiles": _inputs.numbers(percentiles, "percentiles"),
            "road_noise": _inputs.number(road_noise, "road_noise"),
            "seed": _inputs.count(seed, "seed"),
            "max_memory": _inputs.memory(max_memory),
            "randomize": _inputs.count(randomize, "randomize"),
        }
        text, failed = self._native.faithfulness(files, given.tensor, given.photos, classes, settings)
        return _report(text, failed)

    def _labeled(
        self, images: Any, labels: Any, format: str, labels_by: str, limit: int | None
    ) -> tuple[dict[str, Any] | None, _inputs.Images, list[int]]:
        """The files of a set, or the given images and their classes."""
        if labels is None and _inputs.is_paths(images):
            files = {
                "paths": _inputs.paths(images),
                "format": _inputs.text(format, "format"),
                "labels_by": _inputs.text(labels_by, "labels_by"),
                "limit": _inputs.optional_count(limit, "limit", 1),
            }
            return files, _inputs.Images(None, None), []
        format, labels_by = _inputs.text(format, "format"), _inputs.text(labels_by, "labels_by")
        limit = _inputs.optional_count(limit, "limit", 1)
        of_files = {"format": format != "auto", "labels_by": labels_by != "auto", "limit": limit is not None}
        for name in (name for name, is_given in of_files.items() if is_given):
            raise ValueError(f"{name}: is for folders and files of a set, not for given images")
        given = _inputs.images(images, self.input_shape)
        classes = [] if labels is None else _inputs.classes(labels, self.labels, "labels")
        if labels is not None and len(classes) != len(given):
            raise ValueError(f"labels: {len(classes)} classes for {len(given)} images")
        return None, given, classes

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._path, self._options)

    def __copy__(self) -> Model:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        return self

    def __repr__(self) -> str:
        name = "built-in" if self._path is None else _inputs.shown(os.path.basename(self._path))
        _, height, width = self.input_shape
        exits = f"{len(self._exits)} exit{'s' if len(self._exits) > 1 else ''}"
        return f"<msdcam.Model {name}: {exits}, {len(self.labels)} classes, {height} x {width} pixels, {self.device}>"


def _report(text: str, failed: list[str]) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(text)
    if failed:
        more = f", and {len(failed) - 3} more" if len(failed) > 3 else ""
        images = "1 image was" if len(failed) == 1 else f"{len(failed)} images were"
        _warn(f"{images} left out: {'; '.join(failed[:3])}{more}")
    return report


def _warn(text: str, depth: int = 4) -> None:
    warnings.warn(text, MsdcamWarning, stacklevel=depth)


def _warn_of_maps(result: Explanation) -> None:
    """One warning about all maps that carry no information, where an exit has the tap."""
    arrays = [maps.status_code for maps in result.maps] + list(result.pixel_status_code.values())
    counts = sum((np.bincount(codes.reshape(-1), minlength=len(STATUSES)) for codes in arrays), np.zeros(5, int))
    parts = [f"{count} {name}" for name, count in list(zip(STATUSES, counts.tolist()))[1:4] if count]
    if parts:
        maps = int(counts[:4].sum())
        _warn(f"{int(counts[1:4].sum())} of {maps} maps carry no information ({', '.join(parts)}): see status")
