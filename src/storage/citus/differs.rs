//! What of a cell is other than it is made, and cells that are made again where something is.

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_postgres::Client;

use super::cells::{AT_ONCE, Cell, Recipe, build, cells, enter};
use crate::config::ConnectionUrl;
use crate::storage::StorageError;

const DIFFERS: &str = include_str!("../../../sql/citus/cell_differs.sql");

/// An object of a cell, or of its shards, and how it is other.
#[derive(Debug)]
pub struct Differs {
    pub object: String,
    pub how: String,
}

/// Looks at a cell on a connection into it, and changes nothing.
pub async fn differs(inside: &Client, recipe: &Recipe, cell: &Cell) -> Result<Vec<Differs>, StorageError> {
    let settings = recipe.settings(cell);
    inside.batch_execute(&format!("BEGIN; SET LOCAL search_path = pg_catalog; {settings}")).await?;
    let found = inside.query(DIFFERS, &[]).await;
    inside.batch_execute("ROLLBACK").await?;
    let differs = |row: &tokio_postgres::Row| Differs { object: row.get(0), how: row.get(1) };
    Ok(found?.iter().map(differs).collect())
}

/// Makes every cell that is missing, and again those that are other than they are made; how many these were. Some at a time, for each
/// waits for the jobs at work in it.
pub async fn mend(coordinator: &Client, owner: &ConnectionUrl) -> Result<usize, StorageError> {
    let recipe = &Recipe::of(coordinator).await?;
    let mending = stream::iter(cells(coordinator).await?).map(async |cell| {
        build(coordinator, owner, &cell).await?;
        let inside = enter(owner, &cell).await?;
        let found = differs(&inside, recipe, &cell).await?;
        if found.is_empty() {
            return Ok(0);
        }
        for Differs { object, how } in &found {
            tracing::warn!(cell = cell.name, worker = cell.worker(), object, how, "a cell is made again");
        }
        inside.batch_execute(&format!("COMMENT ON SCHEMA {} IS NULL", cell.name)).await?;
        build(coordinator, owner, &cell).await?;
        Ok(1)
    });
    mending.buffer_unordered(AT_ONCE).try_fold(0, async |all, mended| Ok(all + mended)).await
}
