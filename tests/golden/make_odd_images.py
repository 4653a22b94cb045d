"""Writes odd_images/: photos that cameras, programs and accidents make, and odd_images.safetensors: their pixels.

Made with Pillow 13.0.0, NumPy 2.4.6, cjpeg and jpegtran of libjpeg-turbo 2.1.5; seed 21. Usage: python make_odd_images.py

The pixels are those of Pillow: upright (ImageOps.exif_transpose), as RGB, transparency over white. Files named `bad_*`
have no pixels: they are to be refused. 16-bit samples are divided by 257 and rounded, where Pillow clips or cuts.
"""
import io
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from safetensors.numpy import save_file

here = Path(__file__).parent / "odd_images"
here.mkdir(exist_ok=True)
rng = np.random.default_rng(21)
pixels = {}

y, x = np.mgrid[:27, :35]
smooth = np.stack([127 + 120 * np.sin(x / 7), 127 + 120 * np.cos(y / 9), 127 + 120 * np.sin((x + y) / 8)], axis=-1)
smooth = np.clip(smooth + rng.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)
photo = Image.fromarray(smooth)
# Noise, which tells a transparent pixel from its neighbor.
alpha = rng.integers(0, 256, smooth.shape[:2], np.uint8)


def over_white(image):
    """Alpha blending over white, rounded, in integers: msdcam's rule."""
    rgba = np.asarray(image.convert("RGBA")).astype(int)
    return ((rgba[..., :3] * rgba[..., 3:] + 255 * (255 - rgba[..., 3:]) + 127) // 255).astype(np.uint8)


def keep(name, data):
    """Writes the file and keeps the pixels that Pillow decodes, if it is a sound one."""
    (here / name).write_bytes(data)
    if not name.startswith("bad_"):
        pixels[name] = over_white(ImageOps.exif_transpose(Image.open(here / name)))


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tool(*command, source):
    """The output of a program of libjpeg-turbo."""
    with tempfile.TemporaryDirectory() as folder:
        given, scans, made = Path(folder, "in"), Path(folder, "scans"), Path(folder, "out")
        given.write_bytes(source)
        scans.write_text("0;\n1;\n2;\n")
        command = [part if part != "SCANS" else str(scans) for part in command]
        subprocess.run([*command, "-outfile", str(made), str(given)], check=True)
        return made.read_bytes()


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def tiff(orientation, kind=3):
    """An EXIF block with an orientation of type SHORT (3) or LONG (4)."""
    value = struct.pack("<HH", orientation, 0) if kind == 3 else struct.pack("<I", orientation)
    return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI", 0x112, kind, 1) + value + bytes(4)


# JPEG: scans and sampling factors.
ppm = saved(photo, "PPM")
for name, options in {
    "interleaved.jpg": ["-sample", "2x2,1x1,1x1"],
    "progressive.jpg": ["-sample", "2x2,1x1,1x1", "-progressive"],
    "progressive_restarts.jpg": ["-sample", "2x2,1x1,1x1", "-progressive", "-restart", "2B"],
    "fine_chroma.jpg": ["-sample", "1x1,2x2,2x2"],
    "fine_chroma_progressive.jpg": ["-sample", "1x1,2x2,2x2", "-progressive"],
    "thirds.jpg": ["-sample", "3x1,1x1,1x1"],
    "quarters.jpg": ["-sample", "4x1,1x1,1x1"],
    "bad_arithmetic.jpg": ["-arithmetic"],
    "bad_between.jpg": ["-sample", "4x1,2x1,2x1", "-progressive"],
}.items():
    keep(name, tool("cjpeg", "-quality", "90", *options, source=ppm))
for name, sample in {"scans.jpg": "1x1", "scans_420.jpg": "2x2,1x1,1x1"}.items():
    interleaved = tool("cjpeg", "-quality", "90", "-sample", sample, source=ppm)
    keep(name, tool("jpegtran", "-scans", "SCANS", source=interleaved))

# JPEG: headers.
plain = saved(photo, "JPEG", quality=90)
jfif_end = struct.unpack(">H", plain[4:6])[0] + 4
head, bare = plain[:jfif_end], plain[jfif_end:]
keep("stray_bytes.jpg", head + b"\0\0\0" + bare)
keep("stray_marker.jpg", head + b"\xff\0\xff\0" + bare)
keep("short_app14.jpg", head + segment(0xEE, b"Other") + bare)
empty_exif = b"Exif\0\0II*\0\x08\0\0\0" + bytes(6)
keep("two_exif_blocks.jpg", b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + tiff(6)) + segment(0xE1, empty_exif) + bare)
keep("long_orientation.jpg", b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + tiff(8, 4)) + bare)


def xmp(orientation):
    """An XMP packet with an orientation, an element for odd ones and an attribute for even ones."""
    inside = f"><tiff:Orientation>{orientation}</tiff:Orientation></rdf:Description>"
    description = inside if orientation % 2 else f' tiff:Orientation="{orientation}"/>'
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
        ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        f' xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{description}</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def jpeg_with_xmp(exif, orientation):
    packet = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(orientation))
    return b"\xff\xd8" + segment(0xE1, exif) + packet + bare


keep("xmp.jpg", jpeg_with_xmp(empty_exif, 7))
keep("xmp_beside_exif.jpg", jpeg_with_xmp(b"Exif\0\0" + tiff(3), 6))
keep("xmp_beside_upright_exif.jpg", jpeg_with_xmp(b"Exif\0\0" + tiff(1), 6))
keep("xmp_beside_odd_exif.jpg", jpeg_with_xmp(b"Exif\0\0" + tiff(0), 6))


def with_ids_rgb(data):
    """The components called R, G and B in the frame and in its only scan."""
    data, at = bytearray(data), 2
    while True:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2:at + 4])[0]
        for i, letter in enumerate(b"RGB"):
            if marker == 0xC0:
                data[at + 10 + 3 * i] = letter
            if marker == 0xDA:
                data[at + 5 + 2 * i] = letter
        if marker == 0xDA:
            return bytes(data)
        at += 2 + length


keep("jfif_ids_rgb.jpg", with_ids_rgb(saved(photo, "JPEG", quality=90, subsampling=0)))
keep("cmyk.jpg", saved(photo.convert("CMYK"), "JPEG", quality=95))
# Adobe's transform 2, luma, chroma and black, of the same samples: only the marker differs.
cmyk = saved(photo.convert("CMYK"), "JPEG", quality=95)
adobe = cmyk.index(b"Adobe")
keep("ycck.jpg", cmyk[:adobe + 11] + b"\x02" + cmyk[adobe + 12:])

# JPEG: damage that leaves valid codes.
restarts = saved(photo, "JPEG", quality=90, restart_marker_blocks=1)
keep("restarts.jpg", restarts)
third = restarts.index(b"\xff\xd2")
keep("bad_lost_restart.jpg", restarts[:third] + restarts[third + 2:])
keep("bad_half_scan.jpg", plain[:-200] + b"\xff\xd9")
whole = (here / "progressive.jpg").read_bytes()
last = whole.rindex(b"\xff\xda")
keep("bad_half_progressive_scan.jpg", whole[:last + 40] + b"\xff\xd9")
keep("bad_missing_scan.jpg", whole[:last] + b"\xff\xd9")
size = plain.index(b"\xff\xc0") + 5
keep("bad_taller_header.jpg", plain[:size] + struct.pack(">H", 270) + plain[size + 2:])

# PNG and WebP: orientations where the formats do not want them.


def png(*chunks):
    """`photo` as PNG, with `chunks` after its pixels."""
    data = saved(photo, "PNG")
    made = b"".join(struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    return data[:-12] + made + data[-12:]


profile = b"Exif\0\0" + tiff(6)
digits = "\n".join(profile.hex()[i:i + 72] for i in range(0, 2 * len(profile), 72))
profile = f"\nexif\n{len(profile):8}\n{digits}\n".encode()
keep("late_exif.png", png((b"eXIf", tiff(6))))
keep("late_exif_with_prefix.png", png((b"eXIf", b"Exif\0\0" + tiff(6))))
keep("raw_profile.png", png((b"tEXt", b"Raw profile type exif\0" + profile)))
keep("packed_profile.png", png((b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile))))
keep("late_xmp.png", png((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(5))))
keep("packed_xmp.png", png((b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(6)))))
keep("late_xmp_beside_exif.png", png((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6)), (b"eXIf", tiff(3))))
info = PngInfo()
info.add_itxt("XML:com.adobe.xmp", xmp(8).decode())
keep("xmp.png", saved(photo, "PNG", pnginfo=info))


def webp(name, metadata, flag):
    """`photo` as WebP with a chunk of metadata."""
    data = saved(photo, "WEBP", lossless=True)
    extended = b"VP8X" + struct.pack("<II", 10, flag) + struct.pack("<I", photo.width - 1)[:3] + struct.pack("<I", photo.height - 1)[:3]
    body = b"WEBP" + extended + data[12:] + name + struct.pack("<I", len(metadata)) + metadata + bytes(len(metadata) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


keep("exif_prefix.webp", webp(b"EXIF", b"Exif\0\0" + tiff(6), 8))
keep("xmp.webp", webp(b"XMP ", xmp(6), 4))
keep("xmp.tif", saved(photo, "TIFF", tiffinfo={700: xmp(6)}))
keep("xmp_beside_orientation.tif", saved(photo, "TIFF", tiffinfo={274: 3, 700: xmp(6)}))

# Formats that the image crate decodes.
rgba = Image.fromarray(np.dstack([smooth, alpha]))
gray, palette = photo.convert("L"), photo.quantize(16)
keep("rgb.bmp", saved(photo, "BMP"))
keep("palette.bmp", saved(palette, "BMP"))
keep("gray.bmp", saved(gray, "BMP"))
keep("bits.bmp", saved(photo.convert("1"), "BMP"))
keep("rgb.ppm", ppm)
keep("gray.pgm", saved(gray, "PPM"))
keep("bits.pbm", saved(photo.convert("1"), "PPM"))
text = " ".join(str(v) for v in smooth[:4, :5].ravel())
keep("text.ppm", f"P3\n# a comment\n5 4 255\n{text}\n".encode())
keep("text.pbm", b"P1\n5 2\n1 0 1 0 1\n01010\n")
keep("few_levels.pgm", b"P5 5 4 15\n" + (smooth[:4, :5, 0] >> 4).tobytes())
keep("plain.gif", saved(palette, "GIF"))
keep("transparent.gif", saved(palette, "GIF", transparency=3))
keep("animated.gif", saved(palette, "GIF", save_all=True, append_images=[Image.fromarray(255 - smooth).quantize(16)]))
for name, options in {"plain": {}, "lzw": dict(compression="tiff_lzw"), "deflate": dict(compression="tiff_adobe_deflate"),
                      "packbits": dict(compression="packbits")}.items():
    keep(f"{name}.tif", saved(photo, "TIFF", **options))
keep("gray.tif", saved(gray, "TIFF", compression="tiff_lzw"))
keep("bits.tif", saved(photo.convert("1"), "TIFF"))
keep("fax.tif", saved(photo.convert("1"), "TIFF", compression="group4"))
keep("alpha.tif", saved(rgba, "TIFF"))
keep("cmyk.tif", saved(photo.convert("CMYK"), "TIFF"))
for o in range(1, 9):
    tags = ImageFileDirectory_v2()
    tags[274] = o
    keep(f"orientation_{o}.tif", saved(photo, "TIFF", tiffinfo=tags))
tags = ImageFileDirectory_v2()
tags[254] = 1
keep("bad_preview.tif", saved(photo, "TIFF", tiffinfo=tags))
# The tag of the fourth sample: 2 for opacity alone, 1 for one by which the colors are multiplied.
tag = struct.pack("<HHI", 338, 3, 1)
multiplied = np.asarray(rgba).astype(int)
multiplied[..., :3] = (multiplied[..., :3] * multiplied[..., 3:] + 127) // 255
data = saved(Image.fromarray(multiplied.astype(np.uint8)), "TIFF")
keep("premultiplied.tif", data.replace(tag + b"\x02", tag + b"\x01"))
# Pillow divides by the opacity in between, which may cost one level.
pixels["premultiplied.tif"] = np.minimum(multiplied[..., :3] + 255 - multiplied[..., 3:], 255).astype(np.uint8)
tags = ImageFileDirectory_v2()
tags[266] = 2
keep("bad_bit_order.tif", saved(gray, "TIFF", tiffinfo=tags))
bitmap = (here / "palette.bmp").read_bytes()
keep("bad_palette.bmp", bitmap[:10] + struct.pack("<I", 54) + bitmap[14:46] + struct.pack("<I", 16) + bitmap[50:])
keep("bad_palette.tif", saved(palette, "TIFF"))

wide = rng.integers(0, 65536, (4, 5), np.uint16)
eight = ((wide.astype(int) + 128) // 257).astype(np.uint8)
for name, data in {"gray16.pgm": b"P5 5 4 65535\n" + wide.astype(">u2").tobytes(),
                   "gray16.tif": saved(Image.fromarray(wide), "TIFF")}.items():
    keep(name, data)
    pixels[name] = eight[..., None].repeat(3, -1)

save_file({k: np.ascontiguousarray(v) for k, v in pixels.items()}, Path(__file__).with_name("odd_images.safetensors"))
