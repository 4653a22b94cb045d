"""Tests train.py on the CPU with tiny models and synthetic images, in a minute or two.

    python self_test.py [unittest arguments]      MSDCAM: path of the program, by default target/*/msdcam

Skipped tests, which need a GPU or `msdcam`, are listed at the end.
"""

import contextlib
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import cifar
import train
import training_step

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
    """Writes the official layout; CIFAR-100's coarse labels are wrong on purpose."""
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
    classes, label_bytes = cifar.CLASSES[data], cifar.LABEL_BYTES[data]
    images, labels = made_up(n_train, classes, 1)
    names = cifar.OFFICIAL[data, "train"]
    for name, i, l in zip(names, np.array_split(images, len(names)), np.array_split(labels, len(names)), strict=True):
        (folder / name).write_bytes(binary(i, l, label_bytes))
    (folder / cifar.OFFICIAL[data, "test"][0]).write_bytes(binary(*made_up(n_test, classes, 2), label_bytes))
    return folder


def run(*words):
    """The output of train.py, or its error message."""
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


def made_up_step(*words, device="cpu"):
    """A training step of a tiny model on 40 synthetic images, at the start of the first epoch."""
    words = ["--test", "t", "--train", "t", "--out", "o", *TINY, *LEARN, "--device", device, *words]
    args, device = train.arguments([str(w) for w in words]), torch.device(device)
    images, labels = made_up(40, 10, 7)
    batches = cifar.Batches(args, torch.from_numpy(images), torch.from_numpy(labels), device)
    batches.begin(0)
    step = training_step.TrainingStep(args, device, batches, cifar.Pixels(args, device))
    step.schedule(args.epochs * batches.per_epoch)
    return args, step


class Data(InFolder):
    def test_every_source_gives_the_same_images(self):
        images, labels = made_up(40, 10, 3)
        official, classes = self.folder / "official", self.folder / "classes"
        official.mkdir()
        for part, name in enumerate(cifar.OFFICIAL["cifar10", "train"]):
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
            read, named = cifar.load_data(source, "cifar10", "train")
            pairs = Counter(zip(named.tolist(), (i.numpy().tobytes() for i in read), strict=True))
            if source.suffix == ".bin":
                self.assertEqual(pairs.total(), 8)
                self.assertEqual(pairs - everything, Counter())
            else:
                self.assertEqual(pairs, everything, source)
        read, named = cifar.load_data(official, "cifar10", "test")
        self.assertTrue(np.array_equal(read, images[:3]) and named.tolist() == labels[:3].tolist())

    def test_any_number_of_threads_decodes_the_same(self):
        images, _ = made_up(37, 10, 8)
        for i, image in enumerate(images):
            place = self.folder / "data" / "abcdefghij"[i % 10]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{i:02}.jpg", quality=90)
        expected = [np.asarray(Image.open(p)) for p in sorted((self.folder / "data").rglob("*.jpg"))]
        archive = pack(self.folder / "data", self.folder / "data.tar.gz")
        for threads in (1, 3, 64):
            with mock.patch.object(cifar, "cores", lambda threads=threads: threads):
                read, labels = cifar.load_data(archive, "cifar10", "train")
            self.assertTrue(np.array_equal(read, expected), threads)
            self.assertEqual(labels.tolist(), sorted(i % 10 for i in range(37)))

    def test_an_archive_may_hold_a_shorter_test_batch(self):
        folder = self.folder / "part"
        folder.mkdir()
        images, labels = made_up(7, 10, 9)
        (folder / "test_batch.bin").write_bytes(binary(images, labels))
        read, named = cifar.load_data(pack(folder, self.folder / "part.tar.gz"), "cifar10", "test")
        self.assertTrue(np.array_equal(read, images) and np.array_equal(named, labels))

    def test_cifar100_has_two_labels_and_the_fine_one_counts(self):
        folder = write_official(self.folder / "c100", "cifar100", n_train=200)
        read, named = cifar.load_data(folder, "cifar100", "train")
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
                cifar.load_data(self.folder / name, "cifar10", "train")
            self.assertIn(said, str(refused.exception))


class Augmentation(unittest.TestCase):
    def batches(self, epoch, erase=8, batch=15):
        args = train.arguments(["--test", "t", "--train", "t", "--out", "o", "--erase", str(erase), "--batch", str(batch)])
        images, labels = made_up(50, 10, 5)
        batches = cifar.Batches(args, torch.from_numpy(images), torch.from_numpy(labels), torch.device("cpu"))
        batches.colour.copy_(torch.tensor([1, 2, 3]))
        batches.begin(epoch)
        return images, batches

    def at(self, batches, step):
        return batches(torch.tensor([step]))

    def test_a_batch_is_what_image_by_image_work_gives(self):
        images, batches = self.batches(7)
        self.assertEqual(batches.per_epoch, 3)
        batch, labels = self.at(batches, 7 * 3 + 1)
        order, dys, dxs, mirrored, hole_y, hole_x = batches.draws.tolist()
        for i in range(15):
            j = 15 + i
            image = np.pad(images[order[j]], ((4, 4), (4, 4), (0, 0)))
            y, x = dys[j], dxs[j]
            image = image[y : y + 32, x : x + 32].copy()
            if mirrored[j]:
                image = image[:, ::-1].copy()
            top, left = hole_y[j] - 4, hole_x[j] - 4
            image[max(top, 0) : top + 8, max(left, 0) : left + 8] = [1, 2, 3]
            self.assertTrue(np.array_equal(batch[i], image), i)
            self.assertEqual(int(labels[i]), int(batches.labels[order[j]]))

    def test_an_epoch_follows_from_seed_and_number(self):
        (_, a), (_, b), (_, c) = self.batches(7), self.batches(8), self.batches(8)
        place = a.draws.data_ptr()
        self.assertFalse(torch.equal(self.at(a, 0)[0], self.at(b, 0)[0]))
        a.begin(8)
        self.assertEqual(a.draws.data_ptr(), place)  # a captured graph reads there
        for step in range(3):
            self.assertTrue(torch.equal(self.at(a, step)[0], self.at(c, step)[0]))
        self.assertEqual(sorted(a.draws[0].tolist()), list(range(50)))

    def test_without_erasing_no_pixel_has_the_colour(self):
        batch, _ = self.at(self.batches(1, erase=0, batch=50)[1], 0)
        self.assertFalse((batch == torch.tensor([1, 2, 3])).all(3).any())


class Recipe(unittest.TestCase):
    def arguments(self, *words):
        return train.arguments(["--test", "t", "--train", "t", "--out", "o", *words])

    def test_losses_are_those_of_pytorch_one_by_one(self):
        rng = torch.Generator().manual_seed(6)
        logits = [torch.randn(5, 10, generator=rng, requires_grad=True) for _ in range(3)]
        labels = torch.tensor([1, 2, 3, 4, 9])
        args = self.arguments(*TINY, "--label-smoothing", "0.1", "--distill", "0.4", "--temperature", "2")
        losses, right = training_step.exit_losses(lambda _: (logits, None), None, labels, args)
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
        rates = [training_step.learning_rate(args, step, 100) for step in range(100)]
        self.assertAlmostEqual(rates[0], 0.04)
        self.assertEqual(max(rates), 0.4)
        self.assertEqual(rates[:10], sorted(rates[:10]))
        self.assertEqual(rates[10:], sorted(rates[10:], reverse=True))
        self.assertLess(rates[-1], 0.001)

    def test_every_step_takes_the_formulas_rate_and_share(self):
        args, step = made_up_step("--warmup", 0.3)
        step.schedule(5)  # --fit changes the plan while the run goes on
        used = []
        with mock.patch.object(step.optimizer, "update", lambda rate: used.append(rate.item())):
            with mock.patch.object(step.average, "update", lambda share: used.append(share.item())):
                for _ in range(5):
                    step()
        for i in range(5):
            self.assertAlmostEqual(used[2 * i], training_step.learning_rate(args, i, 5), places=7)
            self.assertAlmostEqual(used[2 * i + 1], 1 - min(0.9, (1 + i) / (10 + i)), places=6)

    def test_the_update_is_that_of_pytorch_s_sgd(self):
        args, step = made_up_step("--weight-decay", 0.01)
        net, theirs = step.net, training_step.build(step.args)
        theirs.load_state_dict(net.state_dict())
        groups = training_step.decay_groups(theirs, 0.01)
        sgd = torch.optim.SGD(groups, lr=0.0, momentum=training_step.MOMENTUM, nesterov=True)
        rng = torch.Generator().manual_seed(3)
        pairs = list(zip(net.parameters(), theirs.parameters(), strict=True))
        for i in range(6):
            for k, (ours, other) in enumerate(pairs):
                if k % 10:  # the others are read by no exit
                    ours.grad = torch.randn(ours.shape, generator=rng)
                    other.grad = ours.grad.clone()
            for group in sgd.param_groups:
                group["lr"] = 0.1 / (i + 1)
            sgd.step()
            step.optimizer.update(torch.tensor(0.1 / (i + 1)))
        for ours, other in pairs:
            self.assertIsNone(ours.grad)
            torch.testing.assert_close(ours, other, rtol=2e-6, atol=1e-6)

    def test_biases_and_batch_norms_do_not_decay(self):
        args = self.arguments(*TINY)
        net = training_step.build(args)
        decayed = {id(p) for p in training_step.decay_groups(net, args.weight_decay)[0]["params"]}
        for name, parameter in net.named_parameters():
            owner = net.get_submodule(name.rpartition(".")[0])
            weight = isinstance(owner, (torch.nn.Conv2d, torch.nn.Linear)) and name.endswith(".weight")
            self.assertEqual(id(parameter) in decayed, weight, name)

    def test_the_average_is_the_formula(self):
        net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
        average = training_step.Average(net)
        expected = net[0].weight.detach().clone()
        for step in range(20):
            net[0].weight.data += 1
            net[1].num_batches_tracked += 1
            decay = min(0.5, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * net[0].weight.detach()
            average.update(torch.tensor(average.share(0.5, step)))
        self.assertTrue(torch.allclose(average.net[0].weight, expected))
        self.assertEqual(average.net[1].num_batches_tracked, 20)


class WithData(InFolder):
    def setUp(self):
        super().setUp()
        self.data = write_official(self.folder / "data", "cifar10")
        self.words = ["--train", self.data, "--test", self.data, *TINY, *LEARN]

    def train(self, name, *words):
        return run(*self.words, "--out", self.folder / name, *words)

    def rows(self, name):
        return [json.loads(line) for line in (self.folder / name / "log.jsonl").read_text().splitlines()]

    def summary(self, name):
        return json.loads((self.folder / name / "summary.json").read_text())

    def run_of(self, *words):
        args = train.arguments([str(w) for w in (*self.words, "--out", self.folder, *words)])
        return train.Run(args, torch.device("cpu"), time.monotonic())


class Runs(WithData):
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

    def test_a_fitted_run_ends_in_time_with_a_rate_near_zero(self):
        used, update = [], training_step.Sgd.update
        with mock.patch.object(training_step.Sgd, "update", lambda s, r: (used.append(r.item()), update(s, r))):
            begun = time.monotonic()
            said = self.train("a", "--epochs", 5000, "--fit", "--minutes", 0.25)
            seconds = time.monotonic() - begun
        self.assertIn("done:", said)
        self.assertLess(seconds, 15)
        summary, rows = self.summary("a"), self.rows("a")
        self.assertEqual(summary["epochs"], int(re.findall("fitted.*: ([0-9]+) epochs", said)[-1]), said)
        self.assertEqual((summary["step"], summary["fitted"], summary["finished"]), (4 * summary["epochs"], True, True))
        self.assertTrue(1 < summary["epochs"] < 5000)
        self.assertEqual([row["epoch"] for row in rows[-2:]], [summary["epochs"]] * 2)
        evaluations = sum(row["epoch"] > 2 for row in rows)  # the plan is made in the second epoch
        self.assertLess(evaluations * summary["seconds_to_evaluate"], 0.2 * seconds + 3 * summary["seconds_to_evaluate"])
        self.assertEqual(len(used), summary["steps"])
        self.assertGreater(max(used), 0.9 * 0.05)
        self.assertLess(used[-1], 0.05 * 0.05)

    def test_a_fitted_run_that_goes_on_keeps_its_plan(self):
        fit = train.Run.fit
        with mock.patch.object(train.Run, "fit", lambda s: (fit(s), signal.raise_signal(signal.SIGTERM))):
            said = self.train("a", "--epochs", 30, "--fit", "--minutes", 60)
        step, steps = re.search(r"stopped at step (\d+) of (\d+); about \d+\.\d more minutes", said).groups()
        self.assertEqual((step, steps), ("5", "120"), said)
        said = self.train("a", "--epochs", 30, "--fit", "--minutes", 0)  # too late for all of it, but its plan stays
        self.assertIn("stopped at step 6 of 120", said)
        self.assertTrue(self.summary("a")["fitted"])
        said = self.train("a", "--epochs", 30)
        self.assertIn("goes on at step 6 of 120", said)
        self.assertIn("done:", said)

    def test_a_fit_that_cannot_be_is_refused(self):
        self.assertIn("--minutes 0 is too short for --fit: loading took", self.train("a", "--fit", "--minutes", 0))
        self.assertIn("--fit needs --minutes", self.train("b", "--fit"))

    def test_the_plan_follows_the_speed_of_the_steps(self):
        run = self.run_of("--epochs", 1000, "--minutes", 1)
        run.step, run.timed_steps = 40, 20
        run.plan(1000)
        for timed_seconds, least, most in [
            (0.2, 1000, 1000),  # 0.04 s an epoch
            (20.0, 20, 24),  # 4 s an epoch: about 14 more
            (10.0, 30, 40),  # half of that: about twice as many, since a third of the plan is done
            (2000.0, 10, 10),  # no fewer than are done
            (0.2, 10, 10),  # not lengthened at the end: the rate would rise again
        ]:
            run.timed_seconds = timed_seconds
            with contextlib.redirect_stdout(io.StringIO()):
                run.fit_again()
            self.assertTrue(least <= run.epochs <= most, run.epochs)

    def test_a_compact_state_is_the_rounded_average(self):
        run = self.run_of(*"--exits 10 --base 4 --step 2 --channels 32 --growth 6 --state compact".split())
        rng = torch.Generator().manual_seed(4)
        for value in run.training.average.net.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.randn(value.shape, generator=rng))
        run.step, run.epochs, run.every, run.fitted = 7, 2, 3, True
        run.save()
        sizes = [p.stat().st_size for p in self.folder.glob("state-*")]
        self.assertEqual(len(sizes), 1)
        self.assertLess(sizes[0], 15_000_000)
        again = self.run_of(*"--exits 10 --base 4 --step 2 --channels 32 --growth 6".split())
        again.restore(train.load_state(again.args, again.settings()))
        self.assertEqual((again.step, again.epochs, again.every, again.fitted, again.training.counter.item()), (7, 2, 3, True, 7))
        saved, net, average = (n.state_dict() for n in (run.training.average.net, again.training.net, again.training.average.net))
        for name, value in saved.items():
            self.assertTrue(torch.equal(net[name], value.half().float() if value.dim() > 1 else value), name)
        self.assert_same_tensors(net, average)
        self.assertTrue(all(m.abs().max() == 0 for m in again.training.optimizer.momentum.values()))
        torch.testing.assert_close(again.training.rates[:8], torch.tensor(
            [training_step.learning_rate(again.args, i, 8) for i in range(8)]))

    def test_a_run_goes_on_from_compact_states(self):
        self.assertIn("stopped at step 1 of 12", self.train("a", "--minutes", 0, "--state", "compact"))
        compact = sum(p.stat().st_size for p in (self.folder / "a").glob("state-*"))
        self.assertIn("stopped at step 2 of 12", self.train("a", "--minutes", 0))
        whole = sum(p.stat().st_size for p in (self.folder / "a").glob("state-*"))
        self.assertLess(2 * compact, whole)
        self.assertIn("done:", self.train("a", "--state", "compact"))

    def test_sigterm_leaves_a_whole_state(self):
        words = [str(w) for w in (*self.words, "--out", self.folder / "a", "--epochs", 100000)]
        with subprocess.Popen([sys.executable, train.__file__, *words], stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if line.startswith("epoch 2 of"):
                    process.terminate()
                    break
            said = process.stdout.read()
        self.assertEqual(process.returncode, 0)
        step = re.search(r"stopped at step (\d+) of 400000; about .* more minutes; the same command goes on", said)[1]
        summary = self.summary("a")
        self.assertEqual((summary["step"], summary["finished"]), (int(step), False))
        self.assertIn(f"goes on at step {step} of 400000", self.train("a", "--epochs", 100000, "--minutes", 0))

    def test_the_summary_says_what_was_run(self):
        self.train("a", "--minutes", 0)
        stopped = self.summary("a")
        self.assertEqual([*stopped], ["device", "torch", "captured", "bf16", "step", "steps", "epochs", "fitted",
                                      "seconds_per_epoch", "images_per_s", "seconds_to_load", "seconds_to_warm_up",
                                      "seconds_to_evaluate", "finished", "minutes_left", "test", "test_images",
                                      "seed", "batch", "lr"])
        self.assertEqual((stopped["step"], stopped["finished"], stopped["test"]), (1, False, None))
        self.assertGreater(stopped["minutes_left"], 0)
        self.train("a")
        ended = self.summary("a")
        self.assertGreater(ended["seconds_per_epoch"], 0)
        self.assertAlmostEqual(ended["images_per_s"], 64 / ended["seconds_per_epoch"], delta=0.02 * ended["images_per_s"])
        same = {"device": "CPU", "torch": torch.__version__, "captured": False, "bf16": False, "step": 12, "steps": 12}
        same |= {"epochs": 3, "fitted": False, "finished": True, "minutes_left": None, "test": self.rows("a")[-1]["test"]}
        same |= {"test_images": 30, "seed": 1, "batch": 16, "lr": 0.05}
        self.assertEqual({key: ended[key] for key in same}, same)

    def fake_capture(self, name, record):
        """A run that captures with `record` instead of CUDA, and its final bits."""
        graph = mock.patch.object(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(reset=lambda: None))
        capturable = mock.patch.object(training_step.TrainingStep, "capturable", True)
        with graph, capturable, mock.patch.object(training_step, "record", record):
            said = self.train(name)
        self.assertIn("done:", said)
        return said, checkpoint_of(self.folder / name)["state_dict"]

    def test_capture_replay_and_failure_leave_the_steps_as_they_are(self):
        self.train("eager")
        eager = checkpoint_of(self.folder / "eager")["state_dict"]
        replays = []

        def succeeds(graph, update):
            graph.replay = lambda: (replays.append(1), update())

        def fails(graph, update):
            try:
                update_before_it_fails()
            except RuntimeError as first:
                raise RuntimeError("capture was invalidated") from first

        def update_before_it_fails():
            raise RuntimeError("operation not permitted\nwhen the stream is capturing")

        said, tensors = self.fake_capture("replayed", succeeds)
        self.assert_same_tensors(tensors, eager)
        self.assertEqual((len(replays), self.summary("replayed")["captured"]), (11, True))
        self.assertNotIn("capture failed", said)
        said, tensors = self.fake_capture("failed", fails)
        self.assert_same_tensors(tensors, eager)
        self.assertEqual(said.count("capture failed (operation not permitted): goes on eagerly\n"), 1)
        self.assertFalse(self.summary("failed")["captured"])

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

    def test_a_run_starts_from_a_checkpoint(self):
        self.train("a", "--epochs", 1)
        init = ["--init", self.folder / "a/msdnet_cifar10.pth.tar"]
        self.assertIn("stopped at step 1 of 4", self.train("b", *init, "--epochs", 1, "--lr", 0, "--minutes", 0))
        self.assertIn("other settings: init", self.train("b", "--epochs", 1, "--lr", 0))
        self.assertIn("done:", self.train("b", *init, "--epochs", 1, "--lr", 0))
        begun, ended = (checkpoint_of(self.folder / name)["state_dict"] for name in "ab")
        learned = [name for name, value in begun.items() if value.dim() > 1]
        self.assertTrue(all(torch.equal(begun[name], ended[name]) for name in learned))
        self.assertIn("not the network that the options describe", self.train("c", *init, "--exits", 4))

    def test_evaluations_are_as_far_apart_as_asked(self):
        self.train("a", "--epochs", 5, "--every", 2)
        self.assertEqual([row["epoch"] for row in self.rows("a")], [2, 4, 5, 5])

    def test_checkpoints_of_other_networks_are_refused(self):
        self.train("a", "--epochs", 1)
        said = run("--eval", self.folder / "a/msdnet_cifar10.pth.tar", "--test", self.data, *TINY, "--exits", 4)
        self.assertIn("not the network that the options describe", said)


@unittest.skipUnless(torch.cuda.is_available(), "skipped: replayed steps equal eager ones; a captured, fitted run: no GPU here")
class Gpu(WithData):
    def test_replayed_steps_equal_eager_ones(self):
        training_step.own_stream(torch.device("cuda"))
        torch.backends.cudnn.deterministic = True
        self.addCleanup(setattr, torch.backends.cudnn, "deterministic", False)
        ends = []
        for captured in (False, True):
            _, step = made_up_step("--no-bf16", "--epochs", 4, device="cuda")  # two steps an epoch
            for i in range(8):
                if i % 2 == 0:
                    step.batches.begin(i // 2)
                if captured and i == 3:
                    step.capture()
                    self.assertIsNotNone(step.graph)
                step()
            ends.append((step.counter.item(), step.loss_sum.item(), step.net.state_dict(), step.average.net.state_dict()))
        (count, loss, *nets), (count_2, loss_2, *nets_2) = ends
        self.assertEqual((count, count_2), (8, 8))
        self.assertTrue(math.isclose(loss, loss_2, rel_tol=1e-4), (loss, loss_2))
        for a, b in zip(nets, nets_2, strict=True):
            for name, value in a.items():
                torch.testing.assert_close(b[name], value, rtol=1e-3, atol=1e-4, msg=name)

    def test_a_run_is_captured_fitted_and_finished(self):
        said = self.train("a", "--device", "cuda", "--epochs", 20000, "--fit", "--minutes", 0.5)
        self.assertIn("done:", said)
        summary = self.summary("a")
        self.assertEqual((summary["captured"], summary["bf16"], summary["finished"]), (True, True, True))


@unittest.skipIf(MSDCAM is None, "skipped: msdcam agrees: no msdcam is built")
class Msdcam(InFolder):
    """Agreement of `msdcam` with train.py on its checkpoints."""

    def ask(self, *words):
        return subprocess.run([MSDCAM, *map(str, words)], check=True, capture_output=True, text=True).stdout

    def check(self, data, *network):
        source = write_official(self.folder / "data", data, n_train=100)
        words = ["--data", data, "--test", source, *network]
        said = run("--train", source, "--out", self.folder / "run", *words, *LEARN, "--epochs", 1)
        self.assertIn("done:", said)
        checkpoint, weights = self.folder / f"run/msdnet_{data}.pth.tar", self.folder / "w.safetensors"
        self.assertNotIn("rounded", self.ask("convert", "--dtype", "f16", checkpoint, "-o", weights))
        answers, images = self.folder / "answers.jsonl", source / cifar.OFFICIAL[data, "test"][0]
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
    result = unittest.main(exit=False).result
    print(*sorted({reason for _, reason in result.skipped}), sep="\n", file=sys.stderr)
    sys.exit(not result.wasSuccessful())
