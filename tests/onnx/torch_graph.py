"""The nodes of an ONNX file one by one in PyTorch, in double precision: answers that know nothing of the program.

For real_files.py, with the operators of its files, and of those of `networks/` that the program takes.

Usage: python torch_graph.py        (compares the graphs of `networks/` with the answers in `networks.safetensors`)
"""
import json
import math
import sys
from functools import reduce
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper
from torch.nn import functional


def numbers(values):
    """A list of whole numbers, which older files have as attribute, newer ones as input."""
    return values.tolist() if isinstance(values, torch.Tensor) else list(values)


def windows(attributes):
    """Stride, padding (left, right, top, bottom) and dilation of a convolution or pooling."""
    assert attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
    top, left, bottom, right = attributes.get("pads", [0] * 4)
    return attributes.get("strides", [1, 1]), (left, right, top, bottom), attributes.get("dilations", [1, 1])


def conv(x, weight, bias=None, **attributes):
    stride, padding, dilation = windows(attributes)
    x = functional.pad(x, padding)
    return functional.conv2d(x, weight, bias, stride, 0, dilation, attributes.get("group", 1))


def without_windows_of_padding(pooled, x, stride, padding):
    """Leaves out windows that begin in the padding behind `x`, which rounding up would add."""
    left, _, top, _ = padding
    height, width = (-(-(size + before) // n) for size, before, n in zip(x.shape[2:], (top, left), stride))
    return pooled[:, :, :height, :width]


def max_pool(x, **attributes):
    stride, padding, dilation = windows(attributes)
    padded = functional.pad(x, padding, value=-torch.inf)
    cuts = bool(attributes.get("ceil_mode"))
    pooled = functional.max_pool2d(padded, attributes["kernel_shape"], stride, 0, dilation, cuts)
    return without_windows_of_padding(pooled, x, stride, padding)


def average_pool(x, **attributes):
    stride, padding, _ = windows(attributes)
    counts_padding, cuts = attributes.get("count_include_pad", 0), bool(attributes.get("ceil_mode"))

    def pooled(x):
        pooled = functional.avg_pool2d(functional.pad(x, padding), attributes["kernel_shape"], stride, 0, cuts)
        return without_windows_of_padding(pooled, x, stride, padding)

    return pooled(x) if counts_padding else pooled(x) / pooled(torch.ones_like(x[:1, :1]))


def local_response(x, size, alpha=1e-4, beta=0.75, bias=1.0):
    squares = functional.pad(x * x, (0, 0, 0, 0, (size - 1) // 2, size // 2))
    sums = sum(squares[:, place : place + x.shape[1]] for place in range(size))
    return x / (bias + alpha / size * sums) ** beta


def coordinate(place, scale, before, after, mode):
    """Where in the input an element of the output lies."""
    if mode == b"align_corners":
        return place * (before - 1) / (after - 1) if after > 1 else 0.0
    if mode == b"asymmetric":
        return place / scale
    if mode == b"pytorch_half_pixel" and after == 1:
        return 0.0
    if mode == b"tf_half_pixel_for_nn":
        return (place + 0.5) / scale
    center = (place + 0.5) / scale - 0.5
    if mode == b"half_pixel_symmetric":
        return center + before / 2 * (1 - after / (scale * before))
    assert mode in (b"half_pixel", b"pytorch_half_pixel")
    return center


ROUNDINGS = {
    b"round_prefer_floor": lambda x: math.ceil(x - 0.5),
    b"round_prefer_ceil": lambda x: math.floor(x + 0.5),
    b"floor": math.floor,
    b"ceil": math.ceil,
}


def resize(
    x, *rest, mode=b"nearest", nearest_mode=b"round_prefer_floor", coordinate_transformation_mode=None, **others
):
    """One matrix for each axis. With two inputs, as before opset 11, coordinates are asymmetric and rounded down."""
    assert mode in (b"nearest", b"linear") and not others.get("antialias") and "axes" not in others
    old = len(rest) == 1
    scales, sizes = rest[0] if old else rest[1], rest[2] if len(rest) > 2 else None
    transformation = coordinate_transformation_mode or (b"asymmetric" if old else b"half_pixel")
    for axis, before in enumerate(x.shape):
        after = int(sizes[axis]) if sizes is not None else math.floor(before * scales[axis].item())
        scale = after / before if sizes is not None else scales[axis].item()
        if after == before and scale == 1:
            continue
        matrix = torch.zeros((after, before), dtype=x.dtype)
        for place in range(after):
            source = coordinate(place, scale, before, after, transformation)
            if mode == b"nearest":
                source = ROUNDINGS[b"floor" if old else nearest_mode](source)
            source = min(max(source, 0), before - 1)
            low = min(math.floor(source), before - 1)
            matrix[place, low] += 1 - (source - low)
            matrix[place, min(low + 1, before - 1)] += source - low
        x = (x.movedim(axis, -1) @ matrix.T).movedim(-1, axis)
    return x


def split(x, sizes=None, axis=0, split=None, num_outputs=2):
    """Without sizes, `num_outputs` is that of the node where the attribute is missing (see evaluated)."""
    sizes = split if sizes is None else sizes
    return x.split(-(-x.shape[axis] // num_outputs) if sizes is None else numbers(sizes), axis)


def gemm(a, b, c=0.0, alpha=1.0, beta=1.0, transA=0, transB=0):
    return alpha * (a.T if transA else a) @ (b.T if transB else b) + beta * c


def cast(x, to):
    return x.long() if to in (onnx.TensorProto.INT64, onnx.TensorProto.INT32) else x.double()


def pad(x, pads, value=None, mode=b"constant"):
    assert x.ndim == 4
    before, after = numbers(pads)[:4], numbers(pads)[4:]
    if mode == b"constant":
        flat = [n for axis in (3, 2, 1, 0) for n in (before[axis], after[axis])]
        return functional.pad(x, flat, value=0.0 if value is None else float(value))
    assert mode == b"edge" and before[:2] == after[:2] == [0, 0]
    return functional.pad(x, (before[3], after[3], before[2], after[2]), mode="replicate")


def slice_(x, starts, ends, axes=None, steps=None):
    axes = range(len(starts)) if axes is None else numbers(axes)
    steps = [1] * len(starts) if steps is None else numbers(steps)
    for axis, start, end, step in zip(axes, numbers(starts), numbers(ends), steps):
        places = range(x.shape[axis])[slice(start, end, step)]
        x = x.index_select(axis, torch.tensor(list(places), dtype=torch.long))
    return x


def reshape(x, shape, allowzero=0):
    sizes = [x.shape[i] if n == 0 and not allowzero else n for i, n in enumerate(shape.tolist())]
    return x.reshape(sizes)


def unsqueeze(x, axes):
    for axis in sorted(numbers(axes)):
        x = x.unsqueeze(axis)
    return x


def squeeze(x, axes=None):
    return x.squeeze(tuple(axis for axis, n in enumerate(x.shape) if n == 1) if axes is None else tuple(numbers(axes)))


def constant(**attributes):
    (name, value), = attributes.items()
    if name in ("value_float", "value_floats"):
        return torch.tensor(value, dtype=torch.float64)
    return value if name == "value" else torch.tensor(value)


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
    "BatchNormalization": lambda x, scale, bias, mean, variance, epsilon=1e-5, **_: functional.batch_norm(
        x, mean, variance, scale, bias, eps=epsilon
    ),
    "Relu": functional.relu,
    "Clip": lambda x, low=None, high=None, min=None, max=None: x.clamp(
        min if low is None else low, max if high is None else high
    ),
    "Sigmoid": torch.sigmoid,
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: (alpha * x + beta).clamp(0, 1),
    "HardSwish": lambda x: x * (x / 6 + 0.5).clamp(0, 1),
    "Swish": lambda x, alpha=1.0: x * torch.sigmoid(alpha * x),
    "LeakyRelu": lambda x, alpha=0.01: torch.where(x >= 0, x, alpha * x),
    "PRelu": lambda x, slope: torch.where(x >= 0, x, slope * x),
    "LRN": local_response,
    "Sum": lambda *parts: reduce(torch.add, parts),
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
    "ReduceMean": lambda x, axes, keepdims=1, **_: x.mean(numbers(axes), keepdim=bool(keepdims)),
    "Resize": resize,
    "Pad": pad,
    "Identity": lambda x: x,
    "Dropout": lambda x, *_, **__: x,
    "Cast": cast,
    "Flatten": lambda x, axis=1: x.flatten(axis),
    "Reshape": reshape,
    "Unsqueeze": unsqueeze,
    "Squeeze": squeeze,
    "Split": split,
    "Transpose": lambda x, perm: x.permute(perm),
    "Concat": lambda *parts, axis: torch.cat(parts, axis),
    "Slice": slice_,
    "Shape": lambda x: torch.tensor(x.shape),
    "Gather": lambda x, places, axis=0: x[places] if x.ndim == 1 and axis == 0 else None,
    "ConstantOfShape": lambda shape, value: torch.full(shape.tolist(), value.item(), dtype=value.dtype),
    "Constant": constant,
    # The scores are what is explained.
    "Softmax": lambda x, axis=-1: x,
}


def tensor(stored):
    values = numpy_helper.to_array(stored)
    return torch.from_numpy(values.copy() if values.dtype.kind in "biu" else values.astype(np.float64))


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
        attributes = attributes_of(node)
        if node.op_type == "Split":
            attributes.setdefault("num_outputs", len(node.output))
        result = OPS[node.op_type](*inputs, **attributes)
        values.update(zip(node.output, result if isinstance(result, tuple) else (result,)))
    return values


def scores_of_ort(model, x):
    """ONNX Runtime's class scores."""
    output = model.graph.output[0]
    passed = ("Softmax", "Identity", "Dropout")
    passed = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type in passed}
    scores = output.name
    while scores in passed:
        scores = passed[scores]
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    changed.graph.output[0].name = scores
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
    # The maps of networks whose input is NHWC are square here.
    channels = (1, 2, 3) if is_nchw or tap.shape[2] == tap.shape[3] else (3, 1, 2)
    maps, gradients = [], []
    for class_ in answers["targets"]:
        at_tap, at_image = torch.autograd.grad(own[class_], (tap, image), retain_graph=True)
        weights, tap_nchw = (x.permute(0, *channels) for x in (at_tap, tap))
        maps.append((weights.mean((2, 3), keepdim=True) * tap_nchw).sum(1).clamp(min=0)[0].detach())
        planes = at_image if is_nchw else at_image.permute(0, 3, 1, 2)
        gradients.append(functional.avg_pool2d(planes, network.size // grid)[0])
    return {**answers, "maps": rounded(torch.stack(maps)), "gradient": rounded(torch.stack(gradients))}


def check_networks(folder):
    """Compares logits and Grad-CAM maps of the graphs of `networks/` with the stored answers of their modules."""
    from safetensors.numpy import load_file

    answers, worst, skipped = load_file(folder / "networks.safetensors"), 0.0, []
    for entry in json.loads((folder / "networks.json").read_text())["networks"]:
        model = onnx.load(folder / "networks" / entry["file"])
        missing = {node.op_type for node in model.graph.node} - OPS.keys()
        if missing or entry["later"] or entry["input"]["layout"] != "NCHW":
            skipped.append(f"{entry['file']} {' '.join(sorted(missing))}".strip())
            continue
        image = torch.from_numpy(answers[entry["image"]]).double()
        batch = entry["input"]["batch"]
        rows = np.resize(np.arange(2), 2 if isinstance(batch, str) or not batch else batch)
        image = image[torch.from_numpy(rows)].requires_grad_()
        values = evaluated(model.graph, image)
        for place, exit_ in enumerate(entry["exits"], 1):
            key = f"{entry['answers']}.exit{place}"
            scores, tap = values[exit_["output"]], values[exit_["tap"]["value"]]
            expected = torch.from_numpy(answers[f"{key}.logits"])[torch.from_numpy(rows)]
            score = scores.gather(1, expected.argmax(1)[:, None]).sum()
            if entry["final"] == "":
                weights, = torch.autograd.grad(score, tap, retain_graph=True)
                map_ = (weights.mean((2, 3), keepdim=True) * tap).sum(1).detach()
                stored = torch.from_numpy(answers[f"{key}.map"])[torch.from_numpy(rows)]
                pairs = [(scores.detach(), expected), (map_, stored)]
                error = max(((own - other).abs().max() / other.abs().max()).item() for own, other in pairs)
                worst = max(worst, error)
                if not error <= entry["tolerance"]:
                    print(f"wrong: {entry['file']}: exit {place}: {error:.0e}")
    print(f"largest error: {worst:.0e}; skipped: {', '.join(skipped)}")
    return worst


if __name__ == "__main__":
    sys.exit(not check_networks(Path(__file__).parent) <= 1e-2)
