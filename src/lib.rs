//! Tidegate: see docs/ARCHITECTURE.md.
pub mod config;
pub mod event;
pub mod ingest;
pub mod limits;
pub mod storage;
pub mod tenancy;
