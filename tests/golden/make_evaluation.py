"""Make or check `evaluation.safetensors`: results of the authors' code and public tools; see README.md.

    python make_evaluation.py --authors MSDNET_PYTORCH            write the file
    python make_evaluation.py --authors MSDNET_PYTORCH --check    compute again, compare with the file

MSDNET_PYTORCH is a checkout of github.com/kalviny/MSDNet-PyTorch, commit
fce3f95fc7c030ae92fc57072d840d758863dc82. Its `adaptive_inference.py` runs unmodified.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_calibration_error

from make_golden import HERE, SEED, save

IMAGES, EXITS, CLASSES = 700, 5, 10
MULTIPLY_ADDS = [24303872, 36845056, 51303168, 71024640, 82121984]
INTERVALS = [(0, 1), (1, 1), (0, 25), (25, 25), (13, 25), (8232, 10000), (9999, 10000), (7, 61)]


def outcomes():
    """Probabilities (E, N, C) of exits of increasing accuracy and confidence, and labels (N)."""
    random = np.random.default_rng(SEED)
    labels = random.integers(0, CLASSES, IMAGES)
    hard = random.uniform(-1.0, 4.0, IMAGES)  # margin of the label
    shared = random.standard_normal((IMAGES, CLASSES))
    logits = np.empty((EXITS, IMAGES, CLASSES))
    for k in range(EXITS):
        logits[k] = shared + random.standard_normal((IMAGES, CLASSES)) / (1 + k)
        logits[k, np.arange(IMAGES), labels] += hard * (0.7 + 0.15 * k)
    return torch.softmax(torch.tensor(logits, dtype=torch.float32), dim=2), torch.tensor(labels)


def authors_budgets(authors, probabilities, labels):
    """The lines of dynamic.txt, and the thresholds of each budget, from the authors' code."""
    sys.path.insert(0, str(authors))
    from adaptive_inference import Tester, dynamic_evaluate

    parts = [(probabilities[:, i::2].contiguous(), labels[i::2].float()) for i in (0, 1)]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        args = SimpleNamespace(save=folder, nBlocks=EXITS)
        torch.save((*parts[0], *parts[1]), f"{folder}/logits_single.pth")
        torch.save(MULTIPLY_ADDS, f"{folder}/flops.pth")
        found, original = [], Tester.dynamic_eval_find_threshold

        def noted(*given):
            found.append(original(*given))
            return found[-1]

        Tester.dynamic_eval_find_threshold = noted
        dynamic_evaluate(None, None, None, args)
        lines = Path(f"{folder}/dynamic.txt").read_text().splitlines()
    budgets = []
    for line, (validation, _, thresholds) in zip(lines, found, strict=True):
        accuracy, work = map(float, line.split("\t"))
        thresholds = [None if t > 1 else max(t, 0.0) for t in thresholds.tolist()]
        budgets.append({"top1": accuracy, "multiply_adds": work, "validation_top1": validation, "thresholds": thresholds})
    return budgets


def exits(probabilities, labels):
    """Accuracy and confusion matrix by scikit-learn, calibration error by torchmetrics."""
    answers, y = [], labels.numpy()
    for p in probabilities:
        top = [100.0 * float(top_k_accuracy_score(y, p.numpy(), k=k, labels=range(CLASSES))) for k in (1, 5)]
        answers.append({
            "top1": top[0],
            "top5": top[1],
            "ece": float(multiclass_calibration_error(p.double(), labels, CLASSES, n_bins=15, norm="l1")),
            "confusion": confusion_matrix(y, p.argmax(1).numpy(), labels=range(CLASSES)).tolist(),
        })
    return answers


def interval(part, of):
    found = binomtest(part, of).proportion_ci(method="wilson")
    return [part, of, 100.0 * float(found.low), 100.0 * float(found.high)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--authors", required=True, type=Path, help="checkout of the authors' code")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    probabilities, labels = outcomes()
    answers = {
        "multiply_adds": MULTIPLY_ADDS,
        "budgets": authors_budgets(args.authors, probabilities, labels),
        "exits": exits(probabilities, labels),
        "intervals": [interval(*case) for case in INTERVALS],
    }
    path = HERE / "evaluation.safetensors"
    if not args.check:
        save(path, {"probabilities": probabilities, "labels": labels}, {"answers": json.dumps(answers)})
        return
    stored = load_file(path)
    same = torch.equal(stored["labels"], labels) and torch.equal(stored["probabilities"], probabilities)
    with safe_open(path, "pt") as f:
        same &= json.loads(f.metadata()["answers"]) == answers
    print(f"{path.name}: {'agrees' if same else 'DIFFERS'}, compared exactly")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
