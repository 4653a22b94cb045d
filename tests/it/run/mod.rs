//! Run directories: every way in which a run can end, and what the next start makes of it.

mod faults;
mod merging;
mod resuming;
mod work;
