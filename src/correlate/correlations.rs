//! The job that finds causal and temporal pairs, minute by minute of what was written, and gives up what it remembers.

use std::sync::atomic::AtomicI32;
use std::time::Duration;

use deadpool_postgres::Object;

use super::chains::Chains;
use super::kept::KeptPairs;
use super::temporal::Temporal;
use super::{parents, upkeep};
use crate::jobs::minutes::{MinuteQueues, Tally, Worker};
use crate::jobs::{Job, RunCounts};
use crate::storage::{StorageError, Store};

/// Transactions of a run that look for the parents of orphans.
const SEARCHES_PER_RUN: usize = 20;

/// Finds causal and temporal pairs.
pub struct Correlations {
    pairs: KeptPairs,
    chains: Worker<Chains>,
    temporal: Worker<Temporal>,
    /// Where upkeep goes on, in minutes since 1970.
    upkeep_from: AtomicI32,
}

impl Correlations {
    /// Pairs are kept for `kept`: older ones are not made.
    pub fn new(queues: &mut MinuteQueues, store: &Store, kept: Duration) -> Self {
        let pairs = KeptPairs { store: store.clone(), kept };
        Self {
            chains: queues.worker(Chains::new(pairs.clone())),
            temporal: queues.worker(Temporal(pairs.clone())),
            pairs,
            upkeep_from: AtomicI32::default(),
        }
    }
}

impl Job for Correlations {
    fn name(&self) -> &'static str {
        "correlations"
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn run_once(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        let mut tally = Tally::default();
        let groups = self.chains.work().find_groups(&***client).await?;
        self.chains.run(client, &mut tally).await?;
        for _ in 0..SEARCHES_PER_RUN {
            if !parents::search(&self.pairs, client, &mut tally).await? {
                break;
            }
        }
        self.temporal.run(client, &mut tally).await?;
        upkeep::run(client, &groups, self.pairs.kept, &self.upkeep_from, &mut tally).await?;
        let lag = self.chains.lag(client).await?;
        metrics::gauge!("tidegate_correlation_lag_seconds").set(lag.as_secs_f64());
        Ok(tally.into_counts())
    }
}
