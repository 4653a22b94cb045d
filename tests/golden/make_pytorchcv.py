"""Writes derived/pytorchcv.pth and .expected.npz: a small network of pytorchcv's MSDNet, and its answers.

    pip install pytorchcv==0.0.74
    python make_pytorchcv.py [--check]        # PyTorch 2.x; seed 22; CPU, f64

Two exits of two and two layers, two scales, of which the finer is dropped in layer 3. The answers are for
`image_56.png` under ImageNet's normalization: logits of each exit, the class, and the Grad-CAM of that class at the
feature map that the exit's classifier reads.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pytorchcv.models.msdnet import MSDNet

HERE = Path(__file__).parent / "derived"
SEED = 22
#: Channels of each scale behind each layer, and behind the transition after layer 3; growth 2 and 4.
CHANNELS = [[[6, 12], [8, 16]], [[20], [10], [14]]]
#: Bottleneck factors of the scales that each layer reads; a transition has none.
FACTORS = [[[1, 2], [1, 2]], [[1, 2], [], [2]]]


def network() -> MSDNet:
    torch.manual_seed(SEED)
    net = MSDNet(channels=CHANNELS, init_layer_channels=[4, 8], num_feature_blocks=2, use_bottleneck=True,
                 bottleneck_factors=FACTORS, in_size=(56, 56), num_classes=3)
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand_like(value) + 0.5)
        elif name.endswith("running_mean"):
            value.copy_(0.2 * torch.randn_like(value))
    return net.eval()


def answers(net: MSDNet) -> dict[str, np.ndarray]:
    pixels = np.asarray(Image.open(HERE / "image_56.png").convert("RGB"), np.float64) / 255
    pixels = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    net.double()
    x = net.init_layer(torch.from_numpy(pixels.transpose(2, 0, 1)[None]))
    rows = {"logits": [], "class": [], "cam": []}
    for block, classifier in zip(net.feature_blocks, net.classifiers):
        x = block(x)
        tap = x[-1]
        logits = classifier(tap)[0]
        gradient, = torch.autograd.grad(logits.max(), tap, retain_graph=True)
        cam = (gradient.mean((2, 3), keepdim=True) * tap).sum(1).relu()[0]
        rows["logits"].append(logits.detach().numpy().astype("f4"))
        rows["class"].append(int(logits.argmax()))
        rows["cam"].append(cam.detach().numpy().astype("f4"))
    return {key: np.array(value) for key, value in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    checking = parser.parse_args().check
    net = network()
    if not checking:
        torch.save(net.state_dict(), HERE / "pytorchcv.pth")
        np.savez(HERE / "pytorchcv.expected.npz", **answers(net))
        return
    stored = np.load(HERE / "pytorchcv.expected.npz")
    worst = max(np.abs(stored[key] - value).max() for key, value in answers(net).items())
    print(f"pytorchcv: largest difference {worst:.1e}")
    sys.exit(0 if worst < 1e-5 else 1)


if __name__ == "__main__":
    main()
