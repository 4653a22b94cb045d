"""Images and answers of one process, for the tests of Ray, Dask and Spark."""

from __future__ import annotations

import numpy as np
import pytest
from cluster_common import IMAGES, photos

import msdcam


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return photos(IMAGES)


@pytest.fixture(scope="session")
def answers(images: np.ndarray) -> dict[str, np.ndarray]:
    """What one process finds."""
    return msdcam.load(device="cpu", threads=1).explain(images).to_dict()
