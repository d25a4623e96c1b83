//! The private PostgreSQL that `tidegate serve` owns when no `database_url` is configured: finds an installation,
//! creates the cluster, starts and stops the server, and recovers from whatever a killed run left behind. It listens
//! on a Unix socket only that the server's account and root can reach; schema and migrations are not its business.
//!
//! Dropping an [`EmbeddedServer`] without [`EmbeddedServer::stop`] leaves the server running, as a crash would; the
//! next start on the same data directory stops it first.

mod account;
mod beside;
mod cluster;
mod config;
mod error;
mod install;
mod leftover;
mod lock;
mod logs;
mod provision;
mod put_back;
mod server;
mod settings;

pub use beside::{Beside, cluster_major, kept};
pub use cluster::has_cluster;
pub use config::{DATABASE, EmbeddedConfig, GUEST, NO_JOBS, OWNER, READER, SUPERUSER, WRITER};
pub use error::EmbeddedError;
pub use install::{Installation, inspect, installations, pick};
pub use lock::{DataDirLock, Running, locate_running};
pub use put_back::{PutBack, Until, put_back, take_away};
pub use server::EmbeddedServer;
