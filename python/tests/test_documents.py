"""The Python of the documents: every snippet runs, one after another, in a folder with two photos."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from conftest import CHELSEA, ROOT


@pytest.mark.parametrize("document", ["docs/python.md", "python/README.md", "README.md"])
def test_snippets_run(document, tmp_path):
    snippets = re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.S | re.M)
    assert snippets, f"{document} has no Python"
    for name in ("cat.png", "dog.png", "photo.jpg"):
        (tmp_path / name).symlink_to(CHELSEA)
    code = "\n".join(snippets)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    # A comment after a print is what it prints.
    printed = re.findall(r"^print\(.*\)  +# (\[?\(.*)$", code, re.M)
    assert [line for line in printed if line not in done.stdout.splitlines()] == []
    assert (tmp_path / "overlay.png").exists()
