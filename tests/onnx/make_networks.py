"""Small ONNX networks of each family, in `networks/`, with logits and Grad-CAM maps of PyTorch in double precision.

Usage: python make_networks.py [--check] [NAME...]
Written with Python 3.11, PyTorch 2.11.0, onnx 1.23.2, onnxscript 0.7.2, ONNX Runtime 1.32.0, safetensors 0.8.0.

Writes `networks/FILE.onnx`, `networks.json` (what each file is; its exits and taps) and `networks.safetensors`
(inputs and answers). With `--check` nothing is written: everything is made again in memory, and the stored answers
are compared with it and with what ONNX Runtime computes from the stored files. With names only those files are made,
and the others kept.

An entry of `networks.json`:
- `file`, `external_data` (empty: none), `family` (class in `families.py` or `tensorflow_like.py`), `exporter`
  (`legacy`: torch.onnx.export(dynamo=False), `dynamo`, `hand`), `opset`, `ir_version`, `seed` of the weights, `nodes`
  (count by type);
- `input`: `name`, `shape` (channels, height, width, whatever the layout in the file), `layout` of the file's input,
  `batch` (a number, 0 if unnamed, or the name of the dimension), `dynamic_size`, `type`;
- `image`: key of the input in `networks.safetensors`, f32 (2, C, H, W);
- `answers`: prefix of the keys `PREFIX.exitN.logits` (2, classes), `.map` (2, h, w; Grad-CAM of the predicted class
  before its ReLU) and `.cam` (after it), all f64. Files with the same weights share them;
- `exits`, in order of depth: `output` of the graph, `classes`, and the `tap`: `module` of the family, `value` of the
  graph whose values are the module's output, `shape` (C, h, w);
- `skipped_outputs`: outputs that are no exits; `final`: `softmax` or `log_softmax` if the file's outputs are not the
  logits;
- `tolerance`: largest difference over largest magnitude between the file's outputs in f32 and the answers;
- `later`: why the importer refuses it for now (empty: it must import); `note`.
"""
import argparse
import copy
import json
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import numpy as np
import onnx
import onnxruntime
import onnxscript
import safetensors
import safetensors.numpy
import torch
from onnx import TensorProto

import families
import rewrites
import taps
import tensorflow_like

FOLDER = Path(__file__).parent
INPUT_SEED = 20


@dataclass
class Export:
    """One file: a family, how it is exported, and what is changed in the file afterwards."""

    name: str
    family: type
    exporter: str = "legacy"
    opset: int = 17
    batch: int | str = 1
    weights: torch.dtype | None = None
    dynamic_size: bool = False
    external: bool = False
    rewrite: Callable | None = None
    make: Callable | None = None
    dtype: torch.dtype = torch.float32
    names: tuple | None = None
    options: dict = field(default_factory=dict)
    note: str = ""
    later: str = ""
    final: str = ""
    tap: str = ""
    metadata: bool = False


def both(name, family, **options):
    """The exports of one family by both exporters."""
    return [
        Export(f"{name}_legacy", family, **options),
        Export(f"{name}_dynamo", family, "dynamo", **{**options, "opset": max(options.get("opset", 18), 18)}),
    ]


HEADS = {"names": ("input", "exit_0", "exit_1", "final")}
EXPORTS = [
    *both("plain", families.Plain, metadata=True),
    *both("vgg", families.Vgg),
    *both("alexnet", families.AlexNet),
    *both("resnet_basic", families.ResNet),
    *both("resnet_bottleneck", families.ResNetBottleneck),
    *both("densenet", families.DenseNet),
    *both("squeezenet", families.SqueezeNet),
    *both("googlenet", families.GoogLeNet),
    *both("inception", families.Inception),
    *both("grouped", families.Grouped),
    *both("dilated", families.Dilated),
    *both("padded", families.Padded),
    *both("edge_padded", families.EdgePadded),
    *both("means", families.Means),
    *both("normalized", families.Normalized),
    *both("softmax", families.Probabilities, final="softmax"),
    *both("log_softmax", families.LogProbabilities, final="log_softmax"),
    # Several outputs.
    *both("msdnet", families.Msdnet),
    *both("shallow_deep", families.ShallowDeep),
    *both("imta", families.Imta, **HEADS),
    Export("imta_sum", families.ImtaSum),
    *both("earlyon", families.EarlyOn, **HEADS),
    *both("confidence", families.Confidence, names=("image", "logits1", "confidence1", "logits2", "confidence2")),
    Export("confidence_last", families.LogitsAndConfidence, note="the last output is not an exit"),
    # Batch and size.
    *both("vgg_batch", families.Vgg, batch="batch", names=("input", "output")),
    Export("vgg_batch4", families.Vgg, batch=4, note="Reshape to 4 rows"),
    Export("padded_batch", families.Padded, batch="batch", dynamic_size=True, note="padding from the input's size"),
    *both("plain_size", families.Plain, batch="batch", dynamic_size=True),
    Export("viewed", families.Viewed, batch="batch"),
    Export("viewed_opset9", families.Viewed, opset=9, batch="batch", dynamic_size=True),
    Export("padded_size_dynamo", families.Padded, "dynamo", 18, batch="batch", dynamic_size=True),
    Export("imta_batch", families.Imta, batch="batch"),
    Export("plain_unnamed", families.Plain, batch="batch", rewrite=rewrites.without_static_shapes),
    # Versions.
    *(Export(f"plain_opset{opset}", families.Plain, opset=opset) for opset in (7, 9, 11)),
    Export("plain_dynamo_opset23", families.Plain, "dynamo", 23),
    Export("padded_opset9", families.Padded, opset=9),
    Export("means_opset11", families.Means, opset=11),
    Export("log_softmax_opset11", families.LogProbabilities, opset=11, final="log_softmax"),
    # Storage of weights.
    Export("plain_external", families.Plain, "dynamo", 18, external=True),
    Export("earlyon_external", families.EarlyOn, "dynamo", 18, external=True, batch="batch"),
    Export("weights_typed", families.Bare, rewrite=rewrites.typed_fields),
    Export("weights_f16", families.Bare, weights=torch.float16, rewrite=rewrites.stored_as(TensorProto.FLOAT16)),
    Export("weights_f16_typed", families.Bare, weights=torch.float16,
           rewrite=rewrites.stored_as(TensorProto.FLOAT16, True)),
    Export("weights_bf16", families.Bare, weights=torch.bfloat16, rewrite=rewrites.stored_as(TensorProto.BFLOAT16)),
    Export("weights_bf16_typed", families.Bare, weights=torch.bfloat16,
           rewrite=rewrites.stored_as(TensorProto.BFLOAT16, True)),
    Export("weights_f64", families.Bare, rewrite=rewrites.stored_as(TensorProto.DOUBLE)),
    Export("weights_f64_typed", families.Bare, rewrite=rewrites.stored_as(TensorProto.DOUBLE, True)),
    Export("weights_constant", families.Bare, rewrite=rewrites.constants),
    Export("weights_identity", families.Bare, rewrite=rewrites.identities),
    Export("weights_inputs", families.Bare, opset=8, options={"keep_initializers_as_inputs": True},
           rewrite=rewrites.graph_inputs),
    Export("all_f16", families.Bare, weights=torch.float16, dtype=torch.float16, note="input and output too"),
    Export("all_f64", families.Bare, dtype=torch.float64, note="input and output too"),
    *both("twins", families.Twins),
    Export("plain_unfused", families.Plain, options={"training": torch.onnx.TrainingMode.PRESERVE}),
    Export("vgg_unfolded", families.Vgg, batch="batch", options={"do_constant_folding": False}),
    # Linear layers and pooling.
    Export("gemm_transposed", families.Bare, rewrite=rewrites.gemm(True, 0.5, 1.0)),
    Export("gemm_scaled", families.Bare, rewrite=rewrites.gemm(False, 2.0, 0.25)),
    Export("matmul", families.Bare, rewrite=rewrites.matmul),
    Export("matmul_transpose", families.Bare, rewrite=rewrites.transposed_weight),
    *(Export(f"pool_{kind}{opset}", families.Plain, opset=opset, rewrite=rewrites.pooling(kind)) for kind, opset in [
        ("mean", 13), ("mean_negative", 18), ("mean_kept_flatten", 11), ("mean_kept_flatten", 18),
        ("squeeze", 11), ("squeeze", 13), ("whole_window", 13), ("dropout", 10), ("dropout", 13),
    ]),
    # TensorFlow.
    Export("tf_flattened", tensorflow_like.Flattened, "hand", make=tensorflow_like.flattened, final="softmax",
           tap="StatefulPartitionedCall/model/max_pooling2d/MaxPool:0", batch="batch"),
    Export("tf_wrapped", tensorflow_like.Wrapped, "hand", make=tensorflow_like.wrapped,
           tap="StatefulPartitionedCall/model/re_lu/Relu:0", batch="batch"),
    Export("tf_same", tensorflow_like.Same, "hand", make=tensorflow_like.same,
           tap="StatefulPartitionedCall/model/conv2d_2/Relu:0", batch="batch"),
    # Depthwise and grouped convolutions, activations, gates.
    *both("mobilenet", families.MobileNet),
    *both("mobilenet_v2", families.MobileNetV2),
    *(Export(f"mobilenet_v2_opset{opset}", families.MobileNetV2, opset=opset) for opset in (9, 11)),
    *both("mobilenet_v3", families.MobileNetV3),
    Export("mobilenet_v3_opset11", families.MobileNetV3, opset=11, note="hard swish as HardSigmoid and Mul"),
    *both("gated_exits", families.GatedExits),
    *both("efficientnet", families.EfficientNet),
    Export("efficientnet_batch", families.EfficientNet, batch="batch", dynamic_size=True),
    Export("efficientnet_swish", families.EfficientNet, "dynamo", 24, rewrite=rewrites.swish),
    *both("regnet_y", families.RegNetY),
    *both("se_resnet", families.SeResNet),
    Export("se_resnet_batch", families.SeResNet, batch="batch"),
    *both("leaky", families.Leaky),
    *both("products", families.Products),
    Export("products_opset11", families.Products, opset=11),
    # Channels in another order.
    *both("shufflenet_v1", families.ShuffleNetV1),
    *both("shufflenet_v2", families.ShuffleNetV2),
    Export("shufflenet_v2_opset9", families.ShuffleNetV2, opset=9),
    Export("shufflenet_v2_batch", families.ShuffleNetV2, batch="batch", dynamic_size=True),
    Export("shufflenet_v2_batch_dynamo", families.ShuffleNetV2, "dynamo", 18, batch="batch"),
    *both("shuffled_exits", families.ShuffledExits),
    *both("parts", families.Parts),
    Export("parts_opset11", families.Parts, opset=11),
    # Maps of other sizes.
    *both("ranet", families.Ranet),
    Export("ranet_batch", families.Ranet, batch="batch"),
    *both("resized", families.Resized),
    Export("resized_opset11", families.Resized, opset=11),
    # Local response normalization: one node, and as exporters write it.
    Export("alexnet_lrn", families.AlexNetLrn, "dynamo", 18, rewrite=rewrites.local_response),
    *both("alexnet_lrn", families.AlexNetLrn),
]


def magnitudes_fit(answers):
    """Whether logits are of the order of 1, classes certain enough, and no map is empty or without negative values."""
    for exit_ in answers:
        logits = np.sort(exit_["logits"], axis=1)
        if not 0.3 < logits.std() < 4 or (logits[:, -1] - logits[:, -2]).min() < 0.1:
            return False
        largest = np.abs(exit_["map"]).max((1, 2))
        if (exit_["cam"].max((1, 2)) < 0.1 * largest).any() or (largest < 1e-3).any():
            return False
    return True


def image(family):
    generator = torch.Generator().manual_seed(INPUT_SEED)
    return torch.randn((2, 3, *family.SIZE), generator=generator)


def explain(network, x):
    """For each exit in double precision: logits, predicted class, tap, Grad-CAM map before and after its ReLU."""
    network = copy.deepcopy(network).double()
    caught = {}
    for name in network.TAPS:
        def catch(_, __, output, name=name):
            caught[name] = output[-1] if isinstance(output, list) else output
        network.get_submodule(name).register_forward_hook(catch)
    outputs = network.logits(x.double().requires_grad_())
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    outputs = [output for output in outputs if output.shape[1] == families.CLASSES]
    answers = []
    for name, logits in zip(network.TAPS, outputs, strict=True):
        classes = logits.argmax(1)
        score = logits.gather(1, classes[:, None]).sum()
        gradient, = torch.autograd.grad(score, caught[name], retain_graph=True)
        map_ = (gradient.mean((2, 3), keepdim=True) * caught[name]).sum(1).detach()
        answers.append({
            "logits": logits.detach().numpy(), "class": classes.numpy(), "tap": caught[name].detach().numpy(),
            "map": map_.numpy(), "cam": map_.clamp(min=0).numpy(),
        })
    return answers


def network_of(export):
    """The first seed's network whose answers have fitting magnitudes, and these answers."""
    for seed in range(1000):
        network = families.seeded(export.family, seed)
        if export.weights is not None:
            network.to(export.weights).float()
        answers = explain(network, image(export.family))
        if magnitudes_fit(answers):
            return seed, network, answers
    raise SystemExit(f"{export.name}: no seed fits")


def exported(export, network, folder):
    """The model as the exporter writes it, without source lines, and the bytes of its external data."""
    if export.make is not None:
        return export.make(network), None
    path = Path(folder) / f"{export.name}.onnx"
    batch = 1 if export.batch == "batch" else export.batch
    x = torch.zeros((2 if export.exporter == "dynamo" and export.batch == "batch" else batch, 3, *export.family.SIZE))
    axes = {0: "batch"} if export.batch == "batch" else {}
    if export.dynamic_size:
        axes |= {2: "height", 3: "width"}
    names = {}
    if export.names:
        names = {"input_names": [export.names[0]], "output_names": list(export.names[1:])}
    network = copy.deepcopy(network).to(export.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if export.exporter == "legacy":
            axes = {name: axes for name in [export.names[0] if export.names else "x"]} if axes else None
            if axes and not export.names:
                names["input_names"] = ["x"]
            torch.onnx.export(
                network, (x.to(export.dtype),), path, dynamo=False, opset_version=export.opset, dynamic_axes=axes,
                **names, **export.options,
            )
        else:
            shapes = ({axis: torch.export.Dim(name) for axis, name in axes.items()},) if axes else None
            torch.onnx.export(
                network, (x.to(export.dtype),), path, dynamo=True, opset_version=export.opset, dynamic_shapes=shapes,
                external_data=export.external, verbose=False, **names, **export.options,
            )
    model = onnx.load(path, load_external_data=False)
    remove_texts(model, export.metadata)
    if export.rewrite is not None:
        model = export.rewrite(model)
    data = path.with_name(path.name + ".data").read_bytes() if export.external else None
    return model, data


def remove_texts(model, metadata):
    """Removes what exporters note about nodes, and the types of values between; or only names of source files."""
    graph = model.graph
    if not metadata:
        del graph.value_info[:]
    for item in [model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer]:
        item.doc_string = ""
        kept = [entry for entry in item.metadata_props if metadata and "stack_trace" not in entry.key]
        del item.metadata_props[:]
        item.metadata_props.extend(kept)


def run(model, path, x):
    """Outputs for a batch, whatever batch the file is made for."""
    value = taps.image_input(model).type.tensor_type
    shape = [dimension.dim_value for dimension in value.shape.dim]
    x = x.numpy().astype(onnx.helper.tensor_dtype_to_np_dtype(value.elem_type))
    if shape[3] == 3:
        x = x.transpose(0, 2, 3, 1)
    size = shape[0] or len(x)
    rows = np.resize(np.arange(len(x)), (-(-len(x) // size), size))
    parts = [taps.run(model, np.ascontiguousarray(x[row]), path) for row in rows]
    return {name: np.concatenate([part[name] for part in parts])[: len(x)] for name in parts[0]}


def finished(final, logits):
    """What a file that ends in softmax gives for logits."""
    if not final:
        return logits
    logits = logits - logits.max(1, keepdims=True)
    log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return log if final == "log_softmax" else np.exp(log)


def difference(ours, theirs):
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))


def describe(export, seed, model, answers, folder):
    """The entry of a file in `networks.json`, checked with ONNX Runtime and with the rule for taps."""
    x = image(export.family)
    outputs = run(model, folder, x)
    layout = "NHWC" if "tf_" in export.name else "NCHW"
    tolerance = 5e-3 if export.dtype == torch.float16 else 2e-5
    full = onnx.load(folder) if export.external else model
    source = taps.image_input(full)
    batch = source.type.tensor_type.shape.dim[0]
    exits = []
    if layout == "NCHW":
        dtype = {torch.float16: np.float16, torch.float64: np.float64}.get(export.dtype, np.float32)
        one = x.numpy().astype(dtype)[np.arange(batch.dim_value or 1) % 2]
        found = taps.find_taps(full, one, families.CLASSES)
    else:
        found = [(full.graph.output[0].name, export.tap, values_of_tap(full, x, export.tap))]
    if len(found) != len(answers):
        raise ValueError(f"{export.name}: {len(found)} exits found instead of {len(answers)}")
    for (output, tap, array), answer, module in zip(found, answers, export.family.TAPS):
        if (wrong := difference(outputs[output], finished(export.final, answer["logits"]))) > tolerance:
            raise ValueError(f"{export.name}: {output} differs from PyTorch's by {wrong:.1e}")
        if array.shape[1:] != answer["tap"].shape[1:] or difference(array[0], answer["tap"][0]) > tolerance:
            raise ValueError(f"{export.name}: the tap of {output} is {tap} by the rule, not the output of {module}")
        shape = list(answer["tap"].shape[1:])
        exits.append({
            "output": output, "classes": families.CLASSES, "tap": {"module": module, "value": tap, "shape": shape}
        })
    skipped = [value.name for value in full.graph.output if value.name not in {exit_["output"] for exit_ in exits}]
    return {
        "file": f"{export.name}.onnx",
        "family": export.family.__name__,
        "exporter": export.exporter,
        "opset": next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
        "ir_version": model.ir_version,
        "seed": seed,
        "input": {
            "name": source.name, "shape": [3, *export.family.SIZE], "layout": layout,
            "batch": batch.dim_param or batch.dim_value, "dynamic_size": export.dynamic_size,
            "type": onnx.TensorProto.DataType.Name(source.type.tensor_type.elem_type).lower(),
        },
        "image": f"input.{'x'.join(map(str, (3, *export.family.SIZE)))}",
        "answers": answers_of(export),
        "exits": exits,
        "skipped_outputs": skipped,
        "final": export.final,
        "tolerance": tolerance,
        "external_data": f"{export.name}.onnx.data" if export.external else "",
        "nodes": dict(sorted(Counter(node.op_type for node in model.graph.node).items())),
        "later": export.later,
        "note": export.note,
    }


def values_of_tap(model, x, tap):
    """The values of a tap of a network whose image is NHWC, as NCHW."""
    array = taps.values(model, np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1)))[tap]
    return array.transpose(0, 3, 1, 2) if tap.endswith("re_lu/Relu:0") else array


def answers_of(export):
    weights = {None: "", torch.float16: "_f16", torch.bfloat16: "_bf16"}[export.weights]
    return export.family.__name__ + weights


def versions():
    modules = {
        "torch": torch, "onnx": onnx, "onnxscript": onnxscript, "onnxruntime": onnxruntime, "numpy": np,
        "safetensors": safetensors,
    }
    return {"python": sys.version.split()[0], **{name: module.__version__ for name, module in modules.items()}}


def make(exports, folder):
    """Writes the files of some exports to a folder; gives their entries and the tensors of all."""
    entries, tensors, known = [], {}, {}
    for export in exports:
        key = answers_of(export)
        if key not in known:
            known[key] = network_of(export)
        seed, network, answers = known[key]
        model, data = exported(export, network, folder)
        path = folder / f"{export.name}.onnx"
        path.write_bytes(model.SerializeToString(deterministic=True))
        if data is not None:
            path.with_name(path.name + ".data").write_bytes(data)
        entry = describe(export, seed, model, answers, path)
        entries.append(entry)
        tensors[entry["image"]] = image(export.family).numpy()
        for place, answer in enumerate(answers, 1):
            for name in ("logits", "map", "cam"):
                tensors[f"{key}.exit{place}.{name}"] = np.ascontiguousarray(answer[name])
        print(f"{export.name}: {path.stat().st_size} bytes, seed {seed}, opset {entry['opset']}", flush=True)
    return entries, tensors


def check(entries, tensors):
    """Compares the stored answers with those made again, and with what ONNX Runtime computes from the stored files."""
    stored = json.loads((FOLDER / "networks.json").read_text())["networks"]
    answers = safetensors.numpy.load_file(FOLDER / "networks.safetensors")
    wrong = [f"networks.json: {new['file']}" for new in entries if new not in stored]
    for name, array in tensors.items():
        if name not in answers or difference(array, answers[name]) > 1e-9:
            wrong.append(f"networks.safetensors: {name}")
    for entry in stored:
        path = FOLDER / "networks" / entry["file"]
        outputs = run(onnx.load(path, load_external_data=False), path, torch.from_numpy(answers[entry["image"]]))
        for place, exit_ in enumerate(entry["exits"], 1):
            logits = answers[f"{entry['answers']}.exit{place}.logits"]
            if difference(outputs[exit_["output"]], finished(entry["final"], logits)) > entry["tolerance"]:
                wrong.append(f"{entry['file']}: {exit_['output']}")
    print("\n".join(wrong) or f"{len(stored)} files and {len(answers)} tensors: equal")
    sys.exit(bool(wrong))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    exports = [export for export in EXPORTS if not arguments.names or export.name in arguments.names]
    if arguments.check:
        with tempfile.TemporaryDirectory() as folder:
            check(*make(exports, Path(folder)))
    (FOLDER / "networks").mkdir(exist_ok=True)
    entries, tensors = make(exports, FOLDER / "networks")
    if arguments.names:
        order = [f"{export.name}.onnx" for export in EXPORTS]
        made = {entry["file"] for entry in entries}
        stored = json.loads((FOLDER / "networks.json").read_text())["networks"]
        entries += [entry for entry in stored if entry["file"] not in made]
        entries.sort(key=lambda entry: order.index(entry["file"]))
        tensors = safetensors.numpy.load_file(FOLDER / "networks.safetensors") | tensors
    text = {"versions": versions(), "input_seed": INPUT_SEED, "networks": entries}
    (FOLDER / "networks.json").write_text(json.dumps(text, indent=1) + "\n")
    (FOLDER / "networks.safetensors").write_bytes(safetensors.numpy.save(dict(sorted(tensors.items()))))


if __name__ == "__main__":
    main()
