"""Interfaces of pytorch-grad-cam and torchcam over msdcam.

A script changes its imports and the line that makes the model:

    from msdcam.compat.pytorch_grad_cam import GradCAM           # pytorch_grad_cam
    from msdcam.compat.torchcam.methods import LayerCAM          # torchcam.methods
    model = msdcam.compat.load("resnet50.onnx")                  # resnet50(weights=...).eval()

Maps agree within 1e-4. What cannot agree raises NotImplementedError, or a UserWarning where it only may differ:
``docs/compat.md`` lists it. Images and results are NumPy arrays, or tensors for tensors.
"""

from . import pytorch_grad_cam, torchcam
from .network import Layer, Network, load
from .pytorch_grad_cam import (
    AblationCAM,
    EigenCAM,
    EigenGradCAM,
    GradCAM,
    GradCAMElementWise,
    GradCAMPlusPlus,
    GuidedBackpropReLUModel,
    HiResCAM,
    LayerCAM,
    RefineCAM,
    ScoreCAM,
    XGradCAM,
)
from .pytorch_grad_cam.utils.image import show_cam_on_image
from .pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget

__all__ = [
    "AblationCAM",
    "ClassifierOutputSoftmaxTarget",
    "ClassifierOutputTarget",
    "EigenCAM",
    "EigenGradCAM",
    "GradCAM",
    "GradCAMElementWise",
    "GradCAMPlusPlus",
    "GuidedBackpropReLUModel",
    "HiResCAM",
    "Layer",
    "LayerCAM",
    "Network",
    "RefineCAM",
    "ScoreCAM",
    "XGradCAM",
    "load",
    "pytorch_grad_cam",
    "show_cam_on_image",
    "torchcam",
]
