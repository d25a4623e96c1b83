//! The partitions of a database, whatever its layout: made ahead and on demand, dropped. Where the database makes its chunks
//! itself, nothing is done.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;

use super::partitions::Partitions;
use super::{Layout, StorageError};
use crate::model::Relation;

/// The relations of a database that are kept in partitions.
#[derive(Clone)]
pub struct Store {
    layout: Layout,
    /// Of layouts of native partitions; empty where the database makes its chunks itself.
    partitions: Arc<Vec<Partitions>>,
}

impl Store {
    /// Knows of no partition yet; `chunk_interval` is the width of new partitions of what is not a rollup.
    pub fn new(layout: Layout, owner: &Pool, chunk_interval: Duration) -> Self {
        let of = |relation: Relation| {
            Partitions::new(owner.clone(), relation, relation.partition(chunk_interval), layout.has_cells())
        };
        let partitions = if layout.has_hypertables() { Vec::new() } else { Relation::all().map(of).collect() };
        Self { layout, partitions: Arc::new(partitions) }
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    fn partitions(&self, relation: Relation) -> Option<&Partitions> {
        self.partitions.iter().find(|partitions| partitions.relation() == relation)
    }

    /// Makes whatever is missing for rows of these timestamps (microseconds since 1970); returns how many were made.
    pub async fn ensure(
        &self,
        relation: Relation,
        timestamps_us: impl Iterator<Item = i64>,
    ) -> Result<usize, StorageError> {
        match self.partitions(relation) {
            Some(partitions) => partitions.ensure(timestamps_us).await,
            None => Ok(0),
        }
    }

    /// Forgets what it knows, after something went wrong: perhaps another node, or an operator, took a partition away.
    pub fn forget(&self) {
        self.partitions.iter().for_each(Partitions::forget);
    }

    /// Drops every partition whose rows are all older than `oldest_us`; returns how many. Chunks of hypertables are dropped
    /// one slice after another by the lifecycle job.
    pub async fn drop_before(&self, relation: Relation, oldest_us: i64) -> Result<usize, StorageError> {
        match self.partitions(relation) {
            Some(partitions) => partitions.drop_before(oldest_us).await,
            None => Ok(0),
        }
    }
}
