//! Tidegate: see docs/ARCHITECTURE.md.
pub mod commands;
pub mod limits;
pub mod load;
