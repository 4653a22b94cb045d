"""One small case for each op and unusual shape: input, parameters, output, and the gradient of the input.

Inputs are on a coarse grid, exact in f32; PyTorch computes in f64; results are rounded to f32 once, at the
end.
"""

import torch
import torch.nn.functional as F

from msdnet import Relu

# (N, C, H, W), output channels, (kh, kw), (sy, sx), (py, px), bias
CONV2D = [
    ((1, 1, 1, 1), 1, (1, 1), (1, 1), (0, 0), False),
    ((1, 3, 5, 7), 5, (1, 1), (1, 1), (0, 0), True),
    ((2, 17, 9, 11), 7, (1, 1), (1, 1), (0, 0), False),
    ((3, 7, 1, 1), 17, (1, 1), (1, 1), (0, 0), True),
    ((1, 17, 8, 8), 17, (1, 1), (1, 1), (0, 0), True),
    ((2, 5, 7, 6), 3, (1, 1), (2, 2), (0, 0), False),
    ((1, 1, 3, 3), 1, (3, 3), (1, 1), (0, 0), False),
    ((1, 3, 11, 13), 7, (3, 3), (1, 1), (1, 1), True),
    ((2, 7, 9, 5), 5, (3, 3), (1, 1), (1, 1), False),
    ((1, 17, 7, 7), 17, (3, 3), (1, 1), (1, 1), False),
    ((3, 5, 17, 19), 3, (3, 3), (1, 1), (1, 1), True),
    ((1, 7, 19, 1), 5, (3, 3), (1, 1), (1, 1), False),
    ((1, 3, 1, 17), 7, (3, 3), (1, 1), (1, 1), True),
    ((1, 5, 1, 1), 7, (3, 3), (1, 1), (1, 1), True),
    ((2, 3, 2, 2), 5, (3, 3), (1, 1), (2, 2), False),
    ((1, 7, 8, 8), 5, (3, 3), (2, 2), (1, 1), False),
    ((2, 5, 7, 7), 17, (3, 3), (2, 2), (1, 1), True),
    ((1, 17, 9, 13), 3, (3, 3), (2, 2), (1, 1), False),
    ((3, 3, 6, 11), 7, (3, 3), (2, 2), (1, 1), True),
    ((1, 5, 1, 3), 3, (3, 3), (2, 2), (1, 1), False),
    ((1, 3, 10, 12), 5, (3, 3), (3, 3), (0, 0), False),
    ((2, 7, 11, 8), 3, (3, 3), (3, 2), (1, 0), True),
    ((1, 5, 8, 9), 7, (3, 3), (2, 1), (1, 1), False),
    ((1, 3, 13, 9), 5, (1, 7), (1, 1), (0, 3), True),
    ((2, 5, 9, 13), 3, (7, 1), (1, 1), (3, 0), True),
    ((1, 7, 11, 8), 5, (1, 7), (1, 2), (0, 3), True),
    ((1, 5, 8, 11), 7, (7, 1), (2, 1), (3, 0), True),
    ((2, 3, 5, 3), 7, (1, 7), (1, 1), (0, 3), False),
    ((1, 3, 2, 5), 1, (7, 1), (1, 1), (3, 0), False),
    ((1, 7, 9, 7), 3, (5, 3), (1, 1), (2, 1), True),
    ((2, 3, 13, 6), 5, (5, 3), (2, 3), (2, 0), False),
    ((1, 5, 7, 9), 3, (5, 5), (1, 1), (2, 2), True),
    ((1, 3, 3, 2), 7, (5, 5), (2, 2), (2, 2), False),
    ((1, 5, 6, 7), 3, (2, 2), (1, 1), (0, 0), True),
    ((2, 3, 7, 5), 5, (2, 2), (2, 2), (1, 1), False),
    ((1, 3, 19, 17), 5, (7, 7), (2, 2), (3, 3), True),
    ((2, 1, 3, 4), 3, (7, 7), (2, 2), (3, 3), False),
    ((1, 1, 1, 2), 5, (7, 7), (1, 1), (3, 3), True),
]

BATCH_NORM = [((1, 1, 1, 1), 1e-5), ((2, 5, 7, 3), 1e-5), ((3, 17, 5, 9), 1e-5), ((1, 7, 1, 19), 1e-3), ((2, 3, 11, 13), 1e-5)]

RELU = [((1, 1, 1, 1), "plain"), ((2, 5, 7, 3), "plain"), ((1, 3, 9, 19), "plain")]
RELU += [((2, 5, 7, 3), rule) for rule in ("guided", "deconvnet")]
RELU += [((1, 17, 3, 5), rule) for rule in ("guided", "deconvnet")]

# (N, C, H, W), kernel, stride, padding, values: "tied" are few and many of them zero, as after a ReLU
MAX_POOL = [
    ((1, 1, 1, 1), 1, 1, 0, "grid"),
    ((1, 3, 8, 8), 3, 2, 1, "grid"),
    ((2, 5, 7, 9), 3, 2, 1, "tied"),
    ((1, 3, 13, 11), 3, 2, 1, "negative"),
    ((1, 1, 5, 5), 3, 2, 1, "zero"),
    ((3, 7, 2, 1), 3, 2, 1, "tied"),
    ((1, 1, 1, 1), 3, 2, 1, "grid"),
    ((2, 3, 7, 5), 2, 2, 0, "tied"),
    ((1, 5, 6, 8), 3, 1, 1, "tied"),
    ((1, 3, 11, 10), 3, 3, 0, "tied"),
]

AVG_POOL = [
    ((1, 1, 2, 2), 2, 2),
    ((2, 17, 2, 2), 2, 2),
    ((1, 7, 3, 3), 2, 2),
    ((3, 5, 9, 6), 2, 2),
    ((1, 3, 11, 8), 3, 2),
    ((2, 3, 7, 10), 3, 3),
    ((1, 5, 1, 1), 1, 1),
]

# (N, H, W), channels of each part
CONCAT = [((1, 1, 1), [1, 1]), ((2, 5, 7), [3, 5]), ((1, 7, 3), [7, 1, 3]), ((3, 3, 5), [17, 3, 5, 1]), ((2, 1, 9), [5])]

# (N, C, H, W), outputs, bias: the input is flattened to (N, C * H * W)
LINEAR = [((1, 1, 1, 1), 1, True), ((2, 17, 1, 1), 10, True), ((3, 7, 1, 1), 3, False), ((1, 128, 1, 1), 5, True), ((2, 3, 2, 2), 7, True)]

ADD = [(1, 1, 1, 1), (2, 5, 7, 3), (1, 17, 1, 9)]

# (N, C, H, W), output channels, (kh, kw), (sy, sx), (py, px) before the image, (py, px) after it, bias
CONV2D_SIDES = [
    ((1, 3, 7, 6), 5, (3, 3), (2, 2), (0, 0), (1, 1), True),
    ((2, 5, 8, 9), 3, (3, 3), (1, 1), (1, 0), (0, 2), False),
    ((1, 17, 6, 19), 17, (3, 3), (1, 1), (2, 0), (0, 1), True),
    ((1, 7, 9, 5), 5, (1, 7), (1, 1), (0, 6), (0, 0), True),
    ((1, 3, 5, 11), 7, (7, 1), (2, 1), (0, 0), (6, 0), False),
    ((2, 3, 10, 7), 5, (2, 3), (4, 5), (1, 0), (0, 3), True),
    ((1, 5, 1, 2), 3, (5, 5), (1, 1), (1, 4), (4, 0), False),
    ((1, 3, 5, 4), 5, (1, 1), (1, 1), (0, 1), (2, 0), True),
]

# As above, with (dy, dx) before the bias
CONV2D_DILATED = [
    ((1, 3, 9, 8), 5, (3, 3), (1, 1), (2, 2), (2, 2), (2, 2), True),
    ((2, 5, 7, 11), 3, (3, 2), (2, 3), (1, 0), (0, 2), (2, 3), False),
    ((1, 7, 13, 6), 5, (5, 1), (4, 1), (3, 0), (3, 0), (2, 1), True),
    ((1, 5, 12, 10), 7, (3, 3), (3, 2), (4, 4), (4, 4), (4, 4), False),
    ((1, 17, 6, 19), 17, (3, 3), (1, 1), (3, 3), (3, 3), (3, 3), True),
    ((1, 3, 1, 2), 5, (3, 3), (1, 1), (2, 2), (2, 2), (2, 2), False),
]

# (N, C, H, W), (kh, kw), (sy, sx), (py, px) before the image, (py, px) after it, values as above
MAX_POOL_SIDES = [
    ((1, 3, 7, 6), (3, 3), (2, 2), (0, 0), (1, 1), "negative"),
    ((2, 3, 5, 4), (4, 3), (1, 2), (3, 0), (0, 2), "tied"),
    ((1, 5, 9, 3), (1, 7), (2, 1), (0, 6), (0, 3), "negative"),
]

# (N, C, H, W), (kh, kw), (sy, sx), (py, px) on both sides, values as above; with ceil_mode
MAX_POOL_CEIL = [
    ((1, 3, 8, 7), (3, 3), (2, 2), (0, 0), "tied"),
    ((2, 5, 6, 9), (2, 3), (3, 2), (1, 0), "grid"),
    ((1, 3, 10, 10), (3, 2), (3, 3), (1, 1), "negative"),
    ((1, 3, 9, 11), (2, 2), (4, 3), (0, 1), "negative"),
]

# (N, C, H, W), (kh, kw), (sy, sx), (py, px) on both sides, ceil_mode, count_include_pad
AVG_POOL_PADDED = [
    ((1, 3, 7, 6), (3, 3), (2, 2), (1, 1), False, True),
    ((1, 3, 7, 6), (3, 3), (2, 2), (1, 1), False, False),
    ((2, 5, 8, 9), (3, 2), (2, 3), (1, 0), True, True),
    ((2, 3, 8, 9), (3, 2), (2, 3), (1, 0), True, False),
    ((1, 3, 6, 8), (3, 3), (2, 2), (0, 0), True, True),
    ((1, 7, 5, 11), (1, 7), (1, 2), (0, 3), True, True),
    ((1, 3, 10, 5), (2, 4), (3, 3), (1, 2), True, False),
]

# (N, C), largest magnitude of the grid
SOFTMAX = [((1, 1), 2), ((2, 7), 2), ((3, 17), 32), ((1, 5), 256)]

# (N, C, H, W), (height, width)
RESIZE_MIN_MAX = [
    ((1, 1, 8, 8), (32, 32)),
    ((2, 1, 7, 7), (45, 45)),
    ((1, 3, 1, 1), (5, 3)),
    ((1, 1, 1, 7), (4, 19)),
    ((2, 3, 5, 3), (4, 9)),
    ((1, 1, 9, 9), (9, 9)),
    ((1, 1, 9, 11), (4, 3)),
    ((1, 1, 2, 2), (1, 1)),
    ((1, 1, 8, 8), (27, 13)),
]

# As CONV2D_DILATED, with groups at the end: depthwise, several outputs of each channel, groups of several channels
CONV2D_GROUPED = [
    ((1, 3, 5, 1), 3, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1), True, 3),
    ((2, 5, 3, 2), 5, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1), False, 5),
    ((3, 7, 4, 5), 7, (3, 3), (2, 2), (1, 1), (1, 1), (1, 1), True, 7),
    ((1, 17, 7, 7), 17, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1), True, 17),
    ((2, 3, 5, 16), 3, (3, 3), (1, 1), (0, 0), (0, 0), (1, 1), False, 3),
    ((1, 5, 9, 17), 5, (3, 3), (2, 2), (0, 0), (1, 1), (1, 1), True, 5),
    ((1, 7, 3, 33), 7, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1), False, 7),
    ((1, 3, 5, 56), 3, (3, 3), (2, 1), (1, 1), (1, 1), (1, 1), True, 3),
    ((1, 2, 7, 56), 2, (3, 3), (2, 2), (0, 0), (1, 1), (1, 1), False, 2),
    ((1, 5, 7, 7), 5, (5, 5), (1, 1), (2, 2), (2, 2), (1, 1), True, 5),
    ((2, 3, 6, 17), 3, (5, 5), (2, 2), (1, 1), (2, 2), (1, 1), False, 3),
    ((1, 3, 9, 33), 3, (5, 5), (1, 1), (2, 2), (2, 2), (1, 1), True, 3),
    ((1, 17, 1, 2), 17, (5, 5), (2, 1), (2, 2), (2, 2), (1, 1), True, 17),
    ((1, 4, 9, 16), 4, (7, 7), (1, 1), (3, 3), (3, 3), (1, 1), False, 4),
    ((2, 3, 2, 1), 3, (7, 7), (2, 2), (3, 3), (3, 3), (1, 1), True, 3),
    ((1, 5, 9, 19), 5, (3, 3), (1, 1), (2, 2), (2, 2), (2, 2), True, 5),
    ((2, 3, 7, 8), 3, (3, 3), (2, 2), (2, 1), (1, 3), (2, 2), False, 3),
    ((1, 3, 7, 9), 6, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1), True, 3),
    ((2, 5, 4, 17), 10, (3, 3), (2, 2), (0, 0), (1, 1), (1, 1), False, 5),
    ((1, 6, 5, 7), 10, (1, 1), (1, 1), (0, 0), (0, 0), (1, 1), True, 2),
    ((2, 34, 1, 3), 34, (1, 1), (2, 2), (0, 0), (0, 0), (1, 1), False, 2),
    ((2, 9, 7, 5), 15, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1), False, 3),
    ((1, 6, 5, 4), 3, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1), True, 3),
    ((1, 12, 9, 17), 20, (3, 3), (2, 2), (1, 1), (1, 1), (1, 1), True, 4),
    ((1, 12, 6, 33), 8, (3, 3), (2, 1), (0, 1), (1, 0), (1, 1), False, 4),
]

# (N, C, H, W), upper bound, rule
RELU_BOUNDED = [((2, 5, 7, 3), 6.0, "plain"), ((1, 3, 1, 33), 1.0, "plain")]
RELU_BOUNDED += [((2, 5, 7, 3), 6.0, rule) for rule in ("guided", "deconvnet")]
RELU_BOUNDED += [((1, 17, 1, 19), 1.0, rule) for rule in ("guided", "deconvnet")]

# Kind, its parameters, PyTorch's function
ACTIVATIONS = [
    ("sigmoid", {}, torch.sigmoid),
    ("hard_sigmoid", {"slope": 1 / 6, "offset": 0.5}, F.hardsigmoid),
    ("hard_sigmoid", {"slope": 0.2, "offset": 0.5}, lambda x: F.hardtanh(0.2 * x + 0.5, 0, 1)),
    ("hard_swish", {}, F.hardswish),
    ("silu", {}, F.silu),
    ("leaky_relu", {"slope": 0.01}, lambda x: F.leaky_relu(x, 0.01)),
    ("leaky_relu", {"slope": 0.2}, lambda x: F.leaky_relu(x, 0.2)),
]

# (N, C, H, W) of each of them
ACTIVATED = [(1, 1, 1, 1), (2, 5, 7, 3), (1, 17, 1, 33)]

# (N, C, H, W), (H, W) of the second factor
MUL = [
    ((1, 1, 1, 1), (1, 1)),
    ((2, 5, 7, 3), (7, 3)),
    ((1, 17, 5, 7), (1, 1)),
    ((3, 3, 1, 19), (1, 1)),
    ((2, 7, 3, 33), (1, 1)),
]

# (N, C, H, W), groups
CHANNEL_SHUFFLE = [((1, 8, 5, 3), 2), ((2, 15, 3, 7), 3), ((1, 15, 1, 19), 5), ((3, 12, 1, 1), 4)]

# (N, C, H, W), the first channel, channels
SLICE = [((2, 7, 5, 3), 0, 3), ((1, 17, 3, 5), 5, 9), ((2, 5, 1, 19), 3, 2), ((3, 7, 3, 1), 6, 1)]

# (N, C, H, W), size, alpha, beta, bias, largest magnitude of the grid
LRN = [
    ((1, 3, 2, 5), 1, 0.5, 0.5, 1.0, 2),
    ((2, 7, 3, 5), 3, 1.0, 1.0, 0.5, 2),
    ((1, 17, 1, 19), 5, 1e-4, 0.75, 1.0, 128),
    ((2, 11, 3, 3), 4, 2.0, 0.75, 2.0, 2),
    ((1, 5, 7, 3), 9, 1.0, 0.75, 1.0, 4),
]

# (N, C, H, W), (height, width), mode, coordinates
RESIZE = [
    ((2, 3, 5, 7), (11, 19), "linear", "half_pixel"),
    ((1, 5, 9, 11), (4, 3), "linear", "half_pixel"),
    ((1, 17, 1, 1), (7, 5), "linear", "half_pixel"),
    ((1, 3, 4, 6), (9, 33), "linear", "align_corners"),
    ((2, 3, 9, 10), (5, 10), "linear", "align_corners"),
    ((1, 3, 5, 7), (1, 1), "linear", "align_corners"),
    ((1, 5, 3, 5), (7, 10), "nearest", "asymmetric"),
    ((1, 3, 9, 19), (4, 7), "nearest", "asymmetric"),
    ((2, 3, 5, 6), (8, 3), "nearest", "half_pixel"),
    ((1, 7, 5, 3), (5, 3), "nearest", "half_pixel"),
]

# PyTorch's arguments for them
INTERPOLATE = {
    ("linear", "half_pixel"): {"mode": "bilinear", "align_corners": False},
    ("linear", "align_corners"): {"mode": "bilinear", "align_corners": True},
    ("nearest", "asymmetric"): {"mode": "nearest"},
    ("nearest", "half_pixel"): {"mode": "nearest-exact"},
}


class Grid:
    """Random values on a coarse grid, exact in f32."""

    def __init__(self, rng):
        self.rng = rng

    def __call__(self, *shape, limit=2.0, steps=64):
        """Multiples of limit / steps in [-limit, limit], f64."""
        return torch.from_numpy(self.rng.integers(-steps, steps + 1, shape) * (limit / steps))

    def positive(self, *shape):
        """Multiples of 1/64 in [0.5, 1.5]."""
        return 1.0 + self(*shape, limit=0.5, steps=32)

    def for_pool(self, shape, values):
        if values == "tied":
            return self(*shape, limit=1.0, steps=2).clamp(min=0)
        if values == "negative":
            return self(*shape) - 4
        return torch.zeros(shape, dtype=torch.float64) if values == "zero" else self(*shape)


class Cases:
    """The tensors of all cases and the list that describes them."""

    def __init__(self, rng):
        self.grid = Grid(rng)
        self.tensors = {}
        self.list = []

    def add(self, op, params, inputs, fixed, compute, differentiate=True):
        """Run `compute(*inputs)`; keep inputs, fixed tensors, output, and gradients of the inputs."""
        number = sum(case["op"] == op for case in self.list)
        name = f"{op}_{number:02}"
        self.list.append({"name": name, "op": op, **params})
        inputs = [x.requires_grad_(differentiate) for x in inputs]
        output = compute(*inputs)
        kept = {"output": output, **fixed}
        suffixes = [""] if op not in ("concat", "add", "mul") else [str(i) for i in range(len(inputs))]
        kept |= {f"input{s}": x for s, x in zip(suffixes, inputs, strict=True)}
        if differentiate:
            kept["grad_output"] = self.grid(*output.shape)
            grads = torch.autograd.grad(output, inputs, kept["grad_output"])
            kept |= {f"grad_input{s}": g for s, g in zip(suffixes, grads, strict=True)}
        self.tensors |= {f"{name}.{key}": value.detach().float().contiguous() for key, value in kept.items()}


def conv2d(cases):
    g = cases.grid
    for shape, cout, kernel, stride, padding, biased in CONV2D:
        fixed = {"weight": g(cout, shape[1], *kernel, limit=1.0)}
        if biased:
            fixed["bias"] = g(cout)
        params = {"stride": stride, "padding": [padding, padding]}
        cases.add("conv2d", params, [g(*shape)], fixed, lambda x: F.conv2d(x, **fixed, stride=stride, padding=padding))


def batch_norm(cases):
    g = cases.grid
    for shape, eps in BATCH_NORM:
        c = shape[1]
        fixed = {"weight": g.positive(c), "bias": g(c), "running_mean": g(c), "running_var": g.positive(c)}
        cases.add("batch_norm", {"eps": eps}, [g(*shape)], fixed, lambda x: F.batch_norm(x, eps=eps, **fixed))


def relu(cases):
    for shape, rule in RELU:
        module = Relu()
        module.rule = rule
        cases.add("relu", {"rule": rule}, [cases.grid(*shape, steps=4)], {}, module)


def pools(cases):
    g = cases.grid
    for shape, kernel, stride, padding, values in MAX_POOL:
        params = {"kernel": [kernel] * 2, "stride": [stride] * 2, "padding": [[padding] * 2] * 2}
        x = g.for_pool(shape, values)
        cases.add("max_pool", params, [x], {}, lambda x: F.max_pool2d(x, kernel, stride, padding))
    for shape, kernel, stride in AVG_POOL:
        params = {"kernel": [kernel] * 2, "stride": [stride] * 2}
        cases.add("avg_pool", params, [g(*shape)], {}, lambda x: F.avg_pool2d(x, kernel, stride))


def joins(cases):
    g = cases.grid
    for (n, h, w), channels in CONCAT:
        cases.add("concat", {}, [g(n, c, h, w) for c in channels], {}, lambda *xs: torch.cat(xs, 1))
    for shape in ADD:
        cases.add("add", {}, [g(*shape), g(*shape)], {}, torch.add)


def vectors(cases):
    g = cases.grid
    for shape, outputs, biased in LINEAR:
        fixed = {"weight": g(outputs, shape[1] * shape[2] * shape[3], limit=1.0)}
        if biased:
            fixed["bias"] = g(outputs)
        cases.add("linear", {}, [g(*shape)], fixed, lambda x: F.linear(x.flatten(1), **fixed)[:, :, None, None])
    for (n, c), limit in SOFTMAX:
        cases.add("softmax", {}, [g(n, c, 1, 1, limit=limit)], {}, lambda x: x.softmax(1))


def heatmaps(cases):
    for shape, size in RESIZE_MIN_MAX:
        params = {"h": size[0], "w": size[1]}
        cases.add(
            "resize_min_max", params, [cases.grid(*shape)], {},
            lambda x: F.interpolate(x, size=size, mode="bilinear", align_corners=False), differentiate=False,
        )  # fmt: skip


def padded(x, before, after, value=0.0):
    """`x` with (rows, columns) of padding before and after it."""
    return F.pad(x, (before[1], after[1], before[0], after[0]), value=value)


def behind(size, kernel, stride, before, positions):
    """Padding after an image that gives a window these numbers of positions."""
    return [max(0, (n - 1) * s + k - p - x) for n, s, k, p, x in zip(positions, stride, kernel, before, size, strict=True)]


def convolution(cases, shape, cout, kernel, stride, before, after, dilation, biased, groups=1):
    g = cases.grid
    fixed = {"weight": g(cout, shape[1] // groups, *kernel, limit=1.0)}
    if biased:
        fixed["bias"] = g(cout)
    params = {"stride": stride, "padding": [before, after], "dilation": dilation}
    if groups > 1:
        params["groups"] = groups
    conv = lambda x: F.conv2d(padded(x, before, after), **fixed, stride=stride, dilation=dilation, groups=groups)
    cases.add("conv2d", params, [g(*shape)], fixed, conv)


def dilated(cases):
    for case in CONV2D_DILATED:
        convolution(cases, *case)


def sides(cases):
    """Padding that differs before and after the image."""
    g = cases.grid
    for case in CONV2D_SIDES:
        convolution(cases, *case[:-1], (1, 1), case[-1])
    for shape, kernel, stride, before, after, values in MAX_POOL_SIDES:
        params = {"kernel": kernel, "stride": stride, "padding": [before, after]}
        pool = lambda x: F.max_pool2d(padded(x, before, after, -torch.inf), kernel, stride)
        cases.add("max_pool", params, [g.for_pool(shape, values)], {}, pool)
    for shape, kernel, stride, padding, values in MAX_POOL_CEIL:
        x = g.for_pool(shape, values)
        pool = lambda x: F.max_pool2d(x, kernel, stride, padding, ceil_mode=True)
        after = behind(shape[2:], kernel, stride, padding, pool(x).shape[2:])
        cases.add("max_pool", {"kernel": kernel, "stride": stride, "padding": [padding, after]}, [x], {}, pool)
    for shape, kernel, stride, padding, ceil, count in AVG_POOL_PADDED:
        x = g(*shape)
        pool = lambda x: F.avg_pool2d(x, kernel, stride, padding, ceil_mode=ceil, count_include_pad=count)
        after = behind(shape[2:], kernel, stride, padding, pool(x).shape[2:])
        counted = [padding if count else (0, 0)] * 2
        params = {"kernel": kernel, "stride": stride, "padding": [padding, after], "counted": counted}
        cases.add("avg_pool", params, [x], {}, pool)


def grouped(cases):
    for case in CONV2D_GROUPED:
        convolution(cases, *case)


class BoundedRelu(torch.autograd.Function):
    """min(max(x, 0), bound), which blocks the gradient from the bound on, besides what the ReLU's rule blocks."""

    @staticmethod
    def forward(ctx, x, bound, rule):
        y = F.hardtanh(x, 0, bound)
        ctx.save_for_backward(y)
        ctx.bound, ctx.rule = bound, rule
        return y

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        passed = y < ctx.bound
        if ctx.rule == "guided":
            passed &= y > 0
        return grad.clamp(min=0) * passed, None, None


def bounded_relu(cases):
    for shape, bound, rule in RELU_BOUNDED:
        x = cases.grid(*shape, limit=2 * bound, steps=4)
        plain = rule == "plain"
        bounded = lambda x: F.hardtanh(x, 0, bound) if plain else BoundedRelu.apply(x, bound, rule)
        cases.add("relu", {"rule": rule, "max": bound}, [x], {}, bounded)


def activations(cases):
    g = cases.grid
    for kind, params, compute in ACTIVATIONS:
        for shape in ACTIVATED:
            cases.add("activation", {"kind": kind, **params}, [g(*shape, limit=8, steps=32)], {}, compute)
    for kind, compute in (("sigmoid", torch.sigmoid), ("silu", F.silu)):
        cases.add("activation", {"kind": kind}, [g(1, 3, 5, 7, limit=100)], {}, compute)


def channels(cases):
    g = cases.grid
    for (n, c, h, w), size in MUL:
        cases.add("mul", {}, [g(n, c, h, w), g(n, c, *size)], {}, torch.mul)
    for shape, groups in CHANNEL_SHUFFLE:
        shuffle = lambda x: x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)
        cases.add("channel_shuffle", {"groups": groups}, [g(*shape)], {}, shuffle)
    for shape, first, count in SLICE:
        cases.add("slice", {"first": first, "channels": count}, [g(*shape)], {}, lambda x: x[:, first : first + count])


def normalized(x, size, alpha, beta, bias):
    """Local response normalization by ONNX's definition; PyTorch's window of an even size begins a channel earlier."""
    c = x.shape[1]
    before, after = (size - 1) // 2, size // 2
    sums = [(x[:, max(0, i - before) : min(c, i + after + 1)] ** 2).sum(1) for i in range(c)]
    y = x / (bias + alpha / size * torch.stack(sums, 1)) ** beta
    if size % 2:
        torch.testing.assert_close(y, F.local_response_norm(x, size, alpha, beta, bias), rtol=1e-14, atol=0)
    return y


def lrn(cases):
    for shape, size, alpha, beta, bias, limit in LRN:
        params = {"size": size, "alpha": alpha, "beta": beta, "bias": bias}
        cases.add("lrn", params, [cases.grid(*shape, limit=limit)], {}, lambda x: normalized(x, **params))


def resizes(cases):
    for shape, size, mode, coordinates in RESIZE:
        params = {"h": size[0], "w": size[1], "mode": mode, "coordinates": coordinates}
        interpolate = lambda x: F.interpolate(x, size=size, **INTERPOLATE[mode, coordinates])
        cases.add("resize", params, [cases.grid(*shape)], {}, interpolate)


def make(rng):
    """(tensors, list of cases)."""
    cases = Cases(rng)
    for family in (conv2d, batch_norm, relu, pools, joins, vectors, heatmaps, sides, dilated):
        family(cases)
    for family in (grouped, bounded_relu, activations, channels, lrn, resizes):
        family(cases)
    return cases.tensors, cases.list
