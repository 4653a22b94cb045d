"""The onnx package's own tests of operators as small classifiers, in `nodes/`, with their outputs.

Usage: python make_nodes.py MSDCAM
       python make_nodes.py --check
Written with Python 3.11, onnx 1.23.2, ONNX Runtime 1.32.0, NumPy 2.4.6, safetensors 0.8.0, Pillow 13.0.

The tests are those of `onnx.backend.test`: `node`, `simple`, `pytorch-converted` and `pytorch-operator`, as far as all
their operators are among `READ` (docs/onnx.md) and `FOLDED` (src/model/onnx/fold), and the graphs of
`own_nodes.py`, where the package has none. A test is put into a network with an image and class scores in several
ways: all inputs as constants (`fold`), or some made of the image (`x0`: the first one; `x01`: the first two; `_last`:
by a transpose or a view, so that the channels are the last axis). The image holds the test's own stored input.
Its output goes

- to a linear layer with seeded random weights, to which the output's dimensions are added as biases;
- if it is a constant, with its dimensions, to the class scores of a black image, one class for each element;
- if it is that of `Softmax` or `LogSoftmax`, to the network's output (`_final`).

The truth is the output that the package stores, and what follows it in double precision. Outputs of `own_nodes.py`
are those of ONNX Runtime, or of the package's reference implementation where that one cannot run them. Before a file
is stored, one of the two has to give its answer.

MSDCAM is the built program: a copy of each file, whose image is coded in pixels of 24 bits, is explained by it.
Files that it answers are stored. Of those that it refuses one is stored for each cause, the smallest, if the cause
names an operator of the test; all are counted. A wrong answer is listed on the terminal and stored. With `--check`
nothing is written: the stored files are made again and compared, and run again.

An entry of `cases` in `nodes.json`:
- `file`: TEST-VARIANT.onnx, with the package's name of the test without `test_`; `operators`, `opset`;
- `image`: its first element in the tensor `images`, f32, of `nodes.safetensors`, and the number of images (3, H, W);
- `answer`: its first element in the tensor `answers`, f64, and the number of classes;
- `refusal`: the file is refused: the parts of the message between its numbers;
- `final`: `softmax` or `log_softmax` if the answer is that of the logits;
- `tolerance`, if it is not 1e-5: largest difference over the largest magnitude; for `fold`, if it is not 1e-6, over
  the own magnitude of each element;
- `note`: what differs from the package's test.

`refused` counts for each cause, with its numbers as #, the tests that are refused with it in any variant; `not_read`
counts those of other operators, by the operators that are missing; `not_made` those that are no classifiers.
"""
import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.reference
import onnx.version_converter
import onnxruntime
import safetensors
import safetensors.numpy
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests
from PIL import Image

from own_nodes import own_graphs

FOLDER = Path(__file__).parent
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
OPSETS = range(7, 26)
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
MAX_ELEMENTS = 1024
# Larger tests say nothing that smaller ones do not: expanded functions, many channels.
MAX_BYTES = 2500
MAX_NODES = 4
# Where the order of axes plays no role, types that others stand for, and what implementations do in several ways.
ANY_LAYOUT = set(
    "Dropout Relu Neg Identity Sum Shape Size Cast Sigmoid HardSigmoid HardSwish Swish LeakyRelu Tanh".split()
)
SKIPPED = re.compile(r"(add|sub|mul|div|equal|less|greater)_(u?int16|uint32|int8)|(min|max)_(u?int16|u?int32)"
                     r"|cast_.*(FLOAT16|DOUBLE)_to_.*(INT[24]|FLOAT[48]).*|cast_no_saturate_.*"
                     # The corners of 2.4 columns, which are rounded to 2 first by PyTorch and ONNX Runtime.
                     r"|resize_downsample_scales_linear_align_corners")
MAX_CHANNELS = 256
SHARED = "weights.bin"
SHARED_SEED = 5


# Operators on values that depend on the image.
READ = set(
    "Conv MaxPool AveragePool GlobalAveragePool GlobalMaxPool ReduceMean BatchNormalization Relu Clip Add Sub Mul Div "
    "Neg Sum Concat Gemm MatMul Pad Reshape Flatten Squeeze Unsqueeze Transpose Identity Dropout Cast Softmax "
    "LogSoftmax Split Slice Shape Size Sigmoid HardSigmoid HardSwish Swish LeakyRelu PRelu Tanh Max Min LRN Resize "
    "Upsample Expand Tile Gather Pow".split()
)
# Operators on constants.
FOLDED = set(
    "Constant ConstantOfShape Identity Dropout Cast Shape Size Reshape Flatten Transpose Squeeze Unsqueeze Concat "
    "Gather Slice Range Expand ReduceProd Add Sub Mul Div Pow Min Max Equal Less Greater Neg Sqrt Reciprocal Sigmoid "
    "Exp Abs Floor Ceil Tanh Relu Where Split".split()
)
# The package has five digits of an output; numbers of 16 bits become such of 32 bits.
TOLERANCES = {"averagepool_2d_ceil_last_window_starts_on_pad": 1e-4, "own_cast_half": 2e-3}


class Skip(Exception):
    """Why a test cannot become a classifier."""


def shared_weights():
    """Elements of all heads, in few bits."""
    return (np.random.default_rng(SHARED_SEED).normal(0, 1, 4 * MAX_ELEMENTS) * 16).round().astype(np.float32) / 16


WEIGHTS = shared_weights()


@dataclass
class Test:
    name: str
    kind: str
    model: onnx.ModelProto
    inputs: list
    outputs: list
    opset: int
    note: str = ""
    skip: str = ""
    only: "Variant | None" = None

    @property
    def operators(self):
        return sorted({node.op_type for node in self.model.graph.node})


def inputs_of(model):
    """The inputs that are no initializers."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in stored]


def read_array(path, value):
    if not value.type.HasField("tensor_type"):
        raise Skip("not a tensor")
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(tensor)


def load(case):
    """A test of the package, with its first set of data."""
    model = case.model
    if model is None:
        model = onnx.load(Path(case.model_dir) / "model.onnx")
    values = inputs_of(model)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    name = case.name.removeprefix("test_")
    if case.kind.startswith("pytorch"):
        name = "pytorch_" + name.removeprefix("operator_")
    test = Test(name, case.kind, model, [], [], opset)
    try:
        if case.data_sets is not None:
            inputs, outputs = case.data_sets[0]
        else:
            data = Path(case.model_dir) / "test_data_set_0"
            if not data.exists():
                raise Skip("no stored data")
            count = len(list(data.glob("input_*.pb")))
            inputs = [read_array(data / f"input_{i}.pb", value) for i, value in zip(range(count), values)]
            outputs = [read_array(data / f"output_{i}.pb", value) for i, value in enumerate(model.graph.output)]
        test.inputs = [array_of(x, value) for x, value in zip(inputs, values)]
        test.outputs = [array_of(y, value) for y, value in zip(outputs, model.graph.output)]
        without_infinite(test)
        fit_opset(test)
    except Skip as cause:
        test.skip = str(cause)
    return test


def without_infinite(test):
    """Removes what is infinite or no number from a test of one operator that takes each element alone."""
    if test.operators not in (["Cast"], ["Sqrt"]) or len(test.outputs) != 1 or len(test.inputs) != 1:
        return
    x, y = test.inputs[0], test.outputs[0]
    if x.dtype.kind in "OUSc" or y.dtype.kind in "OUSc" or x.shape != y.shape:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = np.isfinite(x.astype(np.float64)) & np.isfinite(y.astype(np.float64))
        kept &= np.isfinite(x.astype(np.float32)) & np.isfinite(y.astype(np.float32))
    if not kept.all():
        test.inputs, test.outputs = [x[kept]], [y[kept]]
        test.note = "only the finite elements"


def array_of(x, value):
    if not value.type.HasField("tensor_type") or x is None or isinstance(x, (list, dict)):
        raise Skip("a value that is no tensor")
    if isinstance(x, onnx.TensorProto):
        return numpy_helper.to_array(x)
    return np.asarray(x)


def same(a, b):
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "OUS" or b.dtype.kind in "OUS":
        return bool((a == b).all())
    if a.dtype.kind == "c":
        return False
    return np.allclose(a.astype(np.float64), b.astype(np.float64), rtol=1e-3, atol=1e-6, equal_nan=True)


def has_answer(model, test):
    """Whether the reference implementation or ONNX Runtime gives the stored outputs for the stored inputs."""
    feeds = {value.name: x for value, x in zip(inputs_of(model), test.inputs)}
    for run in (run_reference, run_onnxruntime):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results = run(model, feeds)
            if all(same(a, b) for a, b in zip(results, test.outputs)):
                return True
        except Exception:  # Both raise errors of many classes.
            continue
    return False


def run_reference(model, feeds):
    return onnx.reference.ReferenceEvaluator(model).run(None, feeds)


def run_onnxruntime(model, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def with_opset(model, version):
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for entry in changed.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = version
    return changed


def fit_opset(test):
    """Gives a test a version of the operators that is read, if its answer stays the same."""
    if test.opset in OPSETS or test.opset == 0:
        return
    candidates = []
    if test.opset > OPSETS[-1]:
        candidates = [with_opset(test.model, OPSETS[-1])]
    else:
        for version in (7, 8, 9):
            candidates.append(with_opset(test.model, version))
            try:
                candidates.append(onnx.version_converter.convert_version(test.model, version))
            except Exception:
                pass
    for model in candidates:
        try:
            onnx.checker.check_model(model)
        except Exception:
            continue
        if has_answer(model, test):
            version = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
            test.note = "; ".join(filter(None, [test.note, f"opset {test.opset} as {version}"]))
            test.model, test.opset = model, version
            return


@dataclass
class Variant:
    """Which inputs come from the image, in which layout, and which output is seen through which head."""

    images: tuple = ()
    last: bool = False
    output: int = 0
    final: bool = False

    def __str__(self):
        if not self.images:
            name = "fold"
        else:
            name = "x" + "".join(map(str, self.images)) + ("_last" if self.last else "")
        return name + (f"_out{self.output}" if self.output else "") + ("_final" if self.final else "")


def type_of(array):
    return helper.np_dtype_to_tensor_dtype(array.dtype)


def is_float(array):
    try:
        return type_of(array) in FLOATS
    except (KeyError, ValueError):
        return False


def as_map(x, last):
    """(N, C, H, W) whose elements are those of `x`, and the axes that give back the order of `x`."""
    if x.ndim == 0:
        raise Skip("a scalar")
    n = x.shape[0]
    if x.size == 0:
        raise Skip("no elements")
    if x.ndim == 1:
        return x.reshape(n, 1, 1, 1)
    if not last:
        rest = list(x.shape[1:]) + [1, 1]
        return x.reshape(n, rest[0], rest[1], -1)
    if x.ndim == 2:
        return x.reshape(n, 1, 1, -1)
    if x.ndim == 3:
        return x.reshape(n, x.shape[1], 1, x.shape[2]).transpose(0, 3, 1, 2)
    return x.reshape(n, x.shape[1], -1, x.shape[-1]).transpose(0, 3, 1, 2)


class Net:
    """A classifier around a test."""

    def __init__(self, test, variant, coded):
        self.nodes, self.tensors, self.count = [], [], 0
        self.test, self.variant, self.coded = test, variant, coded
        self.build()

    def name(self, what):
        self.count += 1
        return f"@{what}{self.count}"

    def node(self, op, *inputs, **attributes):
        output = self.name(op.lower())
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def tensor(self, array, what="constant"):
        name = self.name(what)
        self.tensors.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def shared(self, *shape):
        """A matrix of the elements that all files share."""
        count = int(np.prod(shape))
        if count > len(WEIGHTS):
            raise Skip("too large")
        tensor = TensorProto(name=self.name("weight"), data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", SHARED), ("offset", "0"), ("length", str(4 * count))):
            tensor.external_data.add(key=key, value=value)
        self.tensors.append(tensor)
        return tensor.name, WEIGHTS[:count].reshape(shape).astype(np.float64)

    def build(self):
        test, variant = self.test, self.variant
        names = [value.name for value in inputs_of(test.model)]
        y = test.outputs[variant.output]
        if y.dtype.kind in "OUSc":
            raise Skip("strings or complex numbers")
        if variant.images:
            self.from_image([(names[i], test.inputs[i]) for i in variant.images])
        else:
            self.batch, self.picture = 1, np.zeros((1, 3, 1, 1), np.float32)
            self.image_type = TensorProto.FLOAT
        kept = [i for i in range(len(test.inputs)) if i not in variant.images]
        for i in kept:
            if names[i]:
                tensor = numpy_helper.from_array(test.inputs[i], names[i])
                self.tensors.append(tensor)
        self.tensors.extend(test.model.graph.initializer)
        self.nodes.extend(test.model.graph.node)
        output = test.model.graph.output[variant.output].name
        if variant.final:
            self.final_head(y)
            self.logits = output
        elif variant.images and is_float(y):
            self.feature_head(output, y)
        else:
            self.constant_head(output, y)
        graph = helper.make_graph(
            self.nodes, test.name, [helper.make_tensor_value_info("image", self.image_type, self.picture.shape)],
            [helper.make_tensor_value_info(self.logits, self.output_type, self.answer.shape)], self.tensors,
        )
        opsets = list(test.model.opset_import)
        if not any(entry.domain in ("", "ai.onnx") for entry in opsets):
            opsets.append(helper.make_opsetid("", 17))
        self.model = helper.make_model(graph, opset_imports=opsets, ir_version=test.model.ir_version)
        self.model.functions.extend(test.model.functions)

    def data(self):
        return self.model.SerializeToString(deterministic=True)

    def from_image(self, values):
        """The image gives the inputs `values`, names and arrays."""
        maps = [as_map(x, self.variant.last) for _, x in values]
        if len({(m.shape[0], *m.shape[2:]) for m in maps}) > 1 or len({m.dtype for m in maps}) > 1:
            raise Skip("inputs of different sizes")
        all_ = np.concatenate(maps, 1)
        if not np.isfinite(all_.astype(np.float64)).all():
            raise Skip("elements that are not finite")
        n, channels, h, w = all_.shape
        if channels > MAX_CHANNELS or all_.size > MAX_ELEMENTS:
            raise Skip("too large")
        self.batch, self.image_type = n, type_of(all_)
        if self.coded:
            weight, bias = self.code(all_.astype(np.float64))
        elif channels == 3:
            self.picture, weight, bias = all_.astype(np.float32), None, None
        else:
            weight, bias = self.select(all_), None
        if weight is None and len(values) > 1:
            raise Skip("inputs of different sizes")
        start = 0
        for (name, x), own in zip(values, maps):
            part, value = slice(start, start + own.shape[1]), "image"
            start += own.shape[1]
            if weight is not None:
                inputs = [self.tensor(each[part].astype(x.dtype)) for each in (weight, bias) if each is not None]
                size = list(weight.shape[2:])
                value = self.node("Conv", "image", *inputs, kernel_shape=size, strides=size)
            shape = own.shape
            if self.variant.last and x.ndim > 2:
                value = self.node("Transpose", value, perm=[0, 2, 3, 1])
                shape = (n, own.shape[2], own.shape[3], own.shape[1])
            if shape != x.shape:
                value = self.node("Reshape", value, self.tensor(np.array(x.shape, np.int64)))
            self.nodes.append(helper.make_node("Identity", [value], [name]))

    def select(self, x):
        """Makes an image of the elements of `x` (N, C, H, W); the weight of the convolution that gives them back."""
        n, channels, h, w = x.shape
        wide = -(-channels // 3)
        filled = np.zeros((n, wide * 3, h, w), np.float32)
        filled[:, :channels] = x
        # Channel c is channel c % 3 of the image, in column c // 3 of those of a pixel.
        image = filled.reshape(n, wide, 3, h, w).transpose(0, 2, 3, 4, 1).reshape(n, 3, h, w * wide)
        self.picture = np.ascontiguousarray(image)
        weight = np.zeros((channels, 3, 1, wide))
        for c in range(channels):
            weight[c, c % 3, 0, c // 3] = 1
        return weight

    def code(self, x):
        """Makes a picture whose pixels are the elements of `x`, as 24 bits in red, green and blue; the weight and the
        bias of the convolution that gives them back.
        """
        n, channels, h, w = x.shape
        low, step = x.min(), max((x.max() - x.min()) / (2 ** 24 - 1), 1e-30)
        bits = ((x - low) / step).round().astype(np.int64)
        digits = np.stack([bits >> 16, (bits >> 8) & 255, bits & 255], 1)
        self.picture = digits.transpose(0, 1, 3, 4, 2).reshape(n, 3, h, w * channels)
        weight = np.zeros((channels, 3, 1, channels))
        for c in range(channels):
            weight[c, :, 0, c] = 255 * step * np.array([65536, 256, 1])
        return weight, np.full(channels, low)

    def to_float(self, value, array):
        if array.dtype == np.float32:
            return value
        return self.node("Cast", value, to=TensorProto.FLOAT)

    def final_head(self, y):
        """The output is that of the network."""
        if y.ndim != 2 or y.shape[0] != self.batch or y.shape[1] < 2:
            raise Skip("no class scores")
        self.answer, self.output_type = y.astype(np.float64), type_of(y)

    def convolved(self, value, y):
        """A convolution of `value`: zeros of a `Pad` are taken over by the next window."""
        channels, (h, w) = y.shape[1], (y.shape[2] - 1, y.shape[3] - 1)
        weight = WEIGHTS[: channels * channels * 4].reshape(channels, channels, 2, 2)
        value = self.node("Conv", value, self.tensor(weight.astype(y.dtype)), kernel_shape=[2, 2])
        parts = [
            np.einsum("nchw,oc->nohw", y[:, :, i:i + h, j:j + w].astype(np.float64), weight[:, :, i, j])
            for i in range(2) for j in range(2)
        ]
        return self.to_float(value, y), sum(parts)

    def feature_head(self, value, y):
        """The output goes to a linear layer, whose biases are its dimensions."""
        if y.size == 0 or y.size % self.batch:
            raise Skip("not one result for each image of the batch")
        if not np.isfinite(y.astype(np.float64)).all():
            raise Skip("elements that are not finite")
        if "Pad" in self.test.operators and y.ndim == 4:
            value, y = self.convolved(value, y)
        else:
            value = self.to_float(value, y)
        count, rank = y.size // self.batch, y.ndim
        if rank > 1 and y.shape[0] == self.batch:
            flat = self.node("Flatten", value, axis=1)
        else:
            flat = self.node("Reshape", value, self.tensor(np.array([self.batch, count], np.int64)))
        classes = max(rank, 2)
        matrix, numbers = self.shared(count, classes)
        self.answer = y.astype(np.float64).reshape(self.batch, count) @ numbers
        inputs = [flat, matrix]
        if rank > 1:
            inputs.append(self.node("Cast", self.node("Shape", value), to=TensorProto.FLOAT))
            self.answer = self.answer + np.array(y.shape, np.float64)
        else:
            inputs.append(self.tensor(np.zeros(2, np.float32)))
        self.logits, self.output_type = self.node("Gemm", *inputs), TensorProto.FLOAT

    def constant_head(self, value, y):
        """The output's elements and its dimensions are added to class scores."""
        rank, elements = y.ndim, y.astype(np.float64).ravel()
        if y.size > MAX_ELEMENTS // 3:
            raise Skip("too large")
        if not np.isfinite(elements).all():
            raise Skip("elements that are not finite")
        parts = []
        if y.size:
            parts.append(self.node("Reshape", self.to_float(value, y), self.tensor(np.array([-1], np.int64))))
        if rank:
            parts.append(self.node("Cast", self.node("Shape", value), to=TensorProto.FLOAT))
        elements = np.concatenate([elements, np.array(y.shape, np.float64)])
        both = self.node("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]
        count = len(elements)
        both = self.node("Reshape", both, self.tensor(np.array([1, count], np.int64)))
        classes = max(count, 2)
        matrix, numbers = self.shared(3, classes)
        pooled = self.node("GlobalAveragePool", "image") if self.variant.images else "image"
        pooled = self.node("Flatten", pooled, axis=1)
        if self.image_type != TensorProto.FLOAT:
            pooled = self.node("Cast", pooled, to=TensorProto.FLOAT)
        scores = self.node("MatMul", pooled, matrix)
        self.logits, self.output_type = self.node("Add", scores, both), TensorProto.FLOAT
        pixels = self.picture.astype(np.float64) / (255 if self.coded and self.variant.images else 1)
        self.answer = pixels.mean((2, 3)) @ numbers + np.resize(elements, (1, classes))


def variants(test):
    """All ways to see a test."""
    outputs = range(len(test.outputs))
    yield from (Variant(output=k) for k in outputs)
    candidates = [i for i, x in enumerate(test.inputs) if is_float(x) and x.ndim > 0]
    choices = [(i,) for i in candidates]
    if len(candidates) > 1:
        choices.append(tuple(candidates))
        if len(candidates) > 2:
            choices.append(tuple(candidates[:2]))
    is_final = bool({"Softmax", "LogSoftmax"} & set(test.operators))
    for images in choices:
        for k in outputs:
            for final in ([False, True] if is_final else [False]):
                yield Variant(images, False, k, final)
                if max(test.inputs[i].ndim for i in images) > 1:
                    yield Variant(images, True, k, final)


def own_tests():
    """The graphs of `own_nodes.py` with the outputs of ONNX Runtime or the reference implementation."""
    for name, model, inputs, images, last in own_graphs():
        test = Test(name, "own", model, inputs, [], model.opset_import[0].version, only=Variant(images, last))
        feeds = {f"i{k}": x for k, x in enumerate(inputs)}
        for run in (run_onnxruntime, run_reference):
            try:
                test.outputs = [np.asarray(y) for y in run(model, feeds)]
                break
            except Exception:  # Both raise errors of many classes.
                continue
        else:
            raise ValueError(f"{name}: no implementation runs it")
        yield test


def tests():
    """All tests of the package, and our own ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = [load(case) for kind in KINDS for case in load_model_tests(kind=kind)]
    return [*loaded, *own_tests()]


def softmax(logits, final):
    logits = logits - logits.max(1, keepdims=True)
    log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return log if final == "log_softmax" else np.exp(log)


def final_of(net):
    if not net.variant.final:
        return ""
    return "log_softmax" if "LogSoftmax" in net.test.operators else "softmax"


def tolerance_of(net):
    types = {str(x.dtype) for x in [*net.test.inputs, *net.test.outputs]}
    if net.test.name in TOLERANCES:
        return TOLERANCES[net.test.name]
    if "bfloat16" in types:
        return 2e-2
    if "float16" in types:
        return 2e-3
    return 1e-5 if net.variant.images else 1e-6


def error_of(net, outputs):
    """The largest error, in the measure of the case's tolerance."""
    if outputs.shape[1:] != net.answer.shape[1:]:
        return np.inf
    difference, size = np.abs(outputs - net.answer), np.abs(net.answer)
    scale = size if not net.variant.images else size.max()
    if not np.isfinite(outputs).all():
        return np.inf
    return float(np.max(np.where(difference == 0, 0, difference / np.maximum(scale, 1e-30))))


def verified(net, folder):
    """Whether ONNX Runtime or the reference implementation gives the answer of the file."""
    path = folder / "net.onnx"
    path.write_bytes(net.data())
    full = onnx.load(path)
    picture = net.picture.astype(helper.tensor_dtype_to_np_dtype(net.image_type))
    for run in (run_onnxruntime, run_reference):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outputs = np.asarray(run(full, {"image": picture})[0]).astype(np.float64)
            if error_of(net, outputs) <= max(tolerance_of(net), 1e-4):
                return True
        except Exception:  # Both raise errors of many classes.
            continue
    return False


def explained(msdcam, net, folder):
    """The logits that msdcam gives for a network whose image is coded in pixels, or the exit code and its message."""
    path, out = folder / "net.onnx", folder / "out"
    path.write_bytes(net.data())
    photos = []
    for i, pixels in enumerate(net.picture):
        photos.append(folder / f"photo{i}.png")
        Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)).astype(np.uint8)).save(photos[-1])
    shutil.rmtree(out, ignore_errors=True)
    command = [msdcam, "explain", *photos, "--weights", path, "--normalize", "none", "--json", "--device", "cpu"]
    done = subprocess.run([*map(str, command), "-o", str(out)], capture_output=True, text=True)
    if done.returncode != 0:
        return (done.returncode, done.stderr.strip().replace(str(path), "FILE"))
    return np.concatenate([np.load(out / f"{photo.stem}.npz")["logits"] for photo in photos]).astype(np.float64)


def cause_of(message):
    """What a refusal says, without the name of the node and the number of such nodes."""
    message = re.sub(r"^error: FILE: (ONNX: )?(not supported: )?", "", message)
    message = re.sub(r"^node '[^']*' ", "", message)
    return re.sub(r" \(\d+\)(?=,|$)", "", re.sub(r"tensor '[^']*'", "tensor #", message))


def without_numbers(cause):
    return re.sub(r"[\d.-]+|inf", "#", cause)


def parts_of(cause):
    """What is between the numbers of a refusal."""
    return [part.strip() for part in without_numbers(cause).split("#") if part.strip(" ,[]")]


def content(net):
    """What a file computes, whatever its names are."""
    nodes = [
        (node.op_type, *sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute))
        for node in net.model.graph.node
    ]
    tensors = [(tensor.data_type, tuple(tensor.dims), tensor_bytes(tensor)) for tensor in net.tensors]
    return repr((nodes, tensors, image_key(net.picture), net.test.opset))


def tensor_bytes(tensor):
    return b"" if tensor.external_data else numpy_helper.to_array(tensor).tobytes()


def file_name(test, variant):
    return f"{test.name}-{variant}.onnx"


def image_key(picture):
    return "image." + hashlib.sha256(picture.tobytes() + str(picture.shape).encode()).hexdigest()[:8]


def entry(net, refusal):
    test, final = net.test, final_of(net)
    usual = 1e-5 if net.variant.images else 1e-6
    optional = {
        "refusal": refusal, "final": final, "note": test.note,
        "tolerance": tolerance_of(net) if tolerance_of(net) != usual else 0,
    }
    return {
        "file": file_name(test, net.variant), "operators": test.operators, "opset": test.opset,
        **{key: value for key, value in optional.items() if value},
    }


class Tensors:
    """Images and answers of all cases, one after the other; equal ones once."""

    def __init__(self):
        self.images, self.answers, self.known = [], [], {}

    def place(self, list_, array):
        """The place of the first element of `array`."""
        key = (id(list_), array.tobytes())
        if key not in self.known:
            self.known[key] = sum(map(len, list_))
            list_.append(array.ravel())
        return self.known[key]

    def placed(self, net, case):
        image, answer = self.place(self.images, net.picture), self.place(self.answers, net.answer)
        return {**case, "image": [image, len(net.picture)], "answer": [answer, net.answer.shape[1]]}

    def save(self):
        return safetensors.numpy.save({"images": np.concatenate(self.images), "answers": np.concatenate(self.answers)})


def chosen(test):
    if test.only is not None:
        return [test.only]
    is_any = set(test.operators) <= ANY_LAYOUT
    return [variant for variant in variants(test) if not (variant.last and is_any)]


def words_of(test):
    """What a refusal may name."""
    return [*test.operators, "elements of type"]


def counted(names):
    return f"{len(names)}: {', '.join(sorted(names)[:3])}{', ...' * (len(names) > 3)}"


def is_small(net):
    is_short = len(net.test.model.graph.node) <= MAX_NODES or net.test.kind == "own"
    return len(net.data()) <= MAX_BYTES and is_short


def survey(msdcam, all_, folder):
    """The cases to store with their networks, and the other lists of `nodes.json`."""
    cases, refused, smallest, known = [], defaultdict(set), {}, set()
    not_read, not_made, wrong = Counter(), defaultdict(set), []
    for test in all_:
        if test.skip or (test.opset not in OPSETS and test.opset != 0):
            not_made[test.skip or f"opset {test.opset}, and not the same in {OPSETS[0]} to {OPSETS[-1]}"].add(test.name)
            continue
        missing = [op for op in test.operators if op not in READ | FOLDED]
        if missing or test.opset == 0:
            not_read.update(missing or ["other domain"])
            continue
        if SKIPPED.fullmatch(test.name):
            continue
        for variant in chosen(test):
            try:
                net, coded = Net(test, variant, False), Net(test, variant, True)
            except Skip as cause:
                not_made[str(cause)].add(test.name)
                continue
            result = explained(msdcam, coded, folder)
            if isinstance(result, tuple) and result[0] == 4 and not test.name.startswith("own_"):
                cause = cause_of(result[1])
                key = without_numbers(cause)
                refused[key].add(test.name)
                names_it = any(word in cause for word in words_of(test))
                is_smallest = key not in smallest or len(net.data()) < len(smallest[key].data())
                if names_it and is_small(net) and is_smallest and verified(net, folder):
                    smallest[key] = net
                continue
            is_plain_fold = test.kind.startswith("pytorch") and not variant.images
            if is_plain_fold or not is_small(net) or content(net) in known:
                continue
            known.add(content(net))
            is_right = False
            if not isinstance(result, tuple):
                outputs = softmax(result, final_of(coded)) if variant.final else result
                # Rounding of the image to 24 bits.
                is_right = error_of(coded, outputs) <= tolerance_of(coded) + 3e-5 * bool(variant.images)
                if variant.final and not is_right:
                    is_right = error_of(coded, outputs) <= 1e-3
            is_refused = isinstance(result, tuple) and result[0] == 4
            if not is_right and not (is_refused and any(word in result[1] for word in words_of(test))):
                said = result[1] if isinstance(result, tuple) else f"error {error_of(coded, outputs):.1e}"
                wrong.append(f"{file_name(test, variant)}: {said}")
            if not verified(net, folder):
                wrong.append(f"{file_name(test, variant)}: no implementation gives the answer")
                continue
            cases.append((net, entry(net, parts_of(cause_of(result[1])) if is_refused else [])))
    for cause, net in smallest.items():
        if "," in cause.replace(" #, #", ""):  # Several causes at once.
            continue
        cases.append((net, entry(net, parts_of(cause))))
    answered = {net.test.name for net, _ in cases}
    lists = {
        "refused": {cause: counted(names) for cause, names in sorted(refused.items())},
        "not_read": dict(sorted(not_read.items())),
        "not_made": {cause: counted(names - answered) for cause, names in sorted(not_made.items())},
    }
    return sorted(cases, key=lambda case: case[1]["file"]), lists, wrong


def check(all_, folder):
    """Makes the stored files again and runs them."""
    stored = json.loads((FOLDER / "nodes.json").read_text())["cases"]
    tensors = safetensors.numpy.load_file(FOLDER / "nodes.safetensors")
    found, wrong = {}, []
    for test in all_:
        if not test.skip:
            found.update({file_name(test, variant): (test, variant) for variant in chosen(test)})
    made = Tensors()
    for case in stored:
        net = Net(*found[case["file"]], False)
        again = made.placed(net, entry(net, case.get("refusal", [])))
        if again != case or net.data() != (FOLDER / "nodes" / case["file"]).read_bytes():
            wrong.append(f"{case['file']}: differs")
        for key, array in (("image", net.picture), ("answer", net.answer)):
            old = tensors[f"{key}s"][case[key][0]:][: array.size].reshape(array.shape)
            if np.abs(old - array).max() > 1e-9 * np.abs(array).max():
                wrong.append(f"nodes.safetensors: {key} of {case['file']}")
        if not verified(net, folder):
            wrong.append(f"{case['file']}: no implementation gives the answer")
    files = {path.name for path in (FOLDER / "nodes").iterdir()} - {case["file"] for case in stored} - {SHARED}
    wrong.extend(f"{name}: in no entry" for name in sorted(files))
    print("\n".join(wrong) or f"{len(stored)} files: equal")
    sys.exit(bool(wrong))


def versions():
    modules = {"onnx": onnx, "onnxruntime": onnxruntime, "numpy": np, "safetensors": safetensors}
    return {"python": sys.version.split()[0], **{name: module.__version__ for name, module in modules.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("msdcam", nargs="?", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.check == (arguments.msdcam is not None):
        parser.error("either MSDCAM or --check")
    all_ = tests()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / SHARED).write_bytes(WEIGHTS.tobytes())
        if arguments.check:
            check(all_, folder)
        cases, lists, wrong = survey(arguments.msdcam.resolve(), all_, folder)
    place = FOLDER / "nodes"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / SHARED).write_bytes(WEIGHTS.tobytes())
    tensors, rows = Tensors(), []
    for net, case in cases:
        (place / case["file"]).write_bytes(net.data())
        rows.append(f"  {json.dumps(tensors.placed(net, case))}")
    rows = ",\n".join(rows)
    lists = ",\n".join(
        f' "{name}": {{\n' + ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in list_.items())
        + "\n }" for name, list_ in lists.items()
    )
    text = f'{{\n "versions": {json.dumps(versions())},\n "cases": [\n{rows}\n ],\n{lists}\n}}\n'
    json.loads(text)
    (FOLDER / "nodes.json").write_text(text)
    (FOLDER / "nodes.safetensors").write_bytes(tensors.save())
    print("\n".join(wrong))
    print(f"{len(cases)} files, {len(wrong)} faults")


if __name__ == "__main__":
    main()
