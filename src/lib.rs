//! Tidegate: see docs/ARCHITECTURE.md.
pub mod limits;
pub mod storage;
