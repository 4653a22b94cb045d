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
    # Bounds on either side of 0, or with 0 between them; of one side.
    x = numbers(2, 4, 3, 3) * 20
    for name, low, high in [("positive", 2, 9), ("negative", -9, -2), ("to_zero", -9, 0), ("near", -1, 3),
                            ("far", -30, 25), ("below", -40, None), ("above", None, 3), ("under", None, -3)]:
        bounds = [np.array(bound, np.float32) for bound in (low, high) if bound is not None]
        inputs = "i0 " + " ".join(f"c{k}" for k in range(len(bounds)))
        clip = node("Clip", inputs)
        if low is None:
            clip = helper.make_node("Clip", ["i0", "", "c0"], ["o"], "o")
        of_map(f"clip_{name}", [clip], x, *bounds)
    of_map("clip_none", [node("Clip", "i0")], x)
    three = np.array(3, np.float32)
    of_map("max_number", [node("Max", "i0 c0")], x, three)
    of_map("min_number", [node("Min", "c0 i0")], x, -three)
    # Activations written out, with the factors in both orders.
    six, zero = np.array(6, np.float32), np.array(0, np.float32)
    x = numbers(2, 4, 3, 3) * 4
    gate = [node("Add", "i0 c0", "s"), node("Clip", "s c1 c2", "t")]
    numbers_ = (three, zero, six)
    for order in ("i0 t", "t i0"):
        end = "_swapped" * (order == "t i0")
        of_map(f"silu{end}", [node("Sigmoid", "i0", "t"), node("Mul", order)], x)
        of_map(f"hard_swish{end}", [node("HardSigmoid", "i0", "t", alpha=1 / 6), node("Mul", order)], x)
        of_map(f"hard_swish_of_products{end}", [*gate, node("Mul", order, "u"), node("Div", "u c2")], x, *numbers_)
        scaled = [*gate, node("Div", "t c2", "u"), node("Mul", order.replace("t", "u"))]
        of_map(f"hard_swish_of_quotients{end}", scaled, x, *numbers_)
    of_map("hard_sigmoid_other_gate", [node("HardSigmoid", "i0", "t"), node("Mul", "i0 t")], x)
    of_map("sigmoid_of_other", [node("Neg", "i0", "n"), node("Sigmoid", "n", "t"), node("Mul", "i0 t")], x)
    slopes = np.array([0.25, -0.5, 2, 1], np.float32)
    of_map("prelu_channels", [node("PRelu", "i0 c0")], x, slopes.reshape(4, 1, 1), opset=16)
    of_map("prelu_last", [node("PRelu", "i0 c0")], numbers(2, 3, 3, 4), slopes, opset=16, last=True)
    of_map("prelu_number", [node("PRelu", "i0 c0")], x, slopes[:1].reshape(1, 1, 1), opset=16)
    # Zeros around a map, of which activations make other values or none.
    for op, attributes in [("HardSwish", {}), ("LeakyRelu", {"alpha": 0.3}), ("Tanh", {}), ("Sigmoid", {})]:
        nodes = [pad, node(op, "p", "a", **attributes), node("Conv", "a c1")]
        of_map(f"pad_{op.lower()}_conv", nodes, x, around, numbers(2, 4, 2, 2))
    of_map("sigmoid_pad_max", [node("Sigmoid", "i0", "r"), node("Pad", "r c0", "p"), node("MaxPool", "p", **window)],
           numbers(1, 4, 5, 5), around)
    # Gates: of channels in both orders, of a vector, repeated, of one channel, of pixels.
    pooled = node("GlobalAveragePool", "i0", "p")
    gate = [pooled, node("Sigmoid", "p", "g")]
    of_map("gate", [*gate, node("Mul", "i0 g")], x)
    of_map("gate_first", [*gate, node("Mul", "g i0")], x)
    vector = [pooled, node("Flatten", "p", "f"), node("Gemm", "f c0", "h"), node("Sigmoid", "h", "v")]
    matrix = numbers(4, 4)
    of_map("gate_unsqueezed", [*vector, node("Unsqueeze", "v c1", "g"), node("Mul", "i0 g")], x, matrix, integers(2, 3))
    of_map("gate_reshaped", [*vector, node("Reshape", "v c1", "g"), node("Mul", "g i0")], x, matrix,
           integers(0, 4, 1, 1))
    of_map("gate_expanded", [*gate, node("Expand", "g c0", "e"), node("Mul", "i0 e")], x, integers(2, 4, 3, 3))
    of_map("expanded_sum", [*gate, node("Expand", "g c0", "e"), node("Add", "i0 e")], x, integers(3, 3))
    of_map("tile_once", [node("Tile", "i0 c0", "t"), node("Relu", "t")], x, integers(1, 1, 1, 1))
    last = [node("ReduceMean", "i0 c0", "p"), node("Sigmoid", "p", "g"), node("Mul", "i0 g")]
    of_map("gate_nhwc", last, x, integers(1, 2), last=True)
    of_map("gate_of_pixels", [node("Conv", "i0 c0", "g"), node("Mul", "i0 g")], x, numbers(1, 4, 1, 1))
    of_map("gate_of_all", [*gate, node("Conv", "g c0", "h"), node("Mul", "i0 h")], x, numbers(1, 4, 1, 1))
    of_map("gate_of_one_channel", [pooled, node("Mul", "i0 p")], numbers(2, 1, 3, 4))
    of_map("square", [node("Mul", "i0 i0")], x)
    of_map("product_of_transposed", [node("Transpose", "i0", "t", perm=[0, 1, 3, 2]), node("Mul", "i0 t")], x)
    of_map("product_of_flattened", [
        node("Conv", "i0 c0", "g"), node("Flatten", "g", "a"), node("Flatten", "i0", "b"), node("Mul", "a b"),
    ], numbers(1, 4, 1, 2), numbers(8, 4, 1, 2))
    # Parts.
    x = numbers(2, 6, 3, 2)

    def split(name, *nodes, opset=18, constants=(), x=x, last=False, **attributes):
        parts = helper.make_node("Split", ["i0", *(["c0"] if constants else [])], ["a", "b"], "s", **attributes)
        of_map(f"split_{name}", [parts, *nodes], x, *constants, opset=opset, last=last)

    swapped = node("Concat", "b a", axis=1)
    split("even", swapped, axis=1, num_outputs=2)
    split("attribute", swapped, axis=1, split=[2, 4], opset=11)
    split("without_sizes", swapped, axis=1, opset=13)
    split("sizes", swapped, axis=-3, constants=(integers(5, 1),), opset=13)
    split("shorter_end", swapped, axis=1, num_outputs=2, x=numbers(2, 5, 2, 2))
    split("last", node("Concat", "b a", axis=-1), axis=3, num_outputs=2, last=True)
    split("rows", node("Concat", "b a", axis=2), axis=2, constants=(integers(1, 2),))
    split("batch", node("Concat", "b a", axis=0), axis=0, num_outputs=2)
    split("of_vectors", swapped, axis=1, num_outputs=2, x=numbers(2, 6))
    split("half_unread", node("Relu", "b"), axis=1, num_outputs=2)
    halves = helper.make_node("Split", ["c0"], ["a", "b"], "s", axis=0, num_outputs=2)
    of_map("split_weights", [halves, node("Conv", "i0 a", "l"), node("Conv", "i0 b", "r"), node("Sub", "l r")], x,
           numbers(4, 6, 2, 2))
    of_map("slice_channels", [node("Slice", "i0 c0 c1 c2")], x, integers(1), integers(4), integers(1))
    of_map("slice_channels_end", [node("Slice", "i0 c0 c1 c2")], x, integers(-2), integers(2**31), integers(1))
    of_map("slice_channels_last", [node("Slice", "i0 c0 c1 c2")], x, integers(1), integers(4), integers(-1), last=True)
    of_map("slice_channel_steps", [node("Slice", "i0 c0 c1 c2 c3")], x, integers(0), integers(6), integers(1),
           integers(2))
    of_map("slice_rows", [node("Slice", "i0 c0 c1 c2")], x, integers(1), integers(3), integers(2))
    of_map("slice_flattened", [node("Flatten", "i0", "f"), node("Slice", "f c0 c1 c2")], x, integers(5), integers(20),
           integers(1))
    of_map("gather_range", [node("Gather", "i0 c0", axis=1)], x, integers(2, 3, 4))
    of_map("gather_channel", [node("Gather", "i0 c0", axis=1)], x, np.array(-2))
    of_map("gather_swapped", [node("Gather", "i0 c0", axis=1)], x, integers(1, 0))
    # Shuffles: groups, then channels of a group, in the other order.
    wide = numbers(2, 3, 2, 6)
    for last, x, parts, order, whole in [
        (False, x, (0, 2, 3, 3, 2), (0, 2, 1, 3, 4), (0, -1, 3, 2)),
        (True, wide, (2, 3, 2, 2, 3), (0, 1, 2, 4, 3), (2, 3, 2, 6)),
    ]:
        shuffle = [node("Reshape", "i0 c0", "r"), node("Transpose", "r", "t", perm=order)]
        end = "_last" * last
        constants = (integers(*parts), integers(*whole))
        of_map(f"shuffle{end}", [*shuffle, node("Reshape", "t c1")], x, *constants, last=last)
        of_map(f"divided_and_whole{end}", [shuffle[0], node("Reshape", "r c1")], x, *constants, last=last)
        of_map(f"relu_of_divided{end}", [shuffle[0], node("Relu", "r", "q"), node("Reshape", "q c1")], x, *constants,
               last=last)
    x = numbers(2, 6, 3, 2)
    of_map("shuffle_flattened", [*[
        node("Reshape", "i0 c0", "r"), node("Transpose", "r", "t", perm=(0, 2, 1, 3, 4))], node("Flatten", "t")],
        x, integers(0, 3, 2, 3, 2))
    of_map("shuffle_in_three", [
        node("Reshape", "i0 c0", "r"), node("Transpose", "r", "t", perm=(0, 3, 2, 1, 4)), node("Reshape", "t c1"),
    ], numbers(1, 8, 3), integers(0, 2, 2, 2, 3), integers(0, 8, 3))
    # Normalization across channels.
    # Only the reference implementation knows even sizes, and only as many channels as images.
    of_map("lrn_even", [node("LRN", "i0", size=4, alpha=2.0)], numbers(6, 6, 2, 2))
    for name, attributes in [("one", {"size": 1, "alpha": 0.5}),
                             ("wide", {"size": 15, "alpha": 2.0, "beta": 0.5, "bias": 2.0})]:
        of_map(f"lrn_{name}", [node("LRN", "i0", **attributes)], x)
    of_map("lrn_last", [node("LRN", "i0", size=3)], x, last=True)
    pads = integers(0, 0, 1, 0, 0, 0, 0, 1, 0, 0)
    of_map("lrn_written_out", [
        node("Mul", "i0 i0", "q"), node("Reshape", "q c0", "r"), node("Pad", "r c1", "p"),
        node("AveragePool", "p", "m", kernel_shape=[3, 1, 1]), node("Squeeze", "m c2", "s"),
        node("Mul", "s c3", "a"), node("Add", "a c4", "b"), node("Pow", "b c5", "e"), node("Div", "i0 e"),
    ], x, integers(2, 1, 6, 3, -1), pads, integers(1), *(np.array(y, np.float32) for y in (0.5, 2, 0.75)))
    # Resizes: scales that are no fractions of two, each way of finding a pixel, versions of the operator.
    x, constants = numbers(1, 3, 4, 7), (np.array([], np.float32),)

    def resize(name, *sizes, opset=13, x=x, last=False, **attributes):
        inputs = ["i0", "c0", "c1"] if sizes[0].dtype == np.float32 else ["i0", "c0", "", "c1"]
        made = helper.make_node("Resize", inputs, ["o"], "o", **attributes)
        of_map(f"resize_{name}", [made], x, *constants, *sizes, opset=opset, last=last)

    def scales(*values):
        return np.array(values, np.float32)

    for mode in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
        for name, sizes in [("larger", (1, 3, 9, 10)), ("smaller", (1, 3, 3, 4)), ("one", (1, 3, 1, 7))]:
            resize(f"linear_{mode}_{name}", integers(*sizes), mode="linear", coordinate_transformation_mode=mode)
            for how in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
                if mode != "pytorch_half_pixel":
                    resize(f"{how}_{mode}_{name}", integers(*sizes), mode="nearest", nearest_mode=how,
                           coordinate_transformation_mode=mode)
    resize("scales", scales(1, 1, 2.25, 1.5), mode="linear")
    resize("scales_nearest", scales(1, 1, 1 / 3, 0.6), mode="nearest", nearest_mode="floor",
           coordinate_transformation_mode="asymmetric")
    resize("scales_symmetric", scales(1, 1, 0.6, 1.3), mode="linear", opset=19,
           coordinate_transformation_mode="half_pixel_symmetric")
    resize("axes", integers(9, 5), mode="linear", opset=18, axes=[3, 2])
    resize("last", scales(1, 2, 1.5, 1), mode="linear", last=True)
    resize("channels", scales(1, 2, 1, 1), mode="nearest")
    resize("tf_half_pixel", scales(1, 1, 2, 2), mode="nearest", opset=11,
           coordinate_transformation_mode="tf_half_pixel_for_nn")
    for mode in ("nearest", "linear"):
        of_map(f"resize_opset10_{mode}", [node("Resize", "i0 c0", mode=mode)], x, scales(1, 1, 2, 3), opset=10)
        of_map(f"upsample_{mode}", [node("Upsample", "i0 c0", mode=mode)], x, scales(1, 1, 2, 3), opset=9)
        of_map(f"upsample_attribute_{mode}", [node("Upsample", "i0", mode=mode, scales=[1.0, 1.0, 3.0, 2.0])], x,
               opset=7)
    of_map("cast_half", [node("Cast", "i0", "t", to=TensorProto.FLOAT16), node("Cast", "t", to=TensorProto.FLOAT)],
           numbers(2, 4, 3, 3))
    # A pooled vector that gets rows and columns again, as the pooling of whole images in a segmentation network does: they
    # are left out or kept in between, and the channels are first or last.
    window = node("Conv", "e c3", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    weight = numbers(3, 5, 3, 3)
    for name, pooled in [
        ("not_kept", [node("ReduceMean", "i0", "m", axes=[2, 3], keepdims=0), node("Unsqueeze", "m c0", "u")]),
        ("kept", [node("GlobalAveragePool", "i0", "m"), node("Squeeze", "m c0", "s"), node("Unsqueeze", "s c0", "u")]),
        ("flattened", [node("GlobalAveragePool", "i0", "m"), node("Flatten", "m", "s"), node("Unsqueeze", "s c0", "u")]),
    ]:
        x, axes = numbers(2, 5, 4, 3), integers(2, 3)
        for more, longer in [("expand", node("Expand", "u c1", "e")), ("tile", node("Tile", "u c2", "e")),
                             ("pad", node("Pad", "u c4", "e"))]:
            constants = [axes, integers(2, 5, 3, 2), integers(1, 1, 3, 2), weight, integers(0, 0, 1, 0, 0, 0, 1, 2)]
            of_map(f"pooled_{name}_{more}", [*pooled, longer, window], x, *constants, opset=17)
        resize = node("Resize", "u c1 c1 c2", "e", mode="nearest")
        of_map(f"pooled_{name}_resize", [*pooled, resize, window], x, axes, np.array([], np.float32),
               integers(2, 5, 3, 2), weight, opset=17)
    mean = node("ReduceMean", "i0", "m", axes=[1, 2], keepdims=0)
    for name, axes, sizes in [("last", (1, 2), (2, 3, 2, 5)), ("between", (1, 3), (2, 3, 5, 2))]:
        of_map(f"pooled_{name}_expand", [mean, node("Unsqueeze", "m c0", "u"), node("Expand", "u c1")],
               numbers(2, 4, 3, 5), integers(*axes), integers(*sizes), opset=17, last=True)
    # The axes of size 1 have changed places before one becomes longer.
    padded = node("Pad", "u c0", "e")
    constants = integers(0, 0, 1, 0, 0, 0, 0, 2), integers(2, 5, 1, 1, 1), integers(2, 5, 1, 1), weight
    of_map("pooled_swapped_pad", [
        node("GlobalAveragePool", "i0", "m"), node("Transpose", "m", "u", perm=(0, 1, 3, 2)), padded, window,
    ], numbers(2, 5, 4, 3), *constants, opset=17)
    of_map("pooled_shuffled_pad", [
        node("GlobalAveragePool", "i0", "m"), node("Reshape", "m c1", "r"),
        node("Transpose", "r", "t", perm=(0, 2, 1, 3, 4)), node("Reshape", "t c2", "u"), padded, window,
    ], numbers(2, 5, 4, 3), *constants, opset=17)
    # One row alone, whose columns become more.
    of_map("pooled_row_tile", [
        node("ReduceMean", "i0", "m", axes=[2, 3], keepdims=0), node("Reshape", "m c0", "u"), node("Tile", "u c1", "e"),
        node("Flatten", "e"),
    ], numbers(2, 5, 4, 3), integers(0, 1, 5), integers(1, 2, 1), opset=17)
    # One channel, whose axis is left out and comes back.
    of_map("plane_conv", [
        node("Squeeze", "i0 c0", "s"), node("Unsqueeze", "s c0", "u"),
        node("Conv", "u c1", kernel_shape=[3, 3], pads=[1, 0, 1, 0]),
    ], numbers(2, 1, 4, 5), integers(1), numbers(3, 1, 3, 3), opset=17)
    return graphs
