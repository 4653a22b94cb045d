"""Small image classifiers of each family, as PyTorch modules, whose exports `make_networks.py` writes.

Every class has `SIZE` (height and width of its input) and `TAPS`: for each exit, in order of depth, the name of the
module whose output is its tap (the last element where that output is a list). `classes` channels never equal a tap's
channels, except where the family is made so (SqueezeNet).
"""
import torch
from torch import nn
from torch.nn import functional

CLASSES = 6


def unit(inputs, outputs, kernel=3, stride=1, padding=None, **options):
    """Convolution without bias, batch normalization, ReLU."""
    padding = kernel // 2 if padding is None else padding
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False, **options)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class Family(nn.Module):
    SIZE = (32, 32)
    TAPS = ("features",)

    def logits(self, x):
        return self(x)


class Plain(Family):
    """Convolutions, global average pooling, one linear layer."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 7, 3, padding=1)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(7, CLASSES)

    def forward(self, x):
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


class Bare(Family):
    """Convolutions with ReLU, global average pooling, one linear layer; no normalization."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 7, 3), nn.ReLU()
        )
        self.classifier = nn.Linear(7, CLASSES)

    def forward(self, x):
        return self.classifier(torch.flatten(functional.adaptive_avg_pool2d(self.features(x), 1), 1))


class Viewed(Family):
    """The number of features of the linear layer is computed at run time, from the last map's sizes."""

    TAPS = ("pool",)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 7, 3), nn.ReLU()
        )
        self.pool = nn.MaxPool2d(2)
        self.classifier = nn.Linear(7 * 9, CLASSES)

    def forward(self, x):
        x = self.pool(self.features(x))
        return self.classifier(x.view(-1, x.size(1) * x.size(2) * x.size(3)))


class Normalized(Bare):
    """Mean and standard deviation of the pixels are part of the network."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.1, -0.2, 0.3])[:, None, None])
        self.register_buffer("deviation", torch.tensor([0.8, 1.1, 1.25])[:, None, None])

    def forward(self, x):
        return super().forward((x - self.mean) / self.deviation)


class Twins(Family):
    """Two batch normalizations with equal parameters, which exporters store once, behind Identity nodes."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(2))
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.features = nn.ReLU()
        self.classifier = nn.Linear(8, CLASSES)

    def after_seeding(self):
        self.norms[1].load_state_dict(self.norms[0].state_dict())

    def forward(self, x):
        x = functional.max_pool2d(self.norms[0](torch.relu(self.first(x))), 4)
        x = self.features(self.norms[1](torch.relu(self.second(x))))
        return self.classifier(x.mean((2, 3)))


class Vgg(Family):
    """Pairs of convolutions; the maps are flattened through `view` into three linear layers with dropout."""

    SIZE = (24, 24)

    def __init__(self):
        super().__init__()
        layers, inputs = [], 3
        for outputs in (6, 6, "pool", 6, 6, "pool", 8, "pool"):
            if outputs == "pool":
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(8 * 9, 12), nn.ReLU(True), nn.Dropout(), nn.Linear(12, 12), nn.ReLU(True), nn.Dropout(),
            nn.Linear(12, CLASSES),
        )

    def forward(self, x):
        x = self.features(x)
        return self.classifier(x.view(x.size(0), -1))


class AlexNet(Family):
    """Large strided kernels, overlapping max pooling, adaptive average pooling to more than one pixel."""

    SIZE = (48, 48)
    TAPS = ("pool",)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 7, 5, stride=2, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(7, 8, 5, padding=2), nn.ReLU(inplace=True),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1),
        )
        self.pool = nn.AdaptiveAvgPool2d((3, 2))
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(8 * 6, 16), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(16, CLASSES)
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


class Basic(nn.Module):
    """Residual block of two convolutions."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.body = nn.Sequential(unit(inputs, outputs, stride=stride), *unit(outputs, outputs)[:2])
        self.down = None
        if stride != 1 or inputs != outputs:
            self.down = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.body(x) + (x if self.down is None else self.down(x)))


class Bottleneck(Basic):
    """Residual block of a 1x1, a 3x3 and a 1x1 convolution."""

    def __init__(self, inputs, outputs, stride):
        super().__init__(inputs, outputs, stride)
        inner = outputs // 2
        self.body = nn.Sequential(
            unit(inputs, inner, 1), unit(inner, inner, stride=stride), *unit(inner, outputs, 1)[:2]
        )


class ResNet(Family):
    """Residual network; the input is not square."""

    SIZE = (24, 40)
    TAPS = ("stages",)

    def __init__(self, block=Basic, widths=(8, 9)):
        super().__init__()
        self.stem = nn.Sequential(unit(3, 8, stride=2), nn.MaxPool2d(3, 2, 1))
        stages = [block(8, widths[0], 1)]
        stages += [block(before, after, 2) for before, after in zip(widths, widths[1:])]
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(widths[-1], CLASSES)

    def forward(self, x):
        return self.fc(torch.flatten(self.pool(self.stages(self.stem(x))), 1))


class ResNetBottleneck(ResNet):
    SIZE = (32, 32)

    def __init__(self):
        super().__init__(Bottleneck, (12, 16))


class DenseLayer(nn.Module):
    def __init__(self, inputs, growth):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, 2 * growth, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(2 * growth), nn.Conv2d(2 * growth, growth, 3, padding=1, bias=False)

    def forward(self, maps):
        x = self.conv1(torch.relu(self.norm1(torch.cat(maps, 1))))
        return self.conv2(torch.relu(self.norm2(x)))


class DenseBlock(nn.ModuleList):
    def __init__(self, inputs, growth, layers):
        super().__init__(DenseLayer(inputs + growth * layer, growth) for layer in range(layers))

    def forward(self, x):
        maps = [x]
        for layer in self:
            maps.append(layer(maps))
        return torch.cat(maps, 1)


class DenseNet(Family):
    """Normalization and ReLU before each convolution; concatenations of two, three and four maps that begin alike."""

    TAPS = ("relu",)

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(unit(3, 8), nn.MaxPool2d(2))
        self.block1 = DenseBlock(8, 3, 3)
        self.transition = nn.Sequential(
            nn.BatchNorm2d(17), nn.ReLU(), nn.Conv2d(17, 8, 1, bias=False), nn.AvgPool2d(2, 2)
        )
        self.block2 = DenseBlock(8, 3, 3)
        self.norm, self.relu = nn.BatchNorm2d(17), nn.ReLU()
        self.classifier = nn.Linear(17, CLASSES)

    def forward(self, x):
        x = self.block2(self.transition(self.block1(self.stem(x))))
        x = functional.adaptive_avg_pool2d(self.relu(self.norm(x)), (1, 1))
        return self.classifier(torch.flatten(x, 1))


class Fire(nn.Module):
    def __init__(self, inputs, squeeze, expand):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1, self.expand3 = nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x):
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.expand1(x)), torch.relu(self.expand3(x))], 1)


class SqueezeNet(Family):
    """Fire modules; a 1x1 convolution to the classes, ReLU, global average; max pooling whose last window is cut."""

    SIZE = (32, 36)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(8, 4, 8), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(16, 4, 8),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(16, CLASSES, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1))
        )

    def forward(self, x):
        return torch.flatten(self.classifier(self.features(x)), 1)


class Branches(nn.Module):
    """Concatenation of what branches give."""

    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


class GoogLeNet(Family):
    """Four branches, one of them max pooling; max pooling with `ceil_mode`, with and without padding."""

    SIZE = (30, 32)
    TAPS = ("block2",)

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(unit(3, 8, 5, 2), nn.MaxPool2d(3, 2, ceil_mode=True))
        self.block1 = self.block(8)
        self.pool = nn.MaxPool2d(2, 2, padding=1, ceil_mode=True)
        self.block2 = self.block(16)
        self.dropout, self.fc = nn.Dropout(0.2), nn.Linear(16, CLASSES)

    @staticmethod
    def block(inputs):
        return Branches(
            unit(inputs, 4, 1),
            nn.Sequential(unit(inputs, 4, 1), unit(4, 4)),
            nn.Sequential(unit(inputs, 4, 1), unit(4, 4, 5)),
            nn.Sequential(nn.MaxPool2d(3, 1, padding=1, ceil_mode=True), unit(inputs, 4, 1)),
        )

    def forward(self, x):
        x = self.block2(self.pool(self.block1(self.stem(x))))
        return self.fc(self.dropout(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1)))


class Inception(Family):
    """Kernels of 1x7 and 7x1; average pooling whose padding counts, or does not; a grid reduction."""

    SIZE = (33, 35)
    TAPS = ("mixed2",)

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(unit(3, 8, 3, 2, 0), nn.AvgPool2d(3, 2, ceil_mode=True))
        self.mixed1 = Branches(
            unit(8, 6, 1),
            nn.Sequential(unit(8, 4, 1), unit(4, 4, (1, 7), padding=(0, 3)), unit(4, 6, (7, 1), padding=(3, 0))),
            nn.Sequential(nn.AvgPool2d(3, 1, 1), unit(8, 4, 1)),
        )
        self.reduction = Branches(unit(16, 6, 3, 2, 0), nn.MaxPool2d(3, 2))
        self.mixed2 = Branches(
            Branches(unit(22, 4, (1, 3), padding=(0, 1)), unit(22, 4, (3, 1), padding=(1, 0))),
            nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), unit(22, 6, 1)),
        )
        self.fc = nn.Linear(14, CLASSES)

    def forward(self, x):
        x = self.mixed2(self.reduction(self.mixed1(self.stem(x))))
        return self.fc(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


class Grouped(Family):
    """Convolutions of 2 and 4 groups, with and without bias."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            unit(3, 8, stride=2), unit(8, 16, groups=2), nn.MaxPool2d(2),
            nn.Conv2d(16, 16, 3, 2, 1, groups=4), nn.ReLU(), unit(16, 12, 1, groups=4),
        )
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x):
        return self.fc(self.features(x).mean([2, 3]))


class Dilated(Family):
    """Convolutions whose kernels are dilated, one of them in one direction only."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            unit(3, 8, stride=2), unit(8, 8, padding=2, dilation=2), unit(8, 8, stride=2, padding=3, dilation=3),
            unit(8, 8, padding=(1, 2), dilation=(1, 2)),
        )
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.fc(self.features(x).mean((-1, -2)))


class Padded(Family):
    """Zeros on one side only, as TensorFlow's SAME with a stride of 2, computed from the input's size."""

    def __init__(self):
        super().__init__()
        self.first, self.second = unit(3, 7, 3, 2, 0), unit(7, 8, 5, 2, 0)
        self.features = nn.ReLU()
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.first(self.pad(x))
        height, width = x.shape[-2:]
        vertical, horizontal = max((height + 1) // 2 * 2 + 3 - height, 0), max((width + 1) // 2 * 2 + 3 - width, 0)
        padding = (horizontal // 2, horizontal - horizontal // 2, vertical // 2, vertical - vertical // 2)
        x = self.features(self.second(functional.pad(x, padding)) - 0.125)
        return self.fc(x.mean((2, 3), keepdim=True).flatten(1))


class EdgePadded(Family):
    """Copies of the edge around maps with negative values, before a max pooling with padding of its own: once directly,
    once with a ReLU between."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 7, 3, padding=1), nn.Conv2d(7, 8, 3)
        self.pads = nn.ModuleList([nn.ReplicationPad2d((1, 2, 0, 1)), nn.ReplicationPad2d((0, 1, 1, 0))])
        self.pools = nn.ModuleList([nn.MaxPool2d(5, 2, padding=1), nn.MaxPool2d((2, 3), 2)])
        self.features = unit(8, 8, 1)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.pools[0](self.pads[0](self.first(x)))
        x = self.pools[1](functional.relu(self.pads[1](self.second(x))))
        return self.fc(self.features(x).mean((2, 3)))


class Means(Family):
    """Global mean by `mean` with kept dimensions, which are squeezed."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(unit(3, 8, stride=2), nn.AvgPool2d(2), unit(8, 12))
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3), keepdim=True).squeeze(3).squeeze(2))


class Probabilities(Plain):
    logits = Plain.forward

    def forward(self, x):
        return torch.softmax(super().forward(x), 1)


class LogProbabilities(Plain):
    logits = Plain.forward

    def forward(self, x):
        return functional.log_softmax(super().forward(x), dim=-1)


class Confidence(Family):
    """Two exits, each with its logits and one more value, its confidence."""

    TAPS = ("stage1", "stage2")

    def __init__(self):
        super().__init__()
        self.stage1 = nn.Sequential(unit(3, 8, stride=2), nn.MaxPool2d(2))
        self.stage2 = unit(8, 12, stride=2)
        self.heads = nn.ModuleList(nn.Linear(width, CLASSES) for width in (8, 12))
        self.confidences = nn.ModuleList(nn.Linear(width, 1) for width in (8, 12))

    def forward(self, x):
        answers = []
        for stage, head, confidence in zip((self.stage1, self.stage2), self.heads, self.confidences):
            x = stage(x)
            pooled = torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1)
            answers += [head(pooled), torch.sigmoid(confidence(pooled))]
        return answers


class LogitsAndConfidence(Plain):
    """Logits, then one more value."""

    def __init__(self):
        super().__init__()
        self.confidence = nn.Linear(7, 1)

    def forward(self, x):
        x = torch.flatten(self.pool(self.features(x)), 1)
        return self.classifier(x), self.confidence(x)


class MultiScaleLayer(nn.Module):
    """A layer of MSDNet: each scale goes on from its own maps and from those of the next finer scale."""

    def __init__(self, widths, growths):
        super().__init__()
        self.own = nn.ModuleList(unit(width, growth) for width, growth in zip(widths, growths))
        self.finer = nn.ModuleList(unit(width, growth, stride=2) for width, growth in zip(widths, growths[1:]))

    def forward(self, maps):
        answer = [torch.cat([maps[0], self.own[0](maps[0])], dim=1)]
        for scale in range(1, len(maps)):
            new = [maps[scale], self.finer[scale - 1](maps[scale - 1]), self.own[scale](maps[scale])]
            answer.append(torch.cat(new, dim=1))
        return answer


class MultiScaleHead(nn.Module):
    """Two strided convolutions, average pooling and a linear layer, on the coarsest scale."""

    def __init__(self, width, inner=5, classes=CLASSES):
        super().__init__()
        self.features = nn.Sequential(unit(width, inner, stride=2), unit(inner, inner, stride=2), nn.AvgPool2d(2))
        self.linear = nn.Linear(inner, classes)

    def forward(self, maps):
        x = self.features(maps[-1])
        return self.linear(x.view(x.size(0), -1))


class Transition(nn.Module):
    """1x1 convolutions of each scale but the first, which ends here."""

    def __init__(self, widths):
        super().__init__()
        self.units = nn.ModuleList(unit(before, after, 1) for before, after in widths)

    def forward(self, maps):
        return [unit(x) for unit, x in zip(self.units, maps[1:])]


class Msdnet(Family):
    """Multi-scale dense network with three exits, of three scales and then two."""

    TAPS = ("blocks.0", "blocks.1", "blocks.2.1")

    def __init__(self):
        super().__init__()
        self.scales = nn.ModuleList([unit(3, 4), unit(4, 4, stride=2), unit(4, 6, stride=2)])
        self.blocks = nn.ModuleList([
            MultiScaleLayer((4, 4, 6), (2, 2, 3)),
            MultiScaleLayer((6, 8, 12), (2, 2, 3)),
            nn.Sequential(Transition([(12, 6), (18, 9)]), MultiScaleLayer((6, 9), (2, 3))),
        ])
        self.classifier = nn.ModuleList(MultiScaleHead(width) for width in (12, 18, 15))

    def forward(self, x):
        maps = []
        for scale in self.scales:
            x = scale(x)
            maps.append(x)
        answers = []
        for block, head in zip(self.blocks, self.classifier):
            maps = block(maps)
            answers.append(head(maps))
        return answers


class MixedPooling(nn.Module):
    """Internal classifier of a shallow-deep network: a learned mix of max and average pooling, then a linear layer."""

    def __init__(self, width, size, classes=CLASSES):
        super().__init__()
        self.max, self.average = nn.MaxPool2d(size // 4), nn.AvgPool2d(size // 4)
        self.alpha = nn.Parameter(torch.rand(1))
        self.linear = nn.Linear(width * 16, classes)

    def forward(self, x):
        x = self.alpha * self.max(x) + (1 - self.alpha) * self.average(x)
        return self.linear(x.view(x.size(0), -1))


class ShallowDeep(Family):
    """Shallow-deep network: a residual network with two internal classifiers of mixed pooling."""

    TAPS = ("stages.0", "stages.1", "stages.2")

    def __init__(self):
        super().__init__()
        self.stem = unit(3, 8, stride=2)
        self.stages = nn.ModuleList([Basic(8, 8, 1), Basic(8, 8, 2), Basic(8, 9, 2)])
        self.internal = nn.ModuleList([MixedPooling(8, 16), MixedPooling(8, 8)])
        self.pool, self.fc = nn.AvgPool2d(4), nn.Linear(9, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        answers = []
        for stage, head in zip(self.stages, self.internal):
            x = stage(x)
            answers.append(head(x))
        x = self.pool(self.stages[2](x))
        return answers + [self.fc(x.view(x.size(0), -1))]


class CollaborativeHead(nn.Module):
    """Head that also reads the previous exit's logits."""

    def __init__(self, width, previous, inner=5, read=4, classes=CLASSES):
        super().__init__()
        self.features = nn.Sequential(unit(width, inner, stride=2), unit(inner, inner, stride=2), nn.AvgPool2d(2))
        self.collaboration = nn.Sequential(nn.Linear(classes, read), nn.ReLU()) if previous else None
        self.linear = nn.Linear(inner + (read if previous else 0), classes)

    def forward(self, x, logits):
        x = self.features(x)
        x = x.view(x.size(0), -1)
        if self.collaboration is not None:
            x = torch.cat([x, self.collaboration(logits)], dim=1)
        return self.linear(x)


class Imta(Family):
    """Network with three exits, the second and third of which also read the logits of the one before."""

    TAPS = ("stages.0", "stages.1", "stages.2")

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList(
            [nn.Sequential(unit(3, 7, stride=2), unit(7, 8, stride=2)), unit(8, 8), unit(8, 9)]
        )
        self.heads = nn.ModuleList([
            CollaborativeHead(8, False), CollaborativeHead(8, True), CollaborativeHead(9, True)
        ])

    def forward(self, x):
        answers, logits = [], None
        for stage, head in zip(self.stages, self.heads):
            x = stage(x)
            logits = head(x, logits)
            answers.append(logits)
        return answers


class ImtaSum(Imta):
    """The same with the previous logits, times a learned number, added to each exit's own."""

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList([CollaborativeHead(width, False) for width in (8, 8, 9)])
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        answers = []
        for stage, head in zip(self.stages, self.heads):
            x = stage(x)
            logits = head(x, None)
            answers.append(logits + self.scale * answers[-1] if answers else logits)
        return answers


class EarlyOn(Family):
    """Residual network with an exit after each stage, of maps of 16 x 16, 8 x 8 and 4 x 4 pixels."""

    TAPS = ("stages.0", "stages.1", "stages.2")

    def __init__(self):
        super().__init__()
        self.stem = unit(3, 8, stride=2)
        self.stages = nn.ModuleList([Basic(8, 8, 1), Basic(8, 8, 2), Basic(8, 9, 2)])
        self.exits = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES)) for width in (8, 8, 9)
        )

    def forward(self, x):
        x = self.stem(x)
        answers = []
        for stage, head in zip(self.stages, self.exits):
            x = stage(x)
            answers.append(head(x))
        return tuple(answers)


class MobileNet(Family):
    """Inverted residual blocks: depthwise convolutions and ReLU6."""

    TAPS = ("last",)

    def __init__(self):
        super().__init__()
        self.stem = self.unit(3, 8, 3, 2)
        self.blocks = nn.ModuleList([self.block(8, 1), self.block(8, 1)])
        self.last = self.unit(8, 16, 1)
        self.fc = nn.Linear(16, CLASSES)

    @staticmethod
    def unit(inputs, outputs, kernel, stride=1, **options):
        return nn.Sequential(*unit(inputs, outputs, kernel, stride, **options)[:2], nn.ReLU6())

    def block(self, width, stride):
        return nn.Sequential(
            self.unit(width, 16, 1), self.unit(16, 16, 3, stride, groups=16), *unit(16, width, 1)[:2]
        )

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.fc(self.last(x).mean([2, 3]))


class Residual(nn.Module):
    """Adds what comes in to what the layers give, where both have one shape."""

    def __init__(self, *layers, adds=True):
        super().__init__()
        self.layers, self.adds = nn.Sequential(*layers), adds

    def forward(self, x):
        return x + self.layers(x) if self.adds else self.layers(x)


def activated(inputs, outputs, kernel, activation, stride=1, groups=1):
    """Convolution without bias, batch normalization, an activation."""
    return nn.Sequential(*unit(inputs, outputs, kernel, stride, groups=groups)[:2], activation())


class MobileNetV2(Family):
    """Depthwise convolutions with and without a stride, of ReLU6; the first block does not expand."""

    SIZE = (32, 40)
    TAPS = ("features.4",)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            activated(3, 8, 3, nn.ReLU6, 2), self.block(8, 8, 1, 1), self.block(8, 10, 2, 3), self.block(10, 10, 1, 2),
            activated(10, 24, 1, nn.ReLU6),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(24, CLASSES))

    @staticmethod
    def block(inputs, outputs, stride, ratio):
        inner = inputs * ratio
        layers = [activated(inputs, inner, 1, nn.ReLU6)] if ratio > 1 else []
        layers.append(activated(inner, inner, 3, nn.ReLU6, stride, inner))
        return Residual(*layers, *unit(inner, outputs, 1)[:2], adds=stride == 1 and inputs == outputs)

    def forward(self, x):
        x = functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))


class Gate(nn.Module):
    """Squeeze and excitation: a factor for each channel, from the means of all, by two 1x1 convolutions."""

    def __init__(self, width, inner, activation=nn.ReLU, gate=nn.Sigmoid, pools=True):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1) if pools else None
        self.reduce, self.activation = nn.Conv2d(width, inner, 1), activation()
        self.expand, self.gate = nn.Conv2d(inner, width, 1), gate()

    def forward(self, x):
        mean = x.mean((2, 3), keepdim=True) if self.pool is None else self.pool(x)
        gate = self.gate(self.expand(self.activation(self.reduce(mean))))
        return gate * x if self.pool is None else x * gate


class MobileNetV3(Family):
    """Hard swish of maps and of the classifier's vector, gates of hard sigmoid, ReLU in the first block."""

    SIZE = (32, 36)
    TAPS = ("features.4",)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            activated(3, 8, 3, nn.Hardswish, 2), self.block(8, 8, 3, 1, 8, nn.ReLU), self.block(8, 10, 5, 2, 16),
            self.block(10, 10, 5, 1, 12, gates=False), activated(10, 24, 1, nn.Hardswish),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Linear(24, 16), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(16, CLASSES))

    @staticmethod
    def block(inputs, outputs, kernel, stride, inner, activation=nn.Hardswish, gates=True):
        layers = [activated(inputs, inner, 1, activation)] if inner != inputs else []
        layers.append(activated(inner, inner, kernel, activation, stride, inner))
        if gates:
            layers.append(Gate(inner, 4, gate=nn.Hardsigmoid))
        return Residual(*layers, *unit(inner, outputs, 1)[:2], adds=stride == 1 and inputs == outputs)

    def forward(self, x):
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


class EfficientNet(Family):
    """SiLU, gates of sigmoid with SiLU between, a depthwise 5x5 convolution with a stride of 2."""

    SIZE = (36, 32)
    TAPS = ("features.4",)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            activated(3, 8, 3, nn.SiLU, 2), self.block(8, 8, 3, 1, 8), self.block(8, 10, 5, 2, 16),
            self.block(10, 10, 3, 1, 20), activated(10, 24, 1, nn.SiLU),
        )
        self.classifier = nn.Linear(24, CLASSES)

    @staticmethod
    def block(inputs, outputs, kernel, stride, inner):
        layers = [activated(inputs, inner, 1, nn.SiLU)] if inner != inputs else []
        layers += [activated(inner, inner, kernel, nn.SiLU, stride, inner), Gate(inner, 3, nn.SiLU)]
        return Residual(*layers, *unit(inner, outputs, 1)[:2], adds=stride == 1 and inputs == outputs)

    def forward(self, x):
        x = functional.adaptive_avg_pool2d(self.features(x), 1)
        return self.classifier(torch.flatten(x, 1))


class GroupedBlock(nn.Module):
    """Residual block of a 1x1, a grouped 3x3 and a 1x1 convolution, with a gate."""

    def __init__(self, inputs, outputs, stride, group=4, pools=False):
        super().__init__()
        self.body = nn.Sequential(
            unit(inputs, outputs, 1), unit(outputs, outputs, stride=stride, groups=outputs // group),
            Gate(outputs, 3, pools=pools), *unit(outputs, outputs, 1)[:2],
        )
        self.down = None
        if stride != 1 or inputs != outputs:
            self.down = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return torch.relu(self.body(x) + (x if self.down is None else self.down(x)))


class RegNetY(Family):
    """Grouped convolutions of four channels and gates by means in both forms, the factor before or behind the map."""

    SIZE = (32, 28)
    TAPS = ("stages",)

    def __init__(self):
        super().__init__()
        self.stem = unit(3, 8, stride=2)
        self.stages = nn.Sequential(
            GroupedBlock(8, 12, 2), GroupedBlock(12, 12, 1, pools=True), GroupedBlock(12, 16, 2, group=8)
        )
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.fc(self.stages(self.stem(x)).mean((2, 3)))


class LinearGate(nn.Module):
    """Squeeze and excitation by two linear layers, as in the first SENets."""

    def __init__(self, width, inner):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(width, inner, bias=False), nn.ReLU(inplace=True), nn.Linear(inner, width, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x):
        batch, channels, _, _ = x.size()
        return x * self.fc(self.pool(x).view(batch, channels)).view(batch, channels, 1, 1)


class SeResNet(ResNet):
    """Residual network whose gates are vectors of linear layers."""

    def __init__(self):
        super().__init__()
        for stage, width in zip(self.stages, (8, 9)):
            stage.body.append(LinearGate(width, 4))


def shuffled(x, groups):
    """Channels of all groups in turn."""
    batch, channels, height, width = x.size()
    x = x.view(batch, groups, channels // groups, height, width)
    return torch.transpose(x, 1, 2).contiguous().view(batch, -1, height, width)


class ShuffleV1Block(nn.Module):
    """Grouped 1x1 convolutions with the channels shuffled between; a stride of 2 concatenates the averaged maps."""

    def __init__(self, inputs, outputs, stride, groups):
        super().__init__()
        self.groups = groups
        inner, last = 12, outputs - inputs if stride == 2 else outputs
        self.first = unit(inputs, inner, 1, groups=groups)
        self.depthwise = nn.Sequential(*unit(inner, inner, stride=stride, groups=inner)[:2])
        self.last = nn.Sequential(*unit(inner, last, 1, groups=groups)[:2])
        self.shortcut = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None

    def forward(self, x):
        answer = self.last(self.depthwise(shuffled(self.first(x), self.groups)))
        if self.shortcut is None:
            return torch.relu(x + answer)
        return torch.relu(torch.cat([self.shortcut(x), answer], 1))


class ShuffleNetV1(Family):
    SIZE = (32, 40)
    TAPS = ("stages",)

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(unit(3, 9, stride=2), nn.MaxPool2d(3, 2, 1))
        self.stages = nn.Sequential(ShuffleV1Block(9, 18, 2, 3), ShuffleV1Block(18, 18, 1, 3))
        self.fc = nn.Linear(18, CLASSES)

    def forward(self, x):
        x = self.stages(self.stem(x))
        return self.fc(functional.avg_pool2d(x, x.size()[2:]).flatten(1))


class ShuffleV2Block(nn.Module):
    """Half of the channels pass, or both halves come from two branches with a stride of 2; then a shuffle."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        half = outputs // 2
        self.pass_ = None
        if stride == 2:
            self.pass_ = nn.Sequential(
                *unit(inputs, inputs, stride=2, groups=inputs)[:2], unit(inputs, half, 1)
            )
        before = inputs if stride == 2 else inputs // 2
        self.branch = nn.Sequential(
            unit(before, half, 1), *unit(half, half, stride=stride, groups=half)[:2], unit(half, half, 1)
        )

    def forward(self, x):
        if self.pass_ is None:
            passed, x = x.chunk(2, dim=1)
        else:
            passed = self.pass_(x)
        return shuffled(torch.cat((passed, self.branch(x)), dim=1), 2)


class ShuffleNetV2(Family):
    SIZE = (32, 40)
    TAPS = ("last",)

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(unit(3, 8, stride=2), nn.MaxPool2d(3, 2, 1))
        self.stages = nn.Sequential(
            ShuffleV2Block(8, 12, 2), ShuffleV2Block(12, 12, 1), ShuffleV2Block(12, 12, 1)
        )
        self.last = unit(12, 16, 1)
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.fc(self.last(self.stages(self.stem(x))).mean([2, 3]))


class GatedExits(MobileNetV3):
    """An exit at a sum behind a gate, and the last one."""

    TAPS = ("features.3", "features.4")

    def __init__(self):
        super().__init__()
        self.early = nn.Linear(10, CLASSES)

    def forward(self, x):
        x = self.features[:4](x)
        return self.early(x.mean((2, 3))), self.classifier(torch.flatten(self.pool(self.features[4](x)), 1))


class ShuffledExits(ShuffleNetV2):
    """Exits at shuffled maps of which deeper blocks read the halves."""

    TAPS = ("stages.0", "stages.1", "last")

    def __init__(self):
        super().__init__()
        self.early = nn.ModuleList(nn.Linear(12, CLASSES) for _ in range(2))

    def forward(self, x):
        x, answers = self.stem(x), []
        for stage, head in zip(self.stages, self.early):
            x = stage(x)
            answers.append(head(x.mean([2, 3])))
        return [*answers, self.fc(self.last(self.stages[2](x)).mean([2, 3]))]


class Parts(Family):
    """Ranges of channels of unequal sizes, counted from both ends, one of which is left out."""

    SIZE = (28, 24)
    TAPS = ("features",)

    def __init__(self):
        super().__init__()
        self.stem = unit(3, 11, stride=2)
        self.first, self.second = unit(3, 5), nn.Conv2d(6, 8, 3, padding=1)
        self.features = unit(10, 12, stride=2)
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x):
        first, _, last = torch.split(self.stem(x), [3, 2, 6], dim=1)
        x = torch.cat([self.second(last), self.first(first)], 1)
        x = torch.cat([x[:, -4:], x[:, 1:4] * x[:, 5:8], x[:, :3]], 1)
        return self.fc(self.features(x).mean((2, 3)))


class AlexNetLrn(Family):
    """Local response normalization over an odd and an even number of channels, before pooling."""

    SIZE = (40, 36)
    TAPS = ("features",)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 9, 5, stride=2, padding=2), nn.ReLU(inplace=True),
            nn.LocalResponseNorm(5, alpha=0.5, beta=0.75, k=2.0), nn.MaxPool2d(3, 2),
            nn.Conv2d(9, 10, 5, padding=2), nn.ReLU(inplace=True),
            nn.LocalResponseNorm(3, alpha=0.9, beta=0.5), nn.MaxPool2d(3, 2),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(10 * 4 * 3, 16), nn.ReLU(inplace=True), nn.Linear(16, CLASSES)
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


class UpFused(nn.Module):
    """A dense layer of RANet: its own maps, and those of a coarser network brought to their size."""

    def __init__(self, width, coarse, growth, align_corners):
        super().__init__()
        self.own, self.coarse = unit(width, growth), unit(coarse, growth, 1)
        self.align_corners = align_corners

    def forward(self, x, coarse):
        own = self.own(x)
        resized = functional.interpolate(
            self.coarse(coarse), size=own.size()[2:], mode="bilinear", align_corners=self.align_corners
        )
        return torch.cat([x, resized, own], dim=1)


class Ranet(Family):
    """Two networks, of half the resolution and of the whole, whose layers also read the first one's maps, enlarged."""

    SIZE = (36, 44)
    TAPS = ("coarse.0", "coarse.1", "fine.1")

    def __init__(self):
        super().__init__()
        self.scales = nn.ModuleList([unit(3, 6, stride=2), unit(6, 8, stride=2)])
        self.coarse = nn.ModuleList([DenseOnce(8, 3), DenseOnce(11, 3)])
        self.fine = nn.ModuleList([UpFused(6, 11, 3, True), UpFused(12, 14, 3, False)])
        self.classifier = nn.ModuleList(MultiScaleHead(width) for width in (11, 14, 18))
        for head in self.classifier:
            head.features[-1] = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        x = self.scales[0](x)
        coarse, maps, answers = self.scales[1](x), [], []
        for block, head in zip(self.coarse, self.classifier):
            coarse = block(coarse)
            maps.append(coarse)
            answers.append(head([coarse]))
        for block, coarse in zip(self.fine, maps):
            x = block(x, coarse)
        return [*answers, self.classifier[-1]([x])]


class DenseOnce(nn.Module):
    def __init__(self, width, growth):
        super().__init__()
        self.unit = unit(width, growth)

    def forward(self, x):
        return torch.cat([x, self.unit(x)], dim=1)


class Resized(Family):
    """Maps brought to other sizes: nearest and bilinear, by factors and to sizes, larger and smaller."""

    SIZE = (20, 24)
    TAPS = ("features",)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            unit(3, 8, stride=2), nn.Upsample(scale_factor=2, mode="nearest"),
            unit(8, 8, stride=2), nn.Upsample(size=(13, 17), mode="nearest"),
            unit(8, 8), nn.Upsample(scale_factor=(1.5, 2), mode="bilinear", align_corners=False),
            unit(8, 8), nn.Upsample(size=(9, 14), mode="bilinear", align_corners=False),
            unit(8, 8), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), unit(8, 9, stride=2),
        )
        self.fc = nn.Linear(9, CLASSES)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))


class Leaky(Family):
    """Leaky ReLU of two slopes; a learned slope, one for all and one for each channel, one of them negative."""

    TAPS = ("features",)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            activated(3, 8, 3, lambda: nn.LeakyReLU(0.1), 2), activated(8, 8, 3, nn.PReLU),
            activated(8, 10, 3, lambda: nn.PReLU(10), 2), activated(10, 12, 3, nn.LeakyReLU),
        )
        self.fc = nn.Sequential(nn.Linear(12, 10), nn.LeakyReLU(0.2), nn.Linear(10, CLASSES))

    def after_seeding(self):
        self.features[1][2].weight.fill_(0.3)
        self.features[2][2].weight.copy_(torch.linspace(-0.2, 1.3, 10))

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))


class Products(Family):
    """Products of two maps: of two branches, of a map with itself, of a map with the sigmoid of another, and of the
    halves of the channels (GLU)."""

    SIZE = (24, 32)
    TAPS = ("features",)

    def __init__(self):
        super().__init__()
        self.stem = unit(3, 8, stride=2)
        self.left, self.right = unit(8, 8), nn.Conv2d(8, 8, 3, padding=1)
        self.gate = nn.Conv2d(8, 8, 1)
        self.glu = nn.Sequential(nn.Conv2d(8, 20, 3, stride=2, padding=1), nn.GLU(dim=1))
        self.features = unit(10, 12, 1)
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        x = self.left(x) * self.right(x) + 0.25 * x * x
        x = torch.sigmoid(self.gate(x)) * x
        return self.fc(self.features(self.glu(x)).mean((2, 3)))


def seeded(family, seed):
    """A network in evaluation mode with weights from a seed, of a magnitude that keeps that of the maps."""
    network = family().eval()
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor, deviation, mean=0.0):
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * deviation + mean)

    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                gain = 2 if isinstance(module, nn.Conv2d) else 4
                normal(module.weight, (gain / module.weight[0].numel()) ** 0.5)
                if module.bias is not None:
                    normal(module.bias, 0.1)
            elif isinstance(module, nn.BatchNorm2d):
                normal(module.weight, 0.2, 1.0)
                normal(module.bias, 0.2)
                normal(module.running_mean, 0.2)
                module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
            elif isinstance(module, MixedPooling):
                module.alpha.copy_(torch.rand(1, generator=generator))
        for module in network.modules():
            if isinstance(module, Gate):
                module.expand.weight.mul_(4)  # Otherwise each factor were nearly the same.
        if hasattr(network, "after_seeding"):
            network.after_seeding()
    return network.requires_grad_(False)
