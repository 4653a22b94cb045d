"""The first step of a visit: what is here."""

import shutil
import subprocess

from server import Server
from visit import Absent, Failed


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
