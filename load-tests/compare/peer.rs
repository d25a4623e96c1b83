//! Another database of time series, as the distribution has it: started on loopback in a folder of its own, fed over HTTP, and
//! stopped. Its own settings are left as they are, durability included; docs/PERFORMANCE.md says what that is.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tidegate::load::{Connection, Endpoint, HttpReply};

use super::common::Result;
use super::proc;
use super::raw::Numbers;
use super::sender::TIMEOUT;

const START: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
/// How long the files may go on changing after the last row.
const SETTLE: Duration = Duration::from_secs(60);
/// Files that have not changed for so long are done.
const QUIET: Duration = Duration::from_secs(5);

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    InfluxDb,
    VictoriaMetrics,
}

impl Product {
    pub const ALL: [Self; 2] = [Self::InfluxDb, Self::VictoriaMetrics];

    pub fn name(self) -> &'static str {
        match self {
            Self::InfluxDb => "InfluxDB",
            Self::VictoriaMetrics => "VictoriaMetrics",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::InfluxDb => "influxd",
            Self::VictoriaMetrics => "victoria-metrics",
        }
    }

    /// What it says of its version; none where it is not installed.
    pub fn version(self) -> Option<String> {
        let argument = if self == Self::InfluxDb { "version" } else { "--version" };
        let said = Command::new(self.program()).arg(argument).output().ok()?;
        let text = if said.stdout.is_empty() { said.stderr } else { said.stdout };
        Some(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned())
    }

    fn command(self, folder: &Path, port: u16) -> Result<Command> {
        let mut command = Command::new(self.program());
        let address = format!("127.0.0.1:{port}");
        match self {
            Self::InfluxDb => {
                let config = folder.join("influxdb.conf");
                std::fs::write(&config, "")?;
                command.arg("run").arg("-config").arg(config);
                for (name, below) in [("DATA_DIR", "data"), ("DATA_WAL_DIR", "wal"), ("META_DIR", "meta")] {
                    command.env(format!("INFLUXDB_{name}"), folder.join(below));
                }
                command.env("INFLUXDB_HTTP_BIND_ADDRESS", address).env("INFLUXDB_BIND_ADDRESS", "127.0.0.1:0");
                command.env("INFLUXDB_REPORTING_DISABLED", "true").env("INFLUXDB_MONITOR_STORE_ENABLED", "false");
                // A line of log a request, which is no part of the work; and the log of what is new made into files soon, as
                // it would be later.
                command.env("INFLUXDB_HTTP_LOG_ENABLED", "false");
                command.env("INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION", "2s");
            }
            Self::VictoriaMetrics => {
                command.arg(format!("-storageDataPath={}", folder.join("data").display()));
                command.arg(format!("-httpListenAddr={address}")).arg("-retentionPeriod=1y");
                command.args(["-search.latencyOffset=0s", "-loggerLevel=ERROR"]);
            }
        }
        Ok(command)
    }
}

/// A running one; dropped it is stopped.
pub struct Peer {
    pub product: Product,
    process: Child,
    folder: tempfile::TempDir,
    endpoint: Arc<Endpoint>,
}

impl Peer {
    pub async fn start(product: Product) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("compare-peer-").tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = product.command(folder.path(), port)?;
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let endpoint = Arc::new(Endpoint::parse(&format!("http://127.0.0.1:{port}"))?);
        let mut peer = Self { product, process, folder, endpoint };
        let (health, started) = (if product == Product::InfluxDb { "/ping" } else { "/health" }, Instant::now());
        while !peer.get(health).await.is_ok_and(|reply| reply.status.is_success()) {
            if peer.process.try_wait()?.is_some() || started.elapsed() > START {
                return Err(format!("{} did not start", product.name()).into());
            }
            tokio::time::sleep(POLL).await;
        }
        if product == Product::InfluxDb {
            peer.post("/query?q=CREATE%20DATABASE%20tidegate", Bytes::new()).await?;
        }
        Ok(peer)
    }

    pub async fn get(&self, path: &str) -> Result<HttpReply> {
        let request = Request::get(self.endpoint.path(path)?).body(Full::<Bytes>::default())?;
        Ok(Connection::new(Arc::clone(&self.endpoint)).send(request, TIMEOUT).await?)
    }

    async fn post(&self, path: &str, body: Bytes) -> Result<HttpReply> {
        let request = Request::post(self.endpoint.path(path)?).body(Full::new(body))?;
        Ok(Connection::new(Arc::clone(&self.endpoint)).send(request, TIMEOUT).await?)
    }

    /// Writes bodies of line protocol on `connections` connections; seconds until the last is answered.
    pub async fn write(&self, bodies: Vec<Bytes>, connections: usize) -> Result<f64> {
        let numbers = Arc::new(Numbers::up_to(bodies.len()));
        let (bodies, began, mut tasks): (Arc<[Bytes]>, _, _) =
            (bodies.into(), Instant::now(), tokio::task::JoinSet::new());
        for _ in 0..connections {
            let (numbers, bodies, endpoint) = (Arc::clone(&numbers), Arc::clone(&bodies), Arc::clone(&self.endpoint));
            tasks.spawn(async move {
                let mut connection = Connection::new(Arc::clone(&endpoint));
                while let Some(number) = numbers.take() {
                    let request = Request::post(endpoint.path("/write?db=tidegate&precision=ns")?);
                    let reply = connection.send(request.body(Full::new(bodies[number].clone()))?, TIMEOUT).await?;
                    if reply.status != 204 {
                        let said = String::from_utf8_lossy(&reply.body).into_owned();
                        return Err(format!("a batch was answered {}: {said}", reply.status).into());
                    }
                }
                Result::Ok(())
            });
        }
        while let Some(task) = tasks.join_next().await {
            task??;
        }
        Ok(began.elapsed().as_secs_f64())
    }

    pub fn cpu_s(&self) -> f64 {
        proc::cpu_seconds(self.process.id())
    }

    pub fn peak_mib(&self) -> f64 {
        proc::peak_mib(self.process.id())
    }

    /// Bytes of its files, once they no longer change.
    pub async fn bytes(&self) -> Result<u64> {
        let (started, mut last, mut since) = (Instant::now(), u64::MAX, Instant::now());
        while since.elapsed() < QUIET && started.elapsed() < SETTLE {
            let now = bytes_below(self.folder.path());
            if now != last {
                (last, since) = (now, Instant::now());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(last)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.process.id()) {
            // It may have ended by itself, which was told already.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.process.wait();
    }
}

/// What the files below a folder take on the disk; those that go away meanwhile count as nothing.
pub fn bytes_below(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(size).sum()
}
