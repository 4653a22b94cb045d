//! `msdcam serve`: its answers, who gets none, and what it withstands.

mod answers;
mod hostile;
pub mod server;
