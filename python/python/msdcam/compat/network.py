"""A model that scripts for PyTorch can use: called with a batch, and with its modules as attributes.

``model = msdcam.compat.load("resnet50.onnx")`` takes the place of the line that makes the PyTorch model.
``model(x)`` gives the logits, ``model.layer4[-1]`` names a layer.
"""

from __future__ import annotations

import os
import re
import warnings
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import msdcam

from .. import _inputs
from . import arrays
from .modules import Node, read_nodes, tap_name

# Operators that PyTorch networks apply in place.
IN_PLACE = ("Relu", "Clip", "LeakyRelu", "HardSwish", "HardSigmoid")


def load(path: str | os.PathLike[str] | None = None, *, exit: int | None = None, **options: Any) -> Network:
    """The network of an ONNX or weights file, as a script for PyTorch expects a model.

    Args:
        path: the file; the built-in network without one.
        exit: the exit that is explained, from 1; the last by default.
        options: those of :func:`msdcam.load`, such as ``device="cuda"`` or ``threads=2``.

    Example:
        >>> model = msdcam.compat.load("resnet50.onnx")
        >>> cam = msdcam.compat.GradCAM(model=model, target_layers=[model.layer4[-1]])
        >>> cam(input_tensor=x).shape                      # x: (N, 3, 224, 224)
        (N, 224, 224)
    """
    return Network(msdcam.load(path, **options), exit)


class Network:
    """A model and one of its exits.

    Attributes:
        msdcam: the :class:`msdcam.Model`.
        exit: the exit's number, from 1.

    Every other attribute is a module of the PyTorch network that the file was exported from; modules with a name of the
    attributes and methods here are named by a string.
    """

    def __init__(self, model: msdcam.Model, exit: int | None = None) -> None:
        self.msdcam = model
        self.exit = len(model.exits) if exit is None else exit
        if not 1 <= self.exit <= len(model.exits):
            raise IndexError(f"exit {self.exit}: the model has exits 1 to {len(model.exits)}")
        self._observers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._read: list[Node] | None = None

    def __call__(self, images: Any) -> Any:
        """Logits (N, classes) of normalized images (N, C, H, W): a tensor for a tensor, else an array."""
        prepared = arrays.images(images, "images")
        logits = self.msdcam.classify(prepared, exits=[self.exit]).logits
        for observer in list(self._observers):
            observer._observe(images)
        return arrays.like(logits.reshape(len(prepared), -1), images)

    def eval(self) -> Network:
        """The network itself: an exported network is always in evaluation mode."""
        return self

    def to(self, device: Any) -> Network:
        """The network itself; ValueError if it is on a device of another kind."""
        asked, own = str(device).partition(":")[0], str(self.msdcam.device).partition(":")[0]
        if asked != own:
            raise ValueError(f"to({str(device)!r}): the model is on {own}; pass device= to msdcam.compat.load")
        return self

    def __repr__(self) -> str:
        return f"Network({self.msdcam!r}, exit={self.exit})"

    def __getattr__(self, name: str) -> Layer:
        if name.startswith("_") or name in ("msdcam", "exit"):
            raise AttributeError(name)
        return Layer(self, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return Network, (self.msdcam, self.exit)

    def _nodes(self) -> list[Node]:
        """The nodes of the model's ONNX file, in their order."""
        if self._read is None:
            path = self.msdcam.path
            self._read = read_nodes(path) if path is not None else []
        return self._read

    def _tap(self, layer: Layer | str, argument: str) -> str:
        """The tap at the output of a layer: a :class:`Layer`, the path of a module or the name of a tap.

        Raises TypeError for anything else and ValueError where there is no such tap.
        """
        if isinstance(layer, Layer):
            return self._module_tap(layer._path, argument)
        if not isinstance(layer, str):
            raise TypeError(
                f"{argument}: {type(layer).__module__}.{type(layer).__qualname__} is not a layer of this model; "
                "name a layer as model.layer4[-1] or 'layer4.1', with the model of msdcam.compat.load"
            )
        taps = self.msdcam.exits[self.exit - 1].taps
        return layer if layer in taps else self._module_tap(layer, argument)

    def _last_tap(self) -> str | None:
        """The last feature map of more than one pixel in the file, which torchcam explains if no layer is named.

        None, for the exit's own tap, where there is no ONNX file. The two differ where the classifier is convolutional.
        """
        sizes = {tap.name: tap.height * tap.width for tap in self.msdcam.taps}
        taps = {name for name in self.msdcam.exits[self.exit - 1].taps if sizes[name] > 1}
        return next((name for node in reversed(self._nodes()) if (name := tap_name(node.output)) in taps), None)

    def _module_tap(self, path: str, argument: str) -> str:
        inside = [node for node in self._nodes() if path in node.modules and node.op != "Constant"]
        taps = self.msdcam.exits[self.exit - 1].taps
        if not inside:
            raise ValueError(f"{argument}: {self._name()} has neither a module nor a tap {path!r}")
        last = inside[-1]
        tap = tap_name(last.output)
        if tap not in taps:
            raise ValueError(
                f"{argument}: the output of module {path!r}, {tap!r}, is not a feature map of exit {self.exit}"
            )
        if last.op == "Conv" and last.modules[-1] == path and last.inputs[1:2] and last.inputs[1].startswith("onnx::"):
            raise ValueError(
                f"{argument}: {path!r} is exported together with its batch norm; take the module around it"
            )
        if self._is_reused(path):
            raise ValueError(f"{argument}: module {path!r} is called several times; name a tap, such as {tap!r}")
        readers = [node for node in self._nodes() if last.output in node.inputs]
        if len(readers) == 1 and readers[0].op in IN_PLACE:
            warnings.warn(
                f"{argument}: {path!r} is followed by {readers[0].op}; if that works in place, the original reads "
                "the layer's activations after it, msdcam before it",
                stacklevel=4,
            )
        return tap

    def _is_reused(self, path: str) -> bool:
        """Whether a module without modules inside, such as the ReLU of a residual block, is called several times."""
        nodes = self._nodes()
        at = [i for i, node in enumerate(nodes) if node.modules[-1:] == (path,)]
        if len(at) != sum(path in node.modules for node in nodes):
            return False
        # One exporter numbers the calls, the other one gives all of them the same name.
        later = re.compile(re.escape(path) + r"_\d+")
        between = len({nodes[i].op for i in at}) < len(at) and at[-1] - at[0] >= len(at)
        return between or any(later.fullmatch(module) for node in nodes for module in node.modules[-1:])

    def _children(self, path: str) -> list[str]:
        """Names of the modules directly inside of a module, in the order of their last operators in the file."""
        prefix = path + "."
        modules = [m for node in reversed(self._nodes()) for m in node.modules if m.startswith(prefix)]
        return list(dict.fromkeys(m[len(prefix) :].partition(".")[0] for m in modules))[::-1]

    def _has(self, path: str) -> bool:
        """Whether the file has operators of a module."""
        return any(path in node.modules for node in self._nodes())

    def _name(self) -> str:
        path = self.msdcam.path
        return _inputs.shown(os.path.basename(path)) if path is not None else "the built-in network"


class Layer:
    """A module of the PyTorch network: ``model.layer4[-1]``, ``model.features[28]``."""

    def __init__(self, network: Network, path: str) -> None:
        if not network._has(path):
            raise AttributeError(f"{network._name()} has no operators of a module {path!r}")
        self._network = network
        self._path = path

    def __getattr__(self, name: str) -> Layer:
        if name.startswith("_"):
            raise AttributeError(name)
        return Layer(self._network, f"{self._path}.{name}")

    def __getitem__(self, index: int) -> Layer:
        children = self._network._children(self._path)
        if index == -1 and children:
            # Also of a sequence whose modules have names, such as DenseNet's features.
            return Layer(self._network, f"{self._path}.{children[-1]}")
        numbers = {int(child) for child in children if child.isdigit()}
        if not numbers:
            raise TypeError(f"module {self._path!r} has no numbered modules")
        last = max(numbers)
        # Modules without operators, such as dropout or a folded batch norm, leave no trace: behind
        # the last one they change nothing, in between they make a count from the end uncertain.
        child = index if index >= 0 else last + 1 + index
        certain = index >= 0 or len(numbers) == last + 1
        if child not in numbers or not certain:
            raise IndexError(f"module {self._path!r} at {index}: the file has operators of {sorted(numbers)}")
        return Layer(self._network, f"{self._path}.{child}")

    def __repr__(self) -> str:
        return f"Layer({self._path!r})"


def network_of(model: Any) -> Network:
    """``model`` as a :class:`Network`; TypeError for a PyTorch module and everything else."""
    if isinstance(model, Network):
        return model
    if isinstance(model, msdcam.Model):
        return Network(model)
    raise TypeError(
        f"model: {type(model).__module__}.{type(model).__qualname__}, expected msdcam.compat.load(path): "
        "export a PyTorch network by torch.onnx.export first"
    )


def activation_maps(
    network: Network, images: Any, method: str, target: str | Sequence[int], score: str, tap: str | None
) -> tuple[Any, Any]:
    """Activation maps (N, h, w) after their ReLU at one tap, and logits (N, classes), of one exit."""
    result = network.msdcam.explain(images, exits=[network.exit], method=method, target=target, score=score, tap=tap)
    return result.cam[:, 0], result.logits[:, 0]


def taps_of(network: Network, layers: Iterable[Any] | None, argument: str) -> list[str | None]:
    """One tap for each layer; the exit's own where there are none."""
    if layers is None:
        return [None]
    if isinstance(layers, (str, Layer)):
        layers = [layers]
    taps: list[str | None] = [network._tap(layer, argument) for layer in layers]
    if not taps:
        raise ValueError(f"{argument}: an empty list")
    return taps
