"""One run of a network on the machine code, and what it is predicted to take."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import abi
import programs
from programs import ROOT

LATENCIES = ROOT / "benches/sm90/latencies"
NETWORKS = {"cifar": ROOT / "weights/msdnet_cifar10.safetensors", "imagenet": "random-imagenet"}
CONVOLUTIONS = {"conv2d", "conv2d_grad"}


class Wrong(Exception):
    """The machine code does not run, or its results are not the CPU's."""


def latencies(path=LATENCIES):
    lines = (line.split("#")[0].split() for line in Path(path).read_text().splitlines())
    return {words[0]: float(words[1]) for words in lines if len(words) == 2}


def predict(serve, network, batch, cubin, *, variant="", lines="", sample=0, timed=True, numbers=LATENCIES):
    """Runs `network` once under the stand-in. Returns its plan (the ops of each job of each level), the comparison with the
    CPU (none where blocks are left out), and a record for each launch."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        env = os.environ | {"STANDIN_SM90": programs.folder("nvdisasm"), "STANDIN_TIMEOUT": "0"}
        env.pop("MSDCAM_CUBIN", None)
        if timed:
            env |= {"STANDIN_SM90_REPORT": str(report), "STANDIN_SM90_LATENCIES": str(numbers)}
            env |= {"STANDIN_SM90_JOBS": abi.job_table(), "STANDIN_SM90_LINES": lines}
            if sample:
                env["STANDIN_SM90_SAMPLE"] = str(sample)
        words = ",".join(word for word in (f"kernels={cubin}", "launches=stream", variant) if word)
        command = [ROOT / "tests/standin/run", serve, NETWORKS.get(network, network), "cuda", "0", str(batch), words]
        lines = "plan\ngrad_cam 0\n" if sample else "plan\ncompare\n"
        done = subprocess.run([str(word) for word in command], input=lines, capture_output=True, text=True, env=env, cwd=ROOT)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode != 0 or len(answers) < 3 or "error" in answers[2]:
            raise Wrong("\n".join(filter(None, [done.stderr.strip(), *(str(a["error"]) for a in answers if "error" in a)])))
        launches = [json.loads(line) for line in report.read_text().splitlines()] if timed else []
    return answers[1]["plan"], None if sample else answers[2], launches


# Largest error relative to the largest magnitude of an output; maps that hang on a rounding may differ more.
MOST_ERROR = 1e-5


def problem_of(comparison):
    """What is wrong with a comparison; empty if nothing is."""
    logits = comparison["logits"]["largest_error"]
    if isinstance(logits, str) or logits > MOST_ERROR:
        return f"logits: {logits} at {comparison['logits']['at']}"
    rest = comparison["rest"]["largest_error"]
    # As in benches/serve.rs: a ReLU whose input is within rounding of zero is arbitrary.
    if isinstance(rest, str) or comparison["maps_off"] > max(1, comparison["maps"] // 50):
        return f"maps: {comparison['maps_off']} of {comparison['maps']} are off; {rest} at {comparison['rest']['at']}"
    return ""


def label(ops):
    """A job's ops in a few words: runs of one op are counted."""
    words = []
    for op in ops:
        if words and words[-1][0] == op:
            words[-1][1] += 1
        else:
            words.append([op, 1])
    text = "+".join(op if count == 1 else f"{op}x{count}" for op, count in words)
    return text if len(text) <= 60 else text[:57] + "..."


def name_jobs(plan, launches):
    """Gives each launch its level and each of its jobs a label, as far as plan and launches agree."""
    layout, modes = abi.structures()("Job"), abi.modes()
    for k, launch in enumerate(launches):
        jobs = plan[k] if len(plan) == len(launches) else []
        each_step = [[op] for ops in jobs for op in ops] if jobs else []
        split = [part for ops in jobs for part in ([[op] for op in ops] if ops[0] in CONVOLUTIONS else [ops])]
        names = next((names for names in (jobs, split, each_step) if len(names) == len(launch["jobs"])), None)
        every = sorted({op for ops in jobs for op in ops})
        for n, job in enumerate(launch["jobs"]):
            row = layout.numbers(bytes.fromhex(job["row"]))
            mode = row.get("mode")
            job["mode"] = modes[mode] if mode is not None and mode < len(modes) else ""
            job["label"] = label(names[n]) if names else f"one of {', '.join(every)}" if every else f"job {n + 1}"


def summary(launches, numbers):
    """Predicted times in microseconds, and counts."""
    clock = numbers["clock_ghz"] * 1e3
    body = sum(launch["cycles"] for launch in launches) / clock
    ffma = sum(launch["ffma"] for launch in launches)
    return {
        "body_us": round(body, 2),
        "total_us": round(body + len(launches) * numbers["launch_gap_us"] + numbers["fixed_us"], 2),
        "launches": len(launches),
        "warp_instructions": sum(launch["instructions"] for launch in launches),
        "warp_ffma": ffma,
        "issue_bound_us": round(sum(launch["issue_cycles"] for launch in launches) / clock, 2),
        "ffma_bound_us": round(ffma / (4 * numbers["multiprocessors"]) / clock, 2),
    }
