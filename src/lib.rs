//! Tidegate: see docs/ARCHITECTURE.md.
pub mod event;
pub mod limits;
