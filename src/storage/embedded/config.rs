//! What to start, and what its roles and database are called.

use std::path::PathBuf;
use std::time::Duration;

/// Owns the schema: migrations and jobs.
pub const OWNER: &str = "tidegate_owner";
pub const WRITER: &str = "tidegate_writer";
pub const READER: &str = "tidegate_reader";
/// What people at psql log in as.
pub const GUEST: &str = "tidegate_guest";
/// The role that `initdb` makes.
pub const SUPERUSER: &str = "postgres";
pub const DATABASE: &str = "tidegate";
/// The setting with which no job of TimescaleDB's runs. A server that does not load it takes it for anybody's.
pub const NO_JOBS: (&str, &str) = ("timescaledb.max_background_workers", "0");

#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// Tidegate's data directory; the cluster is `postgres` inside it.
    pub data_dir: PathBuf,
    /// The folder of the server's programs; None: the best that the machine has.
    pub bin_dir: Option<PathBuf>,
    /// How long the server may take to answer, crash recovery included.
    pub start_timeout: Duration,
    /// False, for tests only: nothing is forced to disk, and a crash of the machine destroys the cluster.
    pub durable: bool,
    /// Use TimescaleDB where the installation has it; false gives plain PostgreSQL.
    pub preload_timescaledb: bool,
    /// Written after Tidegate's own settings, so they win over them.
    pub extra_settings: Vec<(String, String)>,
}
