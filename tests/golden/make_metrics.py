"""Make or check `metrics.safetensors`: metrics of maps by public tools; see README.md.

    python make_metrics.py            write the file
    python make_metrics.py --check    compute again, compare with the file
"""

import argparse
import copy
import json
import sys
import warnings
from contextlib import nullcontext
from importlib.metadata import version
from unittest import mock

import cv2
import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.metrics.arcc import Coherency, Complexity
from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
from pytorch_grad_cam.metrics.perturbation_confidence import RemoveLeastRelevantFirst, RemoveMostRelevantFirst
from pytorch_grad_cam.metrics.road import (
    NoisyLinearImputer, ROADCombined, ROADLeastRelevantFirst, ROADMostRelevantFirst,
)
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from safetensors.torch import load_file
from scipy.ndimage import center_of_mass
from scipy.stats import pearsonr, spearmanr
from skimage.metrics import structural_similarity
from sklearn.metrics import jaccard_score
from torchcam.metrics import ClassificationMetric, DeletionInsertionMetric
from xplique.metrics import AverageGainMetric

import pointing
from make_golden import HERE, SAME_SEED_TOLERANCE, SEED, compare, save
from make_methods import ExitModel, default, small

NETS = {"subnets-lin_grow": [1, 3], "blocks-transition-last": [3], "default": [2, 10]}
PERCENTILES = [10, 20, 30, 40, 50, 60, 70, 80, 90]
STEPS = 20
BRIGHT = 0.15  # of the maximum
TOOLS = ["grad-cam", "torchcam", "torchray", "quantus", "xplique", "tensorflow-cpu"]
TOOLS += ["scipy", "scikit-image", "scikit-learn", "opencv-python-headless"]


def arrays(random):
    """The metrics that need no model, of random maps (H, W) and an image (3, H, W)."""
    h, w = 19, 23
    image = random.standard_normal((3, h, w)).astype(np.float32)
    x = random.random((h, w)).astype(np.float32)
    # Values on a coarse grid have ties and many zeros, as maps do.
    y = np.maximum(np.round(8 * (0.6 * x + 0.4 * random.random((h, w)))) / 8 - 0.25, 0).astype(np.float32)
    out = {"image": image, "x": x, "y": y}
    out["spearman"] = [spearmanr(x.ravel(), y.ravel()).statistic]
    out["pearson"] = [pearsonr(x.ravel().astype(np.float64), y.ravel().astype(np.float64)).statistic]
    paper = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    out["ssim"] = [structural_similarity(x.astype(np.float64), y.astype(np.float64), data_range=1.0, **paper)]
    out["ssim_signed"] = [
        structural_similarity(2.0 * x - 1, 2.0 * y - 1, data_range=2.0, **paper),
    ]
    out["centre_of_mass"] = [center_of_mass(x.astype(np.float64)), center_of_mass(y.astype(np.float64))]
    out["overlap"] = [jaccard_score(*[(v >= BRIGHT * v.max()).ravel() for v in (x, y)])]
    out["complexity"] = Complexity()(np.stack([x, y]))
    out["blur"] = np.stack([cv2.GaussianBlur(c.astype(np.float64), (11, 11), 5) for c in image])
    # Mask of kept pixels, and imputed values; x has no ties.
    kept = {"most": RemoveMostRelevantFirst, "least": RemoveLeastRelevantFirst}
    for name, removal in kept.items():
        remove = [removal(p, NoisyLinearImputer(noise=0)) for p in PERCENTILES]
        filled = [r(torch.from_numpy(image), torch.from_numpy(x)) for r in remove]
        out[f"imputed_{name}"] = torch.stack(filled)
    return {k: torch.as_tensor(np.asarray(v)) for k, v in out.items()}


class Extractor:
    """Passes stored maps to torchcam's metrics."""

    def __init__(self, model, maps):
        self.model, self.maps = model, maps

    def __call__(self, class_idx, scores):
        return [self.maps]

    def fuse_cams(self, cams):
        return cams[0].clone()

    def _hooks_off(self):
        return nullcontext()


def each(metric, extractor, image, classes, **options):
    """One of torchcam's metrics for each image separately."""
    found = []
    for i, category in enumerate(classes):
        one = metric(Extractor(extractor.model, extractor.maps[i : i + 1]), softmax, **options)
        one.update(image[i : i + 1], category)
        found.append(one.summary())
    return {key: torch.tensor([f[key] for f in found], dtype=torch.float64) for key in found[0]}


def gain(model, image, maps, classes):
    """Xplique's average gain for each image: it takes images as (N, H, W, C) and returns f32."""

    def probabilities(batch):
        with torch.no_grad():
            return softmax(model(torch.from_numpy(batch).permute(0, 3, 1, 2).double())).numpy()

    inputs = image.permute(0, 2, 3, 1).float().numpy()
    one_hot = np.eye(model(image[:1]).shape[1], dtype=np.float32)[classes]
    return AverageGainMetric(probabilities, inputs, one_hot).detailed_evaluate(inputs, one_hot, maps)


def softmax(logits):
    return logits.softmax(-1)


def exit_metrics(net, exit, image, answers):
    """The tools' metrics of the stored heatmaps of one exit, for each image."""
    model = ExitModel(net, exit)
    heat = answers[f"heat.{exit}"].double()
    classes = model(image).argmax(1).tolist()
    assert classes == answers[f"class.{exit}"].tolist()
    targets = [ClassifierOutputSoftmaxTarget(c) for c in classes]
    maps = heat.numpy()

    def ask(metric):
        return torch.as_tensor(np.asarray(metric(image, maps, targets, model))).double()

    torchcam = Extractor(model, heat)
    out = {
        "confidence": model(image).softmax(1)[range(len(classes)), classes],
        "absolute_drop": ask(DropInConfidence()),
        "increase": ask(IncreaseInConfidence()),
        "drop": each(ClassificationMetric, torchcam, image, classes)["avg_drop"],
        "increase_torchcam": each(ClassificationMetric, torchcam, image, classes)["conf_increase"],
        "gain": torch.as_tensor(gain(model, image, maps, classes)).double(),
        "complexity": torch.as_tensor(Complexity()(maps)),
    }
    for name, baseline in {"zero": None, "mean": lambda x: x.mean((2, 3), keepdim=True), "blur": blurred}.items():
        areas = each(DeletionInsertionMetric, torchcam, image, classes, steps=STEPS, baseline=baseline)
        out |= {f"{key.removesuffix('_auc')}_{name}": value for key, value in areas.items()}
    out |= road(copy.deepcopy(model).float(), image.float(), np.stack([without_ties(m) for m in maps]), targets)
    # Maps of the logits times a million, so that the tool's additions of 1e-7 are negligible.
    logits = [lambda output, c=c: 1e6 * output[c] for c in classes]
    cam = GradCAM(model=model, target_layers=[model.tap("exit")])
    out["coherency"] = torch.as_tensor(Coherency()(image, maps, logits, model, cam)).double()
    cam.activations_and_grads.release()
    return {key: value.detach() for key, value in out.items()}


def road(model, image, maps, targets):
    """The imputation returns f32; its noise is turned off."""
    out = {}
    with mock.patch("torch.randn_like", torch.zeros_like):
        for name, metric in {"most": ROADMostRelevantFirst, "least": ROADLeastRelevantFirst}.items():
            after = [metric(p)(image, maps, targets, model, return_diff=False) for p in PERCENTILES]
            out[f"road_{name}"] = torch.as_tensor(np.stack(after, 1)).double()
        out["road_combined"] = torch.as_tensor(ROADCombined(PERCENTILES)(image, maps, targets, model)).double()
    return out


def without_ties(heat):
    """Ranks instead of values, the first of equal ones the highest: the tool removes tied values together."""
    order = np.argsort(-heat.ravel(), kind="stable")
    ranks = np.empty(heat.size)
    ranks[order] = np.arange(heat.size)[::-1] / (heat.size - 1)
    return ranks.reshape(heat.shape)


def blurred(image):
    planes = [[cv2.GaussianBlur(c, (11, 11), 5) for c in i] for i in image.numpy()]
    return torch.from_numpy(np.asarray(planes))


def make():
    tensors = {f"arrays/{k}": v for k, v in arrays(np.random.default_rng(SEED)).items()}
    tensors |= {f"pointing/{k}": v for k, v in pointing.make(np.random.default_rng(SEED)).items()}
    for name, exits in NETS.items():
        if name == "default":
            net, answers = default()[0], load_file(HERE / "default.safetensors")
        else:
            net, answers = small(name)[0], load_file(HERE / f"nets/{name}.safetensors")
        for exit in exits:
            found = exit_metrics(net, exit, answers["input"].double(), answers)
            tensors |= {f"{name}/{exit}/{key}": value for key, value in found.items()}
    return tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    path = HERE / "metrics.safetensors"
    tensors = make()
    if args.check:
        sys.exit(0 if compare(path, load_file(path), tensors, SAME_SEED_TOLERANCE) else 1)
    facts = {"steps": STEPS, "percentiles": PERCENTILES, "nets": NETS}
    facts |= {"bright": BRIGHT, "tolerances": pointing.TOLERANCES}
    facts |= {tool: version(tool) for tool in TOOLS}
    save(path, tensors, {key: json.dumps(value) for key, value in facts.items()})


if __name__ == "__main__":
    main()
