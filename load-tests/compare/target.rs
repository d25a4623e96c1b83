//! The system under measurement: the real binary with its private server, and what /proc says of both.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tidegate::storage::embedded::{self, OWNER, Running, WRITER};
use tidegate::tenancy::{Scopes, admin};
use tokio_postgres::{Client, NoTls};

use super::Result;

/// A running Tidegate.
pub struct Target {
    process: Child,
    running: Running,
    engine: String,
    /// Where it listens.
    pub url: String,
    /// The tenants.
    pub tenants: Vec<String>,
    /// A key of each tenant.
    pub keys: Vec<String>,
    /// A connection of the owner.
    pub owner: Client,
    superuser: Client,
    _folder: tempfile::TempDir,
}

impl Target {
    /// Starts it on an empty folder, with `tenants` organizations.
    pub async fn start(engine: &str, tenants: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidegate-compare-").tempdir()?;
        // The embedded server runs as an unprivileged user when this is root.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let data_dir = folder.path().join("data");
        let mut process = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["serve", "--engine", engine, "--listen", "127.0.0.1:0", "--set", "log.level=warn", "--data-dir"])
            .arg(&data_dir)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
        let url = line.trim().strip_prefix("Tidegate is ready at ").ok_or("tidegate did not start")?.to_owned();
        let running = embedded::locate_running(&data_dir).ok_or("no embedded server")?;
        let owner = client(&running, OWNER).await?;
        let superuser = client(&running, "postgres").await?;
        let (mut slugs, mut keys) = (Vec::new(), Vec::new());
        for number in 0..tenants {
            let organization = admin::create_organization(&owner, &format!("tenant-{number}"), None).await?;
            let scopes = Scopes::parse("ingest")?;
            keys.push(admin::create_key(&owner, &organization.tenant_id, scopes, "", None).await?.key);
            slugs.push(organization.tenant_id);
        }
        let engine = engine.to_owned();
        Ok(Self { process, running, engine, url, tenants: slugs, keys, owner, superuser, _folder: folder })
    }

    /// A connection with the settings of Tidegate's writers.
    pub async fn writer(&self) -> Result<Client> {
        let client = client(&self.running, WRITER).await?;
        if self.engine == "timescale" {
            let settings = "SET timescaledb.enable_direct_compress_copy = on; SET default_toast_compression = 'lz4'";
            client.batch_execute(settings).await?;
        }
        Ok(client)
    }

    /// What the figures depend on.
    pub async fn describe(&self) -> Result<String> {
        let sql = "SELECT version() || ', fsync ' || current_setting('fsync') || ', synchronous_commit ' \
                   || current_setting('synchronous_commit') || ', shared_buffers ' || current_setting('shared_buffers')";
        Ok(self.owner.query_one(sql, &[]).await?.get(0))
    }

    /// Empties the tables and writes a checkpoint, so that no measurement pays for the one before.
    pub async fn empty(&self) -> Result<()> {
        self.owner.batch_execute("TRUNCATE events; TRUNCATE ingest_batches; TRUNCATE ingest_ledger").await?;
        self.superuser.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// Bytes of events on disk, with indexes.
    pub async fn stored_bytes(&self) -> Result<f64> {
        let sql = if self.engine == "timescale" {
            "SELECT hypertable_size('tidegate.events')::bigint"
        } else {
            "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'tidegate.events'::regclass"
        };
        let bytes: i64 = self.owner.query_one(sql, &[]).await?.get(0);
        Ok(as_f64(u64::try_from(bytes)?))
    }

    /// User and system time of Tidegate so far.
    pub fn tidegate_cpu_s(&self) -> f64 {
        cpu_seconds(self.process.id())
    }

    /// The same of every process whose working directory is the cluster, ended ones included.
    pub fn postgres_cpu_s(&self) -> f64 {
        let cluster = self.running.socket_dir.parent().map(std::path::Path::to_owned).unwrap_or_default();
        let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == cluster))
            .map(cpu_seconds)
            .sum()
    }

    /// Largest resident size of Tidegate so far.
    pub fn tidegate_peak_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }

    /// Stops it in order.
    pub async fn stop(mut self) -> Result<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let status = tokio::task::block_in_place(|| self.process.wait())?;
        if status.success() { Ok(()) } else { Err(format!("tidegate ended with {status}").into()) }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // After stop() there is nothing to kill; after an error, nothing to wait for.
        let _ = self.process.kill();
    }
}

async fn client(running: &Running, role: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(&running.url(role, embedded::DATABASE), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// User and system time of a process and of its ended children, from /proc.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command, in parentheses, may hold spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields.iter().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    // USER_HZ is 100 on every Linux that matters.
    as_f64(ticks) / 100.0
}

/// Counts as a double.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
pub fn as_f64(number: u64) -> f64 {
    number as f64
}
