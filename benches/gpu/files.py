"""Files and folders that the commands share, and how they are written."""

import hashlib
import json
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "target/gpu"  # carried
WORK = KIT / "work"  # made on the GPU machine, not carried
WEIGHTS = ROOT / "weights/cifar10/msdnet_cifar10.safetensors"
PHOTO = ROOT / "weights/samples/chelsea.png"

# What comes back from a GPU machine: at most so many files, none larger.
MOST_FILES, LARGEST_FILE = 8, 16 << 20


def write_atomically(path, content):
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(unfinished, path)


def as_json(value):
    """JSON for people too; what it has no form for is written as text."""
    return json.dumps(value, indent=1, default=str) + "\n"


def write_json(path, value):
    write_atomically(path, as_json(value))


def read_json(path):
    return json.loads(Path(path).read_text())


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
