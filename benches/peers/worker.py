"""One setting (network, device, threads, batch): every peer's answers are checked, then all take
turns. A process of its own for each setting, so that no thread pool outlives it."""

import argparse
import importlib
import json
import os
import statistics
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

import lineup
import networks
import ours

# Largest relative error (of a map, or of an exit's logits; in the 2-norm) that f32 arithmetic excuses.
LARGEST_ERROR = {"logits": 1e-4, "heat": 1e-3}
PAUSE = 0.05  # seconds before a turn, in which the last peer's threads stop spinning


def installed(packages):
    """Their versions."""
    found = {}
    for choices in packages:
        for package in choices.split("|"):
            try:
                found[package] = version(package)
                break
            except PackageNotFoundError:
                continue
        else:
            raise NotImplementedError(f"no package {choices.split('|')[0]}")
    return found


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


def in_words(error):
    """One line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"


class Row:
    """One peer: its answers' errors, and its times. Whatever goes wrong with it is its own problem."""

    def __init__(self, name, packages, computes, make):
        self.name, self.packages, self.computes, self.make = name, packages, computes, make
        self.versions, self.errors, self.turns, self.problem, self.call = {}, {}, [], None, None
        self.last = 0.0

    def start(self, logits, heat, others):
        """Makes the peer and checks its answers; a peer that cannot run or is wrong says so in its row."""
        try:
            self.versions = installed(self.packages)
            self.call = self.make()
            found = dict(zip(("logits", "heat"), self.call(), strict=True))
            for what, right, more in (("logits", logits, {}), ("heat", heat, others)):
                if found[what] is not None and right is not None:
                    self.errors[what] = largest_error(found[what], right, more)
        except (NotImplementedError, ModuleNotFoundError) as e:
            return self.fail(f"not here: {e}")
        except Exception as e:
            return self.fail(f"failed: {in_words(e)}")
        for what, error in self.errors.items():
            if not error <= LARGEST_ERROR[what]:
                self.fail(f"wrong: {what} are off by {error:.1e}, more than {LARGEST_ERROR[what]:.0e}")
        if not self.errors:
            self.fail("wrong: no answers")

    def fail(self, problem):
        """Ends it and frees its memory. Times that it has stay in the results, beside the problem: an error on
        the GPU fails all of PyTorch's rows, also those that had nothing to do with it."""
        self.problem, self.call = problem, None

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
            "versions": self.versions,
            "largest_error": self.errors,
        }
        if self.problem or not self.turns:
            row["problem"] = self.problem or "unfinished"
        if not self.turns:
            return row
        times = sorted(t for turn in self.turns for t in turn)
        return row | {
            "median_ms": statistics.median(times),
            "p90_ms": times[min(len(times) - 1, int(0.9 * len(times)))],
            "round_medians_ms": [statistics.median(turn) for turn in self.turns],
            "calls": len(times),
        }


def measure(rows, rounds, seconds, time_left=lambda: True, save=lambda: None):
    for round in range(rounds):
        # Each starts once and follows another neighbor in the next round.
        shift = round * len(rows) // rounds
        order = rows[shift:] + rows[:shift]
        for row in order[:: -1 if round % 2 else 1]:
            if row.problem or not time_left():
                continue
            try:
                row.turns.append(row.turn(seconds))
            except Exception as e:
                row.fail(f"failed: in round {round + 1}: {in_words(e)}")
            save()
    for row in rows:
        if not row.problem and not row.turns:
            row.fail(lineup.NO_TIME)


def of_weights(a):
    """The network, its images, and the right answers."""
    weights = networks.Weights(a.weights)
    net, images = weights.network(), weights.images(a.batch)
    return net, images, networks.right_answers(net, images, a.torch_device)


def of_file(a):
    """The same of an ONNX file."""
    import models  # imports ONNX Runtime and torchvision, which nothing else here needs

    net = models.File(a.weights, a.torch)
    images = net.images(a.batch)
    right = net.right_answers(images)
    return net.to(a.torch_device), images, right


class Setting:
    def __init__(self, a):
        self.net, self.images, self.right = of_file(a) if a.weights.endswith(".onnx") else of_weights(a)
        # Only now: it would try every algorithm for every convolution in f64 as well.
        torch.backends.cudnn.benchmark = True
        self.facts = {"torch": torch.__version__}
        if a.torch_device == "cuda":
            self.facts |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
        self.server = ours.Server(a.server, a.weights, a.device, a.threads, self.images)

    def row(self, peer):
        def make():
            module, name = peer.kind.split(".")
            inputs = (self.server,) if module == "ours" else (self.net, self.images)
            return getattr(importlib.import_module(module), name)(*inputs, **peer.arguments)

        return Row(peer.name, peer.packages, peer.computes, make)

    def results(self, rows):
        return self.facts | {"msdcam_device": self.server.device, "rows": [row.result() for row in rows]}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--weights", required=True)
    p.add_argument("--torch", metavar="NAME", help="the network of an ONNX file in PyTorch")
    p.add_argument("--server", required=True)
    p.add_argument("--device", required=True)
    p.add_argument("--torch-device", required=True)
    p.add_argument("--threads", type=int, required=True)
    p.add_argument("--batch", type=int, required=True)
    p.add_argument("--rounds", type=int, required=True)
    p.add_argument("--seconds", type=float, required=True)
    p.add_argument("--compile", metavar="MODE", help="the row compiled in this mode instead of those not compiled")
    p.add_argument("--only", nargs="*", default=[])
    p.add_argument("--until", type=float, default=float("inf"), help="when time is over, on the monotonic clock")
    p.add_argument("--out", type=Path, required=True, help="the results, whenever there are new ones")
    a = p.parse_args()

    warnings.filterwarnings("ignore")
    torch.set_num_threads(a.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    setting = Setting(a)
    rows = [setting.row(peer) for peer in lineup.chosen(a.device, a.compile, a.only, a.weights.endswith(".onnx"))]

    def save():
        part = a.out.with_suffix(".part")
        part.write_text(json.dumps(setting.results(rows)))
        os.replace(part, a.out)

    def time_left(turns=0):
        """Enough for so many turns."""
        return time.monotonic() + turns * (a.seconds + PAUSE) < a.until

    save()
    for i, row in enumerate(rows):
        begin = time.perf_counter()
        # The turns of those that are ready need time, and this one's.
        ready = sum(not other.problem for other in rows[:i])
        if time_left(a.rounds * (ready + 1)):
            row.start(*setting.right)
        else:
            row.fail(lineup.NO_TIME)
        took = time.perf_counter() - begin
        print(f"  {row.name}: {row.problem or 'right'} ({took:.1f} s)", file=sys.stderr, flush=True)
        save()
    measure([row for row in rows if not row.problem], a.rounds, a.seconds, time_left, save)
    save()
    setting.server.close()


if __name__ == "__main__":
    main()
