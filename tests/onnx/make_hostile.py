"""ONNX files that must be refused, in `bad/`, and what each refusal has to name, in `bad.json`.

Usage: python make_hostile.py [--check]
Written with Python 3.11, onnx 1.23.2, NumPy 2.4.6.

`bad.json` has for each file `kind` (what is wrong: see KINDS), `words` (what the message names) and `why`. Files of
the kind `fine` look odd and must load. With `--check` nothing is written: the stored files are compared with what
would be.
"""
import argparse
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

FOLDER = Path(__file__).parent
KINDS = {
    "operator": "an operator that is not imported, or not with these attributes or inputs",
    "domain": "operators of another domain than ONNX's own",
    "opset": "a version of the operators that is too old, missing or unknown",
    "input": "no image input, several, or one of another shape or type",
    "output": "no output with classes",
    "external": "external data that is missing, too short, or outside of the model's folder",
    "graph": "values without a maker, with two makers, or that need themselves",
    "tensor": "an initializer whose type, dimensions and data disagree",
    "weight": "a weight that is not a finite number",
    "shape": "shapes that do not fit together",
    "constant": "constants that cannot be computed, or would need more memory than the file is worth",
    "file": "not an ONNX model, or only a part of one",
    "fine": "loads",
}
FILES = {}


def case(kind, words, why=""):
    """Registers a function whose name is the file's, and which gives its model or bytes."""

    def register(make):
        FILES[make.__name__] = (kind, words, why, make)
        return make

    return register


def value(name, shape, type_=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, type_, shape)


def tensor(name, *shape, scale=0.2):
    count = int(np.prod(shape))
    array = (np.arange(count) * 37 % 19 - 9).astype(np.float32).reshape(shape) / 9 * scale
    return numpy_helper.from_array(array, name)


def node(kind, inputs, output, **attributes):
    outputs = output if isinstance(output, list) else [output]
    return helper.make_node(kind, inputs, outputs, outputs[0], **attributes)


def network(change=None, middle=(), opset=17, tensors=(), start=(), tap="c"):
    """A convolution and a linear layer with nodes `middle` between, which read `c`, the convolution's output.

    `start` nodes read `x` and give `s`; `tap` is the map that is pooled.
    """
    nodes = [
        *start, node("Conv", ["s" if start else "x", "w"], "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        *middle, node("GlobalAveragePool", [tap], "p"), node("Flatten", ["p"], "f"),
        node("Gemm", ["f", "v", "b"], "logits", transB=1),
    ]
    graph = helper.make_graph(
        nodes, "graph", [value("x", [1, 3, 8, 8])], [value("logits", [1, 4])],
        [tensor("w", 5, 3, 3, 3), tensor("v", 4, 5), tensor("b", 4), *tensors],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if change is not None:
        change(model)
    return model


def find(model, name):
    return next(item for item in model.graph.initializer if item.name == name)


def shape_of(value_):
    return value_.type.tensor_type.shape.dim


@case("fine", [], "the network that the others are made from")
def good():
    return network()


# Operators.
def branch(name):
    return helper.make_graph([node("Relu", ["c"], name)], name, [], [value(name, [1, 5, 8, 8])])


def chosen(name, first="r1", second="r2", outputs=("r",), **changes):
    """A network with an `If`, whose condition is the value `name`."""
    yes = numpy_helper.from_array(np.array(True), "yes")
    other = node("Cast", ["c"], "unsure", to=TensorProto.BOOL)
    branches = {"then_branch": branch(first), "else_branch": branch(second), **changes}
    middle = [*([other] if name == "unsure" else []), node("If", [name], list(outputs), **branches)]
    return network(middle=middle, tensors=[yes], tap="r")


@case("operator", ["If"], "its condition depends on the image")
def if_node():
    return chosen("unsure")


@case("fine", [], "its condition is a constant")
def if_constant():
    return chosen("yes")


@case("operator", ["If"], "it has one branch")
def if_without_branch():
    return chosen("yes", then_branch=helper.make_graph([], "empty", [], []))


@case("operator", ["not supported: Elu (1)"], "its branch has an operator that is not known")
def if_of_unknown():
    made = helper.make_graph([node("Elu", ["c"], "r1")], "b", [], [value("r1", [1, 5, 8, 8])])
    return chosen("yes", then_branch=made)


@case("operator", ["not supported: Erf (1), If (1)"], "a branch of its branch is not looked into; another node is named too")
def if_in_if_of_unknown():
    elu, erf = node("Elu", ["c"], "r3"), node("Erf", ["r2"], "r1")
    inner = helper.make_graph([elu], "c", [], [value("r3", [1, 5, 8, 8])])
    branches = {"then_branch": inner, "else_branch": branch("r4")}
    made = helper.make_graph([node("If", ["yes"], "r2", **branches), erf], "b", [], [value("r1", [1, 5, 8, 8])])
    return chosen("yes", then_branch=made)


@case("graph", ["If", "there already"], "its branch computes a value again")
def if_again():
    return chosen("yes", first="x")


@case("graph", ["If", "nothing"], "its branch reads a value that is nowhere")
def if_of_nothing():
    made = helper.make_graph([node("Relu", ["nothing"], "r1")], "b", [], [value("r1", [1, 5, 8, 8])])
    return chosen("yes", then_branch=made)


@case("graph", ["cycle"], "its branch reads its own result")
def if_of_itself():
    made = helper.make_graph([node("Relu", ["r"], "r1")], "b", [], [value("r1", [1, 5, 8, 8])])
    return chosen("yes", then_branch=made)


@case("operator", ["If"], "a thousand graphs, each in the next")
def if_in_if():
    def number(n):
        return (bytes([n & 127 | 128]) + number(n >> 7)) if n > 127 else bytes([n])

    def field(key, data):
        return number(key << 3 | 2) + number(len(data)) + data

    # The kind of an attribute with a graph is 5.
    inner = b""
    for _ in range(1000):
        attribute = field(1, b"then_branch") + field(6, inner) + number(20 << 3) + number(5)
        last, inner = attribute, field(1, field(2, b"i") + field(4, b"If") + field(5, attribute))
    model = chosen("yes")
    nodes = [part.SerializeToString(deterministic=True) for part in model.graph.node]
    place = [part.op_type for part in model.graph.node].index("If")
    nodes[place] = field(1, b"yes") + field(2, b"r") + field(4, b"If") + field(5, last)
    del model.graph.node[:]
    graph = b"".join(field(1, data) for data in nodes) + model.graph.SerializeToString(deterministic=True)
    model.ClearField("graph")
    return model.SerializeToString(deterministic=True) + field(7, graph)


@case("operator", ["Loop"])
def loop():
    body = helper.make_graph(
        [node("Identity", ["go"], "go_out"), node("Relu", ["state"], "state_out")], "body",
        [value("turn", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("state", [1, 5, 8, 8])],
        [value("go_out", [], TensorProto.BOOL), value("state_out", [1, 5, 8, 8])],
    )
    turns = numpy_helper.from_array(np.array(3), "turns")
    return network(middle=[node("Loop", ["turns", "", "c"], "r", body=body)], tensors=[turns], tap="r")


@case("operator", ["QuantizeLinear", "DequantizeLinear", "floating-point"], "both are named, each with its count")
def quantized():
    scale, zero = numpy_helper.from_array(np.float32(0.1), "scale"), numpy_helper.from_array(np.uint8(128), "zero")
    middle = [
        node("QuantizeLinear", ["c", "scale", "zero"], "q"), node("DequantizeLinear", ["q", "scale", "zero"], "r"),
    ]
    return network(middle=middle, tensors=[scale, zero], tap="r")


@case("operator", ["LayerNormalization"])
def layer_norm():
    return network(middle=[node("LayerNormalization", ["c", "g"], "r", axis=-1)], tensors=[tensor("g", 8)], tap="r")


@case("operator", ["Attention"])
def attention():
    middle = [node("Attention", ["c", "c", "c"], "r")]
    return network(middle=middle, opset=23, tap="r")


@case("operator", ["MatMul"], "the product of two activations")
def matmul_of_activations():
    return network(middle=[node("MatMul", ["c", "c"], "r")], tap="r")


@case("fine", [], "the product of two activations")
def product_of_activations():
    return network(middle=[node("Relu", ["c"], "d"), node("Mul", ["c", "d"], "r")], tap="r")


@case("operator", ["Div of two maps"], "the quotient of two activations")
def quotient_of_activations():
    return network(middle=[node("Relu", ["c"], "d"), node("Div", ["c", "d"], "r")], tap="r")


@case("operator", ["LSTM", "Gelu", "GridSample"], "three operators at once: all are named")
def three_operators():
    middle = [node("Gelu", ["c"], "d"), node("GridSample", ["d", "z"], "r"), node("LSTM", ["r", "w", "w"], "e")]
    return network(middle=middle, opset=20, tensors=[tensor("z", 1, 4, 4, 2)], tap="e")


def one(kind, *constants, inputs=("c",), opset=17, **attributes):
    """A network with one node of `kind` that reads the map and `constants`."""
    names = [f"k{i}" for i in range(len(constants))]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for array, name in zip(constants, names)]
    made = node(kind, [*inputs, *names], "r", **attributes)
    return network(middle=[made], opset=opset, tensors=tensors, tap="r")


def singles(*values):
    return np.array(values, np.float32)


@case("operator", ["Clip", "NaN"])
def clip_nan():
    return one("Clip", np.float32(np.nan), np.float32(6))


@case("operator", ["Clip to 6 to 0"], "all elements would be the same")
def clip_reversed():
    return one("Clip", np.float32(6), np.float32(0))


@case("shape", ["bound"])
def clip_of_channels():
    return one("Clip", singles(0, 1, 2, 3, 4).reshape(5, 1, 1))


@case("weight", ["alpha", "NaN"])
def leaky_nan():
    return one("LeakyRelu", alpha=float("nan"))


@case("weight", ["beta", "inf"])
def hard_sigmoid_infinite():
    return one("HardSigmoid", beta=float("inf"))


@case("weight", ["NaN"])
def prelu_nan():
    return one("PRelu", singles(np.nan))


@case("operator", ["PRelu"], "a slope for each pixel")
def prelu_of_pixels():
    return one("PRelu", np.ones((5, 8, 8), np.float32))


@case("operator", ["Swish", "0"])
def swish_zero():
    return one("Swish", opset=24, alpha=0.0)


for _name, _attributes, _words in [
    ("zero", {"size": 0}, ["size", "0"]), ("negative", {"size": -3}, ["size", "-3"]),
    ("huge", {"size": 2**40}, ["size", "1099511627776"]), ("unsized", {}, ["size"]),
    ("alpha_nan", {"size": 3, "alpha": float("nan")}, ["alpha", "NaN"]),
    ("bias_zero", {"size": 3, "bias": 0.0}, ["LRN", "bias 0"]),
    ("alpha_negative", {"size": 3, "alpha": -1.0}, ["LRN", "alpha -1"]),
]:

    def lrn(attributes=_attributes):
        return one("LRN", **attributes)

    lrn.__name__ = f"lrn_{_name}"
    case("weight", _words)(lrn)


def resize_to(*sizes, **attributes):
    return one("Resize", np.array(sizes, np.int64), inputs=("c", "", ""), **attributes)


def scaled_by(*scales, **attributes):
    return one("Resize", singles(*scales), inputs=("c", ""), **attributes)


for _name, _sizes, _words in [
    ("zero", (1, 5, 0, 8), ["8", "0"]), ("negative", (1, 5, -8, 8), ["-8"]), ("vast", (1, 5, 2**40, 8), ["1099511627776"]),
    ("large", (1, 5, 60000, 60000), ["60000", "elements"]), ("short", (16, 16), ["2 sizes of 4"]),
]:

    def resized(sizes=_sizes):
        return resize_to(*sizes)

    resized.__name__ = f"resize_{_name}"
    case("shape", _words)(resized)

for _name, _scale in [("zero", 0), ("negative", -2), ("nan", np.nan), ("infinite", np.inf), ("tiny", 1e-9), ("vast", 1e30)]:

    def scaled(scale=_scale):
        return scaled_by(1, 1, scale, 2)

    scaled.__name__ = f"resize_scale_{_name}"
    case("shape", ["Resize", "8", "scaled"])(scaled)


@case("operator", ["Resize of other axes"], "twice the channels")
def resize_channels():
    return scaled_by(1, 2, 1, 1)


@case("operator", ["Resize of other axes"], "twice the images")
def resize_batch():
    return resize_to(2, 5, 8, 8)


@case("operator", ["Resize of mode cubic"])
def resize_cubic():
    return resize_to(1, 5, 16, 16, mode="cubic")


@case("operator", ["antialias"])
def resize_antialias():
    return resize_to(1, 5, 4, 4, mode="linear", antialias=1, opset=18)


@case("operator", ["tf_crop_and_resize"])
def resize_crop():
    return resize_to(1, 5, 16, 16, mode="linear", coordinate_transformation_mode="tf_crop_and_resize")


@case("shape", ["nearest_mode", "other"])
def resize_nearest_mode():
    return resize_to(1, 5, 16, 16, nearest_mode="other")


@case("shape", ["neither scales nor sizes"])
def resize_without_sizes():
    return one("Resize", inputs=("c",))


@case("shape", ["both scales and sizes"])
def resize_twice():
    return one("Resize", singles(1, 1, 2, 2), np.array([1, 5, 16, 16]), inputs=("c", ""))


@case("operator", ["Expand"], "five channels to ten")
def expand_channels():
    return one("Expand", np.array([1, 10, 8, 8]))


@case("operator", ["Tile"], "a map beside itself")
def tile_maps():
    return one("Tile", np.array([1, 1, 2, 2]))


def split_of(outputs, *constants, opset=18, **attributes):
    sizes = [numpy_helper.from_array(np.array(sizes, np.int64), "k") for sizes in constants]
    made = node("Split", ["c", *(["k"] if sizes else [])], outputs, **attributes)
    return network(middle=[made], opset=opset, tensors=sizes, tap=outputs[0])


for _name, _sizes, _attributes, _words in [
    ("sum", [2, 2], {"axis": 1}, ["5 elements", "[2, 2]"]), ("negative", [6, -1], {"axis": 1}, ["[6, -1]"]),
    ("overflow", [2**63 - 1, 2**63 - 1], {"axis": 1}, ["9223372036854775807"]),
    ("count", [5], {"axis": 1}, ["2 results"]), ("axis", [1, 4], {"axis": 4}, ["axis 4"]),
    ("empty", [5, 0], {"axis": 1}, ["Split"]), ("rows", [3, 5], {"axis": 2}, ["Split of rows or columns"]),
    ("batch", [1, 0], {"axis": 0}, ["Split"]), ("uneven", None, {"axis": 1}, ["5 elements in 2 parts"]),
    ("no_parts", None, {"axis": 1, "num_outputs": 0}, ["0 parts"]),
]:

    def split(sizes=_sizes, attributes=_attributes):
        return split_of(["r", "q"], *([] if sizes is None else [sizes]), **attributes)

    split.__name__ = f"split_{_name}"
    case("operator" if "Split" in _words[0] else "shape", _words)(split)


@case("operator", ["Slice with steps"], "every other channel")
def slice_of_steps():
    return one("Slice", *(np.array([n]) for n in (0, 5, 1, 2)))


@case("operator", ["Slice of rows or columns"])
def slice_of_rows():
    return one("Slice", *(np.array([n]) for n in (1, 5, 2)))


@case("operator", ["Slice without elements"])
def slice_of_nothing():
    return one("Slice", *(np.array([n]) for n in (4, 2, 1)))


@case("operator", ["Gather"], "channels in another order")
def gather_in_disorder():
    return one("Gather", np.array([1, 0, 2, 3, 4]), axis=1)


@case("shape", ["5"], "a channel that does not exist")
def gather_outside():
    return one("Gather", np.array([4, 5]), axis=1)


def shuffled(parts, order, whole):
    shapes = [numpy_helper.from_array(np.array(shape), name) for name, shape in (("parts", parts), ("whole", whole))]
    middle = [
        node("Reshape", ["c", "parts"], "divided"), node("Transpose", ["divided"], "swapped", perm=order),
        node("Reshape", ["swapped", "whole"], "r"),
    ]
    return network(middle=middle, tensors=shapes, tap="r")


@case("shape", ["cannot become"], "five channels in two groups")
def shuffle_of_two_groups():
    return shuffled([1, 2, -1, 8, 8], [0, 2, 1, 3, 4], [1, 5, 8, 8])


@case("operator", ["Reshape that divides"], "rows in two groups")
def shuffle_of_rows():
    return shuffled([1, 5, 2, 4, 8], [0, 1, 3, 2, 4], [1, 5, 8, 8])


@case("operator", ["Mul with a factor for each pixel"])
def gate_of_pixels():
    middle = [node("Conv", ["c", "k"], "g", kernel_shape=[1, 1]), node("Mul", ["c", "g"], "r")]
    return network(middle=middle, tensors=[tensor("k", 1, 5, 1, 1)], tap="r")


@case("graph", ["Sum", "no inputs"])
def sum_of_nothing():
    return network(middle=[node("Sum", [], "r")], tap="r")


@case("operator", ["Add of maps of different shapes"], "the sum of a map and its means")
def sum_with_means():
    middle = [node("GlobalAveragePool", ["c"], "g"), node("Add", ["c", "g"], "r")]
    return network(middle=middle, tap="r")


@case("operator", ["ConvTranspose"])
def transposed_convolution():
    return network(middle=[node("ConvTranspose", ["c", "t"], "r")], tensors=[tensor("t", 5, 5, 1, 1)], tap="r")


@case("operator", ["Pad", "reflect"])
def reflected_padding():
    pads = numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads")
    return network(middle=[node("Pad", ["c", "pads"], "r", mode="reflect")], tensors=[pads], tap="r")


@case("operator", ["BatchNormalization"], "in training mode")
def training_mode():
    middle = [node("BatchNormalization", ["c", "g", "g", "g", "g"], ["r", "m", "n"], training_mode=1)]
    return network(middle=middle, tensors=[tensor("g", 5)], tap="r")


@case("operator", ["Concat"], "of images of the batch")
def concat_of_images():
    return network(middle=[node("Concat", ["c", "c"], "r", axis=0)], tap="r")


@case("operator", ["ReduceMean"], "over the images of the batch")
def mean_of_images():
    return network(middle=[node("ReduceMean", ["c"], "r", axes=[0])], tap="r")


@case("input", ["x"], "an image of three dimensions")
def convolution_3d():
    def change(model):
        shape_of(model.graph.input[0]).add().dim_value = 8
        find(model, "w").dims.append(1)
        model.graph.node[0].CopyFrom(node("Conv", ["x", "w"], "c", kernel_shape=[3, 3, 1]))

    return network(change)


@case("operator", ["Gemm"])
def gemm_of_transposed():
    def change(model):
        model.graph.node[-1].attribute.append(helper.make_attribute("transA", 1))

    return network(change)


@case("operator", ["NoSuchOperator"])
def unknown_operator():
    return network(middle=[node("NoSuchOperator", ["c"], "r")], tap="r")


# Domains and versions.
@case("domain", ["com.microsoft", "FusedConv"])
def foreign_domain():
    def change(model):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        model.graph.node[0].op_type, model.graph.node[0].domain = "FusedConv", "com.microsoft"

    return network(change)


@case("fine", [], "imports a domain that no node uses")
def unused_domain():
    return network(lambda model: model.opset_import.append(helper.make_opsetid("com.microsoft", 1)))


@case("fine", [], "the domain of ONNX's own operators by its long name")
def long_domain():
    def change(model):
        model.opset_import[0].domain = "ai.onnx"
        for item in model.graph.node:
            item.domain = "ai.onnx"

    return network(change)


@case("domain", ["local"], "a function that the model defines")
def local_function():
    def change(model):
        model.opset_import.append(helper.make_opsetid("local", 1))
        model.functions.append(helper.make_function(
            "local", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], "b")], [helper.make_opsetid("", 17)]
        ))

    return network(change, middle=[node("Twice", ["c"], "r", domain="local")], tap="r")


@case("opset", ["6"])
def opset_6():
    return network(opset=6)


@case("opset", [], "no version of the operators is named")
def opset_missing():
    return network(lambda model: model.ClearField("opset_import"))


@case("opset", ["1000"])
def opset_1000():
    return network(opset=1000)


@case("opset", ["-1"])
def opset_negative():
    return network(opset=-1)


# Inputs and outputs.
@case("input", [], "the graph has no input")
def no_input():
    return network(lambda model: model.graph.ClearField("input"))


@case("input", [], "the input is a sequence of tensors")
def sequence_input():
    def change(model):
        model.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8]))

    return network(change)


@case("input", ["x", "y"], "two images")
def two_images():
    def change(model):
        model.graph.input.append(value("y", [1, 3, 8, 8]))

    return network(change, start=[node("Add", ["x", "y"], "s")])


@case("input", ["x"], "the number of channels is not fixed")
def dynamic_channels():
    def change(model):
        shape_of(model.graph.input[0])[1].dim_param = "channels"

    return network(change)


def with_channels(channels):
    def change(model):
        shape_of(model.graph.input[0])[1].dim_value = channels
        find(model, "w").CopyFrom(tensor("w", 5, channels, 3, 3))

    return network(change)


@case("input", ["1"], "grayscale")
def one_channel():
    return with_channels(1)


@case("input", ["4"])
def four_channels():
    return with_channels(4)


@case("input", ["x"], "a vector instead of an image")
def vector_input():
    return network(lambda model: model.graph.input[0].CopyFrom(value("x", [1, 192])))


@case("input", ["x"], "whole numbers instead of floating-point numbers")
def integer_input():
    return network(lambda model: model.graph.input[0].CopyFrom(value("x", [1, 3, 8, 8], TensorProto.INT64)))


@case("input", ["x"], "the input has no shape")
def no_shape():
    return network(lambda model: model.graph.input[0].type.tensor_type.ClearField("shape"))


@case("fine", [], "height and width are dynamic: 224 x 224 is assumed")
def dynamic_size():
    def change(model):
        shape_of(model.graph.input[0])[2].dim_param = "height"
        shape_of(model.graph.input[0])[3].dim_param = "width"

    return network(change)


@case("input", ["x"], "a height of zero")
def zero_height():
    return network(lambda model: model.graph.input[0].CopyFrom(value("x", [1, 3, 0, 8])))


@case("input", ["x"], "an image of 2^31 x 2^31 pixels")
def huge_image():
    return network(lambda model: model.graph.input[0].CopyFrom(value("x", [1, 3, 2**31, 2**31])))


@case("output", ["c"], "the output is a map of classes for every pixel")
def segmentation():
    return network(lambda model: model.graph.output[0].CopyFrom(value("c", [1, 5, 8, 8])))


@case("output", [], "the graph has no output")
def no_output():
    return network(lambda model: model.graph.ClearField("output"))


@case("output", ["nothing"], "the output that the graph names is made by no node")
def undefined_output():
    return network(lambda model: model.graph.output[0].CopyFrom(value("nothing", [1, 4])))


@case("output", ["logits"], "a single value")
def one_value():
    def change(model):
        find(model, "v").CopyFrom(tensor("v", 1, 5))
        find(model, "b").CopyFrom(tensor("b", 1))
        shape_of(model.graph.output[0])[1].dim_value = 1

    return network(change)


@case("output", ["v"], "the output does not depend on the image")
def constant_output():
    return network(lambda model: model.graph.output[0].CopyFrom(value("v", [4, 5])))


@case("fine", ["small"], "two outputs of 3 and 4 classes: the first is named and skipped")
def two_counts_of_classes():
    def change(model):
        model.graph.node.append(node("Gemm", ["f", "u"], "small", transB=1))
        model.graph.output.insert(0, value("small", [1, 3]))

    return network(change, tensors=[tensor("u", 3, 5)])


@case("fine", [], "no output has a type")
def untyped_output():
    return network(lambda model: model.graph.output[0].ClearField("type"))


@case("fine", [], "a node that no output needs, with an operator that is not imported")
def unneeded_operator():
    return network(middle=[node("Gelu", ["c"], "unused")], opset=20)


# External data.
def external(model, location, offset=None, length=None):
    stored = find(model, "w")
    stored.ClearField("raw_data")
    stored.data_location = TensorProto.EXTERNAL
    for key, text in (("location", location), ("offset", offset), ("length", length)):
        if text is not None:
            stored.external_data.add(key=key, value=str(text))


@case("external", ["missing.data"])
def data_missing():
    return network(lambda model: external(model, "missing.data"))


@case("external", ["short.data"], "the file has 100 of the 540 bytes")
def data_short():
    return network(lambda model: external(model, "short.data", 0, 540))


@case("external", ["short.data"], "the offset is behind the end of the file")
def data_behind_end():
    return network(lambda model: external(model, "short.data", 1 << 40, 540))


@case("external", ["w"], "offset and length overflow 64 bits together")
def data_overflow():
    return network(lambda model: external(model, "short.data", (1 << 64) - 1, (1 << 64) - 1))


@case("external", ["w"], "the offset is negative")
def data_negative():
    return network(lambda model: external(model, "short.data", -540, 540))


@case("external", ["w"], "the offset is no number")
def data_no_number():
    return network(lambda model: external(model, "short.data", "many", 540))


@case("external", ["w"], "the length is not that of the dimensions")
def data_length_lies():
    return network(lambda model: external(model, "short.data", 0, 64))


@case("external", ["../x"], "outside of the model's folder")
def data_outside():
    return network(lambda model: external(model, "../x"))


@case("external", ["sub/../../x"], "outside of the model's folder")
def data_outside_by_detour():
    return network(lambda model: external(model, "sub/../../x"))


@case("external", ["/etc/passwd"], "an absolute path")
def data_absolute():
    return network(lambda model: external(model, "/etc/passwd"))


@case("external", ["C:"], "an absolute path of Windows")
def data_drive():
    return network(lambda model: external(model, "C:\\x"))


@case("external", [], "the folder itself")
def data_folder():
    return network(lambda model: external(model, "."))


@case("external", [], "a path with a zero byte")
def data_zero_byte():
    return network(lambda model: external(model, "short\0.data"))


@case("external", ["location"], "no location")
def data_nowhere():
    return network(lambda model: external(model, None))


# Graph.
@case("graph", ["c", "r"], "each needs the other")
def cycle():
    return network(start=[node("Add", ["x", "r"], "s")], middle=[node("Relu", ["c"], "r")], tap="r")


@case("graph", ["r"], "needs itself")
def self_loop():
    return network(middle=[node("Add", ["c", "r"], "r")], tap="r")


@case("graph", ["c"], "made by two nodes")
def two_makers():
    return network(middle=[node("Relu", ["c"], "c")])


@case("graph", ["w"], "an initializer and the output of a node")
def initializer_made_again():
    return network(middle=[node("Relu", ["c"], "w")])


@case("graph", ["w"], "two initializers of one name")
def two_initializers():
    return network(tensors=[tensor("w", 5, 3, 3, 3)])


@case("graph", ["nobody"], "a value that nobody makes")
def undefined_value():
    return network(middle=[node("Add", ["c", "nobody"], "r")], tap="r")


@case("graph", [], "a convolution without a weight")
def missing_weight():
    return network(lambda model: model.graph.node[0].input.pop())


@case("graph", [], "an empty name for an input that is needed")
def unnamed_weight():
    def change(model):
        model.graph.node[0].input[1] = ""

    return network(change)


@case("graph", [], "a node without outputs")
def no_outputs_of_node():
    return network(lambda model: model.graph.node[0].ClearField("output"))


@case("fine", [], "nodes not in order: makers stand behind readers")
def out_of_order():
    def change(model):
        nodes = list(model.graph.node)[::-1]
        model.graph.ClearField("node")
        model.graph.node.extend(nodes)

    return network(change)


@case("fine", [], "names with quotes, line breaks and letters of other scripts")
def odd_names():
    def change(model):
        for old, new in {"c": 'a "b"\n\x1b[31m', "p": "Ж/\u202e"}.items():
            for item in model.graph.node:
                for names in (item.input, item.output):
                    names[:] = [new if name == old else name for name in names]

    return network(change)


# Tensors.
def changed_weight(change):
    return network(lambda model: change(find(model, "w")))


def set_dims(*dims):
    def change(stored):
        stored.dims[:] = dims

    return change


@case("tensor", ["w"], "fewer bytes than the dimensions say")
def data_too_short():
    return changed_weight(set_dims(5, 3, 3, 4))


@case("tensor", ["w"], "more bytes than the dimensions say")
def data_too_long():
    return changed_weight(set_dims(5, 3, 3, 2))


@case("tensor", ["w"], "bytes that are no multiple of four")
def data_odd():
    def change(stored):
        stored.raw_data = stored.raw_data[:-1]

    return changed_weight(change)


@case("tensor", ["w"])
def negative_dimensions():
    return changed_weight(set_dims(-5, -3, 3, 3))


@case("tensor", ["w"], "the product of the dimensions is 0 modulo 2^64")
def overflowing_dimensions():
    return changed_weight(set_dims(2**32, 2**32, 1, 1))


@case("tensor", ["w"], "the number of bytes is that of the data modulo 2^64")
def overflowing_bytes():
    return changed_weight(set_dims(2**62 + 135, 1, 1, 1))


@case("tensor", ["w"], "2^40 numbers without data")
def huge_tensor():
    def change(stored):
        stored.dims[:] = [2**40, 1, 1, 1]
        stored.ClearField("raw_data")

    return changed_weight(change)


@case("tensor", [], "a dimension of zero")
def empty_tensor():
    def change(stored):
        stored.dims[:] = [0, 3, 3, 3]
        stored.ClearField("raw_data")

    return changed_weight(change)


@case("tensor", ["w"], "both raw bytes and typed numbers")
def two_kinds_of_data():
    return changed_weight(lambda stored: stored.float_data.extend([1.0] * 135))


@case("tensor", ["w"], "a type that does not exist")
def unknown_type():
    return changed_weight(lambda stored: setattr(stored, "data_type", 99))


@case("tensor", ["w"], "text")
def text_tensor():
    def change(stored):
        stored.CopyFrom(helper.make_tensor("w", TensorProto.STRING, [5, 3, 3, 3], [b"x"] * 135))

    return changed_weight(change)


@case("tensor", ["w"], "complex numbers")
def complex_tensor():
    def change(stored):
        stored.data_type = TensorProto.COMPLEX64
        stored.raw_data *= 2

    return changed_weight(change)


@case("tensor", ["w"], "a tensor in segments")
def segmented_tensor():
    def change(stored):
        stored.segment.begin, stored.segment.end = 0, 10

    return changed_weight(change)


@case("tensor", ["sparse"])
def sparse_tensor():
    def change(model):
        stored = find(model, "w")
        kept = [item for item in model.graph.initializer if item.name != "w"]
        model.graph.ClearField("initializer")
        model.graph.initializer.extend(kept)
        sparse = model.graph.sparse_initializer.add(dims=list(stored.dims))
        sparse.values.CopyFrom(tensor("w", 1))
        sparse.indices.CopyFrom(numpy_helper.from_array(np.array([7]), "w_indices"))

    return network(change)


def with_number(number):
    def change(stored):
        array = numpy_helper.to_array(stored).copy()
        array.ravel()[7] = number
        stored.raw_data = array.tobytes()

    return changed_weight(change)


@case("weight", ["w"])
def not_a_number():
    return with_number(np.nan)


@case("weight", ["w"])
def infinite():
    return with_number(-np.inf)


@case("weight", ["w"], "larger than single precision holds")
def too_large():
    def change(stored):
        array = numpy_helper.to_array(stored).astype(np.float64)
        array.ravel()[7] = 1e300
        stored.data_type, stored.raw_data = TensorProto.DOUBLE, array.tobytes()

    return changed_weight(change)


@case("weight", ["r"], "a variance below zero")
def negative_variance():
    middle = [node("BatchNormalization", ["c", "g", "g", "g", "variance"], "r")]
    variance = numpy_helper.from_array(np.full(5, -1, np.float32), "variance")
    return network(middle=middle, tensors=[tensor("g", 5), variance], tap="r")


# Shapes.
def changed_convolution(**attributes):
    def change(model):
        model.graph.node[0].CopyFrom(node("Conv", ["x", "w"], "c", **attributes))

    return network(change)


@case("shape", ["c"], "3 channels, and a weight for 2")
def wrong_channels():
    return changed_weight(lambda stored: stored.CopyFrom(tensor("w", 5, 2, 3, 3)))


@case("shape", ["Conv"], "a weight of three dimensions")
def wrong_rank():
    return changed_weight(set_dims(5, 9, 3))


@case("shape", ["c"])
def wrong_groups():
    return changed_convolution(group=2)


@case("shape", ["c"])
def zero_groups():
    return changed_convolution(group=0)


@case("shape", ["c"], "another kernel than the weight's")
def wrong_kernel():
    return changed_convolution(kernel_shape=[5, 5])


@case("shape", ["c"])
def zero_stride():
    return changed_convolution(strides=[0, 1])


@case("shape", ["c"])
def negative_padding():
    return changed_convolution(pads=[-1, -1, -1, -1])


@case("shape", ["c"], "padding of 2^62")
def huge_padding():
    return changed_convolution(pads=[2**62] * 4)


@case("shape", ["c"], "one number of padding for four sides")
def short_padding():
    return changed_convolution(pads=[1])


@case("shape", ["c"], "a stride as a text")
def attribute_of_wrong_type():
    return changed_convolution(strides="2")


@case("shape", ["c"], "dilation that makes the kernel larger than the image")
def huge_dilation():
    return changed_convolution(dilations=[2**61, 2**61])


@case("shape", ["r"], "a window larger than its map")
def large_window():
    return network(middle=[node("MaxPool", ["c"], "r", kernel_shape=[9, 9])], tap="r")


@case("shape", ["r"], "a window of zero pixels")
def empty_window():
    return network(middle=[node("MaxPool", ["c"], "r", kernel_shape=[0, 0])], tap="r")


@case("shape", ["r"], "maps of 8 x 8 and 4 x 4")
def wrong_sum():
    middle = [node("MaxPool", ["c"], "d", kernel_shape=[2, 2], strides=[2, 2]), node("Add", ["c", "d"], "r")]
    return network(middle=middle, tap="r")


@case("shape", ["r"], "maps of 8 x 8 and 4 x 4")
def wrong_concat():
    middle = [node("MaxPool", ["c"], "d", kernel_shape=[2, 2], strides=[2, 2]), node("Concat", ["c", "d"], "r", axis=1)]
    return network(middle=middle, tap="r")


@case("shape", ["logits"], "5 features, and a weight for 6")
def wrong_linear():
    return network(lambda model: find(model, "v").CopyFrom(tensor("v", 4, 6)))


@case("shape", ["r"], "a shape of another number of values")
def wrong_reshape():
    shape = numpy_helper.from_array(np.array([1, 5, 7, 7]), "shape")
    return network(middle=[node("Reshape", ["c", "shape"], "r")], tensors=[shape], tap="r")


@case("shape", ["r"], "two unknown dimensions")
def twice_unknown():
    shape = numpy_helper.from_array(np.array([-1, -1, 8, 8]), "shape")
    return network(middle=[node("Reshape", ["c", "shape"], "r")], tensors=[shape], tap="r")


@case("shape", ["r"], "an axis that does not exist")
def wrong_axis():
    return network(middle=[node("Concat", ["c", "c"], "r", axis=7)], tap="r")


@case("shape", ["r"], "the permutation names an axis twice")
def wrong_permutation():
    return network(middle=[node("Transpose", ["c"], "r", perm=[0, 2, 2, 1])], tap="r")


@case("shape", ["k"], "a constant of 2^80 numbers, computed from a few bytes")
def huge_constant():
    shape = numpy_helper.from_array(np.array([2**40, 2**40]), "shape")
    middle = [node("ConstantOfShape", ["shape"], "k"), node("Add", ["c", "k"], "r")]
    return network(middle=middle, tensors=[shape], tap="r")


@case("shape", ["k"], "a constant of 2^40 numbers")
def huge_expansion():
    shape = numpy_helper.from_array(np.array([2**40]), "shape")
    middle = [node("Expand", ["one", "shape"], "k"), node("Add", ["c", "k"], "r")]
    return network(middle=middle, tensors=[shape, tensor("one", 1)], tap="r")


@case("shape", ["k"], "whole numbers that overflow while constants are folded")
def overflow_of_constants():
    many = numpy_helper.from_array(np.array([2**63 - 1]), "many")
    zero = numpy_helper.from_array(np.array([0]), "zero")
    middle = [
        node("Mul", ["many", "many"], "j"), node("Div", ["j", "zero"], "k"), node("Reshape", ["c", "k"], "r"),
    ]
    return network(middle=middle, tensors=[many, zero], tap="r")


# Files.
@case("file", [])
def empty():
    return b""


@case("file", [])
def half():
    data = network().SerializeToString(deterministic=True)
    return data[: len(data) // 2]


@case("file", [])
def without_last_byte():
    return network().SerializeToString(deterministic=True)[:-1]


@case("file", [])
def text():
    return b"This is a text file and no network.\n"


@case("file", [])
def web_page():
    return b"<!DOCTYPE html><html><head><title>404</title></head><body>Not found</body></html>\n"


def stored(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def empty(name, *dims):
    """A tensor of integers without elements, one of whose dimensions is 0."""
    return TensorProto(name=name, dims=dims, data_type=TensorProto.INT64, raw_data=b"")


@case("constant", ["Expand", "4294967296"], "more elements than 64 bits count, of which one is used")
def expand_overflow():
    start = [node("Expand", ["one", "dims"], "e"), node("Gather", ["e", "at"], "g"), node("Add", ["x", "g"], "s")]
    tensors = [stored("one", np.float32([1])), stored("dims", np.int64([2**32, 2**32])), stored("at", np.int64([0]))]
    return network(start=start, tensors=tensors)


@case("constant", ["Where"], "the same of three operands, each of which is there")
def where_overflow():
    dims = [[2**10, 1, 1], [2**11, 1], [2**11]]
    tensors = [stored("a", np.ones(dims[0], bool)), stored("d", np.ones(dims[1], np.int8)), stored("e", np.ones(dims[2], np.int8))]
    return network(middle=[node("Where", ["a", "d", "e"], "r")], tensors=tensors)


@case("constant", ["ReduceProd", "1152921504606846976"], "of nothing, with more results than there is memory")
def product_of_nothing():
    return network(middle=[node("ReduceProd", ["z"], "r", axes=[0])], tensors=[empty("z", 0, 2**60)])


@case("fine", [], "2^60 rows without elements")
def rows_without_elements():
    middle = [
        node("Concat", ["z", "z"], "d", axis=1), node("Gather", ["z", "i"], "e", axis=1),
        node("Slice", ["z", "first", "end", "along"], "g"), node("Transpose", ["z"], "h"),
    ]
    one = [stored(name, np.int64([n])) for name, n in (("first", 0), ("end", 1), ("along", 1))]
    return network(middle=middle, tensors=[empty("z", 2**60, 0), empty("i", 0), *one])


@case("constant", ["Flatten"], "more elements than 64 bits count beside none")
def flattened_overflow():
    return network(middle=[node("Flatten", ["z"], "r")], tensors=[empty("z", 0, 2**40, 2**40)])


@case("constant", ["Concat"], "a tensor named 20,000 times")
def concat_of_one():
    middle = [node("ConstantOfShape", ["n"], "z"), node("Concat", ["z"] * 20_000, "r", axis=0)]
    return network(middle=middle, tensors=[stored("n", np.int64([2**20]))])


@case("constant", ["Concat"], "twice as large with every node")
def concat_doubling():
    middle = [node("ConstantOfShape", ["n"], "d0")]
    middle += [node("Concat", [f"d{i}"] * 2, f"d{i + 1}", axis=0) for i in range(40)]
    return network(middle=middle, tensors=[stored("n", np.int64([2**20]))])


@case("constant", ["ConstantOfShape"], "many constants that nothing reads")
def unread_constants():
    middle = [node("ConstantOfShape", ["n"], f"d{i}") for i in range(100)]
    return network(middle=middle, tensors=[stored("n", np.int64([2**20]))])


@case("constant", ["Cast", "uint64"], "a negative number")
def cast_to_unsigned():
    start = [node("Cast", ["m"], "u", to=TensorProto.UINT64), node("Cast", ["u"], "d", to=1), node("Add", ["x", "d"], "s")]
    return network(start=start, tensors=[stored("m", np.int64([-1]))])


@case("constant", ["Cast", "int32"], "a number outside of the type")
def cast_outside():
    start = [node("Cast", ["m"], "u", to=TensorProto.INT32), node("Cast", ["u"], "d", to=1), node("Add", ["x", "d"], "s")]
    return network(start=start, tensors=[stored("m", np.float32([3e9]))])


@case("weight", ["NaN"], "what is no number stays none")
def relu_of_nan():
    start = [node("Relu", ["m"], "r"), node("Max", ["r", "z"], "d"), node("Add", ["x", "d"], "s")]
    return network(start=start, tensors=[stored("m", np.float32([np.nan])), stored("z", np.float32([0]))])


@case("constant", ["Concat", "int8", "int64"], "of different types")
def concat_of_types():
    tensors = [stored("i", np.int8([1])), stored("k", np.int64([300]))]
    return network(middle=[node("Concat", ["i", "k"], "r", axis=0)], tensors=tensors)


@case("constant", ["Unsqueeze", "[0, 0]"])
def unsqueezed_twice():
    return network(middle=[node("Unsqueeze", ["z", "axes"], "r")], tensors=[tensor("z", 4), stored("axes", np.int64([0, 0]))])


@case("constant", ["Squeeze"])
def squeezed_twice():
    return network(middle=[node("Squeeze", ["z", "axes"], "r")], tensors=[tensor("z", 1, 4), stored("axes", np.int64([0, 0]))])


@case("constant", ["Constant", "value_float", "value_int"], "with two values")
def constant_of_two():
    return network(middle=[node("Constant", [], "r", value_float=1.0, value_int=2)])


@case("operator", ["Cast"], "class scores as integers")
def rounded_probabilities():
    def change(model):
        model.graph.node.extend([node("Softmax", ["logits"], "q"), node("Cast", ["q"], "label", to=TensorProto.INT64)])
        model.graph.output[0].CopyFrom(value("label", [1, 4], TensorProto.INT64))

    return network(change)


@case("shape", ["MaxPool"], "a last window that is all padding, which ceil_mode allows behind a Pad")
def ceil_behind_pad():
    middle = [node("Pad", ["c", "pads"], "d", mode="edge"), node("MaxPool", ["d"], "r", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)]
    return network(middle=middle, tensors=[stored("pads", np.int64([0, 0, 0, 0, 0, 0, 1, 1]))], tap="r")


@case("file", [], "a pointer of Git LFS, as a clone without LFS has it")
def lfs_pointer():
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 102400\n"


@case("file", [], "a zip archive, as PyTorch saves its checkpoints")
def archive():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as writer:
        writer.writestr(zipfile.ZipInfo("archive/data.pkl"), b"\x80\x02}q\x00.")
    return data.getvalue()


@case("file", [], "a safetensors file")
def tensors_only():
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    return len(header).to_bytes(8, "little") + header + bytes(4)


@case("file", [])
def zeros():
    return bytes(64)


@case("file", [], "a model without a graph")
def no_graph():
    return ModelProto(ir_version=8, producer_name="none")


@case("file", [], "a graph without anything")
def empty_graph():
    return helper.make_model(GraphProto(name="empty"), opset_imports=[helper.make_opsetid("", 17)])


@case("file", [], "a graph that says it has 2^62 bytes")
def huge_length():
    return b"\x08\x08\x3a" + b"\x80" * 8 + b"\x40" + b"\x0a\x00"


@case("file", [], "a number of eleven bytes")
def endless_number():
    return b"\x08" + b"\xff" * 10 + b"\x01"


@case("file", [], "a name that is no UTF-8")
def name_no_utf8():
    return network().SerializeToString(deterministic=True).replace(b"logits", b"log\xff\xfes")


def contents():
    """All files by name, and the entries of `bad.json`."""
    files, entries = {"short.data": bytes(100)}, []
    for name, (kind, words, why, make) in FILES.items():
        made = make()
        files[f"{name}.onnx"] = made if isinstance(made, bytes) else made.SerializeToString(deterministic=True)
        entries.append({"file": f"{name}.onnx", "kind": kind, "words": words, "why": why})
    text_ = json.dumps({"kinds": KINDS, "files": entries}, indent=1, ensure_ascii=False) + "\n"
    return files, text_


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    files, text_ = contents()
    if parser.parse_args().check:
        stored = {path.name: path.read_bytes() for path in (FOLDER / "bad").iterdir()}
        wrong = sorted(name for name in stored.keys() | files.keys() if stored.get(name) != files.get(name))
        if (FOLDER / "bad.json").read_text() != text_:
            wrong.append("bad.json")
        print("\n".join(wrong) or f"{len(files)} files: equal")
        sys.exit(bool(wrong))
    (FOLDER / "bad").mkdir(exist_ok=True)
    for name, data in files.items():
        (FOLDER / "bad" / name).write_bytes(data)
    (FOLDER / "bad.json").write_text(text_)
    print(f"{len(files)} files, {sum(map(len, files.values()))} bytes")


if __name__ == "__main__":
    main()
