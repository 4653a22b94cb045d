"""Make or check the golden results of this folder; see README.md.

    python make_golden.py ops nets                       write the files
    python make_golden.py default --answers FILE         select from the article's results
    python make_golden.py default --checkpoint CKPT      of other weights, by this folder's definition, in f64
    python make_golden.py ops nets --check               compute again, compare with the files
    python make_golden.py default --check --checkpoint CKPT
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import nets
import ops
import trained

HERE = Path(__file__).parent
SEED = 20240229
TOLERANCE = 1e-4  # relative to the largest magnitude of a tensor; the article's results were computed in f32
SAME_SEED_TOLERANCE = 1e-6


def in_f32(tensors):
    """The stored form: f64 rounded to f32, integers unchanged."""
    return {k: (v.float() if v.is_floating_point() else v).contiguous() for k, v in sorted(tensors.items())}


def save(path, tensors, facts):
    metadata = {"torch": torch.__version__, "seed": str(SEED), **facts}
    save_file(in_f32(tensors), path, metadata)
    print(f"{path.relative_to(HERE)}: {len(tensors)} tensors, {path.stat().st_size} bytes")


def compare(path, stored, computed, tolerance):
    """Print the largest difference relative to each tensor's largest magnitude; return whether all agree."""
    computed = in_f32(computed)
    if stored.keys() != computed.keys():
        print(f"{path.name}: names differ: {sorted(stored.keys() ^ computed.keys())[:5]}")
        return False
    worst, where = 0.0, "nothing"
    for name, a in stored.items():
        b = computed[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            print(f"{path.name}: {name} is {a.dtype} {list(a.shape)}, computed {b.dtype} {list(b.shape)}")
            return False
        if not (a.double().isfinite().all() and b.double().isfinite().all()):
            print(f"{path.name}: {name} is not finite")
            return False
        difference = ((a.double() - b.double()).abs().max() / max(a.double().abs().max(), 1e-30)).item()
        if not a.is_floating_point() and difference:
            difference = float("inf")
        if difference > worst:
            worst, where = difference, name
    verdict = "agrees" if worst <= tolerance else "DIFFERS"
    print(f"{path.name}: {verdict}, {len(stored)} tensors, largest relative difference {worst:.2e} ({where})")
    return worst <= tolerance


def compare_weights(path, object_to_save):
    """Check that the stored checkpoint has exactly the tensors of a new one, including precision."""
    stored, computed = nets.load_state(path), nets.state_of(object_to_save)
    same = stored.keys() == computed.keys() and all(
        a.dtype == computed[name].dtype and torch.equal(a, computed[name]) for name, a in stored.items()
    )
    print(f"{path.name}: {'agrees' if same else 'DIFFERS'}, {len(stored)} tensors, compared exactly")
    return same


def do_ops(args):
    path = HERE / "ops.safetensors"
    tensors, cases = ops.make(np.random.default_rng(SEED))
    text = json.dumps(cases)
    if not args.check:
        save(path, tensors, {"cases": text})
        return True
    with safe_open(path, "pt") as f:
        same_cases = f.metadata()["cases"] == text
    if not same_cases:
        print(f"{path.name}: the list of cases differs")
    return compare(path, load_file(path), tensors, SAME_SEED_TOLERANCE) and same_cases


def do_nets(args):
    ok = True
    for name, config in nets.CONFIGS.items():
        path, weights = HERE / f"nets/{name}.safetensors", HERE / f"nets/{name}.pth"
        state, answers, facts = nets.make(name, SEED)
        facts = {key: str(value) for key, value in facts.items()}
        if args.check:
            ok &= compare_weights(weights, nets.checkpoint(name, state))
            ok &= compare(path, load_file(path), answers, SAME_SEED_TOLERANCE)
        else:
            zipped = name not in nets.LEGACY_CONTAINER
            torch.save(nets.checkpoint(name, state), weights, _use_new_zipfile_serialization=zipped)
            save(path, answers, {"config": json.dumps(asdict(config)), **facts})
            print(f"    {weights.name}: {weights.stat().st_size} bytes; {facts}")
    return ok


def do_default(args):
    path = HERE / "default.safetensors"
    if args.check:
        ok = True
        if args.checkpoint:
            ok &= compare(path, load_file(path), trained.recompute(args.checkpoint, HERE / "images"), TOLERANCE)
        if args.answers:
            ok &= compare(path, load_file(path), trained.select(load_file(args.answers)), SAME_SEED_TOLERANCE)
        return ok
    if args.answers:
        source = "the article's own code, unmodified; PyTorch 2.11, CPU; network cifar10_anytime, default weights"
        answers = trained.select(load_file(args.answers))
    else:
        source = "msdnet.py and gradcam.py in f64; network cifar10_anytime, default weights"
        answers = trained.recompute(args.checkpoint, HERE / "images")
    save(path, answers, {"source": source, "images": json.dumps(trained.IMAGES)})
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=["ops", "nets", "default"])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--checkpoint", help="the default network's PyTorch checkpoint, to make or check `default`")
    parser.add_argument("--answers", help="the article's answers, to make or check `default`")
    args = parser.parse_args()
    if "default" in args.what and not (args.answers or args.checkpoint):
        parser.error("default needs --answers FILE or --checkpoint CKPT")
    todo = {"ops": do_ops, "nets": do_nets, "default": do_default}
    results = [todo[what](args) for what in args.what]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
