"""Writes saved/: one small network, saved in every way that training scripts save one.

    python make_saved.py [--check]        # PyTorch 2.x, safetensors; seed 21; CPU

expected.json holds the versions, and for each way the file, the options, and what `msdcam convert` must say: its
notes, or the error. What converts has the tensors of `plain.pth`, each plus one where `other` is true. With
`--check` it writes nothing and compares `plain.pth` with the network of the seed.
"""

import argparse
import collections
import copy
import datetime
import enum
import json
import pathlib
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from msdnet import Config, MSDNet, Relu

HERE = Path(__file__).parent / "saved"
SEED = 21
CONFIG = Config(layout="blocks", stem="imagenet", classes=3, exits=1, base=1, step=1, channels=4, growth=2,
                scale_factor=[1], bottleneck_factor=[1])


def module(name: str, **members) -> types.ModuleType:
    """A module of the author's own, whose classes a pickle mentions by name."""
    made = types.ModuleType(name)
    for key, member in members.items():
        member.__module__, member.__qualname__ = name, key
        setattr(made, key, member)
    sys.modules[name] = made
    return made


class AverageMeter:
    def __init__(self):
        self.avg, self.count = 0.5, 3


class Phase(enum.Enum):
    TRAIN = "train"


class Attributes(dict):
    """A dictionary whose keys are attributes, as EasyDict has it."""


class Net(MSDNet):
    pass


def network() -> MSDNet:
    torch.manual_seed(SEED)
    net = MSDNet(CONFIG)
    for name, value in net.state_dict().items():
        if name.endswith(("running_var", "running_mean")):
            value.copy_(torch.rand_like(value) + 0.5)
    return net.eval()


def under(prefix: str, sd: dict) -> OrderedDict:
    return OrderedDict((prefix + key, value) for key, value in sd.items())


def write(folder: Path) -> dict:
    """Writes every file; returns the words that are expected of each."""
    # A legacy stream quotes the source of each module's class; that of a file without a path is enough.
    torch.serialization.get_source_lines_and_file = lambda of: (["# source\n"], 1, f"{of.__name__}.py")
    utils = module("utils", AverageMeter=AverageMeter, Phase=Phase, Attributes=Attributes)
    net = network()
    sd = net.state_dict()
    other = OrderedDict((key, value + 1 if value.is_floating_point() else value) for key, value in sd.items())
    rows: list[dict] = []

    def save(name: str, content, notes=(), error=None, args=(), other=False, **kw) -> None:
        torch.save(content, folder / name, **kw)
        row(name, notes, error, args, other)

    def row(name: str, notes=(), error=None, args=(), other=False) -> None:
        rows.append({"file": name, "args": list(args), "notes": list(notes), "error": error, "other": other})

    save("plain.pth", sd)
    # Prefixes.
    save("prefix_orig_mod.pth", {"state_dict": under("_orig_mod.", sd)}, ["the network under '_orig_mod.'"])
    save("prefix_module_orig_mod.pth", under("module._orig_mod.", sd), ["the network under 'module._orig_mod.'"])
    save("prefix_module.pth", under("module.", sd))
    normalizer = {"0.mean": torch.tensor([0.5, 0.25, 0.125]), "0.std": torch.tensor([0.25, 0.5, 1.0]).view(1, 3, 1, 1)}
    save("prefix_sequential.pth", {**normalizer, **under("1.", sd)},
         ["the network under '1.'", "left out 2 tensors under '0', which are no part of an MSD-Net",
          "pixels are normalized by the tensors '0.mean' and '0.std'"])
    save("lightning.ckpt", {"epoch": 1, "state_dict": under("model.", sd), "hyper_parameters": Attributes(lr=0.1),
                            "callbacks": {"ModelCheckpoint{'monitor': None}": {"dirpath": pathlib.PurePosixPath("a")}}},
         ["the network under 'model.'", "stepped over objects of "])
    # Tensors that no exit reads.
    save("swa.pth", {"n_averaged": torch.tensor(7), **under("module.", sd)},
         ["left out 1 tensor under 'n_averaged', which is no part of an MSD-Net"])
    counters = {"total_ops": torch.zeros(1), "blocks.0.total_params": torch.zeros(1, dtype=torch.float64)}
    save("thop.pth", {**sd, **counters})
    gates = {"gates.0.g.0.weight": torch.rand(2, 2), "temperature": torch.ones(1)}
    save("gates.pth", {**sd, **gates}, ["left out 2 tensors under 'gates', 'temperature'"])
    # Which state dict.
    both = {"epoch": 3, "model": sd, "model_ema": other}
    save("ema.pth", both, ["took the state dict 'model', not 'model_ema' (--state-dict)"])
    row("ema.pth", ["took the state dict 'model_ema', not 'model'"], args=["--state-dict", "model_ema"], other=True)
    best = {"best_state": sd, "last_state": other}
    save("best_and_last.pth", best,
         error="checkpoint: several state dicts, choose one with --state-dict: 'best_state', 'last_state'")
    row("best_and_last.pth", ["took the state dict 'best_state', not 'last_state'"], args=["--state-dict", "best_state"])
    save("list.pth", [sd])
    save("two_prefixes.pth", {**under("model.", sd), **under("ema.", other)},
         error="tensors: several networks, choose one with --state-dict: 'ema', 'model'")
    row("two_prefixes.pth", ["the network under 'ema.'"], args=["--state-dict", "ema"], other=True)
    save("deep.pth", {"a": {"b": {"c": {"d": sd}}}})
    save("boosted.pth", {"state_dict": {"model": sd}}, ["Boosted Dynamic Networks"])
    # Objects.
    history = collections.defaultdict(list)
    history["loss"].append(0.5)
    plain = {"state_dict": sd, "history": history, "range": range(5), "queue": collections.deque([1]),
             "zone": datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc),
             "space": types.SimpleNamespace(lr=0.1)}
    save("plain_objects.pth", plain)
    save("plain_objects_protocol4.pth", plain, pickle_protocol=4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    objects = {"state_dict": sd, "path": pathlib.PurePosixPath("runs/1"), "meter": utils.AverageMeter(),
               "phase": utils.Phase.TRAIN, "args": utils.Attributes(lr=0.1),
               "criterion": nn.CrossEntropyLoss(), "optimizer": optimizer,
               "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 10), "rng": np.random.RandomState(1)}
    save("objects.pth", objects, ["stepped over objects of "])
    save("objects_protocol4.pth", objects, ["stepped over objects of "], pickle_protocol=4)
    save("objects_legacy.pth", objects, ["stepped over objects of "], _use_new_zipfile_serialization=False)
    # Whole models.
    module("mynet", Net=Net)
    net.__class__ = Net
    whole = ["a whole model of class 'mynet.Net': its tensors were read, its code was not"]
    save("whole_model.pth", net, whole)
    save("whole_model_in_dict.pth", {"model": nn.DataParallel(net)},
         ["a whole model of class 'torch.nn.parallel.data_parallel.DataParallel'"])
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save("whole_model_legacy.pth", net, whole, _use_new_zipfile_serialization=False)
    gelu = copy.deepcopy(net)
    for parent in list(gelu.modules()):
        for key, child in list(parent.named_children()):
            if isinstance(child, Relu):
                setattr(parent, key, nn.GELU())
    save("whole_model_gelu.pth", gelu, error="module 'classifier.0.")
    scratch = copy.deepcopy(net)
    scratch.blocks.register_buffer("scratch", torch.ones(3), persistent=False)
    save("whole_model_scratch.pth", scratch, whole)
    net.__class__ = MSDNet
    # Containers.
    save_file({key: value.contiguous() for key, value in sd.items()}, folder / "plain.safetensors")
    row("plain.safetensors")
    save_file(under("module.", sd), folder / "pt.safetensors", metadata={"format": "pt"})
    row("pt.safetensors")
    data = (folder / "plain.pth").read_bytes()
    with zipfile.ZipFile(folder / "download.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("MSDNet/args.txt"), "lr 0.1")
        archive.writestr(zipfile.ZipInfo("MSDNet/model_best.pth.tar"), data, zipfile.ZIP_DEFLATED)
    row("download.zip", ["read 'MSDNet/model_best.pth.tar' in the archive"])
    with zipfile.ZipFile(folder / "two.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.pth", "b.pth"):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    row("two.zip", error="zip archive: 2 checkpoints, such as 'a.pth' and 'b.pth'; unpack the one that is meant")
    # What stays refused, and what to do about it.
    (folder / "cut_off.pth").write_bytes(data[: len(data) // 2])
    row("cut_off.pth", error="zip archive: has no directory at its end: the file is cut off; download it again")
    np.savez(folder / "arrays.npz", a=np.zeros(3))
    row("arrays.npz", error="zip archive: an .npz of NumPy arrays, not a PyTorch checkpoint; save the state_dict() "
                            "with torch.save")
    with zipfile.ZipFile(folder / "program.pt2", "w") as archive:
        archive.writestr(zipfile.ZipInfo("program/archive_format"), "pt2")
    row("program.pt2", error="zip archive: a program of torch.export (.pt2), not a checkpoint; save the model's state_dict()")
    statistics = {key: value for key, value in sd.items() if "running" not in key}
    save("no_running_statistics.pth", statistics, error="tensors: no running statistics at all: ")
    pruned = OrderedDict((key + "_orig" if value.dim() == 4 else key, value) for key, value in sd.items())
    save("pruned.pth", pruned, error="tensors: pruned weights ('weight_orig' and 'weight_mask'); call torch.nn.utils.prune")
    normed = OrderedDict((key + "_g" if value.dim() == 4 else key, value) for key, value in sd.items())
    save("weight_norm.pth", normed, error="tensors: weights under weight_norm or another parametrization; call torch.nn.utils.remove_weight_norm")
    headless = OrderedDict((key, value) for key, value in sd.items() if not key.startswith("classifier."))
    save("headless.pth", headless, error="tensor 'classifier.*.linear.weight': absent: no exit has a head")
    save("optimizer.pth", optimizer.state_dict(),
         error="checkpoint: no state_dict inside, only a dictionary with the keys ['param_groups', 'state']")
    save("another_network.pth", {"conv1.weight": torch.rand(4, 3, 7, 7), "fc.bias": torch.rand(3)},
         error="tensors: no MSD-Net of a known layout: 2 tensors, 'conv1.weight', 'fc.bias'")
    return {"made with": {"torch": torch.__version__.split("+")[0], "numpy": np.__version__,
                          "python": sys.version.split()[0], "seed": SEED}, "files": rows}


def check() -> bool:
    """Checks that PyTorch finds the seeded network in each stored file that converts without a choice."""
    stored = json.loads((HERE / "expected.json").read_text())
    wanted = network().state_dict()
    ok = True
    plain = torch.load(HERE / "plain.pth", weights_only=True)
    for key, value in wanted.items():
        ok &= torch.equal(plain[key], value)
    print(f"plain.pth: {'agrees' if ok else 'DIFFERS'}; {len(stored['files'])} files")
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
