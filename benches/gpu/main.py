"""The commands of `benches/gpu.sh`; README.md says what each is for. Standard library only."""

import argparse
import os
import sys
from pathlib import Path

import adopt
import build
import rehearse
import visit


def main():
    parser = argparse.ArgumentParser(prog="benches/gpu.sh", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    p = commands.add_parser("build", help="make all that is carried to the GPU machine")
    p.add_argument("--data", type=Path, default=os.environ.get("CIFAR10_DATA"), metavar="DIR",
                   help="a folder with train_jpeg.tar.gz and test_batch.bin: CIFAR-10 for training (or CIFAR10_DATA)")  # fmt: skip
    p.add_argument("--state", type=Path, metavar="DIR", help="what a visit brought back of an unfinished training")
    p.set_defaults(run=build.main)

    p = commands.add_parser("visit", help="run the steps on the machine with the GPU")
    p.add_argument("what", nargs="?", choices=["checks", "train", "all"], default="all")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="everything that is to be kept, at most eight files")
    p.add_argument("--minutes", type=float, default=9.0, help="time for everything; what does not fit is left out")
    p.add_argument("--steps", nargs="+", metavar="STEP", help="these steps only")
    p.add_argument("--python", default=os.environ.get("PEERS_PYTHON", "python3"), help="the interpreter that has PyTorch")
    p.add_argument("--fit", action=argparse.BooleanOptionalAction,
                   help="finish the training in this visit (default of train), or leave a state for another (default of all)")  # fmt: skip
    p.add_argument("--scale", choices=visit.SCALES, default="real", help=argparse.SUPPRESS)
    p.set_defaults(run=visit.main)

    p = commands.add_parser("rehearse", help="build, and visit a moved copy of the tree on the stand-in driver")
    p.add_argument("--short", action="store_true", help="a small network and one parity test: the gate's form")
    p.add_argument("--python", default=os.environ.get("PEERS_PYTHON", "python3"), help="the interpreter that has PyTorch")
    p.set_defaults(run=rehearse.main)

    p = commands.add_parser("adopt", help="check what came back and put it into benches/results/ and the README")
    p.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    p.set_defaults(run=adopt.main)

    args = parser.parse_args()
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
