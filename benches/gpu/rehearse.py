"""Builds, then visits a moved copy of the tree on the stand-in driver (tests/standin): without cargo on
the path, without a network, with stand-ins for nvidia-smi, ncu and compute-sanitizer. Fails where a
result is missing, empty or outside the output folder. Times mean nothing here.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import build
import steps
from files import KIT, LARGEST_FILE, MOST_FILES, ROOT, WORK, read_json

ALWAYS = ["visit.log", "results.json", "summary.md", "files.tar.gz"]
# Files that a passed step must have left, inside files.tar.gz.
OF_STEP = {
    "smoke": ["chelsea_strip.png", "results.jsonl"],
    "floors": ["floors.json"],
    "variants_1": ["variants.json"],
    "variants_256": ["variants.json"],
    "bench_1": ["bench-1.json", "bench.svg"],
    "levels": ["levels-1.json"],
    "counters": ["traffic.csv", "sections.csv"],
    "peers": ["peers.json"],
    "training": ["summary.json", "log.md"],
}
# Steps that cannot run everywhere, and what they say then.
MAY_BE_ABSENT = r"no PyTorch in .*|no training was started|the smoke test passed|no peer could be measured here; see peers-compiled.json"
# A visit whose first kernel fails still leaves these.
AFTER_FAULT = {"smoke": "failed", "memcheck_of_smoke": "failed", "bench_1": "skipped", "soak": "skipped"}


def copy_of_tree(folder):
    """What travels: the tree's files and the kit."""
    for path in [*build.tree_files(), *build.kit_files()]:
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return folder


def made_up_data(folder):
    """Images of noise in CIFAR-10's form: enough for some steps of training."""
    folder.mkdir(exist_ok=True)
    rng = random.Random(1)

    def images(count):
        return b"".join(bytes([i % 10]) + rng.randbytes(build.RECORD - 1) for i in range(count))

    build.pack_binary(folder / "train.tar.xz", {f"data_batch_{i}.bin": images(64) for i in range(1, 6)})
    build.pack_binary(folder / "test.tar.xz", {"test_batch.bin": images(100)})


def snapshot(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def without_network():
    """Words in front of a command that take its network away, or none where that cannot be done here."""
    for words in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        if shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True).returncode == 0:
            return words
    print("skipped: the rehearsal without a network: unshare cannot make one here", file=sys.stderr)
    return []


def problems(out, tree, before, home, code):
    """What is wrong with what a visit left, a line each."""
    wrong = []
    files = [p for p in out.rglob("*") if p.is_file()]
    wrong += [f"{name} is missing" for name in ALWAYS if not (out / name).is_file()]
    wrong += [f"{p.name} is empty" for p in files if p.stat().st_size == 0]
    wrong += [f"{p.name}: {p.stat().st_size} bytes, more than {LARGEST_FILE}" for p in files if p.stat().st_size > LARGEST_FILE]
    wrong += [f"{p.name}: not a name that comes back" for p in files if not re.fullmatch(r"[A-Za-z0-9._-]+", p.name)]
    if len(files) > MOST_FILES:
        wrong.append(f"{len(files)} files, more than {MOST_FILES}: {', '.join(p.name for p in files)}")
    work = tree / WORK.relative_to(ROOT)
    made = [p for p, time in snapshot(tree).items() if before.get(p) != time and work not in p.parents and p.suffix != ".pyc"]
    wrong += [f"{p.relative_to(tree)} was written outside the output folder" for p in made]
    wrong += [f"{p.relative_to(home)} was written into the home folder" for p in home.rglob("*") if p.is_file()]
    if wrong:
        return wrong
    results = read_json(out / "results.json")
    with tarfile.open(out / "files.tar.gz") as tar:
        sizes = {member.name: member.size for member in tar}
    status = {step["name"]: step for step in results["steps"]}
    for step in steps.STEPS:
        entry = status.get(step.name)
        if entry is None:
            wrong.append(f"{step.name} is not in results.json")
        elif entry["status"] in ("failed", "unfinished") or entry["status"] == "skipped" and not re.fullmatch(MAY_BE_ABSENT, entry["why"]):
            wrong.append(f"{step.name} {entry['status']}: {entry['why']}")
        elif entry["status"] == "passed":
            missing = [name for name in OF_STEP.get(step.name, []) if not sizes.get(f"{step.name}/{name}")]
            wrong += [f"{step.name}: {name} is missing or empty" for name in missing]
    if status.get("training", {}).get("status") == "passed" and not [*out.glob("msdnet_*.pth.tar*"), *out.glob("state-*")]:
        wrong.append("the training left neither a checkpoint nor a state")
    if not results["figures"]:
        wrong.append("no figures")
    if code:
        wrong.append(f"the visit ended with {code}")
    return wrong


def main(args):
    revision, changed = build.commit()
    manifest = read_json(KIT / "manifest.json") if (KIT / "manifest.json").exists() else {}
    if changed or manifest.get("changed") or manifest.get("commit") != revision:
        build.make(keep=True)
    standin = subprocess.run([ROOT / "tests/standin/run", "--build"], check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="moved-") as folder:
        moved, out, home = (Path(folder) / name for name in ("tree", "out", "home"))
        for new in (moved, out, home):
            new.mkdir()
        copy_of_tree(moved)
        kit = moved / KIT.relative_to(ROOT)
        made_up_data(kit / "data")
        (kit / "state.tar.xz").unlink(missing_ok=True)  # of a training on other data
        before = snapshot(moved)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MSDCAM_", "CARGO", "RUST", "PYTHON"))}
        path = [moved / "benches/gpu/fakes", *(p for p in os.environ["PATH"].split(":") if p and not (Path(p) / "cargo").exists())]
        environment |= {
            "PATH": ":".join(map(str, path)),
            "HOME": str(home),
            "LD_LIBRARY_PATH": f"{standin}/cuda:{standin}/nvrtc:/nowhere/stubs",
            "STANDIN_CACHE": f"{standin}/cache",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        scale = ["--scale", "short" if args.short else "rehearsal", "--python", args.python, "--minutes", "9.5"]
        visit = [*without_network(), moved / "benches/gpu.sh", "visit", "all", *scale, "--out"]

        def run(command, **more):
            return subprocess.run([str(word) for word in command], env=environment | more, cwd="/", capture_output=bool(more), text=True)

        code = run([*visit, out, "--steps", *(step.name for step in steps.STEPS)]).returncode
        wrong = problems(out, moved, before, home, code)
        entries = read_json(out / "results.json")["steps"] if (out / "results.json").exists() else []

        spoilt = Path(folder) / "spoilt"
        code = run([*visit, spoilt, "--steps", *AFTER_FAULT], STANDIN_FAULT="1").returncode
        status = {step["name"]: step["status"] for step in read_json(spoilt / "results.json")["steps"]}
        if code != 1 or {name: status.get(name) for name in AFTER_FAULT} != AFTER_FAULT:
            wrong.append(f"where the first kernel fails, the visit ended with {code} and {status}")

        adoption = run([moved / "benches/gpu.sh", "adopt", out], REHEARSAL="1")
        if adoption.returncode != 1 or "a rehearsal" not in adoption.stderr:
            wrong.append(f"a rehearsal was not refused: {adoption.stdout}{adoption.stderr}")
    for entry in entries:
        if entry["status"] == "skipped" and entry["name"] != "memcheck_of_smoke":
            print(f"skipped: a GPU visit's step in rehearsal: {entry['name']}: {entry['why']}", file=sys.stderr)
    for line in wrong:
        print(f"rehearsal: {line}", file=sys.stderr)
    print("rehearsal: " + (f"{len(wrong)} problems" if wrong else "all results are there"))
    return 1 if wrong else 0
