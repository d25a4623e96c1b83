//! What logins of one organization read: a schema for each organization that has such logins, with a view of each relation that people
//! read, of the rows of that tenant alone.
//!
//! The views have a security barrier: without one PostgreSQL may ask a login's own conditions of a row before it asks whose row it is,
//! and an error message (`1 / (...)`, a cast) then tells what is in it. What they are made from is in the database
//! (`sql/queries/tenant_views.sql`), so that they follow the relations wherever migrations take these.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::StorageError;

/// For a view that somebody reads.
const LOCK_TIMEOUT: &str = "2s";

/// A view, or a schema of views, that is not as it should be.
#[derive(Debug)]
pub struct Unmade {
    /// With its schema.
    pub view: String,
    pub error: String,
}

/// Makes the views that are missing or differ, and gives each organization's logins the right to read them, as the owner. What cannot be
/// made stays as it is: it shows no other tenant's rows.
pub async fn make(owner: &Client) -> Result<Vec<Unmade>, StorageError> {
    owner.batch_execute(include_str!("../../sql/queries/tenant_grants.sql")).await?;
    let with_logins = "SELECT org_id::text, s, to_regnamespace(s) IS NULL \
                       FROM (SELECT DISTINCT org_id, tidegate.reader_schema(org_id) AS s FROM tidegate.reader_logins) l";
    let organizations: Vec<(String, String, bool)> =
        owner.query(with_logins, &[]).await?.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let mut unmade = Vec::new();
    for (_, schema, _) in organizations.iter().filter(|(_, _, missing)| *missing) {
        let made = in_transaction(owner, &format!("CREATE SCHEMA {schema}")).await;
        note(made, schema, &mut unmade)?;
    }
    for (view, statement) in differing(owner).await? {
        let made = make_one(owner, &view, &statement).await;
        note(made, &view, &mut unmade)?;
    }
    for (org_id, schema, _) in &organizations {
        let given = in_transaction(owner, &format!("SELECT tidegate.set_reader_rights('{org_id}')")).await;
        note(given, schema, &mut unmade)?;
    }
    Ok(unmade)
}

/// What fails for one of them stops none of the others.
fn note(done: Result<(), tokio_postgres::Error>, view: &str, unmade: &mut Vec<Unmade>) -> Result<(), StorageError> {
    match done {
        Err(error) if error.is_closed() => return Err(error.into()),
        Err(error) => unmade.push(Unmade { view: view.to_owned(), error: StorageError::from(error).to_string() }),
        Ok(()) => {}
    }
    Ok(())
}

/// The views that are not as they should be.
pub async fn names_of_differing(owner: &Client) -> Result<Vec<String>, StorageError> {
    Ok(differing(owner).await?.into_iter().map(|(view, _)| view).collect())
}

async fn differing(owner: &Client) -> Result<Vec<(String, String)>, StorageError> {
    let rows = owner.query(include_str!("../../sql/queries/tenant_views.sql"), &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn make_one(owner: &Client, view: &str, statement: &str) -> Result<(), tokio_postgres::Error> {
    let replaced = in_transaction(owner, statement).await;
    match replaced {
        // A column has gone, or has another place or type.
        Err(error) if error.code() == Some(&SqlState::INVALID_TABLE_DEFINITION) => {
            in_transaction(owner, &format!("DROP VIEW {view}; {statement}")).await
        }
        done => done,
    }
}

async fn in_transaction(owner: &Client, statements: &str) -> Result<(), tokio_postgres::Error> {
    let done =
        owner.batch_execute(&format!("BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; {statements}; COMMIT")).await;
    if done.is_err() {
        let _ = owner.batch_execute("ROLLBACK").await;
    }
    done
}

/// Drops all views of tenants' readers, in the way of a migration as they are; [`make`] makes them again.
pub async fn drop_all(owner: &Client) -> Result<(), StorageError> {
    let schemas = "SELECT DISTINCT tidegate.reader_schema(org_id) FROM tidegate.reader_logins";
    for schema in owner.query(schemas, &[]).await? {
        let names = views_of(owner, schema.get(0)).await?;
        if names.is_empty() {
            continue;
        }
        in_transaction(owner, &format!("DROP VIEW {}", names.join(", "))).await.map_err(|error| {
            StorageError::from(error).doing(
                "dropping the views of tenants' readers, which stand in the way of the migration and are made again after it; drop what \
                 was built on them",
            )
        })?;
    }
    Ok(())
}

/// Drops an organization's views and their schema, unless somebody has built on them.
pub async fn drop_schema(owner: &Client, schema: &str) {
    let dropped = async {
        let names = views_of(owner, schema).await?;
        let views = if names.is_empty() { String::new() } else { format!("DROP VIEW {}; ", names.join(", ")) };
        in_transaction(owner, &format!("{views}DROP SCHEMA IF EXISTS {schema}")).await.map_err(StorageError::from)
    };
    if let Err(error) = dropped.await {
        tracing::warn!(schema, %error, "the views of an organization that has no logins any more are kept");
    }
}

/// With their schema.
async fn views_of(owner: &Client, schema: &str) -> Result<Vec<String>, StorageError> {
    let sql = "SELECT format('%I.%I', n.nspname, v.relname) FROM pg_class v JOIN pg_namespace n ON n.oid = v.relnamespace \
               WHERE v.relkind = 'v' AND n.nspname = $1";
    Ok(owner.query(sql, &[&schema]).await?.iter().map(|row| row.get(0)).collect())
}
