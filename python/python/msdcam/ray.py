"""Explanations of a Ray data set, on as many machines as the cluster has.

    ds = ray.data.read_images("s3://photos/", include_paths=True)
    ds = msdcam.ray.map_batches(ds, "resnet50.onnx", keep=["predicted", "confidence", "cam"])
    ds.write_parquet("s3://maps/")

Needs ``pip install "ray[data]"``. Results are the same bits for any number of workers; their order is not
that of the data set: columns such as ``path`` say which image a row is of.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _inputs
from .errors import FileError

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Explain", "Share", "map_batches", "share"]


class Explain:
    """A worker of ``Dataset.map_batches``: from a batch with images to the batch with explanations.

    :func:`map_batches` starts as many as the cluster has room for.

    Args:
        path: an ONNX or weights file that every machine can read; the built-in network without one.
        column: the column of images: arrays (H, W, 3) of uint8 or (C, H, W) of normalized float32, paths, or the bytes
            of encoded files, such as JPEG.
        keep: results to keep, of those of :meth:`msdcam.Explanation.to_dict`; all if None. ``cam`` is the map at
            the size of its layer, ``heat`` at that of the input, which is a thousand times larger for a ResNet.
        prefix: put before the names of results, where the data set has columns of these names.
        keep_images: whether the column of images stays.
        on_error: "raise", or "column": images that cannot be read are rows of zeros with the reason in the column
            ``error``, which is empty in other rows.
        device: "cpu", "cuda" or "auto"; by default the GPU that Ray has given to this worker, if any, else the CPU.
        threads: threads of the model; by default the worker's CPUs, rounded down, at least one.
        load: further options of :func:`msdcam.load`.
        options: those of :meth:`msdcam.Model.explain`, such as ``method="layer-cam"``, ``exits=[1, 10]``.

    Raises (in the worker, at the first batch):
        KeyError: for a column or a result that does not exist.
        ValueError: for a result with the name of a column.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        column: str = "image",
        keep: Iterable[str] | None = None,
        prefix: str = "",
        keep_images: bool = False,
        on_error: str = "raise",
        device: str | None = None,
        threads: int | None = None,
        load: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        import msdcam

        _check(keep, on_error)
        cpus, gpus = _assigned()
        self.model: Model = msdcam.load(
            path,
            device=device or ("cuda" if gpus else "cpu"),
            threads=max(1, int(cpus)) if threads is None else threads,
            **(load or {}),
        )
        self.column = column
        self.keep = None if keep is None else list(keep)
        self.prefix = prefix
        self.keep_images = keep_images
        self.on_error = on_error
        self.options = options

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The batch without its images and with the results, one row an image."""
        if self.column not in batch:
            raise KeyError(f"column {self.column!r}: the data set has {', '.join(batch)}")
        images = batch[self.column]
        rows = {name: values for name, values in batch.items() if self.keep_images or name != self.column}
        for name, values in self._results(images).items():
            if self.prefix + name in rows:
                raise ValueError(f"{self.prefix + name!r} is a column and a result: set prefix or keep")
            rows[self.prefix + name] = values
        return rows

    def _results(self, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        if self.on_error == "raise":
            return self._explain(images)
        try:
            results = self._explain(images)
            return {**results, "error": np.full(len(images), "", dtype=object)}
        except (OSError, ValueError, TypeError):
            # One image at a time: each gets its results or its reason.
            found = [self._one(images[index : index + 1]) for index in range(len(images))]
        # What the results of an image look like does not depend on the image.
        pattern = next((results for results, _ in found if results), None) or self._explain(self._blank())
        empty = {name: np.zeros_like(values) for name, values in pattern.items()}
        joined = {name: np.concatenate([(results or empty)[name] for results, _ in found]) for name in empty}
        return {**joined, "error": np.array([reason for _, reason in found], dtype=object)}

    def _one(self, image: NDArray[Any]) -> tuple[dict[str, NDArray[Any]] | None, str]:
        try:
            return self._explain(image), ""
        except (OSError, ValueError, TypeError) as error:
            # The row says which image it is, of which there is one.
            return None, f"{type(error).__name__}: {re.sub('^image 0(?=: )', 'image', str(error))}"

    def _blank(self) -> NDArray[np.float32]:
        return np.zeros((1, *self.model.input_shape), np.float32)

    def _explain(self, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        # Rows of different sizes, paths and bytes come as an array of objects or strings.
        given: Any = list(images) if images.dtype.kind in "OU" else images
        with contextlib.ExitStack() as files:
            folder = ""
            if isinstance(given, list) and any(isinstance(item, bytes) for item in given):
                folder = files.enter_context(tempfile.TemporaryDirectory())
                given = _written(given, folder)
            try:
                results = self.model.explain(given, **self.options).to_dict()
            except FileError as error:
                if folder and str(error.filename).startswith(folder):
                    # The file is nobody's: its name in the folder says which image it is.
                    error.args = (str(error).replace(os.path.join(folder, ""), ""),)
                    error.filename = None
                raise
        if self.keep is None:
            return dict(results)
        missing = [name for name in self.keep if name not in results]
        if missing:
            raise KeyError(f"keep: {missing[0]!r}: the results are {', '.join(results)}")
        return {name: results[name] for name in self.keep}


@dataclass(frozen=True)
class Share:
    """How a cluster is divided: workers, what each of them holds, and the threads of its model."""

    workers: int
    cpus: float
    gpus: float
    threads: int


def share(
    nodes: Iterable[Mapping[str, float]], *, threads: int = 1, gpus: bool | None = None, workers: int | None = None
) -> Share:
    """The share of each worker in a cluster, such that CPUs remain for reading and writing.

    Workers hold their CPUs for as long as the data set runs, as Ray's actors do. Tasks that read the data set need a
    whole CPU of one machine each: if none is left, everything waits for ever.

    On a machine with c CPUs, max(1, c / 8) CPUs remain. However Ray places the workers, some machine then has a whole
    CPU left, as at least one for each machine remains in all. Machines with a single CPU have no workers of their
    own; where there are no others, workers hold no CPUs. On GPUs there is one worker for each, otherwise one for
    every ``threads`` CPUs.

    Args:
        nodes: the resources of each machine, such as ``{"CPU": 16, "GPU": 2}``.
        threads: threads of each worker's model, on CPUs.
        gpus: whether to use GPUs; where there are some by default.
        workers: the number of workers, if not as many as there is room for.

    Raises ValueError where the cluster has too few CPUs or GPUs.

    Example:
        >>> share([{"CPU": 16}, {"CPU": 16}])
        Share(workers=32, cpus=0.875, gpus=0.0, threads=1)
        >>> share([{"CPU": 16, "GPU": 4}])
        Share(workers=4, cpus=1.0, gpus=1.0, threads=3)
    """
    threads = _inputs.count(threads, "threads", 1)
    workers = _inputs.optional_count(workers, "workers", 1)
    machines = [(float(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in nodes]
    cards = sum(g for _, g in machines)
    if gpus is None:
        gpus = cards > 0
    if gpus and cards == 0:
        raise ValueError("the cluster has no GPU")
    # Machines that can have workers: the CPUs that these may hold, and their number.
    rooms = []
    for cpus, g in machines:
        count = g if gpus else int(cpus) // threads
        if cpus > 0 and count > 0:
            rooms.append((cpus - max(1.0, cpus // 8) if cpus >= 2 else 0.0, count))
    if not gpus and any(room for room, _ in rooms):
        rooms = [(room, count) for room, count in rooms if room]
    if not rooms:
        have = ", ".join(f"{cpus:g}" for cpus, _ in machines) or "none"
        raise ValueError(f"no machine for a worker of {threads} threads: CPUs {have}")
    # The same for all: Ray has one request for all workers. Fractions are of 1/10000.
    each = min(room / count for room, count in rooms)
    held = math.floor(min(each, 1.0 if gpus else each) * 10000) / 10000
    total = sum(count for _, count in rooms)
    if workers is not None and workers > total:
        raise ValueError(f"workers: {workers}, the cluster has room for {total}")
    if gpus:
        threads = max(1, int(each))
    return Share(workers or total, held, 1.0 if gpus else 0.0, threads)


def map_batches(
    ds: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    batch_size: int = 64,
    workers: int | None = None,
    threads: int = 1,
    gpus: bool | None = None,
    ray_options: Mapping[str, Any] | None = None,
    **explain: Any,
) -> Any:
    """``ds`` with explanations of its images: ``ds.map_batches(Explain, ...)`` with room left for reading.

    Args:
        ds: a ``ray.data.Dataset`` with a column of images.
        path: an ONNX or weights file that every machine can read; the built-in network without one.
        batch_size: images in a batch; more fill a GPU (256).
        workers: how many actors; by default one for each GPU, or as many as :func:`share` finds room for.
        threads: threads of each worker on CPUs. One is fastest for many images; more share the memory of a model.
        gpus: whether to use GPUs; where the cluster has some by default.
        ray_options: further arguments of ``Dataset.map_batches``.
        explain: arguments of :class:`Explain`.

    An actor that dies is replaced and its batch is run again (``max_restarts`` and ``max_task_retries`` are Ray
    Data's defaults).

    Raises ValueError where the cluster has too few CPUs or GPUs, before anything runs.
    """
    ray = _ray()

    _check(explain.get("keep"), explain.get("on_error", "raise"))
    if not ray.is_initialized():
        ray.init()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    part = share(nodes, threads=threads, gpus=gpus, workers=workers)
    if path is not None:
        path = os.path.abspath(path)
    options: dict[str, Any] = {
        "compute": ray.data.ActorPoolStrategy(min_size=1, max_size=part.workers, initial_size=part.workers),
        "num_cpus": part.cpus,
        "batch_size": batch_size,
    }
    if part.gpus:
        options["num_gpus"] = part.gpus
    return ds.map_batches(
        Explain,
        fn_constructor_args=(path,),
        fn_constructor_kwargs={"threads": part.threads, **explain},
        **{**options, **(ray_options or {})},
    )


def _written(items: list[Any], folder: str) -> list[Any]:
    """The items, with files of a folder in place of bytes."""
    paths = []
    for number, item in enumerate(items):
        if isinstance(item, bytes):
            path = os.path.join(folder, f"image {number}")
            with open(path, "wb") as file:
                file.write(item)
            item = path
        paths.append(item)
    return paths


def _assigned() -> tuple[float, int]:
    """CPUs and GPUs that Ray has given to this worker: (1, 0) outside of one."""
    ray: Any = sys.modules.get("ray")
    if ray is None or not ray.is_initialized() or ray.get_runtime_context().get_actor_id() is None:
        return 1.0, 0
    resources = ray.get_runtime_context().get_assigned_resources()
    return float(resources.get("CPU", 1.0)), math.ceil(float(resources.get("GPU", 0.0)))


def _ray() -> Any:
    """Ray with Ray Data, which are only needed where there is a cluster."""
    try:
        importlib.import_module("ray.data")
    except ImportError as error:
        raise ImportError(f'msdcam.ray needs Ray Data (pip install "msdcam[ray]"): {error}') from error
    return importlib.import_module("ray")


def _check(keep: Any, on_error: str) -> None:
    if isinstance(keep, str):
        raise TypeError(f"keep: {keep!r}, expected a list of names")
    if on_error not in ("raise", "column"):
        raise ValueError(f"on_error {on_error!r}: there are raise, column")
