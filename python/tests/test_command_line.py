"""The command line in the package: the same program, exit codes and signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from conftest import CHELSEA, PHOTOS

import msdcam

SCRIPT = Path(sysconfig.get_path("scripts")) / "msdcam"


def test_the_script_and_the_module_are_the_program(program):
    for command in ([sys.executable, "-m", "msdcam"], [SCRIPT]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, f"msdcam {msdcam.__version__}\n"), done.stderr
    done = program("explain", "--help")
    assert done.returncode == 0 and "Usage: msdcam explain [OPTIONS] <IMAGE>..." in done.stdout
    assert program().returncode == 2


def test_exit_codes_are_those_of_the_program(program, tmp_path):
    missing = tmp_path / "missing.png"
    file = tmp_path / "file"
    file.write_text("")
    for arguments, code, text in [
        (["classify", CHELSEA], 0, ""),
        (["explain", "--no-such-option", CHELSEA], 2, "--no-such-option"),
        (["classify", CHELSEA, "--exits", "11"], 2, "exits 1 to 10"),
        (["classify", CHELSEA, missing], 3, "missing.png"),
        (["classify", missing], 4, "missing.png"),
        (["classify", CHELSEA, "--weights", CHELSEA], 4, "chelsea.png"),
        (["classify", CHELSEA, "--device", "cuda:99"], 5, "cuda"),
        (["explain", CHELSEA, "-o", file / "sub"], 6, "cannot write"),
    ]:
        done = program(*arguments, cwd=tmp_path)
        assert done.returncode == code, (arguments, done.stderr)
        assert text in done.stderr and "Traceback" not in done.stderr


def test_a_usage_error_is_one_line_that_shows_what_was_given(program):
    done = program("explain", "--exits\n", "x")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert r"--exits\n" in done.stderr and "-m" not in done.stderr.split()


def test_json_goes_to_standard_output(program):
    done = program("classify", *PHOTOS, "--json", "-q")
    assert done.returncode == 0 and done.stderr == ""
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_program_as_it_does_without_python(number, code):
    # It waits for the paths on its standard input.
    with subprocess.Popen([SCRIPT, "classify", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(1.5)
        process.send_signal(number)
        try:
            # Its input stays open until it has ended: at the end of the input it would end by itself.
            process.wait(timeout=60)
            errors = process.stderr.read()
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == code and errors == b""


def test_an_interrupted_run_is_resumed(tmp_path, program):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(400):
        (photos / f"{i:03}.png").symlink_to(CHELSEA)
    run = [SCRIPT, "explain", photos, "-o", tmp_path / "run", "--device", "cpu", "--exits", "1,10", "-q"]
    environment = {**os.environ, "PYTHONFAULTHANDLER": "1"}
    with subprocess.Popen(run, stderr=subprocess.PIPE, text=True, env=environment) as process:
        folder = tmp_path / "run" / "images"
        while process.poll() is None and not (folder.exists() and any(folder.iterdir())):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and "KeyboardInterrupt" not in errors
    shutil.rmtree(tmp_path / "run")


def test_output_to_a_closed_pipe_is_no_error():
    command = f"{SCRIPT} classify {' '.join(map(str, PHOTOS))} | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.count("Traceback") == 0 and len(done.stdout.splitlines()) == 1
