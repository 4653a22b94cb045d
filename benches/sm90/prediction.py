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
NETWORKS = {"cifar": ROOT / "weights/cifar10/msdnet_cifar10.safetensors", "imagenet": "random-imagenet"}
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
    """Gives each launch's jobs their mode and a label: a convolution's shape, or the ops of a chain."""
    for k, launch in enumerate(launches):
        chains = []
        for job in launch["jobs"]:
            job["mode"], facts = abi.job_facts(bytes.fromhex(job["row"]))
            if job["mode"] == "chain":
                chains.append((facts["first_step"], job))
                continue
            slices = f"{facts['slices']} slices" + (f" in groups of {facts['group']}" if facts["slices"] > facts["group"] else "")
            shape = f"{facts['in_c']}x{facts['in_h']}x{facts['in_w']} to {facts['out_c']} channels at {facts['pixels']} places"
            job["label"] = f"{shape}, {slices}"
        # A level's chains are in the order of its plan, but the launch's jobs are not.
        ops = [ops for ops in plan[k] if ops[0] not in CONVOLUTIONS] if len(plan) == len(launches) else []
        for n, (_, job) in enumerate(sorted(chains, key=lambda chain: chain[0])):
            job["label"] = label(ops[n]) if len(ops) == len(chains) else "chain"


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
