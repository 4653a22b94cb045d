"""The nodes of an ONNX file one by one in PyTorch, in double precision: answers that know nothing of the program.

For real_files.py, with the operators of its files.
"""
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper
from torch.nn import functional


def windows(attributes):
    """Stride, padding (left, right, top, bottom) and dilation of a convolution or pooling."""
    assert attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
    top, left, bottom, right = attributes.get("pads", [0] * 4)
    return attributes.get("strides", [1, 1]), (left, right, top, bottom), attributes.get("dilations", [1, 1])


def conv(x, weight, bias=None, **attributes):
    stride, padding, dilation = windows(attributes)
    x = functional.pad(x, padding)
    return functional.conv2d(x, weight, bias, stride, 0, dilation, attributes.get("group", 1))


def max_pool(x, **attributes):
    stride, padding, dilation = windows(attributes)
    x = functional.pad(x, padding, value=-torch.inf)
    return functional.max_pool2d(x, attributes["kernel_shape"], stride, 0, dilation, bool(attributes.get("ceil_mode")))


def gemm(a, b, c, alpha=1.0, beta=1.0, transA=0, transB=0):
    return alpha * (a.T if transA else a) @ (b.T if transB else b) + beta * c


def cast(x, to):
    return x.long() if to in (onnx.TensorProto.INT64, onnx.TensorProto.INT32) else x.double()


def pad(x, pads, value=None, mode=b"constant"):
    assert x.ndim == 4
    before, after = pads.tolist()[:4], pads.tolist()[4:]
    if mode == b"constant":
        flat = [n for axis in (3, 2, 1, 0) for n in (before[axis], after[axis])]
        return functional.pad(x, flat, value=0.0 if value is None else value.item())
    assert mode == b"edge" and before[:2] == after[:2] == [0, 0]
    return functional.pad(x, (before[3], after[3], before[2], after[2]), mode="replicate")


def slice_(x, starts, ends, axes=None, steps=None):
    axes = range(len(starts)) if axes is None else axes.tolist()
    steps = [1] * len(starts) if steps is None else steps.tolist()
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps):
        places = range(x.shape[axis])[slice(start, end, step)]
        x = x.index_select(axis, torch.tensor(list(places), dtype=torch.long))
    return x


def reshape(x, shape, allowzero=0):
    sizes = [x.shape[i] if n == 0 and not allowzero else n for i, n in enumerate(shape.tolist())]
    return x.reshape(sizes)


def unsqueeze(x, axes):
    for axis in sorted(axes.tolist()):
        x = x.unsqueeze(axis)
    return x


def divide(a, b):
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


OPS = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": divide,
    "MatMul": lambda a, b: a @ b,
    "Gemm": gemm,
    "Conv": conv,
    "Relu": functional.relu,
    "MaxPool": max_pool,
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
    "ReduceMean": lambda x, axes, keepdims=1: x.mean(axes, keepdim=bool(keepdims)),
    "Pad": pad,
    "Identity": lambda x: x,
    "Cast": cast,
    "Flatten": lambda x, axis=1: x.flatten(axis),
    "Reshape": reshape,
    "Unsqueeze": unsqueeze,
    "Transpose": lambda x, perm: x.permute(perm),
    "Concat": lambda *parts, axis: torch.cat(parts, axis),
    "Slice": slice_,
    "Shape": lambda x: torch.tensor(x.shape),
    "Gather": lambda x, places, axis=0: x[places] if x.ndim == 1 and axis == 0 else None,
    "ConstantOfShape": lambda shape, value: torch.full(shape.tolist(), value.item(), dtype=value.dtype),
    "Constant": lambda value: value,
    # The scores are what is explained.
    "Softmax": lambda x, axis=-1: x,
}


def tensor(stored):
    values = torch.from_numpy(numpy_helper.to_array(stored).copy())
    return values.double() if values.is_floating_point() else values


def attributes_of(node):
    found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: tensor(value) if isinstance(value, onnx.TensorProto) else value for name, value in found.items()}


def evaluated(graph, x):
    """All values of the graph by their names."""
    values = {stored.name: tensor(stored) for stored in graph.initializer}
    name = next(put.name for put in graph.input if put.name not in values)
    values[name] = x
    for node in graph.node:
        inputs = [values[name] if name else None for name in node.input]
        while inputs and inputs[-1] is None:
            inputs.pop()
        values[node.output[0]] = OPS[node.op_type](*inputs, **attributes_of(node))
    return values


def scores_of_ort(model, x):
    """ONNX Runtime's class scores."""
    output = model.graph.output[0]
    softmax = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Softmax"}
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    changed.graph.output[0].name = softmax.get(output.name, output.name)
    changed.graph.output[0].ClearField("type")
    changed.graph.output[0].type.CopyFrom(helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(changed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    stored = {stored.name for stored in model.graph.initializer}
    name = next(put.name for put in session.get_inputs() if put.name not in stored)
    return session.run(None, {name: x})[0].reshape(-1)


def rounded(numbers):
    return [float(f"{x:.8g}") for x in np.asarray(numbers, np.float64).ravel()]


def answers_of(path, network, rows, grid, scores):
    """Logits, and the maps and gradients of the two likeliest classes where the network has a tap."""
    model = onnx.load(path)
    mean, deviation = (np.array(numbers, np.float32) for numbers in network.normalization)
    pixels = np.frombuffer(b"".join(rows), np.uint8).reshape(1, network.size, network.size, 3)
    x = (pixels.astype(np.float32) / np.float32(255) - mean) / deviation
    stored = {stored.name for stored in model.graph.initializer}
    put = next(put for put in model.graph.input if put.name not in stored)
    is_nchw = put.type.tensor_type.shape.dim[1].dim_value == 3
    x = np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if is_nchw else x
    logits = scores_of_ort(model, x)
    answers = {"classes": len(logits), "logits": rounded(logits[:scores])}
    if not network.tap:
        return answers
    image = torch.from_numpy(x).double().requires_grad_()
    values = evaluated(model.graph, image)
    own = values[model.graph.output[0].name].reshape(-1)
    error = (own - torch.from_numpy(logits)).abs().max() / own.abs().max()
    assert error < 1e-5, f"PyTorch's logits differ from ONNX Runtime's: {error:.0e}"
    tap = values[network.tap]
    answers["targets"] = own.argsort(descending=True)[:2].tolist()
    channels = (1, 2, 3) if tap.shape[2] == tap.shape[3] else (3, 1, 2)  # Maps are square here.
    maps, gradients = [], []
    for class_ in answers["targets"]:
        at_tap, at_image = torch.autograd.grad(own[class_], (tap, image), retain_graph=True)
        weights, tap_nchw = (x.permute(0, *channels) for x in (at_tap, tap))
        maps.append((weights.mean((2, 3), keepdim=True) * tap_nchw).sum(1).clamp(min=0)[0].detach())
        planes = at_image if is_nchw else at_image.permute(0, 3, 1, 2)
        gradients.append(functional.avg_pool2d(planes, network.size // grid)[0])
    return {**answers, "maps": rounded(torch.stack(maps)), "gradient": rounded(torch.stack(gradients))}
