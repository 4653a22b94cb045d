"""Writes checkpoints/: small checkpoints in every container, and what PyTorch reads from them.

    python make_checkpoints.py [--check]        # PyTorch 2.x; seed 20; CPU

With `--check` it writes into a temporary folder, and ends with status 1 if PyTorch reads other values from
a new file than from the stored one.

expected.json holds the versions and, per file, the SHA-256 of all tensors of the model in
the order of their names: a line `name dim dim ...`, then the elements as little-endian f32.
A CIFAR head has 128 x 128 x 3 x 3 weights; its two large convolutions are saved as expanded
views of a few elements, which keeps the files small and tests strides of zero.
"""

import argparse
import hashlib
import io
import json
import pickle
import struct
import sys
import tarfile
import tempfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

from msdnet import Config, GlobalConv, MSDNet

HERE = Path(__file__).parent / "checkpoints"
SEED = 20
NO_CHECKPOINT = ("expected.json", "whole_model.pth", "torchscript.pt")
TINY = dict(classes=3, exits=2, base=2, step=1, channels=4, growth=2)
SUBNETS = Config(**TINY)
BLOCKS = Config(layout="blocks", stem="imagenet", scale_factor=[1, 2], bottleneck_factor=[1, 2], **TINY)

WITH_GLOBAL = Config(global_conv={"first": True, "all": False, "shared": False, "kernel": 3})


def state(config: Config) -> OrderedDict:
    sd = MSDNet(config).state_dict()
    for k, v in sd.items():
        if k.endswith("running_var") or k.endswith("running_mean"):
            sd[k] = torch.rand_like(v) + 0.5
        elif v.numel() > 1000:
            sd[k] = (torch.randn(v.shape[0], 1, 1, 1) / 64).expand(v.shape)
    return sd


def article(sd: OrderedDict) -> dict:
    """The dictionary that the article's training script saves, with unusual additions."""
    return {
        "epoch": 300,
        "model": "msdnet",
        "state_dict": OrderedDict(("module." + k, v) for k, v in sd.items()),
        "best_prec1": torch.tensor([12.5]),
        "optimizer": {
            "state": {140312345678912 + i: {"momentum_buffer": torch.randn(2, 2)} for i in range(3)},
            "param_groups": [{"lr": 0.1, "momentum": 0.9, "params": [140312345678912 + i for i in range(3)]}],
        },
        "args": argparse.Namespace(data="cifar10", lr=0.1),
        "top1": np.float64(87.5),
        "seed": 2**70,
    }


def awkward(sd: OrderedDict) -> OrderedDict:
    """The same model with every kind of storage that a checkpoint may hold."""
    out = OrderedDict()
    flat = torch.cat([v.reshape(-1) for k, v in sd.items() if k.endswith("running_mean")])
    at = 0
    for i, (k, v) in enumerate(sd.items()):
        if k.endswith("running_mean"):  # views into one shared storage
            out[k] = flat[at : at + v.numel()].view(v.shape)
            at += v.numel()
        elif v.dim() == 4 and i % 3 == 0:
            out[k] = v.contiguous(memory_format=torch.channels_last)
        elif v.dim() >= 2 and i % 3 == 1:
            out[k] = v.transpose(0, 1).contiguous().transpose(0, 1)
        elif v.is_floating_point():
            out[k] = v.to([torch.float16, torch.bfloat16, torch.float64, torch.float32][i % 4])
        else:
            out[k] = v
    return out


def old_tar(sd: OrderedDict, path: Path) -> None:
    """The container format before PyTorch 0.1.10, which PyTorch reads but no longer writes."""
    protocol = 2
    storages, tensors = io.BytesIO(), io.BytesIO()
    items = [(k, v.contiguous()) for k, v in sd.items() if v.is_floating_point()]
    pickle.dump(len(items), storages, protocol)
    pickle.dump(len(items), tensors, protocol)
    for i, (_, v) in enumerate(items):
        pickle.dump((1000 + i, "cpu", torch.FloatStorage), storages, protocol)
        storages.write(struct.pack("<q", v.numel()) + v.numpy().astype("<f4").tobytes())
        pickle.dump((5000 + i, 1000 + i, torch.FloatTensor), tensors, protocol)
        tensors.write(struct.pack("<i4x", v.dim()))
        tensors.write(struct.pack(f"<{v.dim()}q", *v.shape) + struct.pack(f"<{v.dim()}q", *v.stride()))
        tensors.write(struct.pack("<q", 0))
    pickle.dump([], storages, protocol)

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return str(obj[1]) if isinstance(obj, tuple) and len(obj) == 2 and obj[0] == "tensor" else None

    main = io.BytesIO()
    Pickler(main, protocol).dump(
        {"state_dict": OrderedDict((k, ("tensor", 5000 + i)) for i, (k, _) in enumerate(items)), "epoch": 1})
    info = pickle.dumps(
        {"protocol_version": 1000, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}, protocol)
    with tarfile.open(path, "w:", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in [("sys_info", info), ("pickle", main.getvalue()),
                           ("tensors", tensors.getvalue()), ("storages", storages.getvalue())]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def digest(path: Path) -> str:
    """Digest of the tensors that PyTorch reads from the file."""
    sd = torch.load(path, weights_only=False, map_location="cpu")
    sd = sd.get("state_dict", sd.get("net", sd))
    h = hashlib.sha256()
    for k, v in sorted((k.removeprefix("module."), v) for k, v in sd.items()):
        if not k.endswith("num_batches_tracked"):
            h.update((" ".join([k, *map(str, v.shape)]) + "\n").encode())
            h.update(v.to(torch.float32).contiguous().numpy().astype("<f4").tobytes())
    return h.hexdigest()


def write(folder: Path) -> dict:
    """Writes every file into `folder`; returns the content of expected.json."""
    torch.manual_seed(SEED)
    subnets, blocks = state(SUBNETS), state(BLOCKS)
    torch.save(article(subnets), folder / "subnets_zip.pth.tar")
    torch.save(article(subnets), folder / "subnets_legacy.pth.tar", _use_new_zipfile_serialization=False)
    torch.save(blocks, folder / "blocks_zip.pt")
    torch.save({"net": blocks, "acc": 71}, folder / "blocks_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(awkward(blocks), folder / "awkward_zip.pth", pickle_protocol=4)
    torch.save(awkward(blocks), folder / "awkward_legacy.pth", _use_new_zipfile_serialization=False)
    old_tar(blocks, folder / "old_tar.pth")
    torch.serialization.set_crc32_options(False)
    torch.save(blocks, folder / "without_crc.pth")
    torch.serialization.set_crc32_options(True)
    torch.save(GlobalConv(WITH_GLOBAL, 1, 1, 1), folder / "whole_model.pth")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), folder / "torchscript.pt")
    checkpoints = sorted(p.name for p in folder.iterdir() if p.name not in NO_CHECKPOINT)
    return {
        "made with": {"torch": torch.__version__.split("+")[0], "python": sys.version.split()[0], "seed": SEED},
        "sha256": {name: digest(folder / name) for name in checkpoints},
    }


def check() -> bool:
    """Checks that PyTorch reads the stored list from the stored files and from new ones."""
    stored = json.loads((HERE / "expected.json").read_text())["sha256"]
    with tempfile.TemporaryDirectory() as folder:
        now = write(Path(folder))["sha256"]
    ok = now.keys() == stored.keys()
    for name, sha256 in stored.items():
        same = sha256 == digest(HERE / name) == now.get(name)
        print(f"{name}: {'agrees' if same else 'DIFFERS'}")
        ok &= same
    return ok


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    if parser.parse_args().check:
        sys.exit(0 if check() else 1)
    HERE.mkdir(exist_ok=True)
    (HERE / "expected.json").write_text(json.dumps(write(HERE), indent=1) + "\n")


if __name__ == "__main__":
    main()
