//! HTTP: the accept loop, the routes, one file a resource, errors as problem documents.
//!
//! A request is told apart by path and method, its key is verified, its parameters are taken; what it means is asked of
//! [`crate::ingest`] and [`crate::query`]. Deliberately absent: SQL, and any decision about an event.

mod activity;
mod body;
mod deadline;
mod decompress;
mod exchange;
mod export;
mod extent;
mod gate;
mod h1;
mod h2;
mod head;
mod items;
mod lifecycle;
mod operation;
mod params;
mod problem;
mod quota;
mod reads;
mod response;
mod router;
mod server;
mod socket;
mod tls;
mod wire;

use std::sync::{Arc, Mutex};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

pub use router::{ROUTES, RouteInfo};
pub use server::{Served, serve};
pub use tls::Tls;

use crate::config::HttpConfig;
use crate::ingest::Ingest;
use crate::lifecycle::LifecycleView;
use crate::query::Reads;
use crate::tenancy::{Limiter, Verifier};

/// What the process can do at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// On the way out: no new work, please.
    Stopping,
}

/// Everything that handlers need.
pub struct Api {
    pub ingest: Arc<Ingest>,
    pub reads: Reads,
    /// How chunks and jobs stand.
    pub lifecycle: LifecycleView,
    /// Who a request speaks for.
    pub verifier: Verifier,
    /// What keys may send.
    pub limiter: Arc<Limiter>,
    /// Largest body, in bytes.
    pub body_bytes_max: usize,
    /// Open connections at most.
    pub connections_max: usize,
    /// All request data held at once, in bytes.
    pub memory_bytes: usize,
    /// How long peers may take.
    pub timeouts: HttpConfig,
    /// None: plain HTTP.
    pub tls: Option<Tls>,
    /// Renders the process's metrics, for one at a time.
    pub metrics: Mutex<PrometheusHandle>,
    /// Whether the process is ready.
    pub readiness: watch::Receiver<Readiness>,
}
