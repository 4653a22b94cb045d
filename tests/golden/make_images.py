"""Writes images/: small photos in every format, and images.safetensors: their pixels as Pillow decodes them.

Made with Pillow 13.0.0, NumPy 2.4.6; seed 11. Usage: python make_images.py
"""
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import save_file

here = Path(__file__).parent / "images"
here.mkdir(exist_ok=True)
rng = np.random.default_rng(11)
pixels = {}

# Upright: red, green over blue, white; 24 wide, 16 high, so that a rotation also changes the size.
upright = np.zeros((16, 24, 3), np.uint8)
upright[:8, :12], upright[:8, 12:], upright[8:, :12], upright[8:, 12:] = (220, 0, 0), (0, 180, 0), (0, 0, 200), 255
pixels["upright"] = upright
stored_as = {1: lambda x: x, 2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud,
             5: lambda x: x.transpose(1, 0, 2), 6: lambda x: np.rot90(x, 1),
             7: lambda x: np.rot90(x, 2).transpose(1, 0, 2), 8: lambda x: np.rot90(x, -1)}
for o, turn in stored_as.items():
    image = Image.fromarray(np.ascontiguousarray(turn(upright)))
    exif = Image.Exif()
    exif[0x0112] = o
    for ending, options in {"jpg": dict(quality=95, subsampling=0), "png": {}, "webp": dict(lossless=True)}.items():
        path = here / f"orientation_{o}.{ending}"
        image.save(path, exif=exif, **options)
        again = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
        assert again.shape == upright.shape and abs(again.astype(int) - upright).max() < 40, (o, ending)
exif = Image.Exif()
exif[0x0112] = 9
Image.fromarray(upright).save(here / "orientation_9.png", exif=exif)

# A smooth photo with some noise, as JPEG is designed for.
y, x = np.mgrid[:45, :61]
smooth = np.stack([x * 4, y * 5, 255 - x * 2 - y * 2], axis=-1) + rng.normal(0, 6, (45, 61, 3))
smooth = Image.fromarray(np.clip(smooth, 0, 255).astype(np.uint8))


def keep(name, image, **options):
    """Saves the image and keeps the pixels that Pillow decodes."""
    image.save(here / name, **options)
    pixels[name] = np.asarray(Image.open(here / name).convert("RGB"))


keep("baseline.jpg", smooth, quality=90)
keep("progressive.jpg", smooth, quality=90, progressive=True)
keep("restarts.jpg", smooth, quality=90, restart_marker_blocks=2, optimize=True)
keep("full_colour.jpg", smooth, quality=90, subsampling=0)
keep("half_colour.jpg", smooth, quality=90, subsampling=1)
keep("rgb.jpg", smooth, quality=90, keep_rgb=True)
keep("grey.jpg", smooth.convert("L"), quality=90)
smooth.convert("CMYK").save(here / "cmyk.jpg", quality=90)
keep("rgb.png", smooth)
keep("lossy.webp", smooth, quality=80)
keep("lossless.webp", smooth, lossless=True)
keep("grey.png", smooth.convert("L"))
keep("bits.png", smooth.convert("1"))
keep("palette.png", smooth.quantize(16))
keep("one.png", Image.fromarray(np.array([[[1, 2, 3]]], np.uint8)))
keep("one.jpg", Image.fromarray(np.array([[[9, 9, 9]]], np.uint8)))

# Animations: the first frame is used.
second = Image.fromarray(255 - np.asarray(smooth))
for name, options in {"animated.webp": dict(lossless=True), "animated.png": {}}.items():
    smooth.save(here / name, save_all=True, append_images=[second], duration=100, **options)
    pixels[name] = np.asarray(smooth)


def over_white(rgb, alpha):
    """Alpha blending over white, rounded, in integers: msdcam's rule."""
    rgb, alpha = rgb.astype(int), alpha.astype(int)[..., None]
    return ((rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


rgba = np.dstack([np.asarray(smooth), rng.integers(0, 256, (45, 61), np.uint8)])
Image.fromarray(rgba).save(here / "alpha.png")
Image.fromarray(rgba).save(here / "alpha.webp", lossless=True, exact=True)
pixels["alpha"] = over_white(rgba[..., :3], rgba[..., 3])
grey_alpha = Image.merge("LA", [smooth.convert("L"), Image.fromarray(rgba[..., 3])])
grey_alpha.save(here / "grey_alpha.png")
pixels["grey_alpha.png"] = over_white(np.asarray(grey_alpha)[..., [0, 0, 0]], rgba[..., 3])
clear = smooth.quantize(16)
clear.save(here / "palette_transparent.png", transparency=3)
pixels["palette_transparent.png"] = over_white(np.asarray(clear.convert("RGB")), np.where(np.asarray(clear) == 3, 0, 255))


def png16(name, samples):
    """A handwritten 16-bit PNG: Pillow writes only gray ones."""
    h, w, channels = samples.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, kind, 0, 0, 0)), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    data = b"".join(struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    (here / name).write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    eight = ((samples.astype(int) + 128) // 257).astype(np.uint8)
    color = eight[..., [0, 0, 0]] if channels < 3 else eight[..., :3]
    pixels[name] = over_white(color, eight[..., -1]) if channels % 2 == 0 else np.ascontiguousarray(color)


for name, channels in {"grey16.png": 1, "grey_alpha16.png": 2, "rgb16.png": 3, "rgba16.png": 4}.items():
    png16(name, rng.integers(0, 65536, (9, 13, channels)))

save_file({k: np.ascontiguousarray(v) for k, v in pixels.items()}, Path(__file__).with_name("images.safetensors"))
