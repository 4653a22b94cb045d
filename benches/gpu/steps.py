"""The steps of a visit, in order of worth. Each writes figures and keeps its files; it raises Failed
where a result is wrong, and Absent where something that it needs is not here."""

import csv
import json
import re
import shutil
import statistics
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from files import KIT, PHOTO, ROOT, WORK, read_json, write_json
from server import Server
from visit import Absent, Failed, Unfinished

LARGEST_ERROR = 1e-4  # of logits on the GPU against the CPU's, as a share of the largest magnitude
MAPS_OFF = 0.01  # of all maps, at least one: where a ReLU's input is zero but for rounding, both answers are right

# One build in several ways (words of msdcam::cuda::Variant); all must give the same bits, but for those of
# another compiler.
VARIANTS = {
    "built-in": "",
    "compiled": "kernels=compiled",
    "stream": "launches=stream",
    "split": "tiling=split",
    "whole": "tiling=whole",
}
OTHER_COMPILER = ["compiled"]


def nvidia_smi(*fields):
    """The named fields of the first GPU, as nvidia-smi writes them."""
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Failed(f"nvidia-smi: {e}") from None
    if done.returncode or not done.stdout.strip():
        raise Failed(f"nvidia-smi ended with {done.returncode}: {(done.stderr or done.stdout).strip()[:200]}")
    return dict(zip(fields, (value.strip() for value in done.stdout.splitlines()[0].split(",")), strict=False))


def repeats(visit, batch):
    """Runs back to back between two readings of the GPU's clock."""
    return max(min(10, visit.scale.repeats), visit.scale.repeats // batch)


# ---- what is here, and whether it works ----


def machine(visit):
    """GPU, driver, tools, and a process that holds the GPU's context so that the others start quickly."""
    facts = visit.results["machine"]
    code = "import torch, sys; print(torch.__version__, torch.version.cuda, torch.cuda.is_available(), sys.executable)"
    visit.torch_process = visit.start([visit.python, "-c", code], "torch")
    holder = Server(visit, 1, name="holder")
    visit.background.append(holder.process)
    holder.stop_listening()
    facts["device"] = holder.ready["device"]
    facts["kernels"] = holder.ready["kernels"]
    facts |= nvidia_smi("name", "driver_version")
    try:
        facts |= nvidia_smi("memory.total", "clocks.sm", "clocks.max.sm", "clocks.mem", "persistence_mode", "pcie.link.gen.current")
    except Failed as e:
        facts["nvidia_smi"] = str(e)
    for tool in ("nvcc", "ncu", "compute-sanitizer"):
        facts[tool] = shutil.which(tool)
    for name, command in {
        "glibc": ["ldd", "--version"],
        "loader_nvrtc": ["sh", "-c", "ldconfig -p | grep -i nvrtc || true"],
        "cpu": ["sh", "-c", "grep -m1 'model name' /proc/cpuinfo; nproc"],
        "kernel": ["uname", "-r"],
    }.items():
        facts[name] = visit.run(command, 10, name=name).stdout.strip().splitlines()[:4]
    ask_torch(visit)  # its import takes long where disks are cold, and would disturb what is timed


def ask_torch(visit):
    """What PyTorch says of itself, asked once; None where there is none."""
    facts = visit.results["machine"]
    if "torch" not in facts:
        done = visit.wait(visit.torch_process)
        facts["torch"] = done.stdout.strip() if done.code == 0 else None
    return facts["torch"]


def torch(visit):
    """Raises Absent where there is no PyTorch, or one without a GPU."""
    said = ask_torch(visit)
    if not said:
        raise Absent(f"no PyTorch in {visit.python}")
    if " True " not in said and not visit.scale.rehearsal:
        raise Absent(f"PyTorch in {visit.python} sees no GPU: {said}")


def smoke(visit):
    """The README's first command on the GPU, beside the CPU; then every number of one batch."""
    records, seconds = {}, {}
    for device in ("cuda", "cpu"):
        out = WORK / f"smoke-{device}"
        begun = time.monotonic()
        visit.succeed([visit.programs / "msdcam", "explain", PHOTO, "--device", device, "-o", out, *visit.network])
        seconds[device] = round(time.monotonic() - begun, 2)
        records[device] = json.loads((out / "results.jsonl").read_text())
    shutil.copy(WORK / "smoke-cuda/chelsea_strip.png", visit.folder())
    shutil.copy(WORK / "smoke-cuda/results.jsonl", visit.folder())
    classes = {device: [exit["class"] for exit in record["exits"]] for device, record in records.items()}
    if classes["cuda"] != classes["cpu"]:
        raise Failed(f"classes differ: {classes['cuda']} on the GPU, {classes['cpu']} on the CPU")
    errors, compared = [], {}
    for batch in visit.scale.batches:
        with Server(visit, batch) as server:
            answer = compared[batch] = server.ask("compare")
        write_json(visit.folder() / "compare.json", compared)
        error, at = answer["logits"]["largest_error"], answer["logits"]["at"]
        if not isinstance(error, float | int) or not error <= LARGEST_ERROR:
            raise Failed(f"batch {batch}: logits are {error} off the CPU's at {at}")
        if answer["classes_differ"]:
            raise Failed(f"batch {batch}: {answer['classes_differ']} classes differ from the CPU's")
        if answer["maps_off"] > max(1, MAPS_OFF * answer["maps"]):
            rest = answer["rest"]
            raise Failed(f"batch {batch}: {answer['maps_off']} of {answer['maps']} maps are off, {rest['largest_error']} at {rest['at']}")
        errors.append(error)
    visit.figure("smoke.explain_seconds", seconds["cuda"], "s")
    visit.figure("smoke.largest_error_of_logits", max(errors), "")
    return {"seconds": seconds, "compared": compared}


def smoke_failed(visit):
    return any(s["name"] == "smoke" and s["status"] != "passed" for s in visit.results["steps"])


def floors(visit):
    """What the chip itself costs; benches/floors."""
    file = visit.folder() / "floors.json"
    command = [visit.programs / "floors", "--json", file]
    # On the stand-in its own compiler makes the kernels.
    command += ["--short"] if visit.scale.rehearsal else ["--cubin", visit.programs / "floors.cubin"]
    done = visit.run(command)
    if not file.exists():
        raise Failed(f"floors ended with {done.code}: {(done.stderr.strip() or 'nothing').splitlines()[-1][:200]}")
    rows = read_json(file)["rows"]
    for row in rows:
        if row.get("ok") and row.get("value") is not None:
            visit.figure(f"floors.{row['name']}", row["value"], row["unit"])
    wrong = [row["name"] for row in rows if not row.get("ok")]
    if done.code or wrong or not rows:
        raise Failed(f"{len(wrong)} of {len(rows)} rows: {', '.join(wrong)[:150]}; exit code {done.code}")


# ---- our own times ----


def variants(batch_index):
    def step(visit):
        batch = visit.scale.batches[batch_index]
        servers, hashes, times, absent, broken = {}, {}, {}, [], []
        try:
            for name, words in VARIANTS.items():
                try:
                    servers[name] = Server(visit, batch, words, name=f"serve-{name}")
                    hashes[name] = servers[name].ask("hash")["sha256"]
                except Failed as e:
                    (absent if "no NVRTC" in str(e) else broken).append(f"{name}: {e}")
                    servers.pop(name, None)
            times = {name: [] for name in servers}
            for turn in range(visit.scale.rounds):
                names = list(servers)[:: -1 if turn % 2 else 1]
                for name in names[turn % len(names) :] + names[: turn % len(names)]:
                    ms = servers[name].ask(f"grad_cam {visit.scale.seconds / len(names)}")["ms"]
                    times[name] += ms[1:] or ms  # the first brings the caches back
            for name, server in servers.items():
                visit.figure(f"variants.batch_{batch}.{name}.p50", statistics.median(times[name]), "ms")
                device = server.ask(f"device {repeats(visit, batch)}")["device_ms"]
                visit.figure(f"variants.batch_{batch}.{name}.device", device, "ms")
        finally:
            for server in servers.values():
                server.close()
            write_json(visit.folder() / "variants.json", {"batch": batch, "sha256": hashes, "ms": times})
        odd = [name for name, hash in hashes.items() if hash != hashes.get("built-in")]
        broken += [f"{name}: other bits than built-in" for name in odd if name not in OTHER_COMPILER]
        if broken:
            raise Failed("; ".join(broken)[:300])
        kernels = {name: server.ready["kernels"] for name, server in servers.items()}
        return {"kernels": kernels, "absent": absent, "other_bits": odd}

    return step


def bench(batch_index):
    """Latency of every exit and of all, and throughput, as msdcam bench measures them."""

    def step(visit):
        batch = visit.scale.batches[batch_index]
        file = visit.folder() / f"bench-{batch}.json"
        command = [visit.programs / "msdcam", "bench", "--device", "cuda", "--quiet", "--batch", batch, "--json", file]
        command += ["--seconds", visit.scale.bench_seconds, *visit.network]
        command += ["--picture", visit.folder() / "bench.svg"] if batch == 1 else ["--exits", "all"]
        visit.succeed(command)
        report = read_json(file)
        rows = {"all": report["all_exits"]} | {f"exit_{e['exit']:02}": e for e in report["exits"]}
        for row, both in rows.items():
            for what in ("forward", "grad_cam"):
                for key, unit in (("p50_ms", "ms"), ("p99_ms", "ms"), ("device_ms", "ms"), ("images_per_s", "images/s")):
                    visit.figure(f"bench.batch_{batch}.{row}.{what}.{key.removesuffix('_ms')}", both[what][key], unit)

    return step


def levels(visit):
    """Time of each level of the plan where it stands, and of kinds of levels together."""
    for batch in (visit.scale.batches[0], visit.scale.batches[-1]):
        with Server(visit, batch) as server:
            rows = server.ask(f"levels {repeats(visit, batch)}")["levels"]
        write_json(visit.folder() / f"levels-{batch}.json", rows)
        kinds = {"cam": 0.0, "tail": 0.0, "convolution": 0.0}
        for row in rows:
            ops = set(row["ops"])
            kind = "cam" if ops & {"cam", "heat"} else "tail" if ops & {"linear", "softmax", "seed"} else "convolution"
            kinds[kind] += row["ms"] * 1e3
        for kind, us in kinds.items():
            visit.figure(f"levels.batch_{batch}.{kind}", us, "us")
        visit.figure(f"levels.batch_{batch}.all", rows[-1]["prefix_ms"] * 1e3, "us")


def same_bits(visit):
    """Images in smaller batches, and the same batch twice, have the same bits."""
    with Server(visit, visit.scale.batches[-1]) as server:
        twice = [server.ask("hash")["sha256"] for _ in range(2)]
        differ = server.ask("same_bits " + " ".join(map(str, visit.scale.same_bits)))["differ"]
    if twice[0] != twice[1] or differ:
        raise Failed(f"other bits in batches of {differ}; the same batch twice: {'equal' if twice[0] == twice[1] else 'differs'}")


def parity(program):
    def step(visit):
        command = [visit.programs / program, "--test-threads", 1]
        if visit.scale.one_test:
            some = {"cuda": "the_device_says", "ops": "every_device_says", "network": "a_class_given", "random_graphs": "agree"}
            command.append(some[program])
        done = visit.run(command, MSDCAM_CUDA_TESTS="standin" if visit.scale.rehearsal else "gpu")
        found = re.search(r"test result: (\w+)\. (\d+) passed; (\d+) failed", done.stdout)
        if not found or found[1] != "ok" or done.code:
            failed = re.findall(r"^test (\S+) \.\.\. FAILED", done.stdout, re.M)
            raise Failed(f"exit code {done.code}, failed: {', '.join(failed) or 'no result'}")
        if int(found[2]) == 0:
            raise Failed("no test ran")
        skipped = re.findall(r"^skipped: (.*)", done.stderr, re.M)
        return {"passed": int(found[2]), "skipped": skipped}

    return step


# ---- others, and the profiler ----


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


TRAFFIC = {"lts__t_sectors_op_read.sum": "l2_read", "lts__t_sectors_op_read_lookup_miss.sum": "l2_read_miss"}
SECTOR = 32  # bytes


def counters(visit):
    """Hardware counters of each level's kernel at batch 1, in the second run of a warm program, by Nsight
    Compute: traffic in one pass, so that caches are as they are without it; then whole sections, whose
    passes run each kernel again and again."""
    if not shutil.which("ncu"):
        raise Absent("no ncu")
    with Server(visit, 1) as server:
        levels = server.ready["levels"]
    sections = ["SpeedOfLight", "WarpStateStats", "MemoryWorkloadAnalysis", "LaunchStats"]
    asked = {
        "traffic": ["--metrics", ",".join(["gpu__time_duration.sum", *TRAFFIC])],
        "sections": [word for section in sections for word in ("--section", section)],
    }
    for name, words in asked.items():
        file = visit.folder() / f"{name}.csv"
        command = ["ncu", "--clock-control", "none", "--cache-control", "none", "--kernel-name", "level", "--launch-skip", levels]
        command += ["--launch-count", levels, "--csv", "--page", "raw", "--print-units", "base", *words, "--log-file", file]
        done = visit.run([*command, visit.programs / "serve", visit.weights, "cuda", 1, 1, "launches=stream"], stdin="hash\nhash\n")
        lines = file.read_text().splitlines() if file.exists() else []
        table = list(csv.DictReader([line for line in lines if line.startswith('"')]))
        units, rows = (table[0] if table else {}), table[1:]
        if len(rows) != levels:
            said = (lines or done.stderr.splitlines() or ["nothing"])[-1]
            raise Failed(f"ncu ended with {done.code} and {len(rows)} of {levels} kernels in {file.name}: {said[:200]}")
        if name == "traffic":
            for metric, figure in TRAFFIC.items():
                if units.get(metric) != "sector":
                    raise Failed(f"{metric} is in {units.get(metric)!r}, not in sectors")
                total = sum(float(row[metric].replace(",", "")) for row in rows)
                visit.figure(f"counters.{figure}", total * SECTOR / 1e6, "MB")


# ---- memory and races ----

NO_ERRORS = r"ERROR SUMMARY: 0 errors|RACECHECK SUMMARY: 0 hazards displayed \(0 errors, 0 warnings\)"


def sanitizer(tool, command=None):
    def step(visit):
        if not shutil.which("compute-sanitizer"):
            raise Absent("no compute-sanitizer")
        test = [visit.programs / "cuda", "print_hash", "--exact", "--include-ignored"]
        kind = "standin" if visit.scale.rehearsal else "gpu"
        lines = {} if visit.scale.rehearsal else {"MSDCAM_CUBIN": visit.programs / "line_info.cubin"}
        program = command(visit) if command else test
        done = visit.run(["compute-sanitizer", "--tool", tool, *program], MSDCAM_CUDA_TESTS=kind, **lines)
        said = done.stdout + done.stderr
        summary = re.findall(r"=+ (.*SUMMARY.*)", said)
        if not summary:
            last = (said.strip() or "nothing").splitlines()[-1]
            raise Unfinished(f"compute-sanitizer ended with {done.code} and no summary: {last[:200]}")
        if not re.search(NO_ERRORS, said):
            raise Failed(summary[-1][:200])
        if done.code or not command and " 1 passed" not in said:
            raise Unfinished(f"the program under compute-sanitizer ended with {done.code}")

    return step


def smoke_command(visit):
    return [visit.programs / "msdcam", "explain", PHOTO, "--device", "cuda", "-o", WORK / "memcheck", *visit.network]


def memcheck_of_failed_smoke(visit):
    """What is wrong, where the smoke test failed."""
    if not smoke_failed(visit):
        raise Absent("the smoke test passed")
    sanitizer("memcheck", smoke_command)(visit)


def soak(visit):
    """The same run again and again: equal bits each time."""
    with Server(visit, 1) as server:
        answer = server.ask(f"soak {visit.scale.soak} {max(1.0, visit.limit - time.monotonic() - 10)}")
    visit.figure("soak.runs", answer["runs"], "runs")
    if answer["differ"]:
        raise Failed(f"{answer['differ']} of {answer['runs']} runs have other bits")


# ---- training ----

LEAST_TRAINING = 2  # minutes, loading and warming up included


def start_training(visit):
    """Training in the background until the visit's end: what follows needs no quiet GPU."""
    data, out = KIT / "data", WORK / "training"
    torch(visit)
    if not (data / "train.tar.xz").exists():
        raise Absent("no training images in the kit")
    out.mkdir(exist_ok=True)
    if not list(out.glob("state-*")) and (KIT / "state.tar.xz").exists():
        with tarfile.open(KIT / "state.tar.xz") as tar:
            for member in tar:
                (out / Path(member.name).name).write_bytes(tar.extractfile(member).read())
    minutes = visit.left() / 60 - 0.75
    if minutes < LEAST_TRAINING and not visit.scale.rehearsal:
        raise Absent(f"no time left: it needs {LEAST_TRAINING} minutes")
    words = ["--train", data / "train.tar.xz", "--test", data / "test.tar.xz", "--out", out]
    words += ["--fit"] if visit.fit or visit.scale.rehearsal else []
    if visit.scale.rehearsal:
        minutes = 1
        words += "--device cpu --threads 1 --exits 2 --channels 4 --growth 2 --base 2 --step 1 --lr 0.1".split()
        words += "--train-images 256 --test-images 100 --batch 64 --epochs 3".split()
    words += ["--minutes", f"{minutes:.2f}", "--piece-mb", 15]
    visit.training = visit.start([visit.python, ROOT / "weights/train.py", *words], "train")
    visit.background.append(visit.training)


def training_self_test(visit):
    """On the GPU: replayed training steps against eager ones."""
    torch(visit)
    test = "Gpu.test_replayed_steps_equal_eager_ones"
    done = visit.succeed([visit.python, ROOT / "weights/self_test.py", test], MSDCAM=visit.programs / "msdcam")
    if not visit.scale.rehearsal and "skipped" in done.stderr:
        raise Failed("skipped on a machine with a GPU")


def training(visit):
    """Waits for the training, and keeps what it wrote."""
    process = getattr(visit, "training", None)
    if process is None:
        raise Absent("no training was started")
    done = visit.wait(process)
    out = WORK / "training"
    for name in ("log.jsonl", "log.md", "summary.json"):
        if (out / name).exists():
            shutil.copy(out / name, visit.folder())
    visit.collect()
    facts = read_json(out / "summary.json") if (out / "summary.json").exists() else {}
    if visit.results["what"] == "train":  # else other steps had a part of the GPU
        for key, unit in (("seconds_per_epoch", "s"), ("images_per_s", "images/s")):
            if facts.get(key):
                visit.figure(f"training.{key}", facts[key], unit)
    for exit, percent in enumerate(facts.get("test") or [], 1):
        visit.figure(f"training.exit_{exit:02}", percent, f"% of {facts['test_images']} images")
    if done.code is None:
        raise Unfinished("train.py did not end in its time")
    if done.code:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise Failed(f"train.py ended with {done.code}: {said[:200]}")
    return facts


# ---- the list ----


@dataclass(frozen=True)
class Step:
    """`limit`: seconds it may take; `least`: with less it is not begun; `of`: the visits that have it."""

    name: str
    run: Callable
    limit: float
    least: float = 5
    of: tuple = ("checks", "all")


STEPS = [
    Step("machine", machine, 120, of=("checks", "train", "all")),
    Step("smoke", smoke, 60, of=("checks", "train", "all")),
    Step("memcheck_of_smoke", memcheck_of_failed_smoke, 90, of=("checks", "train", "all")),
    Step("floors", floors, 50),
    Step("variants_1", variants(0), 60, 10),
    Step("bench_1", bench(0), 40, 10),
    Step("levels", levels, 40, 10),
    Step("parity_cuda", parity("cuda"), 60, 30),
    Step("parity_ops", parity("ops"), 60, 30),
    Step("parity_network", parity("network"), 60, 30),
    Step("parity_random_graphs", parity("random_graphs"), 60, 30),
    Step("same_bits", same_bits, 30, 10),
    Step("bench_32", bench(1), 30, 10),
    Step("bench_256", bench(2), 30, 10),
    Step("variants_256", variants(2), 60, 10),
    Step("peers", peers, 130, 40),
    Step("counters", counters, 75, 20),
    Step("training_self_test", training_self_test, 90, 20, of=("train", "all")),
    Step("start_training", start_training, 30, of=("train", "all")),
    Step("memcheck", sanitizer("memcheck"), 60, 10),
    Step("racecheck", sanitizer("racecheck"), 60, 10),
    Step("synccheck", sanitizer("synccheck"), 45, 10),
    Step("initcheck", sanitizer("initcheck"), 45, 10),
    Step("soak", soak, 75, 20),
    Step("reduce_overhead", reduce_overhead, 150, 60, of=("checks",)),
    Step("training", training, 1e6, -1e6, of=("train", "all")),
]
AFTER_FAILED_SMOKE = ["machine", "smoke", "memcheck_of_smoke", "floors", "start_training", "training_self_test", "training"]


def chosen(what, names):
    """The steps of a visit of kind `what`, or those of these names; what is here is always asked first."""
    return [s for s in STEPS if (s.name in names or s.name == "machine" if names else what in s.of)]
