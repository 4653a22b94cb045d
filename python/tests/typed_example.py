"""A user's program, for mypy --strict: the types of the package as they are used. It is not run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import msdcam


def brightest(heat: NDArray[np.float32]) -> list[tuple[int, int]]:
    """The place of the largest element of each heatmap."""
    return [(int(at // heat.shape[-1]), int(at % heat.shape[-1])) for at in heat.reshape(-1, heat.shape[-1] ** 2).argmax(1)]


def main(folder: Path) -> None:
    model: msdcam.Model = msdcam.load(folder / "net.onnx", device="cpu", threads=2, labels=["a", "b"])
    names: tuple[str, ...] = model.labels
    first: msdcam.Exit = model.exits[0]
    channels, height, width = model.input_shape
    batch = np.zeros((4, channels, height, width), dtype=np.float32)
    r = model.explain(batch, exits=[1, first.index], method=["grad-cam", "layer-cam"], target=[0, 1, 1, 0])
    print(brightest(r.heat[:, -1]), r["layer-cam"].cam.mean(), (r.status == "ok").all(), names)
    for name, probability in r.top(3)[0][-1]:
        print(f"{name}: {100 * probability:.1f} %")
    overlay: msdcam.Picture = r.overlay(0, exit=1, colormap="viridis")
    overlay.save(folder / "overlay.png")
    pixels: NDArray[np.uint8] = r.strip().pixels
    p: msdcam.Predictions = model.classify(sorted(folder.glob("*.png")), early_exit=0.9)
    stopped: NDArray[np.int64] = p.exit
    rows: dict[str, NDArray[np.generic]] = r[1:3].to_dict()
    report = model.evaluate(folder, early_exit=[0.9, None])
    print(pixels.shape, stopped, rows.keys(), report["exits"][0]["top1"])
    try:
        model.explain("missing.png")
    except msdcam.FileError as error:
        print(error.filename)


if __name__ == "__main__":
    main(Path("."))
