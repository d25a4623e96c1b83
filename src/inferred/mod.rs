//! Inferred tables: what events and metrics tell, as tables that can be computed from them again. One file a table.

mod assets;
mod rebuild;
mod series;
mod table;

use std::time::Duration;

use deadpool_postgres::Object;

use crate::jobs::minutes::{MinuteQueues, Tally, Worker};
use crate::jobs::{Job, RunCounts};
use crate::storage::StorageError;
pub use rebuild::{Rebuilt, names, rebuild};
use table::{Limited, Table};

/// All inferred tables, in the order in which they are kept up.
const TABLES: &[Table] = &[assets::TABLE, series::TABLE];

/// Keeps the inferred tables up. One job for all, because several write assets, and two transactions that write the same rows
/// at once would wait for each other.
pub struct Inferred(Vec<Worker<Limited>>);

impl Inferred {
    /// At most `assets_max` assets are made for a tenant.
    pub fn new(queues: &mut MinuteQueues, assets_max: usize) -> Self {
        let assets_max = i64::try_from(assets_max).unwrap_or(i64::MAX);
        Self(TABLES.iter().map(|table| queues.worker(Limited { table: *table, assets_max })).collect())
    }
}

impl Job for Inferred {
    fn name(&self) -> &'static str {
        "inferred"
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn run_once(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        let mut tally = Tally::default();
        for table in &self.0 {
            table.run(client, &mut tally).await?;
        }
        Ok(tally.into_counts())
    }
}
