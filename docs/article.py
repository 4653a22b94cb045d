"""The figures of article.md, from a run of `msdcam explain` on a data set with labels.

    python article.py RUN        NumPy only; tables in Markdown on standard output

Intervals hold 95 % of 2,000 paired bootstrap resamples of the images (percentiles, fixed seed). An
exit's map is its heatmap (H, W), in [0, 1] over each image; similarity compares the maps at the
tap's own size. A map without positive evidence has no similarity to another and is left out there.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

RESAMPLES, SEED = 2000, 20240229
THRESHOLDS = (0.15, 0.3, 0.5, 0.7)
EARLY, LATE, BEST = (1, 3), (5, 10), 7  # the article's pairs of exits, and its best exit


# ---- a run ----


def read(run):
    """right, predicted (N, E), cam (N, E, h, w) and heat (N, E, H, W) of every image that has a label and maps."""
    missing = [key for key in ("cam", "heatmap") if not (run / f"arrays/{key}.npy").exists()]
    if missing:
        sys.exit(f"{run}: no array {' or '.join(missing)}; make the run with `explain --arrays all`")
    state, label, predicted, cam, heat = (
        np.load(run / f"arrays/{key}.npy", mmap_mode="r") for key in ("state", "label", "class", "cam", "heatmap")
    )
    chosen = np.flatnonzero((state == 2) & (label >= 0))  # not failed, not left out by --select, labelled
    if not len(chosen):
        sys.exit(f"{run}: no image with a label and a map")
    predicted = predicted[chosen]
    cam, heat = (maps[chosen].astype(np.float32) for maps in (cam, heat))
    return predicted == label[chosen][:, None], predicted, cam, heat


# ---- statistics ----


class Bootstrap:
    """Means of per-image numbers with their intervals; the same resamples for every call."""

    def __init__(self, images):
        self.images = images

    def means(self, values, chosen):
        """Mean (C) of each column of `values` (N, C) over the images `chosen` (N), and resampled (B, C)."""
        total, chosen = np.where(chosen[:, None], values, 0.0), chosen.astype(float)
        rng, resampled = np.random.default_rng(SEED), []
        for _ in range(RESAMPLES // 100):
            times = rng.multinomial(self.images, np.full(self.images, 1 / self.images), size=100)
            resampled.append((times @ total) / (times @ chosen)[:, None])
        return total.sum(0) / chosen.sum(), np.concatenate(resampled)


def interval(resampled):
    return np.percentile(resampled, [2.5, 97.5], axis=0)


def told(mean, resampled, scale=1.0, digits=3, sign=False):
    low, high = interval(resampled) * scale
    form = f"{'+' if sign else ''}.{digits}f"
    return f"{mean * scale:{form}} [{low:{form}}, {high:{form}}]"


# ---- similarity of two maps ----


def ranks(vectors):
    """Ranks of each row's numbers from 1, ties sharing their mean rank."""
    out = np.empty(vectors.shape)
    for start in range(0, len(vectors), 2000):
        v = vectors[start : start + 2000]
        less = (v[:, None, :] < v[:, :, None]).sum(2)
        equal = (v[:, None, :] == v[:, :, None]).sum(2)
        out[start : start + 2000] = less + (equal + 1) / 2
    return out


def cosine(a, b):
    with np.errstate(invalid="ignore"):
        return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


class Likeness:
    """Per image, how alike two exits' maps are; NaN where one is zero everywhere."""

    names = ("Spearman", "cosine", "IoU above 15 %")

    def __init__(self, cam, heat):
        n, exits = cam.shape[:2]
        self.cells = cam.reshape(n, exits, -1).astype(float)
        order = ranks(self.cells.reshape(n * exits, -1)).reshape(self.cells.shape)
        self.ranks = order - order.mean(2, keepdims=True)
        self.inside = (heat > THRESHOLDS[0]).reshape(n, exits, -1)

    def between(self, a, b):
        """(N, 3), in the order of `names`; exits from 1."""
        a, b = a - 1, b - 1
        both = (self.inside[:, a] & self.inside[:, b]).sum(1)
        either = (self.inside[:, a] | self.inside[:, b]).sum(1)
        spearman, angle = (cosine(x[:, a], x[:, b]) for x in (self.ranks, self.cells))
        overlap = np.where(np.isnan(angle), np.nan, both / np.maximum(either, 1))
        return np.stack([spearman, angle, overlap], 1)


# ---- the three findings ----


def table(head, rows):
    print("| " + " | ".join(map(str, head)) + " |\n" + "|---" * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print()


def best_exit(right, bootstrap):
    mean, resampled = bootstrap.means(right.astype(float), np.ones(len(right), bool))
    table(["exit", "top-1, %"], [(k + 1, told(mean[k], resampled[:, k], 100, 2)) for k in range(len(mean))])
    for name, k in (("the article's best", BEST - 1), ("ours, chosen on the same images", int(mean.argmax()))):
        gap = told(mean[k] - mean[-1], resampled[:, k] - resampled[:, -1], 100, 2, sign=True)
        print(f"- Exit {k + 1} ({name}) minus exit {len(mean)}: {gap} points.")
    lost = (right[:, :-1].any(1) & ~right[:, -1]).astype(float)[:, None]
    mean, resampled = bootstrap.means(lost, np.ones(len(right), bool))
    print(f"- Right at an earlier exit, wrong at the last: {told(mean[0], resampled[:, 0], 100, 2)} % of the images.\n")


def sizes(heat, groups, bootstrap):
    """Area above each threshold and the mean, per exit and group; last minus first, in percent."""
    measures = {f"area above {100 * t:.0f} %": (heat > t).mean((2, 3)) for t in THRESHOLDS}
    measures["mean of the map"] = heat.mean((2, 3))
    exits = heat.shape[1]
    for name, values in measures.items():
        rows = []
        for group, chosen in groups.items():
            mean, resampled = bootstrap.means(values, chosen)
            change = told(mean[-1] - mean[0], resampled[:, -1] - resampled[:, 0], 100, 1, sign=True)
            rows.append((group, *(f"{100 * m:.1f}" for m in mean), change))
        table([name + ", % at exit", *range(1, exits + 1), f"exit {exits} - exit 1"], rows)


def similarity(cam, heat, predicted, groups, bootstrap):
    alike = Likeness(cam, heat)
    early, late = alike.between(*EARLY), alike.between(*LATE)
    usable = ~(np.isnan(early) | np.isnan(late)).any(1)
    same = (predicted[:, [k - 1 for k in EARLY + LATE]] == predicted[:, [EARLY[0] - 1]]).all(1)
    rows = []
    for group, chosen in {**groups, "all four exits say the same": same}.items():
        kept = chosen & usable
        mean, resampled = bootstrap.means(np.nan_to_num(np.concatenate([early, late], 1)), kept)
        for i, name in enumerate(alike.names):
            gain = told(mean[i + 3] - mean[i], resampled[:, i + 3] - resampled[:, i], sign=True)
            rows.append((group, kept.sum(), name, told(mean[i], resampled[:, i]), told(mean[i + 3], resampled[:, i + 3]), gain))
    table(["images", "count", "measure", f"exits {EARLY[0]} and {EARLY[1]}", f"exits {LATE[0]} and {LATE[1]}", "later - earlier"], rows)
    exits = range(1, cam.shape[1] + 1)
    with np.errstate(invalid="ignore"):
        spearman = [[np.nanmean(alike.between(a, b)[:, 0]) for b in exits] for a in exits]
    table(["Spearman", *exits], [(a, *(f"{x:.2f}" for x in row)) for a, row in zip(exits, spearman, strict=True)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="output folder of msdcam explain")
    right, predicted, cam, heat = read(parser.parse_args().run)
    bootstrap = Bootstrap(len(right))
    always, never = right.all(1), ~right.any(1)
    groups = {"all": np.ones(len(right), bool), "easy: right at every exit": always,
              "hard: right at some exits": ~always & ~never, "never right": never}
    groups = {name: chosen for name, chosen in groups.items() if chosen.any()}
    print(f"{len(right)} images; " + ", ".join(f"{name}: {chosen.sum()}" for name, chosen in groups.items()))
    empty = (cam.max((2, 3)) <= 0).sum(0)
    print(f"maps without positive evidence at exits 1 to {len(empty)}: {empty.tolist()}\n")
    print("## Is the best exit the last?\n")
    best_exit(right, bootstrap)
    print("## Are later exits' maps larger?\n")
    sizes(heat, groups, bootstrap)
    print("## Are later exits' maps more alike?\n")
    similarity(cam, heat, predicted, groups, bootstrap)


if __name__ == "__main__":
    main()
