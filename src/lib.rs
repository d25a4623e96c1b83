//! Tidegate: see docs/ARCHITECTURE.md.
pub mod config;
pub mod limits;
pub mod storage;
pub mod tenancy;
