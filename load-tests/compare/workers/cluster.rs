//! A coordinator and workers of Citus on this machine, durable servers of this process, and a Tidegate on them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tidegate::load::Endpoint;
use tidegate::storage::embedded::{DATABASE, EmbeddedConfig, EmbeddedServer, OWNER, Running, SUPERUSER, WRITER};

use super::super::common::Result;
use super::super::proc;
use super::super::target::connect;

const START_TIMEOUT: Duration = Duration::from_secs(120);

pub struct Cluster {
    coordinator: Node,
    workers: Vec<Node>,
    cells: usize,
    _folder: TempDir,
}

struct Node {
    server: EmbeddedServer,
    running: Running,
}

impl Cluster {
    /// Each cell has a writer: one for each processor, where there are no more workers than these, is what a node has that nobody
    /// configures.
    pub async fn start(workers: usize, cells: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidegate-compare-").tempdir()?;
        // The servers run as an unprivileged user when this is root.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let coordinator = Node::start(&folder, 0).await?;
        let mut cluster = Self { coordinator, workers: Vec::new(), cells, _folder: folder };
        match cluster.join(workers).await {
            Ok(()) => Ok(cluster),
            Err(error) => {
                cluster.stop().await?;
                Err(error)
            }
        }
    }

    async fn join(&mut self, workers: usize) -> Result<()> {
        for number in 1..=workers {
            self.workers.push(Node::start(&self._folder, number).await?);
        }
        let superuser = connect(&self.coordinator.running.url(SUPERUSER, DATABASE)).await?;
        for node in self.nodes() {
            let superuser = connect(&node.running.url(SUPERUSER, DATABASE)).await?;
            superuser.batch_execute("SET client_min_messages = error; CREATE EXTENSION citus").await?;
        }
        let at = |node: &Node| format!("'{}', {}", node.running.socket_dir.display(), node.running.port);
        superuser.batch_execute(&format!("SELECT citus_set_coordinator_host({})", at(&self.coordinator))).await?;
        for worker in &self.workers {
            superuser.batch_execute(&format!("SELECT citus_add_node({})", at(worker))).await?;
        }
        Ok(())
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        [&self.coordinator].into_iter().chain(&self.workers)
    }

    /// A connection to the coordinator.
    pub async fn owner(&self) -> Result<tokio_postgres::Client> {
        connect(&self.coordinator.running.url(OWNER, DATABASE)).await
    }

    /// A connection to the worker at a place.
    pub async fn connect(&self, role: &str, (host, port): &(String, u16)) -> Result<tokio_postgres::Client> {
        let is_there =
            |node: &&Node| node.running.socket_dir.display().to_string() == *host && node.running.port == *port;
        let worker = self.workers.iter().find(is_there).ok_or_else(|| format!("no worker is at {host}:{port}"))?;
        connect(&worker.running.url(role, DATABASE)).await
    }

    /// User and system time of all servers so far, and of what of them has ended.
    pub fn cpu_s(&self) -> f64 {
        let folder = |node: &Node| node.running.socket_dir.parent().map(proc::cpu_seconds_in).unwrap_or_default();
        self.nodes().map(folder).sum()
    }

    /// Starts Tidegate, which makes everything at its first start.
    pub fn serve(&self) -> Result<Serving> {
        Serving::start(&self.coordinator.running, self.cells)
    }

    pub async fn checkpoint(&self) -> Result<()> {
        for node in self.nodes() {
            connect(&node.running.url(SUPERUSER, DATABASE)).await?.batch_execute("CHECKPOINT").await?;
        }
        Ok(())
    }

    pub async fn stop(self) -> Result<()> {
        for node in self.workers.into_iter().chain([self.coordinator]) {
            node.server.stop().await?;
        }
        Ok(())
    }
}

impl Node {
    /// The one with number 0 is the coordinator.
    async fn start(folder: &TempDir, number: usize) -> Result<Self> {
        let data_dir = folder.path().canonicalize()?.join(number.to_string());
        // By which a node connects to itself.
        let socket_dir = data_dir.join("postgres/run").display().to_string();
        // Workers refuse what is told to all where the server is started again.
        let propagates = if number == 0 { "on" } else { "off" };
        let settings = [
            ("citus.local_hostname", socket_dir.as_str()),
            ("shared_preload_libraries", "citus"),
            ("citus.enable_statistics_collection", "off"),
            ("citus.node_conninfo", "sslmode=disable"),
            ("citus.enable_create_database_propagation", "off"),
            ("citus.enable_ddl_propagation", propagates),
            ("max_prepared_transactions", "200"),
            ("max_connections", "300"),
            ("wal_level", "logical"),
        ];
        let config = EmbeddedConfig {
            data_dir,
            bin_dir: None,
            start_timeout: START_TIMEOUT,
            durable: true,
            preload_timescaledb: false,
            extra_settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        };
        let server = EmbeddedServer::start(config).await?;
        let running = Running { socket_dir: server.socket_dir().to_owned(), port: server.port() };
        Ok(Self { server, running })
    }
}

/// Tidegate; dropped it is killed.
pub struct Serving {
    child: Child,
    pub endpoint: Arc<Endpoint>,
    _folder: TempDir,
}

impl Serving {
    fn start(coordinator: &Running, cells: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidegate-compare-node-").tempdir()?;
        let url = |role| coordinator.url(role, DATABASE);
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["serve", "--engine", "citus", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path())
            .args(["--set", "log.level=warn", "--set", "writers=1", "--set"])
            .arg(format!("citus.cells={cells}"))
            .envs([("TIDEGATE_DATABASE_URL", url(OWNER)), ("TIDEGATE_WRITER_URL", url(WRITER))])
            .env("TIDEGATE_READER_URL", url(tidegate::storage::embedded::READER))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take();
        let read = stdout.map(|stdout| BufReader::new(stdout).read_line(&mut line));
        let started = || line.trim().strip_prefix("Tidegate is ready at ").ok_or("tidegate did not start");
        match read.transpose().map_err(Into::into).and_then(|_| Ok(Endpoint::parse(started()?)?)) {
            Ok(endpoint) => Ok(Self { child, endpoint: Arc::new(endpoint), _folder: folder }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("tidegate ended with {status}").into()) }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // The error of a measurement that failed is told already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
