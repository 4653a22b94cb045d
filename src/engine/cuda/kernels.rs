//! Loading of the kernels: the choice of machine code, and the kernels' functions on a GPU.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use cudarc::driver::sys::{CUdevice_attribute, CUfunction_attribute};
use cudarc::driver::{CudaContext, CudaFunction};
use cudarc::nvrtc::Ptx;

use super::cut::Limits;
use super::error::{driver, unavailable};
use super::variant::{Kernels, Variant};
use super::{built_in, compile};
use crate::error::{DeviceError, ErrorSource};
use crate::util::input_file;
use crate::{Error, Result};

/// Limit of a file of machine code, in bytes: a hundred times the built-in one.
const LARGEST_IMAGE: u64 = 256 << 20;

/// The kernels' functions on a GPU.
#[derive(Clone)]
pub(super) struct Functions {
    /// One level of a plan.
    pub(super) level: CudaFunction,
    /// A copy between host and device.
    pub(super) transfer: CudaFunction,
}

/// The kernels on the GPU of `context`, and the origin of their machine code.
///
/// # Errors
/// [`Error::Device`] when there is no machine code for this GPU and it cannot be compiled.
pub(super) fn load(context: &Arc<CudaContext>, variant: &Variant) -> Result<(Functions, String)> {
    let nvrtc = variant.nvrtc.as_deref();
    match &variant.kernels {
        Kernels::Auto if nvrtc.is_some() => compiled(context, nvrtc, &[]),
        // A driver older than the machine code's compiler refuses it; NVRTC may be of the driver's version.
        Kernels::Auto => built_in(context).or_else(|refused| {
            compiled(context, nvrtc, &[]).map_err(|e| match refused {
                Some(refused) => {
                    let [compiled, built_in] = [e, refused].map(ErrorSource::new);
                    DeviceError::NoKernels { compiled, built_in }.into()
                }
                None => e,
            })
        }),
        Kernels::BuiltIn => built_in(context).map_err(|refused| {
            refused.unwrap_or_else(|| {
                let capability = capability(context).unwrap_or_default();
                unavailable(format!("no built-in kernels for compute capability {capability}"))
            })
        }),
        Kernels::Compiled(options) => compiled(context, nvrtc, options),
        Kernels::File(file) => of_file(context, file),
    }
}

/// The kernels from the built-in machine code.
///
/// # Errors
/// `None` when there is none for this GPU, otherwise the driver's reason to refuse it.
fn built_in(context: &Arc<CudaContext>) -> Result<(Functions, String), Option<Error>> {
    let image = built_in::image(capability(context)?).ok_or(None)?;
    let refused = |e: Error| Some(DeviceError::BuiltInKernels { source: ErrorSource::new(e) }.into());
    Ok((functions(context, image.to_vec()).map_err(refused)?, "built in".into()))
}

/// The kernels compiled by NVRTC. An image from the cache that the driver refuses is compiled again.
fn compiled(
    context: &Arc<CudaContext>,
    nvrtc: Option<&Path>,
    options: &[String],
) -> Result<(Functions, String)> {
    let capability = capability(context)?;
    let image = compile::image(nvrtc, capability, options, true)?;
    match (image.origin(), functions(context, image.bytes)) {
        (origin, Ok(functions)) => Ok((functions, origin)),
        (_, Err(_)) if image.from_cache => {
            let image = compile::image(nvrtc, capability, options, false)?;
            let origin = image.origin();
            Ok((functions(context, image.bytes)?, origin))
        }
        (_, Err(e)) => Err(e),
    }
}

/// The kernels from a file of machine code.
fn of_file(context: &Arc<CudaContext>, file: &Path) -> Result<(Functions, String)> {
    let failed = |cause: String, source: Option<ErrorSource>| {
        Error::from(DeviceError::KernelFile { file: file.display().to_string(), cause, source })
    };
    let mut image = Vec::new();
    // A longer file is not whole either.
    let read = input_file::open(file).and_then(|file| file.take(LARGEST_IMAGE).read_to_end(&mut image));
    read.map_err(|e| failed(e.to_string(), Some(ErrorSource::new(e))))?;
    if !is_whole_elf(&image) {
        return Err(failed(format!("{} bytes, not a whole ELF file of machine code", image.len()), None));
    }
    let functions =
        functions(context, image).map_err(|e| failed(e.to_string(), Some(ErrorSource::new(e))))?;
    Ok((functions, file.display().to_string()))
}

/// Whether `image` is a 64-bit ELF file that contains the two tables of its header, one of which is at the
/// end: the driver gets the start of an image, not its length, and would read past a truncated one.
fn is_whole_elf(image: &[u8]) -> bool {
    let integer = |at: usize, len: usize| {
        let bytes = image.get(at..at + len)?;
        Some(bytes.iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte)))
    };
    // Arguments: positions in the header of the table's start, and of the size and number of its entries.
    let contains = |start: usize, entry: usize| {
        let end = || integer(start, 8)?.checked_add(integer(entry, 2)? * integer(entry + 2, 2)?);
        end().is_some_and(|end| end <= image.len() as u64)
    };
    image.starts_with(b"\x7fELF\x02") && contains(0x20, 0x36) && contains(0x28, 0x3a)
}

/// The kernels of a module's image.
fn functions(context: &Arc<CudaContext>, image: Vec<u8>) -> Result<Functions> {
    let module = context.load_module(Ptx::from_binary(image)).map_err(driver("loading the kernels"))?;
    Ok(Functions {
        level: module.load_function("level").map_err(driver("kernel 'level'"))?,
        transfer: module.load_function("transfer").map_err(driver("kernel 'transfer'"))?,
    })
}

/// What the GPU of `context` has for the blocks of `level`, which may then use all of it.
///
/// # Errors
/// [`Error::Device`] when the driver does not tell.
pub(super) fn limits(context: &Arc<CudaContext>, level: &CudaFunction) -> Result<Limits> {
    let attribute = |attribute, what: &'static str| context.attribute(attribute).map_err(driver(what));
    let multiprocessors =
        attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, "multiprocessors")?;
    let most = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
    let shared = attribute(most, "shared memory")? - STATIC_SHARED;
    let set = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    level.set_attribute(set, shared).map_err(driver("shared memory"))?;
    Ok(Limits {
        multiprocessors: usize::try_from(multiprocessors).unwrap_or(1),
        shared: usize::try_from(shared).unwrap_or(0),
    })
}

/// Bytes of shared memory for the kernel's variables of fixed size.
const STATIC_SHARED: i32 = 1024;

/// Compute capability: 90 for 9.0.
fn capability(context: &CudaContext) -> Result<u32> {
    let attribute = |attribute| context.attribute(attribute).map_err(driver("compute capability"));
    let major = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    Ok((10 * major + minor).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_elf_file_is_rejected() {
        let whole = include_bytes!("../../../kernels/sm_90.cubin");
        assert!(is_whole_elf(whole));
        for len in [0, 4, 5, 0x3d, 64, whole.len() - 1] {
            assert!(!is_whole_elf(&whole[..len]), "{len} bytes");
        }
        assert!(!is_whole_elf(b"// PTX"));
    }
}
