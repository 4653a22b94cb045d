//! The Python globals that a checkpoint's pickle may mention. None is ever called; a file with any other
//! is refused all the same, to warn users who might load it with Python.

/// The verdict on a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Builds tensors, or plain data, which is ignored.
    Allowed,
    /// A torch type or kind of tensor that is not supported: sparse, quantized, complex.
    UnsupportedTensor,
    /// Anything else.
    Refused,
}

const STORAGES: [&str; 10] = [
    "FloatStorage",
    "DoubleStorage",
    "HalfStorage",
    "BFloat16Storage",
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
    "BoolStorage",
];

const DTYPES: [&str; 13] = [
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "uint16",
    "uint32", "uint64", "bool",
];

/// Prefixes of torch's names for unsupported element types and kinds of tensors.
const KINDS: [&str; 6] = ["float8", "float4", "complex", "qint", "quint", "_rebuild_"];

/// Tensor classes, which occur only in the oldest container.
const TENSORS: [&str; 8] = [
    "FloatTensor",
    "DoubleTensor",
    "HalfTensor",
    "LongTensor",
    "IntTensor",
    "ShortTensor",
    "CharTensor",
    "ByteTensor",
];

/// The verdict on the global `module.name`, by exact match.
pub fn judge(module: &str, name: &str) -> Verdict {
    let allowed = match module {
        "torch" => {
            [&STORAGES[..], &TENSORS, &DTYPES].iter().any(|names| names.contains(&name))
                || matches!(name, "Size" | "device" | "Tensor")
        }
        "torch.cuda" => STORAGES.contains(&name) || TENSORS.contains(&name),
        "torch.storage" => matches!(name, "UntypedStorage" | "TypedStorage" | "_TypedStorage"),
        "torch._utils" => matches!(
            name,
            "_rebuild_tensor"
                | "_rebuild_tensor_v2"
                | "_rebuild_tensor_v3"
                | "_rebuild_parameter"
                | "_rebuild_parameter_with_state"
        ),
        "torch._tensor" => name == "_rebuild_from_type_v2",
        "torch.nn.parameter" => name == "Parameter",
        "collections" => matches!(name, "OrderedDict" | "defaultdict" | "Counter"),
        "builtins" | "__builtin__" => matches!(
            name,
            "set"
                | "frozenset"
                | "dict"
                | "list"
                | "tuple"
                | "int"
                | "long"
                | "float"
                | "bool"
                | "str"
                | "unicode"
                | "bytes"
                | "bytearray"
                | "complex"
                | "object"
                | "slice"
                | "range"
        ),
        "copy_reg" | "copyreg" => name == "_reconstructor",
        "_codecs" => name == "encode",
        "argparse" => name == "Namespace",
        "datetime" => matches!(name, "datetime" | "date" | "time" | "timedelta"),
        "numpy" => matches!(name, "dtype" | "ndarray"),
        "numpy.core.multiarray" | "numpy._core.multiarray" => matches!(name, "scalar" | "_reconstruct"),
        "numpy.dtypes" => matches!(name, "Float64DType" | "Float32DType" | "Int64DType" | "Int32DType"),
        _ => false,
    };
    let torch = module == "torch" || module == "torch.cuda" || module == "torch._utils";
    if allowed {
        Verdict::Allowed
    } else if torch && (name.ends_with("Storage") || KINDS.iter().any(|kind| name.starts_with(kind))) {
        Verdict::UnsupportedTensor
    } else {
        Verdict::Refused
    }
}
