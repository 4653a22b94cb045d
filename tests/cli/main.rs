//! The built program from outside: what it prints, what it writes and how it ends.

mod bad_input;
mod bench;
mod classify;
mod explain;
mod files;
mod program;
mod streams;
