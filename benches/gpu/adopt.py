"""Checks what visits of one GPU brought back, and puts it where results are.

A figure counts only with its gates: the steps that show that what was timed is right. Figures
without them are refused by name, and the exit code is then 1.
"""

import fnmatch
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from files import ROOT, read_json, write_atomically, write_json

sys.path.append(str(ROOT / "benches/peers"))
import report  # noqa: E402

OURS = ["smoke", "parity_cuda", "parity_ops", "parity_network", "parity_random_graphs", "same_bits"]
# What a figure needs, by its name: steps that passed. Rows of floors and peers are checked one by one
# where they are measured: a wrong row has no figure.
GATES = {
    "smoke.*": ["machine", "smoke"],
    "floors.*": ["machine"],
    "variants.batch_1.*": ["variants_1", *OURS],
    "variants.*": ["variants_256", *OURS],
    "bench.*": ["bench", *OURS],
    "levels.*": ["levels", *OURS],
    "counters.*": ["counters", *OURS],
    "peers.*.msdcam*": OURS,
    "peers.*": ["machine"],
    "soak.*": ["smoke", "soak"],
    "training.*": ["training_self_test", "training"],
}
SANITIZERS = ["memcheck", "racecheck", "synccheck", "initcheck"]
BEGIN, END = "<!-- GPU figures: drawn by benches/gpu.sh adopt -->", "<!-- end of GPU figures -->"


class Refused(Exception):
    """What came back cannot be used; one line says why."""


def commit_is_known(commit):
    command = ["git", "merge-base", "--is-ancestor", commit, "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0


def merged(folders, is_known=commit_is_known):
    """The results of visits to one GPU with one commit, as one.

    Raises Refused where they are a rehearsal's, of another commit, or of different GPUs."""
    whole = None
    for folder in folders:
        file = folder / "results.json"
        try:
            results = read_json(file)
            kit, machine = results["kit"], results["machine"]
            facts = {"gpu": machine["name"], "driver": machine["driver_version"], "commit": kit["commit"]}
        except (OSError, ValueError, KeyError) as e:
            raise Refused(f"{file}: not the results of a visit that found a GPU ({type(e).__name__}: {e})") from None
        if results["rehearsal"] or "stand-in" in machine["name"].lower():
            raise Refused(f"{file}: a rehearsal, on {machine['name']}")
        if kit["changed"]:
            raise Refused(f"{file}: made of {kit['commit']} with changes: commit them and visit again")
        if not is_known(kit["commit"]):
            raise Refused(f"{file}: made of {kit['commit']}, which is not in this history")
        if facts["gpu"] not in machine.get("device", ""):
            raise Refused(f"{file}: nvidia-smi says {facts['gpu']}, msdcam {machine.get('device')}")
        if whole is None:
            whole = facts | {"date": results["started"].split()[0], "machine": machine, "passed": set(), "failed": set(), "figures": {}}
        elif differ := [f"{key} {whole[key]} and {facts[key]}" for key in facts if whole[key] != facts[key]]:
            raise Refused(f"{file}: {', '.join(differ)}: results of one GPU and one commit go together")
        for step in results["steps"]:
            if step["status"] in ("passed", "failed"):
                whole[step["status"]].add(step["name"])
        whole["figures"] |= results["figures"]
    return whole


def without_gate(name, whole):
    """Why the figure cannot be used; None where it can."""
    gates = next((gates for pattern, gates in GATES.items() if fnmatch.fnmatch(name, pattern)), None)
    if gates is None:
        return "no gate is known for it"
    ours = "same_bits" in gates
    broken = [step for step in gates + (SANITIZERS if ours else []) if step in whole["failed"]]
    missing = [step for step in gates if step not in whole["passed"]]
    if broken:
        return f"{', '.join(broken)} failed"
    return f"{', '.join(missing)} did not run" if missing else None


def judged(whole):
    """Figures that count, and the names of the others with the reason."""
    reasons = {name: without_gate(name, whole) for name in whole["figures"]}
    good = {name: figure for name, figure in whole["figures"].items() if reasons[name] is None}
    return good, {name: reason for name, reason in reasons.items() if reason}


# ---- the README ----


def block(adopted):
    """Markdown for the README: what was measured on each GPU."""
    if not adopted:
        return "No figure of a real GPU is known yet: `benches/gpu.sh` measures them.\n"
    return "\n".join(of_gpu(results) for results in adopted)


def of_gpu(results):
    figures = results["figures"]

    def value(name):
        return figures[name]["value"] if name in figures else None

    def cell(number):
        return "" if number is None else f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"

    batches = sorted({int(name.split(".")[1].removeprefix("batch_")) for name in figures if name.startswith("bench.")})
    rows = [("all exits with every heat map, ms a batch, host to host", "all.grad_cam.p50"), ("... by the GPU's clock", "all.grad_cam.device"),
            ("forward pass alone, ms", "all.forward.p50"), ("images a second, with every heat map", "all.grad_cam.images_per_s")]  # fmt: skip
    lines = [f"{results['gpu']}, driver {results['driver']}, {results['date']}, commit {results['commit']}: logits within 1e-4 of "
             f"the CPU's, the same bits in batches of any size; compute-sanitizer without errors: "
             f"{', '.join(results['sanitizers']) or 'not run'} ([everything]({results['file']})).", ""]  # fmt: skip
    if batches:
        lines += [f"| | {' | '.join(f'batch {b}' for b in batches)} |", "|---" * (1 + len(batches)) + "|"]
        for title, key in rows:
            lines.append(f"| {title} | {' | '.join(cell(value(f'bench.batch_{b}.{key}')) for b in batches)} |")
    peers = {name.split(".", 2)[2] for name in figures if name.startswith("peers.")}
    at = sorted({int(name.split(".")[1].removeprefix("batch_")) for name in figures if name.startswith("peers.")})
    if peers:
        lines += ["", "Beside what people use instead, in turns, ms a batch:", "",
                  f"| | {' | '.join(f'batch {b}' for b in at)} |", "|---" * (1 + len(at)) + "|"]  # fmt: skip
        for name in sorted(peers, key=report.lineup.ORDER.index):
            lines.append(f"| {name} | {' | '.join(cell(value(f'peers.batch_{b}.{name}')) for b in at)} |")
    for title, picture in results.get("pictures", {}).items():
        lines += ["", f"![{title} on {results['gpu']}]({picture})"]
    return "\n".join(lines) + "\n"


def redrawn(readme, adopted):
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Refused(f"README.md: no lines '{BEGIN}' and '{END}'")
    return f"{before}{BEGIN}\n{block(adopted)}{END}{after}"


def adopted_in(folder):
    return [read_json(path) for path in sorted(folder.glob("gpu-*.json"))]


# ---- files ----


def members(folders, name):
    """The newest of a step's files of that name, or None."""
    found = None
    for folder in folders:
        with tarfile.open(folder / "files.tar.gz") as tar:
            if name in tar.getnames():
                found = tar.extractfile(name).read()
    return found


def place(folders, whole, figures, results_folder):
    """Writes what counts into the results' folder; the names of the files."""
    name = f"gpu-{report.slug(whole['gpu'])}"
    kept = {key: whole[key] for key in ("gpu", "driver", "date", "commit", "machine")}
    kept |= {"file": f"benches/results/{name}.json", "sanitizers": [s for s in SANITIZERS if s in whole["passed"]],
             "passed": sorted(whole["passed"]), "failed": sorted(whole["failed"]), "figures": figures, "pictures": {}}  # fmt: skip
    written = []
    if any(key.startswith("bench.") for key in figures) and (svg := members(folders, "bench/bench.svg")):
        write_atomically(results_folder / f"{name}.svg", svg)
        kept["pictures"]["Latency up to each exit"] = f"benches/results/{name}.svg"
        written.append(results_folder / f"{name}.svg")
    if any(key.startswith("peers.") for key in figures) and (content := members(folders, "peers/peers.json")):
        results = json.loads(content)
        for setting in results["settings"]:
            setting["rows"] = [row for row in setting["rows"] if f"peers.batch_{setting['batch']}.{row['name']}" in figures]
        path = results_folder / f"peers-{report.slug(whole['gpu'])}.json"
        write_json(path, results)
        path.with_suffix(".md").write_text(report.table(results))
        path.with_suffix(".svg").write_text(report.picture(results))
        kept["pictures"]["msdcam and its peers"] = f"benches/results/{path.stem}.svg"
        written += [path, path.with_suffix(".md"), path.with_suffix(".svg")]
    write_json(results_folder / f"{name}.json", kept)
    return [*written, results_folder / f"{name}.json"]


def keep_training(folders):
    """The training's state or checkpoint, from the last visit that had one."""
    for folder in reversed(folders):
        pieces = [*folder.glob("msdnet_*.pth.tar*")] or [*folder.glob("state-*")]
        if pieces:
            home = ROOT / ".cache/training"
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            for piece in pieces:
                shutil.copy(piece, home)
            return home, pieces[0].name.startswith("state-")
    return None


def main(args):
    try:
        whole = merged(args.folders)
        figures, refused = judged(whole)
        if figures:
            results = ROOT / "benches/results"
            for path in place(args.folders, whole, figures, results):
                print(f"written: {path.relative_to(ROOT)}")
            readme = ROOT / "README.md"
            write_atomically(readme, redrawn(readme.read_text(), adopted_in(results)))
            print(f"{len(figures)} figures adopted; README.md redrawn")
    except Refused as e:
        print(f"refused: {e}", file=sys.stderr)
        return 1
    for name, reason in refused.items():
        print(f"refused: {name}: {reason}", file=sys.stderr)
    if kept := keep_training(args.folders):
        home, unfinished = (kept[0].relative_to(ROOT), kept[1])
        todo = f"benches/gpu.sh build --state {home} --data DIR, and visit again" if unfinished else f"weights/make.sh TRAIN TEST {home}"
        print(f"training kept in {home}; next: {todo}")
    return 1 if refused or not figures else 0
