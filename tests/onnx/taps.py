"""Exits and taps of an ONNX graph whose values are NCHW, by the rule that the importer follows.

1. Back from the output through values of one pixel, the deepest feature map met is the front.
2. Of the separators between input and front (values that no edge jumps over), the tap is the last that the front of a
   deeper exit also needs: there the head branches off.
3. No exit is deeper than the deepest: if its last steps equal the previous exit's head, its tap is before them; else
   it is the front.
4. A front with as many channels as classes that is only averaged afterwards: the tap is what its 1x1 convolution
   reads.
"""
import numpy as np
import onnx
import onnx.reference
import onnxruntime

AVERAGES = {
    "GlobalAveragePool", "AveragePool", "ReduceMean", "Flatten", "Reshape", "Squeeze", "Identity", "Relu", "Dropout"
}
FREE = {"Identity", "Dropout"}


def image_input(model):
    """The graph's input that is not an initializer."""
    stored = {tensor.name for tensor in model.graph.initializer}
    image, = (value for value in model.graph.input if value.name not in stored)
    return image


def run(model, x, source=None):
    """All outputs by name, without graph optimizations, which would change values' names; `source` is the model's path.

    By ONNX Runtime, or by onnx's reference where that lacks a convolution in double precision.
    """
    image = image_input(model)
    if image.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE:
        answers = onnx.reference.ReferenceEvaluator(model).run(None, {image.name: x})
    else:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        source = model.SerializeToString() if source is None else str(source)
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        answers = session.run(None, {image.name: x})
    return dict(zip([output.name for output in model.graph.output], answers))


def values(model, x):
    """All values of the graph for one input, by name."""
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    names = [output for node in model.graph.node for output in node.output if output]
    del probed.graph.output[:]
    probed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return run(probed, x)


class Graph:
    """The floating-point values that depend on the image, and the nodes between them, in topological order."""

    def __init__(self, model, arrays):
        self.image = image_input(model).name
        self.arrays = arrays
        # For each value: its node, its name, and the values that the node reads.
        self.nodes, self.maker = [], {}
        known = {self.image}
        for node in model.graph.node:
            inputs = [name for name in node.input if name in known]
            for name in filter(None, node.output):
                if inputs and arrays[name].dtype.kind == "f" and node.op_type != "Shape":
                    self.maker[name] = len(self.nodes)
                    self.nodes.append((node, name, inputs))
                    known.add(name)

    def position(self, name):
        return self.maker.get(name, -1)

    def inputs(self, name):
        return self.nodes[self.maker[name]][2] if name in self.maker else []

    def ancestors(self, name):
        """The value itself and all that it needs."""
        found, open_ = {name}, [name]
        while open_:
            for before in self.inputs(open_.pop()):
                if before not in found:
                    found.add(before)
                    open_.append(before)
        return found

    def is_map(self, name):
        return name == self.image or (self.arrays[name].ndim == 4 and self.arrays[name].shape[2:] != (1, 1))

    def front(self, output):
        met, open_, seen = [], [output], set()
        while open_:
            name = open_.pop()
            if name in seen:
                continue
            seen.add(name)
            if self.is_map(name):
                met.append(name)
            else:
                open_ += self.inputs(name)
        return max(met, key=self.position)

    def separators(self, front):
        needed = sorted(self.ancestors(front), key=self.position)
        place = {name: index for index, name in enumerate(needed)}
        reach, found = 0, []
        for index, name in enumerate(needed):
            if reach <= index:
                found.append(name)
            readers = [place[after] for after in needed if name in self.inputs(after)]
            reach = max([reach, *readers])
        return found

    def head(self, tap, output):
        """Types of the nodes between a tap and an output."""
        below = {tap}
        needed, types = self.ancestors(output), []
        for node, name, inputs in self.nodes:
            if name in needed and below.intersection(inputs):
                below.add(name)
                if node.op_type not in FREE:
                    types.append(node.op_type)
        return types


def find_taps(model, x, classes):
    """For each exit in order of depth: name of its output, name of its tap, the tap's array."""
    arrays = values(model, x)
    graph = Graph(model, arrays)
    outputs = [output.name for output in model.graph.output if arrays[output.name].shape[1:] == (classes,)]
    fronts = {output: graph.front(output) for output in outputs}
    outputs.sort(key=lambda output: graph.position(fronts[output]))
    taps = []
    for place, output in enumerate(outputs):
        front = fronts[output]
        separators = graph.separators(front)
        deeper = set().union(*(graph.ancestors(fronts[other]) for other in outputs[place + 1:]))
        if deeper:
            tap = [name for name in separators if name in deeper][-1]
        else:
            tap = front
            if place > 0:
                head = graph.head(taps[-1], outputs[place - 1])
                equal = [name for name in separators if graph.head(name, output) == head]
                tap = equal[0] if equal else front
        if arrays[tap].shape[1] == classes and set(graph.head(tap, output)) <= AVERAGES:
            while graph.nodes[graph.maker[tap]][0].op_type != "Conv":
                tap = graph.inputs(tap)[0]
            tap = graph.inputs(tap)[0]
        while graph.nodes[graph.maker[tap]][0].op_type in FREE:
            tap = graph.inputs(tap)[0]
        taps.append(tap)
    return [(output, tap, np.asarray(arrays[tap], np.float64)) for output, tap in zip(outputs, taps)]
