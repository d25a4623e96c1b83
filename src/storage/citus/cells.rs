//! Cells: where they are, and how one is made.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use crate::config::ConnectionUrl;
use crate::model::{Kind, PerKind};
use crate::storage::StorageError;
use crate::storage::connect::{Role, connect_to, session_sql};
use crate::storage::hosts::led_to;

const CELLS: &str = include_str!("../../../sql/citus/cells.sql");
const CELL: &str = include_str!("../../../sql/citus/cell.sql");
const OWN_TABLES: &str = include_str!("../../../sql/citus/own_tables.sql");
const VERSION: &str = "SELECT max(version) FROM tidegate.schema_migrations";
/// For sessions that work on shards, and for who makes cells: nothing of this is told to other nodes.
const SESSION: &str = "SET citus.enable_manual_changes_to_shards = on; SET citus.enable_ddl_propagation = off;";

/// The tenants of a range of hashes, on one worker.
#[derive(Debug, Clone)]
pub struct Cell {
    pub first_hash: i32,
    pub last_hash: i32,
    pub place: (String, u16),
    /// Another one after each move, also where it comes back to a worker that had it.
    pub placement: i64,
    /// The schema's.
    pub name: String,
    /// The shards that COPY writes to.
    pub copied: PerKind<Arc<str>>,
}

impl Cell {
    /// Settings of the sessions that work in it. The schema of all cells' relations is not among those that are searched: once the
    /// cell was moved away, a job that did not know it yet would work on every tenant's rows through Citus.
    pub fn settings(&self) -> String {
        format!("SET search_path = {}, public; {SESSION}", self.name)
    }

    /// Whether it is still where it was.
    pub fn has_stayed(&self, now: &Self) -> bool {
        (&self.place, self.placement) == (&now.place, now.placement)
    }
}

/// All cells, in the order of their hashes.
pub async fn cells(client: &Client) -> Result<Vec<Cell>, StorageError> {
    let cell = |row: tokio_postgres::Row| -> Result<Cell, StorageError> {
        let port: i32 = row.try_get("port")?;
        // A column is called like what it has the shard of.
        let copied = |kind: Kind| row.get::<_, &str>(kind.table()).into();
        Ok(Cell {
            first_hash: row.try_get("first_hash")?,
            last_hash: row.try_get("last_hash")?,
            place: (row.try_get("host")?, u16::try_from(port).unwrap_or_default()),
            placement: row.try_get("placement")?,
            name: row.try_get("name")?,
            copied: PerKind::new(copied),
        })
    };
    client.query(CELLS, &[]).await?.into_iter().map(cell).collect()
}

/// Makes a cell where its shards are, if it is not there as it should be; `coordinator` says what it is made of.
pub async fn build(coordinator: &Client, owner: &ConnectionUrl, cell: &Cell) -> Result<(), StorageError> {
    let tables: String = coordinator.query_one(OWN_TABLES, &[]).await?.get(0);
    let version: i32 = coordinator.query_one(VERSION, &[]).await?.get(0);
    let (host, port) = (cell.place.0.as_str(), cell.place.1);
    let (client, _task) = connect_to(&led_to(owner, (host, port)), Arc::default()).await?;
    client.batch_execute(&session_sql(Role::Owner, SESSION)).await?;
    let Cell { name, first_hash, .. } = cell;
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    // The program's version alone would not tell two builds of it apart.
    let made_by: String = Sha256::digest(CELL).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let mark = format!("migration {version}, program {} ({made_by}), {tables}", env!("CARGO_PKG_VERSION"));
    let (tables, mark) = (quoted(&tables), quoted(&mark));
    let settings = format!(
        "SET tidegate.cell = '{name}'; SET tidegate.first_hash = '{first_hash}'; SET tidegate.tables = {tables}; \
         SET tidegate.mark = {mark}; SET citus.override_table_visibility = off;"
    );
    client.batch_execute(&settings).await?;
    client
        .batch_execute(CELL)
        .await
        .map_err(|error| StorageError::from(error).doing(&format!("making the cell {name} at {host}:{port}")))
}
