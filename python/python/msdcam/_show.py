"""Showing of a picture: in the notebook, or else with the system's viewer."""

from __future__ import annotations

import os
import sys
import tempfile
import webbrowser
from typing import Any


def show_png(data: bytes) -> None:
    """Show the PNG file ``data``."""
    shell: Any = sys.modules.get("IPython")
    if shell is not None and shell.get_ipython() is not None:
        from IPython.display import Image, display  # type: ignore[import-not-found, unused-ignore]

        display(Image(data=data))  # type: ignore[no-untyped-call, unused-ignore]
        return
    # The viewer reads it after this returns.
    descriptor, path = tempfile.mkstemp(prefix="msdcam-", suffix=".png")
    shown = False
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        shown = webbrowser.open(f"file://{path}")
    finally:
        if not shown:
            os.unlink(path)
    if not shown:
        raise RuntimeError("no viewer for pictures here: save the picture")
