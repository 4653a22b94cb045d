"""Measures msdcam beside what people use instead; `run` is the way to start it. See README.md."""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import networks
import report

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".cache/peers"


def say(text):
    print(text, file=sys.stderr, flush=True)


def build():
    """The programs `msdcam` and `serve`, and where cargo put them."""
    command = ["cargo", "build", "--release", "--bin", "msdcam", "--bench", "serve"]
    command += ["--message-format", "json-render-diagnostics"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    messages = [json.loads(line) for line in lines]
    found = {m["target"]["name"]: m["executable"] for m in messages if m.get("executable")}
    return found["msdcam"], found["serve"]


def random_imagenet(msdcam):
    """Weights of the ImageNet network: a checkpoint that PyTorch writes and msdcam converts."""
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


def machine(device):
    def command(*words):
        try:
            return subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None

    fields = [line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line]
    cpu = {name.strip(): value.strip() for name, value in fields}
    about = {
        "cpu": cpu.get("model name", "unknown"),
        "cpu_family": cpu.get("cpu family", "unknown"),
        "cpus": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "rustc": command("rustc", "--version"),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": command("git", "rev-parse", "--short=12", "HEAD"),
        "changed_files": bool(command("git", "status", "--porcelain", "--untracked-files=no")),
        "load_before": os.getloadavg()[0],
    }
    if device == "cuda":
        import torch

        about["gpu"] = torch.cuda.get_device_name()
        about["cuda"] = torch.version.cuda
    return about


def measure(a, server, weights, threads, batch):
    command = [sys.executable, HERE / "worker.py", "--weights", weights, "--server", server]
    command += ["--device", a.device, "--threads", threads, "--batch", batch]
    command += ["--rounds", a.rounds, "--seconds", a.seconds]
    # Compiling takes longer than all measurements of --quick together.
    command += (["--without", "compiled"] if a.quick else []) + (["--only", *a.only] if a.only else [])
    pinned = cores(threads)
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(CACHE / "inductor")}
    pin = (lambda: os.sched_setaffinity(0, pinned)) if a.device == "cpu" else None
    done = subprocess.run(
        [str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=pin
    )
    return json.loads(done.stdout.splitlines()[-1])


def main():
    p = argparse.ArgumentParser(prog="benches/peers/run", description=__doc__)
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    p.add_argument("--quick", action="store_true", help="batch 1, all threads, short turns, nothing compiled")
    p.add_argument("--json", type=Path, metavar="FILE", help="where the results go; .md and .svg beside it")
    p.add_argument("--weights", type=Path, default=ROOT / "weights/msdnet_cifar10.safetensors",
                   help="the CIFAR network, as `msdcam convert` wrote it")  # fmt: skip
    p.add_argument("--networks", nargs="+", choices=["cifar", "imagenet"], default=["cifar", "imagenet"])
    p.add_argument("--batches", nargs="+", type=int, help="default: 1 and 64, for ImageNet 1 and 8")
    p.add_argument("--threads", nargs="+", type=int, help="default: 1 and 2")
    p.add_argument("--rounds", type=int, default=5, help="turns that each peer gets, at least 5")
    p.add_argument("--seconds", type=float, help="length of a turn; default 1, with --quick 0.1")
    p.add_argument("--only", nargs="+", metavar="WORD", default=[], help="peers with one of these in their name")
    a = p.parse_args()
    if a.rounds < 5:
        p.error("--rounds is at least 5")
    a.seconds = a.seconds or (0.1 if a.quick else 1.0)

    about = machine(a.device)
    default_threads = [1, 2] if a.device == "cpu" and about["cpus"] > 1 and not a.quick else [min(2, about["cpus"])]
    say("building msdcam")
    msdcam, server = build()
    settings = []
    for network in a.networks:
        weights = a.weights if network == "cifar" else random_imagenet(msdcam)
        for batch in a.batches or ([1] if a.quick else [1, 64] if network == "cifar" else [1, 8]):
            for threads in a.threads or default_threads:
                say(f"{network}, batch {batch}, {threads} thread{'s'[: threads > 1]}")
                results = measure(a, server, weights, threads, batch)
                settings.append({"network": network, "batch": batch, "threads": threads, **results})
    how = {"device": a.device, "rounds": a.rounds, "seconds_per_turn": a.seconds, "tf32": False}
    results = {"machine": about, "how": how, "settings": settings}

    name = report.slug(about.get("gpu") or about["cpu"])
    whole = not (a.quick or a.only)
    path = a.json or (ROOT / f"benches/results/peers-{name}.json" if whole else CACHE / "quick.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    path.with_suffix(".md").write_text(report.table(results))
    path.with_suffix(".svg").write_text(report.picture(results))
    print(report.table(results))
    say(f"written: {path}, and .md and .svg beside it")
    wrong = [(s["network"], r["name"], r["problem"]) for s in settings for r in s["rows"] if "problem" in r]
    for network, peer, problem in wrong:
        say(f"left out: {network}: {peer}: {problem}")
    return 1 if any(not problem.startswith("not here") for *_, problem in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
