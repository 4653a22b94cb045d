"""Explanations: the result of ``Model.explain``.

Shapes: N images, E exits, K classes, an input of H x W pixels, taps of h x w. With ``target="topT"`` every exit
explains T classes, and a dimension T follows E in all that depends on the class.
"""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from . import _inputs, _native
from .picture import Picture

if TYPE_CHECKING:
    from .model import Model

__all__ = ["STATUSES", "Explanation", "Maps"]

#: Whether a map carries information, and if not, why: no positive evidence, the same value everywhere, not a finite
#: number, or an exit without a tap of that size. Such a map is zero everywhere.
STATUSES = ("ok", "empty", "constant", "nonfinite", "absent")

#: Film strips that a notebook shows at most.
_SHOWN = 8


def _names(codes: NDArray[np.uint8]) -> NDArray[np.str_]:
    return np.asarray(STATUSES)[codes]


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps of one method at one column of taps."""

    method: str
    """The method's name."""
    tap: str
    """The column: ``own``, ``scale1``, a tap's name, or ``fused``."""
    taps: tuple[str, ...]
    """The name of each exit's tap; empty where an exit has none. Of fused maps, no names."""
    heat: NDArray[np.float32]
    """(N, E, H, W) in [0, 1]: each map resized to the input and scaled by its own minimum and maximum."""
    cams: tuple[NDArray[np.float32], ...]
    """For each exit (N, h, w): activation maps after their ReLU, at the size of the exit's tap. Of fused maps, none."""
    status_code: NDArray[np.uint8]
    """(N, E): positions in ``msdcam.STATUSES``."""

    @property
    def status(self) -> NDArray[np.str_]:
        """(N, E): ``ok``, ``empty``, ``constant``, ``nonfinite`` or ``absent``."""
        return _names(self.status_code)

    @property
    def cam(self) -> NDArray[np.float32]:
        """(N, E, h, w): activation maps after their ReLU, where the taps of all exits have one size."""
        if len({cam.shape for cam in self.cams}) != 1:
            sizes = ", ".join(f"{cam.shape[-2]} x {cam.shape[-1]}" for cam in self.cams) or "none"
            raise ValueError(f"cam: the taps of the exits have no size in common ({sizes}); use cams")
        return np.stack(self.cams, axis=1)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Explanations of N images at E exits.

    ``heat``, ``cam`` and ``status`` are those of the first method and tap; ``r["layer-cam"]`` has another method
    first, ``r["layer-cam", "scale2"]`` another tap as well. ``r[3]`` and ``r[2:5]`` are the explanations of some
    images. Arrays are writable, share no memory with the model or the images, and are exported by DLPack without a copy
    (``torch.from_dlpack(r.heat)``).
    """

    exits: tuple[int, ...]
    """The E exits, from 1."""
    labels: tuple[str, ...]
    """The names of the K classes."""
    logits: NDArray[np.float32]
    """(N, E, K): class scores before the softmax."""
    probabilities: NDArray[np.float32]
    """(N, E, K)."""
    predicted: NDArray[np.int64]
    """(N, E): the class that each exit predicts, from 0."""
    target: NDArray[np.int64]
    """(N, E): the class that is explained."""
    score: NDArray[np.float32]
    """(N, E): the score of that class, which is differentiated."""
    maps: tuple[Maps, ...]
    """The maps of each CAM method at each tap; fused maps come before those that they were made of."""
    pixels: Mapping[str, NDArray[np.float32]]
    """For each pixel method (N, E, 3, H, W): attributions of either sign."""
    pixel_status_code: Mapping[str, NDArray[np.uint8]]
    """For each pixel method (N, E): positions in ``msdcam.STATUSES``."""
    _model: Model
    _request: dict[str, Any]
    _sources: Sequence[_inputs.Source] | NDArray[np.float32]

    @property
    def first(self) -> Maps:
        """The maps that ``heat``, ``cam``, ``cams`` and ``status`` are of."""
        if not self.maps:
            raise ValueError(f"no CAM method was asked for: {', '.join(self.pixels)} are in pixels")
        return self.maps[0]

    @property
    def heat(self) -> NDArray[np.float32]:
        """(N, E, H, W) in [0, 1]: heatmaps at the size of the network's input, each on its own scale."""
        return self.first.heat

    @property
    def cam(self) -> NDArray[np.float32]:
        """(N, E, h, w): activation maps after their ReLU, at the size of the tap.

        Where the taps of the exits differ in size this raises ``ValueError``; ``cams`` always has them.
        """
        return self.first.cam

    @property
    def cams(self) -> tuple[NDArray[np.float32], ...]:
        """For each exit (N, h, w): activation maps after their ReLU, at the size of the exit's tap."""
        return self.first.cams

    @property
    def status(self) -> NDArray[np.str_]:
        """(N, E): ``ok``, or why a map is zero everywhere: ``empty`` (no positive evidence), ``constant``,
        ``nonfinite``, ``absent`` (the exit has no such tap)."""
        return self.first.status

    @property
    def taps(self) -> tuple[str, ...]:
        """The name of each exit's tap."""
        return self.first.taps

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods, CAM methods first."""
        return tuple(dict.fromkeys([*(maps.method for maps in self.maps), *self.pixels]))

    @property
    def pixel_status(self) -> dict[str, NDArray[np.str_]]:
        """For each pixel method (N, E): as ``status``."""
        return {method: _names(codes) for method, codes in self.pixel_status_code.items()}

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(N, E): the probability of the predicted class."""
        return np.take_along_axis(self.probabilities, self.predicted[..., None], axis=2)[..., 0]

    def __len__(self) -> int:
        return len(self.logits)

    @overload
    def __getitem__(self, key: str | tuple[str, str]) -> Explanation: ...
    @overload
    def __getitem__(self, key: int | slice) -> Explanation: ...
    def __getitem__(self, key: str | tuple[str, str] | int | slice) -> Explanation:
        """Another method or tap first, by name; or some of the images, by index or slice."""
        if isinstance(key, slice):
            return self._some(key)
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            index = int(key)
            if not -len(self) <= index < len(self):
                raise IndexError(f"image {index}: there are {len(self)}, from 0")
            index %= len(self)
            return self._some(slice(index, index + 1))
        method, tap = key if isinstance(key, tuple) and len(key) == 2 else (key, None)
        if not isinstance(method, str):
            raise TypeError(f"key of type {type(key).__name__}: expected a method, (method, tap), an index or a slice")
        found = [maps for maps in self.maps if maps.method == method and tap in (None, maps.tap)]
        if not found:
            if method in self.pixels:
                raise KeyError(f"{method} is a pixel method: see pixels[{method!r}]")
            known = ", ".join(f"{maps.method} at {maps.tap}" for maps in self.maps) or "no CAM method"
            raise KeyError(f"{method if tap is None else f'{method} at {tap}'}: there are {known}")
        rest = tuple(maps for maps in self.maps if maps not in found)
        return replace(self, maps=(*found, *rest))

    def _some(self, which: slice) -> Explanation:
        def some(maps: Maps) -> Maps:
            cams = tuple(cam[which] for cam in maps.cams)
            return replace(maps, heat=maps.heat[which], cams=cams, status_code=maps.status_code[which])

        return replace(
            self,
            logits=self.logits[which],
            probabilities=self.probabilities[which],
            predicted=self.predicted[which],
            target=self.target[which],
            score=self.score[which],
            maps=tuple(some(maps) for maps in self.maps),
            pixels={method: values[which] for method, values in self.pixels.items()},
            pixel_status_code={method: codes[which] for method, codes in self.pixel_status_code.items()},
            _sources=self._sources[which],
        )

    def top(self, k: int = 5) -> list[list[list[tuple[str, float]]]]:
        """The ``k`` likeliest classes of each image and exit: ``r.top(3)[image][exit]`` is a list of (name,
        probability), from the likeliest on."""
        k = _inputs.count(k, "top", 1)
        # Of equal probabilities the lower class comes first, as everywhere.
        order = np.argsort(-self.probabilities, axis=2, kind="stable")[..., :k]
        best = np.take_along_axis(self.probabilities, order, axis=2)
        return [
            [[(self.labels[c], float(p)) for c, p in zip(cs, ps)] for cs, ps in zip(classes, shares)]
            for classes, shares in zip(order, best)
        ]

    def to_dict(self) -> dict[str, NDArray[np.generic]]:
        """The arrays by name, each with one row an image, as Ray and Arrow take them.

        ``exit``, ``predicted``, ``confidence``, ``target``, ``score`` (N, E); ``logits``, ``probabilities``
        (N, E, K); of the first maps ``heat`` (N, E, H, W), ``status`` (N, E, positions in ``msdcam.STATUSES``) and
        ``cam`` (N, E, h, w), or ``cam.exit1`` and so on where sizes differ; of further maps ``heat.METHOD.TAP`` and
        the like; of pixel methods ``pixels.METHOD`` (N, E, 3, H, W).
        """
        arrays: dict[str, NDArray[np.generic]] = {
            "exit": np.tile(np.asarray(self.exits, dtype=np.int64), (len(self), 1)),
            "predicted": self.predicted,
            "confidence": self.confidence,
            "target": self.target,
            "score": self.score,
            "logits": self.logits,
            "probabilities": self.probabilities,
        }
        for position, maps in enumerate(self.maps):
            suffix = f".{maps.method}.{maps.tap}" if position else ""
            arrays[f"heat{suffix}"] = maps.heat
            arrays[f"status{suffix}"] = maps.status_code
            if len({cam.shape for cam in maps.cams}) == 1:
                arrays[f"cam{suffix}"] = maps.cam
            else:
                for exit, cam in zip(self.exits, maps.cams):
                    arrays[f"cam{suffix}.exit{exit}"] = cam
        for method, values in self.pixels.items():
            arrays[f"pixels.{method}"] = values
            arrays[f"status.{method}"] = self.pixel_status_code[method]
        return arrays

    def overlay(
        self,
        image: int = 0,
        exit: int | None = None,
        *,
        method: str | None = None,
        tap: str | None = None,
        rank: int = 0,
        size: int = 512,
        colormap: str | None = None,
        heat_alpha: float | None = None,
        scale: str = "own",
        contours: float | Sequence[float] = (),
        boxes: str | float | None = None,
        style: str | None = None,
    ) -> Picture:
        """The map of one image (from 0) at one exit (from 1, the last if it is not given) over the photo.

        The picture is that of ``msdcam explain``. ``size`` is its longer side in pixels; ``colormap`` is jet,
        viridis, turbo, inferno, magma, cividis, grey or rdbu_r; ``scale`` "shared" gives all exits one scale;
        ``contours`` are levels in (0, 1); ``boxes`` is a share of the maximum, "15%" or "otsu"; ``style`` draws as
        article, pytorch-grad-cam, torchcam or captum do. ``rank`` chooses one of several targets, from 0.
        """
        number = self.exits[-1] if exit is None else _inputs.index(exit, "exit")
        if number not in self.exits:
            raise IndexError(f"exit {number}: explained are {', '.join(map(str, self.exits))}")
        style_arguments = _style(size, colormap, heat_alpha, scale, contours, boxes, style)
        return self._draw(image, self.exits.index(number), (method, tap, rank), style_arguments)

    def strip(
        self,
        image: int = 0,
        *,
        method: str | None = None,
        tap: str | None = None,
        rank: int = 0,
        colormap: str | None = None,
        heat_alpha: float | None = None,
        scale: str = "own",
        contours: float | Sequence[float] = (),
        boxes: str | float | None = None,
        style: str | None = None,
    ) -> Picture:
        """The film strip of one image: the photo, and every exit with its prediction.

        The picture is that of ``msdcam explain``; the options are those of ``overlay``.
        """
        style_arguments = _style(512, colormap, heat_alpha, scale, contours, boxes, style)
        return self._draw(image, None, (method, tap, rank), style_arguments)

    def show(self) -> None:
        """Show the film strip of the first image: in the notebook, or else with the system's viewer."""
        self.strip().show()

    def _draw(
        self, image: int, exit: int | None, layer: tuple[str | None, str | None, int], style: dict[str, Any]
    ) -> Picture:
        image = _inputs.index(image, "image")
        if not -len(self) <= image < len(self):
            raise IndexError(f"image {image}: there are {len(self)}, from 0")
        image %= len(self)
        method, tap = _inputs.optional_text(layer[0], "method"), _inputs.optional_text(layer[1], "tap")
        rank = _inputs.count(layer[2], "rank")
        ranks = self.target.shape[2] if self.target.ndim == 3 else 1
        if rank >= ranks:
            raise IndexError(f"rank {rank}: each exit explains {ranks}, from 0")
        if method in self.pixels or (method is None and not self.maps):
            name = method if method is not None else next(iter(self.pixels))
            if tap is not None:
                raise KeyError(f"{name} at {tap}: a pixel method has no taps")
            values, codes = self.pixels[name], self.pixel_status_code[name]
            column: str | None = None
            cams: list[NDArray[np.float32]] = []
        else:
            name = self.first.method if method is None else method
            maps = (self if method is None and tap is None else self[(name, tap) if tap else name]).first
            values, codes, column = maps.heat, maps.status_code, maps.tap
            cams = [np.ascontiguousarray(cam[image]).reshape(ranks, *cam.shape[-2:]) for cam in maps.cams]
        source: Any = self._sources[image]
        is_photo = isinstance(source, str) or source.dtype == np.uint8
        title = _inputs.shown(os.path.basename(source)) if isinstance(source, str) else f"image {image}"
        predicted, target = self.predicted[image].reshape(-1), self.target[image].reshape(-1)
        for what, classes in (("predicted", predicted), ("target", target)):
            wrong = classes[(classes < 0) | (classes >= len(self.labels))]
            if wrong.size:
                last = len(self.labels) - 1
                raise IndexError(f"{what}: class {wrong[0]}: the network has classes 0 to {last}")
        arguments = {
            "method": name,
            "column": column,
            "rank": rank,
            "probabilities": np.ascontiguousarray(self.probabilities[image]),
            "predicted": predicted.tolist(),
            "target": target.tolist(),
            "cams": cams,
            "values": np.ascontiguousarray(values[image]).reshape(-1),
            "status": codes[image].reshape(-1).tolist(),
        }
        pixels = self._model._native.draw(
            None if is_photo else np.ascontiguousarray(source, dtype=np.float32),
            source if is_photo else None,
            self._request,
            self.exits,
            arguments,
            style,
            exit,
            title,
        )
        return Picture(pixels)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return _inputs.as_array(self.heat, dtype, copy)

    def _repr_html_(self) -> str:
        """The film strips of the first images."""
        parts = []
        for image in range(min(len(self), _SHOWN)):
            data = base64.b64encode(self.strip(image).encode("png")).decode()
            text = html.escape(f"image {image}: the photo and the map of every exit", quote=True)
            parts.append(f'<img alt="{text}" style="max-width: 100%" src="data:image/png;base64,{data}">')
        if len(self) > _SHOWN:
            parts.append(f"<p>and {len(self) - _SHOWN} more images</p>")
        return "<div>" + "".join(parts or [html.escape(repr(self))]) + "</div>"

    def __repr__(self) -> str:
        exits = ", ".join(map(str, self.exits))
        shape = f", heat {self.heat.shape}" if self.maps else ""
        return f"<msdcam.Explanation of {len(self)} images at exits {exits}: {', '.join(self.methods)}{shape}>"


def _style(
    size: int,
    colormap: str | None,
    heat_alpha: float | None,
    scale: str,
    contours: float | Sequence[float],
    boxes: str | float | None,
    style: str | None,
) -> dict[str, Any]:
    if _inputs.text(scale, "scale") not in ("own", "shared"):
        raise ValueError(f"scale {scale!r}: there are own, shared")
    if boxes is not None and not isinstance(boxes, str):
        _inputs.number(boxes, "boxes")
    return {
        "size": _inputs.count(size, "size"),
        "colormap": _inputs.optional_text(colormap, "colormap"),
        "heat_alpha": None if heat_alpha is None else _inputs.number(heat_alpha, "heat_alpha"),
        "contours": _inputs.numbers_or_one(contours, "contours"),
        "boxes": None if boxes is None else _inputs.text(str(boxes), "boxes"),
        "style": _inputs.optional_text(style, "style"),
        "shared_scale": scale == "shared",
    }


def explanation(
    model: Model,
    found: _native._Explained,
    request: dict[str, Any],
    sources: Sequence[_inputs.Source] | NDArray[np.float32],
) -> Explanation:
    """The explanation of arrays from the native part, whose third dimension is dropped for targets of one class."""

    def each(array: NDArray[Any], ranks: int = 2) -> NDArray[Any]:
        return array if found["is_ranked"] else array.reshape(array.shape[:ranks] + array.shape[ranks + 1 :])

    maps = [
        Maps(
            method=layer["method"],
            tap=layer["column"],
            taps=tuple(layer["taps"]),
            heat=each(layer["heat"]),
            cams=tuple(each(cam, 1) for cam in layer["cams"]),
            status_code=each(layer["status"]),
        )
        for layer in found["layers"]
    ]
    return Explanation(
        exits=tuple(found["exits"]),
        labels=model.labels,
        logits=found["logits"],
        probabilities=found["probabilities"],
        predicted=found["predicted"],
        target=each(found["target"]),
        score=each(found["score"]),
        maps=tuple(maps),
        pixels={pixels["method"]: each(pixels["values"]) for pixels in found["pixels"]},
        pixel_status_code={pixels["method"]: each(pixels["status"]) for pixels in found["pixels"]},
        _model=model,
        _request=request,
        _sources=sources,
    )
