"""The Python of the documents: every snippet runs, one after another, in a folder with the files that it names."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHELSEA, ROOT

#: Documents whose snippets run elsewhere or not at all, and why.
NOT_RUN = {
    "docs/clusters.md": "python/tests/clusters runs them, with Ray, Dask and Spark",
    "docs/onnx.md": "torchvision downloads the weights; tests/onnx/make_networks.py exports such networks",
}

RUN = ["docs/python.md", "python/README.md", "README.md", "docs/evaluate.md", "docs/datasets.md", "docs/compat.md"]

IMAGES = ROOT / "tests/golden/images"
PHOTOS = {
    "cat/1.png": "chelsea_32.png",
    "cat/2.png": "bits.png",
    "dog/1.png": "rgba16.png",
    "dog/2.png": "grey16.png",
}

#: A batch and the picture of it, for the scripts of `docs/compat.md`, and a tensor's methods for arrays.
COMPAT = """
import numpy as np

class Tensor(np.ndarray):
    def unsqueeze(self, axis):
        return np.expand_dims(self, axis)

images = np.random.default_rng(0).normal(size={shape}).astype(np.float32)
input_tensor, rgb_img = images{first}.view(Tensor), np.zeros((*{shape}[2:], 3), np.float32)
"""


def snippets_of(document: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.S | re.M)


def run(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("document", ["docs/python.md", "python/README.md", "README.md"])
def test_snippets_run(document, tmp_path):
    for name in ("cat.png", "dog.png", "photo.jpg"):
        (tmp_path / name).symlink_to(CHELSEA)
    code = "\n".join(snippets_of(document))
    printed = run(code, tmp_path)
    # A comment after a print is what it prints.
    expected = re.findall(r"^print\(.*\)  +# (\[?\(.*)$", code, re.M)
    assert [line for line in expected if line not in printed.splitlines()] == []
    assert (tmp_path / "overlay.png").exists()


@pytest.mark.parametrize(
    ("document", "commands"),
    [("docs/evaluate.md", ["evaluate photos -o run -q"]), ("docs/datasets.md", ["explain photos -o run -q"])],
)
def test_snippets_read_what_a_command_has_written(document, commands, tmp_path, program):
    for name, image in PHOTOS.items():
        photo = tmp_path / "photos" / name
        photo.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(IMAGES / image, photo)
    for command in commands:
        done = program(*command.split(), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    snippets = snippets_of(document)
    if importlib.util.find_spec("pandas") is None:
        snippets = [snippet for snippet in snippets if "import pandas" not in snippet]
    run("\n".join(snippets), tmp_path)
    if len(snippets) < len(snippets_of(document)):
        pytest.skip(f"skipped: the snippets of {document} for pandas: it is not installed")


@pytest.mark.parametrize("number", [0, 1])
def test_scripts_for_other_packages_run(number, tmp_path):
    golden = ROOT / "python/tests/compat_golden"
    for name in ("resnet50.onnx", "resnet18.onnx"):
        (tmp_path / name).symlink_to(golden / "small_scopes.onnx")
    # The small network has two layers, and fewer classes than ImageNet.
    code = snippets_of("docs/compat.md")[number].replace("layer4", "layer2").replace("(281)", "(4)")
    prelude = COMPAT.replace("{first}", "" if number == 0 else "[0]")
    sizes = "import numpy as np\nx = np.load({!r})['x']\n".format(str(golden / "answers.npz"))
    run(sizes + prelude.replace("{shape}", "(1, *x.shape[1:])") + "import msdcam\n" + code, tmp_path)


def test_every_document_with_python_is_known():
    documents = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md"))]
    found = {name for name in [*documents, "README.md", "python/README.md"] if snippets_of(name)}
    assert found == {*RUN, *NOT_RUN}


def test_what_is_not_run_is_said():
    pytest.skip("skipped: " + "; ".join(f"snippets of {name}: {why}" for name, why in NOT_RUN.items()))
