"""A `serve` process (benches/serve.rs): a line is sent, a line of JSON comes back, within a time."""

import json
import queue
import threading
import time

from visit import Failed, Unfinished


class Server:
    """`variant`: how the GPU runs, in the words of msdcam::cuda::Variant."""

    def __init__(self, visit, batch, variant="", name="serve"):
        self.visit, self.name = visit, name
        self.process = visit.start([visit.programs / "serve", visit.weights, "cuda", 0, batch, variant], name)
        # Its answers go to a file as those of every process; that file is read as it grows.
        self.lines = queue.Queue()
        self.ended = threading.Event()
        threading.Thread(target=self.follow, daemon=True).start()
        try:
            self.ready = self.read("the start")
        except Failed:
            self.close()
            raise

    def follow(self):
        with open(f"{self.process.log}.out") as file:
            line = ""
            while True:
                line += file.readline()
                if line.endswith("\n"):
                    self.lines.put(line)
                    line = ""
                elif self.ended.is_set():
                    return
                elif self.process.poll() is not None and not line:
                    self.lines.put(None)
                    return
                else:
                    time.sleep(0.002)

    def read(self, what):
        while True:
            try:
                line = self.lines.get(timeout=0.5)
                break
            except queue.Empty:
                self.visit.collect()
                if time.monotonic() > self.visit.limit:
                    self.close()
                    raise Unfinished(f"{self.name}: no answer to {what} within the step's time") from None
        if line is None:
            said = open(f"{self.process.log}.err").read().strip().splitlines() or ["nothing"]
            raise Failed(f"{self.name} ended with {self.process.poll()}: {said[-1][:200]}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(f"{self.name}: {what}: {answer['error']}")
        return answer

    def ask(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # `read` says how it ended
        return self.read(f"'{line}'")

    def stop_listening(self):
        """Nothing more is asked: the thread that waits for answers ends."""
        self.ended.set()

    def close(self):
        self.stop_listening()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.visit.end(self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
