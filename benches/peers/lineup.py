"""The rows: what is measured, on which device, and the packages it needs. Imports none of them: `main.py`
needs the names also where a setting's process brings no results."""

from typing import NamedTuple

FORWARD, GRAD_CAM = "forward", "grad_cam"
NO_TIME = "not here: no time left"


class Peer(NamedTuple):
    name: str
    packages: tuple  # `a|b` is one of the two; the first package's version stands in the table
    computes: str
    kind: str  # `module.Class`, imported when the row is made
    arguments: dict = {}
    devices: tuple = ("cpu", "cuda")
    compiled: str | None = None  # torch.compile's mode
    files: bool = False  # also measured with networks in ONNX files
    limited: bool = True  # keeps to the instruction set of the setting


def one_pass(name, kind, arguments=None, **more):
    return Peer(f"PyTorch, one pass{name}", ("torch",), GRAD_CAM, f"one_pass.{kind}", arguments or {}, **more)


def compiled(name, mode):
    return one_pass(name, "Compiled", {"mode": mode}, compiled=mode)


PEERS = [
    Peer("msdcam", (), GRAD_CAM, "ours.Ours", {"what": GRAD_CAM}, files=True),
    Peer("msdcam, forward only", (), FORWARD, "ours.Ours", {"what": FORWARD}, files=True),
    Peer("ONNX Runtime", ("onnxruntime|onnxruntime-gpu", "onnx"), FORWARD, "runtimes.OnnxRuntime", files=True,
         limited=False),
    Peer("OpenVINO", ("openvino",), FORWARD, "runtimes.OpenVino", devices=("cpu",), files=True),
    one_pass("", "OnePass"),
    one_pass(", channels last", "OnePass", {"channels_last": True}),
    compiled(", compiled", "default"),
    one_pass(", CUDA graph", "Captured", devices=("cuda",)),
    one_pass(", channels last, CUDA graph", "Captured", {"channels_last": True}, devices=("cuda",)),
    compiled(", compiled, reduce-overhead", "reduce-overhead"),
    compiled(", compiled, max-autotune", "max-autotune"),
    Peer("torchcam", ("torchcam", "torch"), GRAD_CAM, "libraries.TorchCam"),
    Peer("pytorch-grad-cam", ("grad-cam", "torch"), GRAD_CAM, "libraries.PytorchGradCam", files=True),
    Peer("captum", ("captum", "torch"), GRAD_CAM, "libraries.Captum"),
    Peer("the article's procedure", ("torch", "opencv-python-headless|opencv-python|opencv-contrib-python"), GRAD_CAM,
         "libraries.Article"),
]  # fmt: skip

COMPILED = [peer.compiled for peer in PEERS if peer.compiled]
ORDER = [peer.name for peer in PEERS]

# What holds the programs of a setting to an instruction set. ONNX Runtime documents no such switch: it takes
# what the CPU has.
ISAS = {
    "avx512": {"MSDCAM_CPU": "avx512"},
    "avx2": {"MSDCAM_CPU": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}

# The PyTorch networks whose ONNX files `--export` writes unless told which.
NETWORKS = ["resnet18", "resnet50", "densenet121", "vgg11", "googlenet", "inception_v3", "squeezenet1_1", "mobilenet_v2",
            "efficientnet_lite0"]  # fmt: skip


def is_ours(name):
    return name.startswith("msdcam")


def chosen(device, mode=None, only=(), files=False):
    """The rows that share a process: those not compiled, or the one compiled in `mode`; ours are in each.
    No rows where `only` leaves ours alone, unless it names them. `files`: those for networks in ONNX files."""
    peers = [peer for peer in PEERS if device in peer.devices and (is_ours(peer.name) or peer.compiled == mode)]
    peers = [peer for peer in peers if peer.files or not files]
    named = [peer for peer in peers if any(word.lower() in peer.name.lower() for word in only)]
    if only and not [peer for peer in named if not (mode and is_ours(peer.name))]:
        return []
    return [peer for peer in peers if not only or peer in named or is_ours(peer.name)]
