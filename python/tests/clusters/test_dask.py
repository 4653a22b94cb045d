"""Dask: the recipe of docs/clusters.md gives the results of one process."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from cluster_common import assert_same, recipe

distributed = pytest.importorskip("dask.distributed")


def results(images, at_first=lambda cluster: None):
    """Results of the recipe on two processes; ``at_first`` is called with the cluster once there is one."""
    parts = np.array_split(np.arange(len(images)), 12)
    stored = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:

        def store(*found):
            stored.append(found)
            if len(stored) == 1:
                at_first(cluster)

        batches = [(part, images[part]) for part in parts]
        names = {"__name__": "__main__", "scheduler": cluster, "weights": None, "batches": batches, "store": store}
        exec(recipe("dask"), names)
    ids, predicted, cam = (np.concatenate(arrays) for arrays in zip(*stored))
    return {"id": ids, "predicted": predicted, "cam": cam}


def test_the_recipe_of_the_manual_gives_the_results_of_one_process(images, answers):
    assert_same(results(images), answers, ["predicted", "cam"])


def test_nothing_is_lost_or_twice_when_a_worker_is_killed(images, answers):
    def kill(cluster):
        os.kill(cluster.workers[0].pid, signal.SIGKILL)

    assert_same(results(images, at_first=kill), answers, ["predicted", "cam"])
