"""CIFAR-10 and CIFAR-100 for train.py: files to tensors, and the batches of an augmented epoch."""

import io
import os
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import numpy as np
import torch
import torch.nn.functional as F

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
# Normalization of the ports, as `msdcam convert` assumes: none in the article's, these in the authors'.
NORMALIZATION = {
    "cifar10": ([0.4914, 0.4824, 0.4467], [0.2471, 0.2435, 0.2616]),
    "cifar100": ([0.5071, 0.4867, 0.4408], [0.2675, 0.2565, 0.2761]),
}


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


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def from_class_folders(path, files, data):
    """Images and labels from one folder per class, classes in the order of their names."""
    from PIL import Image

    folders = [PurePosixPath(name).parent.name for name, _ in files]
    classes = sorted(set(folders))
    if len(classes) != CLASSES[data]:
        sys.exit(f"{path}: {len(classes)} class folders, {data} has {CLASSES[data]} classes")
    images = np.empty((len(files), SIDE, SIDE, 3), np.uint8)

    def decode(part):
        for i in part:
            name, content = files[i]
            image = Image.open(io.BytesIO(content)).convert("RGB")
            if image.size != (SIDE, SIDE):
                sys.exit(f"{path}: {name} is {image.size[0]} x {image.size[1]} pixels, not {SIDE} x {SIDE}")
            images[i] = np.asarray(image)

    threads = cores()
    with ThreadPoolExecutor(threads) as pool:  # Pillow releases the interpreter's lock while it decodes
        for _ in pool.map(decode, np.array_split(np.arange(len(files)), threads)):
            pass
    return images, np.array([classes.index(folder) for folder in folders], np.int64)


def load_data(path, data, split):
    """Images (N, 32, 32, 3), u8, and labels (N), of the training or the test set."""
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
    """u8 (N, H, W, 3) to the model's f32 (N, 3, H, W), in channels_last order by construction."""

    def __init__(self, args, device):
        mean, std = NORMALIZATION[args.data] if args.layout == "blocks" else ([0.0] * 3, [1.0] * 3)
        self.mean, self.std = torch.tensor(mean, device=device), torch.tensor(std, device=device)

    def __call__(self, images):
        return ((images.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2)


class Batches:
    """The training images, and the batches of one epoch at a time.

    Order and augmentation of an epoch are drawn from the seed and the epoch's index into a tensor with a
    fixed address on the device. A batch is one gather by the step index, itself a tensor: random crops of
    the zero-padded images, random mirroring, and cutout with the data set's mean color.
    """

    def __init__(self, args, images, labels, device):
        self.seed, self.batch, self.erase = args.seed, args.batch, args.erase
        self.colour = images.double().mean((0, 1, 2)).round().to(torch.uint8).to(device)
        self.padded = F.pad(images, (0, 0, PAD, PAD, PAD, PAD)).to(device)
        self.labels = labels.to(device)
        self.per_epoch = len(labels) // args.batch
        self.epoch, self.draws = None, torch.zeros(6, len(labels), dtype=torch.int64, device=device)
        self.place = torch.arange(args.batch, device=device)
        self.side = torch.arange(SIDE, device=device)

    def begin(self, epoch):
        n, rng = len(self.labels), torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(n, generator=rng)
        draws = [torch.randint(high, (n,), generator=rng) for high in (2 * PAD + 1, 2 * PAD + 1, 2, SIDE, SIDE)]
        self.draws.copy_(torch.stack([order, *draws]))
        self.epoch = epoch

    def __call__(self, step):
        """Images, u8 (B, 32, 32, 3), and labels (B) of the step in `step`, (1) on the device."""
        at = step % self.per_epoch * self.batch + self.place
        chosen, dy, dx, mirrored, hole_y, hole_x = self.draws.index_select(1, at).unsqueeze(2).unbind()
        side = self.side
        y, x = dy + side, dx + torch.where(mirrored == 1, SIDE - 1 - side, side)
        images = self.padded[chosen[:, :, None], y[:, :, None], x[:, None, :]]
        if self.erase:
            top, left = hole_y - self.erase // 2, hole_x - self.erase // 2
            rows = (side >= top) & (side < top + self.erase)
            columns = (side >= left) & (side < left + self.erase)
            images = torch.where((rows[:, :, None] & columns[:, None, :])[..., None], self.colour, images)
        return images, self.labels[chosen[:, 0]]
