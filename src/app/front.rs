//! The first phase: what is known without the database, and answers requests whether it is there or not.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use deadpool_postgres::Pool;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Config, ConnectionUrl, LimitsConfig, LiveLimits};
use crate::files;
use crate::http::{self, Api, Attached, Readiness};
use crate::ingest::{Health, Ingest};
use crate::limits::SHUTDOWN_DEADLINE;
use crate::nodes::{Heartbeat, Means, NodeState, Nodes, Own, Spooled};
use crate::storage::{KnownDatabase, StorageError, migrations};
use crate::syslog::{self, Syslog};
use crate::tenancy::{Limiter, Verifier};

/// Between two clean-ups of the metrics' samples.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Listening, with a spool if there is to be one, and the keys that were good lately.
pub struct Front {
    pub address: SocketAddr,
    pub ingest: Arc<Ingest>,
    api: Arc<Api>,
    verifier: Arc<Verifier>,
    upkeep: [JoinHandle<()>; 3],
    readiness: watch::Sender<Readiness>,
    stop_serving: watch::Sender<bool>,
    serving: JoinHandle<http::Served>,
    syslog: Option<Syslog>,
}

/// The same, when no request is under way any more.
pub struct Quiet {
    ingest: Arc<Ingest>,
    verifier: Arc<Verifier>,
    upkeep: [JoinHandle<()>; 3],
}

impl Front {
    /// Opens the spool and answers what comes to `listener`.
    pub async fn start(
        listener: TcpListener,
        syslog: Option<syslog::Bound>,
        tls: Option<http::Tls>,
        metrics: PrometheusHandle,
        config: &Config,
        limits: &LiveLimits,
    ) -> Result<Self, StorageError> {
        let address = listener.local_addr().map_err(|error| StorageError::fatal(error.to_string()))?;
        let ingest = Ingest::open(config).await?;
        let verifier = Verifier::open(folder(&ingest, config));
        let nodes = Nodes::open(folder(&ingest, config), &config.node);
        let upkeep = [
            tokio::spawn(keep_up(metrics.clone(), config.data_dir.clone())),
            tokio::spawn(Arc::clone(&verifier).keep()),
            tokio::spawn(resize(Arc::clone(&ingest), limits.changes())),
        ];
        let (readiness, ready) = watch::channel(Readiness::Ready);
        let (stop_serving, stop) = watch::channel(false);
        let api = Arc::new(Api {
            ingest: Arc::clone(&ingest),
            attached: OnceLock::new(),
            verifier: Arc::clone(&verifier),
            limiter: Limiter::new(),
            nodes,
            limits: limits.clone(),
            timeouts: config.http.clone(),
            tls,
            cors_origins: config.cors_origins.clone(),
            metrics_open: config.metrics_open,
            metrics: Mutex::new(metrics),
            readiness: ready,
        });
        let drain = SHUTDOWN_DEADLINE * 2 / 3;
        let syslog = syslog.map(|bound| bound.start(Arc::clone(&api), &stop, drain)).transpose();
        let syslog = syslog.map_err(|error| StorageError::fatal(error.to_string()))?;
        let serving = tokio::spawn(http::serve(listener, Arc::clone(&api), stop, drain));
        Ok(Self { address, ingest, api, verifier, upkeep, readiness, stop_serving, serving, syslog })
    }

    /// Says to other nodes that this one lives, once the database is `proven`.
    pub fn beat(&self, owner: &ConnectionUrl, known: &Arc<KnownDatabase>, proven: watch::Receiver<bool>) -> Heartbeat {
        let api = Arc::clone(&self.api);
        Heartbeat::start(Means {
            nodes: Arc::clone(&self.api.nodes),
            owner: owner.clone(),
            known: Arc::clone(known),
            limiter: Arc::clone(&self.api.limiter),
            schema_version: migrations::latest(),
            own: Box::new(move || own(&api)),
            proven,
        })
    }

    /// Where something may be kept for the next process.
    pub fn folder<'a>(&self, config: &'a Config) -> Option<&'a Path> {
        folder(&self.ingest, config)
    }

    /// Gives it what needs the database; once. Returns what notes when keys were used.
    pub fn attach(&self, attached: Attached, verifier: Pool, notes: Pool) -> Arc<Verifier> {
        self.verifier.attach(verifier, notes);
        assert!(self.api.attached.set(attached).is_ok(), "the second phase is begun once");
        Arc::clone(&self.verifier)
    }

    /// Accepts no more, and lets requests finish; false if some had to be cut.
    pub async fn finish_requests(self) -> (Quiet, bool) {
        self.readiness.send_replace(Readiness::Stopping);
        self.stop_serving.send_replace(true);
        let mut in_order = match self.serving.await {
            Ok(http::Served { cut: 0 }) => true,
            Ok(http::Served { cut }) => {
                tracing::warn!(connections = cut, "connections were busy at the deadline and were cut");
                false
            }
            Err(error) => {
                tracing::error!(%error, "the accept loop failed");
                false
            }
        };
        if let Some(syslog) = self.syslog {
            in_order &= syslog.ended().await;
        }
        self.ingest.close();
        (Quiet { ingest: self.ingest, verifier: self.verifier, upkeep: self.upkeep }, in_order)
    }
}

impl Quiet {
    /// Keeps what is to be remembered, and lets go of the spool.
    pub async fn close(self) {
        self.upkeep.iter().for_each(JoinHandle::abort);
        self.verifier.save().await;
        self.ingest.close_spool().await;
    }
}

/// The folder of data where there is a spool: by its lock it is this process's alone, and without one there is nothing that
/// could be taken while the database is away.
fn folder<'a>(ingest: &Ingest, config: &'a Config) -> Option<&'a Path> {
    ingest.spool().map(|_| config.data_dir.as_path())
}

/// How this node stands, as the others are told.
fn own(api: &Api) -> Own {
    let takes = api.ingest.health() == Health::Available && api.ingest.undrained().is_none();
    let state = match (api.readiness.borrow().clone(), api.attached.get()) {
        (Readiness::Stopping, _) => NodeState::Draining,
        (Readiness::Ready, None) => NodeState::Starting,
        (Readiness::Ready, Some(_)) if takes => NodeState::Ready,
        (Readiness::Ready, Some(_)) => NodeState::Degraded,
    };
    let spool = api.ingest.spool().map(|spool| spool.stats()).unwrap_or_default();
    let spooled = Spooled {
        requests: spool.undrained.records,
        items: spool.undrained.items,
        bytes: spool.undrained.bytes,
        quarantined_files: spool.quarantined.files,
    };
    Own { state, spooled }
}

/// Follows the limits wherever they go.
async fn resize(ingest: Arc<Ingest>, mut limits: watch::Receiver<LimitsConfig>) {
    while limits.changed().await.is_ok() {
        let now = *limits.borrow_and_update();
        ingest.resize(&now);
    }
}

/// Histograms keep every sample until somebody looks, and perhaps nobody scrapes. The room on the disk of `data_dir` is looked at
/// here, since a look at a disk that hangs must hold up no scrape.
async fn keep_up(metrics: PrometheusHandle, data_dir: PathBuf) {
    loop {
        let folder = data_dir.clone();
        if let Ok(Ok(free)) = tokio::task::spawn_blocking(move || files::free_bytes(&folder)).await {
            tell_free(free);
        }
        tokio::time::sleep(METRICS_UPKEEP).await;
        metrics.run_upkeep();
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are doubles; exact up to 2^53")]
fn tell_free(bytes: u64) {
    metrics::gauge!("tidegate_disk_free_bytes").set(bytes as f64);
}
