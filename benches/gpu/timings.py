"""Steps that measure: what the chip itself costs, and what msdcam's own runs do."""

import csv
import shutil
import statistics

from files import read_json, write_json
from server import Server
from visit import Absent, Failed, Unfinished

# One build in several ways (words of msdcam::cuda::Variant); all must give the same bits, but for those of
# another compiler.
VARIANTS = {
    "default": "",
    "compiled": "kernels=compiled",
    "stream": "launches=stream",
    "programmatic": "edges=programmatic",
    "branches": "launches=branches",
    "branches_programmatic": "launches=branches,edges=programmatic",
    "kernel_copies": "copies=kernel",
    "all_modes": "launches=branches,edges=programmatic,copies=kernel",
    "small": "tiling=small",
    "large": "tiling=large",
}
OTHER_COMPILER = ["compiled"]


def repeats(visit, batch):
    """Runs back to back between two readings of the GPU's clock."""
    return max(min(10, visit.scale.repeats), visit.scale.repeats // batch)


def floors(visit):
    """What the chip itself costs; benches/floors."""
    file = visit.folder() / "floors.json"
    command = [visit.programs / "floors", "--json", file]
    # On the stand-in its own compiler makes the kernels.
    command += ["--short"] if visit.scale.rehearsal else ["--cubin", visit.programs / "floors.cubin"]
    done = visit.run(command)
    if not file.exists():
        raise Failed(f"floors ended with {done.code}: {done.last_words()}")
    rows = read_json(file)["rows"]
    for row in rows:
        if row.get("ok") and row.get("value") is not None:
            visit.figure(f"floors.{row['name']}", row["value"], row["unit"])
    wrong = [row["name"] for row in rows if not row.get("ok")]
    if done.code or wrong or not rows:
        raise Failed(f"{len(wrong)} of {len(rows)} rows: {', '.join(wrong)[:150]}; exit code {done.code}")


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
        odd = [name for name, hash in hashes.items() if hash != hashes.get("default")]
        broken += [f"{name}: other bits than default" for name in odd if name not in OTHER_COMPILER]
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
            kind = "cam" if ops & {"cam", "resize_min_max"} else "tail" if ops & {"classifier", "linear", "softmax", "one_hot"} else "convolution"
            kinds[kind] += row["ms"] * 1e3
        for kind, us in kinds.items():
            visit.figure(f"levels.batch_{batch}.{kind}", us, "us")
        visit.figure(f"levels.batch_{batch}.all", rows[-1]["prefix_ms"] * 1e3, "us")


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
            said = (lines or [done.last_words()])[-1]
            raise Unfinished(f"ncu ended with {done.code} and {len(rows)} of {levels} kernels in {file.name}: {said[:200]}")
        if name == "traffic":
            for metric, figure in TRAFFIC.items():
                if units.get(metric) != "sector":
                    raise Failed(f"{metric} is in {units.get(metric)!r}, not in sectors")
                total = sum(float(row[metric].replace(",", "")) for row in rows)
                visit.figure(f"counters.{figure}", total * SECTOR / 1e6, "MB")
