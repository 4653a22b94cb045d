"""pytorch-grad-cam's interface: a script puts ``msdcam.compat.`` before ``pytorch_grad_cam`` in its imports.

The model is ``msdcam.compat.load("net.onnx")`` in place of the PyTorch network.

Example:
    >>> from msdcam.compat.pytorch_grad_cam import GradCAM
    >>> from msdcam.compat.pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    >>> model = msdcam.compat.load("resnet50.onnx")
    >>> with GradCAM(model=model, target_layers=[model.layer4[-1]]) as cam:
    ...     grayscale_cam = cam(input_tensor=x, targets=[ClassifierOutputTarget(281)])      # (1, 224, 224)
"""

from .cams import (
    FEM,
    KPCA_CAM,
    SESS,
    AblationCAM,
    BaseCAM,
    DeepFeatureFactorization,
    EigenCAM,
    EigenGradCAM,
    FinerCAM,
    FullGrad,
    GradCAM,
    GradCAMElementWise,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    RandomCAM,
    RefineCAM,
    ScoreCAM,
    SegEigenCAM,
    ShapleyCAM,
    XGradCAM,
)
from .guided_backprop import GuidedBackpropReLUModel

__all__ = [
    "AblationCAM",
    "BaseCAM",
    "DeepFeatureFactorization",
    "EigenCAM",
    "EigenGradCAM",
    "FEM",
    "FinerCAM",
    "FullGrad",
    "GradCAM",
    "GradCAMElementWise",
    "GradCAMPlusPlus",
    "GuidedBackpropReLUModel",
    "HiResCAM",
    "KPCA_CAM",
    "LayerCAM",
    "RandomCAM",
    "RefineCAM",
    "SESS",
    "ScoreCAM",
    "SegEigenCAM",
    "ShapleyCAM",
    "XGradCAM",
]
