"""Small graphs for `make_nodes.py` where the onnx package has no test: what a classifier's importer may get wrong."""
import numpy as np
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

SEED = 1


def integers(*elements, type_=np.int64):
    return np.array(elements, type_)


def own_graphs():
    """For each graph: name, model, inputs, which of them come from the image, and whether channels are last there."""
    random = np.random.default_rng(SEED)
    graphs = []

    def numbers(*shape):
        return random.normal(size=shape).astype(np.float32)

    def node(op, inputs, output="o", **attributes):
        return helper.make_node(op, inputs.split(), [output], output, **attributes)

    def graph(name, nodes, inputs, constants, images, opset, last):
        values = [
            helper.make_tensor_value_info(f"i{k}", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for k, x in enumerate(inputs)
        ]
        tensors = [numpy_helper.from_array(np.asarray(x), f"c{k}") for k, x in enumerate(constants)]
        made = helper.make_graph(nodes, name, values, [ValueInfoProto(name="o")], tensors)
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        graphs.append((f"own_{name}", model, list(inputs), images, last))

    def fold(name, nodes, *inputs, opset=18):
        graph(name, nodes, inputs, (), (), opset, False)

    def of_map(name, nodes, x, *constants, opset=18, last=False):
        graph(name, nodes, (x,), constants, (0,), opset, last)

    # Axes of a reduction, more than two operands.
    table = integers(1, 2, 3, 4, 5, 6).reshape(2, 3)
    fold("reduce_prod_axis", [node("ReduceProd", "i0 i1")], table, integers(1))
    fold("reduce_prod_axis_not_kept", [node("ReduceProd", "i0 i1", keepdims=0)], table, integers(0))
    fold("reduce_prod_kept", [node("ReduceProd", "i0")], table)
    fold("reduce_prod_all", [node("ReduceProd", "i0", keepdims=0)], integers(2, 3, 4))
    fold("max_of_three", [node("Max", "i0 i1 i2")], integers(3, 2, 1), integers(1, 4, 4), integers(2, 5, 3))
    fold("min_of_three", [node("Min", "i0 i1 i2")], integers(3, 2, 1), integers(1, 4, 4), integers(2, 5, 0))
    # Types: truth values, integers of less than 64 bits and without sign.
    for name, to, x in [
        ("float_bool", TensorProto.BOOL, np.array([0.5, -2, 0, 3, 1], np.float32)),
        ("int_bool", TensorProto.BOOL, integers(0, 2, -1, 1)),
        ("float_int", TensorProto.INT64, np.array([0.5, -1.7, 2.9, -0.2], np.float32)),
        ("float_uint8", TensorProto.UINT8, np.array([0.5, 1.7, 254.9], np.float32)),
        ("int_uint8", TensorProto.UINT8, integers(300, -1, 256, 7)),
        ("int_int8", TensorProto.INT8, integers(200, -129, 7)),
        ("int_int32", TensorProto.INT32, integers(2**31, 2**32 + 5, 7)),
        ("bool_int", TensorProto.INT64, np.array([True, False])),
    ]:
        fold(f"cast_{name}", [node("Cast", "i0", to=to)], x)
    fold(
        "bool_mask", [node("Cast", "i0", "t", to=TensorProto.BOOL), node("Cast", "t", "u", to=TensorProto.INT64),
                      node("Mul", "u i1")], integers(3, 0), integers(5, 7),
    )
    small = {"type_": np.uint8}
    fold("sub_uint8", [node("Sub", "i0 i1")], integers(1, 5, **small), integers(2, 3, **small))
    fold("add_uint8", [node("Add", "i0 i1")], integers(200, 5, **small), integers(100, 3, **small))
    fold("mul_int32", [node("Mul", "i0 i1")], integers(10**5, 5, type_=np.int32), integers(10**5, 3, type_=np.int32))
    fold("neg_int8", [node("Neg", "i0")], integers(-128, 5, type_=np.int8))
    large = integers(2**63, 10, type_=np.uint64)
    fold("div_uint64", [node("Div", "i0 i1")], large, integers(2**62, 2, type_=np.uint64))
    fold("less_uint64", [node("Less", "i0 i1")], large, integers(1, 11, type_=np.uint64))
    fold("div_negative", [node("Div", "i0 i1")], integers(-7, 7, -7, 7), integers(2, -2, -2, 2))
    fold("pow_large", [node("Pow", "i0 i1")], integers(-1, 2, 3, 0), integers(65, 10, 5, 0))
    # Shapes.
    fold("where_bcast", [node("Where", "i0 i1 i2")], np.array([[True], [False]]), integers(1, 2, 3), integers(4, 5, 6))
    fold("expand_smaller", [node("Expand", "i0 i1")], numbers(3, 1), integers(2, 1, 6))
    fold("range_down", [node("Range", "i0 i1 i2")], np.array(10), np.array(1), np.array(-3))
    fold("gather_last", [node("Gather", "i0 i1", axis=-1)], numbers(2, 3), integers(0, -1, 1, 1).reshape(2, 2))
    fold("slice_backward", [node("Slice", "i0 i1 i2 i3 i4")], numbers(4, 5), integers(-1, 3), integers(-10, -10),
         integers(0, 1), integers(-2, -1))
    x, none = numbers(4, 5), 2**31 - 1
    fold("slice_attributes", [node("Slice", "i0", starts=[1, -3], ends=[3, -1])], x, opset=9)
    fold("slice_attribute_axes", [node("Slice", "i0", starts=[-2], ends=[none], axes=[1])], x, opset=7)
    fold("slice_default_axes", [node("Slice", "i0 i1 i2")], x, integers(1, 0), integers(9, 4))
    fold("slice_negative_axes", [node("Slice", "i0 i1 i2 i3")], x, integers(0), integers(-1), integers(-1))
    fold("slice_steps", [node("Slice", "i0 i1 i2 i3 i4")], x, integers(0, 4), integers(none, -none), integers(0, 1),
         integers(3, -2))
    fold("slice_start_outside", [node("Slice", "i0 i1 i2 i3")], x, integers(7), integers(9), integers(1))
    fold("concat_empty", [node("Concat", "i0 i1", axis=0)], integers(), integers(3, 4))
    fold("shape_reversed", [node("Shape", "i0", start=2, end=1)], numbers(2, 3, 4))
    fold("unsqueeze_ends", [node("Unsqueeze", "i0 i1")], numbers(3, 2), integers(-1, 0))
    fold("transpose_five", [node("Transpose", "i0", perm=[4, 1, 0, 3, 2])], numbers(2, 3, 1, 2, 2))
    # Biases of a row, of a column, of all.
    matrix = numbers(5, 3)
    for name, bias in [("row", numbers(1, 3)), ("column", numbers(3, 1)), ("full", numbers(3, 3)),
                       ("scalar", np.array(0.7, np.float32))]:
        of_map(f"gemm_bias_{name}", [node("Gemm", "i0 c0 c1", alpha=0.5, beta=-2.0)], numbers(3, 5), matrix, bias)
    # Constants of more axes than the map, and of one axis among equal ones.
    of_map("add_more_axes", [node("Add", "i0 c0")], numbers(1, 4), numbers(1, 1, 4))
    for name, shape in [("channels", (4, 1, 1)), ("rows", (4, 1)), ("columns", (4,))]:
        of_map(f"mul_{name}", [node("Mul", "i0 c0")], numbers(1, 4, 4, 4), numbers(*shape))
    of_map("sub_from_constant", [node("Sub", "c0 i0")], numbers(2, 4, 3, 3), numbers(4, 1, 1))
    of_map("sub_itself", [node("Sub", "i0 i0")], numbers(2, 4, 3, 3))
    # Means over no axes, over the only channel, one axis after the other.
    pooled = node("GlobalAveragePool", "i0", "p")
    of_map("mean_no_axes", [pooled, node("ReduceMean", "p c0")], numbers(1, 4, 3, 3), integers())
    of_map("mean_no_axes_noop", [node("ReduceMean", "i0 c0", noop_with_empty_axes=1)], numbers(1, 4, 3, 3), integers())
    of_map("mean_one_channel", [node("ReduceMean", "i0 c0", keepdims=0)], numbers(1, 1, 3, 4), integers(1, 2, 3))
    of_map("mean_twice", [node("ReduceMean", "i0 c0", "t"), node("ReduceMean", "t c1")], numbers(2, 4, 3, 5),
           integers(3), integers(2))
    of_map("mean_nhwc", [node("ReduceMean", "i0 c0", keepdims=0)], numbers(2, 3, 4, 5), integers(1, 2), last=True)
    # Windows: ONNX's padding, then that of a Pad.
    rows = [
        ("odd", [3, 3], [2, 2], [1, 1, 1, 1], (6, 7)), ("gap", [2, 2], [3, 3], [0, 0, 1, 1], (6, 8)),
        ("uneven", [3, 2], [2, 3], [1, 0, 0, 1], (7, 7)), ("before", [2, 2], [2, 2], [1, 1, 0, 0], (5, 5)),
    ]
    for name, kernel, strides, pads, size in rows:
        x, window = numbers(1, 4, *size), {"kernel_shape": kernel, "strides": strides}
        for ceil in (0, 1):
            end = "_ceil" * ceil
            options = {**window, "pads": pads, "ceil_mode": ceil}
            of_map(f"average_{name}{end}", [node("AveragePool", "i0", **options)], x, opset=22)
            of_map(f"average_{name}{end}_counted", [node("AveragePool", "i0", count_include_pad=1, **options)], x,
                   opset=22)
            of_map(f"max_{name}{end}", [node("MaxPool", "i0", **options)], x, opset=22)
        for auto in ("SAME_UPPER", "SAME_LOWER", "VALID"):
            of_map(f"average_{name}_{auto.lower()}", [node("AveragePool", "i0", auto_pad=auto, **window)], x, opset=22)
            if name in ("odd", "uneven"):  # ONNX Runtime knows no windows with gaps between them.
                of_map(f"max_{name}_{auto.lower()}", [node("MaxPool", "i0", auto_pad=auto, **window)], x, opset=22)
            of_map(f"conv_{name}_{auto.lower()}", [node("Conv", "i0 c0", auto_pad=auto, strides=strides)], x,
                   numbers(3, 4, *kernel), opset=22)
    around = integers(0, 0, 1, 1, 0, 0, 1, 1)
    pad, window = node("Pad", "i0 c0", "p"), {"kernel_shape": [2, 2], "strides": [2, 2]}
    of_map("pad_average", [pad, node("AveragePool", "p", **window)], numbers(1, 4, 5, 5), around)
    padded = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
    of_map("pad_average_padded", [pad, node("AveragePool", "p", **padded)], numbers(1, 4, 5, 5), around)
    of_map("relu_pad_max", [node("Relu", "i0", "r"), node("Pad", "r c0", "p"), node("MaxPool", "p", **window)],
           numbers(1, 4, 5, 5), around)
    of_map("relu_wide_pad_max", [node("Relu", "i0", "r"), node("Pad", "r c0", "p"), node("MaxPool", "p", **window)],
           numbers(1, 4, 5, 5), 2 * around)
    of_map("pad_negated_conv", [pad, node("Neg", "p", "n"), node("Conv", "n c1")], numbers(1, 4, 5, 5), around,
           numbers(2, 4, 3, 3))
    of_map("pad_transposed_conv", [
        node("Transpose", "i0", "t", perm=[0, 1, 3, 2]), node("Pad", "t c0", "p"),
        node("Transpose", "p", "u", perm=[0, 1, 3, 2]), node("Conv", "u c1"),
    ], numbers(1, 4, 5, 6), integers(0, 0, 1, 2, 0, 0, 0, 3), numbers(2, 4, 3, 3))
    # Bounds from 0 on.
    bounds = (np.array(0, np.float32), np.array(6, np.float32))
    of_map("clip_six", [node("Clip", "i0 c0 c1")], numbers(2, 4, 3, 3) * 5, *bounds)
    of_map("clip_six_attributes", [node("Clip", "i0", min=0.0, max=6.0)], numbers(2, 4, 3, 3) * 5, opset=7)
    of_map("clip_reversed", [node("Clip", "i0 c0 c1")], numbers(2, 4, 3, 3), bounds[0], -bounds[1])
    # Flattened maps side by side, and their sum with a convolution over the whole map.
    of_map("concat_flattened", [
        node("Relu", "i0", "r"), node("MaxPool", "r", "m", **window), node("Flatten", "r", "a"),
        node("Flatten", "m", "b"), node("Concat", "a b", axis=1),
    ], numbers(1, 4, 4, 4))
    of_map("add_flattened", [
        node("Conv", "i0 c0", "g"), node("Flatten", "g", "a"), node("Flatten", "i0", "b"), node("Add", "a b"),
    ], numbers(1, 4, 1, 2), numbers(8, 4, 1, 2))
    of_map("flatten_nhwc_matmul", [node("Flatten", "i0", "t"), node("MatMul", "t c0")], numbers(2, 3, 2, 4),
           numbers(24, 5), last=True)
    of_map("cast_half", [node("Cast", "i0", "t", to=TensorProto.FLOAT16), node("Cast", "t", to=TensorProto.FLOAT)],
           numbers(2, 4, 3, 3))
    return graphs
