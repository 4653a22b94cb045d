"""torchcam's interface: a script puts ``msdcam.compat.`` before ``torchcam`` in its imports.

The model is ``msdcam.compat.load("net.onnx")`` in place of the PyTorch network.

Example:
    >>> from msdcam.compat.torchcam.methods import LayerCAM
    >>> model = msdcam.compat.load("resnet18.onnx")
    >>> with LayerCAM(model) as cam_extractor:
    ...     out = model(x)                                                   # (1, 1000)
    ...     activation_map = cam_extractor(out[0].argmax().item(), out)      # [(1, 7, 7)]
"""
