//! NVRTC, NVIDIA's run-time compiler: search, loading and calls.
//!
//! It is not loaded through cudarc, which searches only the loader's path for the version that it was
//! built for. Any version is accepted here, also in a CUDA toolkit or in the folder of the Python package
//! `nvidia-cuda-nvrtc`.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

use libloading::Library;

use super::error::unavailable;
use crate::Result;
use crate::error::{DeviceError, ErrorSource};

type Program = *mut c_void;

/// A loaded NVRTC.
pub struct Nvrtc {
    library: Library,
    /// Its built-in headers, which it loads by file name alone.
    _builtins: Vec<Library>,
    /// Path from which it was loaded.
    pub path: PathBuf,
    /// Version (major, minor).
    pub version: (i32, i32),
}

/// Result of a compilation.
pub struct Compiled {
    /// Machine code, or PTX text for a virtual architecture.
    pub image: Vec<u8>,
    /// The compiler's messages.
    pub log: String,
}

/// File names of NVRTC, newest first.
const NAMES: [&str; 4] = ["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"];

impl Nvrtc {
    /// Loads NVRTC from `place`, the library or its folder; without a place, from the loader's path, a CUDA
    /// toolkit, or the `nvidia-cuda-nvrtc` of a Python environment.
    ///
    /// # Errors
    /// [`crate::Error::Device`] that names the places searched.
    pub fn find(place: Option<&Path>) -> Result<Nvrtc> {
        if let Some(place) = place {
            let place = std::path::absolute(place).unwrap_or_else(|_| place.to_path_buf());
            let candidates = if place.is_dir() { in_folder(&place) } else { vec![place.clone()] };
            let found = candidates.iter().find_map(|path| Nvrtc::load(path).ok());
            return found.ok_or_else(|| {
                let place = place.display();
                unavailable(format!("no NVRTC can be loaded from '{place}' (MSDCAM_NVRTC)"))
            });
        }
        let by_name = NAMES.iter().map(PathBuf::from);
        let by_folder = folders().into_iter().flat_map(|folder| in_folder(&folder));
        by_name.chain(by_folder).find_map(|path| Nvrtc::load(&path).ok()).ok_or_else(|| {
            unavailable(
                "no NVRTC: looked for libnvrtc.so (also .13, .12) on the loader's path, in CUDA_HOME, \
                 /usr/local/cuda and the nvidia-cuda-nvrtc of Python (the one on the PATH, active \
                 environments, the system's); MSDCAM_NVRTC can name its folder",
            )
        })
    }

    /// Loads NVRTC from a file with this absolute path, or with this file name on the loader's path.
    ///
    /// # Errors
    /// [`crate::Error::Device`] when it cannot be loaded, or is not NVRTC.
    pub fn load(path: &Path) -> Result<Nvrtc> {
        let failed = |e: libloading::Error| DeviceError::Library {
            file: path.display().to_string(),
            source: ErrorSource::new(e),
        };
        // SAFETY: NVRTC's initializers have no preconditions.
        let library = unsafe { Library::new(path) }.map_err(failed)?;
        let beside = path.parent().filter(|folder| folder.is_absolute());
        let builtins = beside.into_iter().flat_map(children);
        let builtins = builtins.filter(|path| name_starts(path, "libnvrtc-builtins.so"));
        // SAFETY: this library contains data only; its initializers have no preconditions.
        let builtins = builtins.filter_map(|path| unsafe { Library::new(path) }.ok()).collect();
        let mut nvrtc = Nvrtc { library, _builtins: builtins, path: path.to_path_buf(), version: (0, 0) };
        let (mut major, mut minor) = (0, 0);
        let version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int =
            nvrtc.function("nvrtcVersion")?;
        // SAFETY: both pointers are to integers of this function.
        nvrtc.check("nvrtcVersion", unsafe { version(&mut major, &mut minor) })?;
        nvrtc.version = (major, minor);
        Ok(nvrtc)
    }

    /// The function `name` of type `F`.
    fn function<F: Copy>(&self, name: &str) -> Result<F> {
        // SAFETY: every call below gives the type of NVRTC's header, unchanged since CUDA 11.1; calling the
        // function is unsafe and justified there.
        let symbol = unsafe { self.library.get::<F>(name.as_bytes()) };
        symbol
            .map(|symbol| *symbol)
            .map_err(|_| unavailable(format!("{} has no {name}", self.path.display())))
    }

    fn check(&self, what: &str, code: c_int) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        let text: unsafe extern "C" fn(c_int) -> *const c_char = self.function("nvrtcGetErrorString")?;
        // SAFETY: the function returns a static string for every code.
        let reason = unsafe { CStr::from_ptr(text(code)) }.to_string_lossy().into_owned();
        Err(DeviceError::Call { call: what.into(), code, reason }.into())
    }

    /// The compute capabilities that it generates machine code for, 90 for 9.0, ascending; empty where it
    /// cannot list them.
    pub fn architectures(&self) -> Vec<u32> {
        let supported = || -> Result<Vec<c_int>> {
            let count: unsafe extern "C" fn(*mut c_int) -> c_int =
                self.function("nvrtcGetNumSupportedArchs")?;
            let list: unsafe extern "C" fn(*mut c_int) -> c_int = self.function("nvrtcGetSupportedArchs")?;
            let mut n = 0;
            // SAFETY: the pointer is to an integer of this function.
            self.check("nvrtcGetNumSupportedArchs", unsafe { count(&mut n) })?;
            let mut capabilities = vec![0; usize::try_from(n).unwrap_or(0)];
            // SAFETY: the vector has room for the count that NVRTC has just reported.
            self.check("nvrtcGetSupportedArchs", unsafe { list(capabilities.as_mut_ptr()) })?;
            Ok(capabilities)
        };
        let mut capabilities: Vec<u32> =
            supported().unwrap_or_default().into_iter().filter_map(|n| n.try_into().ok()).collect();
        capabilities.sort_unstable();
        capabilities
    }

    /// Compiles `source`.
    ///
    /// # Errors
    /// [`crate::Error::Device`] with the compiler's first error message, which names file and line, and the options.
    pub fn compile(&self, source: &str, options: &[String]) -> Result<Compiled> {
        let create: unsafe extern "C" fn(
            *mut Program,
            *const c_char,
            *const c_char,
            c_int,
            *const *const c_char,
            *const *const c_char,
        ) -> c_int = self.function("nvrtcCreateProgram")?;
        let destroy: unsafe extern "C" fn(*mut Program) -> c_int = self.function("nvrtcDestroyProgram")?;
        let compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int =
            self.function("nvrtcCompileProgram")?;
        let failed = |message: String| DeviceError::Compilation { message, options: options.to_vec() };
        let text = |text: &str| {
            CString::new(text).map_err(|_| failed("a NUL in a kernel or in NVRTC's options".into()))
        };
        let (source, name) = (text(source)?, text("level.cu")?);
        let list = options.iter().map(|o| text(o)).collect::<Result<Vec<CString>, _>>()?;
        let pointers: Vec<*const c_char> = list.iter().map(|o| o.as_ptr()).collect();

        let mut program: Program = std::ptr::null_mut();
        let none = std::ptr::null();
        // SAFETY: the strings are NUL-terminated and outlive the program; there are zero headers.
        let code = unsafe { create(&mut program, source.as_ptr(), name.as_ptr(), 0, none, none) };
        self.check("nvrtcCreateProgram", code)?;
        // SAFETY: the program has just been created, and `pointers` has that many NUL-terminated strings.
        let code = unsafe { compile(program, pointers.len() as c_int, pointers.as_ptr()) };
        let log = self.text(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog");
        let result = self.check("nvrtcCompileProgram", code).map_err(|e| {
            let log = log.as_deref().map(|log| String::from_utf8_lossy(log).into_owned()).unwrap_or_default();
            let line = log.lines().find(|line| line.contains("error")).map_or(e.to_string(), str::to_string);
            failed(line).into()
        });
        let real = options.iter().any(|o| o.contains("=sm_"));
        let image = result.and_then(|()| match real {
            true => self.text(program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN"),
            false => self.text(program, "nvrtcGetPTXSize", "nvrtcGetPTX"),
        });
        // SAFETY: the program was created above and is not used after this.
        let _ = unsafe { destroy(&mut program) };
        let log = String::from_utf8_lossy(&log.unwrap_or_default()).trim_end_matches('\0').to_string();
        Ok(Compiled { image: image?, log })
    }

    /// The bytes of a pair of NVRTC functions that return a size and fill a buffer of that size.
    fn text(&self, program: Program, size_name: &str, get_name: &str) -> Result<Vec<u8>> {
        let size: unsafe extern "C" fn(Program, *mut usize) -> c_int = self.function(size_name)?;
        let get: unsafe extern "C" fn(Program, *mut c_char) -> c_int = self.function(get_name)?;
        let mut len = 0;
        // SAFETY: the program is valid, and the pointer is to an integer of this function.
        self.check(size_name, unsafe { size(program, &mut len) })?;
        let mut bytes = vec![0_u8; len];
        // SAFETY: the program is valid, and the buffer has the size that NVRTC has just reported.
        self.check(get_name, unsafe { get(program, bytes.as_mut_ptr().cast()) })?;
        Ok(bytes)
    }
}

/// The files in `folder` with a name of NVRTC.
pub fn in_folder(folder: &Path) -> Vec<PathBuf> {
    NAMES.iter().map(|name| folder.join(name)).filter(|path| path.exists()).collect()
}

/// Folders in which toolkits and Python packages install NVRTC.
fn folders() -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut folders = Vec::new();
    for toolkit in [variable("CUDA_HOME"), variable("CUDA_PATH"), Some("/usr/local/cuda".into())] {
        folders.extend(toolkit.map(|path| path.join("lib64")));
    }
    let conda = variable("CONDA_PREFIX");
    folders.extend(conda.clone().map(|path| path.join("lib")));
    let home = variable("HOME").map(|home| home.join(".local"));
    let system = ["/usr/local", "/usr"].map(|path| Some(PathBuf::from(path)));
    let active = [variable("VIRTUAL_ENV"), conda].into_iter().chain(python_on_path().map(Some));
    for prefix in active.chain([home]).chain(system).flatten() {
        for python in children(&prefix.join("lib")).filter(|path| name_starts(path, "python3")) {
            for packages in ["site-packages", "dist-packages"] {
                let nvidia = python.join(packages).join("nvidia");
                folders.extend(children(&nvidia).map(|package| package.join("lib")));
            }
        }
    }
    folders
}

/// Prefixes of the Python installations whose `python3` is on the PATH: an environment can be active by the
/// PATH alone, without `VIRTUAL_ENV`.
fn python_on_path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.into_iter().filter(|folder| folder.join("python3").exists()).filter_map(|folder| {
        let name = folder.file_name()?;
        (name == "bin").then(|| folder.parent().map(Path::to_path_buf)).flatten()
    })
}

fn name_starts(path: &Path, start: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
}

/// The entries of a folder, sorted by name; none where it cannot be read.
fn children(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter()
}
