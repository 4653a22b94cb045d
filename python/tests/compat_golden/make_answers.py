"""Writer of the answers of pytorch-grad-cam and torchcam, and of the network that they are about.

    pip install torch==2.11.0 grad-cam==1.5.7 torchcam==0.5.0 onnx onnxscript
    python make_answers.py [--check]

`small_scopes.onnx` and `small_metadata.onnx` are one network with seeded random weights, written by PyTorch's two
exporters, `convolutional_head.onnx` is another; `answers.npz` has images, logits and maps. --check compares instead of
writing.
"""

import itertools
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytorch_grad_cam
import torch
import torchcam
import torchcam.methods
from pytorch_grad_cam.utils import image, svd_on_activations
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget
from torch import nn

HERE = Path(__file__).parent
HEIGHT, WIDTH, CLASSES = 16, 20, 5


class Block(nn.Module):
    """A residual block; stride 2 where the channels change."""

    def __init__(self, inputs, outputs):
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride == 2:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Small(nn.Module):
    """A ResNet whose head is not linear, so that gradients differ from pixel to pixel."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(inplace=True))
        self.layer1 = nn.Sequential(Block(8, 8))
        self.layer2 = nn.Sequential(Block(8, 12), Block(12, 12))
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(12 * 8 * 10, 8), nn.ReLU(inplace=True), nn.Linear(8, CLASSES)
        )

    def forward(self, x):
        return self.classifier(self.layer2(self.layer1(self.stem(x))))


class ConvolutionalHead(nn.Module):
    """A network whose classifier is a convolution, as SqueezeNet's, so that torchcam takes another layer by default."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3, 1, 1), nn.ReLU()
        )
        self.classifier = nn.Sequential(nn.Conv2d(8, CLASSES, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1)))

    def forward(self, x):
        return torch.flatten(self.classifier(self.features(x)), 1)


def convolutional_head():
    torch.manual_seed(29)
    return ConvolutionalHead().eval()


def network():
    torch.manual_seed(28)
    net = Small().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return net


def answers(net):
    torch.manual_seed(23)
    x = torch.randn(2, 3, HEIGHT, WIDTH)
    found = {"x": x.numpy(), "logits": net(x).detach().numpy()}
    layers = {"last": [net.layer2[-1]], "first": [net.layer1[0]], "both": [net.layer1[0], net.layer2[-1]]}
    classes = [4, 1]
    targets = {
        "predicted": None,
        "classes": [ClassifierOutputTarget(c) for c in classes],
        "probability": [ClassifierOutputSoftmaxTarget(c) for c in classes],
        "mixed": [ClassifierOutputTarget(4), ClassifierOutputSoftmaxTarget(1)],
    }
    # The sign of a component is LAPACK's, except in this function of pytorch-grad-cam.
    signed = svd_on_activations.get_2d_projection_with_sign_correction
    for module in (pytorch_grad_cam.eigen_cam, pytorch_grad_cam.eigen_grad_cam, pytorch_grad_cam.hirescam):
        module.get_2d_projection = signed

    def add(method, layer, target, options=()):
        with getattr(pytorch_grad_cam, method)(model=net, target_layers=layers[layer]) as cam:
            maps = cam(input_tensor=x, targets=targets[target], **dict.fromkeys(options, True))
        # A map without positive evidence is zero; most have some.
        assert np.isfinite(maps).all() and (maps.max((1, 2)) > 0.6).all(), (method, layer, target)
        found["/".join(["pytorch_grad_cam", method, layer, target, *options])] = maps

    methods = ["GradCAM", "HiResCAM", "XGradCAM", "GradCAMPlusPlus", "LayerCAM", "GradCAMElementWise", "ScoreCAM"]
    methods += ["AblationCAM", "EigenCAM", "EigenGradCAM"]
    for method, layer in itertools.product(methods, ["last", "first"]):
        add(method, layer, "classes")
    for target in ("predicted", "probability", "mixed"):
        add("GradCAM", "last", target)
    for method in ("GradCAM", "LayerCAM"):
        add(method, "both", "classes")
    add("GradCAM", "last", "classes", ["aug_smooth"])
    add("GradCAM", "both", "predicted", ["aug_smooth"])
    add("HiResCAM", "last", "classes", ["eigen_smooth"])
    refine = pytorch_grad_cam.RefineCAM(net, layers["both"])
    found["pytorch_grad_cam/RefineCAM/both/classes"] = refine(x, targets["classes"])
    guided = pytorch_grad_cam.GuidedBackpropReLUModel(model=network(), device="cpu")
    found["pytorch_grad_cam/GuidedBackpropReLUModel"] = guided(x.clone(), 1)

    names = {"default": None, "layer2": "layer2", "layer1": "layer1", "both": ["layer1", "layer2"]}
    for method, (name, layer) in itertools.product(["GradCAM", "XGradCAM", "LayerCAM"], names.items()):
        for normalized, index in ((True, 3), (True, classes), (False, 3)):
            with getattr(torchcam.methods, method)(net, layer, input_shape=(3, HEIGHT, WIDTH)) as extractor:
                maps = extractor(index, net(x), normalized=normalized)
            case = "/".join(
                ["torchcam", method, name, "one" if index == 3 else "each", "scaled" if normalized else "raw"]
            )
            for number, cam in enumerate(maps):
                found[f"{case}/{number}"] = cam.numpy()
            if name == "both" and normalized:
                found[f"{case}/fused"] = extractor.fuse_cams(maps).numpy()

    other = convolutional_head()
    for method in ("GradCAM", "LayerCAM"):
        with getattr(torchcam.methods, method)(other, input_shape=(3, HEIGHT, WIDTH)) as extractor:
            assert extractor.target_names == ["classifier.1"]
            out = other(x)
            found[f"convolutional_head/torchcam/{method}"] = extractor(out[0].argmax().item(), out)[0].numpy()
        with getattr(pytorch_grad_cam, method)(model=other, target_layers=[other.features[-1]]) as cam:
            found[f"convolutional_head/pytorch_grad_cam/{method}"] = cam(input_tensor=x, targets=None)

    photo = np.float32(np.random.default_rng(24).random((HEIGHT, WIDTH, 3)))
    mask = found["pytorch_grad_cam/GradCAM/last/classes"][0]
    ramp = np.float32(np.arange(256).reshape(1, 256) / 255)
    found |= {
        "photo": photo,
        "show_cam_on_image/rgb": image.show_cam_on_image(photo, mask, use_rgb=True),
        "show_cam_on_image/bgr": image.show_cam_on_image(photo, mask, image_weight=0.3),
        "show_cam_on_image/ramp": image.show_cam_on_image(
            np.zeros((1, 256, 3), np.float32), ramp, use_rgb=True, image_weight=0.0
        ),
        "preprocess_image/float": image.preprocess_image(photo, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).numpy(),
        "preprocess_image/uint8": image.preprocess_image(np.uint8(255 * photo)).numpy(),
        "deprocess_image": image.deprocess_image(found["pytorch_grad_cam/GuidedBackpropReLUModel"]),
    }
    return found


def main():
    warnings.simplefilter("ignore")
    net = network()
    found = answers(net)
    if "--check" in sys.argv:
        stored = np.load(HERE / "answers.npz")
        worst = max(np.abs(np.float64(found[k]) - np.float64(stored[k])).max() for k in found)
        assert set(found) == set(stored.files) - {"versions"} and worst < 1e-5, worst
        print(f"{len(found)} arrays, largest difference {worst:.1e}")
        return
    x = torch.zeros(1, 3, HEIGHT, WIDTH)
    names = {"input_names": ["image"], "output_names": ["logits"]}
    torch.onnx.export(net, x, HERE / "small_scopes.onnx", dynamo=False, **names)
    program = torch.onnx.export(net, x, dynamo=True, **names).model_proto
    for node in program.graph.node:
        # Of the metadata, only the modules: the rest has this machine's paths.
        modules = [entry for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"]
        del node.metadata_props[:]
        node.metadata_props.extend(modules)
    for value in (program, program.graph, *program.graph.input, *program.graph.output, *program.graph.value_info):
        del value.metadata_props[:]
    (HERE / "small_metadata.onnx").write_bytes(program.SerializeToString())
    torch.onnx.export(convolutional_head(), x, HERE / "convolutional_head.onnx", dynamo=False, **names)
    versions = {name: version(name) for name in ("torch", "grad-cam", "torchcam", "opencv-python-headless", "numpy")}
    np.savez_compressed(HERE / "answers.npz", versions=np.array([f"{k} {v}" for k, v in versions.items()]), **found)


if __name__ == "__main__":
    main()
