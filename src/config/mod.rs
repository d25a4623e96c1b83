//! Configuration: parsed once, into small validated structs, before a port is bound.
//!
//! `tidegate.toml` < environment (`TIDEGATE_` + the path joined with `_`) < flags. Every value keeps where it came
//! from, so that an error names the key and the file and line, the variable or the flag. Leaf code is given the struct
//! it needs; nothing reads a global.

mod backup;
mod connection_url;
mod error;
mod http;
mod keys;
mod limits;
mod live;
mod log;
mod node;
mod origin;
mod partitions;
mod rollups;
mod secrets;
mod source;
mod storage;
mod streams;
mod syslog;
mod value;

pub use backup::BackupConfig;
pub use connection_url::{ConnectionUrl, RootCert, ServerTls, SslMode, TargetSession};
pub use error::ConfigError;
pub use http::{CorsOrigins, HttpConfig, ListenAddress, TlsConfig};
pub use keys::{ConfigKey, KEYS};
pub use limits::LimitsConfig;
pub use live::{Changes, LiveLimits};
pub use log::LogConfig;
pub use node::NodeConfig;
pub use origin::Origin;
pub use secrets::of_environment as secret_of_environment;
pub use source::Layers;
pub use storage::{EngineChoice, StorageProfile};
pub use streams::StreamsConfig;
pub use syslog::SyslogConfig;
pub use value::{ParseError, parse_bytes, parse_duration};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Kind, Level, PerKind, PerLevel, Relation, StoredJson};

/// The whole configuration of a Tidegate process.
#[derive(Debug, Clone)]
pub struct Config {
    pub database: DatabaseConfig,
    pub listen: ListenAddress,
    /// Which of several nodes this is.
    pub node: NodeConfig,
    /// Folder of the embedded server and of the spool.
    pub data_dir: PathBuf,
    pub batch: BatchConfig,
    /// Bounds on requests and memory.
    pub limits: LimitsConfig,
    pub http: HttpConfig,
    /// None: plain HTTP.
    pub tls: Option<TlsConfig>,
    /// None: syslog is not listened for.
    pub syslog: Option<SyslogConfig>,
    /// Pages of other origins that may read answers.
    pub cors_origins: CorsOrigins,
    /// Whether /metrics tells the machine itself about all tenants without a key.
    pub metrics_open: bool,
    /// What is kept on disk while the database cannot take it.
    pub spool: SpoolConfig,
    pub backup: BackupConfig,
    pub retention: RetentionConfig,
    pub streams: StreamsConfig,
    /// Age from which chunks are compressed (timescale engine).
    pub compress_after: CompressAfterConfig,
    pub rollups: RollupsConfig,
    /// Whether there is to be an index of what payloads contain; None: as the database has it.
    pub payload_gin: Option<bool>,
    /// Width of a chunk or partition.
    pub chunk_interval: Duration,
    /// Into how many chunks a new slice of time is cut, on hypertables; None: as the database has it.
    pub partitions: PerKind<Option<u32>>,
    /// Into how many cells a new database is cut, on Citus.
    pub citus_cells: u32,
    pub log: LogConfig,
    /// A hash of each value's text, to tell what changed; no secret can be read from it.
    fingerprints: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// The owner's URL: migrations and jobs. None: the embedded server.
    pub database_url: Option<ConnectionUrl>,
    /// The ingest path's URL; None: the owner's.
    pub writer_url: Option<ConnectionUrl>,
    /// The query path's URL; None: the owner's.
    pub reader_url: Option<ConnectionUrl>,
    pub engine: EngineChoice,
    /// Layout of events on the timescale engine.
    pub storage_profile: StorageProfile,
    /// How a new database keeps payload and metadata; None: as the database has it.
    pub stored_json: Option<StoredJson>,
    /// Connections that write, each one batch at a time.
    pub writers: usize,
    /// How far a copy that is read may lag; None: however far.
    pub reader_lag_max: Option<Duration>,
    pub readers: usize,
    /// Of them, those of one tenant.
    pub readers_per_tenant: usize,
    /// How long a page of events is looked for.
    pub search_time: Duration,
    pub read_ahead_bytes: usize,
}

#[derive(Debug, Clone)]
pub struct BatchConfig {
    /// Rows that seal a batch, and the most rows of one COPY.
    pub rows: usize,
    /// Encoded bytes that seal a batch.
    pub bytes: usize,
    /// How long the first request of a batch waits for company.
    pub linger: Duration,
}

#[derive(Debug, Clone)]
pub struct SpoolConfig {
    pub enabled: bool,
    /// Its size on disk, in bytes; its quarantine is not counted.
    pub max_bytes: u64,
}

/// How long relations keep their rows.
#[derive(Debug, Clone)]
pub struct RetentionConfig {
    /// Events; also the oldest timestamp accepted.
    pub events: Duration,
    /// Raw metrics; a day before, the oldest timestamp accepted.
    pub metrics: Duration,
    /// Buckets of the rollups; None: forever.
    pub rollups: PerLevel<Option<Duration>>,
    pub correlations: Duration,
    /// Idempotency keys and receipts.
    pub ledger: Duration,
    pub dead_letters: Duration,
    /// Administrative acts.
    pub audit: Duration,
}

/// From which age on chunks are compressed.
#[derive(Debug, Clone)]
pub struct CompressAfterConfig {
    pub events: Duration,
    pub metrics: Duration,
}

pub type RollupsConfig = PerLevel<bool>;

impl RetentionConfig {
    /// How long a chunk of a relation is kept, counted from its end; None: forever.
    pub fn of(&self, relation: Relation) -> Option<Duration> {
        match relation {
            Relation::Raw(kind) => Some(self.raw(kind)),
            Relation::Correlations => Some(self.correlations),
            Relation::Rollup(level) => *self.rollups.of(level),
        }
    }

    /// How long what was sent is kept.
    pub fn raw(&self, kind: Kind) -> Duration {
        match kind {
            Kind::Events => self.events,
            Kind::Metrics => self.metrics,
        }
    }

    /// How far back buckets of a level are recomputed at most; None: as far as the rows are whole.
    pub fn recomputed_back(&self, level: &Level) -> Option<Duration> {
        let keep = self.rollups.of(level).filter(|_| level.recomputed_while_kept)?;
        Some(keep.saturating_add(Duration::from_secs(86_400)))
    }
}

impl CompressAfterConfig {
    /// The age, counted from its end, at which a chunk of a relation is compressed; None: never.
    pub fn of(&self, relation: Relation) -> Option<Duration> {
        match relation {
            Relation::Raw(Kind::Events) => Some(self.events),
            Relation::Raw(Kind::Metrics) => Some(self.metrics),
            Relation::Correlations => None,
            Relation::Rollup(level) => level.compress_after,
        }
    }
}

impl Config {
    /// Builds the configuration from its layers, refusing unknown keys, malformed values and impossible relations.
    pub fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let read = value::ConfigReader::new(layers);
        let readers = read.count("readers", 1, 256)?;
        let connections = read.count("limits.connections", 1, 1_000_000)?;
        let (body_bytes, memory_bytes) = (read.bytes("limits.body_bytes")?, read.bytes("limits.memory_bytes")?);
        let config = Self {
            database: DatabaseConfig {
                database_url: read.url("database_url")?.map(ConnectionUrl::for_writing),
                writer_url: read.url("writer_url")?.map(ConnectionUrl::for_writing),
                reader_url: read.url("reader_url")?,
                engine: read.one_of("engine", &EngineChoice::ALL)?,
                storage_profile: read.one_of("storage_profile", &StorageProfile::ALL)?,
                stored_json: match layers.get("storage_payload") {
                    Some(_) => Some(read.one_of("storage_payload", &StoredJson::ALL)?),
                    None => None,
                },
                writers: match layers.get("writers") {
                    Some(_) => read.count("writers", 1, 64)?,
                    None => storage::writers(layers.get("database_url").is_none()),
                },
                reader_lag_max: match layers.get("reader_lag_max") {
                    Some(_) => Some(read.duration("reader_lag_max")?),
                    None => None,
                },
                readers,
                readers_per_tenant: match layers.get("readers_per_tenant") {
                    Some(_) => read.count("readers_per_tenant", 1, readers)?,
                    None => readers.div_ceil(2),
                },
                search_time: read.duration("search_time")?,
                read_ahead_bytes: read.bytes("read_ahead_bytes")?,
            },
            listen: read.parsed("listen", "an address or name and a port, such as 127.0.0.1:8080 or localhost:8080")?,
            node: NodeConfig::read(&read)?,
            data_dir: read.path("data_dir")?,
            backup: BackupConfig::read(&read, &read.path("data_dir")?)?,
            batch: BatchConfig {
                rows: read.count("batch.rows", 1, 100_000)?,
                bytes: read.bytes("batch.bytes")?,
                linger: Duration::from_millis(read.count("batch.linger_ms", 0, 1000)? as u64),
            },
            limits: LimitsConfig {
                body_bytes,
                memory_bytes,
                tenant_memory_bytes: match layers.get("limits.tenant_memory_bytes") {
                    Some(_) => read.bytes("limits.tenant_memory_bytes")?,
                    // Half, but never less than one request may take.
                    None => (memory_bytes / 2).max(body_bytes.saturating_mul(3)).min(memory_bytes),
                },
                answers_memory_bytes: match layers.get("limits.answers_memory_bytes") {
                    Some(_) => read.bytes("limits.answers_memory_bytes")?,
                    // Half, but never less than the largest event takes while it is read.
                    None => (memory_bytes / 2).max(body_bytes.saturating_mul(2)).min(memory_bytes),
                },
                dead_letter_bytes_per_day: read.bytes("limits.dead_letter_bytes_per_day")? as u64,
                assets_per_tenant: read.count("limits.assets_per_tenant", 1, 1_000_000_000)?,
                series_per_tenant: read.count("limits.series_per_tenant", 1, 1_000_000_000)?,
                streams_per_tenant: read.count("limits.streams_per_tenant", 1, 1_000_000_000)?,
                connections,
                connections_per_address: match layers.get("limits.connections_per_address") {
                    Some(_) => read.count("limits.connections_per_address", 1, connections)?,
                    None => connections.div_ceil(2),
                },
            },
            http: HttpConfig::read(&read)?,
            tls: TlsConfig::read(&read)?,
            syslog: SyslogConfig::read(&read)?,
            cors_origins: CorsOrigins::parse(&read.text("cors.origins"))
                .map_err(|why| ConfigError(format!("{}: {why}", read.whereabouts("cors.origins"))))?,
            metrics_open: read.one_of("metrics.open", &[("true", true), ("false", false)])?,
            spool: SpoolConfig {
                enabled: read.one_of("spool.enabled", &[("true", true), ("false", false)])?,
                max_bytes: read.bytes("spool.max_bytes")? as u64,
            },
            retention: RetentionConfig {
                events: read.duration("retention.events")?,
                metrics: read.duration("retention.metrics")?,
                rollups: rollups::retention(&read)?,
                correlations: read.duration("retention.correlations")?,
                ledger: read.duration("retention.ledger")?,
                dead_letters: read.duration("retention.dead_letters")?,
                audit: read.duration("retention.audit")?,
            },
            streams: StreamsConfig::read(&read)?,
            compress_after: CompressAfterConfig {
                events: read.duration("compress_after.events")?,
                metrics: read.duration("compress_after.metrics")?,
            },
            rollups: rollups::levels(&read)?,
            payload_gin: match layers.get("indexes.payload_gin") {
                Some(_) => Some(read.one_of("indexes.payload_gin", &[("true", true), ("false", false)])?),
                None => None,
            },
            chunk_interval: read.duration("chunk_interval")?,
            partitions: partitions::read(&read)?,
            citus_cells: u32::try_from(read.count("citus.cells", 1, 1024)?).unwrap_or(1),
            log: LogConfig::read(&read)?,
            fingerprints: KEYS.iter().map(|key| (key.path, read.fingerprint(key.path))).collect(),
        };
        config.check_relations(&read)?;
        Ok(config)
    }

    fn check_relations(&self, read: &value::ConfigReader<'_>) -> Result<(), ConfigError> {
        use crate::limits::{FUTURE_DAYS_MAX, KIB, MIB, SPOOL_BODIES_MIN, WINDOW_CHUNKS_MAX};
        let refuse = |key: &str, what: String| Err(ConfigError(format!("{}: {what}", read.whereabouts(key))));
        let hour = Duration::from_secs(3600);
        if self.chunk_interval < hour || !self.chunk_interval.as_secs().is_multiple_of(3600) {
            return refuse("chunk_interval", "must be whole hours, at least 1h".into());
        }
        for (key, retention) in
            [("retention.events", self.retention.events), ("retention.metrics", self.retention.metrics)]
        {
            let window_s = retention.as_secs() + FUTURE_DAYS_MAX.unsigned_abs() * 86_400;
            let chunks = window_s.div_ceil(self.chunk_interval.as_secs());
            if chunks > WINDOW_CHUNKS_MAX.unsigned_abs() {
                return refuse(
                    "chunk_interval",
                    format!(
                        "{key} plus {FUTURE_DAYS_MAX} days ahead would need {chunks} chunks, more than \
                         {WINDOW_CHUNKS_MAX}; make chunk_interval longer or {key} shorter"
                    ),
                );
            }
        }
        if self.database.database_url.is_none() {
            for (key, url) in [("writer_url", &self.database.writer_url), ("reader_url", &self.database.reader_url)] {
                if url.is_some() {
                    return refuse(key, "is set, but database_url, the owner's, is not; set that as well".into());
                }
            }
        }
        if self.retention.events < hour * 24 {
            return refuse("retention.events", "must be at least 1d".into());
        }
        if self.retention.metrics < hour * 48 {
            return refuse("retention.metrics", "must be at least 2d: samples are taken until a day before it".into());
        }
        if self.retention.correlations < hour * 24 {
            return refuse("retention.correlations", "must be at least 1d".into());
        }
        if self.retention.ledger < hour {
            return refuse("retention.ledger", "must be at least 1h: senders retry within it".into());
        }
        if self.limits.body_bytes < KIB || self.limits.body_bytes > 256 * MIB {
            return refuse("limits.body_bytes", "must be between 1KiB and 256MiB".into());
        }
        if self.limits.memory_bytes < 3 * self.limits.body_bytes {
            return refuse(
                "limits.memory_bytes",
                format!(
                    "must be at least three times limits.body_bytes ({}): a request is held compressed, decompressed \
                     and encoded",
                    self.limits.body_bytes
                ),
            );
        }
        let tenant = self.limits.tenant_memory_bytes;
        if tenant < 3 * self.limits.body_bytes || tenant > self.limits.memory_bytes {
            return refuse(
                "limits.tenant_memory_bytes",
                format!(
                    "must be at least three times limits.body_bytes ({}), what one request may take, and at most \
                     limits.memory_bytes ({})",
                    self.limits.body_bytes, self.limits.memory_bytes
                ),
            );
        }
        let answers = self.limits.answers_memory_bytes;
        if answers < 2 * self.limits.body_bytes || answers > self.limits.memory_bytes {
            return refuse(
                "limits.answers_memory_bytes",
                format!(
                    "must be at least twice limits.body_bytes ({}), what the largest event takes while it is read, and at \
                     most limits.memory_bytes ({})",
                    self.limits.body_bytes, self.limits.memory_bytes
                ),
            );
        }
        if self.spool.enabled && self.spool.max_bytes < (SPOOL_BODIES_MIN * self.limits.body_bytes) as u64 {
            return refuse(
                "spool.max_bytes",
                format!(
                    "must be at least {SPOOL_BODIES_MIN} times limits.body_bytes ({}), or spool.enabled = false",
                    self.limits.body_bytes
                ),
            );
        }
        if self.batch.bytes < 64 * KIB {
            return refuse("batch.bytes", "must be at least 64KiB".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
