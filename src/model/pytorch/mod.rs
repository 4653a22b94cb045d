//! The reader of PyTorch checkpoints, which runs none of their code.
//!
//! A container is checked whole; the pickle in it becomes plain values (`pickle`), in which classes and
//! functions are names; the state dict is found among them (`state`); its tensors are read when they are
//! asked for.

mod container;
mod globals;
mod legacy_stream;
mod pickle;
mod state;
mod storages;
mod tar_archive;
mod unpacked_folder;
mod zip_archive;

pub use container::{Container, sniff};
pub use storages::check_numbers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use self::container::Content;
use self::pickle::{StorageId, TensorView};
use self::state::State;
use self::storages::{Defect, Location, Storages};
use super::safetensors_header;
use super::source_file::SourceFile;
use crate::util::listed::listed;
use crate::util::{allocation, sha256};
use crate::{Error, Result};

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

/// A checkpoint with one state dict of it.
#[derive(Debug)]
pub struct Checkpoint {
    /// The container format.
    pub container: Container,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
    /// Name of the checkpoint in the archive that the file is, if it is one.
    pub packed: Option<String>,
    /// Keys under which the state dict was found; empty when the file is a bare state dict.
    pub path: Vec<String>,
    /// Paths of the other state dicts in the file, joined by dots.
    pub others: Vec<String>,
    /// The class of the model, if the file holds a whole model; its tensors are named by its modules.
    pub whole_model: Option<String>,
    /// Classes and functions whose objects were stepped over, `module.name`.
    pub foreign: Vec<String>,
    /// Where it was read from.
    file: PathBuf,
    /// The bytes of the checkpoint, whose storages are in it.
    bytes: Vec<u8>,
    storages: Storages,
    tensors: BTreeMap<String, TensorView>,
}

/// Maximum size of all tensors as a multiple of the file's size, plus [`SLACK`]: a view can repeat elements.
const MOST_EXPANSION: u64 = 4;
/// Bytes that small tensors may take in any case.
const SLACK: u64 = 16 << 20;

impl Checkpoint {
    /// Reads the checkpoint at `path`, with the state dict at `key`: its path with dots, or the last part of
    /// that; without one the only state dict, or the only one under a usual key.
    ///
    /// # Errors
    /// When the file is not a PyTorch checkpoint (the message says what it is instead), is damaged,
    /// mentions a forbidden Python global, or has no state dict or several to choose from.
    pub fn read(path: &Path, key: Option<&str>) -> Result<Self> {
        Checkpoint::from_source(&open(path)?, key)
    }

    /// As [`Checkpoint::read`], of an open file.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn from_source(source: &SourceFile, key: Option<&str>) -> Result<Self> {
        let file = source.path();
        let bytes = source.bytes()?;
        source.confirm()?;
        let sha256 = sha256::sha256(&bytes);
        let at = |packed: &Option<String>, defect: Defect| match packed {
            Some(name) => Error::refused(file, format!("{name}, {}", defect.place), defect.cause),
            None => Error::refused(file, defect.place, defect.cause),
        };
        let most = zip_archive::most_unpacked(bytes.len());
        let (mut bytes, mut packed) = (bytes, None);
        let (container, content) = loop {
            let container = sniff(&bytes).map_err(|cause| at(&packed, Defect::new("content", cause)))?;
            let content = match container {
                Container::Zip => zip_archive::read(&bytes, most),
                Container::Legacy => legacy_stream::read(&bytes),
                Container::Tar => tar_archive::read(&bytes),
                Container::Safetensors => safetensors(&bytes),
            };
            match content.map_err(|defect| at(&packed, defect))? {
                Content::Packed(name, _) if packed.is_some() => {
                    let cause = format!("holds '{name}', an archive in an archive; unpack it first");
                    return Err(at(&packed, Defect::new("archive", cause)));
                }
                Content::Packed(name, inner) => (packed, bytes) = (Some(name), inner),
                content => break (container, content),
            }
        };
        let (found, storages, foreign) = match content {
            Content::Tensors(storages, tensors) => {
                let state = State { path: Vec::new(), tensors, whole_model: None, others: Vec::new() };
                (state.under(key), storages, Vec::new())
            }
            Content::Checkpoint(pickle, storages) => {
                let foreign = pickle.foreign.iter().map(|global| global.to_string()).collect();
                (state::find(&pickle, key), storages, foreign)
            }
            Content::Packed(..) => unreachable!("read above"),
        };
        let State { path, tensors, whole_model, others } = found.map_err(|defect| at(&packed, defect))?;
        let file = file.to_path_buf();
        Ok(Checkpoint {
            container,
            sha256,
            packed,
            path,
            others,
            whole_model,
            foreign,
            file,
            bytes,
            storages,
            tensors,
        })
    }

    /// One phrase for each part of the file that was passed over, and for what is unusual about it.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        notes.extend(self.packed.iter().map(|name| format!("read '{name}' in the archive")));
        notes.extend(self.whole_model.iter().map(|class| {
            format!("a whole model of class '{class}': its tensors were read, its code was not")
        }));
        if !self.others.is_empty() {
            let taken = self.path.join(".");
            let others = listed(&self.others);
            notes.push(format!("took the state dict '{taken}', not {others} (--state-dict)"));
        }
        // Publications of Boosted Dynamic Networks save their models so.
        if self.path == ["state_dict", "model"] {
            notes.push(
                "state dicts under 'state_dict.model' are those of Boosted Dynamic Networks, whose exits add up; if it is \
                 one, convert with --boosted 0.5"
                    .into(),
            );
        }
        if !self.foreign.is_empty() && self.whole_model.is_none() {
            notes.push(format!("stepped over objects of {}: nothing of them was run", listed(&self.foreign)));
        }
        notes
    }

    /// Dimensions of every tensor by its name in the state dict.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.tensors.iter().map(|(name, view)| (name.clone(), view.dims.clone())).collect()
    }

    /// The tensors with these names.
    ///
    /// # Errors
    /// When there is none of a name, one has elements that are not finite floats, or negative running
    /// variances, or all together are out of proportion to the file.
    pub fn tensors<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<BTreeMap<String, Tensor>> {
        let size = self.bytes.len() as u64;
        let mut budget = size.saturating_mul(MOST_EXPANSION).saturating_add(SLACK);
        let mut tensors = BTreeMap::new();
        for name in names {
            let refused = |cause: String| Error::refused(&self.file, format!("tensor '{name}'"), cause);
            let view = self.tensors.get(name).ok_or_else(|| refused("absent".into()))?;
            let elements = view.elements().ok_or_else(|| refused(format!("dimensions {:?}", view.dims)))?;
            let left = (elements as u64).checked_mul(4).and_then(|bytes| budget.checked_sub(bytes));
            budget = left.ok_or_else(|| {
                refused(format!("the tensors take up over {MOST_EXPANSION} times the file's {size} bytes"))
            })?;
            let data = allocation::with_capacity("tensor", elements)?;
            let tensor = self.storages.tensor(&self.bytes, view, data).map_err(refused)?;
            check_numbers(name, &tensor.data).map_err(refused)?;
            tensors.insert(name.to_string(), tensor);
        }
        Ok(tensors)
    }
}

/// Opens a model file; a folder that is taken for a checkpoint is refused by what it is.
///
/// # Errors
/// As [`SourceFile::open`].
pub fn open(path: &Path) -> Result<SourceFile> {
    match unpacked_folder::kind(path) {
        Some(cause) => Err(Error::refused(path, "file", cause)),
        None => SourceFile::open(path),
    }
}

/// The tensors of a safetensors file, each in a storage of its own.
fn safetensors(bytes: &[u8]) -> std::result::Result<Content, Defect> {
    let header = safetensors_header::read(bytes).map_err(|(place, cause)| Defect::new(place, cause))?;
    let (mut storages, mut tensors) = (Storages::default(), BTreeMap::new());
    for entry in header.tensors {
        let key = entry.name.clone();
        let class = match entry.dtype.as_str() {
            "F16" => "HalfStorage",
            "BF16" => "BFloat16Storage",
            "F32" => "FloatStorage",
            "F64" => "DoubleStorage",
            other => other,
        };
        let mut strides: Vec<i128> = vec![1; entry.shape.len()];
        for d in (1..strides.len()).rev() {
            strides[d - 1] = strides[d].saturating_mul(entry.shape[d] as i128);
        }
        let dims: Vec<i128> = entry.shape.iter().map(|&d| d as i128).collect();
        let elements = entry.shape.iter().product::<usize>() as u64; // checked by the header
        let storage = Rc::new(StorageId { key: key.clone(), class: class.into(), elements, start: 0 });
        let view = TensorView::new(&storage, 0, &dims, &strides, None)
            .ok_or_else(|| Defect::new(format!("tensor '{key}'"), format!("dimensions {:?}", entry.shape)))?;
        let range = header.data + entry.range[0]..header.data + entry.range[1];
        storages.locations.insert(key.clone(), Location::File(range));
        tensors.insert(key, view);
    }
    Ok(Content::Tensors(storages, tensors))
}
