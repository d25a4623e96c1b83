//! Views and expressions compared by what they are, not by how a version of the server writes them.
//!
//! The same view is written otherwise by PostgreSQL 15 and 16, and a view, check or policy otherwise before and after a restore. So both
//! are read and written again by the server that is asked, as temporary views in a transaction that is rolled back.

use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;

use super::snapshot::{Key, Part, Snapshot, fact};
use crate::storage::StorageError;

/// How often a text is read and written until it stays the same.
const ROUNDS: usize = 3;

/// Gives what is the same in `expected` as in `found` its text.
pub async fn agree(
    transaction: &mut Transaction<'_>,
    expected: &mut Snapshot,
    found: &Snapshot,
) -> Result<(), StorageError> {
    for (key, facts) in &mut expected.items {
        let Some(there) = found.items.get(key) else { continue };
        for (name, wanted) in facts {
            let Some(there) = fact(there, name).filter(|there| *there != wanted.as_str()) else { continue };
            let (Some(mine), Some(other)) = (query(key, name, wanted), query(key, name, there)) else { continue };
            if mine.rest != other.rest {
                continue;
            }
            let mine = written(transaction, &mine.select).await?;
            if mine.is_some() && mine == written(transaction, &other.select).await? {
                there.clone_into(wanted);
            }
        }
    }
    Ok(())
}

/// A fact as a query that has what can be written in more than one way, and the rest of it.
struct Query<'a> {
    select: String,
    rest: &'a str,
}

fn query<'a>(key: &Key, name: &str, value: &'a str) -> Option<Query<'a>> {
    let of = |expression: &str, rest: &'a str| {
        let select = format!("SELECT {expression} AS expression FROM tidegate.{}", key.block);
        Some(Query { select, rest })
    };
    match (key.part, name) {
        (Part::View | Part::Aggregate, "definition") => {
            Some(Query { select: value.trim().trim_end_matches(';').to_owned(), rest: "" })
        }
        (Part::Constraint, "definition") => of(value.strip_prefix("CHECK ")?, "CHECK"),
        // The condition of a partial index.
        (Part::Index, "definition") => value.rsplit_once(" WHERE ").and_then(|(index, condition)| of(condition, index)),
        (Part::Policy, "using" | "check") | (Part::Column, "default") => of(value, ""),
        (Part::Column, "generated") => value.split_once(' ').and_then(|(how, expression)| of(expression, how)),
        _ => None,
    }
}

/// A query as this server writes it; None where it takes it for none, as that of a view over what is missing.
async fn written(transaction: &mut Transaction<'_>, select: &str) -> Result<Option<String>, StorageError> {
    let mut text = select.to_owned();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_written_otherwise_is_asked_for() {
        let key = |part| Key { block: "t".into(), part, name: "x".into() };
        let asked =
            |part, name, value| query(&key(part), name, value).map(|query| (query.select, query.rest.to_owned()));
        let of = |expression: &str, rest: &str| {
            Some((format!("SELECT {expression} AS expression FROM tidegate.t"), rest.to_owned()))
        };
        assert_eq!(asked(Part::View, "definition", " SELECT 1;"), Some(("SELECT 1".to_owned(), String::new())));
        assert_eq!(asked(Part::Constraint, "definition", "CHECK ((a > 0))"), of("((a > 0))", "CHECK"));
        assert_eq!(asked(Part::Constraint, "definition", "UNIQUE (a)"), None);
        assert_eq!(
            asked(Part::Index, "definition", "CREATE INDEX i ON t (a) WHERE (b)"),
            of("(b)", "CREATE INDEX i ON t (a)")
        );
        assert_eq!(asked(Part::Policy, "using", "(a = 1)"), of("(a = 1)", ""));
        assert_eq!(asked(Part::Column, "generated", "stored (a + 1)"), of("(a + 1)", "stored"));
        assert_eq!(asked(Part::Column, "type", "text"), None);
    }
}
