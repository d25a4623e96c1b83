//! The system under measurement: the real binary with its private, durable server, started anew on emptied tables for
//! every measurement, so that none pays or profits from what was before.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, Pool};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tidegate::storage::embedded::{self, OWNER, READER, Running, WRITER};
use tidegate::tenancy::{RateLimits, Scopes, admin};
use tokio_postgres::{Client, NoTls};

use super::{Result, as_f64, proc};

/// For what a spool gives back after the last answer.
const SETTLE: Duration = Duration::from_secs(120);

/// What measurements fill, where it exists: it depends on the engine. Continuous aggregates keep what they were made of.
const EMPTIED: [&str; 28] = [
    "events",
    "metrics",
    "correlations",
    "metrics_1m",
    "metrics_5m",
    "metrics_hourly",
    "metrics_daily",
    "event_counts_hourly",
    "correlation_groups",
    "metrics_1m_closed",
    "metrics_5m_closed",
    "metrics_hourly_closed",
    "metrics_daily_closed",
    "event_counts_hourly_closed",
    "correlation_groups_closed",
    "rollup_dirty",
    "rollup_saved",
    "touched",
    "touched_minutes",
    "asset_metadata",
    "metric_catalog",
    "type_minutes",
    "orphans",
    "storage_samples",
    "job_runs",
    "ingest_batches",
    "ingest_ledger",
    "dead_letter_events",
];
/// Of those, what can be emptied: on the postgres engine the rollups' names are views over what is emptied by its own name.
const EMPTIABLE: &str = "SELECT name FROM unnest($1::text[]) AS name JOIN pg_class c ON c.oid = to_regclass(name) \
     WHERE c.relkind IN ('r', 'p') OR $2";

/// A running Tidegate.
pub struct Target {
    engine: String,
    /// Settings of its configuration, `key=value`, from the next start on.
    pub settings: Vec<String>,
    data_dir: PathBuf,
    process: Process,
    running: Running,
    /// Where it listens.
    pub url: String,
    /// The tenants.
    pub tenants: Vec<String>,
    /// A key of each tenant, for ingestion and reads.
    pub keys: Vec<String>,
    /// A connection of the owner.
    pub owner: Client,
    superuser: Client,
    // After the process, which has its files there; none when they are to be kept.
    _folder: Option<tempfile::TempDir>,
}

impl Target {
    /// Starts it on an empty folder, with `tenants` organizations.
    pub async fn start(engine: &str, tenants: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidegate-compare-").tempdir()?;
        let path = folder.path().to_owned();
        Self::start_at(engine, tenants, &path, Some(folder)).await
    }

    /// Starts it on a folder that stays, and may have been filled by an earlier run.
    pub async fn start_in(engine: &str, tenants: usize, folder: &std::path::Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        Self::start_at(engine, tenants, &folder.canonicalize()?, None).await
    }

    async fn start_at(
        engine: &str,
        tenants: usize,
        path: &std::path::Path,
        folder: Option<tempfile::TempDir>,
    ) -> Result<Self> {
        // The embedded server runs as an unprivileged user when this is root.
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let data_dir = path.join("data");
        let (process, url) = Process::start(engine, &[], &data_dir)?;
        let running = embedded::locate_running(&data_dir).ok_or("no embedded server")?;
        let owner = client(&running, OWNER).await?;
        let superuser = client(&running, "postgres").await?;
        let mut target = Self {
            engine: engine.to_owned(),
            settings: Vec::new(),
            data_dir,
            process,
            running,
            url,
            tenants: Vec::new(),
            keys: Vec::new(),
            owner,
            superuser,
            _folder: folder,
        };
        target.add_tenants(tenants).await?;
        Ok(target)
    }

    /// Makes organizations until there are `count`.
    pub async fn add_tenants(&mut self, count: usize) -> Result<()> {
        for number in self.tenants.len()..count {
            let name = format!("tenant-{number}");
            let there = "SELECT tenant_id FROM organizations WHERE name = $1";
            let tenant_id = match self.owner.query_opt(there, &[&name]).await? {
                Some(row) => row.get(0),
                None => admin::create_organization(&self.owner, &name, None).await?.tenant_id,
            };
            let scopes = Scopes::parse("ingest,read")?;
            self.keys.push(admin::create_key(&self.owner, &tenant_id, scopes, "", None).await?.key);
            self.tenants.push(tenant_id);
        }
        Ok(())
    }

    /// A key of an organization of its own that may send so many events a second, and so many seconds' worth at once.
    pub async fn add_limited(&self, events_per_second: u64, burst_s: u32) -> Result<String> {
        let name = format!("limited-{}", uuid::Uuid::now_v7());
        let made = admin::create_organization(&self.owner, &name, None).await?;
        let limits = RateLimits {
            events_per_second: Some(events_per_second),
            burst_seconds: Some(burst_s),
            ..RateLimits::default()
        };
        let scopes = Scopes::parse("ingest")?;
        Ok(admin::create_limited_key(&self.owner, &made.tenant_id, scopes, "", None, limits).await?.key)
    }

    /// Empties all that measurements fill, writes a checkpoint, and starts the whole anew. Tidegate too: it may remember what was in the
    /// tables (which chunks are in the columnstore).
    pub async fn fresh(&mut self) -> Result<()> {
        let timescale = self.is_timescale();
        for row in self.owner.query(EMPTIABLE, &[&EMPTIED.as_slice(), &timescale]).await? {
            self.owner.batch_execute(&format!("TRUNCATE {}", row.get::<_, &str>(0))).await?;
        }
        // As the migrations leave it.
        let begin = if timescale {
            "'-infinity'::timestamptz"
        } else {
            "date_bin(width, now(), TIMESTAMPTZ '1970-01-01 00:00:00+00')"
        };
        let nothing = format!(
            "UPDATE rollup_levels SET closed_until = {begin}, noted_before = {begin}, refreshed_at = NULL; TRUNCATE rollup_floors"
        );
        self.owner.batch_execute(&nothing).await?;
        self.checkpoint().await?;
        self.process.stop()?;
        (self.process, self.url) = Process::start(&self.engine, &self.settings, &self.data_dir)?;
        self.running = embedded::locate_running(&self.data_dir).ok_or("no embedded server")?;
        self.owner = client(&self.running, OWNER).await?;
        self.superuser = client(&self.running, "postgres").await?;
        Ok(())
    }

    /// Writes a checkpoint, so that none falls into a measurement because of what was before.
    pub async fn checkpoint(&self) -> Result<()> {
        Ok(self.superuser.batch_execute("CHECKPOINT").await?)
    }

    /// Whether events are in hypertables.
    pub fn is_timescale(&self) -> bool {
        self.engine == "timescale"
    }

    /// A connection of the writer, with the settings of Tidegate's own; `direct` is for direct compress.
    pub async fn writer(&self, direct: bool) -> Result<Client> {
        let client = client(&self.running, WRITER).await?;
        if self.is_timescale() {
            let direct = if direct { "on" } else { "off" };
            let settings = format!(
                "SET timescaledb.enable_direct_compress_copy = {direct}; SET default_toast_compression = 'lz4'"
            );
            client.batch_execute(&settings).await?;
        }
        Ok(client)
    }

    /// Another connection of the owner.
    pub async fn another_owner(&self) -> Result<Client> {
        client(&self.running, OWNER).await
    }

    /// Connections of the owner, for Tidegate's own code.
    pub fn owner_pool(&self) -> Result<Pool> {
        let config: tokio_postgres::Config = self.running.url(OWNER, embedded::DATABASE).parse()?;
        Ok(Pool::builder(Manager::new(config, NoTls)).max_size(2).build()?)
    }

    /// A connection of the reader.
    pub async fn reader(&self) -> Result<Client> {
        client(&self.running, READER).await
    }

    /// A setting of the server.
    pub async fn setting(&self, name: &str) -> Result<String> {
        Ok(self.owner.query_one("SELECT current_setting($1)", &[&name]).await?.get(0))
    }

    /// Events in the table, once there are `expected` or the time for a spool to drain is over.
    pub async fn stored(&self, expected: u64) -> Result<u64> {
        self.stored_in("events", expected).await
    }

    async fn stored_in(&self, table: &str, expected: u64) -> Result<u64> {
        let started = Instant::now();
        loop {
            let rows = self.count(&format!("SELECT count(*) FROM {table}")).await?;
            if rows >= expected || started.elapsed() > SETTLE {
                return Ok(rows);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// The only column of the only row: a number, as bigint.
    pub async fn count(&self, sql: &str) -> Result<u64> {
        Ok(u64::try_from(self.owner.query_one(sql, &[]).await?.get::<_, i64>(0))?)
    }

    /// An error unless exactly `expected` events are in the table.
    pub async fn check_stored(&self, expected: u64) -> Result<()> {
        self.check_stored_in("events", expected).await
    }

    /// The same of another table.
    pub async fn check_stored_in(&self, table: &str, expected: u64) -> Result<()> {
        match self.stored_in(table, expected).await? {
            stored if stored == expected => Ok(()),
            stored => Err(format!("not conserved: {stored} rows of {table} stored instead of {expected}").into()),
        }
    }

    /// Bytes of events on disk, with indexes.
    pub async fn stored_bytes(&self) -> Result<u64> {
        self.bytes_of("events").await
    }

    /// Bytes of a hypertable, a continuous aggregate or a partitioned table on disk, with indexes.
    pub async fn bytes_of(&self, table: &str) -> Result<u64> {
        let sql = if self.is_timescale() {
            format!("SELECT hypertable_size('tidegate.{table}')::bigint")
        } else {
            format!(
                "SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint FROM pg_inherits \
                 WHERE inhparent = 'tidegate.{table}'::regclass"
            )
        };
        self.count(&sql).await
    }

    /// The same an event, when there are `events`.
    pub async fn bytes_per_event(&self, events: u64) -> Result<f64> {
        Ok(as_f64(self.stored_bytes().await?) / as_f64(events.max(1)))
    }

    /// Bytes of WAL written since the cluster was made.
    pub async fn wal_bytes(&self) -> Result<f64> {
        let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::double precision";
        Ok(self.owner.query_one(sql, &[]).await?.get(0))
    }

    /// Process id of Tidegate.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// User and system time of PostgreSQL so far: postmaster, everything that it started, and what of that has ended.
    pub fn postgres_cpu_s(&self) -> f64 {
        let cluster = self.running.socket_dir.parent().map(std::path::Path::to_owned).unwrap_or_default();
        proc::cpu_seconds_in(&cluster)
    }

    /// Stops it in order.
    pub fn stop(mut self) -> Result<()> {
        self.process.stop()
    }
}

/// The child process. Dropped it is stopped in order as well, since only then does its database end.
struct Process(Child);

impl Process {
    fn start(engine: &str, settings: &[String], data_dir: &std::path::Path) -> Result<(Self, String)> {
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["serve", "--engine", engine, "--listen", "127.0.0.1:0", "--set", "log.level=warn", "--data-dir"])
            .arg(data_dir)
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut process = Self(child);
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
        let url = line.trim().strip_prefix("Tidegate is ready at ").ok_or("tidegate did not start")?.to_owned();
        Ok((process, url))
    }

    /// Does nothing when it is stopped already.
    fn stop(&mut self) -> Result<()> {
        if self.0.try_wait()?.is_none() {
            kill(Pid::from_raw(i32::try_from(self.0.id())?), Signal::SIGTERM)?;
        }
        let status = self.0.wait()?;
        if status.success() { Ok(()) } else { Err(format!("tidegate ended with {status}").into()) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The error of a measurement that failed is told already.
        let _ = self.stop();
    }
}

async fn client(running: &Running, role: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(&running.url(role, embedded::DATABASE), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
