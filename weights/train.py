"""Train an MSD-Net on CIFAR, in one go or a few minutes at a time; see README.md.

    python train.py --train TRAIN --test TEST --out RUN              the article's ten exits on CIFAR-10
    python train.py ... --data cifar100 --layout blocks              the authors' seven exits on CIFAR-100
    python train.py ... --fit --minutes 8 --piece-mb 15              as many epochs as fit in eight minutes
    python train.py ... --minutes 8 --piece-mb 15                    stop after 8 minutes; the same command resumes
    python train.py ... --init CKPT                                  start from a checkpoint's weights
    python train.py --eval CKPT --test TEST [--against JSONL]        accuracy per exit, compared with msdcam's

TRAIN and TEST: a folder or a .tar.gz with the official binary files or a folder of images per
class, or one binary file. Everything is decoded once and kept on the device.

RUN gets `state-*` (to resume from), `log.jsonl` and `log.md` (accuracy per exit and epoch), `summary.json`
(device, speed, remaining work), and at the end `msdnet_<data>.pth.tar`: the averaged weights in the article's
checkpoint format, convolution and linear weights rounded to f16, measured after rounding. PyTorch 2.x,
NumPy; Pillow for image files. On a CPU, an interrupted run ends with the same bits as an uninterrupted one.
"""

import argparse
import glob
import hashlib
import io
import json
import math
import os
import signal
import sys
import time
from collections import OrderedDict
from pathlib import Path

BEGUN = time.monotonic()  # before the imports that take seconds: they are part of --minutes

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

import training_step  # noqa: E402
from cifar import CLASSES, Batches, Pixels, load_data, thinned  # noqa: E402
from training_step import NETWORKS, predictions  # noqa: E402

SAVE_SECONDS = 120  # between two saves of a long run
# Steps that a GPU runs eagerly before the capture, as PyTorch's notes on CUDA graphs advise; their times do not count.
WARM_UP = {"cuda": 11, "cpu": 1}
SAMPLE = {"cuda": 50, "cpu": 4}  # number of later steps that --fit times
MARGIN = 0.03  # added by --fit
MAY_GROW = 0.8  # share of the planned steps after which --fit adds no epochs
EVALUATION_SHARE = 0.02  # maximum share of a fitted run's time
EXIT_SECONDS = 1.0  # from the last file to the end of the process, which releases a GPU; an estimate


# ---- files ----


def write_atomically(path, content):
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def write_pieces(folder, name, content, piece_bytes):
    """Writes `name`, or `name.01of03` etc. if one file would be too large; sorted by name they are in order."""
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
    """The content of a file or of its pieces; None if one is missing."""
    if path.exists():
        return path.read_bytes()
    pieces = sorted((p for p in path.parent.glob(f"{glob.escape(path.name)}*") if piece_key(p)[0] == path.name), key=piece_key)
    numbers = [piece_key(p)[1:] for p in pieces]
    if not pieces or numbers != [(i, len(pieces)) for i in range(1, len(pieces) + 1)]:
        return None
    return b"".join(p.read_bytes() for p in pieces)


def save_state(args, state):
    """Writes `state-<step>-<digest>`, then removes older states."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    name = f"state-{state['step']:08}-{hashlib.sha256(content).hexdigest()[:16]}"
    written = write_pieces(args.out, name, content, args.piece_mb * 1_000_000)
    for old in args.out.glob("state-*"):
        if old.name not in written:
            old.unlink()


def load_state(args, settings):
    """The newest complete state, or None."""
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
    """Writes log.jsonl and log.md; the last row is that of the rounded weights."""
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


def article_checkpoint(net, args, epochs, steps, best):
    """The dictionary that the article's training script saves, without the optimizer's momentum."""
    tensors = OrderedDict(
        ("module." + name, value.detach().cpu().contiguous()) for name, value in net.state_dict().items()
    )
    last = training_step.learning_rate(args, steps - 1, steps)
    groups = training_step.decay_groups(net, args.weight_decay)
    optimizer = torch.optim.SGD(groups, lr=last, momentum=training_step.MOMENTUM, nesterov=True)
    return {
        "epoch": epochs,
        "model": "msdnet",
        "state_dict": tensors,
        "best_prec1": torch.tensor(best),
        "optimizer": optimizer.state_dict(),
    }


def checkpoint_weights(path):
    """The bytes of a checkpoint, and its tensors by name."""
    content = read_pieces(path)
    if content is None:
        sys.exit(f"{path}: no such file, or a piece of it is missing")
    checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    state = checkpoint.get("state_dict", checkpoint)
    return content, {name.removeprefix("module."): value for name, value in state.items()}


def load_weights(net, weights, path):
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        sys.exit(f"{path}: not the network that the options describe: {str(error).splitlines()[1].strip()}")


def checkpoint_name(args):
    return f"msdnet_{args.data}.pth.tar"


# ---- commands ----


def percent_right(predicted, labels):
    return [round(100 * right, 4) for right in (predicted == labels[:, None]).double().mean(0).tolist()]


class Run:
    """A training run: its data, its state, its clock and its files.

    `step` counts the whole run's steps, `done` this process's. `epochs`, `every` (epochs between two
    evaluations) and `fitted` are the plan, which --fit makes once and every later process keeps.
    """

    KEPT = ("step", "epochs", "every", "fitted", "rows")

    def __init__(self, args, device, begun):
        self.args, self.device, self.begun = args, device, begun
        self.deadline = begun + 60 * args.minutes
        self.pixels = Pixels(args, device)
        images, labels = thinned(*load_data(args.train, args.data, "train"), args.train_images)
        if args.batch > len(labels):
            sys.exit(f"{args.train}: {len(labels)} images are less than a batch of {args.batch}")
        self.batches = Batches(args, images, labels, device)
        test = thinned(*load_data(args.test, args.data, "test"), args.test_images)
        self.test_images, self.test_labels = (t.to(device) for t in test)
        self.training = training_step.TrainingStep(args, device, self.batches, self.pixels)
        self.init = None  # SHA-256 of the checkpoint that the run began with
        if args.init:
            content, weights = checkpoint_weights(args.init)
            self.init = hashlib.sha256(content).hexdigest()
            for net in (self.training.net, self.training.average.net):
                load_weights(net, weights, args.init)
        self.step, self.epochs, self.every, self.fitted, self.rows = 0, args.epochs, args.every, False, []
        self.training.schedule(self.steps)

        self.done, self.finished, self.earlier_seconds = 0, False, 0.0
        self.warm_up, self.sample = WARM_UP[device.type], SAMPLE[device.type]
        self.warm_seconds = self.timed_seconds = self.evaluation_seconds = self.save_seconds = 0.0
        self.timed_steps, self.fitted_here = 0, False
        training_step.synchronize(device)
        self.load_seconds = time.monotonic() - begun

    @property
    def steps(self):
        return self.epochs * self.batches.per_epoch

    @property
    def seconds(self):
        """Seconds of this process and the previous ones."""
        return self.earlier_seconds + time.monotonic() - self.begun

    # -- state --

    def settings(self):
        """The settings that must not change when a run is resumed."""
        free = "out train test eval init predictions against minutes fit every state piece_mb device threads".split()
        facts = {key: value for key, value in vars(self.args).items() if key not in free}
        return facts | {"images": len(self.batches.labels), "init": self.init}

    def state(self):
        """The whole state; with --state compact only the averaged weights, rounded."""
        training = self.training
        average = training.average.net.state_dict()
        state = {"settings": self.settings(), "seconds": self.seconds} | {key: getattr(self, key) for key in self.KEPT}
        state |= {"loss_sum": training.loss_sum, "right": training.right}
        if self.args.state == "compact":
            return state | {"average": {name: t.half() if t.dim() > 1 else t for name, t in average.items()}}
        momentum = {name: training.optimizer.momentum[p] for name, p in training.net.named_parameters()}
        return state | {"average": average, "net": training.net.state_dict(), "momentum": momentum}

    def restore(self, state):
        training = self.training
        training.average.net.load_state_dict(state["average"])
        training.net.load_state_dict(state.get("net", state["average"]))
        for name, momentum in state.get("momentum", {}).items():
            training.optimizer.momentum[training.net.get_parameter(name)].copy_(momentum)
        for key in self.KEPT:
            setattr(self, key, state[key])
        self.earlier_seconds = state["seconds"]
        training.loss_sum.copy_(state["loss_sum"])
        training.right.copy_(state["right"])
        training.counter.fill_(self.step)
        training.schedule(self.steps)

    def save(self):
        begun = time.monotonic()
        save_state(self.args, self.state())
        self.save_seconds = time.monotonic() - begun
        self.write_summary()

    # -- time --

    def advance(self, interrupted):
        """Trains at least one step, to the end of the epoch, of the warm-up or of the sample, or until `interrupted()`."""
        per_epoch, begun, first = self.batches.per_epoch, time.monotonic(), self.step
        if self.batches.epoch != self.step // per_epoch:
            self.batches.begin(self.step // per_epoch)
        while True:
            self.training()
            self.step, self.done = self.step + 1, self.done + 1
            ends = self.step % per_epoch == 0 or self.done in (self.warm_up, self.warm_up + self.sample)
            if ends or interrupted():
                break
        training_step.synchronize(self.device)
        warming = self.done <= self.warm_up
        if self.done == self.warm_up and self.training.capturable and self.step < self.steps:
            self.training.capture()
        seconds = time.monotonic() - begun
        if warming:
            self.warm_seconds += seconds
        else:
            self.timed_seconds, self.timed_steps = self.timed_seconds + seconds, self.timed_steps + self.step - first

    def step_seconds(self):
        """Mean seconds of a training step, after the warm-up if possible."""
        return self.timed_seconds / self.timed_steps if self.timed_steps else self.warm_seconds / max(1, self.done)

    def end_seconds(self):
        """Seconds for two evaluations (before and after rounding) and the checkpoint, at most twice as large as a state."""
        return 2 * self.evaluation_seconds + 2 * self.save_seconds + EXIT_SECONDS

    def late(self):
        return time.monotonic() + self.save_seconds > self.deadline

    def epochs_in_time(self):
        """The total number of epochs that can be trained, evaluated and written in time."""
        per_epoch = self.batches.per_epoch
        step = (1 + MARGIN) * self.step_seconds() + self.evaluation_seconds / (self.every * per_epoch)
        left = self.deadline - time.monotonic() - self.end_seconds()
        return math.floor((self.step + left / step) / per_epoch)

    def fit(self):
        """Sets the number of epochs and the learning rates from the time of the first steps."""
        epochs, epoch_seconds = 0, self.step_seconds() * self.batches.per_epoch
        if not self.late():
            self.evaluate(first=1000)  # not timed: a GPU loads its kernels
            self.evaluate()
            self.save()
            self.every = max(1, math.ceil(self.evaluation_seconds / (EVALUATION_SHARE * epoch_seconds)))
            epochs = min(self.args.epochs, self.epochs_in_time())
        if epochs * self.batches.per_epoch <= self.step:
            times = f"loading took {self.load_seconds:.1f} s, warming up {self.warm_seconds:.1f} s"
            times += f", an epoch takes {epoch_seconds:.1f} s, the end {self.end_seconds():.1f} s"
            sys.exit(f"--minutes {self.args.minutes:g} is too short for --fit: {times}")
        self.plan(epochs)
        print(f"fitted: {epochs} epochs of {epoch_seconds:.2f} s, evaluated every {self.every}", flush=True)

    def fit_again(self):
        """At the end of an epoch, sets the number of epochs anew if the steps have become slower, or faster.

        A plan grows only while its learning rate is high: near its end, the rate would rise again.
        """
        epochs = max(self.step // self.batches.per_epoch, min(self.args.epochs, self.epochs_in_time()))
        if epochs < self.epochs or (epochs > self.epochs and self.step < MAY_GROW * self.steps):
            self.plan(epochs)
            print(f"fitted anew: {epochs} epochs", flush=True)

    def plan(self, epochs):
        self.epochs, self.fitted, self.fitted_here = epochs, True, True
        self.training.schedule(self.steps)

    def minutes_left(self):
        """Minutes that another process would need to finish."""
        if self.args.fit and not self.fitted:
            return self.args.minutes
        evaluations = self.epochs // self.every - self.step // self.batches.per_epoch // self.every
        seconds = self.load_seconds + self.warm_seconds + (self.steps - self.step) * self.step_seconds()
        return (seconds + evaluations * self.evaluation_seconds + self.end_seconds()) / 60

    # -- results --

    def evaluate(self, first=None):
        begun = time.monotonic()
        predicted = predictions(self.training.average.net, self.test_images[:first], self.pixels)
        test = percent_right(predicted, self.test_labels[:first])
        self.evaluation_seconds = time.monotonic() - begun
        return test

    def end_epoch(self):
        """Checks the loss, and measures the averaged weights in every `every`-th epoch and the last."""
        training, epoch = self.training, self.step // self.batches.per_epoch
        loss = training.loss_sum.item() / self.batches.per_epoch
        if not math.isfinite(loss):
            sys.exit(f"the loss is {loss} in epoch {epoch}; try a smaller --lr")
        if training.counter.item() != self.step:
            sys.exit(f"the device counted {training.counter.item()} steps instead of {self.step}")
        if epoch % self.every == 0 or self.step == self.steps:
            seen = self.batches.per_epoch * self.args.batch
            self.add_row(loss, [round(100 * right / seen, 4) for right in training.right.tolist()])
        training.loss_sum.zero_()
        training.right.zero_()

    def add_row(self, loss, train):
        test, seconds, epoch = self.evaluate(), self.seconds, self.step // self.batches.per_epoch
        row = {"epoch": epoch, "rounded": train is None, "seconds": round(seconds, 1)}
        row |= {"loss": loss, "train": train, "test": test}
        self.rows.append(row)
        write_log(self.args, self.rows)
        name = "rounded to f16" if row["rounded"] else f"epoch {epoch} of {self.epochs}"
        print(f"{name}, {seconds:.0f} s:", *(f"{x:.2f}" for x in test), flush=True)

    def finish(self):
        """Evaluates the rounded weights in f32 and writes them in the article's format."""
        net = self.training.average.net
        round_to_f16(net)
        self.add_row(None, None)
        best = max(row["test"][-1] for row in self.rows)
        buffer = io.BytesIO()
        torch.save(article_checkpoint(net, self.args, self.epochs, self.steps, best), buffer)
        names = write_pieces(self.args.out, checkpoint_name(self.args), buffer.getvalue(), self.args.piece_mb * 1_000_000)
        for old in self.args.out.glob("state-*"):
            old.unlink()
        self.finished = True
        self.write_summary()
        print("done:", *(self.args.out / name for name in names), flush=True)

    def write_summary(self):
        on_gpu, step = self.device.type == "cuda", self.step_seconds() if self.timed_steps else None
        summary = {
            "device": torch.cuda.get_device_name(self.device) if on_gpu else "CPU",
            "torch": str(torch.__version__),
            "captured": self.training.graph is not None,
            "bf16": self.args.bf16,
            "step": self.step,
            "steps": self.steps,
            "epochs": self.epochs,
            "fitted": self.fitted,
            "seconds_per_epoch": step and round(step * self.batches.per_epoch, 4),
            "images_per_s": step and round(self.args.batch / step, 1),
            "seconds_to_load": round(self.load_seconds, 2),
            "seconds_to_warm_up": round(self.warm_seconds, 2),
            "seconds_to_evaluate": round(self.evaluation_seconds, 3),
            "finished": self.finished,
            "minutes_left": None if self.finished else round(self.minutes_left(), 2),
            "test": self.rows[-1]["test"] if self.rows else None,
            "test_images": len(self.test_labels),
            "seed": self.args.seed,
            "batch": self.args.batch,
            "lr": self.args.lr,
        }
        write_atomically(self.args.out / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())


def train(args, device, begun):
    stop = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.append(True))
    args.out.mkdir(parents=True, exist_ok=True)
    if read_pieces(args.out / checkpoint_name(args)) is not None:
        sys.exit(f"{args.out / checkpoint_name(args)}: is there already")
    training_step.own_stream(device)
    run = Run(args, device, begun)
    print(f"loaded in {run.load_seconds:.1f} s", flush=True)
    state = load_state(args, run.settings())
    if state:
        run.restore(state)
        print(f"goes on at step {run.step} of {run.steps}", flush=True)
    saved = time.monotonic()
    while run.step < run.steps:
        run.advance(lambda: stop or run.late() or time.monotonic() - saved > SAVE_SECONDS)
        if run.step % run.batches.per_epoch == 0:
            if run.fitted_here:
                run.fit_again()
            run.end_epoch()
        if args.fit and not run.fitted and not stop and (run.timed_steps >= run.sample or run.late()):
            run.fit()
        due = bool(stop) or run.late()
        if run.step < run.steps and (due or time.monotonic() - saved > SAVE_SECONDS):
            run.save()
            saved = time.monotonic()
            if due:
                rest = f"about {run.minutes_left():.1f} more minutes"
                print(f"stopped at step {run.step} of {run.steps}; {rest}; the same command goes on", flush=True)
                return
    run.finish()


def evaluate(args, device):
    net = training_step.build(args)
    load_weights(net, checkpoint_weights(args.eval)[1], args.eval)
    net = net.to(device, memory_format=torch.channels_last)
    test = thinned(*load_data(args.test, args.data, "test"), args.test_images)
    images, labels = (t.to(device) for t in test)
    predicted = predictions(net, images, Pixels(args, device))
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
    add("--init", type=Path, metavar="CKPT", help="weights to start from; a run that continues needs them too")
    add("--eval", type=Path, metavar="CKPT", help="measure a checkpoint instead of training")
    add("--predictions", type=Path, metavar="FILE.npy", help="with --eval: the class of each image at each exit")
    add("--against", type=Path, metavar="JSONL", help="with --eval: demand the answers of msdcam classify --json, image by image")
    network = parser.add_argument_group("network (defaults: the layout's published one)")
    network.add_argument("--layout", choices=NETWORKS, default="subnets", help="the article's or the authors' port")
    for key, kind in [("exits", int), ("base", int), ("step", int), ("step-mode", str), ("channels", int), ("growth", int)]:
        network.add_argument(f"--{key}", type=kind, choices=["even", "lin_grow"] if kind is str else None)
    recipe = parser.add_argument_group("recipe").add_argument
    recipe("--epochs", type=int, default=200, help="with --fit: at most")
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
    running("--fit", action="store_true", help="as many epochs, at most --epochs, as end within --minutes")
    running("--every", type=int, default=1, help="epochs between two evaluations; --fit chooses its own")
    running("--state", choices=["whole", "compact"], help="to go on from; default: whole on a CPU, compact on a GPU")
    running("--piece-mb", type=int, default=0, help="no file larger than this; 0: no limit")
    running("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    running("--bf16", action=argparse.BooleanOptionalAction, help="bfloat16 autocast; default: on a GPU")
    running("--threads", type=int, help="of the CPU")
    running("--train-images", type=int, help="N of them, evenly spread: a rehearsal")
    running("--test-images", type=int, help="N of them, evenly spread")
    args = parser.parse_args(argv)
    if not args.eval and not (args.train and args.out):
        parser.error("training needs --train and --out")
    if args.fit and math.isinf(args.minutes):
        parser.error("--fit needs --minutes")
    for key, value in NETWORKS[args.layout].items():
        if getattr(args, key) is None:
            setattr(args, key, value)
    on_gpu = args.device.startswith("cuda")
    args.bf16 = on_gpu if args.bf16 is None else args.bf16
    args.state = args.state or ("compact" if on_gpu else "whole")
    args.exit_weights = args.exit_weights or [1.0] * args.exits
    if len(args.exit_weights) != args.exits:
        parser.error(f"--exit-weights: {len(args.exit_weights)} numbers for {args.exits} exits")
    return args


def main(argv=None, begun=None):
    args = arguments(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.backends.cudnn.allow_tf32 = False  # accuracies are measured in f32; training has bf16
    device = torch.device(args.device)
    evaluate(args, device) if args.eval else train(args, device, begun or time.monotonic())


if __name__ == "__main__":
    main(begun=BEGUN)
