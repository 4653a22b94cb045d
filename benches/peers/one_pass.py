"""The best that PyTorch itself can do: batch norm folded, one forward pass, and a backward pass
through each head alone. Eager, compiled, or captured into a CUDA graph."""

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from networks import heat_map, stages, tap_of


def folded(net):
    """A copy in which each convolution has taken in the batch norm behind it."""
    net = copy.deepcopy(net).eval().requires_grad_(False)
    for parent in list(net.modules()):
        before = None
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
                setattr(parent, before_name, fuse_conv_bn_eval(before, child))
                setattr(parent, name, nn.Identity())
            before, before_name = child, name
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    return net


class OnePass:
    def __init__(self, net, images, channels_last=False):
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.net = folded(net).to(memory_format=self.format)
        self.images = images
        self.device = next(net.parameters()).device

    def gradient(self, head, tap):
        """Logits, and the gradient of each image's highest one."""
        with torch.enable_grad():
            tap = tap.detach().requires_grad_()
            logits = head(tap)
            (grad,) = torch.autograd.grad(logits.amax(1).sum(), tap)
        return logits.detach(), grad

    def maps(self, x):
        size, logits, heats = x.shape[2:], [], []
        x = x.contiguous(memory_format=self.format)
        for block, head in stages(self.net):
            x = block(x)
            tap = tap_of(self.net, x)
            scores, grad = self.gradient(head, tap)
            cam = (grad.mean((2, 3), keepdim=True) * tap).sum(1).clamp(min=0)
            logits.append(scores)
            heats.append(heat_map(cam, *size))
        return torch.stack(logits, 1), torch.stack(heats, 1)

    @torch.no_grad()
    def __call__(self):
        logits, heat = self.maps(self.images.to(self.device))
        return logits.cpu().numpy(), heat.cpu().numpy()


class Compiled(OnePass):
    """torch.compile over the whole pass, weights frozen into it."""

    def __init__(self, net, images, mode="default"):
        super().__init__(net, images, channels_last=True)
        if mode == "reduce-overhead" and self.device.type != "cuda":
            raise NotImplementedError("CUDA graphs need PyTorch on CUDA")
        torch._inductor.config.freezing = True
        self.maps = torch.compile(self.maps, mode=mode, dynamic=False, fullgraph=True)
        # CUDA graphs are captured in the second call: the answers that are checked come from a replay.
        for _ in range(2):
            self()

    def gradient(self, head, tap):
        """The same with a function transform, which the compiler takes into its graph."""

        def score(tap):
            logits = head(tap)
            return logits.amax(1).sum(), logits

        grad, logits = torch.func.grad(score, has_aux=True)(tap)
        return logits, grad


class Captured(OnePass):
    """The whole pass as one CUDA graph, images and answers in pinned host memory."""

    def __init__(self, net, images, channels_last=False):
        super().__init__(net, images, channels_last)
        if self.device.type != "cuda":
            raise NotImplementedError("CUDA graphs need PyTorch on CUDA")
        self.images = images.pin_memory()
        self.input = images.to(self.device)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.no_grad(), torch.cuda.stream(side):
            for _ in range(3):
                self.maps(self.input)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.no_grad(), torch.cuda.graph(self.graph):
            self.output = self.maps(self.input)
        self.answers = [torch.empty(out.shape, pin_memory=True) for out in self.output]

    def __call__(self):
        self.input.copy_(self.images, non_blocking=True)
        self.graph.replay()
        for answer, out in zip(self.answers, self.output, strict=True):
            answer.copy_(out, non_blocking=True)
        torch.cuda.synchronize()
        return tuple(answer.numpy() for answer in self.answers)
