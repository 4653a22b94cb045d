"""Checks that what goes wrong in one place of a run costs nothing elsewhere: `python3 benches/peers/self_test.py`.
Needs no network and no GPU; the tests of a setting's process need PyTorch, those of ONNX files also torchvision, onnx,
ONNX Runtime and grad-cam."""

import contextlib
import importlib.util
import io
import json
import os
import signal
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import lineup  # noqa: E402
import main  # noqa: E402
import report  # noqa: E402

# In the place of worker.py; what it does depends on the batch.
FAKE_WORKER = """
import json, os, signal, sys, time

args = dict(zip(sys.argv[1::2], sys.argv[2::2]))
batch, mode = args["--batch"], args.get("--compile")
if mode:
    # What was measured before has to be written by now.
    assert "captum" in open(os.environ["RESULTS"]).read()
if batch == "5":
    sys.exit(1)

def row(name, **more):
    return {"name": name, "computes": "grad_cam", "versions": {}, "largest_error": {}, **more}

times = {"median_ms": 2.0, "p90_ms": 2.5, "round_medians_ms": [2.0], "calls": 1}
if args["--weights"].endswith(".onnx"):
    told = {"isa": os.environ.get("MSDCAM_CPU"), "onednn": os.environ.get("ONEDNN_MAX_CPU_ISA"), "torch": args.get("--torch")}
    heat = {"logits": 1e-6, **({"heat": 1e-6} if "unknown" not in args["--weights"] else {})}
    rows = [row("msdcam", **times, told=told) | {"largest_error": heat}]
    rows += [{**row(name, **times), "computes": "forward", "median_ms": ms} for name, ms in (("ONNX Runtime", 3.0), ("OpenVINO", 4.0))]
    rows += [row("pytorch-grad-cam", problem="not here: no PyTorch network")]
    json.dump({"msdcam_device": "cpu", "torch": "2", "rows": rows}, open(args["--out"], "w"))
    sys.exit()
peer = {"reduce-overhead": "PyTorch, one pass, compiled, reduce-overhead", None: "captum"}[mode]
rows = [row("msdcam", **times), row(peer, **times if batch in "14" else {"problem": "unfinished"})]
device = "cuda:0 (A GPU, 132 multiprocessors)" if args["--device"] == "cuda" else "cpu (2 threads)"
json.dump({"msdcam_device": device, "torch": "2", "rows": rows}, open(args["--out"], "w"))
if batch == "2":
    os.kill(os.getpid(), signal.SIGKILL)
if batch == "3":
    time.sleep(60)
"""


class Runs(unittest.TestCase):
    """`main.py` with a fake process for each setting."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "worker.py").write_text(FAKE_WORKER)
        (self.folder / "commit").write_text("0123456789ab with changes\n")
        self.results = self.folder / "results.json"
        environment = {"PEERS_PROGRAMS": str(self.folder), "RESULTS": str(self.results), "PATH": ""}
        for patch in (
            mock.patch.object(main, "WORKER", self.folder / "worker.py"),
            mock.patch.object(main, "GRACE", 0.2),
            mock.patch.dict(os.environ, environment),
        ):
            patch.start()
            self.addCleanup(patch.stop)
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def run_main(self, *arguments):
        """The exit code, the results, and the rows of each batch by name."""
        words = ["--json", str(self.results), "--networks", "cifar", "--threads", "1", *arguments]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = main.main(words)
        results = json.loads(self.results.read_text())
        rows = {s["batch"]: {row["name"]: row for row in s["rows"]} for s in results["settings"]}
        return code, results, rows

    def test_a_process_that_dies(self):
        code, results, rows = self.run_main("--batches", "1", "2", "4")
        self.assertEqual(code, 1)
        for batch in (1, 4):
            self.assertEqual(rows[batch]["captum"]["median_ms"], 2.0)
        self.assertEqual(rows[2]["msdcam"]["median_ms"], 2.0)
        self.assertEqual(rows[2]["captum"]["problem"], "failed: its process ended with code -9")
        self.assertEqual(set(rows[2]), {peer.name for peer in lineup.chosen("cpu")})
        self.assertEqual([len(s["problems"]) for s in results["settings"]], [0, 1, 0])
        table = self.results.with_suffix(".md").read_text()
        self.assertIn("| captum | yes | 2.00 (2.50), 1 round | failed | 2.00", table)
        self.assertTrue(self.results.with_suffix(".svg").exists())

    def test_a_process_without_results(self):
        code, _, rows = self.run_main("--batches", "5")
        self.assertEqual(code, 1)
        self.assertEqual({row["problem"] for row in rows[5].values()}, {"failed: its process ended with code 1"})

    def test_the_time_limit(self):
        begin = time.monotonic()
        code, _, rows = self.run_main("--batches", "1", "3", "4", "--seconds-limit", "1")
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(code, 1)
        self.assertEqual(rows[1]["captum"]["median_ms"], 2.0)
        self.assertEqual(rows[3]["msdcam"]["median_ms"], 2.0)
        self.assertRegex(rows[3]["captum"]["problem"], "^stopped: still at work")
        self.assertEqual({row["problem"] for row in rows[4].values()}, {lineup.NO_TIME})

    def test_told_to_end(self):
        threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        code, _, rows = self.run_main("--batches", "3", "4")
        self.assertEqual(code, 1)
        self.assertEqual(rows[3]["msdcam"]["median_ms"], 2.0)
        self.assertEqual(rows[3]["captum"]["problem"], "stopped: told to end")
        self.assertEqual({row["problem"] for row in rows[4].values()}, {lineup.NO_TIME})

    def test_compiled_rows_come_last_and_by_themselves(self):
        _, _, rows = self.run_main("--batches", "1", "4", "--device", "cuda", "--compile", "reduce-overhead")
        for batch in (1, 4):
            names = list(rows[batch])
            self.assertEqual(names, sorted(names, key=lineup.ORDER.index))
            compiled = rows[batch]["PyTorch, one pass, compiled, reduce-overhead"]
            self.assertEqual((compiled["median_ms"], compiled["msdcam_beside_ms"]), (2.0, 2.0))
            self.assertNotIn("msdcam_beside_ms", rows[batch]["captum"])

    def test_a_compiled_row_alone(self):
        options = ["--device", "cuda", "--compile", "reduce-overhead", "--only", "reduce-overhead"]
        self.results.write_text("captum")
        _, _, rows = self.run_main("--batches", "1", *options)
        ours = ["msdcam", "msdcam, forward only"]
        self.assertEqual(list(rows[1]), [*ours, "PyTorch, one pass, compiled, reduce-overhead"])

    def test_facts_about_the_machine(self):
        """There is no program on the PATH."""
        _, results, _ = self.run_main("--batches", "1", "--device", "cuda", "--torch-device", "cpu")
        about = results["machine"]
        self.assertEqual((about["gpu"], about["torch"], about["rehearsal"]), ("A GPU", "2", True))
        self.assertEqual((about["commit"], about["changed_files"]), ("0123456789ab", True))
        self.assertEqual((about["rustc"], about["driver"], about["cuda"]), (None, None, None))
        (self.folder / "commit").unlink()
        self.assertEqual(main.commit(), (None, None))

    def files(self, *names):
        paths = [self.folder / f"{name}.onnx" for name in names]
        for path in paths:
            path.touch()
        return [str(path) for path in paths]

    def test_files(self):
        one, other = self.files("one", "unknown")
        options = ["--model", one, "--model", other, "--torch", "resnet18", "none", "--isa", "avx512", "avx2"]
        code, results, _ = self.run_main(*options, "--batches", "1")
        self.assertEqual(code, 1, "our forward pass has no result")
        settings = [(s["network"], s["isa"], s["rows"][0]["told"]) for s in results["settings"]]
        self.assertEqual(settings, [
            ("one", "avx512", {"isa": "avx512", "onednn": None, "torch": "resnet18"}),
            ("one", "avx2", {"isa": "avx2", "onednn": "AVX2", "torch": "resnet18"}),
            ("unknown", "avx512", {"isa": "avx512", "onednn": None, "torch": "none"}),
            ("unknown", "avx2", {"isa": "avx2", "onednn": "AVX2", "torch": "none"}),
        ])  # fmt: skip
        names = [peer.name for peer in lineup.PEERS if peer.files]
        self.assertEqual([row["name"] for row in results["settings"][0]["rows"]], names)
        results["machine"]["avx512"] = True
        table = report.table(results)
        for line in (
            "| one | avx512 | 1 | 1 | 2.00, 1 round | failed | 3.00, 1 round | 4.00, 1 round | not here | 0.67 |",
            "| one | avx2 | 1 | 1 | 2.00, 1 round | failed | 3.00, 1 round‡ | 4.00, 1 round | not here | 0.50 |",
            "| unknown | avx512 | 1 | 1 | 2.00, 1 round† | failed | 3.00, 1 round | 4.00, 1 round | not here | 0.67 |",
            "†: ", "‡: ",
        ):  # fmt: skip
            self.assertIn(line, table)
        results["machine"]["avx512"] = False
        self.assertNotIn("‡", report.table(results), "it has nothing else")
        self.assertEqual(report.picture(results).count('class="title"'), 2)

    def test_files_in_their_usual_settings(self):
        _, results, _ = self.run_main("--model", *self.files("one"))
        self.assertEqual([(s["batch"], s.get("isa")) for s in results["settings"]], [(1, None), (16, None)])
        self.assertEqual([s["rows"][0]["told"]["torch"] for s in results["settings"]], [None, None])

    def test_files_that_cannot_be_measured(self):
        one, cifar = self.files("one", "cifar")
        for options in (
            [str(self.folder / "missing.onnx")], [str(self.folder / "commit")], [one, one], [cifar],
            [one, "--torch", "resnet18", "resnet50"], [one, "--compile", "default"], [one, "--device", "cuda", "--isa", "avx2"],
            [one, "--only", "captum"],
        ):  # fmt: skip
            with self.subTest(options), self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
                main.main(["--model", *options])

    def test_what_shares_a_process(self):
        def names(*arguments):
            return [peer.name for peer in lineup.chosen(*arguments)]

        self.assertFalse([name for name in names("cuda") if "compiled" in name])
        self.assertEqual(names("cpu", None, ["captum"]), ["msdcam", "msdcam, forward only", "captum"])
        self.assertEqual(names("cpu", None, ["msdcam"]), ["msdcam", "msdcam, forward only"])
        self.assertEqual(names("cpu", "default", ["captum"]), [])
        self.assertEqual(names("cpu", None, ["compiled"]), [])


@unittest.skipUnless(importlib.util.find_spec("torch"), "no PyTorch")
class Rows(unittest.TestCase):
    """`worker.py` with peers that do as told."""

    def setUp(self):
        import numpy
        import worker

        self.worker = worker
        self.right = numpy.ones((1, 1, 2)), numpy.ones((1, 1, 2, 2)), {}

    def row(self, make, packages=()):
        row = self.worker.Row("a peer", packages, lineup.GRAD_CAM, make)
        row.start(*self.right)
        return row

    def good(self):
        return lambda: self.right[:2]

    def test_a_missing_package(self):
        row = self.row(self.good, ("no-such-package|nor-this",))
        self.assertEqual(row.result()["problem"], "not here: no package no-such-package")
        self.assertEqual(row.result()["versions"], {})

    def test_one_of_two_packages(self):
        row = self.row(self.good, ("no-such-package|torch", "numpy"))
        self.assertEqual((row.problem, list(row.versions)), (None, ["torch", "numpy"]))

    def test_a_missing_module(self):
        def make():
            import no_such_module

            return no_such_module

        self.assertEqual(self.row(make).problem, "not here: No module named 'no_such_module'")

    def test_libraries_are_imported_by_their_rows(self):
        import networks

        setting = self.worker.Setting.__new__(self.worker.Setting)
        setting.net, setting.images = networks.MSDNet(networks.Config()), None
        missing = ["captum", "captum.attr", "cv2", "onnxruntime", "openvino", "pytorch_grad_cam", "torchcam",
                   "torchcam.methods"]  # fmt: skip
        with mock.patch.dict(sys.modules, dict.fromkeys(missing)):
            for module in ("libraries", "runtimes"):
                sys.modules.pop(module, None)
            peers = [peer for peer in lineup.PEERS if peer.kind.split(".")[0] in ("libraries", "runtimes")]
            self.assertEqual(len(peers), 6)
            for peer in peers:
                row = setting.row(peer._replace(packages=()))
                row.start(*self.right)
                self.assertRegex(row.problem, "^not here: ", peer.name)

    def test_wrong_answers(self):
        row = self.row(lambda: lambda: (self.right[0] * 1.01, None))
        self.assertRegex(row.result()["problem"], "^wrong: logits are off by 1.0e-02")

    def test_the_weights_of_this_repository(self):
        import networks

        weights = networks.Weights(main.ROOT / "weights/cifar10/msdnet_cifar10.safetensors")
        self.assertEqual(len(weights.network().exits()), 10)

    def test_maps_that_nothing_is_known_about(self):
        row = self.worker.Row("a peer", (), lineup.GRAD_CAM, self.good)
        row.start(self.right[0], None, {})
        self.assertEqual((row.problem, list(row.errors)), (None, ["logits"]))

    def test_answers_of_another_shape(self):
        row = self.row(lambda: lambda: (self.right[0][:, :, :1], None))
        self.assertRegex(row.problem, "^failed: AssertionError")

    def test_a_row_that_raises_in_a_turn(self):
        calls = iter(range(5))

        def tired():
            if next(calls) == 4:
                raise RuntimeError("CUDA out of memory.\nmore lines")
            return self.right[:2]

        saved = []
        rows = [self.row(self.good), self.row(lambda: tired), self.row(self.good)]
        self.worker.measure(rows, 5, 0.0, save=lambda: saved.append(len(rows[0].turns)))
        failed = rows[1].result()
        self.assertEqual(failed["problem"], "failed: in round 4: RuntimeError: CUDA out of memory.")
        self.assertEqual(len(failed["round_medians_ms"]), 3)
        for row in (rows[0], rows[2]):
            self.assertEqual(len(row.result()["round_medians_ms"]), 5)
        self.assertEqual(len(saved), 14)  # after every turn

    def test_the_time_limit(self):
        rows, turns = [self.row(self.good) for _ in range(3)], iter([True] * 4)
        self.worker.measure(rows, 5, 0.0, lambda: next(turns, False))
        self.assertEqual([len(row.turns) for row in rows], [1, 1, 2])
        rows = [self.row(self.good)]
        self.worker.measure(rows, 5, 0.0, lambda: False)
        self.assertEqual(rows[0].result()["problem"], lineup.NO_TIME)

    def test_a_server_that_does_not_start(self):
        import ours

        server = ours.Server("/no/such/program", "weights", "cuda", 1, [None])
        for what in (lineup.GRAD_CAM, lineup.FORWARD):
            row = self.row(lambda what=what: ours.Ours(server, what))
            self.assertRegex(row.problem, "^failed: FileNotFoundError")
        server.close()

    def test_a_server_that_hangs(self):
        import ours

        with mock.patch.object(ours, "PATIENCE", 0.2):
            server = ours.Server("sleep", "9", "9", 9, [None])
            row = self.row(lambda: ours.Ours(server, lineup.GRAD_CAM))
        self.assertEqual(row.problem, "failed: RuntimeError: msdcam's process ended with code -9")
        server.close()


@unittest.skipUnless(
    all(map(importlib.util.find_spec, ("torch", "torchvision", "onnx", "onnxruntime", "pytorch_grad_cam"))),
    "a package is missing",
)
class Files(unittest.TestCase):
    """`models.py` with a small network."""

    def setUp(self):
        import models

        self.models = models
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        patch = mock.patch.dict(models.onnx_table.NETWORKS, {"two_exits": self.two_exits, "softmax": self.softmax, "stored": Path("stored")})
        patch.start()
        self.addCleanup(patch.stop)

    def two_exits(self, last=None):
        from torch import nn

        class TwoExits(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
                self.second = nn.Sequential(nn.Conv2d(8, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU())
                self.heads = nn.ModuleList([nn.Linear(8, 5), nn.Linear(8, 5)])

            def forward(self, x):
                first = self.first(x)
                taps = [first, self.second(first)]
                return tuple(
                    softmax(head(tap.mean((2, 3)).reshape(len(x), 8)))
                    for head, softmax, tap in zip(self.heads, (nn.Identity(), last), taps, strict=True)
                )

        last = last or nn.Identity()
        return self.models.onnx_table.Subject(TwoExits(), ["first", "second"], 20)

    def softmax(self):
        return self.two_exits(self.models.nn.LogSoftmax(1))

    def rows(self, file, count=3):
        """The largest errors of ONNX Runtime's logits and of pytorch-grad-cam's maps."""
        import libraries
        import runtimes
        import worker

        images = file.images(count)
        right = file.right_answers(images)
        rows = []
        for kind in (runtimes.OnnxRuntime, libraries.PytorchGradCam):
            row = worker.Row("a peer", (), lineup.GRAD_CAM, lambda kind=kind: kind(file, images))
            row.start(*right)
            rows.append(row)
        return right, rows

    def test_several_exits_and_a_batch(self):
        path = self.models.write("two_exits", self.folder)
        with mock.patch.object(self.models, "of_batch", wraps=self.models.of_batch) as of_batch:
            right, rows = self.rows(self.models.File(path))
        self.assertEqual(of_batch.call_args.args, (path, 3, [20, 20]))
        self.assertEqual((right[0].shape, right[1].shape), ((3, 2, 5), (3, 2, 20, 20)))
        self.assertEqual([(row.problem, list(row.errors)) for row in rows], [(None, ["logits"]), (None, ["heat"])])

    def test_a_file_without_a_network_in_pytorch(self):
        """It ends in a softmax, whose input is compared."""
        path = self.models.write("softmax", self.folder)
        right, rows = self.rows(self.models.File(path, "none"))
        self.assertEqual((right[0].shape, right[1]), ((3, 2, 5), None))
        self.assertEqual((rows[0].problem, list(rows[0].errors)), (None, ["logits"]))
        self.assertEqual(rows[1].problem, "not here: no PyTorch network of softmax.onnx")
        scores = self.models.File(self.models.write("two_exits", self.folder)).right_answers(self.models.File(path).images(3))
        self.assertLess(abs(right[0] - scores[0]).max(), 1e-4)
        unnamed = path.rename(self.folder / "unnamed.onnx")
        self.assertIsNone(self.models.File(unnamed).subject)
        self.assertIsNotNone(self.models.File(unnamed, "two_exits").subject)
        for name in ("nothing", "stored"):
            with self.assertRaisesRegex(ValueError, f"no PyTorch network '{name}'"):
                self.models.File(unnamed, name)

    def test_another_network_of_that_name(self):
        path = self.models.write("two_exits", self.folder)
        with mock.patch.object(self.models.torch, "manual_seed", lambda _: torch_seed(1)):
            torch_seed = self.models.torch.random.manual_seed
            _, rows = self.rows(self.models.File(path))
        self.assertRegex(rows[0].problem, "^wrong: logits are off by")

    def test_export(self):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertEqual(main.main(["--export", str(self.folder), "--torch", "two_exits"]), 0)
            self.assertEqual(main.main(["--export", str(self.folder), "--torch", "nothing"]), 1)
        self.assertTrue((self.folder / "two_exits.onnx").exists())
        self.assertIn("left out: nothing: failed: ValueError: no such network", said.getvalue())


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    for test, reason in result.skipped:
        print(f"skipped: {test}: {reason}", file=sys.stderr)
    sys.exit(not result.wasSuccessful())
