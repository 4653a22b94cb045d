"""One training step of train.py, independent of the host, so that a CUDA graph can replay it."""

import contextlib
import copy
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from cifar import CLASSES

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "golden"))
from msdnet import Config, MSDNet  # noqa: E402

NETWORKS = {
    "subnets": dict(exits=10, base=4, step=2, step_mode="even", channels=32, growth=6),
    "blocks": dict(exits=7, base=4, step=2, step_mode="even", channels=16, growth=6),
}
MOMENTUM = 0.9


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
    """Loss and number of correct predictions of every exit, (E) each.

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


def learning_rate(args, step, steps):
    """Learning rate: linear warm-up, then a half cosine down to zero."""
    warm = max(1, round(args.warmup * steps))
    if step < warm:
        return args.lr * (step + 1) / warm
    return args.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def decay_groups(net, weight_decay):
    """Parameter groups: weight decay only for convolution and linear weights."""
    parameters = list(net.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


class Sgd:
    """torch.optim.SGD with Nesterov momentum, but with the learning rate in a tensor."""

    def __init__(self, net, weight_decay):
        self.groups = decay_groups(net, weight_decay)
        self.momentum = {p: torch.zeros_like(p) for p in net.parameters()}

    @torch.no_grad()
    def update(self, rate):
        for group in self.groups:
            learned = [p for p in group["params"] if p.grad is not None]  # no exit may read a last layer's fine scales
            gradients, momenta = [p.grad for p in learned], [self.momentum[p] for p in learned]
            if group["weight_decay"]:
                torch._foreach_add_(gradients, learned, alpha=group["weight_decay"])
            torch._foreach_mul_(momenta, MOMENTUM)
            torch._foreach_add_(momenta, gradients)
            torch._foreach_add_(gradients, momenta, alpha=MOMENTUM)
            torch._foreach_mul_(gradients, rate)
            torch._foreach_sub_(learned, gradients)
        self.drop_gradients()

    def drop_gradients(self):
        """Drops the gradients: those of a captured step are in the graph's memory and must not be referenced."""
        for parameter in self.momentum:
            parameter.grad = None


class Average:
    """A copy of the model: exponential moving averages of its weights and its
    batch-norm statistics."""

    def __init__(self, net):
        self.net = copy.deepcopy(net)
        pairs = list(zip(self.net.state_dict().values(), net.state_dict().values(), strict=True))
        self.floats = [list(side) for side in zip(*(p for p in pairs if p[0].is_floating_point()))]
        self.counters = [list(side) for side in zip(*(p for p in pairs if not p[0].is_floating_point()))]

    @staticmethod
    def share(decay, step):
        """Weight of the newest values: 1 - decay, larger at the start."""
        return 1 - min(decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, share):
        average, newest = self.floats
        change = torch._foreach_sub(newest, average)
        torch._foreach_mul_(change, share)
        torch._foreach_add_(average, change)
        torch._foreach_copy_(*self.counters)


class TrainingStep:
    """The model, optimizer and average, and one update of them.

    An update reads nothing from the host: it counts its steps on the device, and takes its learning
    rate and its share of the average from tables. So a CUDA graph can replay it. A CPU, and a GPU on
    which the capture fails, run the same function eagerly.
    """

    def __init__(self, args, device, batches, pixels):
        self.args, self.device, self.batches, self.pixels = args, device, batches, pixels
        torch.manual_seed(args.seed)
        self.net = build(args).to(device, memory_format=torch.channels_last)
        self.average = Average(self.net)
        self.optimizer = Sgd(self.net, args.weight_decay)
        self.exit_weights = torch.tensor(args.exit_weights, device=device)
        most = args.epochs * batches.per_epoch
        self.rates = torch.zeros(most, device=device)
        self.shares = torch.tensor([Average.share(args.average, step) for step in range(most)], device=device)
        self.counter = torch.zeros(1, dtype=torch.int64, device=device)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.right = torch.zeros(args.exits, dtype=torch.int64, device=device)
        self.graph, self.failed, self.calls = None, None, 0
        self.marks = [torch.cuda.Event(), torch.cuda.Event()] if device.type == "cuda" else None

    @property
    def capturable(self):
        return self.device.type == "cuda"

    def schedule(self, steps):
        """Sets the learning rates for a run of this many steps."""
        rates = [learning_rate(self.args, step, steps) for step in range(steps)]
        self.rates[:steps].copy_(torch.tensor(rates))

    def update(self):
        images, labels = self.batches(self.counter)
        # Autocast's cache of cast weights would belong to the capture and not be refilled by a replay.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.args.bf16, cache_enabled=False):
            losses, right = exit_losses(self.net, self.pixels(images), labels, self.args)
        (losses * self.exit_weights).sum().backward()
        # gather, since indexing by a tensor of no dimensions would ask the device for its value
        self.optimizer.update(self.rates.gather(0, self.counter)[0])
        self.average.update(self.shares.gather(0, self.counter)[0])
        self.loss_sum += losses.detach().double().mean()
        self.right += right
        self.counter += 1

    def __call__(self):
        """One update. The host is at most two updates ahead of a GPU, so that host times are meaningful."""
        mark = self.marks[self.calls % 2] if self.marks else None
        self.calls += 1
        if mark:
            mark.synchronize()
        if self.graph:
            self.graph.replay()
        else:
            torch.backends.cudnn.benchmark = True  # `predictions` turns it off
            # Number of algorithms to try; more cost a short run more than they save.
            torch.backends.cudnn.benchmark_limit = 4
            self.update()
        if mark:
            mark.record()

    def capture(self):
        """Captures the step: further calls are single launches, unless the capture fails. The capture itself runs nothing."""
        graph = None
        try:
            graph = torch.cuda.CUDAGraph()
            record(graph, self.update)
            self.graph = graph
        except RuntimeError as error:
            while isinstance(error.__context__, RuntimeError):  # leaving the capture fails too, with a less specific error
                error = error.__context__
            print(f"capture failed ({str(error).partition(chr(10))[0]}): goes on eagerly", file=sys.stderr, flush=True)
            self.optimizer.drop_gradients()
            self.failed = graph  # kept: PyTorch's allocator may still point to it
            with contextlib.suppress(AttributeError, RuntimeError):
                graph.reset()
                torch.cuda.synchronize(self.device)


def record(graph, update):
    """Captures on the current stream, which must not be the default one: see `own_stream`."""
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        update()


def own_stream(device):
    """Runs all work on one stream other than the default one, on which capture is impossible."""
    if device.type == "cuda":
        torch.cuda.set_stream(torch.cuda.Stream(device))


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def predictions(net, images, pixels, batch=1000):
    """Predicted class (N, E) of every image at every exit, computed in f32."""
    torch.backends.cudnn.benchmark = False  # trying algorithms for a few passes would cost more than it saves
    net.eval()
    chosen = []
    for start in range(0, len(images), batch):
        logits = net(pixels(images[start : start + batch]))[0]
        chosen.append(torch.stack([one.argmax(1) for one in logits], 1))
    return torch.cat(chosen)
