//! Run directories: every way a run can end, and how the next start resumes it.

mod faults;
mod merging;
mod resuming;
mod work;
