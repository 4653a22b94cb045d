"""A visit of a machine with a GPU: steps in order of worth, each under its own limit, none ending the
others; whatever a step gave is in the output folder before the next one begins.

In the output folder, whose files are few because few can be brought back:

- `visit.log`: everything that was said
- `results.json`: what is here, every step's status, figures and facts
- `summary.md`: one screen: steps, and measured beside expected
- `files.tar.gz`: logs, JSON, CSV and pictures, a folder for each step
- `state-*`, or `msdnet_*.pth.tar*`: the training's state or its checkpoint, in pieces
"""

import contextlib
import datetime
import io
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import build
import summary
from files import KIT, LARGEST_FILE, ROOT, WEIGHTS, WORK, as_json, read_json, write_atomically

RESERVE = 15  # seconds kept for the end
KILL_AFTER = 5  # seconds between asking a process to end and ending it


@dataclass(frozen=True)
class Scale:
    """How much of everything: on a GPU, or in a rehearsal on the stand-in driver, which is far
    slower."""

    batches: tuple = (1, 32, 256)
    same_bits: tuple = (1, 3, 32, 256)
    rounds: int = 5
    seconds: float = 1.5  # of a turn
    bench_seconds: float = 5.0
    repeats: int = 200
    soak: int = 100_000
    factor: float = 1.0  # on every step's limit
    small_network: bool = False
    one_test: bool = False
    rehearsal: bool = True


SCALES = {
    "real": Scale(rehearsal=False),
    "rehearsal": Scale((1, 2, 4), (1, 3, 4), 2, 0.01, 0.1, 1, 3, 6.0),
    "short": Scale((1, 2, 3), (1, 3), 1, 0.0, 0.02, 1, 2, 6.0, small_network=True, one_test=True),
}


class Failed(Exception):
    """A step's result is wrong, or it could not be had; one line says why."""


class Unfinished(Failed):
    """A step that came to no result: its time was over, or a tool did not work."""


class Absent(Exception):
    """A step cannot run here; one line says what is missing."""


@dataclass
class Done:
    """A command that ended: its exit code, None where it was ended at its limit."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    def last_words(self):
        """The last line on standard error, else on standard output."""
        return (self.stderr.strip() or self.stdout.strip() or "nothing").splitlines()[-1][:200]


class Visit:
    """What all steps share: folders, the clock, processes, and what is written down."""

    def __init__(self, args, scale):
        self.out, self.scale, self.python = args.out.resolve(), scale, args.python
        self.fit = args.fit if args.fit is not None else args.what == "train"
        self.begun = time.monotonic()
        self.deadline = self.begun + 60 * args.minutes
        self.files, self.programs, self.logs = WORK / "files", WORK / "programs", 0
        self.weights, self.network = WEIGHTS, []  # for `serve`, and the words for msdcam: its own
        self.background, self.step, self.limit, self.copied = [], None, None, set()
        self.results = {
            "format": 1,
            "rehearsal": scale.rehearsal,
            "what": args.what,
            "started": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "machine": {},
            "steps": [],
            "figures": {},
        }
        self.out.mkdir(parents=True, exist_ok=True)
        self.log = (self.out / "visit.log").open("w")

    # ---- what is said and kept ----

    def say(self, text):
        line = f"[{time.monotonic() - self.begun:5.0f} s] {text}"
        print(line, flush=True)
        self.log.write(line + "\n")
        self.log.flush()

    def folder(self):
        """Where the step that runs puts what is to be kept."""
        folder = self.files / self.step
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def figure(self, name, value, unit):
        """Writes down a measured number."""
        self.results["figures"][name] = {"value": value, "unit": unit, "step": self.step}

    def save(self):
        """Brings the output folder up to date, as far as it goes: nothing in it may end the visit."""
        for name, content in (
            ("results.json", lambda: as_json(self.results)),
            ("summary.md", lambda: summary.text(self.results)),
            ("files.tar.gz", self.archive),
        ):
            try:
                write_atomically(self.out / name, content())
            except Exception:
                self.say(f"{name} could not be written:\n{traceback.format_exc()}")

    def archive(self):
        """The steps' files, the largest left out where all are too many bytes."""
        paths = sorted((p for p in self.files.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        while True:
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as tar:
                for path in sorted(paths):
                    tar.add(path, path.relative_to(self.files))
            if buffer.tell() < LARGEST_FILE - (1 << 20) or not paths:
                return buffer.getvalue()
            self.say(f"left out of files.tar.gz: {paths.pop().relative_to(self.files)}")

    # ---- processes ----

    def left(self):
        return self.deadline - time.monotonic()

    def environment(self, **more):
        """The steps' environment: our own kernel cache, and no library stubs in front of the driver."""
        path = os.environ.get("LD_LIBRARY_PATH", "").split(":")
        kept = [folder for folder in path if folder and "stubs" not in folder]
        if kept != [folder for folder in path if folder]:
            self.results["machine"]["left_out_of_library_path"] = [folder for folder in path if folder not in kept]
        environment = os.environ | {"LD_LIBRARY_PATH": ":".join(kept), "XDG_CACHE_HOME": str(WORK / "cache")}
        environment |= {"CARGO_MANIFEST_DIR": str(ROOT), "RUST_BACKTRACE": "0", "PYTHONUNBUFFERED": "1"}
        return environment | {key: str(value) for key, value in more.items()}

    def start(self, command, name=None, **more):
        """A process of its own session, its output in the step's folder."""
        self.logs += 1
        log = self.folder() / f"{self.logs:03}-{name or Path(str(command[0])).name}"
        with open(f"{log}.out", "w") as out, open(f"{log}.err", "w") as err:
            process = subprocess.Popen(
                [str(word) for word in command], cwd=ROOT, stdout=out, stderr=err, start_new_session=True,
                stdin=subprocess.PIPE, text=True, env=self.environment(**more),
            )  # fmt: skip
        process.log = log
        return process

    def end(self, process):
        """Ends a process and all that it started. One that is stuck in the driver is left behind."""
        for number, patience in ((signal.SIGTERM, KILL_AFTER), (signal.SIGKILL, 2 * KILL_AFTER)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)

    def wait(self, process, until=None):
        """Waits for a process until it ends, or ends it when its time, or the step's, is over."""
        begun, until = time.monotonic(), min(until or self.limit, self.limit)
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
            self.collect()
        code = process.poll()
        if code is None:
            self.end(process)
        out, err = (Path(f"{process.log}.{kind}").read_text(errors="replace") for kind in ("out", "err"))
        return Done(code, out, err, time.monotonic() - begun)

    def run(self, command, limit=None, stdin="", name=None, **more):
        """Runs a command to its end.

        Raises Unfinished where it takes longer than `limit` seconds, or than the step has left."""
        process = self.start(command, name, **more)
        try:
            process.stdin.write(stdin)
            process.stdin.close()
        except BrokenPipeError:
            pass  # its exit code says what it had against its input
        done = self.wait(process, limit and time.monotonic() + limit)
        if done.code is None:
            raise Unfinished(f"{name or Path(str(command[0])).name} did not end in {done.seconds:.0f} s")
        return done

    def succeed(self, command, **more):
        """As `run`. Raises Failed with the last line on standard error where the exit code is not 0."""
        done = self.run(command, **more)
        if done.code:
            raise Failed(f"{Path(str(command[0])).name} ended with {done.code}: {done.last_words()}")
        return done

    def collect(self):
        """Copies the training's state and checkpoint to the output folder, and removes what they replace."""
        training = WORK / "training"
        found = {p.name: p for kind in ("state-*", "msdnet_*.pth.tar*") for p in training.glob(kind)}
        for name, path in found.items():
            with contextlib.suppress(FileNotFoundError):  # replaced by a newer state just now
                if not (self.out / name).exists():
                    write_atomically(self.out / name, path.read_bytes())
                    self.copied.add(name)
        for name in self.copied - set(found):
            (self.out / name).unlink(missing_ok=True)
            self.copied.remove(name)

    # ---- steps ----

    def take(self, step):
        """Runs a step and writes down how it went."""
        self.step = step.name
        entry = {"name": step.name, "status": "passed", "why": None}
        limit = min(step.limit * self.scale.factor, self.left() - RESERVE)
        begun = time.monotonic()
        self.limit = begun + max(limit, 1)
        if limit < step.least:
            entry |= {"status": "skipped", "why": f"no time left: it needs {step.least} s"}
        else:
            self.say(f"{step.name} (at most {limit:.0f} s)")
            try:
                entry["facts"] = step.run(self) or {}
            except Absent as e:
                entry |= {"status": "skipped", "why": str(e)}
            except Failed as e:
                entry |= {"status": "unfinished" if isinstance(e, Unfinished) else "failed", "why": str(e)}
            except Exception as e:  # whatever a step did not foresee costs that step only
                (self.folder() / "traceback.txt").write_text(traceback.format_exc())
                entry |= {"status": "failed", "why": f"{type(e).__name__}: {e}"}
        entry["seconds"] = round(time.monotonic() - begun, 1)
        self.results["steps"].append(entry)
        self.say(f"{step.name}: {entry['status']} in {entry['seconds']} s" + (f": {entry['why']}" if entry["why"] else ""))
        self.save()


def clear(work):
    """An empty folder, but for the state of a training that an earlier visit of this machine left."""
    states = {path.name: path.read_bytes() for path in (work / "training").glob("state-*")}
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    if states:
        (work / "training").mkdir()
    for name, content in states.items():
        write_atomically(work / "training" / name, content)


def main(args):
    import checks  # they import this module
    import steps

    scale = SCALES[args.scale]
    chosen = steps.chosen(args.what, args.steps)
    if unknown := [name for name in args.steps or [] if name not in [step.name for step in chosen]]:
        print(f"no step {unknown[0]}; there are {', '.join(step.name for step in steps.STEPS)}", file=sys.stderr)
        return 2
    clear(WORK)
    visit = Visit(args, scale)
    try:
        visit.results["kit"] = {key: value for key, value in read_json(KIT / "manifest.json").items() if key != "programs"}
        build.unpack(KIT, visit.programs)
    except (OSError, ValueError, KeyError, EOFError, tarfile.TarError, lzma.LZMAError) as e:
        visit.say(f"the kit cannot be used ({type(e).__name__}: {e}); benches/gpu.sh build makes it")
        return 1
    if differ := build.tree_differs(visit.results["kit"].pop("tree", {})):
        visit.results["kit"]["changed"] = True
        visit.say(f"the tree is not that of the kit, figures will not be adopted: {', '.join(differ[:5])}")
    if scale.small_network:
        visit.weights = WORK / "small.safetensors"
        visit.network = ["--weights", visit.weights]
        small = ROOT / "tests/golden/nets/subnets-even.pth"
        subprocess.run([visit.programs / "msdcam", "convert", small, "-o", visit.weights], check=True, capture_output=True)
    try:
        for step in chosen:
            if step.name not in steps.AFTER_FAILED_SMOKE and checks.smoke_failed(visit):
                visit.results["steps"].append({"name": step.name, "status": "skipped", "why": "the smoke test failed", "seconds": 0})
                continue
            visit.take(step)
    finally:
        for process in visit.background:
            visit.end(process)
        visit.collect()
        visit.save()
    not_run = [s["name"] for s in visit.results["steps"] if s["status"] == "skipped" and (s["why"] or "").startswith("no time")]
    if not_run:
        visit.say(f"left for another visit: benches/gpu.sh visit --steps {' '.join(not_run)} --out DIR")
    visit.log.write(summary.text(visit.results))
    visit.log.flush()
    print("\n" + summary.text(visit.results), flush=True)
    return 1 if any(s["status"] in ("failed", "unfinished") for s in visit.results["steps"]) else 0
