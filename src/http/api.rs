//! What the process gives to HTTP.

use std::sync::{Arc, Mutex, OnceLock};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use super::tls::Tls;
use crate::config::{CorsOrigins, HttpConfig, LiveLimits};
use crate::groups::{AllGroups, GroupCounts};
use crate::ingest::{Ingest, Traffic};
use crate::lifecycle::LifecycleView;
use crate::nodes::Nodes;
use crate::precedence::Precedence;
use crate::processor::Replays;
use crate::protocols::{Problem, ProblemCode};
use crate::query::Readers;
use crate::registry::Definitions;
use crate::streams::Arrivals;
use crate::tenancy::administration::Administration;
use crate::tenancy::people::People;
use crate::tenancy::{Limiter, Tickets, Verifier};

/// What the process can do at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// On the way out: no new work, please.
    Stopping,
}

/// What handlers need of the database.
pub struct Attached {
    pub reads: Readers,
    pub lifecycle: LifecycleView,
    /// Wakes who waits for events of a stream.
    pub arrivals: Arc<Arrivals>,
    pub tickets: Tickets,
    pub groups: AllGroups,
    /// How far they are.
    pub group_counts: GroupCounts,
    /// Of events that projections could not take.
    pub letters: Replays,
    /// Users, and how they sign in.
    pub people: People,
    /// Defines streams.
    pub definitions: Definitions,
    pub administration: Administration,
}

/// Everything that handlers need.
pub struct Api {
    pub ingest: Arc<Ingest>,
    /// Empty until the database is there for the first time.
    pub attached: OnceLock<Attached>,
    /// Who a request speaks for.
    pub verifier: Arc<Verifier>,
    pub limiter: Arc<Limiter>,
    /// Which node this is, and what it knows of the others.
    pub nodes: Arc<Nodes>,
    pub limits: LiveLimits,
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

impl Api {
    /// Who waits while live traffic is behind, for so many times as long as it worked at most.
    pub fn behind_ingestion(&self, who: &'static str, times: u32) -> Precedence {
        let ingest = Arc::clone(&self.ingest);
        Precedence::over(who, times, move || ingest.is_behind(Traffic::Live))
    }

    /// What needs the database, or the answer to who asks for it before it is there.
    pub fn attached(&self) -> Result<&Attached, Problem> {
        self.attached.get().ok_or_else(|| {
            let detail = "the database has not been there since this process was started; /readyz says why";
            Problem::unavailable(ProblemCode::DatabaseUnavailable, detail, self.ingest.retry_after_s())
        })
    }
}
