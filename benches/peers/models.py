"""Networks in ONNX files with one exit or several: right answers, and the same network in PyTorch where it is
known. Names, modules, taps and seeds are those of `benches/onnx_table.py`."""

import copy
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

import networks
from runtimes import stacked

sys.path.insert(0, str(networks.ROOT / "benches"))

import onnx_table  # noqa: E402

TRAINED = ("efficientnet_lite0",)
SIZE = 224  # of an input whose size the file leaves open


def is_known(name):
    """Whether there is a PyTorch network of this name."""
    return name in onnx_table.NETWORKS and not isinstance(onnx_table.NETWORKS[name], Path)


def subject(name):
    """The network in PyTorch: seeded random weights and settled batch norms, or trained. Always the same
    for the same versions of the packages."""
    torch.manual_seed(0)
    made = onnx_table.NETWORKS[name]()
    return (made if name in TRAINED else onnx_table.settle(made)).requires_grad_(True)


def write(name, folder):
    folder.mkdir(parents=True, exist_ok=True)
    torch.backends.mha.set_fastpath_enabled(False)  # the exporter does not know the fast operator
    path, part = folder / f"{name}.onnx", folder / f"{name}.part"
    onnx_table.export(subject(name), part, "legacy")
    part.rename(path)
    return path


class File(nn.Module):
    """A file, and `subject`, its network in PyTorch, or None. `torch_name` is the network's name; without
    one it is the file's, and `none` says that there is none."""

    def __init__(self, path, torch_name=None):
        super().__init__()
        self.path, name = Path(path), torch_name or Path(path).stem
        if torch_name not in (None, "none") and not is_known(name):
            raise ValueError(f"no PyTorch network '{name}'; there are {', '.join(filter(is_known, onnx_table.NETWORKS))}")
        self.subject = subject(name) if is_known(name) else None
        self.anywhere = nn.Parameter(torch.empty(0))  # parameters say on which device a network is
        (shape,) = [value.type.tensor_type.shape.dim for value in inputs(onnx.load(path, load_external_data=False).graph)]
        self.size = [side.dim_value or (self.subject.size if self.subject else SIZE) for side in shape[2:]]
        if len(shape) != 4 or self.size[0] != self.size[1]:
            raise ValueError(f"{path}: the input is not a square picture")

    def images(self, count):
        """(N, 3, S, S): square pieces of the sample photo, normalized."""
        normalization = self.subject.normalization if self.subject else onnx_table.IMAGENET
        mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in normalization)
        return (networks.photos(count, self.size[0]) - mean) / std

    def right_answers(self, images):
        """As `networks.right_answers`, on the CPU. Without a network in PyTorch the logits are ONNX Runtime's
        of the file as it is, in f32, and there are no maps."""
        if self.subject is None:
            logits = [stacked(onnx_table.run_ort(self.path, image[None].numpy())) for image in images]
            return np.concatenate(logits), None, {}
        net = copy.deepcopy(self.subject).double()
        with torch.no_grad():
            logits = np.concatenate([stacked([out.numpy() for out in several(net(image[None].double()))]) for image in images])
        weights = {id(tensor): tensor for tensor in (*net.parameters(), *net.buffers())}
        heats = []
        for image, classes in zip(images, logits.argmax(2).tolist(), strict=True):
            # A copy with the same weights, since it leaves hooks there.
            maps = onnx_table.torch_maps(copy.deepcopy(net, dict(weights)), image[None].numpy(), classes)
            maps = [networks.heat_map(torch.from_numpy(cam)[None], *self.size)[0].numpy() for cam in maps]
            heats.append(np.stack(maps))
        return logits, np.stack(heats), {}

    def onnx_bytes(self, batch):
        return of_batch(self.path, batch, self.size)

    def up_to_each_exit(self):
        """A network for each exit, with its tap as a module."""
        if self.subject is None:
            raise NotImplementedError(f"no PyTorch network of {self.path.name}")
        return [OneExit(self.subject, exit) for exit in range(len(self.subject.taps))]


class OneExit(nn.Module):
    """Images in, one exit's logits out; `tap` is where to look."""

    def __init__(self, subject, exit):
        super().__init__()
        self.subject, self.exit = copy.deepcopy(subject), exit
        network, name = self.subject.network, subject.taps[exit]
        if name:
            self.tap = network.get_submodule(name)
        else:  # EfficientNet-Lite0: its last activation is a module that is used many times
            self.tap, features = nn.Identity(), network.extract_features
            network.extract_features = lambda x: self.tap(features(x))

    def forward(self, x):
        return several(self.subject(x))[self.exit]


def several(outputs):
    return outputs if isinstance(outputs, (tuple, list)) else [outputs]


def inputs(graph):
    """Without the weights, which older files list here too."""
    stored = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


def of_batch(path, batch, size):
    """The file's network with its batch and size fixed, for runtimes, and without a softmax at its end: the
    exporter fixes the batch at 1."""
    model = onnx.load(path)
    graph = model.graph
    kept = inputs(graph)
    del graph.input[:], graph.value_info[:]
    graph.input.extend(kept)
    (image,) = graph.input
    fixed = image.type.tensor_type.shape.dim[0].dim_value
    if fixed not in (0, 1, batch):
        raise NotImplementedError(f"the file's batch is {fixed}")
    softmax = {node.output[0]: node.input[0] for node in graph.node if node.op_type in ("Softmax", "LogSoftmax")}
    for output in graph.output:
        output.name = softmax.get(output.name, output.name)
        output.type.tensor_type.ClearField("shape")  # it follows
    for side, number in zip(image.type.tensor_type.shape.dim, [batch, 3, *size], strict=True):
        side.dim_value = number
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    for node in graph.node:
        if fixed == 1 and node.op_type == "Reshape" and node.input[1] in constants:
            shape = numpy_helper.to_array(constants[node.input[1]]).copy()
            if shape.size and shape[0] == 1:
                shape[0] = batch
                name = f"{node.input[1]}, batch, {node.output[0]}"
                graph.initializer.append(numpy_helper.from_array(shape, name))
                node.input[1] = name
    return model.SerializeToString()
