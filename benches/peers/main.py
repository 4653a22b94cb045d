"""Measures msdcam beside what people use instead; `run` is the way to start it. See README.md."""

import argparse
import contextlib
import datetime
import itertools
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import lineup
import report

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".cache/peers"
WORKER = HERE / "worker.py"
GRACE = 10  # seconds after the time limit in which a setting's process may still come to its end


def say(text):
    print(text, file=sys.stderr, flush=True)


def build():
    """The programs `msdcam` and `serve`: from the folder PEERS_PROGRAMS, or where cargo put them."""
    if folder := os.environ.get("PEERS_PROGRAMS"):
        return [Path(folder).resolve() / name for name in ("msdcam", "serve")]
    say("building msdcam")
    command = ["cargo", "build", "--release", "--bin", "msdcam", "--bench", "serve"]
    command += ["--message-format", "json-render-diagnostics"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    messages = [json.loads(line) for line in lines]
    found = {m["target"]["name"]: m["executable"] for m in messages if m.get("executable")}
    return found["msdcam"], found["serve"]


def random_imagenet(msdcam):
    """Weights of the ImageNet network: a checkpoint that PyTorch writes and msdcam converts."""
    import networks  # imports PyTorch, which nothing else here needs

    CACHE.mkdir(parents=True, exist_ok=True)
    checkpoint, weights = CACHE / "imagenet.pth", CACHE / "imagenet.safetensors"
    if not checkpoint.exists():
        part = CACHE / "imagenet.part"
        networks.write_random_imagenet(part)
        part.rename(checkpoint)
    subprocess.run([msdcam, "convert", checkpoint, "-o", weights, "--normalize", "imagenet"], check=True)
    return weights


def cores(count):
    """`count` CPUs on different cores where there are enough, for pinning; all where there are too few."""
    allowed = sorted(os.sched_getaffinity(0))
    seen, first = set(), []
    for cpu in allowed:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        core = siblings.read_text() if siblings.exists() else cpu
        if core not in seen:
            seen.add(core)
            first.append(cpu)
    return (first + [cpu for cpu in allowed if cpu not in first])[:count]


def command(*words):
    """What it prints; nothing where there is no such program or it fails."""
    try:
        done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True, timeout=20)
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def commit():
    """The programs' commit, and whether files were changed: as a file beside carried programs says, or git."""
    folder = os.environ.get("PEERS_PROGRAMS")
    if folder and (file := Path(folder) / "commit").exists():
        commit, _, changes = file.read_text().strip().partition(" ")
        return commit, bool(changes)
    changes = command("git", "status", "--porcelain", "--untracked-files=no")
    return command("git", "rev-parse", "--short=12", "HEAD"), None if changes is None else bool(changes)


def machine(device, torch_device):
    fields = [line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line]
    cpu = {name.strip(): value.strip() for name, value in fields}
    about = {
        "cpu": cpu.get("model name", "unknown"),
        "cpu_family": cpu.get("cpu family", "unknown"),
        "cpus": len(os.sched_getaffinity(0)),
        "avx512": "avx512f" in cpu.get("flags", "").split(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": None,
        "rustc": command("rustc", "--version"),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "load_before": os.getloadavg()[0],
    }
    about["commit"], about["changed_files"] = commit()
    if device == "cuda":
        driver = command("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        about |= {"gpu": None, "cuda": None, "driver": driver.splitlines()[0] if driver else None}
        if torch_device != device:
            about["rehearsal"] = True
    return about


def learn(about, found):
    """Facts about the machine that only a setting's process knows. Without PyTorch on the GPU, its name is msdcam's."""
    about["torch"] = about["torch"] or found.get("torch")
    if "gpu" in about:
        device = re.match(r"cuda\S* \((.*), \d+ multiprocessors\)$", found.get("msdcam_device") or "")
        about["gpu"] = about["gpu"] or found.get("gpu") or (device and device[1])
        about["cuda"] = about["cuda"] or found.get("cuda")


def merge(setting, found, mode):
    """The rows of one process into the setting's; ours come from the first process."""
    rows = {row["name"]: row for row in found.get("rows", [])}
    if mode:
        beside = rows.get(lineup.PEERS[0].name, {}).get("median_ms")
        rows = {name: row if lineup.is_ours(name) else row | {"msdcam_beside_ms": beside} for name, row in rows.items()}
    rows |= {row["name"]: row for row in setting["rows"]}
    setting["rows"] = sorted(rows.values(), key=lambda row: lineup.ORDER.index(row["name"]))
    setting["msdcam_device"] = setting["msdcam_device"] or found.get("msdcam_device")


class Run:
    """Settings one after the other, each in a process of its own, or in several where it has compiled rows.
    Results are written after each process; what goes wrong in one leaves the others as they are."""

    def __init__(self, a, about):
        self.args, self.about = a, about
        self.until = time.monotonic() + a.seconds_limit if a.seconds_limit else float("inf")
        self.process, self.stopped, self.failed, self.settings = None, False, False, []
        self.how = {"device": a.device, "torch_device": a.torch_device, "rounds": a.rounds,
                    "seconds_per_turn": a.seconds, "tf32": False}  # fmt: skip

    def stop(self, *_):
        """Told to end: write what there is."""
        self.until, self.stopped = 0.0, True
        self.kill()

    def kill(self):
        """The setting's process and msdcam's, which is its child and may hang by itself."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def everything(self, msdcam, server):
        a = self.args
        weights = {"cifar": a.weights} | {model.stem: model for model in a.model}
        usual = {"cifar": [1, 64], "imagenet": [1, 8]}
        for network, isa in itertools.product([model.stem for model in a.model] or a.networks, a.isa):
            for batch in a.batches or ([1] if a.quick else usual.get(network, [1, 16])):
                for threads in a.threads:
                    key = {"network": network, "batch": batch, "threads": threads} | ({"isa": isa} if isa else {})
                    self.settings.append(key | {"msdcam_device": None, "problems": [], "rows": []})
        # Compiled rows last: each may take longer than all others together.
        for mode, setting in itertools.product([None, *a.compile], self.settings):
            names = [(peer.name, peer.computes) for peer in lineup.chosen(a.device, mode, a.only, bool(a.model))]
            if not names:
                continue
            title = f"{setting['network']}, {report.about_setting(setting)}"
            say(title + (f", compiled: {mode}" if mode else ""))
            found, problem = {}, None if time.monotonic() < self.until else lineup.NO_TIME
            try:
                if not problem:
                    if setting["network"] not in weights:
                        weights[setting["network"]] = random_imagenet(msdcam)
                    found, problem = self.measure(server, weights[setting["network"]], setting, mode)
            except Exception as e:
                traceback.print_exc()
                problem = f"failed: {type(e).__name__}: {e}"
            self.add(setting, mode, names, found, problem)
            self.write()

    def add(self, setting, mode, names, found, problem):
        rows = {row["name"]: row for row in found.get("rows", [])}
        for name, computes in names:
            row = rows.setdefault(name, {"name": name, "computes": computes, "versions": {}, "largest_error": {}})
            if "median_ms" not in row and row.get("problem", "unfinished") == "unfinished":
                row["problem"] = problem or "failed: no result"
        if problem:
            say(f"  {problem}")
            setting["problems"] += [f"{mode}: {problem}" if mode else problem]
        learn(self.about, found)
        merge(setting, found | {"rows": list(rows.values())}, mode)

    def measure(self, server, weights, setting, mode):
        """The last results that the setting's process wrote, and what went wrong with it."""
        a = self.args
        words = [sys.executable, WORKER, "--weights", weights, "--server", server]
        words += ["--device", a.device, "--torch-device", a.torch_device]
        words += ["--threads", setting["threads"], "--batch", setting["batch"]]
        words += ["--rounds", a.rounds, "--seconds", a.seconds, "--until", self.until]
        words += ["--torch", name] if (name := a.torch_names.get(setting["network"])) else []
        words += (["--compile", mode] if mode else []) + (["--only", *a.only] if a.only else [])
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(CACHE / "inductor")}
        environment |= lineup.ISAS.get(setting.get("isa"), {})
        pinned = cores(setting["threads"])

        def prepare():
            os.setpgid(0, 0)  # to be killed with its children
            if a.device == "cpu":
                os.sched_setaffinity(0, pinned)

        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "results.json"
            words = [str(word) for word in [*words, "--out", out]]
            self.process = process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=sys.__stderr__, env=environment, preexec_fn=prepare
            )
            late = False
            try:
                limit = None if self.until == float("inf") else max(0.0, self.until + GRACE - time.monotonic())
                process.wait(limit)
            except subprocess.TimeoutExpired:
                late = True
            self.kill()
            self.process, code = None, process.wait()
            found = json.loads(out.read_text()) if out.exists() else {}
        if self.stopped:
            return found, "stopped: told to end"
        if late:
            return found, f"stopped: still at work {GRACE} s after the time limit"
        return found, f"failed: its process ended with code {code}" if code else None

    def path(self):
        if self.args.json:
            return self.args.json
        if self.args.quick or self.args.only or self.about.get("rehearsal"):
            return CACHE / "quick.json"
        name = report.slug(self.about.get("gpu") or (self.about["cpu"] if self.args.device == "cpu" else "gpu"))
        return ROOT / f"benches/results/{'onnx' if self.args.model else 'peers'}-{name}.json"

    def write(self):
        path, results = self.path(), {"machine": self.about, "how": self.how, "settings": self.settings}
        path.parent.mkdir(parents=True, exist_ok=True)
        files = {path: as_json, path.with_suffix(".md"): report.table, path.with_suffix(".svg"): report.picture}
        for file, text in files.items():
            part = path.with_suffix(".part")
            try:
                part.write_text(text(results))
                os.replace(part, file)
            except Exception:
                # A picture that cannot be drawn must not lose the numbers of the next setting.
                traceback.print_exc()
                self.failed = True
        return results


def as_json(results):
    return json.dumps(results, indent=1) + "\n"


def export(folder, names):
    """Files for --model; 1 if one is missing. A network whose package is not installed is left out."""
    import models  # imports PyTorch, which nothing else here needs

    code = 0
    for name in names:
        try:
            if not models.is_known(name):
                raise ValueError("no such network")
            say(f"{models.write(name, folder)}")
        except ModuleNotFoundError as e:
            say(f"left out: {name}: not here: {e}")
        except Exception as e:
            say(f"left out: {name}: failed: {type(e).__name__}: {e}")
            code = 1
    return code


def main(arguments=None):
    p = argparse.ArgumentParser(prog="benches/peers/run", description=__doc__)
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    p.add_argument("--torch-device", choices=["cpu", "cuda"],
                   help="PyTorch's; cpu with --device cuda rehearses on the stand-in driver")  # fmt: skip
    p.add_argument("--quick", action="store_true", help="batch 1, all threads, short turns")
    p.add_argument("--compile", nargs="+", choices=lineup.COMPILED, default=[], metavar="MODE",
                   help="also torch.compile's rows (minutes each): " + ", ".join(lineup.COMPILED))  # fmt: skip
    p.add_argument("--json", type=Path, metavar="FILE", help="where the results go; .md and .svg beside it")
    p.add_argument("--weights", type=Path, default=ROOT / "weights/cifar10/msdnet_cifar10.safetensors",
                   help="the CIFAR network, as `msdcam convert` wrote it")  # fmt: skip
    p.add_argument("--networks", nargs="+", choices=["cifar", "imagenet"], default=["cifar", "imagenet"])
    p.add_argument("--model", nargs="+", action="extend", type=Path, default=[], metavar="FILE.onnx",
                   help="instead of these networks: classifiers in ONNX files")  # fmt: skip
    p.add_argument("--torch", nargs="+", action="extend", default=[], metavar="NAME",
                   help="PyTorch's network of each --model, or none; default: by the file's name. With --export: "
                        "those to export, any of benches/onnx_table.py")  # fmt: skip
    p.add_argument("--export", type=Path, metavar="DIR",
                   help="write ONNX files of PyTorch's networks for --model, and measure nothing: " + ", ".join(lineup.NETWORKS))  # fmt: skip
    p.add_argument("--isa", nargs="+", choices=list(lineup.ISAS), default=[None],
                   help="instruction sets to which to hold the CPU; ONNX Runtime cannot be held to any")  # fmt: skip
    p.add_argument("--batches", nargs="+", type=int, help="default: 1 and 64, for ImageNet 1 and 8, with --model 1 and 16")
    p.add_argument("--threads", nargs="+", type=int, help="default: 1 and 2")
    p.add_argument("--rounds", type=int, default=5, help="turns that each peer gets, at least 5")
    p.add_argument("--seconds", type=float, help="length of a turn; default 1, with --quick 0.1")
    p.add_argument("--seconds-limit", type=float, metavar="S",
                   help="after so long nothing is begun any more, and what there is is written")  # fmt: skip
    p.add_argument("--only", nargs="+", metavar="WORD", default=[], help="peers with one of these in their name")
    a = p.parse_args(arguments)
    if a.rounds < 5:
        p.error("--rounds is at least 5")
    a.seconds = a.seconds or (0.1 if a.quick else 1.0)
    a.torch_device = a.torch_device or a.device
    if a.device == "cpu" and a.torch_device == "cuda":
        p.error("--torch-device cuda needs --device cuda")
    if a.export:
        return export(a.export, a.torch or lineup.NETWORKS)
    if a.torch and len(a.torch) != len(a.model):
        p.error("--torch needs as many names as there are files")
    if missing := [model for model in a.model if model.suffix != ".onnx" or not model.is_file()]:
        p.error(f"no ONNX file: {missing[0]}")
    stems = [model.stem for model in a.model]
    if len({*stems, *report.NETWORKS}) < len(stems) + len(report.NETWORKS):
        p.error("the files' names are those of the networks: they have to differ")
    a.torch_names = dict(zip(stems, a.torch))
    if a.compile and a.model:
        p.error("there are no compiled rows with --model")
    if a.isa != [None] and a.device != "cpu":
        p.error("--isa is for --device cpu")
    if not any(lineup.chosen(a.device, mode, a.only, bool(a.model)) for mode in [None, *a.compile]):
        p.error("--only leaves no row; compiled ones need --compile")
    about = machine(a.device, a.torch_device)
    one_setting = a.device == "cuda" or a.quick or about["cpus"] == 1
    a.threads = a.threads or ([min(2, about["cpus"])] if one_setting else [1, 2])

    run = Run(a, about)
    programs = build()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, run.stop)
    run.everything(*programs)
    print(report.table(run.write()))
    say(f"written: {run.path()}, and .md and .svg beside it")
    problems = [problem for s in run.settings for problem in s["problems"]]
    rows = [(s, row) for s in run.settings for row in s["rows"]]
    for s, row in rows:
        if "problem" in row:
            say(f"left out: {s['network']}, {report.about_setting(s)}: {row['name']}: {row['problem']}")
            problems.append(row["problem"])
    measured = any(report.timed(row) for _, row in rows)
    bad = run.failed or run.stopped or not measured or any("not here" not in problem for problem in problems)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
