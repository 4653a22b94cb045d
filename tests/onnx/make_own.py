"""own.onnx: a network of the golden results as an ONNX file, or any other of them.

Usage: python make_own.py [NAME [FILE]]    NAME is one of tests/golden/nets, or built-in
Written with Python 3.11, PyTorch 2.11.0, onnx 1.23.2. The default is blocks-lin_grow, whose exits are compared with those
of its weights file in the tests.
"""
import sys
from pathlib import Path

import onnx
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"
sys.path.insert(0, str(GOLDEN))

from msdnet import Config, MSDNet  # noqa: E402
from nets import CONFIGS, load_state  # noqa: E402


def network(name: str) -> MSDNet:
    if name == "built-in":
        net = MSDNet(Config())
        net.load_state_dict(load_file(GOLDEN.parents[1] / "weights/cifar10/msdnet_cifar10.safetensors"), strict=False)
    else:
        net = MSDNet(CONFIGS[name])
        net.load_state_dict(load_state(GOLDEN / f"nets/{name}.pth"))
    return net.float().eval()


class Logits(torch.nn.Module):
    """The logits of every exit, as a tuple."""

    def __init__(self, net: MSDNet):
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor):
        logits, _ = self.net(x)
        return tuple(logits)


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "blocks-lin_grow"
    file = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "own.onnx"
    net = network(name)
    size = net.config.input
    torch.onnx.export(Logits(net), torch.zeros(1, 3, size, size), file, dynamo=False, opset_version=17)
    model = onnx.load(file)
    for node in model.graph.node:
        node.doc_string = ""
    onnx.save(model, file)
    print(file.name, file.stat().st_size, [output.name for output in model.graph.output])


if __name__ == "__main__":
    main()
