"""Our side: `benches/serve.rs` in a process of its own, which times its calls itself, from the
images in its memory to the answers in its memory, as the peers' calls are timed in theirs."""

import contextlib
import json
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np

PATIENCE = 60  # seconds for one reply, beyond the turn that was asked for


class Server:
    """Starts when it is first asked; a failed start is not tried again."""

    def __init__(self, program, weights, device, threads, images):
        self.command = [program, weights, device, str(threads), str(len(images))]
        self.expected, self.images = device, images
        self.process = self.device = self.failure = None

    def start(self):
        if self.failure:
            raise self.failure
        if self.process:
            return
        try:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.device = self.read()["device"]
            if not self.device.startswith(self.expected):
                raise RuntimeError(f"asked for {self.expected}, msdcam runs on {self.device}")
            with tempfile.TemporaryDirectory() as folder:
                self.images.numpy().astype("<f4").tofile(Path(folder) / "images")
                self.ask(f"images {folder}/images")
                self.ask(f"answers {folder}/answers.npz")
                with np.load(Path(folder) / "answers.npz") as answers:
                    self.answers = answers["logits"], answers["heat"]
        except Exception as e:
            self.failure = e
            raise

    def read(self, seconds=0.0):
        # A GPU that hangs must not hold up the others.
        timer = threading.Timer(seconds + PATIENCE, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            raise RuntimeError(f"msdcam's process ended with code {self.process.wait()}")
        return json.loads(line)

    def ask(self, line, seconds=0.0):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        reply = self.read(seconds)
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply

    def close(self):
        if self.process:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()


class Ours:
    """One of the server's two kinds of run, as a peer that times itself."""

    def __init__(self, server, what):
        self.server, self.what = server, what
        server.start()

    def __call__(self):
        logits, heat = self.server.answers
        return logits, heat if self.what == "grad_cam" else None

    def turn(self, seconds):
        return self.server.ask(f"{self.what} {seconds}", seconds)["ms"]
