"""The pointing game by TorchRay and Quantus, for every map with every object."""

import numpy as np
import torch
from torchray.benchmark.pointing_game import PointingGame as TorchRayGame

# After PyTorch: Quantus loads TensorFlow if installed, and PyTorch's libraries cannot be loaded after it.
from quantus import AttributionLocalisation, PointingGame, RelevanceMassAccuracy

SIZE = (24, 32)
# In pixels; TorchRay's default is the last.
TOLERANCES = [1, 3, 15]
# (row, column) of every maximum of a map, named by its position.
PEAKS = {
    "first corner of the box": [(4, 3)],
    "row above it": [(3, 3)],
    "last corner of the box": [(9, 8)],
    "diagonal neighbour of that": [(10, 9)],
    "last image pixel": [(23, 31)],
    "14 right of the box": [(9, 22)],
    "15 right of the box": [(9, 23)],
    "202 squared from the box": [(18, 19)],
    "225 squared from the box": [(18, 20)],
    "14 right of the first pixel": [(0, 14)],
    "15 right of the first pixel": [(0, 15)],
    "tie, first outside the box": [(0, 20), (5, 5)],
    "tie, first inside the box": [(5, 5), (23, 0)],
    "tie, the disc and neither": [(12, 16), (22, 24)],
}


def objects():
    """(O, H, W): a box, a box at the image's border, both, a disc, one pixel, the whole image."""
    rows, columns = np.indices(SIZE)

    def box(y, x, h, w):
        return (rows >= y) & (rows < y + h) & (columns >= x) & (columns < x + w)

    one, border = box(4, 3, 6, 6), box(20, 26, 4, 6)
    disc = (rows - 12) ** 2 + (columns - 16) ** 2 <= 25
    return np.stack([one, border, one | border, disc, box(0, 0, 1, 1), box(0, 0, *SIZE)])


def maps(random):
    """(M, H, W): random maps with those peaks; the last two are constant elsewhere."""
    background = np.maximum(random.random((len(PEAKS), *SIZE)) - 0.4, 0)
    alone = np.zeros(SIZE)
    found = [*background, alone, np.ones(SIZE)]
    for heat, peaks in zip(found, [*PEAKS.values(), [(5, 5), (23, 0), (23, 31)]]):
        for peak in peaks:
            heat[peak] = 1
    return np.stack(found).astype(np.float32)


def torchray(heat, on):
    """Whether TorchRay counts a hit at each tolerance, of the first maximum as (column, row)."""
    row, column = np.unravel_index(np.argmax(heat), SIZE)
    games = [TorchRayGame(1, tolerance) for tolerance in TOLERANCES]
    return [game.evaluate(torch.from_numpy(on), (int(column), int(row))) == 1 for game in games]


def quantus(metric, heats, masks):
    """A metric of Quantus for every map with every object, (M, O)."""
    pairs = [np.stack(all)[:, None] for all in zip(*[(heat, on) for heat in heats for on in masks])]
    image = np.zeros((len(pairs[0]), 3, *SIZE))
    ask = metric(disable_warnings=True)
    scores = ask(model=None, x_batch=image, y_batch=None, a_batch=pairs[0], s_batch=pairs[1], channel_first=True)
    return np.asarray(scores, dtype=np.float64).reshape(len(heats), len(masks))


def make(random):
    heats, masks = maps(random), objects()
    wide = heats.astype(np.float64)
    out = {
        "maps": heats,
        "objects": masks.astype(np.float32),
        "torchray": np.array([[torchray(heat, on) for on in masks] for heat in heats], dtype=np.float32),
        "quantus_game": quantus(PointingGame, wide, masks),
        "quantus_mass": quantus(RelevanceMassAccuracy, wide, masks),
        "quantus_localisation": quantus(AttributionLocalisation, wide, masks),
    }
    return {key: torch.from_numpy(value) for key, value in out.items()}
