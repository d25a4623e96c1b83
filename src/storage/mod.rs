//! PostgreSQL and TimescaleDB: connections, engine, migrations, partitions, what an error means, the embedded server.
//!
//! Knows nothing of events, requests or tenants' rules; everything above builds on it, and it imports none of them.

mod chunks;
mod connect;
mod database;
pub mod embedded;
mod engine;
mod errors;
pub mod migrations;
mod partitions;
mod supervisor;

pub use chunks::{Chunking, Chunks};
pub use connect::{Role, Warnings, connect_to, session_sql};
pub use database::{Database, Location};
pub use engine::{Engine, Installation, Installed, detect, install, prove_direct_compress, standing_installation};
pub use errors::{Fate, StorageError};
pub use partitions::{PartitionedTables, Partitions};
