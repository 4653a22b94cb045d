"""Inference runtimes. They cannot differentiate: the forward pass to all exits' logits alone."""

import copy
import io
import warnings

import numpy as np
import torch
from torch import nn


class Logits(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return tuple(self.net(x)[0])


def onnx_bytes(net, images):
    if hasattr(net, "onnx_bytes"):
        return net.onnx_bytes(len(images))
    # A copy, in eval mode: the exporter moves the network and sets its mode.
    model = Logits(copy.deepcopy(net)).cpu().eval()
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (images,), buffer, dynamo=False, input_names=["images"])
    return buffer.getvalue()


def stacked(outputs):
    """(N, exits, classes)."""
    return np.stack([output.reshape(len(output), -1) for output in outputs], 1)


class OnnxRuntime:
    def __init__(self, net, images):
        import onnxruntime

        device = next(net.parameters()).device.type
        provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[device]
        if provider not in onnxruntime.get_available_providers():
            raise NotImplementedError(f"this onnxruntime has no {provider}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(onnx_bytes(net, images), options, providers=[provider])
        self.feed = {self.session.get_inputs()[0].name: images.numpy()}

    def __call__(self):
        return stacked(self.session.run(None, self.feed)), None


class OpenVino:
    def __init__(self, net, images):
        import openvino

        core = openvino.Core()
        model = core.read_model(onnx_bytes(net, images), b"")
        # f32: on some CPUs it would compute in bf16 unless told.
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self.request = core.compile_model(model, "CPU", settings).create_infer_request()
        self.images = images.numpy()

    def __call__(self):
        answers = self.request.infer([self.images], share_inputs=True, share_outputs=True)
        return stacked(answers.values()), None
