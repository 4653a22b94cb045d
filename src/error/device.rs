//! Errors of devices: the CPU and NVIDIA GPUs.

use super::{ErrorSource, printable};

/// A device that is missing, unsuitable, or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A device, or something that it needs, is not available.
    #[error("{}: {}", printable(.what), printable(.reason))]
    Unavailable {
        /// The device or setting, such as `cuda`.
        what: String,
        /// What is missing.
        reason: String,
    },
    /// A library cannot be loaded or used.
    #[error("{}: {}", printable(.file), printable(&.source.to_string()))]
    Library {
        /// The library's file.
        file: String,
        /// The loader's error.
        source: ErrorSource,
    },
    /// Memory does not suffice for a batch.
    #[error(
        "{device}: not enough memory for {images} image(s) ({} MiB){}",
        .bytes >> 20,
        .reason.as_ref().map_or(String::new(), |reason| format!(": {}", printable(reason)))
    )]
    OutOfMemory {
        /// The device: `cpu` or `cuda`.
        device: &'static str,
        /// Images of the batch.
        images: usize,
        /// Bytes that the batch takes.
        bytes: usize,
        /// The driver's description.
        reason: Option<String>,
    },
    /// The system refused memory of the host that does not belong to a batch: weights, tables.
    #[error("cpu: not enough memory for {what} ({} MiB)", .bytes >> 20)]
    HostMemory {
        /// What it is for.
        what: &'static str,
        /// Its bytes.
        bytes: usize,
    },
    /// A plan exceeds a limit of the device's kernels.
    #[error("{device}: {reason}")]
    Unsupported {
        /// The device.
        device: &'static str,
        /// The limit, and what exceeds it.
        reason: String,
    },
    /// A kernel does not compile.
    #[error(
        "cuda: a kernel does not compile: {} (options {})",
        printable(.message),
        printable(&.options.join(" "))
    )]
    Compilation {
        /// The compiler's first error message.
        message: String,
        /// The compiler's options.
        options: Vec<String>,
    },
    /// A file of machine code cannot be used.
    #[error("cuda: kernels from '{}': {}", printable(.file), printable(.cause))]
    KernelFile {
        /// The file.
        file: String,
        /// Why it cannot be used.
        cause: String,
        /// The underlying error: of reading the file, or of the driver.
        source: Option<ErrorSource>,
    },
    /// The driver refused the built-in machine code.
    #[error("the built-in kernels were refused: {source}")]
    BuiltInKernels {
        /// The driver's error.
        source: ErrorSource,
    },
    /// Neither could kernels be compiled nor did the driver accept the built-in machine code.
    #[error("{compiled}; {built_in}")]
    NoKernels {
        /// Why kernels were not compiled.
        #[source]
        compiled: ErrorSource,
        /// Why the built-in machine code was refused.
        built_in: ErrorSource,
    },
    /// A call of the driver or of the kernel compiler failed.
    #[error("cuda: {}: {}", printable(.call), printable(.reason))]
    Call {
        /// What was called or attempted.
        call: String,
        /// The code that it returned.
        code: i32,
        /// The driver's description of the code.
        reason: String,
    },
    /// The operating system refused a thread.
    #[error("cpu: cannot spawn {threads} thread{}: {source}", if *.threads == 1 { "" } else { "s" })]
    Threads {
        /// Count of threads requested.
        threads: usize,
        /// The operating system's error.
        source: ErrorSource,
    },
    /// Another failure, in words.
    #[error("{}", printable(.0))]
    Other(String),
}
