//! What events say, applied together; where the database refuses a value, one event after the other, so that none stops those
//! behind it.

use std::collections::BTreeMap;

use deadpool_postgres::Object;

use super::apply::{Applied, Saying, Target, apply};
use crate::projections::Unfit;
use crate::storage::{Fate, StorageError};

/// What was applied, and why the database refused which events, by their offsets.
#[derive(Debug, Default)]
pub struct Taken {
    pub applied: Applied,
    pub refused: BTreeMap<i64, Unfit>,
}

/// Applies sayings, those of an event side by side, in the caller's transaction.
pub async fn take(client: &Object, target: Target<'_>, sayings: &[Saying]) -> Result<Taken, StorageError> {
    client.batch_execute("SAVEPOINT sayings").await?;
    match apply(client, target, sayings).await {
        Ok(applied) => return Ok(Taken { applied, ..Taken::default() }),
        Err(error) if !is_of_a_value(&error) => return Err(error),
        Err(_) => client.batch_execute("ROLLBACK TO sayings").await?,
    }
    let mut taken = Taken::default();
    for of_event in sayings.chunk_by(|one, other| one.origin.offset == other.origin.offset) {
        client.batch_execute("SAVEPOINT of_event").await?;
        match apply(client, target, of_event).await {
            Ok(applied) => {
                taken.applied.rows += applied.rows;
                taken.applied.refused += applied.refused;
            }
            Err(error) if is_of_a_value(&error) => {
                client.batch_execute("ROLLBACK TO of_event").await?;
                let unfit = Unfit::new("row_refused", error.to_string());
                taken.refused.extend(of_event.first().map(|saying| (saying.origin.offset, unfit)));
            }
            Err(error) => return Err(error),
        }
        client.batch_execute("RELEASE of_event").await?;
    }
    Ok(taken)
}

/// Whether the server would refuse it again, whatever is done about the server.
fn is_of_a_value(error: &StorageError) -> bool {
    matches!(error.fate(), Fate::RejectRow { .. })
}
