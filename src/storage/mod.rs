//! PostgreSQL and TimescaleDB: connections, engine, migrations, partitions, what an error means, the embedded server.
//!
//! What is stored is named by [`crate::model`]; requests and tenants' rules are not known here. Everything above builds on it,
//! and it imports none of them.

pub mod catalogue;
mod chunks;
pub mod citus;
mod connect;
mod data_dir;
mod database;
mod detect;
pub mod embedded;
mod errors;
mod extension;
mod homes;
mod hosts;
mod hypertables;
mod install;
mod known;
mod layout;
mod listener;
pub mod locks;
mod lost;
pub mod migrations;
pub mod needs;
mod partitions;
mod payload_index;
mod priority;
pub mod readers;
mod relied_on;
mod seen;
mod servers;
pub mod sinks;
mod slices;
mod sqlstate;
mod standing;
mod store;
mod stored_json;
mod supervisor;
pub mod tenant_readers;
pub mod tenant_views;
mod tls;
pub mod toast;
pub mod tools;

pub use catalogue::StoredChunk;
pub use chunks::{ChunkLayout, Slices};
pub use connect::{
    Canceller, Role, Warnings, aside, connect_to, connection_string, give_back, on_connection, session_sql,
};
pub use database::{Database, Location};
pub use detect::{Detected, detect};
pub use errors::{Fate, StorageError};
pub use extension::{TIMESCALEDB_SUPPORTED, is_supported};
pub use homes::{Homes, cell_of, home_pools};
pub use hosts::{each as each_server, led_to};
pub use install::{Installed, agreed_layout, install, prove_direct_compress};
pub use known::{Acquaintance, KnownDatabase, accept, acquaintance};
pub use layout::{Layout, standing_layout};
pub use listener::{Heard, Listener};
pub use payload_index::payload_index;
pub use relied_on::only_row;
pub use servers::{Copies, Servers, Watch};
pub use slices::{Chunk, Slice, SliceMap};
pub use standing::{Standing, Timeline};
pub use store::Store;
pub use stored_json::standing_json;
