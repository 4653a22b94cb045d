"""The published early-exit networks for images of 32 x 32 pixels, written anew from their papers on the parts of
`families.py`: MSDNet with seven exits, IMTA with five, the shallow-deep ResNet-56 with seven, RANet with six.

For `benches/onnx_table.py`. Each has `TAPS`: for each exit, in order of depth, the name of the module whose output, or
the last element of it, is its tap.
"""
import torch
from torch import nn
from torch.nn import functional

import families
from families import Basic, CollaborativeHead, MixedPooling, MultiScaleHead, Transition, unit

CLASSES = 100
SIZE = 32


def bottleneck(inputs, outputs, stride=1):
    """A 1x1 convolution to at most four times the channels, a 3x3 convolution."""
    inner = min(inputs, 4 * outputs)
    return nn.Sequential(unit(inputs, inner, 1), unit(inner, outputs, stride=stride))


def scales(widths):
    """Maps of the whole resolution, of half of it, and so on."""
    return nn.ModuleList([
        unit(3, widths[0]), *(unit(before, after, stride=2) for before, after in zip(widths, widths[1:]))
    ])


class MultiScaleLayer(families.MultiScaleLayer):
    """A layer of MSDNet with bottlenecks."""

    def __init__(self, widths, growths):
        nn.Module.__init__(self)
        self.own = nn.ModuleList(bottleneck(width, growth) for width, growth in zip(widths, growths))
        self.finer = nn.ModuleList(bottleneck(width, growth, 2) for width, growth in zip(widths, growths[1:]))


class Msdnet(nn.Module):
    """Multi-scale dense network: 4 layers to the first exit, 2 to each other; the finest scale ends at thirds."""

    def __init__(self, blocks=7, widths=(16, 32, 64), growths=(6, 6, 12)):
        super().__init__()
        self.TAPS = [f"blocks.{place}" for place in range(blocks)]
        self.scales = scales(widths)
        counts = [4] + [2] * (blocks - 1)
        interval, layer = -(-sum(counts) // 3), 0
        self.blocks, ends = nn.ModuleList(), []
        for count in counts:
            block = []
            for _ in range(count):
                block.append(MultiScaleLayer(widths, growths))
                widths = [width + growth * (1 + (s > 0)) for s, (width, growth) in enumerate(zip(widths, growths))]
                layer += 1
                if layer % interval == 0 and len(widths) > 1:
                    block.append(Transition([(width, width // 2) for width in widths[1:]]))
                    widths, growths = [width // 2 for width in widths[1:]], growths[1:]
            self.blocks.append(nn.Sequential(*block))
            ends.append(widths[-1])
        self.classifier = nn.ModuleList(self.head(width, place) for place, width in enumerate(ends))

    @staticmethod
    def head(width, _):
        return MultiScaleHead(width, 128, CLASSES)

    def features(self, x):
        """Maps of all scales at each exit."""
        maps = []
        for scale in self.scales:
            x = scale(x)
            maps.append(x)
        for block in self.blocks:
            maps = block(maps)
            yield maps

    def forward(self, x):
        return [head(maps) for head, maps in zip(self.classifier, self.features(x))]


class Imta(Msdnet):
    """An MSDNet of five exits, each of which but the first also reads the logits of the one before."""

    def __init__(self):
        super().__init__(blocks=5)

    @staticmethod
    def head(width, place):
        return CollaborativeHead(width, place > 0, 128, 128, CLASSES)

    def forward(self, x):
        answers, logits = [], None
        for head, maps in zip(self.classifier, self.features(x)):
            logits = head(maps[-1], logits)
            answers.append(logits)
        return answers


class ShallowDeepResNet56(nn.Module):
    """ResNet-56 with six internal classifiers of mixed pooling."""

    EXITS = (4, 8, 12, 16, 20, 24)
    TAPS = [*(f"blocks.{block - 1}" for block in EXITS), "blocks.26"]

    def __init__(self):
        super().__init__()
        self.stem = unit(3, 16)
        widths = [16] * 9 + [32] * 9 + [64] * 9
        self.blocks = nn.ModuleList(
            Basic(before, after, 1 if before == after else 2) for before, after in zip([16, *widths], widths)
        )
        self.internal = nn.ModuleList(
            MixedPooling(widths[block - 1], 512 // widths[block - 1], CLASSES) for block in self.EXITS
        )
        self.pool, self.fc = nn.AvgPool2d(8), nn.Linear(64, CLASSES)

    def forward(self, x):
        x, answers = self.stem(x), []
        for place, block in enumerate(self.blocks, 1):
            x = block(x)
            if place in self.EXITS:
                answers.append(self.internal[len(answers)](x))
        x = self.pool(x)
        return [*answers, self.fc(x.view(x.size(0), -1))]


class RanetLayer(nn.Module):
    """A dense layer of RANet. It resizes all that it concatenates, even what has the size already."""

    def __init__(self, width, growth, coarse=0, stride=1):
        super().__init__()
        self.own = bottleneck(width, growth - growth // 4 if coarse else growth, stride)
        self.up = bottleneck(coarse, growth // 4) if coarse else None

    def forward(self, x, coarse):
        own = self.own(x)
        parts = [x] if self.up is None else [x, self.up(coarse)]
        size = own.size()[2:]
        if self.up is not None or size != x.size()[2:]:
            parts = [functional.interpolate(part, size=size, mode="bilinear", align_corners=True) for part in parts]
        return torch.cat([*parts, own], 1)


class RanetBlock(nn.Module):
    """Layers, of which the first may halve the size, and a 1x1 convolution."""

    def __init__(self, width, growth, layers, coarse=0, stride=1):
        super().__init__()
        self.layers = nn.ModuleList(
            RanetLayer(width + growth * place, growth, coarse, 1 if place else stride) for place in range(layers)
        )
        self.width = (width + growth * layers) // 2
        self.reduce = unit(width + growth * layers, self.width, 1)

    def forward(self, x, coarse=None):
        for layer in self.layers:
            x = layer(x, coarse)
        return self.reduce(x)


class Ranet(nn.Module):
    """Three networks of growing resolution, of 2, 4 and 6 blocks; the last two of each have exits, the ones before read
    the blocks of the coarser network."""

    TAPS = [f"networks.{place}.{block}" for place in range(3) for block in (2 * place, 2 * place + 1)]

    def __init__(self, widths=(16, 32, 64), growth=16, layers=3):
        super().__init__()
        self.scales = scales(widths)
        self.networks, self.classifier, coarser = nn.ModuleList(), nn.ModuleList(), []
        for place in range(3):
            width, blocks = widths[2 - place], []
            for number in range(2 * place + 2):
                coarse = coarser[number] if number < len(coarser) else 0
                stride = 2 if number and number % 2 == 0 else 1
                blocks.append(RanetBlock(width, growth, layers, coarse, stride))
                width = blocks[-1].width
            self.networks.append(nn.ModuleList(blocks))
            coarser = [block.width for block in blocks]
            self.classifier.extend(MultiScaleHead(width, 128, CLASSES) for width in coarser[-2:])

    def forward(self, x):
        inputs = []
        for scale in self.scales:
            x = scale(x)
            inputs.insert(0, x)
        coarser, answers = [], []
        for x, network in zip(inputs, self.networks):
            maps = []
            for number, block in enumerate(network):
                x = block(x, coarser[number] if number < len(coarser) else None)
                maps.append(x)
                if number >= len(network) - 2:
                    answers.append(self.classifier[len(answers)]([x]))
            coarser = maps
        return answers
