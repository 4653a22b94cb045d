"""Other ways to write the same ONNX network: how weights are stored, and which nodes pool and multiply."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def opset(model):
    return next(entry.version for entry in model.opset_import if entry.domain == "")


def replace_nodes(model, nodes):
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def take_initializers(model):
    """Empties the list of initializers, and gives what was in it."""
    tensors = [TensorProto.FromString(tensor.SerializeToString()) for tensor in model.graph.initializer]
    del model.graph.initializer[:]
    return tensors


def stored_as(kind, typed=False):
    """Weights of another type, each behind a Cast; in the field of that type instead of raw bytes if `typed`."""

    def rewrite(model):
        casts = []
        for tensor in take_initializers(model):
            if tensor.data_type == FLOAT:
                array = numpy_helper.to_array(tensor).astype(helper.tensor_dtype_to_np_dtype(kind))
                stored = numpy_helper.from_array(array, tensor.name + "_stored")
                if typed:
                    stored.ClearField("raw_data")
                    if kind == TensorProto.DOUBLE:
                        stored.double_data.extend(array.ravel().tolist())
                    else:
                        stored.int32_data.extend(array.ravel().view(np.uint16).tolist())
                casts.append(helper.make_node("Cast", [stored.name], [tensor.name], to=FLOAT))
                tensor = stored
            model.graph.initializer.append(tensor)
        return replace_nodes(model, casts + list(model.graph.node))

    return rewrite


def typed_fields(model):
    """Weights in `float_data`, whole numbers in `int64_data`."""
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor).ravel()
        tensor.ClearField("raw_data")
        (tensor.float_data if tensor.data_type == FLOAT else tensor.int64_data).extend(array.tolist())
    return model


def constants(model):
    """Every initializer as a Constant node: vectors as `value_floats`, others as `value`."""
    made = []
    for tensor in take_initializers(model):
        array = numpy_helper.to_array(tensor)
        if array.ndim == 1 and tensor.data_type == FLOAT:
            made.append(helper.make_node("Constant", [], [tensor.name], value_floats=array.tolist()))
        else:
            made.append(helper.make_node("Constant", [], [tensor.name], value=tensor))
    return replace_nodes(model, made + list(model.graph.node))


def identities(model):
    """Every initializer read through two Identity nodes."""
    made = []
    for tensor in model.graph.initializer:
        name = tensor.name
        tensor.name += ".stored"
        made.append(helper.make_node("Identity", [tensor.name], [name + ".same"]))
        made.append(helper.make_node("Identity", [name + ".same"], [name]))
    return replace_nodes(model, made + list(model.graph.node))


def graph_inputs(model):
    """Initializers that are graph inputs too, as version 3 of the format demands; they stand before the image."""
    image = onnx.ValueInfoProto.FromString(model.graph.input[0].SerializeToString())
    del model.graph.input[:]
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    model.graph.input.append(image)
    model.ir_version = 3
    onnx.checker.check_model(model)
    return model


def arrays_of(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def set_initializer(model, name, array):
    kept = [tensor for tensor in take_initializers(model) if tensor.name != name]
    model.graph.initializer.extend([*kept, numpy_helper.from_array(np.ascontiguousarray(array), name)])


def gemm(transposed, alpha, beta):
    """The linear layer as Gemm with these attributes, weight and bias changed so that the answer is the same."""

    def rewrite(model):
        nodes, arrays = [], arrays_of(model)
        for node in model.graph.node:
            if node.op_type == "Gemm":
                weight, bias = (arrays[name] for name in node.input[1:])
                set_initializer(model, node.input[1], (weight if transposed else weight.T) * np.float32(1 / alpha))
                set_initializer(model, node.input[2], (bias * np.float32(1 / beta))[None])
                attributes = {"alpha": alpha, "beta": beta, **({"transB": 1} if transposed else {})}
                node = helper.make_node("Gemm", node.input, node.output, node.name, **attributes)
            nodes.append(node)
        return replace_nodes(model, nodes)

    return rewrite


def matmul(model):
    """Linear layers as MatMul and Add, the bias first."""
    nodes, arrays = [], arrays_of(model)
    for node in model.graph.node:
        if node.op_type == "Gemm":
            set_initializer(model, node.input[1], arrays[node.input[1]].T)
            product = node.output[0] + "_product"
            nodes.append(helper.make_node("MatMul", list(node.input[:2]), [product]))
            node = helper.make_node("Add", [node.input[2], product], node.output)
        nodes.append(node)
    return replace_nodes(model, nodes)


def transposed_weight(model):
    """Linear layers as a Transpose of the weight, MatMul and Add."""
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Gemm":
            product = node.output[0] + "_product"
            nodes.append(helper.make_node("Transpose", [node.input[1]], [product + "_weight"], perm=[1, 0]))
            nodes.append(helper.make_node("MatMul", [node.input[0], product + "_weight"], [product]))
            node = helper.make_node("Add", [product, node.input[2]], node.output)
        nodes.append(node)
    return replace_nodes(model, nodes)


def pooling(kind):
    """Another way from the last feature map to a vector than global average pooling and Flatten."""

    def rewrite(model):
        nodes = list(model.graph.node)
        place = next(index for index, node in enumerate(nodes) if node.op_type == "GlobalAveragePool")
        source, target = nodes[place].input[0], nodes[place + 1].output[0]
        new = {
            "mean": lambda: mean(model, source, target, [2, 3], 0),
            "mean_negative": lambda: mean(model, source, target, [-1, -2], 0),
            "mean_kept_flatten": lambda: [
                *mean(model, source, "pooled", [3, 2], 1), helper.make_node("Flatten", ["pooled"], [target], axis=-3)
            ],
            "squeeze": lambda: [
                helper.make_node("GlobalAveragePool", [source], ["pooled"]), *squeeze(model, "pooled", target, [3, 2])
            ],
            "whole_window": lambda: [
                helper.make_node("AveragePool", [source], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
                *reshape(model, "pooled", target, [0, -1]),
            ],
            "dropout": lambda: [
                helper.make_node("GlobalAveragePool", [source], ["pooled"]),
                helper.make_node("Flatten", ["pooled"], ["flat"]),
                *dropout(model, "flat", target),
            ],
        }[kind]()
        nodes[place:place + 2] = new
        return replace_nodes(model, nodes)

    return rewrite


def vector(model, name, numbers, type_=np.int64):
    model.graph.initializer.append(numpy_helper.from_array(np.array(numbers, type_), name))
    return name


def mean(model, source, target, axes, keep):
    if opset(model) >= 18:
        inputs = [source, vector(model, target + "_axes", axes)]
        return [helper.make_node("ReduceMean", inputs, [target], keepdims=keep)]
    return [helper.make_node("ReduceMean", [source], [target], axes=axes, keepdims=keep)]


def squeeze(model, source, target, axes):
    if opset(model) >= 13:
        return [helper.make_node("Squeeze", [source, vector(model, target + "_axes", axes)], [target])]
    return [helper.make_node("Squeeze", [source], [target], axes=axes)]


def reshape(model, source, target, shape):
    return [helper.make_node("Reshape", [source, vector(model, target + "_shape", shape)], [target])]


def dropout(model, source, target):
    if opset(model) >= 12:
        inputs = [source, vector(model, "ratio", 0.5, np.float32), vector(model, "training", False, np.bool_)]
        return [helper.make_node("Dropout", inputs, [target])]
    return [helper.make_node("Dropout", [source], [target, "mask"], ratio=0.5)]


def without_static_shapes(model):
    """Without the types of values between, and with an unnamed batch dimension."""
    del model.graph.value_info[:]
    for value in [model.graph.input[0], *model.graph.output]:
        value.type.tensor_type.shape.dim[0].Clear()
    return model


def constant(model, name):
    """The elements of an initializer."""
    return numpy_helper.to_array(next(tensor for tensor in model.graph.initializer if tensor.name == name)).ravel()


def without_unused(model):
    """Removes nodes and initializers that no output needs."""
    needed, kept = {output.name for output in model.graph.output}, []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    for tensor in take_initializers(model):
        if tensor.name in needed:
            model.graph.initializer.append(tensor)
    return replace_nodes(model, kept[::-1])


def swish(model):
    """Swish nodes in place of Sigmoid and Mul."""
    sigmoids = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Sigmoid"}
    for node in model.graph.node:
        if node.op_type == "Mul" and sigmoids.get(node.input[1]) == node.input[0]:
            node.CopyFrom(helper.make_node("Swish", [node.input[0]], [node.output[0]]))
    return without_unused(model)


def local_response(model):
    """LRN nodes in place of x / (AveragePool(x * x) * alpha + k) ^ beta."""
    makers = {node.output[0]: node for node in model.graph.node}
    for node in model.graph.node:
        if node.op_type == "Div":
            power = makers[node.input[1]]
            add = makers[power.input[0]]
            multiply = makers[add.input[0]]
            pool = makers[makers[multiply.input[0]].input[0]]
            size = helper.get_node_attr_value(pool, "kernel_shape")[0]
            alpha, bias, beta = (constant(model, other.input[1])[0].item() for other in (multiply, add, power))
            node.CopyFrom(helper.make_node(
                "LRN", [node.input[0]], [node.output[0]], size=size, alpha=alpha, beta=beta, bias=bias
            ))
    return without_unused(model)
