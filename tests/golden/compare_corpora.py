"""Compares the pixels of all pictures below some folders with Pillow's, to be run by hand on public corpora.

Usage: cargo build --release --example decode_photos; python compare_corpora.py FOLDER...
Needs Pillow 13 and NumPy. Corpora: PngSuite (in the sources of libpng), the test images of libjpeg-turbo, Pillow's
Tests/images.

Expected are Pillow's pixels: upright (ImageOps.exif_transpose), as RGB, transparency over white, 16 bits divided by 257
and rounded (as far as Pillow reads 16 bits at all). Prints each file that is not equal, and the counts: equal; within 4
of 255 (decoders of JPEG round differently) or within 1 of 16-bit samples; refused by both, by one; wrong.
"""
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps

# Pillow refuses twice as many: larger pictures are not compared.
Image.MAX_IMAGE_PIXELS = 25_000_000
PROGRAM = Path(__file__).parents[2] / "target/release/examples/decode_photos"
ENDINGS = {".png", ".apng", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".tif", ".tiff"}


def pixels_of_pillow(path):
    """RGB, or None if Pillow refuses the file."""
    try:
        image = Image.open(path)
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode == "F":
            return None
        if image.mode.startswith("I"):
            samples = np.asarray(image).astype(np.int64)
            gray = (samples * 255 + 32767) // 65535
            gray[samples == image.info.get("transparency", -1)] = 255
            return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=-1)
        if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            rgba = np.asarray(image.convert("RGBA")).astype(np.int64)
            return ((rgba[..., :3] * rgba[..., 3:] + 255 * (255 - rgba[..., 3:]) + 127) // 255).astype(np.uint8)
        return np.asarray(image.convert("RGB"))
    except Exception:  # Pillow raises errors of many classes for damaged files.
        return None


def verdict(ours, pillow):
    if ours is None or pillow is None:
        return {(True, True): "refused by both", (True, False): "refused by us", (False, True): "refused by Pillow"}[
            ours is None, pillow is None
        ]
    if ours.shape != pillow.shape:
        return f"wrong: {ours.shape[1]}x{ours.shape[0]} instead of {pillow.shape[1]}x{pillow.shape[0]}"
    worst = np.abs(ours.astype(int) - pillow).max()
    return "equal" if worst == 0 else "within 4" if worst <= 4 else f"wrong: by {worst}"


def main():
    print("Pillow", PIL.__version__)
    counts = Counter()
    paths = sorted(p for folder in sys.argv[1:] for p in Path(folder).rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([PROGRAM, folder, *paths], check=True, stderr=subprocess.DEVNULL)
        for number, path in enumerate(paths):
            made = Path(folder, f"{number}.png")
            found = verdict(np.asarray(Image.open(made)) if made.exists() else None, pixels_of_pillow(path))
            counts[found.split(":")[0]] += 1
            if found not in ("equal", "within 4", "refused by both"):
                print(f"{path}: {found}")
    for found, count in sorted(counts.items()):
        print(f"{count:6} {found}")


if __name__ == "__main__":
    main()
