"""Modules of the PyTorch network that an ONNX file was exported from, by what the exporters leave of them.

The exporter based on TorchScript puts the path of modules into the names of values
(``/layer4/layer4.1/relu_1/Relu_output_0``), the default one into the metadata of each node
(``['', 'layer4', 'layer4.1', 'layer4.1.relu', 'relu_16']``). Only nodes are read; weights are skipped.
"""

from __future__ import annotations

import ast
import mmap
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

# Field numbers of ONNX's protocol buffers.
MODEL_GRAPH = 7
GRAPH_NODE = 1
NODE_INPUT, NODE_OUTPUT, NODE_OP_TYPE, NODE_METADATA = 1, 2, 4, 9
ENTRY_KEY, ENTRY_VALUE = 1, 2
SCOPES = b"pkg.torch.onnx.name_scopes"

# A text as Python writes it.
TEXT = r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\""""


@dataclass(frozen=True)
class Node:
    """One operator of a file: its type, first output, inputs, and the modules around it, outermost first."""

    op: str
    output: str
    inputs: tuple[str, ...]
    modules: tuple[str, ...]


def tap_name(value: str) -> str:
    """A tap's name for the value of that name in the file."""
    return value.strip("/").removesuffix("_output_0")


def read_nodes(path: str | os.PathLike[str]) -> list[Node]:
    """The nodes of an ONNX file in their order; an empty list where it is no such file."""
    try:
        with open(path, "rb") as file:
            # Closed with the last of its views.
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return [_node(node) for graph in _fields(data, MODEL_GRAPH) for node in _fields(graph, GRAPH_NODE)]
    except (OSError, ValueError, IndexError, SyntaxError):
        return []


def _node(data: memoryview) -> Node:
    values: dict[int, list[str]] = {NODE_INPUT: [], NODE_OUTPUT: [], NODE_OP_TYPE: []}
    scopes: tuple[str, ...] | None = None
    for number, content in _all_fields(data):
        if number in values:
            values[number].append(bytes(content).decode())
        elif number == NODE_METADATA:
            entry = {key: bytes(value) for key, value in _all_fields(content)}
            if entry.get(ENTRY_KEY) == SCOPES:
                # The first is the whole network, the last the operator itself.
                scopes = _texts(entry[ENTRY_VALUE].decode())[1:-1]
    output = next(iter(values[NODE_OUTPUT]), "")
    if scopes is None:
        scopes = _modules_of_name(output)
    return Node("".join(values[NODE_OP_TYPE]), output, tuple(values[NODE_INPUT]), scopes)


def _texts(source: str) -> tuple[str, ...]:
    """The texts of a list of Python, such as ``['', 'layer4']``; ValueError or SyntaxError for anything else.

    Only single texts are given to the parser of Python, which anything deeper could exhaust.
    """
    if re.fullmatch(rf"\[\s*(?:(?:{TEXT})\s*(?:,\s*|(?=\])))*\]", source.strip()) is None:
        raise ValueError("name scopes that are no list of texts")
    with warnings.catch_warnings():
        # Of unknown escapes.
        warnings.simplefilter("ignore")
        return tuple(ast.literal_eval(text) for text in re.findall(TEXT, source))


def _modules_of_name(value: str) -> tuple[str, ...]:
    """The modules in ``/layer4/layer4.1/relu_1/Relu_output_0``: layer4, layer4.1, layer4.1.relu_1."""
    modules: list[str] = []
    if not value.startswith("/"):
        return ()
    local = ""
    for part in value.strip("/").split("/")[:-1]:
        # Children of a sequence repeat its name: features.0 inside of features.
        child = part.removeprefix(local + ".") if local else part
        modules.append(f"{modules[-1]}.{child}" if modules else child)
        local = part
    return tuple(modules)


def _fields(data: memoryview, wanted: int) -> Iterator[memoryview]:
    return (content for number, content in _all_fields(data) if number == wanted)


def _all_fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field that has a length; others are skipped."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(data, at)
        elif kind == 1:
            at += 8
        elif kind == 5:
            at += 4
        elif kind == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("a field ends behind its message")
            yield tag >> 3, data[at : at + length]
            at += length
        else:
            raise ValueError(f"a field of kind {kind}")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("an integer of more than 64 bits")
