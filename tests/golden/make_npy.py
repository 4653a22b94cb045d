"""Writes npy/*.npy: the arrays of the .npz tests as NumPy 2.4.6 saves them. Usage: python make_npy.py"""
from pathlib import Path

import numpy as np

here = Path(__file__).parent / "npy"
here.mkdir(exist_ok=True)
largest = np.finfo(np.float32).max
np.save(here / "logits.npy", np.array([[0.5, -1.25, largest], [1e-40, 0.0, -0.0]], np.float32))
np.save(here / "class.npy", np.array([3, -1, 2**63 - 1], np.int64))
np.save(here / "one.npy", np.array(2.0, np.float32))
np.save(here / "none.npy", np.zeros((0, 8, 8), np.float32))
np.save(here / "tap.npy", np.array([["exit1"], ["\u00e4\U0001f408"]]))
