//! Run directories: what a long job over many images has done survives whatever ends it.
//!
//! A [`Run`] is a folder in which every image of a set is recorded once, done or failed, in a
//! journal. A run that was killed is opened again with the same [`Plan`] and goes on with the
//! images that are [pending](Run::pending); finished, it holds the same bytes as one that was
//! never interrupted. A [`Shard`] of the set is a run of its own, in the same folder or another;
//! [`merge`] makes the whole of all shards.
//!
//! ```text
//! images/0001/000123_dog_rex_strip.png   the files of image 123: a folder for each hundred
//! results.jsonl                          one image a line, in the order of the set
//! failed.jsonl                           the lines of those that failed; only if any did
//! manifest.json                          how it was made; written last: the run is complete
//! journal.jsonl, lock                    only while the run is not finished
//! journal-2-of-4.jsonl, manifest-2-of-4.json   a shard, until it is merged
//! ```

mod acquire;
mod cleanup;
mod disk;
mod file_names;
mod finalize;
mod journal;
mod lock;
mod merge;
mod paths;
mod resume;
mod rows;
mod in_progress;
mod settings;
mod shard;

pub use acquire::claim;
pub use disk::{Disk, Fill, RealDisk};
pub use file_names::{FlatNames, file_stem, in_set};
pub use journal::{Entry, Written};
pub use lock::Lock;
pub use merge::merge;
pub use rows::{Found, rows};
pub use in_progress::{Opened, Plan, Run, Summary};
pub use shard::Shard;
