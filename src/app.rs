//! A running Tidegate: everything put together, and taken apart again in order.
//!
//! Start: database (embedded or external), schema, first key, listener, writers, jobs. Stop: not ready, accept no more,
//! let requests finish, flush the lane, stop jobs, close pools, stop the embedded server; each step bounded, and who is
//! late is named.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::correlate::{Anomalies, Correlations};
use crate::http::{self, Api, Readiness};
use crate::inferred::Inferred;
use crate::ingest::{Ingest, Workers};
use crate::jobs::minutes::MinuteQueues;
use crate::jobs::{RunningJob, Spread, start};
use crate::lifecycle::{Lifecycle, LifecycleView};
use crate::limits::SHUTDOWN_DEADLINE;
use crate::query::Reads;
use crate::rollup::{Late, Refresh, Rollups};
use crate::shutdown::Signals;
use crate::storage::{Database, Location, StorageError, needs};
use crate::telemetry;
use crate::tenancy::{Limiter, Verifier, admin};

/// Between two clean-ups of the metrics' samples.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// What is said once, when the process is ready.
pub struct Welcome {
    pub url: String,
    /// A command line that opens psql for people.
    pub psql: String,
    pub engine: String,
}

pub struct App {
    pub welcome: Welcome,
    location: Location,
    work: Stoppable,
}

/// What has to be stopped before the database.
struct Stoppable {
    database: Database,
    ingest: Arc<Ingest>,
    workers: Workers,
    jobs: Vec<RunningJob>,
    upkeep: JoinHandle<()>,
    readiness: watch::Sender<Readiness>,
    stop_serving: watch::Sender<bool>,
    serving: JoinHandle<http::Served>,
}

impl App {
    /// Starts everything; returns once requests are served.
    pub async fn start(config: &Config) -> Result<Self, StorageError> {
        let metrics = telemetry::start_metrics().map_err(|error| StorageError::fatal(format!("metrics: {error}")))?;
        let tls = config.tls.as_ref().map(http::Tls::load).transpose();
        let tls = tls.map_err(|error| StorageError::fatal(error.to_string()))?;
        let location = Location::own(config).await?;
        match Self::start_on(location, config, metrics, tls).await {
            Ok(app) => Ok(app),
            Err((location, error)) => {
                // The embedded server must not outlive a failed start.
                let _ = location.close().await;
                Err(error)
            }
        }
    }

    async fn start_on(
        location: Location,
        config: &Config,
        metrics: metrics_exporter_prometheus::PrometheusHandle,
        tls: Option<http::Tls>,
    ) -> Result<Self, (Location, StorageError)> {
        let prepared = async {
            let database = Database::open(&location, config).await?;
            let listener = TcpListener::bind(config.listen.as_str()).await.map_err(|error| {
                StorageError::fatal(format!(
                    "cannot listen on {}: {error}; set `listen` to an address that is this machine's and a port that is free and allowed",
                    config.listen
                ))
            })?;
            let listen = listener.local_addr().map_err(|error| StorageError::fatal(error.to_string()))?;
            Ok((database, listener, listen))
        };
        let (database, listener, listen) = match prepared.await {
            Ok(prepared) => prepared,
            Err(error) => return Err((location, error)),
        };
        let installed = &database.installed;
        let engine = format!("{} ({})", installed.layout.engine(), installed.reason);
        tracing::info!(engine, direct_compress = installed.layout.direct_compress(), "storage engine");
        let (ingest, workers) = match Ingest::start(&database, config).await {
            Ok(started) => started,
            Err(error) => return Err((location, error)),
        };
        let jobs = start_jobs(&database, config);
        let upkeep = metrics.clone();
        let upkeep = tokio::spawn(async move {
            // Histograms keep every sample until somebody looks, and perhaps nobody scrapes.
            loop {
                tokio::time::sleep(METRICS_UPKEEP).await;
                upkeep.run_upkeep();
            }
        });
        let (readiness, ready) = watch::channel(Readiness::Ready);
        let (stop_serving, stop) = watch::channel(false);
        let api = Api {
            ingest: Arc::clone(&ingest),
            reads: Reads::new(
                database.reader.clone(),
                database.verifier.clone(),
                database.canceller.clone(),
                installed.layout,
                &config.retention,
                &config.rollups,
            ),
            lifecycle: LifecycleView::new(database.reader.clone(), installed.layout, config),
            verifier: Verifier::new(database.verifier.clone()),
            limiter: Limiter::new(),
            body_bytes_max: config.limits.body_bytes,
            connections_max: config.limits.connections,
            connections_per_address_max: config.limits.connections_per_address,
            memory_bytes: config.limits.memory_bytes,
            timeouts: config.http.clone(),
            tls,
            cors_origins: config.cors_origins.clone(),
            metrics_open: config.metrics_open,
            metrics: Mutex::new(metrics),
            readiness: ready,
        };
        let serving = tokio::spawn(http::serve(listener, Arc::new(api), stop, SHUTDOWN_DEADLINE * 2 / 3));
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let welcome = Welcome { url: format!("{scheme}://{listen}"), psql: location.psql.clone(), engine };
        let work = Stoppable { database, ingest, workers, jobs, upkeep, readiness, stop_serving, serving };
        Ok(Self { welcome, location, work })
    }

    /// On a database without any organization, makes one and a key: tenant and text, which nobody can see again.
    pub async fn first_key(&self) -> Result<Option<(String, String)>, StorageError> {
        let mut client = owner_client(&self.location).await?;
        let made = admin::first_start(&mut client).await?;
        Ok(made.map(|(organization, key)| (organization.tenant_id, key.key)))
    }

    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Waits for a signal and stops in order; true when everything ended in time.
    pub async fn run(self, mut signals: Signals) -> bool {
        let signal = signals.next().await;
        tracing::info!(signal, "stopping; a second signal stops at once");
        let Self { location, work, .. } = self;
        let in_order = tokio::select! {
            in_order = work.stop() => in_order,
            signal = signals.next() => {
                tracing::error!(signal, "stopping at once; what was answered 200 is stored");
                false
            }
        };
        close(location).await && in_order
    }

    pub async fn stop(self) -> bool {
        let in_order = self.work.stop().await;
        close(self.location).await && in_order
    }
}

impl Stoppable {
    async fn stop(self) -> bool {
        tokio::time::timeout(SHUTDOWN_DEADLINE, self.stop_in_order()).await.unwrap_or_else(|_| {
            tracing::error!(deadline_s = SHUTDOWN_DEADLINE.as_secs(), "not everything stopped in time");
            false
        })
    }

    async fn stop_in_order(self) -> bool {
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
        self.ingest.close();
        let mut workers = self.workers;
        for writer in workers.writers.drain(..) {
            in_order &= late("a writer", writer).await;
        }
        workers.stop().await;
        for job in self.jobs {
            job.stop().await;
        }
        self.upkeep.abort();
        self.database.close();
        in_order
    }
}

/// The list of background jobs: everything that works on what is stored, beside the requests.
fn start_jobs(database: &Database, config: &Config) -> Vec<RunningJob> {
    let (store, kept) = (&database.store, config.retention.correlations);
    let mut queues = MinuteQueues::default();
    let correlations = Correlations::new(&mut queues, store, kept);
    let anomalies = Anomalies::new(&mut queues, store, kept);
    let inferred = Inferred::new(&mut queues, config.limits.assets_per_tenant);
    let mut running = vec![
        start(Lifecycle::new(store, config), database),
        start(Spread::into(&queues), database),
        start(Late::new(store, config), database),
        start(Rollups::new(store, config), database),
        start(correlations, database),
        start(anomalies, database),
        start(inferred, database),
    ];
    running.extend(Refresh::both(store, config).into_iter().map(|refresh| start(refresh, database)));
    running
}

/// Stops the embedded server last, in every case: bounded, since it is ended by force if it must be.
async fn close(location: Location) -> bool {
    match location.close().await {
        Ok(()) => {
            tracing::info!("stopped");
            true
        }
        Err(error) => {
            tracing::error!(%error, "the embedded server did not stop in order");
            false
        }
    }
}

/// Waits for a task, saying so when it takes long.
async fn late(who: &str, mut task: JoinHandle<()>) -> bool {
    loop {
        match tokio::time::timeout(Duration::from_secs(2), &mut task).await {
            Ok(result) => return result.is_ok(),
            Err(_) => tracing::warn!(who, "still at work"),
        }
    }
}

/// One connection of the owner, for commands; refused where a pooler takes the session away between two statements.
pub async fn owner_client(location: &Location) -> Result<tokio_postgres::Client, StorageError> {
    let client = needs::owner_session(location).await?;
    client.batch_execute(&crate::storage::session_sql(crate::storage::Role::Owner, "")).await?;
    Ok(client)
}
