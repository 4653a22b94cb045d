"""Cost of explaining a large data set, from the time of one worker with one thread on this machine.

    python benches/cost.py resnet50.onnx [--photos FOLDER] [--images 1281167]

A worker reads JPEG files, prepares, classifies and explains them, as msdcam.ray.Explain does. Without --photos the files are
the sample photo at 500 x 375 pixels, quality 98. Printed is the least of several rounds, as other programs on the machine
make the others longer; needs msdcam and Pillow.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import msdcam
import numpy as np

SAMPLE = Path(__file__).resolve().parents[1] / "weights" / "samples" / "chelsea.png"


def photos(folder: Path, count: int) -> list[str]:
    """Paths of JPEG files: those of a folder, or views of the sample photo."""
    from PIL import Image

    with Image.open(SAMPLE) as image:
        image = image.convert("RGB").resize((560, 420), Image.Resampling.LANCZOS)
    for i in range(count):
        image.crop((i, i, i + 500, i + 375)).save(folder / f"{i:03}.jpg", quality=98)
    return sorted(map(str, folder.glob("*.jpg")))


def least(rounds: int, call) -> tuple[float, float]:
    """Seconds by the clock and of the CPU, the least of several calls."""
    times = []
    for _ in range(rounds):
        start, cpu = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - start, time.process_time() - cpu))
    return min(wall for wall, _ in times), min(cpu for _, cpu in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--images", type=int, default=1_281_167)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    a = parser.parse_args()
    model = msdcam.load(a.model, device="cpu", threads=1)
    print(model.description)
    with tempfile.TemporaryDirectory() as folder:
        if a.photos:
            found = (p for p in sorted(a.photos.rglob("*")) if p.suffix.lower() in (".jpg", ".jpeg"))
            paths = [str(p) for p in itertools.islice(found, a.batch)]
        else:
            paths = photos(Path(folder), a.batch)
        size = sum(Path(p).stat().st_size for p in paths) / len(paths)
        prepared = np.stack([model.prepare(path) for path in paths])
        steps = {
            "read, prepare": lambda: [model.prepare(path) for path in paths],
            "classify": lambda: model.classify(prepared),
            "explain": lambda: model.explain(prepared),
            "read, prepare, explain": lambda: model.explain(paths),
        }
        print(f"{len(paths)} photos of {size / 1000:.0f} kB")
        for name, step in steps.items():
            wall, cpu = least(a.rounds, step)
            each, own = 1000 * wall / len(paths), 1000 * cpu / len(paths)
            print(f"{name:24}{each:8.2f} ms {own:8.2f} ms of CPU {own * a.images / 3.6e6:8.1f} core hours")


if __name__ == "__main__":
    main()
