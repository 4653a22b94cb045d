"""The gate's checks of the machine code: results, predicted time, size, spills, loops.

    python3 benches/sm90/check.py            compares with expected.json
    python3 benches/sm90/check.py --bless    writes it

Needs g++ and nvdisasm. Without NVRTC the built-in machine code is checked, which another check compares with NVRTC's.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import prediction
import programs
from machine_code import Code
from programs import ROOT

BUILT_IN = ROOT / "kernels/sm_90.cubin"
EXPECTED = Path(__file__).parent / "expected.json"
WITHIN = 0.03  # of the predicted time and of the code's size
# Tests of awkward shapes, which run on the machine code, too.
TESTS = ["ops::", "random_graphs::", "network::logits_maps_and_heatmaps_of_every_exit_equal_those_of_pytorch"]


def machine_code(cubin_program):
    try:
        return programs.machine_code(cubin_program)
    except programs.Missing:
        return BUILT_IN


def facts(serve, cubin, nvdisasm):
    """What is compared with expected.json; prints it."""
    _, comparison, launches = prediction.predict(serve, "cifar", 1, cubin)
    problem = prediction.problem_of(comparison)
    if problem:
        raise prediction.Wrong(f"the ten-exit CIFAR plan at batch 1 is wrong: {problem}")
    totals = prediction.summary(launches, prediction.latencies())
    code = Code(cubin, nvdisasm)
    loops = code.ffma_loops()
    print("innermost loops:      at  instructions  FFMA  LDS  wide LDS  LDG")
    for loop in loops:
        print(f"{loop['at']:#24x}  {loop['instructions']:12}  {loop['ffma']:4}  {loop['lds']:3}  {loop['wide_lds']:8}  {loop['ldg']:3}")
    return {
        "body_us": totals["body_us"],
        "launches": totals["launches"],
        "warp_instructions": totals["warp_instructions"],
        "code_bytes": code.bytes,
        "registers": max(launch["registers"] for launch in launches),
        "spills": code.count("LDL", "STL"),
        "narrow_lds_in_ffma_loops": sum(loop["lds"] for loop in loops),
    }


def problems(found, expected):
    """Sentences about what is not as expected."""
    said = []
    for name in ("body_us", "code_bytes"):
        if abs(found[name] / expected[name] - 1) > WITHIN:
            said.append(f"{name} is {found[name]}, more than {WITHIN:.0%} off the {expected[name]} in expected.json")
    for name in ("registers", "spills", "narrow_lds_in_ffma_loops"):
        if found[name] > expected[name]:
            said.append(f"{name} is {found[name]}, above the {expected[name]} in expected.json")
    return said


def test_on_machine_code(cubin, nvdisasm):
    """The integration tests of small networks and random graphs."""
    env = os.environ | {"STANDIN_SM90": nvdisasm, "MSDCAM_CUBIN": str(cubin), "MSDCAM_CUDA_TESTS": "standin"}
    env.pop("MSDCAM_NVRTC", None)
    words = ["cargo", "test", "--release", "--workspace", "--quiet", "--test", "it", "--", *TESTS]
    if subprocess.run([ROOT / "tests/standin/run", *words], cwd=ROOT, env=env).returncode != 0:
        raise prediction.Wrong("a test fails on the machine code")


def main():
    if sys.argv[1:] not in ([], ["--bless"]):
        sys.exit(__doc__)
    nvdisasm = programs.folder("nvdisasm")
    serve, cubin_program = programs.build("serve", "cubin")
    cubin = machine_code(cubin_program)
    found = facts(serve, cubin, nvdisasm)
    if sys.argv[1:]:
        EXPECTED.write_text(json.dumps(found, indent=2) + "\n")
        print(f"{EXPECTED.relative_to(ROOT)}: {found}")
        return 0
    expected = json.loads(EXPECTED.read_text())
    for name, value in found.items():
        print(f"{name:25} {value:12}   expected {expected[name]}")
    said = problems(found, expected)
    if said:
        print("\n".join(said), "if that is meant: python3 benches/sm90/check.py --bless", sep="\n")
        return 1
    test_on_machine_code(cubin, nvdisasm)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except programs.Missing as e:
        print(f"skipped: machine code on the emulator: {e}")
    except prediction.Wrong as e:
        sys.exit(f"benches/sm90: {e}")
