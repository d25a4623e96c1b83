//! The chunks of what ingestion writes: how each relation is cut, read when the pools are opened and again
//! wherever a chunk is born; and chunks that the database would cut otherwise, made by the owner.

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};

use deadpool_postgres::Pool;
use serde_json::json;
use tokio_postgres::{Client, Row};

use super::connect::on_connection;
use super::slices::{Chunk, FoundChunk, SliceMap};
use super::{Layout, StorageError};
use crate::config::Config;
use crate::model::{Kind, PerKind};

const READ: &str = include_str!("../../sql/queries/chunk_layout.sql");
/// Wider than every timestamp that is accepted, in microseconds since 1970.
const EVER_US: (i64, i64) = (-62_135_596_800_000_000, 253_402_128_000_000_000);

/// How the relations of a database are cut.
pub struct ChunkLayout(PerKind<SliceMap>);

impl ChunkLayout {
    pub async fn read(owner: &Client, layout: Layout, config: &Config) -> Result<Self, StorageError> {
        let interval_us = i64::try_from(config.chunk_interval.as_micros()).expect("checked by configuration");
        let mut maps = PerKind::new(|_| SliceMap::new(interval_us, 1, layout.direct_compress()));
        if layout.has_hypertables() {
            for kind in Kind::ALL {
                look(owner, kind, &[EVER_US], maps.of_mut(kind)).await?;
            }
        }
        Ok(Self(maps))
    }

    /// Kept up to date from now on; `owner` makes chunks.
    pub fn kept(self, owner: &Pool) -> PerKind<Arc<Slices>> {
        PerKind::new(|kind| {
            let map = RwLock::new(Arc::new(self.0.of(kind).clone()));
            Arc::new(Slices { kind, owner: owner.clone(), map })
        })
    }
}

/// How a relation is cut into chunks, as this process knows it.
pub struct Slices {
    kind: Kind,
    owner: Pool,
    map: RwLock<Arc<SliceMap>>,
}

impl Slices {
    pub fn map(&self) -> Arc<SliceMap> {
        Arc::clone(&self.map.read().expect("no code panics while holding it"))
    }

    /// Looks whether these chunks are, or will be, as they were planned, and makes those that the database would make
    /// otherwise. A process that makes chunks holds the locks of their births, so that nobody makes others meanwhile. False:
    /// they are cut otherwise, which is known now.
    pub async fn settle(&self, client: &Client, chunks: &BTreeSet<Chunk>, now_us: i64) -> Result<bool, StorageError> {
        let mut spans: Vec<(i64, i64)> = chunks.iter().map(|chunk| (chunk.from_us, chunk.to_us)).collect();
        spans.dedup();
        let mut map = (*self.map()).clone();
        let found = look(client, self.kind, &spans, &mut map).await?;
        let agreed = chunks.iter().all(|chunk| map.around(chunk.from_us, now_us) == chunk.slice());
        let missing: Vec<&Chunk> = chunks
            .iter()
            .filter(|chunk| {
                let same = |other: &&FoundChunk| (other.from_us, other.space) == (chunk.from_us, chunk.space());
                !map.comes_by_itself(chunk) && !found.iter().any(|other| same(&other))
            })
            .collect();
        if agreed && !missing.is_empty() {
            self.make(&missing).await?;
            for chunk in missing {
                map.learn(FoundChunk { from_us: chunk.from_us, to_us: chunk.to_us, space: chunk.space() });
            }
        }
        *self.map.write().expect("no code panics while holding it") = Arc::new(map);
        Ok(agreed)
    }

    /// Makes chunks with these very bounds.
    async fn make(&self, chunks: &[&Chunk]) -> Result<(), StorageError> {
        let bounds = |chunk: &&Chunk| {
            let time = [chunk.from_us, chunk.to_us];
            json!({ "timestamp": time, self.kind.space(): chunk.space() })
        };
        let bounds: Vec<serde_json::Value> = chunks.iter().map(bounds).collect();
        let sql = "SELECT count(c) FROM unnest($2::jsonb[]) AS b (slices) \
                   CROSS JOIN LATERAL _timescaledb_functions.create_chunk($1::text::regclass, b.slices) AS c";
        let table = format!("tidegate.{}", self.kind.table());
        let made =
            on_connection(&self.owner, async |client| Ok(client.query_one(sql, &[&table, &bounds]).await?)).await;
        made.map_err(|error| error.doing(&format!("making chunks of {}", self.kind.table())))?;
        Ok(())
    }
}

/// Reads how a relation is cut now, and the chunks that overlap with one of these spans of time.
async fn look(
    client: &Client,
    kind: Kind,
    spans: &[(i64, i64)],
    map: &mut SliceMap,
) -> Result<Vec<FoundChunk>, StorageError> {
    let (from, to): (Vec<i64>, Vec<i64>) = spans.iter().copied().unzip();
    let rows = client.query(READ, &[&kind.table(), &kind.space(), &from, &to]).await?;
    let first = rows.first().ok_or_else(|| StorageError::not_ready(format!("{} is no hypertable", kind.table())))?;
    let partitions: i32 = first.get("partitions");
    map.interval_us = first.get("interval_us");
    map.partitions = u32::try_from(partitions).unwrap_or(1).max(1);
    if map.interval_us <= 0 {
        return Err(StorageError::not_ready(format!("a chunk of {} has no width", kind.table())));
    }
    let chunk = |row: &Row| {
        let space = row.get::<_, Option<i64>>("space_from").zip(row.get("space_to"));
        Some(FoundChunk { from_us: row.get::<_, Option<i64>>("from_us")?, to_us: row.get("to_us"), space })
    };
    let found: Vec<FoundChunk> = rows.iter().filter_map(chunk).collect();
    found.iter().for_each(|chunk| map.learn(*chunk));
    Ok(found)
}
