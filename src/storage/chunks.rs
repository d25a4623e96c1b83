//! How the relations that ingestion writes are cut into chunks: in time, and on TimescaleDB in space as well. Read once, when
//! the pools are opened; after a change in the database, start Tidegate again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Layout;
use super::StorageError;
use super::connect::{Warnings, connect_to};
use crate::config::{Config, ConnectionUrl};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunking {
    /// A time slice that is certain to lie in one chunk: the narrowest chunk there is.
    pub slice: Duration,
    /// Into how many partitions the rows of a slice are spread.
    pub partitions: u32,
}

#[derive(Debug, Clone)]
pub struct Chunks {
    default: Chunking,
    tables: HashMap<String, Chunking>,
}

impl Chunks {
    pub async fn read(owner: &ConnectionUrl, layout: Layout, config: &Config) -> Result<Self, StorageError> {
        let default = Chunking { slice: config.chunk_interval, partitions: 1 };
        let mut tables = HashMap::new();
        if layout.has_hypertables() {
            let (client, _task) = connect_to(owner, Arc::new(Warnings::default())).await?;
            for row in client.query(include_str!("../../sql/queries/chunk_layout.sql"), &[]).await? {
                let (table, slice_us, partitions): (String, i64, i32) = (row.get(0), row.get(1), row.get(2));
                let slice = Duration::from_micros(u64::try_from(slice_us).unwrap_or(0)).min(config.chunk_interval);
                if slice.is_zero() {
                    return Err(StorageError::not_ready(format!("a chunk of {table} has no width")));
                }
                tables.insert(table, Chunking { slice, partitions: u32::try_from(partitions).unwrap_or(1).max(1) });
            }
        }
        Ok(Self { default, tables })
    }

    pub fn of(&self, table: &str) -> Chunking {
        self.tables.get(table).copied().unwrap_or(self.default)
    }
}
