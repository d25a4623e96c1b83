//! Cells: where they are, and how one is made.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::config::ConnectionUrl;
use crate::model::{Kind, PerKind, tenant_hash};
use crate::storage::StorageError;
use crate::storage::connect::{Role, connect_to, session_sql};
use crate::storage::hosts::led_to;

const CELLS: &str = include_str!("../../../sql/citus/cells.sql");
const CELL: &str = include_str!("../../../sql/citus/cell.sql");
/// What a cell has beside the shards as Citus makes them.
const PARTS: &str = include_str!("../../../sql/citus/parts.json");
const OWN_TABLES: &str = include_str!("../../../sql/citus/own_tables.sql");
const VERSION: &str = "SELECT max(version) FROM tidegate.schema_migrations";
/// For sessions that work on shards, and for who makes cells: nothing of this is told to other nodes.
const SESSION: &str = "SET citus.enable_manual_changes_to_shards = on; SET citus.enable_ddl_propagation = off;";

/// Cells that are made at the same time.
pub const AT_ONCE: usize = 8;
/// Until it is said what is waited for.
const SLOW: Duration = Duration::from_secs(2);
/// Until what is in the way of making a cell is an error.
const TRIES_MAX: usize = 5;
/// Tries of dropping what is left of the cell before, and the time between them.
const DROPS_MAX: usize = 10;
const DROP_PAUSE: Duration = Duration::from_millis(300);

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
    /// Whether a tenant's rows are in it.
    pub fn has(&self, tenant_id: &str) -> bool {
        (self.first_hash..=self.last_hash).contains(&tenant_hash(tenant_id))
    }

    /// Host and port of its worker, as they are shown.
    pub fn worker(&self) -> String {
        format!("{}:{}", self.place.0, self.place.1)
    }

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

/// The owner's connection into a cell, where its shards are; the catalogue shows them.
pub async fn enter(owner: &ConnectionUrl, cell: &Cell) -> Result<Client, StorageError> {
    let client = connect_at(owner, cell).await?;
    client.batch_execute(&session_sql(Role::Owner, &cell.settings())).await?;
    client.batch_execute("SET citus.override_table_visibility = off").await?;
    Ok(client)
}

async fn connect_at(owner: &ConnectionUrl, cell: &Cell) -> Result<Client, StorageError> {
    let (host, port) = (cell.place.0.as_str(), cell.place.1);
    let connected = connect_to(&led_to(owner, (host, port)), Arc::default()).await;
    connected.map(|(client, _task)| client).map_err(|error| error.doing(&format!("{} at {host}:{port}", cell.name)))
}

/// What cells are made of and marked with.
pub struct Recipe {
    tables: String,
    /// The comment of a cell that is made of it; behind it stands which shards it is of.
    pub mark: String,
}

impl Recipe {
    pub async fn of(coordinator: &Client) -> Result<Self, StorageError> {
        let tables: String = coordinator.query_one(OWN_TABLES, &[]).await?.get(0);
        let version: i32 = coordinator.query_one(VERSION, &[]).await?.get(0);
        // The program's version alone would not tell two builds of it apart.
        let made_by: String =
            Sha256::digest([CELL, PARTS].concat()).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let mark = format!("migration {version}, program {} ({made_by}), {tables}", env!("CARGO_PKG_VERSION"));
        Ok(Self { tables, mark })
    }

    /// Settings that say what a cell is made of, for statements that make or look at it.
    pub fn settings(&self, cell: &Cell) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let Cell { name, first_hash, .. } = cell;
        let [tables, mark, parts] = [self.tables.as_str(), &self.mark, PARTS].map(quoted);
        format!(
            "SET tidegate.cell = '{name}'; SET tidegate.first_hash = '{first_hash}'; SET tidegate.parts = {parts}; \
             SET tidegate.tables = {tables}; SET tidegate.mark = {mark}; SET citus.override_table_visibility = off;"
        )
    }
}

/// Makes a cell where its shards are, if it is not there as it should be; `coordinator` says what it is made of, and where it is once
/// it has moved meanwhile. A try that others ended is followed by another.
pub async fn build(coordinator: &Client, owner: &ConnectionUrl, cell: &Cell) -> Result<(), StorageError> {
    let recipe = Recipe::of(coordinator).await?;
    let mut there = cell.clone();
    for _ in 1..TRIES_MAX {
        let Err(error) = told(&there, make(&recipe, owner, &there)).await else { return Ok(()) };
        let now = cells(coordinator).await?.into_iter().find(|now| now.name == cell.name);
        match now {
            Some(now) if !there.has_stayed(&now) => there = now,
            _ if error.is_contention() => {}
            _ => return Err(error),
        }
        tracing::info!(cell = cell.name, worker = there.worker(), %error, "a cell is not made yet; it is tried again");
    }
    make(&recipe, owner, &there).await
}

/// All cells, each made where it is. Some at a time: each waits for the jobs at work in it.
pub async fn build_all(coordinator: &Client, owner: &ConnectionUrl) -> Result<Vec<Cell>, StorageError> {
    let building = stream::iter(cells(coordinator).await?).map(async |cell| {
        build(coordinator, owner, &cell).await?;
        Ok(cell)
    });
    building.buffered(AT_ONCE).try_collect().await
}

/// Says what is waited for, where that takes a while.
async fn told<T>(cell: &Cell, making: impl Future<Output = T>) -> T {
    let mut making = pin!(making);
    if let Ok(made) = timeout(SLOW, &mut making).await {
        return made;
    }
    let (cell, worker) = (&cell.name, cell.worker());
    tracing::info!(cell, worker, "a cell is made by this version; jobs that are at work in it are waited for");
    making.await
}

async fn make(recipe: &Recipe, owner: &ConnectionUrl, cell: &Cell) -> Result<(), StorageError> {
    let client = connect_at(owner, cell).await?;
    client.batch_execute(&session_sql(Role::Owner, SESSION)).await?;
    client.batch_execute(&recipe.settings(cell)).await?;
    let made = client.batch_execute(CELL).await;
    made.map_err(|error| {
        StorageError::from(error).doing(&format!("making the cell {} at {}", cell.name, cell.worker()))
    })?;
    drop_left(&client, cell).await
}

/// Drops what is left of cells that were made again, each in moments in which nobody uses it. What is used longer than that is left to
/// whom the cell is made by next; it harms nobody.
async fn drop_left(client: &Client, cell: &Cell) -> Result<(), StorageError> {
    let left = "SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname, replace($1, 'tidegate_cell_', 'tidegate_left_') || '_')";
    for row in client.query(left, &[&cell.name]).await? {
        let schema: &str = row.get(0);
        let sql = format!("SET lock_timeout = '200ms'; DROP SCHEMA IF EXISTS {schema} CASCADE");
        let mut tries = 1;
        while let Err(error) = client.batch_execute(&sql).await.map_err(StorageError::from) {
            if !error.is_contention() || tries == DROPS_MAX {
                tracing::warn!(schema, worker = cell.worker(), %error, "what is left of a cell that was made again is in use, and stays");
                break;
            }
            tries += 1;
            tokio::time::sleep(DROP_PAUSE).await;
        }
    }
    Ok(())
}
