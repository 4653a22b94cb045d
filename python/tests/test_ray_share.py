"""The division of a cluster among workers, which needs no Ray."""

from __future__ import annotations

import itertools

import pytest

import msdcam.ray
from msdcam.ray import Share, share


def test_cpus_remain_for_tasks_that_read():
    assert share([{"CPU": 1}]) == Share(1, 0.0, 0.0, 1)
    assert share([{"CPU": 1}] * 3) == Share(3, 0.0, 0.0, 1)
    assert share([{"CPU": 1}, {"CPU": 2}]) == Share(2, 0.5, 0.0, 1)
    assert share([{"CPU": 2}]) == Share(2, 0.5, 0.0, 1)
    assert share([{"CPU": 16}, {"CPU": 16}]) == Share(32, 0.875, 0.0, 1)
    assert share([{"CPU": 16}], threads=4) == Share(4, 3.5, 0.0, 4)
    assert share([{"CPU": 64, "GPU": 8}, {"CPU": 4}]) == Share(8, 1.0, 1.0, 7)
    assert share([{"CPU": 64, "GPU": 8}], gpus=False, workers=10) == Share(10, 0.875, 0.0, 1)
    assert share([{"CPU": 4, "GPU": 8}]) == Share(8, 0.375, 1.0, 1)


def test_a_cpu_for_each_machine_remains_so_that_some_machine_has_a_whole_one():
    for cpus in itertools.product([1, 2, 3, 4, 8, 16, 96], repeat=3):
        for threads in (1, 2):
            if max(cpus) < threads:
                continue
            part = share([{"CPU": c} for c in cpus], threads=threads)
            assert sum(cpus) - part.workers * part.cpus >= len(cpus) - 1e-9
            assert 0 <= part.cpus <= threads
    for cpus, cards in itertools.product([1, 2, 8, 96], [1, 2, 8]):
        part = share([{"CPU": cpus, "GPU": cards}, {"CPU": cpus}])
        assert part.workers == cards and 2 * cpus - cards * part.cpus >= 2 - 1e-9


@pytest.mark.parametrize(
    ("nodes", "options", "text"),
    [
        ([], {}, "no machine for a worker of 1 threads: CPUs none"),
        ([{"CPU": 2}], {"threads": 4}, "no machine for a worker of 4 threads: CPUs 2"),
        ([{"CPU": 2}], {"workers": 3}, "workers: 3, the cluster has room for 2"),
        ([{"CPU": 2}], {"workers": 0}, "workers: 0, expected 1 or more"),
        ([{"CPU": 2}], {"threads": 0}, "threads: 0, expected 1 or more"),
        ([{"CPU": 2}], {"gpus": True}, "the cluster has no GPU"),
    ],
)
def test_a_cluster_that_is_too_small_is_an_error(nodes, options, text):
    with pytest.raises(ValueError, match=text):
        share(nodes, **options)


def test_wrong_results_are_refused_before_anything_is_loaded():
    with pytest.raises(TypeError, match="keep: 'cam', expected a list"):
        msdcam.ray.Explain(keep="cam")
    with pytest.raises(ValueError, match="on_error 'ignore'"):
        msdcam.ray.Explain(on_error="ignore")
