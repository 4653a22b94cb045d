"""Writes corpus/: the seeds of the fuzz targets, from the repository's stored answers.

Usage: python3 fuzz/seeds.py [PROGRAM]; PROGRAM is msdcam, by default the release build. Seeds that fuzzing found
(corpus/*/found_*) are kept.
"""
import io
import json
import math
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

here = Path(__file__).resolve().parent
golden = here.parent / "tests" / "golden"
program = Path(sys.argv[1] if len(sys.argv) > 1 else here.parent / "target" / "release" / "msdcam").resolve()


def write(target, name, data):
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def msdcam(folder, *arguments):
    subprocess.run([program, *map(str, arguments)], cwd=folder, check=True, capture_output=True)


for old in (here / "corpus").glob("*/*"):
    if not old.name.startswith("found_"):
        old.unlink()

# Checkpoints of every container, and those that are refused late.
for name in ["blocks_zip.pt", "blocks_legacy.pth", "old_tar.pth", "torchscript.pt", "whole_model.pth"]:
    write("checkpoint", name, (golden / "checkpoints" / name).read_bytes())
for name in ["objects_protocol4.pth", "whole_model.pth", "download.zip", "pt.safetensors", "two_prefixes.pth"]:
    write("checkpoint", f"saved_{name}", (golden / "saved" / name).read_bytes())


def zipped(files):
    """A zip archive without compression, whose bytes depend on its files alone."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return data.getvalue()


def pickled(*pairs):
    """A zip checkpoint of small tensors, as torch.save writes it: a state dict by hand."""
    ops = b"\x80\x02}("
    for i, (name, dims) in enumerate(pairs):
        count = math.prod(dims)
        strides = [1] * len(dims)
        for d in range(len(dims) - 2, -1, -1):
            strides[d] = strides[d + 1] * dims[d + 1]
        text = lambda s: b"X" + struct.pack("<I", len(s)) + s.encode()
        number = lambda n: b"K" + bytes([n]) if n < 256 else b"J" + struct.pack("<i", n)
        many = lambda ns: b"(" + b"".join(map(number, ns)) + b"t"
        ops += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        ops += text("storage") + b"ctorch\nFloatStorage\n" + text(str(i)) + text("cpu") + number(count) + b"tQ"
        ops += number(0) + many(dims) + many(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    files = {"a/data.pkl": ops + b"u.", "a/byteorder": "little"}
    for i, (_, dims) in enumerate(pairs):
        count = math.prod(dims)
        files[f"a/data/{i}"] = struct.pack(f"<{count}f", *range(count))
    return zipped(files | {"a/version": "3\n"})


write("checkpoint", "small.pt", pickled(("conv.weight", [2, 3, 1, 1]), ("conv.bias", [2])))

with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    # Weights of the smallest network, in both precisions.
    for precision in ["f16", "f32"]:
        msdcam(folder, "convert", golden / "checkpoints" / "blocks_legacy.pth", "-o", "w", "--dtype", precision)
        write("weights", f"{precision}.safetensors", (folder / "w").read_bytes())
    whole = (folder / "w").read_bytes()
    header = json.loads(whole[8 : 8 + struct.unpack("<Q", whole[:8])[0]])
    text = json.dumps({"__metadata__": header["__metadata__"]})
    write("weights", "without_tensors.safetensors", struct.pack("<Q", len(text)) + text.encode())

    # A run over a small set: finished, in progress, in shards, and evaluated.
    for i, (name, label) in enumerate([("chelsea_32", "cat"), ("one", "dog"), ("rgb16", "ship")]):
        (folder / "set" / label).mkdir(parents=True)
        shutil.copy(golden / "images" / f"{name}.png", folder / "set" / label / f"{i}.png")
    for label in ["airplane", "automobile", "bird", "deer", "frog", "horse", "truck"]:
        (folder / "set" / label).mkdir()
    explain = ["explain", "set", "--format", "folders", "--exits", "1,10", "--size", "32", "-q"]
    msdcam(folder, *explain, "-o", "run")
    for i in [1, 2]:
        msdcam(folder, *explain, "-o", "shards", "--shard", f"{i}/2")
    msdcam(folder, "evaluate", "set", "--format", "folders", "--exits", "1,10", "-o", "run", "-q")
    msdcam(folder, "explain", "set/cat/0.png", "--exits", "1,10", "--pictures", "none", "-o", "photo", "-q")
    write("npz", "explained.npz", (folder / "photo" / "0.npz").read_bytes())

    def part(path):
        return f"@{path.name}\n" + path.read_text()

    def arrays(folder):
        """The arrays of a run."""
        return b"".join(f"@{path.parent.name}/{path.name}\n".encode() + path.read_bytes() for path in sorted(folder.glob("*.npy")))

    def without_files(text, keep_arrays=False):
        """The same entries without pictures and, unless they are kept, arrays, so that they can be read and merged alone."""
        # Each line is JSON after its CRC-32.
        lines = [json.loads(line[9:]) for line in text.splitlines()]
        for line in lines:
            if "files" in line:
                line["files"] = []
            if not keep_arrays:
                line.pop("rows", None)
            if "arrays" in line and not keep_arrays:
                line["arrays"] = {"constants": [], "fields": []}
        texts = [json.dumps(line, separators=(",", ":")) for line in lines]
        return "".join(f"{zlib.crc32(text.encode()):08x} {text}\n" for text in texts)

    run, shards = folder / "run", folder / "shards"
    write("run", "finished", part(run / "results.jsonl") + part(run / "manifest.json"))
    with_arrays = (part(run / "results.jsonl") + part(run / "manifest.json")).encode() + arrays(run / "arrays")
    write("run", "finished_with_arrays", with_arrays)
    write("run", "evaluated", part(run / "evaluation.json"))
    evaluation = json.loads((run / "evaluation.json").read_text())
    journals = {path.name: without_files(path.read_text()) for path in sorted(shards.glob("journal-*"))}
    journal = lambda name: f"@{name}\n{journals[name]}"
    first, second = sorted(journals)
    write("run", "in_progress", journal(first))
    manifests = "".join(part(path) for path in sorted(shards.glob("manifest-*")))
    write("run", "shards", journal(first) + journal(second) + manifests)
    texts = "".join(f"@{path.name}\n" + without_files(path.read_text(), keep_arrays=True) for path in sorted(shards.glob("journal-*")))
    rows = b"".join(arrays(shards / f"arrays-{i}-of-2") for i in [1, 2])
    write("run", "shards_with_arrays", (texts + manifests).encode() + rows)


def result(label, exits):
    """A file of results with one image."""
    exits = [dict(exit=i + 1, **{"class": 0, "class_name": "a", "probability": p, "label_rank": r}) for i, (p, r) in exits]
    return "@results.jsonl\n" + json.dumps({"image": "a", **label, "exits": exits}) + "\n"


write("run", "label_without_name", result({"label": 500}, [(0, (0.5, 3))]))
write("run", "huge_class", result({"label": 999999, "label_name": "z"}, [(0, (0.5, 3))]))
write("run", "probability_above_one", result({"label": 0}, [(0, (1e6, 0)), (1, (1e6, 0))]))
for name, images in [("many_images", 10**12), ("most_images", 2**64 - 1)]:
    text = json.dumps({"journal": 2, "shard": "1/1", "images": images, "settings": {}, "remarks": {}})
    write("run", name, f"@journal.jsonl\n{zlib.crc32(text.encode()):08x} {text}\n")
write("run", "never_right", "@evaluation.json\n" + json.dumps({**evaluation, "hardness": {
    **evaluation["hardness"], "never_right": 2**64 - 1}}))
write("run", "small", '@results.jsonl\n{"image":"a","label":1,"label_name":"b","exits":'
      '[{"exit":1,"class":1,"class_name":"b","probability":0.5,"label_rank":0}]}\n{"image":"c","error":"no"}\n')

# Photos of every format, an interlaced PNG, and one with a color profile.
for name in ["alpha.png", "alpha.webp", "animated.png", "animated.webp", "baseline.jpg", "bits.png", "grey.jpg",
             "grey_alpha16.png", "half_colour.jpg", "lossless.webp", "lossy.webp", "orientation_6.jpg",
             "orientation_6.png", "orientation_6.webp", "palette_transparent.png", "progressive.jpg", "restarts.jpg",
             "rgb.jpg", "rgb16.png", "cmyk.jpg", "one.png"]:
    write("image", name, (golden / "images" / name).read_bytes())
for name in ["scans_420.jpg", "fine_chroma_progressive.jpg", "progressive_restarts.jpg", "stray_bytes.jpg", "ycck.jpg",
             "late_exif.png", "packed_profile.png", "packed_xmp.png", "xmp.jpg", "xmp.tif", "xmp.webp", "exif_prefix.webp", "palette.bmp", "text.ppm", "gray16.pgm",
             "animated.gif", "lzw.tif", "fax.tif", "cmyk.tif", "orientation_6.tif", "premultiplied.tif"]:
    write("image", name, (golden / "odd_images" / name).read_bytes())

# ONNX files of both exporters, with every form of weights, and some that are refused.
onnx = golden.parent / "onnx"
for name in ["all_f16", "weights_f16_typed", "weights_bf16", "weights_constant", "matmul_transpose", "normalized_legacy",
             "pool_mean_negative18", "pool_squeeze13", "softmax_dynamo", "confidence_last", "plain_dynamo_opset23",
             "mobilenet_v3_legacy", "shufflenet_v2_legacy", "parts_legacy", "resized_legacy", "leaky_legacy", "alexnet_lrn"]:
    write("onnx", f"{name}.onnx", (onnx / "networks" / f"{name}.onnx").read_bytes())
for name in ["good", "out_of_order", "three_operators", "cycle", "huge_constant", "wrong_reshape", "data_outside", "clip_nan", "resize_twice", "split_sum", "shuffle_of_two_groups"]:
    write("onnx", f"{name}.onnx", (onnx / "bad" / f"{name}.onnx").read_bytes())


def png(width, height, depth, kind, rows, interlaced=0, before=()):
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    chunk = lambda t, d: struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
rows = b"".join(b"\0" + bytes((x * y) % 256 for x in range(left, 19, right) for _ in range(8))
                for left, top, right, down in passes for y in range(top, 11, down))
write("image", "interlaced16.png", png(19, 11, 16, 6, rows, interlaced=1))
profile = (b"iCCP", b"p\0\0" + zlib.compress(bytes(200)))
write("image", "profile.png", png(8, 2, 1, 0, b"\0\xaa\1\x55", before=[profile]))
write("image", "wide.png", png(70000, 1, 8, 0, b"\0" + bytes(70000)))

# Arrays.
for names in [["logits"], ["none", "one"]]:
    write("npz", f"{names[0]}.npz", zipped({f"{n}.npy": (golden / "npy" / f"{n}.npy").read_bytes() for n in names}))

# CIFAR files: the first byte says how they are opened.
pixels = bytes(range(256)) * 12
write("cifar", "ten", b"\0" + b"".join(bytes([label]) + pixels for label in [3, 9]))
write("cifar", "hundred", b"\1" + b"".join(bytes([coarse, fine]) + pixels for coarse, fine in [(4, 30), (19, 99)]))
write("cifar", "auto", b"\2" + bytes([7]) + pixels)
for kind in ["protocol0", "protocol2", "protocol5", "floats"]:
    write("cifar", "python_" + kind, b"\2" + (golden / "cifar" / kind).read_bytes())
write("cifar", "python2_hundred", b"\1" + (golden / "cifar" / "cifar-100-python" / "test").read_bytes())
write("cifar", "label_out_of_range", b"\0" + bytes([10]) + pixels)

# Options and their files.
write("boxes", "own.json", '{"a.png": [{"box": [1, 2, 3, 4], "class": "cat"}, {"box": [0, 0, 1.5, 1], "class": 1}]}')
write("boxes", "coco.json", '{"images": [{"id": 7, "file_name": "a.png"}], "annotations": [{"image_id": 7, '
      '"category_id": 18, "bbox": [1, 2, 3, 4]}], "categories": [{"id": 18, "name": "dog"}]}')
write("boxes", "empty.json", '{"a.png": []}')
write("thresholds", "three.json", "[0.5, null, 1]")
write("thresholds", "none.json", "[null, null, null]")
write("thresholds", "out_of_range.json", "[0.5, -1, 2e3]")
write("arguments", "explain", "explain\na.png\n--exits\n1,3..5\n--method\nlayer-cam,score-cam\n--class\ntop3\n-o\nout\n")
write("arguments", "run", "explain\nset\n--shard\nauto/4\n--select\nwrong@1 right@10 | hardness<=3 class=\"a b\"\n")
write("arguments", "evaluate", "evaluate\nset\n--early-exit\n0.9\n--budget\n50M\n--batch-size\n64\n--class\ncat\n")
write("arguments", "faithfulness", "faithfulness\na.png\n--boxes\nb.json\n--tolerance\n2.5\n--max-memory\n512M\n")
write("arguments", "convert", "convert\na.pth\n--normalize\n0.5,0.5,0.5/0.2,0.2,0.2\n-o\nw\n")
write("arguments", "values", "all\n2/4\nauto\nviridis\n15%\notsu\nown\nscale1,exit2\nlogit\n0.25\n2G\n1e-3\n")

# Requests to the page.
question = ('{"photo":"1","model":0,"method":"layer-cam","tap":"exit3","class":"3","score":"margin","smooth":"flips",'
            '"colormap":"viridis","opacity":0.75,"scale":"shared","contours":true,"boxes":"15%","kind":"picture","exit":3}')
head = "{} HTTP/1.1\r\nHost: localhost:8417\r\nX-Msdcam-Token: 0\r\nContent-Length: {}\r\n\r\n"
write("request", "explain", head.format("POST /api/explain", len(question)) + question)
write("request", "photo", head.format("POST /api/photos?name=a%20b%2F%22.png", 4) + "\x89PNG")
write("request", "page", head.format("GET /", 0))
write("request", "chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
