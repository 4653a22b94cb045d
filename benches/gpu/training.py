"""Steps that train the built-in network (weights/train.py)."""

import shutil

import build
from files import KIT, ROOT, WORK, read_json
from machine import torch
from visit import Absent, Failed, Unfinished

LEAST_TRAINING = 2  # minutes, loading and warming up included


def start_training(visit):
    """Training in the background until the visit's end: what follows needs no quiet GPU."""
    data, out = KIT / "data", WORK / "training"
    torch(visit)
    if not (data / "train.tar.xz").exists():
        raise Absent("no training images in the kit")
    out.mkdir(exist_ok=True)
    if not list(out.glob("state-*")) and (KIT / "state.tar.xz").exists():
        build.unpack_flat(KIT / "state.tar.xz", out)
    minutes = visit.left() / 60 - 0.5
    if minutes < LEAST_TRAINING and not visit.scale.rehearsal:
        raise Absent(f"no time left: it needs {LEAST_TRAINING} minutes")
    words = ["--train", data / "train.tar.xz", "--test", data / "test.tar.xz", "--out", out]
    words += ["--fit", "--epochs", 300] if visit.fit or visit.scale.rehearsal else []
    if visit.scale.rehearsal:
        minutes = 1
        words += "--device cpu --threads 1 --exits 2 --channels 4 --growth 2 --base 2 --step 1 --lr 0.1".split()
        words += "--train-images 256 --test-images 100 --batch 64 --epochs 3".split()
    words += ["--minutes", f"{minutes:.2f}", "--piece-mb", 15]
    visit.training = visit.start([visit.python, ROOT / "weights/train.py", *words], "train")
    visit.background.append(visit.training)


def training_self_test(visit):
    """On the GPU: replayed training steps against eager ones."""
    torch(visit)
    test = "Gpu.test_replayed_steps_equal_eager_ones"
    done = visit.succeed([visit.python, ROOT / "weights/self_test.py", test], MSDCAM=visit.programs / "msdcam")
    if not visit.scale.rehearsal and "skipped" in done.stderr:
        raise Failed("skipped on a machine with a GPU")


def training(visit):
    """Waits for the training, and keeps what it wrote."""
    process = getattr(visit, "training", None)
    if process is None:
        raise Absent("no training was started")
    done = visit.wait(process)
    out = WORK / "training"
    for name in ("log.jsonl", "log.md", "summary.json"):
        if (out / name).exists():
            shutil.copy(out / name, visit.folder())
    visit.collect()
    facts = read_json(out / "summary.json") if (out / "summary.json").exists() else {}
    if visit.results["what"] == "train":  # else other steps had a part of the GPU
        for key, unit in (("seconds_per_epoch", "s"), ("images_per_s", "images/s")):
            if facts.get(key):
                visit.figure(f"training.{key}", facts[key], unit)
    for exit, percent in enumerate(facts.get("test") or [], 1):
        visit.figure(f"training.exit_{exit:02}", percent, f"% of {facts['test_images']} images")
    if done.code is None:
        raise Unfinished("train.py did not end in its time")
    if done.code:
        raise Failed(f"train.py ended with {done.code}: {done.last_words()}")
    return facts
