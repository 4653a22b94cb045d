"""Checks what visits of one GPU brought back, and puts it where results are.

A figure counts only with its gates: the steps that show that what was timed is right. Figures
without them are refused by name, and the exit code is then 1. A training is kept in any case.
"""

import fnmatch
import json
import math
import shutil
import subprocess
import sys
import tarfile

from files import ROOT, as_json, read_json, write_atomically

sys.path.append(str(ROOT / "benches/peers"))
import report  # noqa: E402

RIGHT = ["smoke", "parity_cuda", "parity_ops", "parity_network", "parity_random_graphs", "same_bits"]
# What a figure needs beside its own step. Rows of floors and peers are checked one by one where they
# are measured, and a wrong row has no figure: there the step itself need not have passed.
GATES = {
    "smoke.*": [],
    "floors.*": ["machine"],
    "variants.*": RIGHT,
    "bench.*": RIGHT,
    "levels.*": RIGHT,
    "counters.*": RIGHT,
    "peers.*.msdcam*": RIGHT,
    "peers.*": ["machine"],
    "soak.*": ["smoke"],
    "training.*": ["training_self_test"],
}
ROW_BY_ROW = ("floors", "peers", "reduce_overhead")
# What they find takes away our figures; an uninitialized read alone is said beside them.
SANITIZERS = ["memcheck", "racecheck", "synccheck", "initcheck"]
BLOCKING = SANITIZERS[:3]
BEGIN, END = "<!-- GPU figures: drawn by benches/gpu.sh adopt -->", "<!-- end of GPU figures -->"


class Refused(Exception):
    """What came back cannot be used; one line says why."""


def commit_is_known(commit):
    command = ["git", "merge-base", "--is-ancestor", commit, "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0


def loaded(folder):
    """Results of a visit, and what they are of.

    Raises Refused where they are no such results."""
    file = folder / "results.json"
    try:
        results = read_json(file)
        kit, machine = results["kit"], results["machine"]
        facts = {"gpu": str(machine["name"]), "driver": str(machine["driver_version"]), "commit": str(kit["commit"])}
        facts |= {"date": results["started"].split()[0], "rehearsal": bool(results["rehearsal"]), "changed": bool(kit["changed"])}
        for step in results["steps"]:
            step["name"], step["status"]
        for figure in results["figures"].values():
            figure["value"], figure["unit"], figure["step"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as e:
        raise Refused(f"{file}: not the results of a visit that found a GPU ({type(e).__name__}: {e})") from None
    return results, facts


def merged(folders, is_known=commit_is_known):
    """The results of visits to one GPU with one commit, as one; the last one's where several have the same.

    Raises Refused where they are a rehearsal's, of another commit, or of different GPUs."""
    whole = None
    for folder in folders:
        results, facts = loaded(folder)
        machine = results["machine"]
        if facts["rehearsal"] or "stand-in" in facts["gpu"].lower():
            raise Refused(f"{folder}: a rehearsal, on {facts['gpu']}")
        if facts["changed"]:
            raise Refused(f"{folder}: made of {facts['commit']} with changes: commit them, build and visit again")
        if not is_known(facts["commit"]):
            raise Refused(f"{folder}: made of {facts['commit']}, which is not in this history")
        if facts["gpu"] not in str(machine.get("device")):
            raise Refused(f"{folder}: nvidia-smi says {facts['gpu']}, msdcam {machine.get('device')}")
        if whole is None:
            whole = facts | {"machine": machine, "passed": set(), "failed": set(), "figures": {}}
        elif differ := [f"{key} {whole[key]} and {facts[key]}" for key in ("gpu", "driver", "commit") if whole[key] != facts[key]]:
            raise Refused(f"{folder}: {', '.join(differ)}: results of one GPU and one commit go together")
        for step in results["steps"]:
            if step["status"] in ("passed", "failed"):
                whole[step["status"]].add(step["name"])
        whole["figures"] |= results["figures"]
    return whole


def why_not(name, figure, whole):
    """Why the figure cannot be used; None where it can."""
    gates = next((gates for pattern, gates in GATES.items() if fnmatch.fnmatch(name, pattern)), None)
    if gates is None:
        return "no gate is known for it"
    if not isinstance(figure["value"], int | float) or not math.isfinite(figure["value"]):
        return f"{figure['value']} is no number"
    if name.startswith("peers.") and name.split(".", 2)[2] not in report.lineup.ORDER:
        return "no such peer"
    gates = gates + [figure["step"]] * (figure["step"] not in ROW_BY_ROW)
    broken = [step for step in gates + BLOCKING * ("same_bits" in gates) if step in whole["failed"]]
    missing = [step for step in gates if step not in whole["passed"]]
    if broken:
        return f"{', '.join(broken)} failed"
    return f"{', '.join(missing)} did not come to an end" if missing else None


def judged(whole):
    """Figures that count, and the names of the others with the reason."""
    reasons = {name: why_not(name, figure, whole) for name, figure in whole["figures"].items()}
    good = {name: figure for name, figure in whole["figures"].items() if reasons[name] is None}
    return good, {name: reason for name, reason in reasons.items() if reason}


# ---- the README ----


def block(adopted):
    """Markdown for the README: what was measured on each GPU."""
    if not adopted:
        return "No figure of a real GPU is known yet: `benches/gpu.sh` measures them.\n"
    return "\n".join(of_gpu(results) for results in adopted)


def of_gpu(results):
    figures, passed, failed = results["figures"], results["passed"], results["failed"]

    def row(title, names):
        values = [figures[name]["value"] if name in figures else None for name in names]
        cells = ["" if v is None else f"{v:,.0f}" if v >= 1000 else f"{v:.3g}" for v in values]
        return f"| {title} | {' | '.join(cells)} |"

    def batches(start):
        return sorted({int(name.split(".")[1].removeprefix("batch_")) for name in figures if name.startswith(start)})

    facts = [results["gpu"], f"driver {results['driver']}", results["date"], f"commit {results['commit']}"]
    said = ", ".join(facts)
    if all(step in passed for step in RIGHT):
        said += ": logits within 1e-4 of the CPU's, the same bits in batches of any size"
    clean = [tool for tool in SANITIZERS if tool in passed]
    said += f"; compute-sanitizer without errors: {', '.join(clean) or 'not run'}"
    said += "".join(f"; {tool} found something" for tool in SANITIZERS if tool in failed)
    lines = [f"{said} ([everything]({results['file']}))."]
    if at := batches("bench."):
        lines += ["", f"| | {' | '.join(f'batch {b}' for b in at)} |", "|---" * (1 + len(at)) + "|"]
        for title, key in (
            ("all exits with every heat map, ms a batch, host to host", "all.grad_cam.p50"),
            ("... by the GPU's clock", "all.grad_cam.device"),
            ("forward pass alone, ms", "all.forward.p50"),
            ("images a second, with every heat map, two batches in flight", "all.grad_cam.images_per_s"),
        ):
            lines.append(row(title, [f"bench.batch_{b}.{key}" for b in at]))
    if at := batches("peers."):
        lines += ["", "Beside what people use instead, in turns, ms a batch:", "",
                  f"| | {' | '.join(f'batch {b}' for b in at)} |", "|---" * (1 + len(at)) + "|"]  # fmt: skip
        names = {name.split(".", 2)[2] for name in figures if name.startswith("peers.")}
        for name in sorted(names, key=report.lineup.ORDER.index):
            lines.append(row(name, [f"peers.batch_{b}.{name}" for b in at]))
    for title, picture in results["pictures"].items():
        lines += ["", f"![{title} on {results['gpu']}]({picture})"]
    return "\n".join(lines) + "\n"


def redrawn(readme, adopted):
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Refused(f"README.md: no lines '{BEGIN}' and '{END}'")
    return f"{before}{BEGIN}\n{block(adopted)}{END}{after}"


def adopted_in(folder):
    return {path.name: read_json(path) for path in sorted(folder.glob("gpu-*.json"))}


# ---- files ----


def members(folders, name):
    """The last of the steps' files of that name; None where there is none, or the archive is broken."""
    found = None
    for folder in folders:
        try:
            with tarfile.open(folder / "files.tar.gz") as tar:
                if name in tar.getnames():
                    found = tar.extractfile(name).read()
        except (OSError, EOFError, tarfile.TarError) as e:
            print(f"{folder}/files.tar.gz cannot be read: {e}", file=sys.stderr)
    return found


def with_earlier(kept, earlier):
    """Adopted results with those that were there before: of the same commit both, of another the newer ones,
    which have to have what the README shows.

    Raises Refused where figures would be lost."""
    if earlier is None or any(earlier[key] != kept[key] for key in ("gpu", "driver", "commit")):
        lost = {name for name in (earlier or {}).get("figures", {}) if name.startswith("bench.")} - set(kept["figures"])
        if lost:
            raise Refused(f"{kept['file']} has figures of commit {earlier['commit']} that these lack, {sorted(lost)[0]} among them")
        return kept
    for key in ("figures", "pictures"):
        kept[key] = earlier[key] | kept[key]
    for key in ("passed", "failed"):
        kept[key] = sorted({*earlier[key], *kept[key]})
    return kept


def drawn(folders, whole, figures, results_folder):
    """What is to be written: content of each file in the results' folder, and the README's new results."""
    slug = report.slug(whole["gpu"])
    name, files = f"gpu-{slug}.json", {}
    kept = {key: whole[key] for key in ("gpu", "driver", "date", "commit", "machine")}
    kept |= {"file": f"benches/results/{name}", "figures": figures, "pictures": {}}
    kept |= {key: sorted(whole[key]) for key in ("passed", "failed")}
    if any(key.startswith("bench.batch_1.") for key in figures) and (svg := members(folders, "bench_1/bench.svg")):
        files[f"gpu-{slug}.svg"] = svg
        kept["pictures"]["Latency up to each exit"] = f"benches/results/gpu-{slug}.svg"
    if any(key.startswith("peers.") for key in figures) and (content := members(folders, "peers/peers.json")):
        results = json.loads(content)
        for setting in results["settings"]:
            setting["rows"] = [row for row in setting["rows"] if f"peers.batch_{setting['batch']}.{row['name']}" in figures]
        files[f"peers-{slug}.json"] = as_json(results)
        files[f"peers-{slug}.md"] = report.table(results)
        files[f"peers-{slug}.svg"] = report.picture(results)
        kept["pictures"]["msdcam and its peers"] = f"benches/results/peers-{slug}.svg"
    adopted = adopted_in(results_folder)
    adopted[name] = with_earlier(kept, adopted.get(name))
    files[name] = as_json(adopted[name])
    return files, list(adopted.values())


def complete(paths):
    """The paths, where they are one file or all pieces of one: NAME, or NAME.01of02 and so on."""
    numbers = [path.name.rpartition(".")[2].partition("of") for path in paths]
    pieces = sorted(int(i) for i, of, _ in numbers if of and i.isdigit())
    if len(paths) == 1 and not pieces:
        return paths
    wanted = int(numbers[0][2]) if numbers and numbers[0][2].isdigit() else 0
    return paths if pieces == list(range(1, wanted + 1)) and len(pieces) == len(paths) else []


def keep_training(folders, home):
    """The last training that came back whole, checkpoint or state, with its log, in `home`; what was there
    before moves aside. True where it is finished, None where there is none."""
    for folder in reversed(folders):
        checkpoint, state = (complete(sorted(folder.glob(kind))) for kind in ("msdnet_*.pth.tar*", "state-*"))
        if paths := checkpoint or state:
            if home.exists():
                aside = home.with_name(home.name + ".before")
                shutil.rmtree(aside, ignore_errors=True)
                home.rename(aside)
            home.mkdir(parents=True)
            for path in paths:
                shutil.copy(path, home)
            for name in ("log.jsonl", "log.md", "summary.json"):
                if content := members([folder], f"training/{name}"):
                    (home / name).write_bytes(content)
            return bool(checkpoint)
    return None


def main(args):
    home = ROOT / ".cache/training"
    try:
        real = [folder for folder in args.folders if not loaded(folder)[1]["rehearsal"]]
        finished = keep_training(real, home)
        if finished is not None:
            todo = "weights/make.sh TRAIN TEST" if finished else "visit again, after benches/gpu.sh build --data DIR --state"
            print(f"training kept; next: {todo} {home.relative_to(ROOT)}")
        whole = merged(args.folders)
        figures, refused = judged(whole)
        for name, reason in refused.items():
            print(f"refused: {name}: {reason}", file=sys.stderr)
        if not figures:
            raise Refused("no figure counts")
        folder, readme = ROOT / "benches/results", ROOT / "README.md"
        files, adopted = drawn(args.folders, whole, figures, folder)
        text = redrawn(readme.read_text(), adopted)
        for name, content in files.items():
            write_atomically(folder / name, content)
            print(f"written: benches/results/{name}")
        write_atomically(readme, text)
        print(f"{len(figures)} figures adopted; README.md redrawn")
    except Refused as e:
        print(f"refused: {e}", file=sys.stderr)
        return 1
    return 1 if refused else 0
