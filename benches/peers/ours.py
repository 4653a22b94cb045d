"""Our side: `benches/serve.rs` in a process of its own, which times its calls itself, from the
images in its memory to the answers in its memory, as the peers' calls are timed in theirs."""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np


class Server:
    def __init__(self, program, weights, device, threads, images):
        command = [program, weights, device, str(threads), str(len(images))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.device = self.read()["device"]
        if not self.device.startswith(device):
            raise RuntimeError(f"asked for {device}, msdcam runs on {self.device}")
        with tempfile.TemporaryDirectory() as folder:
            images.numpy().astype("<f4").tofile(Path(folder) / "images")
            self.ask(f"images {folder}/images")
            self.ask(f"answers {folder}/answers.npz")
            with np.load(Path(folder) / "answers.npz") as answers:
                self.answers = answers["logits"], answers["heat"]

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"msdcam's process ended with code {self.process.wait()}")
        return json.loads(line)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ours:
    """One of the server's two kinds of run, as a peer that times itself."""

    def __init__(self, server, what):
        self.server, self.what = server, what

    def __call__(self):
        logits, heat = self.server.answers
        return logits, heat if self.what == "grad_cam" else None

    def turn(self, seconds):
        return self.server.ask(f"{self.what} {seconds}")["ms"]
