//! Tidegate: see docs/ARCHITECTURE.md.
pub mod app;
pub mod cli;
pub mod commands;
pub mod config;
pub mod event;
pub mod http;
pub mod ingest;
pub mod limits;
pub mod load;
pub mod query;
pub mod rollup;
pub mod shutdown;
pub mod storage;
pub mod telemetry;
pub mod tenancy;
