"""Ray on GPUs: one actor a GPU, which sees that one alone; on the stand-in driver (tests/standin/run) or on GPUs."""

from __future__ import annotations

import os

import numpy as np
import pytest
from cluster_common import assert_same

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

import msdcam  # noqa: E402
import msdcam.ray  # noqa: E402

GPUS = int(os.environ.get("MSDCAM_CLUSTER_GPUS", "0"))
if GPUS == 0:
    pytest.skip("MSDCAM_CLUSTER_GPUS says that there are none", allow_module_level=True)


class Witness(msdcam.ray.Explain):
    """A worker that says which GPU it sees and on which device its model is."""

    def __call__(self, batch):
        results = super().__call__(batch)
        shape = len(results["id"])
        return {
            **results,
            "device": np.full(shape, self.model.device),
            "visible": np.full(shape, os.environ.get("CUDA_VISIBLE_DEVICES", "")),
        }


def test_each_gpu_has_an_actor_that_sees_it_alone(images, monkeypatch):
    few = images[:16]
    monkeypatch.setattr(msdcam.ray, "Explain", Witness)
    ray.init(
        num_cpus=2,
        num_gpus=GPUS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=200_000_000,
        runtime_env={"env_vars": {"PYTHONPATH": os.path.dirname(__file__)}},
    )
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        ds = ray.data.from_items([{"id": i, "image": image} for i, image in enumerate(few)], override_num_blocks=4)
        ds = msdcam.ray.map_batches(ds, batch_size=4, exits=[1, 10], keep=["predicted", "heat"])
        batches = list(ds.iter_batches(batch_size=None, batch_format="numpy"))
        found = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    finally:
        ray.shutdown()
    assert set(found["device"]) == {"cuda:0"}
    assert set(found["visible"]) == {str(gpu) for gpu in range(GPUS)}
    order = np.argsort(found["id"])
    heat = msdcam.load(device="cpu").explain(few, exits=[1, 10]).heat
    assert np.abs(found["heat"][order] - heat).max() <= 1e-4
    one = msdcam.load(device="cuda").explain(few, exits=[1, 10]).to_dict()
    assert_same(found, {name: one[name] for name in ("predicted", "heat")}, ["predicted", "heat"])
