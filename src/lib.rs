//! Tidegate: see docs/ARCHITECTURE.md.
pub mod limits;
