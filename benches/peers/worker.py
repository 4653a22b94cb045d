"""One setting (network, device, threads, batch): every peer's answers are checked, then all take
turns. A process of its own for each setting, so that no thread pool outlives it."""

import argparse
import json
import statistics
import sys
import time
import warnings
from importlib.metadata import version

import numpy as np
import torch

import libraries
import networks
import one_pass
import ours
import runtimes

FORWARD, GRAD_CAM = "forward", "grad_cam"
# Largest relative error (of a map, or of an exit's logits; in the 2-norm) that f32 arithmetic excuses.
LARGEST_ERROR = {"logits": 1e-4, "heat": 1e-3}
PAUSE = 0.05  # seconds before a turn, in which the last peer's threads stop spinning


def peers(a, net, images, server):
    """Name, packages, what it computes, and what makes it. The first two are ours."""
    cpu, cuda = a.device == "cpu", a.device == "cuda"
    libs, rt, op = libraries, runtimes, one_pass
    every = [
        ("msdcam", [], GRAD_CAM, lambda: ours.Ours(server, GRAD_CAM)),
        ("msdcam, forward only", [], FORWARD, lambda: ours.Ours(server, FORWARD)),
        ("ONNX Runtime", ["onnxruntime"], FORWARD, lambda: rt.OnnxRuntime(net, images, a.threads, a.device)),
        cpu and ("OpenVINO", ["openvino"], FORWARD, lambda: rt.OpenVino(net, images, a.threads, a.device)),
        ("PyTorch, one pass", ["torch"], GRAD_CAM, lambda: op.OnePass(net, images)),
        ("PyTorch, one pass, channels last", ["torch"], GRAD_CAM, lambda: op.OnePass(net, images, True)),
        ("PyTorch, one pass, compiled", ["torch"], GRAD_CAM, lambda: op.Compiled(net, images)),
        cuda and ("PyTorch, one pass, CUDA graph", ["torch"], GRAD_CAM, lambda: op.Captured(net, images)),
        cuda and ("PyTorch, one pass, channels last, CUDA graph", ["torch"], GRAD_CAM,
                  lambda: op.Captured(net, images, True)),
        cuda and ("PyTorch, one pass, compiled, reduce-overhead", ["torch"], GRAD_CAM,
                  lambda: op.Compiled(net, images, "reduce-overhead")),
        cuda and ("PyTorch, one pass, compiled, max-autotune", ["torch"], GRAD_CAM,
                  lambda: op.Compiled(net, images, "max-autotune")),
        ("torchcam", ["torchcam", "torch"], GRAD_CAM, lambda: libs.TorchCam(net, images)),
        ("pytorch-grad-cam", ["grad-cam", "torch"], GRAD_CAM, lambda: libs.PytorchGradCam(net, images)),
        ("captum", ["captum", "torch"], GRAD_CAM, lambda: libs.Captum(net, images)),
        ("the article's procedure", ["torch", "opencv-python-headless"], GRAD_CAM, lambda: libs.Article(net, images)),
    ]  # fmt: skip

    def wanted(name):
        named = [any(word.lower() in name.lower() for word in words) for words in (a.only, a.without)]
        return name.startswith("msdcam") or (named[0] or not a.only) and not named[1]

    return [peer for peer in every if peer and wanted(peer[0])]


def relative_errors(found, right):
    """For each image and exit; NaN counts as infinite, an empty map has to be empty."""
    assert found.shape == right.shape, (found.shape, right.shape)
    axes = tuple(range(2, right.ndim))
    norm = np.sqrt((right**2).sum(axes))
    off = np.sqrt(((found.astype(np.float64) - right) ** 2).sum(axes))
    error = np.where(norm > 0, off / np.where(norm > 0, norm, 1), np.where(off > 0, np.inf, 0))
    return np.nan_to_num(error, nan=np.inf)


def largest_error(found, right, others):
    """The worst over images and exits; where several answers are right, the nearest of them counts."""
    errors = relative_errors(found, right)
    for (image, exit), maps in others.items():
        of_maps = [relative_errors(found[None, image, exit, None], m[None, None]).item() for m in maps]
        errors[image, exit] = min(errors[image, exit], *of_maps)
    return float(errors.max())


class Row:
    """One peer: its answers' errors, and its times."""

    def __init__(self, name, packages, computes, make):
        self.name, self.packages, self.computes, self.make = name, packages, computes, make
        self.errors, self.turns, self.problem, self.call = {}, [], None, None
        self.last = 0.0

    def start(self, logits, heat, others):
        """Makes the peer and checks its answers; a peer that cannot run or is wrong says so in its row."""
        try:
            self.call = self.make()
            found = dict(zip(("logits", "heat"), self.call(), strict=True))
        except NotImplementedError as e:
            self.problem = f"not here: {e}"
            return
        except Exception as e:
            self.problem = f"failed: {type(e).__name__}: {str(e).strip().splitlines()[0][:200] if str(e) else ''}"
            return
        for what, right, more in (("logits", logits, {}), ("heat", heat, others)):
            if found[what] is not None:
                self.errors[what] = largest_error(found[what], right, more)
        if not self.errors:
            self.problem = "wrong: no answers"
        for what, error in self.errors.items():
            if not error <= LARGEST_ERROR[what]:
                self.problem = f"wrong: {what} are off by {error:.1e}, more than {LARGEST_ERROR[what]:.0e}"

    def turn(self, seconds):
        time.sleep(PAUSE)
        if hasattr(self.call, "turn"):
            self.call.turn(0)  # not counted: wakes threads and fills caches
            return self.call.turn(seconds)
        if self.last < seconds:
            self.call()
        times, end = [], time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            self.call()
            times.append((time.perf_counter() - start) * 1e3)
        self.last = times[-1] / 1e3
        return times

    def result(self):
        row = {
            "name": self.name,
            "computes": self.computes,
            "versions": {package: version(package) for package in self.packages},
            "largest_error": self.errors,
        }
        if self.problem:
            return row | {"problem": self.problem}
        times = sorted(t for turn in self.turns for t in turn)
        return row | {
            "median_ms": statistics.median(times),
            "p90_ms": times[min(len(times) - 1, int(0.9 * len(times)))],
            "round_medians_ms": [statistics.median(turn) for turn in self.turns],
            "calls": len(times),
        }


def measure(rows, rounds, seconds):
    for round in range(rounds):
        # Each starts once and follows another neighbour in the next round.
        shift = round * len(rows) // rounds
        order = rows[shift:] + rows[:shift]
        for row in order[:: -1 if round % 2 else 1]:
            row.turns.append(row.turn(seconds))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--weights", required=True)
    p.add_argument("--server", required=True)
    p.add_argument("--device", required=True)
    p.add_argument("--threads", type=int, required=True)
    p.add_argument("--batch", type=int, required=True)
    p.add_argument("--rounds", type=int, required=True)
    p.add_argument("--seconds", type=float, required=True)
    p.add_argument("--only", nargs="*", default=[])
    p.add_argument("--without", nargs="*", default=[])
    a = p.parse_args()

    warnings.filterwarnings("ignore")
    torch.set_num_threads(a.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    weights = networks.Weights(a.weights)
    net, images = weights.network(), weights.images(a.batch)
    right = networks.right_answers(net, images)
    net.to(a.device)
    server = ours.Server(a.server, a.weights, a.device, a.threads, images)
    rows = [Row(*peer) for peer in peers(a, net, images, server)]
    for row in rows:
        begin = time.perf_counter()
        row.start(*right)
        print(f"  {row.name}: {row.problem or 'right'} ({time.perf_counter() - begin:.1f} s)", file=sys.stderr, flush=True)
    measure([row for row in rows if not row.problem], a.rounds, a.seconds)
    server.close()
    print(json.dumps({"msdcam_device": server.device, "rows": [row.result() for row in rows]}))


if __name__ == "__main__":
    main()
