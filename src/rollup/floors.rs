//! How far back raw rows are whole: a bucket that begins before its floor is never recomputed, and raw rows are deleted only
//! before it.
//!
//! The floor follows retention, but not past what is closed of any level: after days without the program, or without a
//! refresh that works, the rows of those days wait for their buckets. And it never goes back: when retention is made longer,
//! the rows that are gone do not return, and a refresh that looked there again would empty the buckets that outlived them.

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::Object;
use jiff::Timestamp;
use tokio_postgres::Client;

use crate::config::{RetentionConfig, RollupsConfig};
use crate::model::{Kind, LEVELS};
use crate::storage::StorageError;

const NEXT: &str = include_str!("../../sql/queries/rollup_floors_next.sql");

/// The floors in force: before them the lifecycle job may delete raw rows.
#[derive(Debug, Default)]
pub struct Floors(HashMap<(String, String), Timestamp>);

impl Floors {
    /// Of a source's rows as a whole; None before the first run of the rollups' job: nothing may be deleted yet.
    pub fn of_all(&self, source: Kind) -> Option<Timestamp> {
        self.get(source, "")
    }

    pub fn of(&self, source: Kind, tenant_id: &str) -> Option<Timestamp> {
        self.get(source, tenant_id).max(self.of_all(source))
    }

    fn get(&self, source: Kind, tenant_id: &str) -> Option<Timestamp> {
        self.0.get(&(source.table().to_owned(), tenant_id.to_owned())).copied()
    }
}

pub async fn floors(client: &Client) -> Result<Floors, StorageError> {
    let rows = client.query("SELECT source, tenant_id, floor FROM rollup_floors", &[]).await?;
    Ok(Floors(rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect()))
}

/// The same of all cells together, asked of their coordinator: the lowest, once each of so many has one.
pub async fn floors_of_cells(client: &Client, cells: usize) -> Result<Floors, StorageError> {
    let sql = "SELECT source, tenant_id, min(floor) FROM rollup_floors WHERE tenant_id = '' \
               GROUP BY source, tenant_id HAVING count(*) >= $1";
    let cells = i64::try_from(cells).unwrap_or(i64::MAX);
    let rows = client.query(sql, &[&cells]).await?;
    Ok(Floors(rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect()))
}

/// How long rows are whole, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ages {
    /// The table's, but for those of organizations that keep theirs shorter.
    pub table_s: f64,
    pub everybody_s: f64,
}

impl Ages {
    /// The same, looking back no further than this.
    pub(super) fn at_most(self, limit: Option<Duration>) -> Self {
        let limit_s = limit.map_or(f64::INFINITY, seconds);
        Self { table_s: self.table_s.min(limit_s), everybody_s: self.everybody_s.min(limit_s) }
    }
}

/// How far back the rows of each source are whole, once the floors are where they have to be now.
pub(super) async fn ages(
    client: &Object,
    retention: &RetentionConfig,
    rollups: &RollupsConfig,
) -> Result<HashMap<String, Ages>, StorageError> {
    let sql = format!(
        "SELECT source, extract(epoch FROM now() - max(floor) FILTER (WHERE tenant_id = ''))::float8, \
         extract(epoch FROM now() - max(floor))::float8 \
         FROM (SELECT source, tenant_id, floor FROM rollup_floors UNION ALL SELECT * FROM ({NEXT}) next) f GROUP BY source"
    );
    let rows = client.query(&sql, &[&seconds(retention.metrics), &seconds(retention.events), &kept(rollups)]).await?;
    let ages = |row: &tokio_postgres::Row| Ages { table_s: row.get(1), everybody_s: row.get(2) };
    Ok(rows.iter().map(|row| (row.get(0), ages(row))).collect())
}

/// Moves the floors to where they have to be now. Nothing may look behind them any more.
pub(super) async fn advance(
    client: &Object,
    retention: &RetentionConfig,
    rollups: &RollupsConfig,
) -> Result<(), StorageError> {
    let sql = format!(
        "INSERT INTO rollup_floors AS f (source, tenant_id, floor) {NEXT} \
         ON CONFLICT (source, tenant_id) DO UPDATE SET floor = excluded.floor WHERE excluded.floor > f.floor"
    );
    client.execute(&sql, &[&seconds(retention.metrics), &seconds(retention.events), &kept(rollups)]).await?;
    // Those of organizations that keep their rows as long as the others again, once the others' have caught up.
    client
        .execute(
            "DELETE FROM rollup_floors f USING rollup_floors a \
             WHERE a.source = f.source AND a.tenant_id = '' AND f.tenant_id <> '' AND f.floor <= a.floor",
            &[],
        )
        .await?;
    Ok(())
}

/// The levels that the floors wait for.
fn kept(rollups: &RollupsConfig) -> Vec<&'static str> {
    LEVELS.iter().filter(|level| *rollups.of(level)).map(|level| level.name).collect()
}

pub(super) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
