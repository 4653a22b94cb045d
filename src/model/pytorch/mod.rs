//! The reader of PyTorch checkpoints, which runs none of their code.
//!
//! Every pickle (`pickle`) and the container are validated first: forbidden globals, damaged archives and
//! missing storages are refused. Only then does the `pytorch-reader` crate extract the tensors.

mod container;
mod globals;
mod pickle;
mod state;
mod storages;
mod tar_archive;
mod values;
mod zip_archive;

pub use container::{Container, is_safetensors, sniff};
pub use values::check as check_numbers;

use super::source_file::SourceFile;
use crate::util::sha256;
use crate::{Error, Result};
use pytorch_reader::{PytorchError, PytorchReader};
use std::collections::BTreeMap;
use std::path::Path;
use storages::Defect;

/// Element type of a tensor in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceType {
    /// IEEE half precision.
    F16,
    /// bfloat16: the upper half of an `f32`.
    Bf16,
    /// Single precision.
    F32,
    /// Double precision, rounded to single on reading.
    F64,
}

/// One tensor of a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Dimensions, outermost first.
    pub dims: Vec<usize>,
    /// The elements, contiguous and row-major.
    pub data: Vec<f32>,
    /// Their element type in the file.
    pub stored: SourceType,
}

/// The model's tensors in a checkpoint.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The container format.
    pub container: Container,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
    /// Keys under which the state dict was found; empty when the file is a bare state dict.
    pub path: Vec<String>,
    /// The tensors by name, without DataParallel's `module.` and without `num_batches_tracked`.
    pub tensors: BTreeMap<String, Tensor>,
}

/// Maximum size of all tensors as a multiple of the file's size, plus 16 MiB: a view can repeat elements.
const MOST_EXPANSION: u64 = 4;

impl Checkpoint {
    /// Reads the checkpoint at `path`.
    ///
    /// # Errors
    /// When the file is not a PyTorch checkpoint (the message says what it is instead), is damaged,
    /// mentions a forbidden Python global or has no or several state dicts; or when a tensor has
    /// elements that are not finite floats, or negative running variances.
    pub fn read(path: &Path) -> Result<Self> {
        Checkpoint::from_source(&SourceFile::open(path)?)
    }

    /// As [`Checkpoint::read`], of an open file.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn from_source(source: &SourceFile) -> Result<Self> {
        let path = source.path();
        let bytes = source.bytes()?;
        let at = |defect: Defect| Error::refused(path, defect.place, defect.cause);
        let container = sniff(&bytes).map_err(|cause| Error::refused(path, "content", cause))?;
        match container {
            Container::Zip => zip_archive::check(&bytes),
            Container::Legacy => storages::check_legacy(&bytes),
            Container::Tar => tar_archive::check(&bytes),
        }
        .map_err(at)?;
        let (sha256, size) = (sha256::sha256(&bytes), bytes.len() as u64);
        drop(bytes); // the reader reads the file itself; keeping both would double the memory
        let open = source.open_path();

        let unreadable = |e: PytorchError| Error::refused_by(path, "checkpoint", e);
        let root = PytorchReader::read_pickle_data(&open, None).map_err(unreadable)?;
        let state = state::find(&root).map_err(at)?;
        drop(root);
        let mut all = PytorchReader::new(&open).map_err(unreadable)?.into_tensors();
        let mut budget = size.saturating_mul(MOST_EXPANSION).saturating_add(16 << 20);
        let mut tensors = BTreeMap::new();
        for (name, full) in state.tensors {
            let tensor = all.remove(&full).ok_or_else(|| {
                Error::refused(path, format!("tensor '{name}'"), "listed, but not found again")
            })?;
            let place = format!("tensor '{name}'");
            let left = budget.checked_sub(tensor.byte_len() as u64);
            budget = left.ok_or_else(|| {
                let cause =
                    format!("the tensors take up over {MOST_EXPANSION} times the file's {size} bytes");
                Error::refused(path, &place, cause)
            })?;
            let tensor = values::read(&name, &tensor).map_err(|cause| Error::refused(path, &place, cause))?;
            tensors.insert(name, tensor);
        }
        source.confirm()?;
        Ok(Checkpoint { container, sha256, path: state.path, tensors })
    }

    /// Dimensions of every tensor by name.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.dims.clone())).collect()
    }
}
