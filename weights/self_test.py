"""Checks train.py on the CPU with tiny networks and made-up images, in a minute or two.

    python self_test.py [unittest's words]        MSDCAM names the program, else target/*/msdcam

The tests that run `msdcam` say that they were skipped where there is none.
"""

import contextlib
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
import unittest
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import train

ROOT = Path(__file__).resolve().parent.parent
BUILT = [ROOT / "target" / profile / "msdcam" for profile in ("release", "debug")]
MSDCAM = os.environ.get("MSDCAM") or next((str(p) for p in BUILT if p.exists()), None)
TINY = "--exits 3 --base 2 --step 1 --channels 4 --growth 2".split()
LEARN = "--batch 16 --epochs 3 --lr 0.05 --erase 4 --average 0.9 --threads 1 --device cpu".split()


def made_up(n, classes, seed):
    """Noise tinted by its class, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    tints = np.stack([labels % 5, labels // 5 % 5, labels // 25], 1) * 30
    return rng.integers(0, 120, (n, 32, 32, 3), np.uint8) + tints[:, None, None].astype(np.uint8), labels


def binary(images, labels, label_bytes=1):
    """Official layout; CIFAR-100's coarse label is wrong on purpose."""
    rows = [bytes([19] * (label_bytes - 1) + [int(label)]) + image.transpose(2, 0, 1).tobytes()
            for image, label in zip(images, labels, strict=True)]
    return b"".join(rows)


def pack(folder, archive):
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname="data")
    return archive


def write_official(folder, data, n_train=64, n_test=30):
    """A small data set in the official layout."""
    folder.mkdir()
    classes, label_bytes = train.CLASSES[data], train.LABEL_BYTES[data]
    images, labels = made_up(n_train, classes, 1)
    names = train.OFFICIAL[data, "train"]
    for name, i, l in zip(names, np.array_split(images, len(names)), np.array_split(labels, len(names)), strict=True):
        (folder / name).write_bytes(binary(i, l, label_bytes))
    (folder / train.OFFICIAL[data, "test"][0]).write_bytes(binary(*made_up(n_test, classes, 2), label_bytes))
    return folder


def run(*words):
    """train.py's output, or its message if it refuses."""
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            train.main([str(w) for w in words])
    except SystemExit as end:
        return out.getvalue() + str(end)
    return out.getvalue()


def checkpoint_of(folder, data="cifar10"):
    content = train.read_pieces(folder / f"msdnet_{data}.pth.tar")
    return torch.load(io.BytesIO(content), weights_only=True)


class InFolder(unittest.TestCase):
    def setUp(self):
        kept = tempfile.TemporaryDirectory()
        self.addCleanup(kept.cleanup)
        self.folder = Path(kept.name)

    def assert_same_tensors(self, a, b):
        self.assertEqual(a.keys(), b.keys())
        for name, value in a.items():
            self.assertTrue(torch.equal(value, b[name]), name)


class Data(InFolder):
    def test_every_source_gives_the_same_images(self):
        images, labels = made_up(40, 10, 3)
        official, classes = self.folder / "official", self.folder / "classes"
        official.mkdir()
        for part, name in enumerate(train.OFFICIAL["cifar10", "train"]):
            at = slice(8 * part, 8 * part + 8)
            (official / name).write_bytes(binary(images[at], labels[at]))
        (official / "test_batch.bin").write_bytes(binary(images[:3], labels[:3]))
        for half, count in (("train", 40), ("test", 3)):
            for i in range(count):
                place = classes / half / "abcdefghij"[labels[i]]
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray(images[i]).save(place / f"{i:04}.png")
        sources = [official, official / "data_batch_1.bin", pack(official, self.folder / "o.tar.gz"),
                   classes, classes / "train", pack(classes, self.folder / "c.tar.gz")]
        everything = Counter(zip(labels.tolist(), (i.tobytes() for i in images), strict=True))
        for source in sources:
            read, named = train.load_data(source, "cifar10", "train")
            pairs = Counter(zip(named.tolist(), (i.numpy().tobytes() for i in read), strict=True))
            if source.suffix == ".bin":
                self.assertEqual(pairs.total(), 8)
                self.assertEqual(pairs - everything, Counter())
            else:
                self.assertEqual(pairs, everything, source)
        read, named = train.load_data(official, "cifar10", "test")
        self.assertTrue(np.array_equal(read, images[:3]) and named.tolist() == labels[:3].tolist())

    def test_cifar100_has_two_labels_and_the_fine_one_counts(self):
        folder = write_official(self.folder / "c100", "cifar100", n_train=200)
        read, named = train.load_data(folder, "cifar100", "train")
        images, labels = made_up(200, 100, 1)
        self.assertTrue(np.array_equal(read, images) and np.array_equal(named, labels))

    def test_bad_data_is_refused_by_name(self):
        images, labels = made_up(4, 10, 4)
        bad = {"short.bin": binary(images, labels)[:-1], "label.bin": binary(images, [0, 1, 10, 2]), "empty.bin": b""}
        for name, content in bad.items():
            (self.folder / name).write_bytes(content)
        small = self.folder / "small"
        for i in range(10):
            (small / str(i)).mkdir(parents=True)
            Image.fromarray(images[0][:16, :16]).save(small / str(i) / "a.png")
        for name, said in [
            ("short.bin", "not a multiple of cifar10's 3073"),
            ("label.bin", "record 2 has label 10 of 10 classes"),
            ("empty.bin", "0 bytes"),
            ("small", "0/a.png is 16 x 16 pixels"),
            ("small/1", "1 class folders, cifar10 has 10"),
        ]:
            with self.assertRaises(SystemExit) as refused:
                train.load_data(self.folder / name, "cifar10", "train")
            self.assertIn(said, str(refused.exception))


class Augmentation(unittest.TestCase):
    def epoch(self, number, erase=8):
        args = train.arguments(["--test", "t", "--train", "t", "--out", "o", "--erase", str(erase)])
        images, labels = made_up(50, 10, 5)
        padded = F.pad(torch.from_numpy(images), (0, 0, 4, 4, 4, 4))
        colour = torch.tensor([1, 2, 3], dtype=torch.uint8)
        return images, train.Epoch(args, number, padded, torch.from_numpy(labels), colour)

    def test_a_batch_is_what_image_by_image_work_gives(self):
        images, epoch = self.epoch(7)
        batch, labels = epoch.batch(10, 30)
        for i in range(30):
            j = 10 + i
            image = np.pad(images[epoch.order[j]], ((4, 4), (4, 4), (0, 0)))
            y, x = int(epoch.dy[j]), int(epoch.dx[j])
            image = image[y : y + 32, x : x + 32].copy()
            if epoch.mirrored[j]:
                image = image[:, ::-1].copy()
            top, left = int(epoch.hole_y[j]) - 4, int(epoch.hole_x[j]) - 4
            image[max(top, 0) : top + 8, max(left, 0) : left + 8] = [1, 2, 3]
            self.assertTrue(np.array_equal(batch[i], image), i)
            self.assertEqual(int(labels[i]), int(epoch.labels[epoch.order[j]]))

    def test_an_epoch_follows_from_seed_and_number(self):
        (_, a), (_, b), (_, c) = self.epoch(7), self.epoch(7), self.epoch(8)
        self.assertTrue(torch.equal(a.batch(0, 50)[0], b.batch(0, 50)[0]))
        self.assertFalse(torch.equal(a.batch(0, 50)[0], c.batch(0, 50)[0]))
        self.assertEqual(sorted(a.order.tolist()), list(range(50)))

    def test_without_erasing_no_pixel_has_the_colour(self):
        batch, _ = self.epoch(1, erase=0)[1].batch(0, 50)
        self.assertFalse((batch == torch.tensor([1, 2, 3])).all(3).any())


class Recipe(unittest.TestCase):
    def arguments(self, *words):
        return train.arguments(["--test", "t", "--train", "t", "--out", "o", *words])

    def test_losses_are_those_of_pytorch_one_by_one(self):
        rng = torch.Generator().manual_seed(6)
        logits = [torch.randn(5, 10, generator=rng, requires_grad=True) for _ in range(3)]
        labels = torch.tensor([1, 2, 3, 4, 9])
        args = self.arguments(*TINY, "--label-smoothing", "0.1", "--distill", "0.4", "--temperature", "2")
        losses, right = train.exit_losses(lambda _: (logits, None), None, labels, args)
        self.assertEqual(right.tolist(), [int((l.argmax(1) == labels).sum()) for l in logits])
        for k, one in enumerate(logits):
            expected = F.cross_entropy(one, labels, label_smoothing=0.1)
            if k < 2:
                teacher = F.softmax(logits[-1] / 2, 1)
                divergence = F.kl_div(F.log_softmax(one / 2, 1), teacher, reduction="batchmean") * 4
                expected = 0.6 * expected + 0.4 * divergence
            self.assertAlmostEqual(losses[k].item(), expected.item(), places=5)
        losses[:2].sum().backward()
        self.assertEqual(logits[2].grad.abs().max(), 0)  # nothing reaches the teacher

    def test_the_learning_rate_rises_and_falls(self):
        args = self.arguments("--lr", "0.4", "--warmup", "0.1")
        rates = [train.learning_rate(args, step, 100) for step in range(100)]
        self.assertAlmostEqual(rates[0], 0.04)
        self.assertEqual(max(rates), 0.4)
        self.assertEqual(rates[:10], sorted(rates[:10]))
        self.assertEqual(rates[10:], sorted(rates[10:], reverse=True))
        self.assertLess(rates[-1], 0.001)

    def test_biases_and_batch_norms_do_not_decay(self):
        args = self.arguments(*TINY)
        net = train.build(args)
        decayed = {id(p) for p in train.optimiser(net, args, torch.device("cpu")).param_groups[0]["params"]}
        for name, parameter in net.named_parameters():
            owner = net.get_submodule(name.rpartition(".")[0])
            weight = isinstance(owner, (torch.nn.Conv2d, torch.nn.Linear)) and name.endswith(".weight")
            self.assertEqual(id(parameter) in decayed, weight, name)

    def test_the_average_is_the_formula(self):
        net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
        average = train.Average(net, 0.5)
        expected = net[0].weight.detach().clone()
        for step in range(20):
            net[0].weight.data += 1
            net[1].num_batches_tracked += 1
            decay = min(0.5, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * net[0].weight.detach()
            average.update(step)
        self.assertTrue(torch.allclose(average.net[0].weight, expected))
        self.assertEqual(average.net[1].num_batches_tracked, 20)


class Runs(InFolder):
    def setUp(self):
        super().setUp()
        self.data = write_official(self.folder / "data", "cifar10")
        self.words = ["--train", self.data, "--test", self.data, *TINY, *LEARN]

    def train(self, name, *words):
        return run(*self.words, "--out", self.folder / name, *words)

    def rows(self, name):
        return [json.loads(line) for line in (self.folder / name / "log.jsonl").read_text().splitlines()]

    def test_interrupted_and_uninterrupted_runs_end_with_the_same_bits(self):
        self.assertIn("done:", self.train("whole"))
        stops = 0
        while "stopped at" in (said := self.train("pieces", "--minutes", 0, "--piece-mb", 2)):
            stops += 1
            sizes = [p.stat().st_size for p in (self.folder / "pieces").glob("state-*")]
            self.assertTrue(len(sizes) > 2 and max(sizes) <= 2_000_000, sizes)
        self.assertEqual(stops, 11, said)  # 12 steps
        a, b = (checkpoint_of(self.folder / name)["state_dict"] for name in ("whole", "pieces"))
        self.assert_same_tensors(a, b)
        for a, b in zip(self.rows("whole"), self.rows("pieces"), strict=True):
            self.assertEqual({**a, "seconds": 0}, {**b, "seconds": 0})
        self.assertEqual(list((self.folder / "pieces").glob("state-*")), [])
        self.assertIn("is there already", self.train("whole"))

    def test_a_file_in_pieces_is_read_as_one_and_beside_the_whole(self):
        content = bytes(range(250))
        names = train.write_pieces(self.folder, "a.pth.tar", content, 20)
        self.assertEqual((len(names), names[:2]), (13, ["a.pth.tar.01of13", "a.pth.tar.02of13"]))
        self.assertEqual(train.read_pieces(self.folder / "a.pth.tar"), content)
        (self.folder / "a.pth.tar").write_bytes(content)
        self.assertEqual(train.read_pieces(self.folder / "a.pth.tar"), content)
        (self.folder / "a.pth.tar").unlink()
        (self.folder / names[7]).unlink()
        self.assertIsNone(train.read_pieces(self.folder / "a.pth.tar"))

    def test_a_run_goes_on_only_with_its_own_settings_and_whole_pieces(self):
        self.train("a", "--minutes", 0, "--piece-mb", 2)
        self.assertIn("other settings: lr 0.05 -> 0.1", self.train("a", "--lr", 0.1))
        piece = sorted((self.folder / "a").glob("state-*"))[1]
        content = piece.read_bytes()
        piece.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        self.assertIn("no state is whole", self.train("a"))
        piece.unlink()
        self.assertIn("no state is whole", self.train("a"))
        piece.write_bytes(content)
        self.assertIn("goes on at step 1 of 12", self.train("a", "--minutes", 0))

    def test_it_learns_and_the_checkpoint_is_the_article_s_rounded_and_measured(self):
        self.assertIn("done:", self.train("a", "--epochs", 40))
        rows = self.rows("a")
        self.assertEqual([r["epoch"] for r in rows], [*range(1, 41), 40])
        self.assertLess(rows[-2]["loss"], 0.5 * rows[0]["loss"])
        self.assertGreater(min(rows[-1]["test"]), 40)  # chance is 10
        checkpoint = checkpoint_of(self.folder / "a")
        self.assertEqual([*checkpoint], ["epoch", "model", "state_dict", "best_prec1", "optimizer"])
        self.assertTrue(all(name.startswith("module.subnets.") for name in checkpoint["state_dict"]))
        for name, value in checkpoint["state_dict"].items():
            if value.dim() > 1:
                self.assertTrue(torch.equal(value, value.half().float()), name)
        table = run("--eval", self.folder / "a/msdnet_cifar10.pth.tar", "--test", self.data, *TINY)
        measured = [round(100 * int(line.split("|")[2]) / 30, 4) for line in table.splitlines()[2:]]
        self.assertEqual(measured, rows[-1]["test"])
        self.assertIn("| 40, rounded |", (self.folder / "a/log.md").read_text())

    def test_checkpoints_of_other_networks_are_refused(self):
        self.train("a", "--epochs", 1)
        said = run("--eval", self.folder / "a/msdnet_cifar10.pth.tar", "--test", self.data, *TINY, "--exits", 4)
        self.assertIn("not the network that the options describe", said)


@unittest.skipIf(MSDCAM is None, "skipped: msdcam agrees: no msdcam is built")
class Msdcam(InFolder):
    """What `msdcam` makes of our checkpoints."""

    def ask(self, *words):
        return subprocess.run([MSDCAM, *map(str, words)], check=True, capture_output=True, text=True).stdout

    def check(self, data, *network):
        source = write_official(self.folder / "data", data, n_train=100)
        words = ["--data", data, "--test", source, *network]
        said = run("--train", source, "--out", self.folder / "run", *words, *LEARN, "--epochs", 1)
        self.assertIn("done:", said)
        checkpoint, weights = self.folder / f"run/msdnet_{data}.pth.tar", self.folder / "w.safetensors"
        self.assertNotIn("rounded", self.ask("convert", "--dtype", "f16", checkpoint, "-o", weights))
        answers, images = self.folder / "answers.jsonl", source / train.OFFICIAL[data, "test"][0]
        answers.write_text(self.ask("classify", "--json", "--weights", weights, images))
        words = ["--eval", checkpoint, *words, "--against", answers]
        said = run(*words, "--predictions", self.folder / "p.npy").splitlines()
        self.assertEqual(len(said), 2 + int(re.search("exits +([0-9]+):", self.ask("inspect", weights))[1]), said)
        self.assertGreater(len(np.unique(np.load(self.folder / "p.npy"))), 2)
        self.assertEqual([line.split("|")[2] for line in said[2:]], [line.split("|")[4] for line in said[2:]])
        first = json.loads(answers.read_text().splitlines()[0])
        first["exits"][1]["class"] += 1
        answers.write_text("\n".join([json.dumps(first), *answers.read_text().splitlines()[1:]]))
        self.assertIn("1 of", run(*words))
        self.assertIn("differ, the first for image 0 at exit 2", run(*words))
        return self.ask("inspect", weights)

    def test_the_article_s_ten_exits(self):
        self.assertRegex(self.check("cifar10"), r"exits +10:")

    def test_the_authors_seven_exits_on_cifar100(self):
        self.assertRegex(self.check("cifar100", "--layout", "blocks"), r"exits +7:")

    def test_the_authors_seven_exits_growing(self):
        self.assertRegex(self.check("cifar100", "--layout", "blocks", "--step-mode", "lin_grow", "--step", 1, "--base", 1), r"exits +7:")

    def test_the_authors_network_on_cifar10_and_the_article_s_on_cifar100(self):
        self.check("cifar10", "--layout", "blocks")
        self.folder = self.folder / "second"
        self.folder.mkdir()
        self.check("cifar100")


if __name__ == "__main__":
    torch.set_num_threads(1)
    unittest.main()
