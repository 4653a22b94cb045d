"""The steps of a visit, in order of worth."""

from dataclasses import dataclass
from typing import Callable

import checks
import machine
import peers
import timings
import training


@dataclass(frozen=True)
class Step:
    """`limit`: seconds it may take; `least`: with less it is not begun; `of`: the visits that have it."""

    name: str
    run: Callable
    limit: float
    least: float = 5
    of: tuple = ("checks", "all")


STEPS = [
    Step("machine", machine.machine, 120, of=("checks", "train", "all")),
    Step("smoke", checks.smoke, 60, of=("checks", "train", "all")),
    Step("memcheck_of_smoke", checks.memcheck_of_failed_smoke, 90, of=("checks", "train", "all")),
    Step("floors", timings.floors, 50),
    Step("variants_1", timings.variants(0), 60, 10),
    Step("bench_1", timings.bench(0), 40, 10),
    Step("levels", timings.levels, 40, 10),
    Step("parity_cuda", checks.parity("cuda", "the_device_says"), 150, 30),
    Step("parity_ops", checks.parity("ops", "every_device_agrees"), 150, 30),
    Step("parity_network", checks.parity("network", "a_given_class"), 150, 30),
    Step("parity_random_graphs", checks.parity("random_graphs", "devices_and_reference_agree"), 150, 30),
    Step("same_bits", checks.same_bits, 30, 10),
    Step("bench_32", timings.bench(1), 30, 10),
    Step("bench_256", timings.bench(2), 30, 10),
    Step("variants_256", timings.variants(2), 60, 10),
    Step("peers", peers.peers, 130, 40),
    Step("counters", timings.counters, 75, 20),
    Step("training_self_test", training.training_self_test, 90, 20, of=("train", "all")),
    Step("start_training", training.start_training, 30, of=("train", "all")),
    Step("memcheck", checks.sanitizer("memcheck"), 60, 10),
    Step("racecheck", checks.sanitizer("racecheck"), 60, 10),
    Step("synccheck", checks.sanitizer("synccheck"), 45, 10),
    Step("initcheck", checks.sanitizer("initcheck"), 45, 10),
    Step("soak", checks.soak, 75, 20),
    Step("reduce_overhead", peers.reduce_overhead, 150, 60, of=("checks",)),
    Step("training", training.training, 1e6, -1e6, of=("train", "all")),
]
AFTER_FAILED_SMOKE = ["machine", "smoke", "memcheck_of_smoke", "floors", "start_training", "training_self_test", "training"]


def chosen(what, names):
    """The steps of a visit of kind `what`, or those of these names in their order; what is here is always asked first."""
    if not names:
        return [s for s in STEPS if what in s.of]
    known = {s.name: s for s in STEPS}
    return [known[name] for name in dict.fromkeys(["machine", *names]) if name in known]
