//! Views compared by what they are, not by how a version of the server writes them.
//!
//! The same view is written otherwise by PostgreSQL 15 and 16, and by one server before and after a restore. So both are read and
//! written again by the server that is asked, as temporary views in a transaction that is rolled back.

use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;

use super::snapshot::{Part, Snapshot};
use crate::storage::StorageError;

/// How often a text is read and written until it stays the same.
const ROUNDS: usize = 3;

/// Gives views of `expected` that are the same as those of `found` their text.
pub async fn agree(
    transaction: &mut Transaction<'_>,
    expected: &mut Snapshot,
    found: &Snapshot,
) -> Result<(), StorageError> {
    for (key, facts) in &mut expected.items {
        if !matches!(key.part, Part::View | Part::Aggregate) {
            continue;
        }
        let Some((_, wanted)) = facts.iter_mut().find(|(name, _)| name == "definition") else { continue };
        let Some(there) = found.items.get(key).and_then(|facts| super::snapshot::fact(facts, "definition")) else {
            continue;
        };
        if wanted == there {
            continue;
        }
        let mine = written(transaction, wanted).await?;
        if mine.is_some() && mine == written(transaction, there).await? {
            there.clone_into(wanted);
        }
    }
    Ok(())
}

/// A definition as this server writes it; None where it takes it for none, as that of a view over what is missing.
async fn written(transaction: &mut Transaction<'_>, definition: &str) -> Result<Option<String>, StorageError> {
    let mut text = definition.trim().trim_end_matches(';').to_owned();
    for _ in 0..ROUNDS {
        let savepoint = transaction.transaction().await?;
        let made = savepoint.batch_execute(&format!("CREATE TEMPORARY VIEW tidegate_schema_verify AS {text}")).await;
        if let Err(error) = made {
            savepoint.rollback().await?;
            return match error.code() {
                Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Err(StorageError::not_ready(
                    "views are compared as temporary ones, which this user may not make: GRANT TEMPORARY ON DATABASE ... TO \
                     tidegate_owner",
                )),
                Some(_) => Ok(None),
                None => Err(error.into()),
            };
        }
        let row = savepoint.query_one("SELECT pg_get_viewdef('pg_temp.tidegate_schema_verify'::regclass)", &[]).await?;
        let again: String = row.get(0);
        savepoint.rollback().await?;
        let again = again.trim().trim_end_matches(';').to_owned();
        if again == text {
            break;
        }
        text = again;
    }
    Ok(Some(text))
}
