"""The notebook examples/quickstart.ipynb: it runs, shows pictures, and is small."""

from __future__ import annotations

from pathlib import Path

import notebook

QUICKSTART = Path(__file__).resolve().parents[2] / "examples" / "quickstart.ipynb"


def test_the_quickstart_notebook_runs_and_shows_pictures():
    book, outputs = notebook.run(QUICKSTART)
    kinds = [kind for cell in outputs for output in cell for kind in output.get("data", {})]
    assert "text/html" in kinds and kinds.count("image/png") >= 2
    assert book["nbformat"] == 4
    assert QUICKSTART.stat().st_size <= 200_000


def test_a_cell_that_fails_is_named(tmp_path):
    (tmp_path / "broken.ipynb").write_text('{"cells": [{"cell_type": "code", "source": ["1 / 0"]}]}')
    try:
        notebook.run(tmp_path / "broken.ipynb")
    except RuntimeError as error:
        assert "cell 1" in str(error) and "ZeroDivisionError" in str(error)
    else:
        raise AssertionError("no error")
