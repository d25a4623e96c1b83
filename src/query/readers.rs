//! The readers that all reads share: each read waits for its turn among its tenant's and the others', takes the memory of
//! its answer, and then has a connection.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Object, Pool, PoolError, TimeoutType};
use serde::Serialize;

use super::error::{Busy, ReadError};
use super::levels::Kept;
use super::log::Logs;
use super::queue::Queue;
use super::reads::{Lease, PageMax, Reads};
use super::turns::Turns;
use crate::budget::{Budget, HeldFor, Reservation};
use crate::config::Config;
use crate::limits::{READ_FIRST_BYTES, RETRY_AFTER_MIN};
use crate::model::Kind;
use crate::storage::{Canceller, Copies, Database, Layout, Servers, StorageError};

/// How long a health check may take.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Readers {
    pool: Pool,
    probe: Pool,
    /// What consumers are given is written there, so that it is no copy.
    current: Pool,
    canceller: Canceller,
    layout: Layout,
    payload_gin: bool,
    kept: Arc<Kept>,
    logs: Logs,
    budget: Arc<Budget>,
    queue: Arc<Queue>,
    page: PageMax,
    exports: Pool,
    servers: Servers,
    /// How wide chunks of events are, as new ones are.
    pub(super) slice: Duration,
}

/// Reads under way, and those that wait for a reader.
#[derive(Debug, Clone, Copy)]
pub struct ReadersInUse {
    pub running: usize,
    pub waiting: usize,
}

/// How the servers stand that reads may go to.
#[derive(Debug, Serialize)]
pub struct ReadServers {
    pub of: usize,
    pub reachable: usize,
    /// Copies that lag more than `reader_lag_max`, and are not read.
    pub behind: usize,
    /// Of the copy that is read and lags most.
    pub lag_ms: Option<u64>,
}

impl Readers {
    /// The readers of one of so many `homes`; what is read is held in `budget`, which all of them have in common.
    pub fn new(database: &Database, budget: &Arc<Budget>, config: &Config, homes: usize) -> Self {
        let read_ahead_bytes = config.database.read_ahead_bytes / homes.max(1);
        let turns = Turns::new(config.database.readers, config.database.readers_per_tenant);
        Self {
            pool: database.reader.clone(),
            // No query keeps it busy.
            probe: database.verifier.clone(),
            current: database.consumers.clone(),
            canceller: database.canceller.clone(),
            layout: database.installed.layout,
            payload_gin: database.installed.payload_gin,
            kept: Arc::new(Kept::new(&config.retention, &config.rollups)),
            logs: Logs::new(read_ahead_bytes, database.exports.clone()),
            budget: Arc::clone(budget),
            queue: Arc::new(Queue::new(turns)),
            exports: database.exports.clone(),
            servers: database.servers.clone(),
            slice: Duration::from_micros(database.slices.of(Kind::Events).map().interval_us.unsigned_abs()),
            page: PageMax { bytes: config.limits.page_bytes(), time: config.database.search_time },
        }
    }

    /// Begins a read of a tenant, once it is its turn.
    pub async fn begin(&self, tenant_id: &Arc<str>) -> Result<Reads, ReadError> {
        let turn = self.queue.turn(tenant_id).await?;
        let first = READ_FIRST_BYTES.min(self.page.bytes);
        let reservation = self.budget.reserve(tenant_id, HeldFor::Answer, first)?;
        let mut reads = Reads::new(
            self.pool.clone(),
            self.canceller.clone(),
            self.layout,
            Arc::clone(&self.kept),
            turn,
            reservation,
            self.page,
        );
        reads.payload_gin = self.payload_gin;
        reads.current = self.current.clone();
        Ok(reads)
    }

    /// A connection that stays between reads of an export: not one of those that reads take turns on.
    pub(super) async fn export_lease(&self) -> Result<Lease, ReadError> {
        match self.exports.get().await {
            Ok(client) => Ok(Lease::new(client, self.canceller.clone())),
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                Err(ReadError::Busy { busy: Busy::Readers, retry_after: RETRY_AFTER_MIN })
            }
            Err(error) => Err(StorageError::from(error).into()),
        }
    }

    /// Memory that an answer of a tenant takes beside what is read for it; None: there is none.
    pub fn room(&self, tenant_id: &Arc<str>, bytes: usize) -> Option<Reservation> {
        self.budget.reserve(tenant_id, HeldFor::Answer, bytes).ok()
    }

    /// What is known of logs between reads.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    pub fn in_use(&self) -> ReadersInUse {
        let (running, waiting) = self.queue.in_use();
        ReadersInUse { running, waiting }
    }

    /// The servers that reads may go to; None: there is one for everything.
    pub fn servers(&self) -> Option<ReadServers> {
        let Copies { reachable, of, behind, lag } = self.servers.copies();
        let lag_ms = lag.map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX));
        (of > 0).then_some(ReadServers { of, reachable, behind, lag_ms })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StorageError> {
        let deadline = tokio::time::Instant::now() + PING_TIMEOUT;
        let client =
            tokio::time::timeout_at(deadline, self.probe.get()).await.map_err(|_| StorageError::silence())??;
        match tokio::time::timeout_at(deadline, client.simple_query("SELECT 1")).await {
            Ok(answer) => Ok(answer.map(|_rows| ())?),
            Err(_elapsed) => {
                drop(Object::take(client));
                Err(StorageError::silence())
            }
        }
    }
}
