//! What the process gives to HTTP.

use std::sync::{Arc, Mutex};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use super::tls::Tls;
use crate::config::{CorsOrigins, HttpConfig};
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
    pub lifecycle: LifecycleView,
    /// Who a request speaks for.
    pub verifier: Verifier,
    pub limiter: Arc<Limiter>,
    /// Largest body, in bytes.
    pub body_bytes_max: usize,
    /// Open connections at most.
    pub connections_max: usize,
    /// Of them, those of one address.
    pub connections_per_address_max: usize,
    /// All request data held at once, in bytes.
    pub memory_bytes: usize,
    pub timeouts: HttpConfig,
    /// None: plain HTTP.
    pub tls: Option<Tls>,
    pub cors_origins: CorsOrigins,
    /// Whether /metrics tells loopback about all tenants without a key.
    pub metrics_open: bool,
    /// Renders the process's metrics, for one at a time.
    pub metrics: Mutex<PrometheusHandle>,
    pub readiness: watch::Receiver<Readiness>,
}
