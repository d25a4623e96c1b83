//! The server itself: started, watched, stopped.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Child;

use super::beside::Beside;
use super::cluster::{self, Cluster};
use super::config::EmbeddedConfig;
use super::error::EmbeddedError;
use super::lock::{self, DataDirLock, Running};
use super::{leftover, logs, provision, settings};
use crate::files;

/// Only the socket's name contains it: nothing listens on TCP.
const PORT: u16 = 5432;
const LOG_PRUNE_EVERY: Duration = Duration::from_secs(600);

/// A running server, and the hold on its data directory.
#[derive(Debug)]
pub struct EmbeddedServer {
    child: Child,
    pid: u32,
    running: Running,
    bin_dir: PathBuf,
    timescaledb: bool,
    lock: DataDirLock,
    log_pruning: tokio::task::JoinHandle<()>,
}

impl EmbeddedServer {
    /// Takes the data directory's lock and starts the server; returns once it answers and its roles, database and
    /// extensions are there.
    pub async fn start(config: EmbeddedConfig) -> Result<Self, EmbeddedError> {
        let lock = DataDirLock::acquire(&config.data_dir)?;
        Self::start_locked(config, lock).await
    }

    /// [`EmbeddedServer::start`] for a caller that already holds the lock, and may want to keep a clone of it from one
    /// server to the next. The lock's directory counts, not `config.data_dir`.
    pub async fn start_locked(config: EmbeddedConfig, lock: DataDirLock) -> Result<Self, EmbeddedError> {
        if let Some(beside) = Beside::interrupted(lock.data_dir()) {
            return Err(EmbeddedError::new(format!(
                "an upgrade to PostgreSQL {} was ended at its last step, and the cluster is still in {}: end it with `tidegate upgrade`",
                beside.major(),
                beside.folder().display()
            )));
        }
        let cluster = cluster::open_or_create(lock.data_dir(), &config).await?;
        Self::run(cluster, config, lock).await
    }

    /// [`EmbeddedServer::start_locked`] for a server that ran before under this lock: never makes a cluster.
    pub async fn start_again(config: EmbeddedConfig, lock: DataDirLock) -> Result<Self, EmbeddedError> {
        let cluster = cluster::open_again(lock.data_dir(), &config).await?;
        Self::run(cluster, config, lock).await
    }

    async fn run(cluster: Cluster, config: EmbeddedConfig, lock: DataDirLock) -> Result<Self, EmbeddedError> {
        leftover::stop(&cluster.dir).await?;
        let socket_dir = cluster::socket_dir(&cluster.dir, &cluster.account, PORT)?;
        let running = Running { socket_dir, port: PORT };
        let timescaledb = config.preload_timescaledb && cluster.installation.timescaledb.is_some();
        write_settings(&cluster, &running, timescaledb, &config).await?;

        let mut child = spawn(&cluster)?;
        let pid = child.id().ok_or_else(|| EmbeddedError::new("embedded PostgreSQL ended at once"))?;
        let ready = async {
            provision::wait_ready(&mut child, &running, &cluster.dir, config.start_timeout).await?;
            provision::prepare(&running, timescaledb, cluster.installation.stat_statements).await?;
            lock::write_endpoint(lock.data_dir(), &running)
        };
        if let Err(error) = ready.await {
            stop_child(&mut child).await;
            return Err(error);
        }
        tracing::info!(pid, postgres = cluster.installation.version, timescaledb, cluster = %cluster.dir.display(),
            "embedded PostgreSQL is ready");
        let log_pruning = tokio::spawn(prune_logs(cluster.dir.clone()));
        Ok(Self { child, pid, running, bin_dir: cluster.installation.bin_dir, timescaledb, lock, log_pruning })
    }

    /// The directory of the Unix socket, absolute.
    pub fn socket_dir(&self) -> &Path {
        &self.running.socket_dir
    }

    /// The number in the socket's name.
    pub fn port(&self) -> u16 {
        self.running.port
    }

    /// Process id of the server.
    pub fn server_pid(&self) -> u32 {
        self.pid
    }

    /// The directory of the server's programs, `psql` mostly among them.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// Whether TimescaleDB is loaded and installed in the database.
    pub fn has_timescaledb(&self) -> bool {
        self.timescaledb
    }

    /// A connection string that `tokio_postgres::Config` and libpq parse.
    pub fn url(&self, role: &str, database: &str) -> String {
        self.running.url(role, database)
    }

    /// A command line to paste into a shell.
    pub fn psql_line(&self, role: &str, database: &str) -> String {
        self.running.psql_line(role, database)
    }

    /// Resolves when the server ends by itself, which it never should.
    pub async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Stops the server: a fast shutdown for 20 s, then an immediate one, then by force.
    pub async fn stop(mut self) -> Result<(), EmbeddedError> {
        lock::remove_endpoint(self.lock.data_dir());
        if stop_child(&mut self.child).await {
            return Ok(());
        }
        Err(EmbeddedError::new(format!("embedded PostgreSQL, process {}, does not end", self.pid)))
    }
}

impl Drop for EmbeddedServer {
    fn drop(&mut self) {
        self.log_pruning.abort();
    }
}

async fn write_settings(
    cluster: &Cluster,
    running: &Running,
    timescaledb: bool,
    config: &EmbeddedConfig,
) -> Result<(), EmbeddedError> {
    let text = settings::render(&settings::Inputs {
        installation: &cluster.installation,
        socket_dir: &running.socket_dir,
        port: running.port,
        durable: config.durable,
        timescaledb,
        lz4: supports_lz4(cluster).await,
        memory_bytes: settings::memory_bytes(),
        extra: &config.extra_settings,
    });
    let path = cluster.dir.join(settings::CONF_FILE);
    // The folder is the account's, which may have put a link there: nothing is written through one.
    files::replace(&path, text.as_bytes(), cluster.account.owner())
        .map_err(|e| EmbeddedError::io("write the settings", &path, e))
}

/// Asks the server's program itself: it checks a setting's value against what it was built with, and exits.
async fn supports_lz4(cluster: &Cluster) -> bool {
    let mut command = cluster.account.command(&cluster.installation.program("postgres"));
    command.arg("-D").arg(&cluster.dir).args([
        "-C",
        "default_toast_compression",
        "-c",
        "default_toast_compression=lz4",
    ]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().await.is_ok_and(|status| status.success())
}

fn spawn(cluster: &Cluster) -> Result<Child, EmbeddedError> {
    let log_dir = cluster.dir.join(logs::LOG_DIR);
    if let Err(error) = std::fs::create_dir(&log_dir)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(EmbeddedError::io("create", &log_dir, error));
    }
    cluster.account.own(&log_dir)?;
    logs::prune(&cluster.dir);
    let log_path = log_dir.join(logs::STARTUP_LOG);
    let log = files::fresh(&log_path).map_err(|e| EmbeddedError::io("create", &log_path, e))?;
    // A base backup reads every file of the cluster.
    cluster.account.own(&log_path)?;
    let log_too = log.try_clone().map_err(|e| EmbeddedError::io("open", &log_path, e))?;

    let program = cluster.installation.program("postgres");
    let mut command = cluster.account.command(&program);
    command.arg("-D").arg(&cluster.dir).stdout(log).stderr(log_too).envs(settings::ALLOCATOR);
    // Ctrl-C goes to the terminal's whole process group; the server must outlive what Tidegate still has to write.
    command.process_group(0);
    command.spawn().map_err(|e| EmbeddedError::io("run", &program, e))
}

/// True when the server is over; then it has been reaped, too.
async fn stop_child(child: &mut Child) -> bool {
    let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else { return true };
    leftover::escalate(pid, || !matches!(child.try_wait(), Ok(None))).await
}

async fn prune_logs(cluster: PathBuf) {
    let mut every = tokio::time::interval(LOG_PRUNE_EVERY);
    loop {
        every.tick().await;
        logs::prune(&cluster);
    }
}
