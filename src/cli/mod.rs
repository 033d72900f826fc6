//! The `covirt` commands.

pub mod artifacts_dir;
pub mod discover;
