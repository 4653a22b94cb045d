//! The kernels on a GPU: which machine code is taken, and loading it.

use std::path::Path;
use std::sync::Arc;

use cudarc::driver::sys::CUdevice_attribute;
use cudarc::driver::{CudaContext, CudaFunction};
use cudarc::nvrtc::Ptx;

use super::error::driver;
use super::variant::Kernels;
use super::{built_in, compile};
use crate::{Error, Result};

/// The kernel on its device, and where its machine code came from.
///
/// # Errors
/// [`Error::Device`] when there is no machine code for this chip and none can be made.
pub(super) fn load(context: &Arc<CudaContext>, kernels: &Kernels) -> Result<(CudaFunction, String)> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    match kernels {
        Kernels::Auto => match (variable("MSDCAM_CUBIN"), variable("MSDCAM_NVRTC")) {
            (Some(file), _) => of_file(context, Path::new(&file)),
            (None, Some(_)) => compiled(context, &[]),
            // A driver older than the machine code's compiler refuses it; NVRTC may still serve it.
            (None, None) => built_in(context).or_else(|refused| {
                compiled(context, &[]).map_err(|e| match refused {
                    Some(refused) => Error::device(format!("{e}; {refused}")),
                    None => e,
                })
            }),
        },
        Kernels::BuiltIn => built_in(context).map_err(|refused| {
            refused.unwrap_or_else(|| {
                let chip = capability(context).unwrap_or_default();
                Error::device(format!("cuda: no built-in kernels for compute capability {chip}"))
            })
        }),
        Kernels::Compiled(options) => compiled(context, options),
        Kernels::File(file) => of_file(context, file),
    }
}

/// The built-in machine code, loaded.
///
/// # Errors
/// `None` where there is none for this chip, else why the driver refused it.
fn built_in(context: &Arc<CudaContext>) -> Result<(CudaFunction, String), Option<Error>> {
    let image = built_in::image(capability(context)?).ok_or(None)?;
    let refused = |e| Some(Error::device(format!("the built-in kernels were refused: {e}")));
    Ok((function(context, image.to_vec()).map_err(refused)?, "built in".into()))
}

/// NVRTC's machine code, loaded. An image from the cache that the driver refuses is made anew.
fn compiled(context: &Arc<CudaContext>, options: &[String]) -> Result<(CudaFunction, String)> {
    let capability = capability(context)?;
    let (image, from_cache) = compile::image(capability, options, true)?;
    match function(context, image) {
        Ok(function) if from_cache => Ok((function, "NVRTC, from the cache".into())),
        Err(_) if from_cache => {
            Ok((function(context, compile::image(capability, options, false)?.0)?, "NVRTC".into()))
        }
        result => Ok((result?, "NVRTC".into())),
    }
}

fn of_file(context: &Arc<CudaContext>, file: &Path) -> Result<(CudaFunction, String)> {
    let failed = |e: String| Error::device(format!("cuda: kernels from '{}': {e}", file.display()));
    let image = std::fs::read(file).map_err(|e| failed(e.to_string()))?;
    if !is_whole_elf(&image) {
        return Err(failed(format!("{} bytes, not a whole ELF file of machine code", image.len())));
    }
    let function = function(context, image).map_err(|e| failed(e.to_string()))?;
    Ok((function, file.display().to_string()))
}

/// Whether `image` begins as a 64-bit ELF file does and holds the two tables that its header names,
/// one of which comes last: the driver is told where an image begins, not where it ends.
fn is_whole_elf(image: &[u8]) -> bool {
    let number = |at: usize, len: usize| {
        let bytes = image.get(at..at + len)?;
        Some(bytes.iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte)))
    };
    // Where a table begins, and where the header has the length and the number of its entries.
    let holds = |start: usize, entry: usize| {
        let end = || number(start, 8)?.checked_add(number(entry, 2)? * number(entry + 2, 2)?);
        end().is_some_and(|end| end <= image.len() as u64)
    };
    image.starts_with(b"\x7fELF\x02") && holds(0x20, 0x36) && holds(0x28, 0x3a)
}

fn function(context: &Arc<CudaContext>, image: Vec<u8>) -> Result<CudaFunction> {
    let module = context.load_module(Ptx::from_binary(image)).map_err(driver("loading the kernels"))?;
    module.load_function("level").map_err(driver("kernel 'level'"))
}

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
    fn half_an_elf_file_is_none() {
        let whole = include_bytes!("../../../kernels/sm_90.cubin");
        assert!(is_whole_elf(whole));
        for len in [0, 4, 5, 0x3d, 64, whole.len() - 1] {
            assert!(!is_whole_elf(&whole[..len]), "{len} bytes");
        }
        assert!(!is_whole_elf(b"// PTX"));
    }
}
