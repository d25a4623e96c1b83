//! The queue of what was written, spread out: which minutes of which tenant a job still has to look at.
//!
//! Writers say in their own transaction which minutes they touched (`touched`); [`Spread`] notes each of them for each job
//! that derives something from events or metrics (`touched_minutes`), and each closed bucket of the rollups (`rollup_dirty`). A job
//! takes minutes away first and then reads what is in them, in one transaction with what it makes of them.

use std::time::{Duration, Instant};

use deadpool_postgres::Object;

use super::minutes::MinuteQueues;
use super::{Job, RunCounts};
use crate::precedence::Precedence;
use crate::storage::StorageError;

/// Rows of the queue taken in one transaction: one for each tenant of a batch.
const ROWS_PER_STEP: i64 = 5_000;
/// Steps of a run.
const STEPS_MAX: usize = 20;

pub struct Spread {
    /// Kinds of rows and the queues that want them, side by side.
    wanted: (Vec<&'static str>, Vec<&'static str>),
    precedence: Precedence,
}

impl Spread {
    /// Into the queues that somebody works through.
    pub fn into(queues: &MinuteQueues) -> Self {
        Self { wanted: queues.of_rows(), precedence: queues.precedence.clone() }
    }
}

impl Job for Spread {
    fn name(&self) -> &'static str {
        "touched"
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn run_once(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        let statement = client.prepare_cached(include_str!("../../sql/queries/touched_spread.sql")).await?;
        let (kinds, queues) = &self.wanted;
        let mut taken = 0;
        for _ in 0..STEPS_MAX {
            let begun = Instant::now();
            let step: i64 = client.query_one(&statement, &[&ROWS_PER_STEP, kinds, queues]).await?.get(0);
            taken += step.unsigned_abs();
            self.precedence.give_way(begun.elapsed()).await;
            if step < ROWS_PER_STEP {
                break;
            }
        }
        Ok(vec![("rows", taken)])
    }
}
