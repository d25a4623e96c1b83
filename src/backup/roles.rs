//! Roles on their way to another server: a dump names them, and has neither them nor their passwords and settings.

use std::collections::BTreeSet;

use serde::Serialize;
use tokio_postgres::Client;

use crate::storage::StorageError;

const CARRIED_SQL: &str = include_str!("../../sql/queries/roles_carried.sql");

/// What became of the roles.
#[derive(Debug, Default, Serialize)]
pub struct Roles {
    /// Made as they are on the server that was left.
    pub made: Vec<String>,
    /// They were there, and are as they were.
    pub kept: Vec<String>,
}

/// Makes those roles of `source`'s server that `target`'s does not have, all or none, and what is set for them in this database.
/// With `all` those that are there are made the same, too: of a server that is Tidegate's own. Superusers are left out.
pub(super) async fn carry(source: &Client, target: &mut Client, all: bool) -> Result<Roles, StorageError> {
    let database: String = target.query_one("SELECT current_database()::text", &[]).await?.get(0);
    let rows = source.query(CARRIED_SQL, &[&database]).await?;
    let there = target.query("SELECT rolname::text FROM pg_roles", &[]).await?;
    let there: BTreeSet<String> = there.iter().map(|row| row.get(0)).collect();
    let transaction = target.transaction().await?;
    let mut roles = Roles::default();
    for row in &rows {
        let (role, makes, in_database, statement): (String, bool, bool, String) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let is_there = there.contains(&role);
        if makes {
            let told = if is_there { &mut roles.kept } else { &mut roles.made };
            told.push(role.clone());
        }
        let is_due = !is_there || !makes && (all || in_database);
        if is_due {
            // The statement may hold a password's verifier, and is not repeated.
            transaction.batch_execute(&statement).await.map_err(|error| {
                let whose =
                    if role.is_empty() { "the settings of the database".into() } else { format!("the role {role}") };
                StorageError::from(error)
                    .doing(&format!("taking over {whose}, for which a user is needed who may make roles (a superuser)"))
            })?;
        }
    }
    transaction.commit().await?;
    Ok(roles)
}
