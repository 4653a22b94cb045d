//! Survey of what the CUDA device finds on a machine: driver, GPUs, machine code, cache. It opens no GPU and makes no
//! folder. For `msdcam doctor`.

use std::path::PathBuf;

use cudarc::driver::result::device;
use cudarc::driver::sys::{CUdevice, CUdevice_attribute, CUresult};
use cudarc::driver::{CudaContext, DriverError};

use super::error::{describe, driver};
use super::{built_in, cache, library};
use crate::Result;
use crate::util::private;

/// Compute capability of the built-in machine code: 90 for 9.0.
pub const BUILT_IN: u32 = built_in::CAPABILITY;

/// The driver.
#[derive(Debug)]
pub enum Driver {
    /// There is none.
    Missing,
    /// It lacks functions, or cannot be initialized; with the reason.
    Unusable(String),
    /// It works and shows no GPU; with its own words.
    WithoutGpu(String),
    /// It works, with these GPUs.
    Works(Vec<Gpu>),
}

/// A GPU as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Its index.
    pub ordinal: usize,
    /// Its name.
    pub name: String,
    /// Compute capability: 90 for 9.0.
    pub capability: u32,
    /// Its memory in bytes.
    pub memory: usize,
    /// Whether the built-in machine code is for it.
    pub has_built_in: bool,
}

/// The folder of compiled kernels.
#[derive(Debug)]
pub struct CacheFolder {
    /// Its path.
    pub path: PathBuf,
    /// Why it is not used; `None` also where it is not there yet.
    pub problem: Option<String>,
    /// Whether it is there.
    pub exists: bool,
    /// Its files and their bytes.
    pub files: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// The driver and its GPUs.
pub fn gpus() -> Driver {
    if !library::is_there() {
        return Driver::Missing;
    }
    if let Err(e) = library::check() {
        return Driver::Unusable(e.to_string());
    }
    let none = [CUresult::CUDA_ERROR_NO_DEVICE, CUresult::CUDA_ERROR_STUB_LIBRARY];
    let count = match CudaContext::device_count() {
        Ok(count) => count,
        Err(error) if none.contains(&error.0) => return Driver::WithoutGpu(describe(error)),
        Err(error) => return Driver::Unusable(format!("cannot start: {}", describe(error))),
    };
    match (0..count).map(gpu).collect::<Result<Vec<Gpu>, DriverError>>() {
        Ok(gpus) if gpus.is_empty() => Driver::WithoutGpu("it counts 0 GPUs".into()),
        Ok(gpus) => Driver::Works(gpus),
        Err(error) => Driver::Unusable(driver("GPUs")(error).to_string()),
    }
}

/// What the driver tells about GPU `ordinal`, of those that it counts.
fn gpu(ordinal: i32) -> Result<Gpu, DriverError> {
    let gpu = device::get(ordinal)?;
    let attribute = |attribute| -> Result<u32, DriverError> {
        // SAFETY: the driver has just given this device.
        Ok(unsafe { device::get_attribute(gpu, attribute) }?.unsigned_abs())
    };
    let major = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let capability = 10 * major + minor;
    Ok(Gpu {
        ordinal: usize::try_from(ordinal).unwrap_or_default(),
        name: device::get_name(gpu)?,
        capability,
        memory: memory(gpu)?,
        has_built_in: built_in::image(capability).is_some(),
    })
}

fn memory(gpu: CUdevice) -> Result<usize, DriverError> {
    // SAFETY: the driver has given this device.
    unsafe { device::total_mem(gpu) }
}

/// The newest version (major, minor) of CUDA that the driver supports; `None` without a driver, or where it does not tell.
pub fn driver_version() -> Option<(i32, i32)> {
    library::version()
}

/// The folder of compiled kernels as it is; `None` where no variable of the environment says where it would be.
pub fn cache_folder() -> Option<CacheFolder> {
    let path = cache::folder()?;
    let exists = path.symlink_metadata().is_ok();
    let problem = if exists { private::check_folder(&path).err().map(|e| e.to_string()) } else { None };
    let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
    let sizes: Vec<u64> =
        entries.filter_map(|entry| entry.metadata().ok()).map(|about| about.len()).collect();
    Some(CacheFolder { path, problem, exists, files: sizes.len(), bytes: sizes.iter().sum() })
}
