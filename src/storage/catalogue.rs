//! What the catalogue of a database is asked, in the words of its layout: where buckets are, which chunks there are.

use tokio_postgres::error::SqlState;
use tokio_postgres::{GenericClient, Row};

use super::{Layout, StorageError};
use crate::model::{Level, Relation};

/// A chunk or a partition, as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChunk {
    pub relation: Relation,
    /// Its own name, quoted, with its schema.
    pub name: String,
    /// Its first microsecond since 1970.
    pub from_us: i64,
    /// The first one after it.
    pub to_us: i64,
    /// Bits of the catalogue; 0 for a partition.
    pub status: i32,
    /// The relation of what is in the columnstore.
    pub columnstore: Option<String>,
}

/// Bits of what `_timescaledb_functions.chunk_status` says.
const COMPRESSED: i32 = 1;
const UNORDERED: i32 = 2;
const FROZEN: i32 = 4;
const PARTIAL: i32 = 8;

impl StoredChunk {
    /// Whether any of it is in the columnstore.
    pub fn is_compressed(&self) -> bool {
        self.status & COMPRESSED != 0
    }

    /// Whether its columnstore is not what compressing it whole would make of it: direct compress left it unordered, or there
    /// are rows beside it.
    pub fn is_disordered(&self) -> bool {
        self.is_compressed() && self.status & (UNORDERED | PARTIAL) != 0
    }

    /// Whether somebody froze it, on purpose.
    pub fn is_frozen(&self) -> bool {
        self.status & FROZEN != 0
    }
}

impl Layout {
    /// Where closed buckets of a level are written, recomputed and looked up: never what a view computes beside them.
    pub async fn closed(self, client: &impl GenericClient, level: &Level) -> Result<String, StorageError> {
        if !self.has_hypertables() {
            return Ok(level.closed.to_owned());
        }
        // Not the view over the catalogue, which is planned for three times as long: jobs ask every second.
        let sql = "SELECT format('%I.%I', h.schema_name, h.table_name) FROM _timescaledb_catalog.continuous_agg a \
                   JOIN _timescaledb_catalog.hypertable h ON h.id = a.mat_hypertable_id \
                   WHERE a.user_view_schema = 'tidegate' AND a.user_view_name = $1::text";
        Ok(client.query_one(sql, &[&level.buckets]).await?.get(0))
    }

    /// Where readers find the buckets of a level that are not stale: in native partitions without what is open, for which
    /// [`Self::stale_sql`] says so.
    pub fn stored(self, level: &Level) -> &'static str {
        if self.has_hypertables() { level.buckets } else { level.closed }
    }

    /// The statement that says where a level lags behind its rows.
    pub fn stale_sql(self) -> &'static str {
        if self.has_hypertables() {
            include_str!("../../sql/queries/stale_timescale.sql")
        } else {
            include_str!("../../sql/queries/stale_postgres.sql")
        }
    }

    /// What a transaction begins with that writes to chunks of a relation past the relation itself, which would do this: in a cell,
    /// that its shard is held, and is still of this node.
    pub fn hold_sql(self, table: &str) -> Option<String> {
        self.has_cells().then(|| format!("DELETE FROM {table} WHERE false"))
    }

    /// All chunks and partitions there are, oldest first.
    pub async fn list(self, client: &impl GenericClient) -> Result<Vec<StoredChunk>, StorageError> {
        let (rows, name): (Vec<Row>, fn(Relation) -> &'static str) = if self.has_hypertables() {
            (of_chunks(client, include_str!("../../sql/queries/lifecycle_chunks.sql")).await?, Relation::hypertable)
        } else {
            let tables: Vec<&str> = Relation::all().map(Relation::table).collect();
            let partitions = include_str!("../../sql/queries/lifecycle_partitions.sql");
            let rows = match self.has_cells() {
                true => {
                    let of_cells = include_str!("../../sql/queries/lifecycle_partitions_citus.sql");
                    client.query(&of_cells.replace("{partitions}", partitions), &[&tables]).await?
                }
                false => client.query(partitions, &[&tables]).await?,
            };
            (rows, Relation::table)
        };
        let chunk = |row: &Row| {
            Some(StoredChunk {
                relation: Relation::all().find(|relation| name(*relation) == row.get::<_, &str>("relation"))?,
                name: row.get("chunk"),
                from_us: row.get("from_us"),
                to_us: row.get("to_us"),
                status: row.get("status"),
                columnstore: row.get("columnstore"),
            })
        };
        Ok(rows.iter().filter_map(chunk).collect())
    }
}

/// A chunk may be dropped between its being listed and its being asked for, and is then no longer in the list.
const TRIES: usize = 3;

/// The rows of a statement that lists chunks and asks TimescaleDB about each.
async fn of_chunks(client: &impl GenericClient, sql: &str) -> Result<Vec<Row>, StorageError> {
    let is_gone = |error: &tokio_postgres::Error| {
        matches!(error.code(), Some(&SqlState::UNDEFINED_OBJECT | &SqlState::UNDEFINED_TABLE))
    };
    let mut tries = 1;
    loop {
        match client.query(sql, &[]).await {
            Err(error) if is_gone(&error) && tries < TRIES => tries += 1,
            rows => return Ok(rows?),
        }
    }
}

/// The status bits of a chunk of TimescaleDB; None when it has been dropped.
pub async fn status(client: &impl GenericClient, chunk: &str) -> Result<Option<i32>, StorageError> {
    let sql = "SELECT _timescaledb_functions.chunk_status(r.relid) FROM (SELECT to_regclass($1::text) AS relid) r \
               WHERE r.relid IS NOT NULL";
    match client.query_opt(sql, &[&chunk]).await {
        Ok(row) => Ok(row.map(|row| row.get(0))),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Chunks whose rows beside the columnstore readers take for complete, if there are rows: with a heap, and not flagged so.
pub async fn may_hide_rows(client: &impl GenericClient) -> Result<Vec<String>, StorageError> {
    let rows = of_chunks(client, include_str!("../../sql/queries/hidden_rows.sql")).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
