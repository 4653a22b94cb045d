"""Ray on several machines, each with one CPU: workers that held half of it would leave none for tasks that read."""

from __future__ import annotations

import numpy as np
import pytest
from cluster_common import assert_same

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
utils = pytest.importorskip("ray.cluster_utils")

import msdcam  # noqa: E402
import msdcam.ray  # noqa: E402


def test_machines_of_one_cpu_do_not_wait_for_ever(images):
    few = images[:64]
    head = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}
    cluster = utils.Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        ray.data.DataContext.get_current().enable_progress_bars = False
        at = ray.put(few)
        ds = ray.data.range(len(few), override_num_blocks=4).map_batches(
            lambda batch: {"id": batch["id"], "image": ray.get(at)[batch["id"]]}, batch_size=None
        )
        ds = msdcam.ray.map_batches(ds, batch_size=16, keep=["predicted", "cam"])
        batches = list(ds.iter_batches(batch_size=None, batch_format="numpy"))
    finally:
        ray.shutdown()
        cluster.shutdown()
    found = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    one = msdcam.load(device="cpu").explain(few).to_dict()
    assert_same(found, {name: one[name] for name in ("predicted", "cam")}, ["predicted", "cam"])
