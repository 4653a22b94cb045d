"""The command line: ``python -m msdcam``, and the script ``msdcam``."""

from __future__ import annotations

import signal
import sys

from . import _native


def main() -> None:
    """Run the command line on ``sys.argv`` and end the process with its exit code."""
    # The command line ends the process itself, as it does without Python.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_native.main(["msdcam", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
