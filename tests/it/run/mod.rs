//! Run directories: resuming, merging, and every way in which a run can be interrupted.

mod faults;
mod merging;
mod resuming;
mod work;
