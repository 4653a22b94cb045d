"""What a prediction needs: programs, machine code, disassembler."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("MSDCAM_CI_CACHE", ROOT / ".cache")) / "sm90"


class Missing(Exception):
    """Something cannot be had here."""


def run(*command, **more):
    return subprocess.run([str(word) for word in command], cwd=ROOT, check=True, text=True, **more)


def folder(script):
    """The folder that benches/nvrtc or benches/nvdisasm prints."""
    try:
        return run(ROOT / "benches" / script, stdout=subprocess.PIPE).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        package = f"nvidia-cuda-{script}"
        raise Missing(f"{package} could not be installed") from None


def build(*benches):
    """The paths of bench programs, built if needed."""
    words = [word for bench in benches for word in ("--bench", bench)]
    done = run("cargo", "build", "--release", "--workspace", "--quiet", *words, "--message-format=json", stdout=subprocess.PIPE)
    paths = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] in benches and message["executable"]:
            paths[message["target"]["name"]] = Path(message["executable"])
    return [paths[bench] for bench in benches]


def machine_code(cubin_program):
    """The kernels of this tree, compiled with line numbers; once for each text of them."""
    texts = sorted((ROOT / "kernels").glob("*.cu*")) + [ROOT / "src/engine/cuda/source.rs", ROOT / "src/engine/cuda/compile.rs"]
    key = hashlib.sha256(b"".join(p.read_bytes() for p in texts if p.suffix != ".cubin") + (ROOT / "benches/nvrtc").read_bytes())
    file = CACHE / f"{key.hexdigest()[:16]}.cubin"
    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        env = os.environ | {"MSDCAM_NVRTC": folder("nvrtc")}
        print("compiling the kernels", file=sys.stderr, flush=True)
        run(cubin_program, "90", part, "--generate-line-info", env=env)
        part.rename(file)
    return file
