"""Train an MSD-Net on CIFAR, in one go or a few minutes at a time; see README.md.

    python train.py --train TRAIN --test TEST --out RUN              the article's ten exits on CIFAR-10
    python train.py ... --data cifar100 --layout blocks              the authors' seven exits on CIFAR-100
    python train.py ... --minutes 8 --piece-mb 15                    stop after 8 minutes; the same words go on
    python train.py --eval CKPT --test TEST [--against JSONL]        accuracy per exit, beside msdcam's

TRAIN and TEST: a folder or a .tar.gz with the official binary files or a folder of images per
class, or one binary file. Everything is decoded once and then lives on the device.

RUN gets `state-*` (to go on from), `log.jsonl` and `log.md` (accuracy per exit and epoch), and at the
end `msdnet_<data>.pth.tar`: the averaged weights in the article's checkpoint format, convolution
and linear weights rounded to f16, measured after rounding. PyTorch 2.x, NumPy; Pillow for image
files. On a CPU, a run that was interrupted ends with the same bits as one that was not.
"""

import argparse
import copy
import glob
import hashlib
import io
import json
import math
import os
import signal
import sys
import tarfile
import time
from collections import OrderedDict
from pathlib import Path, PurePosixPath

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "golden"))
from msdnet import Config, MSDNet  # noqa: E402

SIDE, PAD = 32, 4
CLASSES = {"cifar10": 10, "cifar100": 100}
# The official binary files: bytes of label before the pixels (the last counts), and names.
LABEL_BYTES = {"cifar10": 1, "cifar100": 2}
OFFICIAL = {
    ("cifar10", "train"): [f"data_batch_{i}.bin" for i in range(1, 6)],
    ("cifar10", "test"): ["test_batch.bin"],
    ("cifar100", "train"): ["train.bin"],
    ("cifar100", "test"): ["test.bin"],
}
# What the ports divide out, as `msdcam convert` assumes: the article's nothing, the authors' these.
NORMALISATION = {
    "cifar10": ([0.4914, 0.4824, 0.4467], [0.2471, 0.2435, 0.2616]),
    "cifar100": ([0.5071, 0.4867, 0.4408], [0.2675, 0.2565, 0.2761]),
}
NETWORKS = {
    "subnets": dict(exits=10, base=4, step=2, step_mode="even", channels=32, growth=6),
    "blocks": dict(exits=7, base=4, step=2, step_mode="even", channels=16, growth=6),
}
SAVE_SECONDS = 120  # between two saves of a long run


# ---- data ----


def files_of(path):
    """(name, bytes) of every file in a folder or an archive, sorted by name."""
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file())
        return [(p.relative_to(path).as_posix(), p.read_bytes()) for p in inside]
    if path.suffix == ".bin":
        return [(path.name, path.read_bytes())]
    with tarfile.open(path) as archive:
        members = [(m.name, archive.extractfile(m).read()) for m in archive if m.isfile()]
    return sorted(members)


def from_binary(name, content, data):
    """Images (N, 32, 32, 3) and labels of one official binary file."""
    record = LABEL_BYTES[data] + 3 * SIDE * SIDE
    if not content or len(content) % record:
        sys.exit(f"{name}: {len(content)} bytes, not a multiple of {data}'s {record}")
    rows = np.frombuffer(content, np.uint8).reshape(-1, record)
    labels = rows[:, LABEL_BYTES[data] - 1].astype(np.int64)
    if labels.max() >= CLASSES[data]:
        sys.exit(f"{name}: record {labels.argmax()} has label {labels.max()} of {CLASSES[data]} classes")
    return rows[:, LABEL_BYTES[data] :].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1), labels


def from_class_folders(path, files, data):
    """Images and labels of a folder per class, classes in the order of their names."""
    from PIL import Image

    folders = [PurePosixPath(name).parent.name for name, _ in files]
    classes = sorted(set(folders))
    if len(classes) != CLASSES[data]:
        sys.exit(f"{path}: {len(classes)} class folders, {data} has {CLASSES[data]} classes")
    images = np.empty((len(files), SIDE, SIDE, 3), np.uint8)
    for i, (name, content) in enumerate(files):
        image = Image.open(io.BytesIO(content)).convert("RGB")
        if image.size != (SIDE, SIDE):
            sys.exit(f"{path}: {name} is {image.size[0]} x {image.size[1]} pixels, not {SIDE} x {SIDE}")
        images[i] = np.asarray(image)
    return images, np.array([classes.index(folder) for folder in folders], np.int64)


def load_data(path, data, split):
    """Images (N, 32, 32, 3), u8, and labels (N), of the train or the test half."""
    files = files_of(path)
    binary = [(n, c) for n, c in files if PurePosixPath(n).name in OFFICIAL[data, split] or path.suffix == ".bin"]
    if binary:
        parts = [from_binary(name, content, data) for name, content in binary]
        images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    else:
        halves = [(n, c) for n, c in files if split in PurePosixPath(n).parts[:-1]]
        pictures = [f for f in halves or files if f[0].lower().endswith((".png", ".jpg", ".jpeg"))]
        if not pictures:
            sys.exit(f"{path}: neither {OFFICIAL[data, split][0]} nor images in class folders")
        images, labels = from_class_folders(path, pictures, data)
    return torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels)


def thinned(images, labels, count):
    """`count` of the images, evenly spread: files may be sorted by class."""
    at = torch.linspace(0, len(labels) - 1, min(count or len(labels), len(labels))).round().long()
    return images[at], labels[at]


class Pixels:
    """u8 (N, H, W, 3) to the network's f32 (N, 3, H, W), in channels_last order by construction."""

    def __init__(self, args, device):
        mean, std = NORMALISATION[args.data] if args.layout == "blocks" else ([0.0] * 3, [1.0] * 3)
        self.mean, self.std = torch.tensor(mean, device=device), torch.tensor(std, device=device)

    def __call__(self, images):
        return ((images.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2)


class Epoch:
    """One epoch's order and augmentation, all drawn from the seed and the epoch's number.

    A batch is one gather: shifted crop of the zero-padded images, mirrored or not, and a square
    of the data set's mean colour somewhere, as far as it is inside.
    """

    def __init__(self, args, number, padded, labels, colour):
        n, device = len(labels), labels.device
        rng = torch.Generator().manual_seed(args.seed * 1_000_003 + number)
        self.order = torch.randperm(n, generator=rng).to(device)
        draw = [torch.randint(high, (n,), generator=rng) for high in (2 * PAD + 1, 2 * PAD + 1, 2, SIDE, SIDE)]
        self.dy, self.dx, self.mirrored, self.hole_y, self.hole_x = (d.to(device) for d in draw)
        self.padded, self.labels, self.colour, self.hole = padded, labels, colour, args.erase
        self.side = torch.arange(SIDE, device=device)

    def batch(self, start, size):
        at = slice(start, start + size)
        chosen, side = self.order[at], self.side
        columns = torch.where(self.mirrored[at, None] == 1, SIDE - 1 - side, side)
        y, x = self.dy[at, None] + side, self.dx[at, None] + columns
        images = self.padded[chosen[:, None, None], y[:, :, None], x[:, None, :]]
        if self.hole:
            top, left = self.hole_y[at, None] - self.hole // 2, self.hole_x[at, None] - self.hole // 2
            rows = (side >= top) & (side < top + self.hole)
            cols = (side >= left) & (side < left + self.hole)
            images = torch.where((rows[:, :, None] & cols[:, None, :])[..., None], self.colour, images)
        return images, self.labels[chosen]


# ---- network, loss, schedule ----


def build(args):
    network = {key: getattr(args, key) for key in NETWORKS["subnets"]}
    config = Config(layout=args.layout, classes=CLASSES[args.data], **network)
    net = MSDNet(config)
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net


def exit_losses(net, images, labels, args):
    """Loss and right answers of every exit, (E) each.

    Each exit but the last learns from the labels and, by --distill, from the last exit's softened
    probabilities (Hinton et al., 2015; no gradient through the teacher).
    """
    logits = torch.stack(net(images)[0]).float()
    exits, n, classes = logits.shape
    losses = F.cross_entropy(
        logits.flatten(0, 1), labels.repeat(exits), reduction="none", label_smoothing=args.label_smoothing
    ).view(exits, n).mean(1)
    if args.distill:
        t = args.temperature
        teacher = (logits[-1].detach() / t).log_softmax(1)
        students = (logits[:-1] / t).log_softmax(2)
        divergence = (teacher.exp() * (teacher - students)).sum(2).mean(1) * t * t
        losses = torch.cat([losses[:-1].lerp(divergence, args.distill), losses[-1:]])
    return losses, (logits.detach().argmax(2) == labels).sum(1)


def optimiser(net, args, device):
    """SGD with Nesterov momentum; weight decay on convolution and linear weights alone."""
    parameters = list(net.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": args.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True, fused=device.type == "cuda")


def learning_rate(args, step, steps):
    """Linear warm-up, then half a cosine down to zero."""
    warm = max(1, round(args.warmup * steps))
    if step < warm:
        return args.lr * (step + 1) / warm
    return args.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


class Average:
    """A copy of the network that follows it: exponential moving averages of its weights and its
    batch-norm statistics, faster at the start."""

    def __init__(self, net, decay):
        self.net, self.decay = copy.deepcopy(net), decay
        pairs = list(zip(self.net.state_dict().values(), net.state_dict().values(), strict=True))
        self.floats = list(zip(*(p for p in pairs if p[0].is_floating_point())))
        self.counters = list(zip(*(p for p in pairs if not p[0].is_floating_point())))

    @torch.no_grad()
    def update(self, step):
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(*self.floats, 1 - decay)
        torch._foreach_copy_(*self.counters)


@torch.no_grad()
def predictions(net, images, pixels, args, half=False, batch=1000):
    """Predicted class (N, E) of every image at every exit."""
    net.eval()
    chosen = []
    for start in range(0, len(images), batch):
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            logits = net(pixels(images[start : start + batch]))[0]
        chosen.append(torch.stack([one.float().argmax(1) for one in logits], 1))
    return torch.cat(chosen)


def percent_right(predicted, labels):
    return [round(100 * right, 4) for right in (predicted == labels[:, None]).double().mean(0).tolist()]


# ---- files ----


def write_atomically(path, content):
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def write_pieces(folder, name, content, piece_bytes):
    """`name`, or `name.01of03` ... where one file would be too large; their order is that of their names."""
    size = piece_bytes or len(content)
    count = -(-len(content) // size)
    names = [name] if count == 1 else [f"{name}.{i:02}of{count:02}" for i in range(1, count + 1)]
    for i, piece in enumerate(names):
        write_atomically(folder / piece, content[i * size : (i + 1) * size])
    return names


def piece_key(path):
    """`name.02of03` -> (name, 2, 3)."""
    name, _, number = path.name.rpartition(".")
    i, of, count = number.partition("of")
    return (name, int(i), int(count)) if of and i.isdigit() and count.isdigit() else (path.name, 1, 1)


def read_pieces(path):
    """A file's content, or that of its pieces, put together; None where one is missing."""
    if path.exists():
        return path.read_bytes()
    pieces = sorted((p for p in path.parent.glob(f"{glob.escape(path.name)}*") if piece_key(p)[0] == path.name), key=piece_key)
    numbers = [piece_key(p)[1:] for p in pieces]
    if not pieces or numbers != [(i, len(pieces)) for i in range(1, len(pieces) + 1)]:
        return None
    return b"".join(p.read_bytes() for p in pieces)


def save_state(args, state):
    """Writes `state-<step>-<digest>`, then removes what it replaces."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    name = f"state-{state['step']:08}-{hashlib.sha256(content).hexdigest()[:16]}"
    written = write_pieces(args.out, name, content, args.piece_mb * 1_000_000)
    for old in args.out.glob("state-*"):
        if old.name not in written:
            old.unlink()


def load_state(args, settings):
    """The newest state that is whole, or None."""
    names = sorted({piece_key(p)[0] for p in args.out.glob("state-*")}, reverse=True)
    for name in names:
        content = read_pieces(args.out / name)
        if content is None or hashlib.sha256(content).hexdigest()[:16] != name.rpartition("-")[2]:
            print(f"{args.out / name}: incomplete or damaged, not used", file=sys.stderr)
            continue
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if state["settings"] != settings:
            differ = [f"{k} {state['settings'].get(k)} -> {v}" for k, v in settings.items() if state["settings"].get(k) != v]
            sys.exit(f"{args.out}: was begun with other settings: {', '.join(differ)}")
        return state
    if names:
        sys.exit(f"{args.out}: no state is whole; remove state-* to begin again")
    return None


def write_log(args, rows):
    """log.jsonl, and log.md for readers; the last row is the rounded weights'."""
    write_atomically(args.out / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    exits = range(1, args.exits + 1)
    lines = ["| epoch | loss | " + " | ".join(f"exit {k}" for k in exits) + " |", "|---" * (args.exits + 2) + "|"]
    for row in rows:
        name = f"{row['epoch']}, rounded" if row["rounded"] else str(row["epoch"])
        loss = "" if row["loss"] is None else f"{row['loss']:.4f}"
        lines.append(f"| {name} | {loss} | " + " | ".join(f"{x:.2f}" for x in row["test"]) + " |")
    write_atomically(args.out / "log.md", ("\n".join(lines) + "\n").encode())


@torch.no_grad()
def round_to_f16(net):
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.weight.copy_(module.weight.half())


def article_checkpoint(net, optimizer, epoch, best):
    """The dictionary that the article's training script saves, without the optimiser's momentum."""
    tensors = OrderedDict(
        ("module." + name, value.detach().cpu().contiguous()) for name, value in net.state_dict().items()
    )
    groups = optimizer.state_dict()["param_groups"]
    return {
        "epoch": epoch,
        "model": "msdnet",
        "state_dict": tensors,
        "best_prec1": torch.tensor(best),
        "optimizer": {"state": {}, "param_groups": groups},
    }


# ---- commands ----


class Run:
    """A training run: everything that is saved and goes on, and the data it runs over."""

    def __init__(self, args, device):
        self.args, self.device = args, device
        self.pixels = Pixels(args, device)
        images, labels = thinned(*load_data(args.train, args.data, "train"), args.train_images)
        if args.batch > len(labels):
            sys.exit(f"{args.train}: {len(labels)} images are less than a batch of {args.batch}")
        self.colour = images.double().mean((0, 1, 2)).round().to(torch.uint8).to(device)
        self.padded = F.pad(images, (0, 0, PAD, PAD, PAD, PAD)).to(device)
        self.labels = labels.to(device)
        test = thinned(*load_data(args.test, args.data, "test"), args.test_images)
        self.test_images, self.test_labels = (t.to(device) for t in test)
        self.steps_per_epoch = len(labels) // args.batch
        self.steps = args.epochs * self.steps_per_epoch

        torch.manual_seed(args.seed)
        self.net = build(args).to(device, memory_format=torch.channels_last)
        self.average = Average(self.net, args.average)
        self.optimizer = optimiser(self.net, args, device)
        self.exit_weights = torch.tensor(args.exit_weights, device=device)
        self.losses = torch.compile(exit_losses) if args.compile else exit_losses
        self.step, self.rows, self.seconds = 0, [], 0.0
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.right = torch.zeros(args.exits, dtype=torch.int64, device=device)

    def settings(self):
        """What must be the same when a run goes on."""
        free = ("out", "train", "test", "eval", "predictions", "against", "minutes", "piece_mb", "device", "compile", "threads")
        facts = {key: value for key, value in vars(self.args).items() if key not in free}
        return facts | {"images": len(self.labels)}

    def state(self):
        kept = ("step", "rows", "seconds", "loss_sum", "right")
        modules = {key: module.state_dict() for key, module in self.modules().items()}
        return {"settings": self.settings(), **modules, **{key: getattr(self, key) for key in kept}}

    def modules(self):
        return {"net": self.net, "average": self.average.net, "optimizer": self.optimizer}

    def restore(self, state):
        for key, module in self.modules().items():
            module.load_state_dict(state[key])
        self.step, self.rows, self.seconds = state["step"], state["rows"], state["seconds"]
        self.loss_sum, self.right = (state[key].to(self.device) for key in ("loss_sum", "right"))

    def train_step(self, epoch):
        """One update on the epoch's next batch."""
        args = self.args
        images, labels = epoch.batch(self.step % self.steps_per_epoch * args.batch, args.batch)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(args, self.step, self.steps)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=args.bf16):
            losses, right = self.losses(self.net, self.pixels(images), labels, args)
        loss = (losses * self.exit_weights).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.average.update(self.step)
        self.loss_sum += losses.detach().double().mean()
        self.right += right
        self.step += 1

    def end_epoch(self, seconds):
        """Measures the averaged weights and adds a row to the log."""
        loss = self.loss_sum.item() / self.steps_per_epoch
        if not math.isfinite(loss):
            sys.exit(f"the loss is {loss} in epoch {self.step // self.steps_per_epoch}; try a smaller --lr")
        seen = self.steps_per_epoch * self.args.batch
        self.add_row(seconds, loss, [round(100 * r / seen, 4) for r in self.right.tolist()], self.args.bf16)
        self.loss_sum.zero_()
        self.right.zero_()

    def add_row(self, seconds, loss, train, half):
        predicted = predictions(self.average.net, self.test_images, self.pixels, self.args, half)
        row = {"epoch": self.step // self.steps_per_epoch, "rounded": train is None, "seconds": round(seconds, 1)}
        row |= {"loss": loss, "train": train, "test": percent_right(predicted, self.test_labels)}
        self.rows.append(row)
        write_log(self.args, self.rows)
        name = "rounded to f16" if row["rounded"] else f"epoch {row['epoch']} of {self.args.epochs}"
        print(f"{name}, {seconds:.0f} s:", *(f"{x:.2f}" for x in row["test"]), flush=True)

    def finish(self, seconds):
        """The rounded weights, measured in f32, in the article's format."""
        round_to_f16(self.average.net)
        self.add_row(seconds, None, None, False)
        best = max(row["test"][-1] for row in self.rows)
        buffer = io.BytesIO()
        torch.save(article_checkpoint(self.average.net, self.optimizer, self.args.epochs, best), buffer)
        names = write_pieces(self.args.out, checkpoint_name(self.args), buffer.getvalue(), self.args.piece_mb * 1_000_000)
        for old in self.args.out.glob("state-*"):
            old.unlink()
        print("done:", *(self.args.out / name for name in names))


def checkpoint_name(args):
    return f"msdnet_{args.data}.pth.tar"


def train(args, device):
    begun, stop = time.monotonic(), []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.append(True))
    args.out.mkdir(parents=True, exist_ok=True)
    if read_pieces(args.out / checkpoint_name(args)) is not None:
        sys.exit(f"{args.out / checkpoint_name(args)}: is there already")
    run = Run(args, device)
    state = load_state(args, run.settings())
    if state:
        run.restore(state)
        print(f"goes on at step {run.step} of {run.steps}")
    before, saved, epoch = run.seconds, begun, None
    while run.step < run.steps:
        if epoch is None or run.step % run.steps_per_epoch == 0:
            epoch = Epoch(args, run.step // run.steps_per_epoch, run.padded, run.labels, run.colour)
        run.train_step(epoch)
        now = time.monotonic()
        run.seconds = before + now - begun
        if run.step % run.steps_per_epoch == 0:
            run.end_epoch(run.seconds)
        due = bool(stop) or now - begun > 60 * args.minutes
        if run.step < run.steps and (due or now - saved > SAVE_SECONDS):
            save_state(args, run.state())
            saved = now
            if due:
                print(f"stopped at step {run.step} of {run.steps}; the same command goes on")
                return
    run.finish(run.seconds)


def evaluate(args, device):
    content = read_pieces(args.eval)
    if content is None:
        sys.exit(f"{args.eval}: no such file, or a piece of it is missing")
    checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    state = checkpoint.get("state_dict", checkpoint)
    net = build(args)
    try:
        net.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    except RuntimeError as error:
        sys.exit(f"{args.eval}: not the network that the options describe: {str(error).splitlines()[1].strip()}")
    net = net.to(device, memory_format=torch.channels_last)
    test = thinned(*load_data(args.test, args.data, "test"), args.test_images)
    images, labels = (t.to(device) for t in test)
    predicted = predictions(net, images, Pixels(args, device), args)
    columns = {"PyTorch": predicted}
    if args.against:
        columns["msdcam"] = theirs = answers(args.against, predicted.shape).to(device)
    print(f"| exit | {' | '.join(f'{name}, right of {len(labels)} | %' for name in columns)} |")
    print("|---" * (1 + 2 * len(columns)) + "|")
    for k in range(args.exits):
        rights = [int((column[:, k] == labels).sum()) for column in columns.values()]
        print(f"| {k + 1} |", *(f"{right} | {100 * right / len(labels):.2f} |" for right in rights))
    if args.predictions:
        np.save(args.predictions, predicted.to(torch.uint8).cpu().numpy())
    if args.against and (differ := int((predicted != theirs).sum())):
        image, exit = (predicted != theirs).nonzero()[0].tolist()
        sys.exit(f"{differ} of {predicted.numel()} predictions differ, the first for image {image} at exit {exit + 1}")


def answers(path, shape):
    """The classes (N, E) in the lines of `msdcam classify --json`."""
    with path.open() as lines:
        classes = torch.tensor([[exit["class"] for exit in json.loads(line)["exits"]] for line in lines])
    if classes.shape != shape:
        sys.exit(f"{path}: images and exits {list(classes.shape)}, not {list(shape)}")
    return classes


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", choices=CLASSES, default="cifar10")
    add("--train", type=Path, help="training images")
    add("--test", type=Path, required=True, help="test images")
    add("--out", type=Path, help="the run's folder")
    add("--eval", type=Path, metavar="CKPT", help="measure a checkpoint instead of training")
    add("--predictions", type=Path, metavar="FILE.npy", help="with --eval: the class of each image at each exit")
    add("--against", type=Path, metavar="JSONL", help="with --eval: demand the answers of msdcam classify --json, image by image")
    network = parser.add_argument_group("network (defaults: the layout's published one)")
    network.add_argument("--layout", choices=NETWORKS, default="subnets", help="the article's or the authors' port")
    for key, kind in [("exits", int), ("base", int), ("step", int), ("step-mode", str), ("channels", int), ("growth", int)]:
        network.add_argument(f"--{key}", type=kind, choices=["even", "lin_grow"] if kind is str else None)
    recipe = parser.add_argument_group("recipe").add_argument
    recipe("--epochs", type=int, default=200)
    recipe("--batch", type=int, default=512)
    recipe("--lr", type=float, default=0.3, help="highest learning rate")
    recipe("--warmup", type=float, default=0.05, help="share of the steps")
    recipe("--weight-decay", type=float, default=5e-4)
    recipe("--erase", type=int, default=8, help="side of the erased square, pixels; 0: none")
    recipe("--label-smoothing", type=float, default=0.0, help="0.1 would cap a confidence at 0.91, and early exit reads it")
    recipe("--distill", type=float, default=0.3, help="weight of the last exit's opinion in the other exits' losses")
    recipe("--temperature", type=float, default=3.0, help="of the distillation")
    recipe("--exit-weights", type=float, nargs="+", help="weight of each exit's loss; default 1 each")
    recipe("--average", type=float, default=0.999, help="decay of the weights' moving average; 0: none")
    recipe("--seed", type=int, default=1)
    running = parser.add_argument_group("running").add_argument
    running("--minutes", type=float, default=math.inf, help="stop cleanly after so many")
    running("--piece-mb", type=int, default=0, help="no file larger than this; 0: no limit")
    running("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    running("--bf16", action=argparse.BooleanOptionalAction, help="bfloat16 autocast; default: on a GPU")
    running("--compile", action=argparse.BooleanOptionalAction, help="torch.compile; default: on a GPU")
    running("--threads", type=int, help="of the CPU")
    running("--train-images", type=int, help="N of them, evenly spread: a rehearsal")
    running("--test-images", type=int, help="N of them, evenly spread")
    args = parser.parse_args(argv)
    if not args.eval and not (args.train and args.out):
        parser.error("training needs --train and --out")
    for key, value in NETWORKS[args.layout].items():
        if getattr(args, key) is None:
            setattr(args, key, value)
    on_gpu = args.device.startswith("cuda")
    args.bf16 = on_gpu if args.bf16 is None else args.bf16
    args.compile = on_gpu if args.compile is None else args.compile
    args.exit_weights = args.exit_weights or [1.0] * args.exits
    if len(args.exit_weights) != args.exits:
        parser.error(f"--exit-weights: {len(args.exit_weights)} numbers for {args.exits} exits")
    return args


def main(argv=None):
    args = arguments(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False  # accuracies are measured in f32; training has bf16
    device = torch.device(args.device)
    evaluate(args, device) if args.eval else train(args, device)


if __name__ == "__main__":
    main()
