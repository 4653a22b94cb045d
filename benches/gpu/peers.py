"""Steps that measure what people use instead (benches/peers)."""

import time

from files import KIT, ROOT, WORK, read_json
from machine import torch
from visit import Absent, Failed, Unfinished


def peers_environment(visit):
    site = WORK / "site"
    if not site.exists():
        install = [visit.python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--target", site]
        try:
            visit.run([*install, *sorted((KIT / "wheels").glob("*.whl"))], 30, name="pip")
        except Unfinished as e:
            visit.say(f"the wheels are not installed, and cost their rows: {e}")
    return {"PYTHONPATH": site, "PEERS_PROGRAMS": visit.programs, "PEERS_PYTHON": visit.python}


def run_peers(visit, file, batches, words):
    torch(visit)
    environment = peers_environment(visit)
    command = [ROOT / "benches/peers/run", "--device", "cuda", "--networks", "cifar", "--quick", "--json", file]
    command += ["--batches", *batches, "--weights", visit.weights, "--seconds-limit", max(1, int(visit.limit - time.monotonic() - 25))]
    if visit.scale.rehearsal:
        command += ["--torch-device", "cpu", "--seconds", 0.02]
    try:
        code, late = visit.run([*command, *words], **environment).code, None
    except Unfinished as e:
        code, late = None, e  # what it wrote until then counts
    if not file.exists():
        raise late or Failed(f"benches/peers ended with {code} and no results")
    wrong, measured = [], 0
    for setting in read_json(file)["settings"]:
        for row in setting.get("rows", []):
            if "median_ms" in row and "problem" not in row:
                measured += not row["name"].startswith("msdcam")
                if not (words and row["name"].startswith("msdcam")):  # ours are in turns with all others elsewhere
                    visit.figure(f"peers.batch_{setting['batch']}.{row['name']}", row["median_ms"], "ms")
            elif not row.get("problem", "").startswith("not here"):
                wrong.append(f"{row['name']} at batch {setting['batch']}: {row.get('problem')}")
    if late:
        raise late
    if wrong or code:
        raise Failed(f"exit code {code}; " + "; ".join(wrong)[:300])
    if not measured:
        raise Absent(f"no peer could be measured here; see {file.name}")


def peers(visit):
    """What people use instead, each checked before it is timed."""
    batches = visit.scale.batches[:1] if visit.scale.rehearsal else (1, 256)
    run_peers(visit, visit.folder() / "peers.json", batches, [])


def reduce_overhead(visit):
    """One compilation by PyTorch, at batch 1."""
    words = ["--compile", "reduce-overhead", "--only", "reduce-overhead"]
    run_peers(visit, visit.folder() / "peers-compiled.json", (1,), words)
