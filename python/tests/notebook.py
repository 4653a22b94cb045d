"""Runner of a notebook without Jupyter: its cells as one program, and what each displays.

    python python/tests/notebook.py examples/quickstart.ipynb            runs it
    python python/tests/notebook.py examples/quickstart.ipynb --store    and stores the outputs, but large ones
"""

from __future__ import annotations

import argparse
import ast
import base64
import contextlib
import io
import json
import os
import traceback
from pathlib import Path
from typing import Any

#: Bytes of a picture or page that is stored in a notebook.
LARGEST = 100_000


def run(path: Path) -> tuple[dict[str, Any], list[list[dict[str, Any]]]]:
    """The notebook, and the outputs of each of its code cells, run in the notebook's folder.

    Raises what a cell raises, with its source in the message.
    """
    book = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    outputs = []
    back = os.getcwd()
    os.chdir(path.parent)
    try:
        for number, cell in enumerate(c for c in book["cells"] if c["cell_type"] == "code"):
            source = "".join(cell["source"])
            try:
                outputs.append(_cell(source, names, f"cell {number + 1}"))
            except Exception as error:
                text = traceback.format_exc()
                raise RuntimeError(f"{path.name}, cell {number + 1}:\n{source}\n{text}") from error
    finally:
        os.chdir(back)
    return book, outputs


def _cell(source: str, names: dict[str, Any], where: str) -> list[dict[str, Any]]:
    tree = ast.parse(source, where)
    last = tree.body[-1] if tree.body else None
    shown = last if isinstance(last, ast.Expr) and not source.rstrip().endswith(";") else None
    if shown is not None:
        tree.body.pop()
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        exec(compile(tree, where, "exec"), names)
        value = None if shown is None else eval(compile(ast.Expression(shown.value), where, "eval"), names)
    outputs: list[dict[str, Any]] = []
    if text.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": text.getvalue().splitlines(True)})
    if value is not None:
        data: dict[str, Any] = {"text/plain": [repr(value)]}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = [value._repr_html_()]
        if hasattr(value, "_repr_png_"):
            data["image/png"] = base64.b64encode(value._repr_png_()).decode()
        outputs.append({"data": data, "metadata": {}, "output_type": "execute_result"})
    return outputs


def store(path: Path) -> None:
    """Run a notebook and write its outputs into it."""
    book, outputs = run(path)
    code = (cell for cell in book["cells"] if cell["cell_type"] == "code")
    for number, (cell, found) in enumerate(zip(code, outputs), 1):
        cell["execution_count"] = number
        for output in found:
            if output["output_type"] == "execute_result":
                output["execution_count"] = number
                output["data"] = {k: v for k, v in output["data"].items() if len("".join(v)) <= LARGEST}
        cell["outputs"] = found
    path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run a notebook without Jupyter")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--store", action="store_true")
    arguments = parser.parse_args()
    if arguments.store:
        store(arguments.notebook)
    else:
        run(arguments.notebook)
