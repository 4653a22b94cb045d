//! The Python globals that a checkpoint's pickle mentions. None is ever called.
//!
//! Three kinds are told apart: those of tensors and plain data; those of a module with which a file could
//! harm a user who loads it with Python, which are refused to warn of such files; and all others, classes
//! such as `pathlib.PosixPath` or the author's own, whose objects are stepped over.

/// The verdict on a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Builds tensors or plain data.
    Data,
    /// A class or function that says nothing about the model's tensors.
    Foreign,
    /// A torch type or kind of tensor that is not supported: sparse, quantized, complex.
    UnsupportedTensor,
    /// Runs programs, reads files or evaluates code when Python loads the file.
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

/// Python's own classes that hold plain data.
const BUILTINS: [&str; 20] = [
    "set",
    "frozenset",
    "dict",
    "list",
    "tuple",
    "int",
    "long",
    "float",
    "bool",
    "str",
    "unicode",
    "bytes",
    "bytearray",
    "complex",
    "object",
    "slice",
    "range",
    "xrange",
    "Ellipsis",
    "NotImplemented",
];

/// Packages with functions that run programs or code, load further pickles, or reach files and networks.
const DANGEROUS: [&str; 56] = [
    "_osx_support",
    "_pickle",
    "_posixsubprocess",
    "aifc",
    "asyncio",
    "bdb",
    "cPickle",
    "cProfile",
    "cloudpickle",
    "codeop",
    "ctypes",
    "dill",
    "distutils",
    "doctest",
    "ensurepip",
    "ftplib",
    "http",
    "httplib",
    "idlelib",
    "imaplib",
    "imp",
    "importlib",
    "io",
    "joblib",
    "lib2to3",
    "marshal",
    "mmap",
    "multiprocessing",
    "nt",
    "operator",
    "os",
    "pdb",
    "pickle",
    "pip",
    "pkgutil",
    "popen2",
    "posix",
    "pty",
    "pydoc",
    "requests",
    "runpy",
    "setuptools",
    "shelve",
    "shutil",
    "site",
    "smtplib",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "sys",
    "timeit",
    "types",
    "urllib",
    "webbrowser",
    "zipimport",
];

/// Functions outside of these packages that do the same.
const DANGEROUS_FUNCTIONS: [(&str, &[&str]); 9] = [
    ("torch", &["load", "hub", "jit", "package", "compile", "classes", "ops", "serialization", "save"]),
    (
        "numpy",
        &["load", "fromfile", "memmap", "testing", "f2py", "distutils", "genfromtxt", "loadtxt", "save"],
    ),
    ("code", &["interact", "InteractiveInterpreter", "InteractiveConsole"]),
    ("commands", &["getoutput", "getstatusoutput"]),
    ("functools", &["reduce"]),
    ("logging", &["config"]),
    ("profile", &["run", "runctx"]),
    ("trace", &["Trace"]),
    ("venv", &["create", "main"]),
];

/// The verdict on the global `module.name`.
pub fn judge(module: &str, name: &str) -> Verdict {
    let data = match module {
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
        "collections" => matches!(name, "OrderedDict" | "defaultdict" | "Counter" | "deque"),
        "builtins" | "__builtin__" => BUILTINS.contains(&name),
        "copy_reg" | "copyreg" => name == "_reconstructor",
        "_codecs" => name == "encode",
        "argparse" => name == "Namespace",
        "types" => name == "SimpleNamespace",
        "datetime" => matches!(name, "datetime" | "date" | "time" | "timedelta" | "timezone"),
        "numpy" => matches!(name, "dtype" | "ndarray"),
        "numpy.core.multiarray" | "numpy._core.multiarray" => matches!(name, "scalar" | "_reconstruct"),
        "numpy.dtypes" => name.ends_with("DType"),
        _ => false,
    };
    let torch = module == "torch" || module == "torch.cuda" || module == "torch._utils";
    if data {
        Verdict::Data
    } else if torch && (name.ends_with("Storage") || KINDS.iter().any(|kind| name.starts_with(kind))) {
        Verdict::UnsupportedTensor
    } else if is_dangerous(module, name) {
        Verdict::Refused
    } else {
        Verdict::Foreign
    }
}

/// Whether `module.name` may belong to a file that harms whoever loads it with Python, or is no name at all.
fn is_dangerous(module: &str, name: &str) -> bool {
    let identifier = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '<' | '>' | '-'))
    };
    let parts = || module.split('.').chain(name.split('.'));
    if !parts().all(identifier) {
        return true;
    }
    // A module's own imports are reachable through it, as in `torch._utils.importlib` or `codecs.builtins.eval`.
    let listed = |part: &str| DANGEROUS.contains(&part);
    let package = module.split('.').next().unwrap_or_default();
    let function = |part: &str| {
        let of = DANGEROUS_FUNCTIONS.iter().find(|(of, _)| *of == package);
        of.is_some_and(|(_, functions)| functions.contains(&part))
    };
    matches!(module, "builtins" | "__builtin__" | "torch._utils" | "codecs" | "_codecs")
        || listed(package)
        || (name.contains('.') && name.split('.').any(|part| part.starts_with("__")))
        || name.split('.').any(listed)
        || parts().skip(1).any(function)
}
