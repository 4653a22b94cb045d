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

/// Python's own classes and functions that hold or make plain data; exceptions are allowed too.
const BUILTINS: [&str; 33] = [
    "abs",
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "Ellipsis",
    "enumerate",
    "float",
    "frozenset",
    "getattr",
    "int",
    "len",
    "list",
    "long",
    "max",
    "min",
    "NotImplemented",
    "object",
    "print",
    "property",
    "range",
    "round",
    "set",
    "slice",
    "sorted",
    "str",
    "sum",
    "tuple",
    "type",
    "unicode",
    "xrange",
    "zip",
];

/// Packages with functions that run programs or code, load further pickles, or reach files and networks; those with
/// an underscore before their name as well.
const DANGEROUS: [&str; 107] = [
    "aifc",
    "aiohttp",
    "aix_support",
    "asyncio",
    "atexit",
    "bdb",
    "bz2",
    "cffi",
    "cloudpickle",
    "codecs",
    "codeop",
    "compileall",
    "concurrent",
    "cPickle",
    "cProfile",
    "ctypes",
    "dbm",
    "dill",
    "distutils",
    "doctest",
    "ensurepip",
    "fcntl",
    "fileinput",
    "frozen_importlib",
    "frozen_importlib_external",
    "ftplib",
    "gzip",
    "http",
    "httplib",
    "httpx",
    "hydra",
    "idlelib",
    "imaplib",
    "imp",
    "importlib",
    "io",
    "IPython",
    "joblib",
    "jsonpickle",
    "keras",
    "lib2to3",
    "linecache",
    "lzma",
    "marshal",
    "mmap",
    "multiprocess",
    "multiprocessing",
    "nntplib",
    "nt",
    "numexpr",
    "operator",
    "os",
    "osx_support",
    "paramiko",
    "pdb",
    "pexpect",
    "pickle",
    "pip",
    "pipes",
    "pkgutil",
    "platform",
    "popen2",
    "poplib",
    "posix",
    "posixsubprocess",
    "pty",
    "py_compile",
    "pydoc",
    "pyio",
    "pyrepl",
    "requests",
    "resource",
    "rlcompleter",
    "runpy",
    "setuptools",
    "shelve",
    "shutil",
    "signal",
    "site",
    "smtplib",
    "socket",
    "socketserver",
    "sqlite3",
    "ssl",
    "subprocess",
    "sympy",
    "sys",
    "tarfile",
    "telnetlib",
    "tempfile",
    "test",
    "thread",
    "threading",
    "timeit",
    "types",
    "unittest",
    "urllib",
    "urllib3",
    "uuid",
    "webbrowser",
    "winapi",
    "wsgiref",
    "xmlrpc",
    "yaml",
    "zipapp",
    "zipfile",
    "zipimport",
];

/// Parts of names outside of these packages that do the same.
const DANGEROUS_PARTS: [(&str, &[&str]); 11] = [
    (
        "torch",
        &[
            "basichandlers",
            "bottleneck",
            "classes",
            "codecache",
            "collect_env",
            "compile",
            "cpp_extension",
            "evaluate_guards_expression",
            "from_file",
            "_forward_from_src",
            "GuardBuilder",
            "hub",
            "jit",
            "load",
            "_load_from_bytes",
            "load_config",
            "model_zoo",
            "ops",
            "package",
            "reduce_graph_module",
            "run",
            "save",
            "spawn",
        ],
    ),
    (
        "numpy",
        &[
            "ctypeslib",
            "distutils",
            "f2py",
            "fromfile",
            "genfromtxt",
            "load",
            "loadtxt",
            "memmap",
            "open_memmap",
            "save",
            "testing",
        ],
    ),
    ("argparse", &["FileType"]),
    ("code", &["interact", "InteractiveInterpreter", "InteractiveConsole"]),
    ("commands", &["getoutput", "getstatusoutput"]),
    ("functools", &["reduce"]),
    ("logging", &["config", "FileHandler", "handlers"]),
    ("pandas", &["eval", "read_pickle"]),
    ("pathlib", &["unlink", "write_bytes", "write_text"]),
    ("profile", &["run", "runctx"]),
    ("venv", &["create", "main"]),
];

/// Harmless classes of dangerous packages.
const HARMLESS: [(&str, &str); 14] = [
    ("distutils.version", "LooseVersion"),
    ("http", "HTTPStatus"),
    ("io", "BytesIO"),
    ("io", "StringIO"),
    ("_io", "BytesIO"),
    ("_io", "StringIO"),
    ("numpy", "memmap"),
    ("os", "stat_result"),
    ("socket", "AddressFamily"),
    ("sys", "version_info"),
    ("types", "GenericAlias"),
    ("types", "MappingProxyType"),
    ("types", "MethodType"),
    ("urllib.parse", "ParseResult"),
];

/// The verdict on the global `module.name`.
pub fn judge(module: &str, name: &str) -> Verdict {
    let data = match module {
        "torch" => {
            [&TENSORS[..], &DTYPES].iter().any(|names| names.contains(&name))
                || matches!(name, "Size" | "device" | "Tensor")
                || name.ends_with("Storage")
        }
        "torch.cuda" => STORAGES.contains(&name) || TENSORS.contains(&name),
        "torch.serialization" => name == "_get_layout",
        "torch.storage" => matches!(name, "UntypedStorage" | "TypedStorage" | "_TypedStorage"),
        "torch._utils" => name.starts_with("_rebuild_"),
        "torch._tensor" => name == "_rebuild_from_type_v2",
        "torch.nn.parameter" => name == "Parameter",
        "collections" => matches!(name, "OrderedDict" | "defaultdict" | "Counter" | "deque"),
        "builtins" | "__builtin__" => {
            BUILTINS.contains(&name)
                || ["Error", "Exception", "Warning"].iter().any(|kind| name.ends_with(kind))
                    && name.chars().all(char::is_alphabetic)
        }
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
    if data || HARMLESS.contains(&(module, name)) {
        Verdict::Data
    } else if is_dangerous(module, name) {
        Verdict::Refused
    } else {
        Verdict::Foreign
    }
}

/// Whether `module.name` is one of Python's own dictionaries.
pub fn is_dictionary(module: &str, name: &str) -> bool {
    matches!(
        (module, name),
        ("collections", "OrderedDict" | "defaultdict" | "Counter") | ("builtins" | "__builtin__", "dict")
    )
}

/// Whether `module.name` may belong to a file that harms whoever loads it with Python, or is no name at all.
fn is_dangerous(module: &str, name: &str) -> bool {
    let identifier = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '<' | '>' | '-'))
    };
    let parts = || module.split('.').chain(name.split('.'));
    if !parts().all(identifier) || matches!(module, "builtins" | "__builtin__" | "torch._utils") {
        return true;
    }
    // A module's own imports are reachable through it, as in `tempfile._os.system`: of a dotted name every part but
    // the last has to be a class.
    let plain = |part: &str| part.trim_start_matches('_').to_string();
    let mut outer = name.split('.').rev().skip(1);
    let package = module.split('.').next().unwrap_or_default();
    let listed = DANGEROUS_PARTS.iter().find(|(of, _)| *of == package).map_or(&[][..], |(_, parts)| parts);
    outer.any(|part| !plain(part).starts_with(char::is_uppercase))
        || DANGEROUS.contains(&plain(package).as_str())
        || parts().skip(1).any(|part| listed.contains(&part) || part == "cloudpickle")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_code_is_told_from_data_and_from_ones_own_classes() {
        for (module, name) in [
            ("os", "system"),
            ("builtins", "eval"),
            ("tempfile", "_os.system"),
            ("dataclasses", "builtins.exec"),
            ("enum", "bltns.eval"),
            ("_io", "open"),
            ("collections", "_sys.modules"),
            ("torch.storage", "_load_from_bytes"),
            ("torch.utils.cpp_extension", "load_inline"),
            ("torch", "load"),
            ("_operator", "attrgetter"),
            ("numpy", "load"),
            ("pandas", "read_pickle"),
            ("logging", "FileHandler"),
            ("pathlib", "Path.write_text"),
            ("a b", "c"),
            ("torch", "FloatStorage\r"),
        ] {
            assert_eq!(judge(module, name), Verdict::Refused, "{module}.{name}");
        }
        for (module, name) in [
            ("pathlib", "PosixPath"),
            ("utils", "AverageMeter"),
            ("code.utils", "Meter"),
            ("net", "Outer.Inner"),
            ("torch.optim.sgd", "SGD"),
            ("torch.nn.modules.loss", "CrossEntropyLoss"),
            ("numpy.random._pickle", "__randomstate_ctor"),
            ("omegaconf.dictconfig", "DictConfig"),
            ("functools", "partial"),
            ("logging", "Logger"),
        ] {
            assert_eq!(judge(module, name), Verdict::Foreign, "{module}.{name}");
        }
        for (module, name) in [
            ("builtins", "getattr"),
            ("builtins", "KeyError"),
            ("torch", "ComplexFloatStorage"),
            ("torch.serialization", "_get_layout"),
            ("io", "BytesIO"),
            ("datetime", "timezone"),
        ] {
            assert_eq!(judge(module, name), Verdict::Data, "{module}.{name}");
        }
    }
}
