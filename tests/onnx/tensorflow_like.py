"""ONNX networks written as tf2onnx writes TensorFlow's, from the weights of PyTorch modules with the same answers.

The image is NHWC; linear layers are MatMul and Add; names have slashes and colons.
"""
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

from families import CLASSES, Family

TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


class Flattened(Family):
    """Zeros on one side before a convolution of stride 2; the maps are flattened as NHWC."""

    SIZE = (32, 28)
    TAPS = ("pool",)

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2)
        self.pool = nn.MaxPool2d(4, 4)
        self.dense1, self.dense2 = nn.Linear(8 * 4 * 3, 12), nn.Linear(12, CLASSES)

    def logits(self, x):
        x = functional.pad(torch.relu(self.conv1(x)), (0, 1, 0, 1))
        x = self.pool(torch.relu(self.conv2(x)))
        return self.dense2(torch.relu(self.dense1(x.permute(0, 2, 3, 1).flatten(1))))


class Wrapped(Family):
    """Transposes around every convolution; biases, normalizations and a concatenation in NHWC."""

    TAPS = ("features",)

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 6, 3, padding=1)
        self.scale, self.shift = nn.Parameter(torch.empty(6)), nn.Parameter(torch.empty(6))
        self.features = nn.ReLU()
        self.dense = nn.Linear(14, CLASSES)

    def after_seeding(self):
        generator = torch.Generator().manual_seed(1)
        self.scale.copy_(torch.rand(6, generator=generator) + 0.5)
        self.shift.copy_(torch.randn(6, generator=generator) * 0.2)

    def logits(self, x):
        x = torch.relu(self.conv1(functional.pad(x, (0, 1, 0, 1))))
        new = self.conv2(x) * self.scale[:, None, None] + self.shift[:, None, None]
        return self.dense(self.features(torch.cat([x, new], 1)).mean((2, 3)))


class Same(Family):
    """`auto_pad` of convolutions and max pooling; a residual sum; global pooling, Transpose and Squeeze."""

    SIZE = (30, 32)
    TAPS = ("features",)

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 5, 2), nn.Conv2d(8, 8, 3, padding=1)
        self.conv3 = nn.Conv2d(8, 12, 3, 2)
        self.features = nn.ReLU()
        self.dense = nn.Linear(12, CLASSES)

    def logits(self, x):
        x = torch.relu(self.conv1(functional.pad(x, (1, 2, 1, 2))))
        x = functional.max_pool2d(functional.pad(x, (0, 1, 1, 1), value=-torch.inf), 3, 2)
        x = x + torch.relu(self.conv2(x))
        return self.dense(self.features(self.conv3(functional.pad(x, (0, 1, 0, 1)))).mean((2, 3)))


class Writer:
    """Nodes and initializers of one model."""

    def __init__(self, size, opset):
        self.opset, self.nodes, self.tensors = opset, [], []
        self.image = "input_1:0"
        self.input = helper.make_tensor_value_info(self.image, TensorProto.FLOAT, ["unk__7", *size, 3])

    def tensor(self, name, array):
        array = array.detach().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, kind, inputs, name, **attributes):
        output = f"StatefulPartitionedCall/model/{name}:0"
        self.nodes.append(helper.make_node(kind, inputs, [output], output[:-2], **attributes))
        return output

    def transpose(self, x, permutation, name):
        return self.add("Transpose", [x], name, perm=permutation)

    def convolution(self, x, module, name, bias=True, **attributes):
        inputs = [x, self.tensor(f"{name}/weights", module.weight)]
        if bias:
            inputs.append(self.tensor(f"{name}/bias", module.bias))
        attributes.setdefault("auto_pad", "NOTSET")
        if attributes["auto_pad"] == "NOTSET":
            attributes["pads"] = [*module.padding, *module.padding]
        kernel, stride, dilation = map(list, (module.kernel_size, module.stride, module.dilation))
        return self.add(
            "Conv", inputs, f"{name}/Conv2D", kernel_shape=kernel, strides=stride, dilations=dilation, group=1,
            **attributes,
        )

    def dense(self, x, module, name):
        product = self.add("MatMul", [x, self.tensor(f"{name}/kernel", module.weight.T)], f"{name}/MatMul")
        return self.add("Add", [product, self.tensor(f"{name}/bias", module.bias)], f"{name}/BiasAdd")

    def pad(self, x, amounts, name):
        if self.opset >= 11:
            paddings = self.tensor(f"{name}/paddings", np.array(amounts, np.int64))
            return self.add("Pad", [x, paddings], name, mode="constant")
        return self.add("Pad", [x], name, mode="constant", pads=amounts)

    def model(self, x):
        self.nodes.append(helper.make_node("Identity", [x], ["dense"]))
        output = helper.make_tensor_value_info("dense", TensorProto.FLOAT, ["unk__8", CLASSES])
        graph = helper.make_graph(self.nodes, "tf2onnx", [self.input], [output], self.tensors)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset), helper.make_opsetid("ai.onnx.ml", 2)],
            ir_version=8, producer_name="tf2onnx",
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def flattened(network):
    writer = Writer(network.SIZE, 13)
    x = writer.transpose(writer.image, TO_NCHW, "conv2d/Conv2D__6")
    x = writer.add("Relu", [writer.convolution(x, network.conv1, "conv2d")], "conv2d/Relu")
    x = writer.pad(x, [0, 0, 0, 0, 0, 0, 1, 1], "zero_padding2d/Pad")
    x = writer.add("Relu", [writer.convolution(x, network.conv2, "conv2d_1")], "conv2d_1/Relu")
    x = writer.add("MaxPool", [x], "max_pooling2d/MaxPool", kernel_shape=[4, 4], strides=[4, 4])
    x = writer.transpose(x, TO_NHWC, "max_pooling2d/MaxPool__42")
    x = writer.add("Reshape", [x, writer.tensor("flatten/Const", np.array([-1, 96]))], "flatten/Reshape")
    x = writer.add("Relu", [writer.dense(x, network.dense1, "dense")], "dense/Relu")
    return writer.model(writer.add("Softmax", [writer.dense(x, network.dense2, "dense_1")], "dense_1/Softmax", axis=1))


def wrapped(network):
    writer = Writer(network.SIZE, 9)
    x = writer.pad(writer.image, [0, 0, 0, 0, 0, 1, 1, 0], "zero_padding2d/Pad")
    x = writer.transpose(x, TO_NCHW, "conv2d/Conv2D__4")
    x = writer.convolution(x, network.conv1, "conv2d", bias=False)
    x = writer.transpose(x, TO_NHWC, "conv2d/Conv2D__5")
    x = writer.add("Add", [x, writer.tensor("conv2d/bias", network.conv1.bias)], "conv2d/BiasAdd")
    x = first = writer.add("Relu", [x], "conv2d/Relu")
    x = writer.transpose(x, TO_NCHW, "conv2d_1/Conv2D__8")
    x = writer.convolution(x, network.conv2, "conv2d_1")
    x = writer.transpose(x, TO_NHWC, "conv2d_1/Conv2D__9")
    x = writer.add("Mul", [x, writer.tensor("batch_normalization/mul", network.scale)], "batch_normalization/mul_1")
    shift = writer.tensor("batch_normalization/sub", network.shift[None, None, None])
    x = writer.add("Add", [x, shift], "batch_normalization/add_1")
    x = writer.add("Concat", [first, x], "concatenate/concat", axis=-1)
    x = writer.add("Relu", [x], "re_lu/Relu")
    x = writer.add("ReduceMean", [x], "global_average_pooling2d/Mean", axes=[1, 2], keepdims=0)
    return writer.model(writer.dense(x, network.dense, "dense"))


def same(network):
    writer = Writer(network.SIZE, 15)
    x = writer.transpose(writer.image, TO_NCHW, "conv2d/Conv2D__6")
    x = writer.add("Relu", [writer.convolution(x, network.conv1, "conv2d", auto_pad="SAME_UPPER")], "conv2d/Relu")
    x = start = writer.add(
        "MaxPool", [x], "max_pooling2d/MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"
    )
    x = writer.add("Relu", [writer.convolution(x, network.conv2, "conv2d_1", auto_pad="SAME_LOWER")], "conv2d_1/Relu")
    x = writer.add("Add", [start, x], "add/add")
    x = writer.add("Relu", [writer.convolution(x, network.conv3, "conv2d_2", auto_pad="SAME_UPPER")], "conv2d_2/Relu")
    x = writer.add("GlobalAveragePool", [x], "global_average_pooling2d/Mean")
    x = writer.transpose(x, TO_NHWC, "global_average_pooling2d/Mean__19")
    x = writer.add("Squeeze", [x, writer.tensor("axes", np.array([1, 2]))], "global_average_pooling2d/Squeeze")
    return writer.model(writer.dense(x, network.dense, "dense"))
