//! Tidegate: see docs/ARCHITECTURE.md.
pub mod commands;
pub mod config;
pub mod event;
pub mod ingest;
pub mod limits;
pub mod load;
pub mod storage;
pub mod tenancy;
