//! Run directories: resumable jobs over many images that survive interruption at any point.
//!
//! A [`Run`] is a folder whose journal records every image of a set once, done or failed. A run that was
//! killed is opened again with the same [`RunSpec`] and continues with the
//! [pending](Run::pending) images; a finished run holds the same bytes as one that was never interrupted.
//! A [`Shard`] of the set is a run of its own, in the same folder or another; [`merge()`] combines all
//! shards into one run.
//!
//! ```text
//! images/0001/000123_dog_rex_strip.png   the files of image 123: one folder for each hundred images
//! arrays/cam.npy                         an array with a row for each image, in the order of the set
//! results.jsonl                          one line per image, in the order of the set
//! failed.jsonl                           the lines of the failed images, if there are any
//! manifest.json                          the settings; written last: the run is complete
//! journal.jsonl, lock                    only while the run is in progress
//! journal-2-of-4.jsonl, manifest-2-of-4.json, arrays-2-of-4   a shard, until it is merged
//! ```

mod array_files;
mod array_reader;
mod arrays;
mod claim;
mod cleanup;
mod disk;
mod file_names;
mod finalize;
mod in_progress;
mod journal;
mod lock;
mod marker;
mod merge;
mod output_folder;
mod paths;
mod results;
mod resume;
mod shard;
mod spec;
mod summary;
mod written_file;

pub use array_reader::RunArrays;
pub use arrays::{ArrayField, ArraySpec, ConstantArray, ConstantValues, ElementKind};
pub use disk::{Disk, Fill, RealDisk};
pub use file_names::{FlatNames, file_stem, image_stem};
pub use in_progress::{Opened, Run};
pub use journal::Entry;
pub use lock::Lock;
pub(crate) use marker::{Kind, PHOTOS, is_in_progress};
pub use merge::merge;
pub(crate) use output_folder::{OutputFolder, check_not_an_input};
pub(crate) use paths::shard_files;
pub use results::{RunInfo, read_results};
pub use shard::Shard;
pub use spec::RunSpec;
pub use summary::Summary;
pub use written_file::WrittenFile;
