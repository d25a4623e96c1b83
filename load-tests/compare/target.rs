//! The system under measurement: the real binary with its private, durable server, restarted on emptied tables for
//! every measurement, so that none pays or profits from what was before.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, Pool};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tidegate::load::Endpoint;
use tidegate::model::{LEVELS, StoredJson};
use tidegate::storage::embedded::{self, OWNER, READER, Running, WRITER};
use tidegate::storage::toast::PREFER_LZ4;
use tidegate::tenancy::{RateLimits, Scopes, admin};
use tokio_postgres::{Client, NoTls};

use super::common::{Result, TENANTS, as_f64, per_row};
use super::proc;

/// For what a spool gives back after the last answer.
const SETTLE: Duration = Duration::from_secs(120);

/// What measurements fill: every table but those of the installation, its locks and its tenants, and the levels that `$1`
/// names, which are continuous aggregates and keep what they were made of.
const EMPTIED: &str = "SELECT relname::text, EXISTS (SELECT FROM pg_constraint WHERE confrelid = c.oid) FROM pg_class c WHERE relnamespace = 'tidegate'::regnamespace \
     AND (relkind IN ('r', 'p') AND NOT relispartition OR relkind = 'v' AND relname = ANY ($1)) \
     AND relname NOT IN ('organizations', 'api_keys', 'installation', 'schema_migrations', 'rollup_levels', 'birth_locks', \
     'claim_salt', 'projections', 'event_stream_revision') AND relname NOT LIKE 'lock\\_%'";

pub struct Target {
    engine: String,
    /// Settings of its configuration, `key=value`, from the next start on.
    pub settings: Vec<String>,
    /// How it keeps payload and metadata.
    pub stored_json: StoredJson,
    data_dir: PathBuf,
    process: Process,
    running: Running,
    pub endpoint: Arc<Endpoint>,
    pub url: String,
    pub tenants: Vec<String>,
    /// A key of each tenant, for ingestion and reads.
    pub keys: Vec<String>,
    pub owner: Client,
    superuser: Client,
    // After the process, which has its files there; none when they are to be kept.
    _folder: Option<tempfile::TempDir>,
}

impl Target {
    /// Starts it with the usual tenants, on an empty folder that goes away with it, or on one that stays, and may have been
    /// filled by an earlier run.
    pub async fn start(engine: &str, keep: Option<&Path>, stored_json: StoredJson) -> Result<Self> {
        let folder = match keep {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("tidegate-compare-").tempdir()?),
        };
        let path = folder.as_ref().map(tempfile::TempDir::path).or(keep).ok_or("no folder")?;
        std::fs::create_dir_all(path)?;
        // The embedded server runs as an unprivileged user when this is root.
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let data_dir = path.canonicalize()?.join("data");
        let installed = format!("storage_payload={}", stored_json.type_name());
        let (process, url) = Process::start(engine, &[installed], &data_dir)?;
        let running = embedded::locate_running(&data_dir).ok_or("no embedded server")?;
        let mut target = Self {
            engine: engine.to_owned(),
            settings: Vec::new(),
            stored_json,
            owner: client(&running, OWNER).await?,
            superuser: client(&running, "postgres").await?,
            endpoint: Arc::new(Endpoint::parse(&url)?),
            data_dir,
            process,
            running,
            url,
            tenants: Vec::new(),
            keys: Vec::new(),
            _folder: folder,
        };
        target.add_tenants(TENANTS).await?;
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

    /// Another key of a tenant, an index.
    pub async fn add_key(&self, tenant: usize, scopes: &str) -> Result<String> {
        let scopes = Scopes::parse(scopes)?;
        Ok(admin::create_key(&self.owner, &self.tenants[tenant], scopes, "", None).await?.key)
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

    /// Empties all that measurements fill, writes a checkpoint, and starts everything again. Tidegate too: it may remember what
    /// was in the tables (which chunks are in the columnstore).
    pub async fn fresh(&mut self) -> Result<()> {
        let timescale = self.is_timescale();
        let levels: Vec<&str> = LEVELS.iter().filter(|_| timescale).map(|level| level.buckets).collect();
        // Between two of them the sequencer would log what is still in its queue.
        let sequencer = client(&self.running, OWNER).await?;
        sequencer.batch_execute("BEGIN; LOCK TABLE lock_sequencer IN EXCLUSIVE MODE").await?;
        for row in self.owner.query(EMPTIED, &[&levels]).await? {
            // What refers to a table is emptied with it.
            let (table, cascade) = (row.get::<_, &str>(0), if row.get(1) { "CASCADE" } else { "" });
            self.owner.batch_execute(&format!("TRUNCATE {table} {cascade}")).await?;
        }
        sequencer.batch_execute("COMMIT").await?;
        // As the migrations leave it.
        let begin = if timescale {
            "'-infinity'::timestamptz"
        } else {
            "date_bin(width, now(), TIMESTAMPTZ '1970-01-01 00:00:00+00')"
        };
        let never = format!("closed_until = {begin}, noted_before = {begin}, refreshed_at = NULL");
        self.owner.batch_execute(&format!("UPDATE rollup_levels SET {never}")).await?;
        self.checkpoint().await?;
        self.end()?;
        self.begin().await
    }

    /// Ends Tidegate, and with it the server.
    pub fn end(&mut self) -> Result<()> {
        self.process.stop()
    }

    /// Starts both again.
    pub async fn begin(&mut self) -> Result<()> {
        (self.process, self.url) = Process::start(&self.engine, &self.settings, &self.data_dir)?;
        self.endpoint = Arc::new(Endpoint::parse(&self.url)?);
        self.running = embedded::locate_running(&self.data_dir).ok_or("no embedded server")?;
        self.owner = client(&self.running, OWNER).await?;
        self.superuser = client(&self.running, "postgres").await?;
        Ok(())
    }

    pub async fn checkpoint(&self) -> Result<()> {
        Ok(self.superuser.batch_execute("CHECKPOINT").await?)
    }

    pub fn engine(&self) -> &str {
        &self.engine
    }

    pub fn is_timescale(&self) -> bool {
        self.engine == "timescale"
    }

    /// A connection of the writer, with the settings of Tidegate's own; `direct` is for direct compress.
    pub async fn writer(&self, direct: bool) -> Result<Client> {
        let client = client(&self.running, WRITER).await?;
        if self.is_timescale() {
            let direct = if direct { "on" } else { "off" };
            let settings = format!("SET timescaledb.enable_direct_compress_copy = {direct}; {PREFER_LZ4}");
            client.batch_execute(&settings).await?;
        }
        Ok(client)
    }

    pub async fn another_owner(&self) -> Result<Client> {
        client(&self.running, OWNER).await
    }

    /// What points another process at its database.
    pub fn variables(&self) -> [(&'static str, String); 3] {
        let url = |role| self.running.url(role, embedded::DATABASE);
        [
            ("TIDEGATE_DATABASE_URL", url(OWNER)),
            ("TIDEGATE_WRITER_URL", url(WRITER)),
            ("TIDEGATE_READER_URL", url(READER)),
        ]
    }

    /// Connections of the owner, for Tidegate's own code.
    pub fn owner_pool(&self) -> Result<Pool> {
        let config: tokio_postgres::Config = self.running.url(OWNER, embedded::DATABASE).parse()?;
        Ok(Pool::builder(Manager::new(config, NoTls)).max_size(2).build()?)
    }

    /// The only column of the only row: a number, as bigint.
    pub async fn count(&self, sql: &str) -> Result<u64> {
        Ok(u64::try_from(self.owner.query_one(sql, &[]).await?.get::<_, i64>(0))?)
    }

    /// An error unless exactly `expected` rows are in a table, once the time for a spool to drain is over.
    pub async fn check_stored(&self, table: &str, expected: u64) -> Result<()> {
        let started = Instant::now();
        loop {
            match self.count(&format!("SELECT count(*) FROM {table}")).await? {
                rows if rows == expected => return Ok(()),
                rows if rows > expected || started.elapsed() > SETTLE => {
                    return Err(format!("not conserved: {rows} rows of {table} instead of {expected}").into());
                }
                _ => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }

    /// Bytes of a hypertable, a continuous aggregate or a partitioned table on disk, with indexes.
    pub async fn bytes_of(&self, table: &str) -> Result<f64> {
        let sql = if self.is_timescale() {
            format!("SELECT hypertable_size('tidegate.{table}')::bigint")
        } else {
            format!(
                "SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint FROM pg_inherits \
                 WHERE inhparent = 'tidegate.{table}'::regclass"
            )
        };
        Ok(as_f64(self.count(&sql).await?))
    }

    pub async fn bytes_per_event(&self, events: u64) -> Result<f64> {
        Ok(per_row(self.bytes_of("events").await?, events))
    }

    /// Bytes of WAL written since the cluster was made.
    pub async fn wal_bytes(&self) -> Result<f64> {
        let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::double precision";
        Ok(self.owner.query_one(sql, &[]).await?.get(0))
    }

    /// A connection string, for libpq's programs too.
    pub fn url_of(&self, role: &str, database: &str) -> String {
        self.running.url(role, database)
    }

    /// A connection as superuser.
    pub async fn superuser(&self, database: &str) -> Result<Client> {
        connect(&self.running.url("postgres", database)).await
    }

    /// A program of the server's installation, or of that name on the path.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let options = std::fs::read_to_string(self.cluster().join("postmaster.opts"))?;
        let server = Path::new(options.split(' ').next().unwrap_or_default());
        let beside = server.with_file_name(name);
        Ok(if beside.exists() { beside } else { name.into() })
    }

    /// The cluster's folder.
    pub fn cluster(&self) -> PathBuf {
        self.running.socket_dir.parent().map(Path::to_owned).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// User and system time of PostgreSQL so far: postmaster, everything that it started, and what of that has ended.
    pub fn postgres_cpu_s(&self) -> f64 {
        proc::cpu_seconds_in(&self.cluster())
    }

    pub fn stop(mut self) -> Result<()> {
        self.process.stop()
    }
}

/// The child process. Dropped it is stopped in order as well, since only then does its database end.
struct Process(Child);

impl Process {
    fn start(engine: &str, settings: &[String], data_dir: &Path) -> Result<(Self, String)> {
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
    connect(&running.url(role, embedded::DATABASE)).await
}

pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
