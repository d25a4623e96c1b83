//! What a database has.

use tokio_postgres::{Row, Transaction};

use super::snapshot::{Facts, Key, Part, Snapshot};
use crate::storage::{Layout, StorageError};

/// Reads the schema. `transaction` has an empty search_path, so that names are written with their schemas.
pub async fn live(transaction: &Transaction<'_>, layout: Layout) -> Result<Snapshot, StorageError> {
    let mut snapshot = Snapshot::default();
    for row in transaction.query(include_str!("../../sql/queries/schema_objects.sql"), &[]).await? {
        add(&mut snapshot, &row)?;
    }
    if layout.has_hypertables() {
        let rows = transaction.query(include_str!("../../sql/queries/schema_hypertables.sql"), &[]).await?;
        for row in rows {
            add(&mut snapshot, &row)?;
        }
        // The view of an aggregate is TimescaleDB's own, over a table with a number.
        let aggregates: Vec<String> =
            snapshot.items.keys().filter(|key| key.part == Part::Aggregate).map(|key| key.block.clone()).collect();
        for block in aggregates {
            snapshot.items.remove(&Key { block, part: Part::View, name: String::new() });
        }
    }
    Ok(snapshot)
}

fn add(snapshot: &mut Snapshot, row: &Row) -> Result<(), StorageError> {
    let (block, part, name): (String, &str, String) = (row.get(0), row.get(1), row.get(2));
    let part =
        Part::of(part).ok_or_else(|| StorageError::fatal(format!("{part} of {block} is no part of a schema")))?;
    let values: Vec<Option<String>> = row.get(3);
    let pairs = values.chunks_exact(2).filter_map(|pair| Some((pair[0].clone()?, pair[1].clone()?)));
    snapshot.items.insert(Key { block, part, name }, pairs.collect::<Facts>());
    Ok(())
}
