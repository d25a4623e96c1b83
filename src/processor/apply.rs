//! Writes what events say into tables: reads the rows that they speak of, merges, and writes those that became others.

use std::collections::BTreeMap;
use std::sync::Arc;

use deadpool_postgres::Object;

use super::statements::{self, Place};
use crate::limits::PROJECTED_ROWS_AT_ONCE;
use crate::projections::{Change, Origin, Row, Table};
use crate::storage::StorageError;

/// What one event says of one row.
pub struct Saying {
    pub change: Change,
    pub origin: Arc<Origin>,
}

/// Where sayings of a tenant go.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub tables: &'a [&'static Table],
    pub place: Place,
    pub tenant_id: &'a str,
    /// Rows of a shared table that the tenant may have.
    pub shared_rows_max: i64,
}

/// Rows that were written, and those of shared tables that were not made because there are too many.
#[derive(Debug, Default, Clone, Copy)]
pub struct Applied {
    pub rows: usize,
    pub refused: i64,
}

/// Applies sayings, in whatever order they come.
pub async fn apply(client: &Object, target: Target<'_>, sayings: &[Saying]) -> Result<Applied, StorageError> {
    let mut applied = Applied::default();
    for table in target.tables {
        let mut by_key: BTreeMap<&str, Vec<&Saying>> = BTreeMap::new();
        for saying in sayings.iter().filter(|saying| saying.change.table.name == table.name) {
            by_key.entry(&saying.change.key).or_default().push(saying);
        }
        let by_key: Vec<(&str, Vec<&Saying>)> = by_key.into_iter().collect();
        for some in by_key.chunks(PROJECTED_ROWS_AT_ONCE) {
            let of_some = of_table(client, target, table, some).await?;
            applied.rows += of_some.rows;
            applied.refused += of_some.refused;
        }
    }
    Ok(applied)
}

async fn of_table(
    client: &Object,
    target: Target<'_>,
    table: &'static Table,
    by_key: &[(&str, Vec<&Saying>)],
) -> Result<Applied, StorageError> {
    let keys: Vec<&str> = by_key.iter().map(|(key, _)| *key).collect();
    let read = client.prepare_cached(&statements::read(table, target.place)).await?;
    let mut stored = BTreeMap::new();
    for row in client.query(&read, &[&target.tenant_id, &keys]).await? {
        let (key, values, told_by): (String, &str, Option<&str>) = (row.get(0), row.get(1), row.get(2));
        stored.insert(key, stored_row(table, values, told_by)?);
    }
    let mut room = room(client, target, table, by_key.len() - stored.len()).await?;
    let (mut applied, mut small, mut large) = (Applied::default(), Vec::new(), Vec::new());
    for (key, sayings) in by_key {
        let mut row = match stored.remove(*key) {
            Some(row) => row,
            None if room == 0 => {
                applied.refused += 1;
                continue;
            }
            None => {
                room -= 1;
                Row::new(table)
            }
        };
        let mut is_changed = false;
        for Saying { change, origin } in sayings {
            is_changed |= row.take(change, origin);
        }
        if is_changed {
            let kind = if row.has_large_changed() { &mut large } else { &mut small };
            kind.push(row.write(key));
        }
    }
    applied.rows = small.len() + large.len();
    write(client, target, table, &small, false).await?;
    write(client, target, table, &large, true).await?;
    Ok(applied)
}

/// How many new rows there may be, of those that are wanted.
async fn room(client: &Object, target: Target<'_>, table: &Table, wanted: usize) -> Result<usize, StorageError> {
    if !table.is_shared || wanted == 0 {
        return Ok(wanted);
    }
    let count =
        format!("SELECT count(*) FROM (SELECT FROM {} WHERE tenant_id = $1 LIMIT $2) counted", target.place.of(table));
    let count = client.prepare_cached(&count).await?;
    let there: i64 = client.query_one(&count, &[&target.tenant_id, &target.shared_rows_max]).await?.get(0);
    Ok(usize::try_from(target.shared_rows_max - there).unwrap_or(0).min(wanted))
}

pub async fn write(
    client: &Object,
    target: Target<'_>,
    table: &Table,
    rows: &[String],
    with_large: bool,
) -> Result<(), StorageError> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = client.prepare_cached(&statements::write(table, target.place, with_large)).await?;
    let rows = format!("[{}]", rows.join(","));
    client.execute(&sql, &[&target.tenant_id, &rows]).await?;
    Ok(())
}

pub fn stored_row(table: &'static Table, values: &str, told_by: Option<&str>) -> Result<Row, StorageError> {
    Row::stored(table, values, told_by).map_err(|error| {
        StorageError::fatal(format!("told_by of a row of {} cannot be read ({error}): rebuild the table", table.name))
    })
}
