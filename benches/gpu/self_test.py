"""Checks what a visit rests on: limits, order, stop rules, the archive, the kit, and what adopt refuses.

python3 benches/gpu/self_test.py [unittest's words]
"""

import contextlib
import copy
import gzip
import io
import json
import lzma
import os
import re
import sys
import tarfile
import tempfile
import time
import types
import unittest
from pathlib import Path

import adopt
import build
import checks
import steps
import summary
import visit as visits
from files import ROOT, write_json
from steps import Step


class InFolder(unittest.TestCase):
    def setUp(self):
        kept = tempfile.TemporaryDirectory()
        self.addCleanup(kept.cleanup)
        self.folder = Path(kept.name)


class Visits(InFolder):
    def setUp(self):
        super().setUp()
        self.addCleanup(setattr, visits, "WORK", visits.WORK)
        visits.WORK = self.folder / "work"
        visits.WORK.mkdir()
        self.visit = self.new_visit(minutes=1)

    def new_visit(self, minutes):
        args = types.SimpleNamespace(out=self.folder / "out", python=sys.executable, minutes=minutes, what="all", fit=None)
        with contextlib.redirect_stdout(io.StringIO()):
            new = visits.Visit(args, visits.SCALES["real"])
        self.addCleanup(new.log.close)
        return new

    def take(self, run, limit=20.0, least=0):
        with contextlib.redirect_stdout(io.StringIO()):
            self.visit.take(Step("a_step", run, limit, least))
        return self.visit.results["steps"][-1]

    def kept(self):
        with tarfile.open(self.folder / "out/files.tar.gz") as tar:
            return {m.name: tar.extractfile(m).read() for m in tar}

    def test_a_step_that_passes_leaves_figures_and_files(self):
        def step(visit):
            visit.figure("a.figure", 3.5, "ms")
            (visit.folder() / "a.json").write_text("{}")
            return {"a": "fact"}

        entry = self.take(step)
        self.assertEqual((entry["status"], entry["facts"]), ("passed", {"a": "fact"}))
        results = json.loads((self.folder / "out/results.json").read_text())
        self.assertEqual(results["figures"]["a.figure"], {"value": 3.5, "unit": "ms", "step": "a_step"})
        self.assertEqual(self.kept(), {"a_step/a.json": b"{}"})
        self.assertIn("a_step", (self.folder / "out/summary.md").read_text())

    def test_a_command_that_hangs_is_ended_with_its_children_and_the_step_fails(self):
        marker = self.folder / "marker"
        script = f"(sleep 1.5; touch {marker}) & sleep 60"
        begun = time.monotonic()
        entry = self.take(lambda visit: visit.run(["sh", "-c", script]), limit=0.5)
        self.assertEqual(entry["status"], "unfinished")
        self.assertIn("did not end", entry["why"])
        self.assertLess(time.monotonic() - begun, 10)
        time.sleep(max(0, begun + 2.5 - time.monotonic()))
        self.assertFalse(marker.exists())

    def test_a_command_that_ignores_the_request_to_end_is_ended_all_the_same(self):
        self.addCleanup(setattr, visits, "KILL_AFTER", visits.KILL_AFTER)
        visits.KILL_AFTER = 0.3
        begun = time.monotonic()
        entry = self.take(lambda visit: visit.run(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]), limit=0.3)
        self.assertEqual(entry["status"], "unfinished")
        self.assertLess(time.monotonic() - begun, 8)

    def test_children_that_outlive_their_parent_are_ended_too(self):
        marker = self.folder / "marker"
        script = f"(trap '' TERM; sleep 1; sleep 1; touch {marker}) & exit 0"
        process = self.start(["sh", "-c", script])
        process.wait()
        self.visit.end(process)
        time.sleep(2.5)
        self.assertFalse(marker.exists())

    def start(self, command):
        self.visit.step = "a_step"
        process = self.visit.start(command)
        process.stdin.close()
        return process

    def test_what_a_command_said_is_kept_and_its_last_line_is_the_reason(self):
        entry = self.take(lambda visit: visit.succeed(["sh", "-c", "echo out; echo first >&2; echo last >&2; exit 3"]))
        self.assertEqual((entry["status"], entry["why"]), ("failed", "sh ended with 3: last"))
        self.assertIn(b"first\nlast\n", self.kept().values())

    def test_an_error_in_a_step_costs_that_step_only(self):
        self.assertEqual(self.take(lambda visit: 1 / 0)["why"], "ZeroDivisionError: division by zero")
        self.assertEqual(self.take(lambda visit: None)["status"], "passed")

    def test_what_is_missing_is_no_failure(self):
        def step(visit):
            raise visits.Absent("no such tool")

        self.assertEqual(self.take(step), {"name": "a_step", "status": "skipped", "why": "no such tool", "seconds": 0.0})

    def test_a_step_for_which_no_time_is_left_is_not_begun(self):
        self.visit = self.new_visit(minutes=0.3)
        entry = self.take(self.fail, least=10)
        self.assertEqual((entry["status"], entry["why"]), ("skipped", "no time left: it needs 10 s"))

    def test_the_largest_files_are_left_out_of_an_archive_that_would_be_too_large(self):
        self.addCleanup(setattr, visits, "LARGEST_FILE", visits.LARGEST_FILE)
        visits.LARGEST_FILE = (1 << 20) + 100_000

        def step(visit):
            (visit.folder() / "large").write_bytes(os.urandom(200_000))
            (visit.folder() / "small").write_bytes(b"small")

        self.take(step)
        self.assertEqual(list(self.kept()), ["a_step/small"])

    def test_what_cannot_be_written_ends_nothing(self):
        entry = self.take(lambda visit: visit.figure("a", float("nan"), "ms") or {"a fact": Path("/")})
        self.assertEqual(entry["status"], "passed")
        self.addCleanup(setattr, summary, "text", summary.text)
        summary.text = lambda results: 1 / 0
        self.assertEqual(self.take(lambda visit: None)["status"], "passed")
        self.assertEqual(len(json.loads((self.folder / "out/results.json").read_text())["steps"]), 2)

    def test_what_lay_in_the_output_folder_before_stays_there(self):
        (self.visit.out / "state-0").write_text("of an earlier visit")
        self.visit.collect()
        self.assertTrue((self.visit.out / "state-0").exists())

    def test_a_training_s_state_is_in_the_output_folder_and_replaced_as_it_is(self):
        training = visits.WORK / "training"
        training.mkdir()
        (training / "state-1").write_text("old")
        self.visit.collect()
        (training / "state-1").rename(training / "state-2")
        self.visit.collect()
        self.assertEqual([p.name for p in self.visit.out.glob("state-*")], ["state-2"])

    def test_a_second_visit_keeps_the_training_s_state_and_nothing_else(self):
        for name in ("training/state-1", "training/log.md", "files/old"):
            path = visits.WORK / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(name)
        visits.clear(visits.WORK)
        self.assertEqual([p.name for p in visits.WORK.rglob("*") if p.is_file()], ["state-1"])

    def test_stubs_of_the_driver_are_left_out_of_the_library_path(self):
        self.addCleanup(os.environ.__setitem__, "LD_LIBRARY_PATH", os.environ.get("LD_LIBRARY_PATH", ""))
        os.environ["LD_LIBRARY_PATH"] = "/a:/usr/local/cuda/lib64/stubs:/b"
        self.assertEqual(self.visit.environment()["LD_LIBRARY_PATH"], "/a:/b")
        self.assertEqual(self.visit.results["machine"]["left_out_of_library_path"], ["/usr/local/cuda/lib64/stubs"])

    def test_after_a_failed_smoke_test_only_floors_memcheck_and_training_follow(self):
        self.visit.results["steps"] = [{"name": "smoke", "status": "failed"}]
        self.assertTrue(checks.smoke_failed(self.visit))
        follow = {step.name for step in steps.STEPS if step.name in steps.AFTER_FAILED_SMOKE}
        self.assertEqual(follow, {"machine", "smoke", "memcheck_of_smoke", "floors", "start_training", "training_self_test", "training"})
        self.assertTrue(set(steps.AFTER_FAILED_SMOKE) <= {step.name for step in steps.STEPS})


class Lists(unittest.TestCase):
    def test_kinds_of_visits(self):
        names = lambda what: [step.name for step in steps.chosen(what, None)]  # noqa: E731
        self.assertEqual(names("train"), ["machine", "smoke", "memcheck_of_smoke", "training_self_test", "start_training", "training"])
        self.assertNotIn("training", names("checks"))
        self.assertLess(names("all").index("peers"), names("all").index("start_training"), "peers need a quiet GPU")
        self.assertEqual([s.name for s in steps.chosen("all", ["soak"])], ["machine", "soak"])

    def test_every_gate_is_a_step_and_every_expected_figure_has_gates(self):
        known = {step.name for step in steps.STEPS}
        for gates in [*adopt.GATES.values(), adopt.SANITIZERS, adopt.ROW_BY_ROW]:
            self.assertTrue(set(gates) <= known, gates)
        passed = {"passed": known, "failed": set()}
        for row in json.loads(summary.EXPECTED.read_text())["rows"]:
            figure = {"value": 1, "unit": row["unit"], "step": "smoke"}
            self.assertIsNone(adopt.why_not(row["figure"].replace("*", ", "), figure, passed), row)


def made_up(**more):
    """Results as a visit of a real GPU would leave them."""
    names = [step.name for step in steps.STEPS if step.name not in ("memcheck_of_smoke", "reduce_overhead")]
    figures = {f"bench.batch_{b}.all.{what}.{key}": {"value": v / 7 * b, "unit": "ms", "step": f"bench_{b}"}
               for b in (1, 256) for what in ("grad_cam", "forward")
               for key, v in (("p50", 3.0), ("device", 2.9), ("images_per_s", 9000.0))}  # fmt: skip
    figures["peers.batch_1.msdcam"] = {"value": 0.41, "unit": "ms", "step": "peers"}
    figures["peers.batch_1.PyTorch, one pass, CUDA graph"] = {"value": 0.83, "unit": "ms", "step": "peers"}
    figures["floors.ffma"] = {"value": 60.0, "unit": "TFLOP/s", "step": "floors"}
    return {
        "format": 1, "rehearsal": False, "what": "all", "started": "2030-01-02 03:04 UTC",
        "machine": {"name": "NVIDIA H100 80GB HBM3", "driver_version": "580.1", "device": "cuda:0 (NVIDIA H100 80GB HBM3, 132 multiprocessors)"},
        "kit": {"commit": "0123456789ab", "changed": False},
        "steps": [{"name": name, "status": "passed", "why": None, "seconds": 1} for name in names],
        "figures": figures,
    } | more  # fmt: skip

    def test_every_test_that_a_step_runs_alone_exists(self):
        text = (ROOT / "benches/gpu/steps.py").read_text()
        named = re.findall(r'checks\.parity\("(\w+)", "(\w+)"\)', text)
        self.assertTrue(named)
        for module, one_test in named:
            source = (ROOT / f"tests/it/{module}.rs").read_text()
            self.assertRegex(source, rf"#\[test\]\s*fn {one_test}", f"{module}::{one_test}")


class Adoption(InFolder):
    def results(self, results, name="out"):
        folder = self.folder / name
        folder.mkdir()
        write_json(folder / "results.json", results)
        rows = [{"name": name, "computes": "grad_cam", "versions": {}, "largest_error": {}, "median_ms": ms, "p90_ms": ms, "round_medians_ms": [ms]}
                for name, ms in (("msdcam", 0.41), ("PyTorch, one pass, CUDA graph", 0.83), ("captum", 99.0))]  # fmt: skip
        about = {"gpu": "NVIDIA H100 80GB HBM3", "cpu": "a CPU", "cpus": 16, "system": "Linux", "rustc": None, "date": "2030-01-02",
                 "commit": "0123456789ab", "changed_files": False}  # fmt: skip
        how = {"device": "cuda", "rounds": 1, "seconds_per_turn": 0.1}
        settings = [{"network": "cifar", "batch": 1, "threads": 1, "rows": rows}]
        peers = json.dumps({"machine": about, "how": how, "settings": settings}).encode()
        with tarfile.open(folder / "files.tar.gz", "w:gz") as tar:
            for member, content in (("bench_1/bench.svg", b"<svg"), ("peers/peers.json", peers)):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return folder

    def merged(self, *results, known=True):
        folders = [self.results(one, f"out-{i}") for i, one in enumerate(results)]
        return adopt.merged(folders, is_known=lambda commit: known)

    def without(self, status, *names):
        results = made_up()
        for step in results["steps"]:
            if step["name"] in names:
                step["status"] = status
        return results

    def test_what_passed_counts(self):
        figures, refused = adopt.judged(self.merged(made_up()))
        self.assertEqual((len(figures), refused), (len(made_up()["figures"]), {}))

    def test_each_gate_takes_its_figures_away(self):
        ours = {name for name in made_up()["figures"] if name.startswith("bench") or name == "peers.batch_1.msdcam"}
        for gate in adopt.RIGHT:
            for status in ("failed", "skipped", "unfinished"):
                with self.subTest(gate=gate, status=status), tempfile.TemporaryDirectory() as folder:
                    self.folder = Path(folder)
                    _, refused = adopt.judged(self.merged(self.without(status, gate)))
                    self.assertEqual(set(refused), ours)
                    self.assertTrue(all(gate in reason for reason in refused.values()), refused)

    def test_a_figure_s_own_step_is_a_gate(self):
        _, refused = adopt.judged(self.merged(self.without("failed", "bench_256")))
        self.assertEqual({name.split(".")[1] for name in refused}, {"batch_256"})

    def test_a_sanitizer_that_found_something_takes_our_figures_away_and_one_that_did_not_end_does_not(self):
        for status, tool, refuses in (("failed", "racecheck", True), ("unfinished", "racecheck", False), ("failed", "initcheck", False)):
            with self.subTest(tool=tool, status=status), tempfile.TemporaryDirectory() as folder:
                self.folder = Path(folder)
                whole = self.merged(self.without(status, tool))
                figures, refused = adopt.judged(whole)
                self.assertEqual("bench.batch_1.all.grad_cam.p50" in refused, refuses)
                self.assertNotIn("floors.ffma", refused)

    def test_what_is_no_number_is_refused(self):
        results = made_up()
        results["figures"]["floors.ffma"]["value"] = None
        results["figures"]["bench.batch_1.all.grad_cam.p50"]["value"] = float("nan")
        _, refused = adopt.judged(self.merged(results))
        self.assertEqual(set(refused), {"floors.ffma", "bench.batch_1.all.grad_cam.p50"})

    def test_a_figure_that_nobody_knows_is_refused(self):
        results = made_up()
        results["figures"]["guess.of_mine"] = {"value": 1, "unit": "ms", "step": "bench"}
        _, refused = adopt.judged(self.merged(results))
        self.assertEqual(refused, {"guess.of_mine": "no gate is known for it"})

    def test_gates_of_two_visits_go_together(self):
        first, second = self.without("skipped", "parity_ops"), made_up(figures={})
        _, refused = adopt.judged(self.merged(first, second))
        self.assertEqual(refused, {})

    def refusal(self, *results, **more):
        with self.assertRaises(adopt.Refused) as caught:
            self.merged(*results, **more)
        return str(caught.exception)

    def test_results_that_are_none_are_refused(self):
        other = copy.deepcopy(made_up())
        other["kit"]["commit"] = "ba9876543210"
        stand_in = made_up(machine={"name": "Stand-in device (CPU)", "driver_version": "0", "device": "cuda:0 (Stand-in device (CPU))"})
        cases = {
            "a rehearsal": [made_up(rehearsal=True)],
            "a rehearsal, on Stand-in": [stand_in],
            "with changes": [made_up(kit={"commit": "0123456789ab", "changed": True})],
            "found a GPU": [made_up(machine={})],
            "found a GPU (KeyError: 'status')": [made_up(steps=[{"name": "smoke"}])],
            "found a GPU (TypeError": [made_up(figures={"floors.ffma": 3})],
            "one commit go together": [made_up(), other],
            "msdcam cpu": [made_up(machine={"name": "NVIDIA H100", "driver_version": "1", "device": "cpu (2 threads)"})],
        }
        for words, results in cases.items():
            with self.subTest(words), tempfile.TemporaryDirectory() as folder:
                self.folder = Path(folder)
                self.assertIn(words, self.refusal(*results))
        self.folder = self.folder.parent / "unknown"
        with tempfile.TemporaryDirectory() as folder:
            self.folder = Path(folder)
            self.assertIn("not in this history", self.refusal(made_up(), known=False))

    def adopt(self, folder, results_folder):
        whole = adopt.merged([folder], is_known=lambda commit: True)
        figures, _ = adopt.judged(whole)
        files, adopted = adopt.drawn([folder], whole, figures, results_folder)
        for name, content in files.items():
            (results_folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(files), adopted

    def test_results_and_readme_are_written_from_what_counts(self):
        names, adopted = self.adopt(self.results(made_up()), self.folder)
        self.assertEqual([n.replace("nvidia-h100-80gb-hbm3", "NAME") for n in names],
                         ["gpu-NAME.svg", "peers-NAME.json", "peers-NAME.md", "peers-NAME.svg", "gpu-NAME.json"])  # fmt: skip
        table = (self.folder / "peers-nvidia-h100-80gb-hbm3.md").read_text()
        self.assertIn("CUDA graph | yes | 0.830", table)
        self.assertNotIn("captum", table, "it has no figure")
        readme = adopt.redrawn(f"before\n{adopt.BEGIN}\nold\n{adopt.END}\nafter\n", adopted)
        self.assertTrue(readme.startswith("before\n") and readme.endswith("\nafter\n"), readme)
        self.assertNotIn("old", readme)
        for words in ("NVIDIA H100 80GB HBM3, driver 580.1, 2030-01-02, commit 0123456789ab", "| batch 1 | batch 256 |",
                      "logits within 1e-4", "host to host | 0.429 | 110 |", "| PyTorch, one pass, CUDA graph | 0.83 |",
                      "memcheck, racecheck", "![msdcam and its peers on"):  # fmt: skip
            self.assertIn(words, readme)
        self.assertEqual(adopt.redrawn(readme, adopted), readme)

    def test_where_only_floors_count_nothing_is_said_of_answers(self):
        _, adopted = self.adopt(self.results(self.without("failed", "smoke", "same_bits")), self.folder)
        self.assertNotIn("logits", adopt.block(adopted))

    def test_a_later_adoption_adds_to_results_of_its_commit_and_does_not_lose_those_of_another(self):
        results = self.folder / "results"
        results.mkdir()
        self.adopt(self.results(made_up(), "first"), results)
        only_floors = {name: figure for name, figure in made_up()["figures"].items() if name == "floors.ffma"}
        _, adopted = self.adopt(self.results(made_up(figures=only_floors), "second"), results)
        self.assertEqual(set(adopted[0]["figures"]), set(made_up()["figures"]))
        newer = made_up(figures=only_floors, kit={"commit": "ba9876543210", "changed": False})
        with self.assertRaises(adopt.Refused):
            self.adopt(self.results(newer, "third"), results)
        newer = made_up(kit={"commit": "ba9876543210", "changed": False})
        _, adopted = self.adopt(self.results(newer, "fourth"), results)
        self.assertEqual(adopted[0]["commit"], "ba9876543210")

    def test_results_without_their_archive_count_without_pictures(self):
        folder = self.results(made_up())
        (folder / "files.tar.gz").write_bytes(b"no archive")
        with contextlib.redirect_stderr(io.StringIO()):
            names, adopted = self.adopt(folder, self.folder)
        self.assertEqual((names, adopted[0]["pictures"]), (["gpu-nvidia-h100-80gb-hbm3.json"], {}))

    def test_a_training_is_kept_whole_or_not_at_all(self):
        folder, home = self.results(made_up()), self.folder / "home"
        (folder / "state-1.01of02").write_text("half")
        self.assertIsNone(adopt.keep_training([folder], home))
        (folder / "state-1.02of02").write_text("other half")
        self.assertIs(adopt.keep_training([folder], home), False)
        (folder / "msdnet_cifar10.pth.tar").write_text("done")
        self.assertIs(adopt.keep_training([folder], home), True)
        self.assertEqual([p.name for p in home.iterdir()], ["msdnet_cifar10.pth.tar"])
        self.assertEqual(len(list((self.folder / "home.before").iterdir())), 2)

    def test_the_readme_is_drawn_from_the_results_that_are_there(self):
        readme = (ROOT / "README.md").read_text()
        self.assertEqual(adopt.redrawn(readme, list(adopt.adopted_in(ROOT / "benches/results").values())), readme)


class Kit(InFolder):
    def test_programs_come_back_as_they_were_with_the_weights_cut_out_and_put_in_again(self):
        weights = self.folder / "weights"
        weights.write_bytes(os.urandom(100_000))
        self.addCleanup(setattr, build, "WEIGHTS", build.WEIGHTS)
        build.WEIGHTS = weights
        whole, small = self.folder / "whole.cubin", self.folder / "small.cubin"  # not programs: nothing to strip
        whole.write_bytes(b"before" + weights.read_bytes() + b"after")
        small.write_bytes(b"small")
        facts = build.pack_programs({"whole": whole, "small": small}, self.folder / "programs.tar.xz")
        write_json(self.folder / "manifest.json", {"programs": facts, "commit": "0123456789ab", "changed": True})
        self.assertLess((self.folder / "programs.tar.xz").stat().st_size, 5_000)
        build.unpack(self.folder, self.folder / "unpacked")
        for path in (whole, small):
            back = self.folder / "unpacked" / path.stem
            self.assertEqual(back.read_bytes(), path.read_bytes())
            self.assertTrue(os.access(back, os.X_OK))
        self.assertEqual((self.folder / "unpacked/commit").read_text(), "0123456789ab with changes\n")
        weights.write_bytes(os.urandom(100_000))
        with self.assertRaises(ValueError):
            build.unpack(self.folder, self.folder / "again")

    def test_a_training_s_state_comes_back_as_it_was_and_alone(self):
        source, back = self.folder / "source", self.folder / "back"
        for new in (source, back):
            new.mkdir()
        for name in ("state-1.01of02", "state-1.02of02", "log.md"):
            (source / name).write_text(name)
        build.pack_state(source, self.folder / "state.tar.xz")
        build.unpack_flat(self.folder / "state.tar.xz", back)
        self.assertEqual({p.name: p.read_text() for p in back.iterdir()}, {n: n for n in ("state-1.01of02", "state-1.02of02")})

    def test_a_tree_that_is_not_the_kit_s_is_noticed(self):
        hashes = build.tree_hashes()
        self.assertIn("benches/gpu/build.py", hashes)
        self.assertEqual(build.tree_differs(hashes), [])
        changed = hashes | {"benches/gpu/build.py": "0" * 16, "benches/gpu/gone.py": "0" * 16}
        self.assertEqual(build.tree_differs(changed), ["benches/gpu/build.py", "benches/gpu/gone.py"])

    def test_the_test_images_that_travel_are_whole_records_evenly_spread(self):
        source, kit = self.folder / "source", self.folder / "kit"
        for new in (source, kit):
            new.mkdir()
        (source / "train_jpeg.tar.gz").write_bytes(gzip.compress(b"train"))
        (source / "test_batch.bin").write_bytes(b"".join(bytes([i % 256]) * build.RECORD for i in range(4_000)))
        build.pack_data(source, kit)
        with tarfile.open(kit / "test.tar.xz") as tar:
            content = tar.extractfile("test_batch.bin").read()
        self.assertEqual(len(content), 1_000 * build.RECORD)
        self.assertEqual(lzma.decompress((kit / "train.tar.xz").read_bytes()), b"train")
        self.assertEqual(content[:: build.RECORD][:4], bytes([0, 4, 8, 12]))


if __name__ == "__main__":
    unittest.main()
