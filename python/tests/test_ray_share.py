"""The division of a cluster among workers, which needs no Ray."""

from __future__ import annotations

import itertools

import numpy as np
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
        ([{"CPU": 2}], {"workers": 0}, "workers 0: expected at least 1"),
        ([{"CPU": 2}], {"threads": 0}, "threads 0: expected at least 1"),
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


@pytest.mark.parametrize("options", [{"threads": 1.5}, {"threads": "2"}, {"threads": True}, {"workers": 2.0}])
def test_threads_and_workers_are_whole_numbers(options):
    (name,) = options
    with pytest.raises(TypeError, match=f"{name} of type .*: expected a whole number"):
        share([{"CPU": 4}], **options)


def test_an_image_that_cannot_be_read_is_named_by_its_row():
    from conftest import CHELSEA

    photo = CHELSEA.read_bytes()
    prepared = np.zeros((3, 3, 32, 32), np.float32)
    prepared[1, 0, 0, 5] = np.nan
    options = {"device": "cpu", "exits": 1, "keep": ["predicted"]}
    worker = msdcam.ray.Explain(on_error="column", **options)
    found = worker({"image": prepared})
    assert list(found["error"]) == ["", "ValueError: image: element 5 is NaN", ""]
    found = worker({"image": np.array([photo, photo[:5000], b"no photo", "missing.png"], dtype=object)})
    first, damaged, other, missing = found["error"]
    assert first == "" and damaged.startswith("FileError: image: PNG: ") and other.startswith("FileError: image: ")
    assert missing.startswith("MissingFileError: missing.png: ")
    with pytest.raises(msdcam.FileError, match=r"^image 2: PNG: ") as caught:
        msdcam.ray.Explain(**options)({"image": np.array([photo, photo, photo[:5000]], dtype=object)})
    assert caught.value.filename is None
