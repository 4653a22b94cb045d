"""Ray Data: every image once, the same bits as in one process, also where an actor dies or the cluster is full."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from cluster_common import assert_same, recipe

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

import msdcam.ray  # noqa: E402

NAMES = ["predicted", "confidence", "target", "status", "logits", "cam", "heat"]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=500_000_000,
        runtime_env={"env_vars": {"PYTHONPATH": os.path.dirname(__file__)}},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


def data_set(images):
    """The images, as tasks read them that need a CPU each."""
    at = ray.put(images)
    return ray.data.range(len(images), override_num_blocks=8).map_batches(
        lambda batch: {"id": batch["id"], "image": ray.get(at)[batch["id"]]}, batch_size=None
    )


def rows(ds):
    batches = list(ds.iter_batches(batch_size=None, batch_format="numpy"))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def test_results_are_those_of_one_process(images, answers):
    # Two workers on two CPUs, which with a CPU each would wait for the tasks that read, and these for them.
    ds = msdcam.ray.map_batches(data_set(images), batch_size=32)
    found = rows(ds)
    assert "image" not in found
    assert_same(found, answers, NAMES)


class Mortal(msdcam.ray.Explain):
    """A worker that dies at its second batch, if none has died before."""

    def __init__(self, *args, grave, **options):
        super().__init__(*args, **options)
        self.grave, self.batches = grave, 0

    def __call__(self, batch):
        self.batches += 1
        if self.batches == 2:
            try:
                os.close(os.open(self.grave, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        results = super().__call__(batch)
        return {**results, "process": np.full(len(results["id"]), os.getpid())}


def test_nothing_is_lost_or_twice_when_an_actor_is_killed(images, answers, tmp_path):
    ds = data_set(images).map_batches(
        Mortal,
        fn_constructor_kwargs={"grave": str(tmp_path / "grave"), "keep": ["predicted", "cam"]},
        batch_size=16,
        num_cpus=0.5,
        compute=ray.data.ActorPoolStrategy(size=2),
    )
    found = rows(ds)
    assert (tmp_path / "grave").exists()
    assert_same(found, answers, ["predicted", "cam"])


def test_files_are_read_and_those_that_cannot_be_are_rows_with_the_reason(images, answers, tmp_path):
    from PIL import Image

    paths = [str(tmp_path / f"{i}.png") for i in range(4)]
    for path, image in zip(paths, images):
        Image.fromarray(image).save(path)
    encoded = [open(path, "rb").read() for path in paths]
    whole = msdcam.ray.Explain(column="file", keep=["predicted", "cam"])({"file": np.array(encoded, dtype=object)})
    open(paths[1], "wb").close()
    explain = msdcam.ray.Explain(column="path", on_error="column", keep=["predicted", "cam"], keep_images=True)
    found = explain({"path": np.array(paths)})
    assert found["error"][1].startswith("FileError: ") and list(found["error"][[0, 2, 3]]) == [""] * 3
    assert found["cam"][1].max() == 0
    none = explain({"path": np.array([paths[1]])})
    assert none["error"][0] == found["error"][1] and none["cam"].shape == (1, *found["cam"].shape[1:])
    for name in ("predicted", "cam"):
        assert np.array_equal(whole[name], answers[name][:4])
        assert np.array_equal(found[name][[0, 2, 3]], answers[name][[0, 2, 3]])


def test_a_cluster_that_is_too_small_is_an_error_before_anything_runs(images):
    ds = data_set(images)
    with pytest.raises(ValueError, match="workers: 3, the cluster has room for 2"):
        msdcam.ray.map_batches(ds, workers=3)
    with pytest.raises(ValueError, match="no machine for a worker of 4 threads"):
        msdcam.ray.map_batches(ds, threads=4)
    with pytest.raises(ValueError, match="no GPU"):
        msdcam.ray.map_batches(ds, gpus=True)


def test_the_recipe_of_the_manual_works(images, answers, tmp_path):
    from PIL import Image

    (tmp_path / "photos").mkdir()
    for i, image in enumerate(images[:24]):
        Image.fromarray(image).save(tmp_path / "photos" / f"{i}.png")
    # One of another size, which makes rows of their column differ in shape.
    Image.fromarray(images[24]).resize((50, 40)).save(tmp_path / "photos" / "24.png")
    names = {"folder": str(tmp_path / "photos"), "weights": None, "output": str(tmp_path / "maps")}
    exec(recipe("ray"), {"__name__": "__main__", **names})
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(tmp_path / "maps").to_pydict()
    assert sorted(table) == ["cam", "confidence", "path", "predicted"]
    ids = [int(os.path.basename(path).split(".")[0]) for path in table["path"]]
    assert sorted(ids) == list(range(25))
    predicted = dict(zip(ids, table["predicted"]))
    assert np.array_equal(np.array([predicted[i] for i in range(24)]), answers["predicted"][:24])
