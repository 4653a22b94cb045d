"""Spark: the recipe of docs/clusters.md gives the results of one process."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import warnings

import numpy as np
import pytest
from cluster_common import assert_same, recipe

sql = pytest.importorskip("pyspark.sql")
if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
    pytest.skip("no Java", allow_module_level=True)


@pytest.fixture
def spark(monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYSPARK_DRIVER_PYTHON", sys.executable)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = (
            sql.SparkSession.builder.master("local[2, 4]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.execution.arrow.maxRecordsPerBatch", "40")
            .config("spark.log.level", "ERROR")
            .getOrCreate()
        )
        yield session
        session.stop()


def results(frame):
    found = frame.collect()
    return {
        "id": np.array([row["id"] for row in found]),
        "predicted": np.array([row["predicted"] for row in found])[:, None],
        "cam": np.array([row["cam"] for row in found], np.float32),
    }


def test_the_recipe_of_the_manual_gives_the_results_of_one_process(spark, images, answers, tmp_path):
    rows = spark.sparkContext.parallelize([(i, image.tobytes()) for i, image in enumerate(images)], 2)
    frame = spark.createDataFrame(rows, "id long, image binary")
    names = {"__name__": "__main__", "weights": None, "images": frame}
    exec(recipe("spark"), names)
    last = {"predicted": answers["predicted"][:, -1:], "cam": answers["cam"][:, -1].reshape(len(images), -1)}
    assert_same(results(names["maps"]), last, ["predicted", "cam"])

    # And when a worker is killed in the middle.
    explain, grave = names["explain"], str(tmp_path / "grave")

    def mortal(frames):
        for number, found in enumerate(explain(frames)):
            if number == 1:
                try:
                    os.close(os.open(grave, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    pass
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            yield found

    mortal.__module__ = "__main__"
    again = frame.mapInPandas(mortal, "id long, predicted long, cam array<float>")
    assert_same(results(again), last, ["predicted", "cam"])
    assert os.path.exists(grave)
