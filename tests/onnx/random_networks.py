"""Random small networks: class scores of msdcam beside those of ONNX Runtime.

Usage: python random_networks.py MSDCAM [--seconds S] [--seed N] [--keep FOLDER]
Written with Python 3.11, onnx 1.23.2, ONNX Runtime 1.32.0, NumPy 2.4.6, Pillow 13.0.

A network is a chain of steps, each of which `STEPS` draws: an operator or the few that belong together, with attributes
that are valid for the shape before it. Both programs compute the scores of one random photo, without
normalization. Networks that ONNX Runtime does not run are passed over, those that msdcam refuses are counted by
cause; a difference of more than 2e-4 of the largest score is a fault, and so is a panic. Networks at fault are kept,
and the exit code is 1.

Left out is what implementations do in several ways: SAME padding with strides above the kernel, and resizes whose
coordinates fall between two pixels but for their last bit.
"""
import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

TOLERANCE = 2e-4
CLASSES = 5
STEPS = []


def step(function):
    """Registers a function that appends a step to a network with a map, (N, C, H, W)."""
    STEPS.append(function)
    return function


class Network:
    """A graph under construction: `value` is the last value, of dimensions `dims`."""

    def __init__(self, random, opset):
        self.random, self.opset = random, opset
        self.nodes, self.constants = [], []
        self.dims = (1, 3, self.pick(6, 8, 9, 13), self.pick(6, 8, 10, 12))
        self.image, self.value = self.dims, "x"

    def pick(self, *choices):
        return choices[self.random.integers(len(choices))]

    def constant(self, array, kind=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, kind), name))
        return name

    def weights(self, *dims):
        return self.constant(self.random.normal(size=dims) / np.sqrt(max(1, np.prod(dims[1:]))))

    def integers(self, *values):
        return self.constant(values, np.int64)

    def node(self, op, *inputs, results=1, **attributes):
        """Appends a node; its result, or a list of several."""
        names = [f"v{len(self.nodes)}_{i}" for i in range(results)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if results == 1 else names

    def model(self):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.image)
        y = helper.make_tensor_value_info(self.value, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "random", [x], [y], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def pooled_size(size, kernel, stride, before, after, ceil=False):
    span = size + before + after - kernel
    return (-(-span // stride) if ceil else span // stride) + 1


@step
def conv(net):
    n, c, h, w = net.dims
    groups = net.pick(*[d for d in range(1, c + 1) if c % d == 0])
    out, kernel = groups * net.pick(1, 2, 3), [net.pick(1, 2, 3, 4), net.pick(1, 2, 3)]
    strides, dilations = [net.pick(1, 1, 2), net.pick(1, 1, 2)], [net.pick(1, 1, 2), net.pick(1, 1, 3)]
    pads = [int(net.random.integers(0, 3)) for _ in range(4)]
    reach = [1 + d * (k - 1) for k, d in zip(kernel, dilations)]
    sizes = [pooled_size(s, reach[i], strides[i], pads[i], pads[i + 2]) for i, s in enumerate((h, w))]
    if min(sizes) < 1:
        return
    bias = [net.weights(out)] if net.pick(True, False) else []
    net.value = net.node("Conv", net.value, net.weights(out, c // groups, *kernel), *bias, group=groups, strides=strides,
                         dilations=dilations, pads=pads)
    net.dims = (n, out, *sizes)


@step
def pooling(net):
    n, c, h, w = net.dims
    op, kernel = net.pick("MaxPool", "AveragePool"), [net.pick(2, 3), net.pick(1, 2, 3)]
    strides, ceil = [net.pick(1, 2), net.pick(1, 2, 3)], net.pick(False, True)
    pads = [int(net.random.integers(0, kernel[i % 2])) for i in range(4)]
    sizes = [pooled_size(s, kernel[i], strides[i], pads[i], pads[i + 2], ceil) for i, s in enumerate((h, w))]
    if min(sizes) < 1:
        return
    more = {"count_include_pad": net.pick(0, 1)} if op == "AveragePool" else {}
    net.value = net.node(op, net.value, kernel_shape=kernel, strides=strides, pads=pads, ceil_mode=int(ceil), **more)
    # A window that would begin behind the padding is left out.
    net.dims = (n, c, *[size - (ceil and (size - 1) * strides[i] >= s + pads[i]) for i, (size, s) in enumerate(zip(sizes, (h, w)))])


@step
def activation(net):
    op = net.pick("Relu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "LeakyRelu", "Neg", "Identity")
    net.value = net.node(op, net.value)


@step
def batch_norm(net):
    c = net.dims[1]
    scale, shift, mean = net.weights(c), net.weights(c), net.weights(c)
    net.value = net.node("BatchNormalization", net.value, scale, shift, mean, net.constant(net.random.uniform(0.1, 2, c)))


@step
def with_constant(net):
    c = net.dims[1]
    shape = net.pick((), (1,), (c, 1, 1), (1, c, 1, 1))
    constant = net.constant(net.random.uniform(0.5, 2, shape))
    net.value = net.node(net.pick("Add", "Sub", "Mul", "Div"), net.value, constant)


@step
def residual(net):
    before, c = net.value, net.dims[1]
    inner = net.node("Conv", before, net.weights(c, c, 3, 3), pads=[1, 1, 1, 1])
    pair = (before, inner) if net.pick(True, False) else (inner, before)
    net.value = net.node(net.pick("Add", "Sub", "Sum"), *pair)


@step
def gate(net):
    n, c, h, w = net.dims
    pooled = net.node("GlobalAveragePool", net.value)
    factor = net.node("Sigmoid", net.node("Conv", pooled, net.weights(c, c, 1, 1)))
    if net.pick(True, False):
        factor = net.node("Expand", factor, net.integers(n, c, h, w))
    net.value = net.node("Mul", net.value, factor)


@step
def concatenation(net):
    n, c, h, w = net.dims
    parts = [net.value, *[net.node("Conv", net.value, net.weights(2, c, 1, 1)) for _ in range(net.pick(1, 2))]]
    parts = [parts[i] for i in net.random.permutation(len(parts))]
    net.value, net.dims = net.node("Concat", *parts, axis=net.pick(1, -3)), (n, c + 2 * (len(parts) - 1), h, w)


@step
def part_of_channels(net):
    n, c, h, w = net.dims
    if c < 2:
        return
    first, end = sorted(net.random.choice(c + 1, 2, replace=False).tolist())
    if net.pick(True, False):
        net.value = net.node("Slice", net.value, net.integers(first), net.integers(end), net.integers(1))
    else:
        sizes = [size for size in (first, end - first, c - end) if size]
        parts = net.node("Split", net.value, net.integers(*sizes), results=len(sizes), axis=1)
        net.value = (parts if len(sizes) > 1 else [parts])[1 if first else 0]
    net.dims = (n, end - first, h, w)


@step
def shuffle(net):
    n, c, h, w = net.dims
    groups = net.pick(*[d for d in range(1, c + 1) if c % d == 0])
    divided = net.node("Reshape", net.value, net.integers(n, groups, c // groups, h, w))
    swapped = net.node("Transpose", divided, perm=[0, 2, 1, 3, 4])
    net.value = net.node("Reshape", swapped, net.integers(n, c, h, w))


@step
def resize(net):
    n, c, h, w = net.dims
    factors = [net.pick(1, 2, 3), net.pick(1, 2, 4)]
    if h * w * factors[0] * factors[1] > 600:
        return
    mode = net.pick({"mode": "linear"}, {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
                    {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"})
    scales = net.constant([1, 1, *factors])
    net.value = net.node("Resize", net.value, net.constant([]), scales, **mode)
    net.dims = (n, c, h * factors[0], w * factors[1])


@step
def zeros_around(net):
    n, c, h, w = net.dims
    pads = [int(net.random.integers(0, 3)) for _ in range(4)]
    if min(h + pads[0] + pads[2], w + pads[1] + pads[3]) < 2:
        return
    padded = net.node("Pad", net.value, net.integers(0, 0, *pads[:2], 0, 0, *pads[2:]))
    net.value = net.node("Conv", padded, net.weights(c, c, 2, 2))
    net.dims = (n, c, h + pads[0] + pads[2] - 1, w + pads[1] + pads[3] - 1)


@step
def channels_last(net):
    n, c, h, w = net.dims
    last = net.node("Transpose", net.value, perm=[0, 2, 3, 1])
    last = net.node("Add", net.node("Relu", last), net.constant(net.random.normal(size=c)))
    net.value = net.node("Transpose", last, perm=[0, 3, 1, 2])


@step
def pooled_and_larger(net):
    """The mean of the map, whose rows and columns are left out or kept, come back and become more."""
    n, c, _, _ = net.dims
    h, w = net.pick(1, 2, 4), net.pick(1, 3, 5)
    kind = net.pick("mean", "global", "flattened")
    if kind == "mean":
        vector = net.node("ReduceMean", net.value, axes=[2, 3], keepdims=0)
    else:
        pooled = net.node("GlobalAveragePool", net.value)
        vector = net.node("Flatten", pooled) if kind == "flattened" else net.node("Squeeze", pooled, net.integers(2, 3))
    pixel = net.node("Unsqueeze", vector, net.integers(2, 3))
    more = net.pick("expand", "tile", "resize", "pad")
    if more == "expand":
        larger = net.node("Expand", pixel, net.integers(n, c, h, w))
    elif more == "tile":
        larger = net.node("Tile", pixel, net.integers(1, 1, h, w))
    elif more == "resize":
        larger = net.node("Resize", pixel, net.constant([]), net.constant([]), net.integers(n, c, h, w), mode="nearest")
    else:
        larger = net.node("Pad", pixel, net.integers(0, 0, h - 1, 0, 0, 0, 0, w - 1))
    net.value = net.node("Conv", larger, net.weights(c, c, 3, 3), pads=[1, 1, 1, 1])
    net.dims = (n, c, h, w)


@step
def axes_of_one(net):
    """Rows and columns as one axis and back, or an axis of one between."""
    n, c, h, w = net.dims
    shape = net.pick((n, c, h * w), (n, c * h, w), (n, c, 1, h, w), (n, 1, c, h, w))
    net.value = net.node("Reshape", net.node("Reshape", net.value, net.integers(*shape)), net.integers(n, c, h, w))


def scores(net):
    """Appends what makes class scores of the map."""
    n, c, h, w = net.dims
    kind = net.pick("mean", "average", "maximum", "flat")
    if kind == "mean":
        net.value = net.node("ReduceMean", net.value, axes=[2, 3], keepdims=0)
    elif kind == "flat":
        net.value = net.node("Flatten", net.value)
        c *= h * w
    else:
        net.value = net.node("Flatten", net.node(f"Global{kind.capitalize().replace('imum', '')}Pool", net.value))
    if net.pick(True, False):
        net.value = net.node("Gemm", net.value, net.weights(CLASSES, c), net.weights(CLASSES), transB=1)
    else:
        net.value = net.node("MatMul", net.value, net.weights(c, CLASSES))


def network(random):
    """A network, and the names of its steps."""
    # Before 18 the axes of ReduceMean are an attribute, from 13 on those of Unsqueeze are an input.
    net, names = Network(random, opset=int(random.integers(14, 18))), []
    for place in random.integers(len(STEPS), size=random.integers(1, 8)):
        STEPS[place](net)
        names.append(STEPS[place].__name__)
    scores(net)
    return net, names


def truth(model, photo):
    """The scores by ONNX Runtime without rewriting; None where it refuses the network."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = session.run(None, {"x": (photo.astype(np.float32) / 255).transpose(2, 0, 1)[None]})[0]
    except Exception as error:
        return None if "onnxruntime" in type(error).__module__ else sys.exit(f"{error}")
    return found.ravel() if np.isfinite(found).all() else None


def answer(program, folder, model, photo):
    """The scores by msdcam, or its message."""
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    Image.fromarray(photo).save(folder / "photo.png")
    words = "explain photo.png --weights net.onnx --normalize none --fit stretch --pictures none --device cpu --threads 1 -q -o out"
    run = subprocess.run([program, *words.split()], cwd=folder, capture_output=True, text=True, timeout=60)
    if run.returncode:
        return f"exit code {run.returncode}: {run.stderr.strip()}"
    with np.load(folder / "out" / "photo.npz") as arrays:
        return arrays["logits"].ravel()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("random_networks_at_fault"))
    args = parser.parse_args()
    program, end = args.program.resolve(), time.monotonic() + args.seconds
    counts, causes, faults, worst, seed = Counter(), Counter(), 0, 0.0, args.seed
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            random = np.random.default_rng(seed)
            net, names = network(random)
            model, (_, _, h, w) = net.model(), net.image
            photo = random.integers(0, 256, (h, w, 3), dtype=np.uint8)
            expected = truth(model, photo)
            found = None if expected is None else answer(program, Path(folder), model, photo)
            fault = None
            if found is None:
                counts["not run by ONNX Runtime"] += 1
            elif isinstance(found, str):
                counts["refused"] += 1
                causes[re.sub(r"\d+", "#", found.rpartition("ONNX: ")[2])[:70]] += 1
                fault = found if not found.startswith("exit code 4: ") or "please report" in found else None
            else:
                difference = np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-3)
                worst = max(worst, difference)
                counts["equal" if difference <= TOLERANCE else "different"] += 1
                fault = f"{found} instead of {expected}" if difference > TOLERANCE else None
            if fault:
                faults += 1
                args.keep.mkdir(exist_ok=True)
                onnx.save(model, args.keep / f"{seed}.onnx")
                Image.fromarray(photo).save(args.keep / f"{seed}.png")
                print(f"seed {seed}, {', '.join(names)}: {fault}", flush=True)
            seed += 1
    print(f"{seed - args.seed} networks: {', '.join(f'{n} {what}' for what, n in counts.most_common())}; worst difference {worst:.1e}")
    for cause, n in causes.most_common(10):
        print(f"  {n} {cause}")
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
