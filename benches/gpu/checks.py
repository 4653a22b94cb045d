"""Steps that show that answers are right: the smoke test, the tests, compute-sanitizer, equal bits. Each raises
Failed where a result is wrong, Unfinished where there is none, Absent where what it needs is not here."""

import json
import re
import shutil
import time

from build import TESTS
from files import PHOTO, WORK, write_json
from server import Server
from visit import Absent, Failed, Unfinished

LARGEST_ERROR = 1e-4  # of logits on the GPU against the CPU's, as a share of the largest magnitude
MAPS_OFF = 0.01  # of all maps, at least one: where a ReLU's input is zero but for rounding, both answers are right


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


def same_bits(visit):
    """Images in smaller batches, and the same batch twice, have the same bits."""
    with Server(visit, visit.scale.batches[-1]) as server:
        twice = [server.ask("hash")["sha256"] for _ in range(2)]
        differ = server.ask("same_bits " + " ".join(map(str, visit.scale.same_bits)))["differ"]
    if twice[0] != twice[1] or differ:
        raise Failed(f"other bits in batches of {differ}; the same batch twice: {'equal' if twice[0] == twice[1] else 'differs'}")


def parity(module, one_test):
    """The tests of a module; at the shortest scale, those whose name begins with `one_test`."""

    def step(visit):
        tests = f"{module}::{one_test}" if visit.scale.one_test else f"{module}::"
        command = [visit.programs / TESTS, tests, "--test-threads", 1]
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


def soak(visit):
    """The same run again and again: equal bits each time."""
    with Server(visit, 1) as server:
        answer = server.ask(f"soak {visit.scale.soak} {max(1.0, visit.limit - time.monotonic() - 10)}")
    visit.figure("soak.runs", answer["runs"], "runs")
    if answer["differ"]:
        raise Failed(f"{answer['differ']} of {answer['runs']} runs have other bits")


NO_ERRORS = r"ERROR SUMMARY: 0 errors|RACECHECK SUMMARY: 0 hazards displayed \(0 errors, 0 warnings\)"


def sanitizer(tool, command=None):
    def step(visit):
        if not shutil.which("compute-sanitizer"):
            raise Absent("no compute-sanitizer")
        test = [visit.programs / TESTS, "cuda::print_hash", "--exact", "--include-ignored"]
        kind = "standin" if visit.scale.rehearsal else "gpu"
        lines = {} if visit.scale.rehearsal else {"MSDCAM_CUBIN": visit.programs / "line_info.cubin"}
        program = command(visit) if command else test
        done = visit.run(["compute-sanitizer", "--tool", tool, *program], MSDCAM_CUDA_TESTS=kind, **lines)
        said = done.stdout + done.stderr
        summary = re.findall(r"=+ (.*SUMMARY.*)", said)
        if not summary:
            raise Unfinished(f"compute-sanitizer ended with {done.code} and no summary: {done.last_words()}")
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
