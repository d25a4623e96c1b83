//! Logins for consumers whose effects are rows of this database: each commits, with `tidegate.commit_offset`, how far the groups of
//! its organizations have come, in the transaction of its effects. It may do that, and no more; what it writes to is its owner's
//! to grant. A transaction that it leaves open ends after a minute.

use serde::Serialize;
use tokio_postgres::Client;

use super::StorageError;
use super::readers::{check, end, may_not, password, psql_of};
use crate::config::ConnectionUrl;

/// Sessions that a login may have at once.
const CONNECTIONS_MAX: u32 = 50;

/// A login just made; the only time that its password exists in clear.
#[derive(Serialize)]
pub struct NewSink {
    pub name: String,
    pub tenant_id: String,
    pub password: String,
    /// A command line that opens psql; it asks for the password.
    pub psql: String,
}

/// A login as it is listed.
#[derive(Debug, Serialize)]
pub struct Sink {
    pub name: String,
    /// The organizations for which it may commit.
    pub tenants: Vec<String>,
}

/// Makes a login, on the connection of somebody who may make roles; `owner` notes for which organization.
pub async fn create(
    admin: &Client,
    owner: &Client,
    database: &ConnectionUrl,
    name: &str,
    tenant_id: &str,
) -> Result<NewSink, StorageError> {
    check(name)?;
    let known = "SELECT FROM tidegate.organizations WHERE tenant_id = $1";
    if owner.query_opt(known, &[&tenant_id]).await?.is_none() {
        return Err(StorageError::fatal(format!("there is no organization `{tenant_id}` (tidegate orgs list)")));
    }
    let password = password()?;
    // The server, and so its log, is given no password but its verifier, which has neither quotes nor backslashes.
    let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
    let sql = format!(
        "BEGIN; CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS \
         CONNECTION LIMIT {CONNECTIONS_MAX} PASSWORD '{verifier}' IN ROLE tidegate_sinks; \
         ALTER ROLE {name} SET idle_in_transaction_session_timeout = '60s'; COMMIT"
    );
    admin.batch_execute(include_str!("../../sql/queries/roles.sql")).await.map_err(|error| may_not(error, name))?;
    if let Err(error) = admin.batch_execute(&sql).await {
        let _ = admin.batch_execute("ROLLBACK").await;
        return Err(may_not(error, name));
    }
    owner.batch_execute(include_str!("../../sql/queries/sink_grants.sql")).await?;
    let note =
        "INSERT INTO tidegate.consumer_sinks (login, tenant_id) VALUES ($1::text::name, $2) ON CONFLICT DO NOTHING";
    owner.execute(note, &[&name, &tenant_id]).await?;
    Ok(NewSink { name: name.to_owned(), tenant_id: tenant_id.to_owned(), password, psql: psql_of(database, name) })
}

pub async fn list(admin: &Client) -> Result<Vec<Sink>, StorageError> {
    let rows = admin.query(include_str!("../../sql/queries/sinks_list.sql"), &[]).await?;
    Ok(rows.iter().map(|row| Sink { name: row.get(0), tenants: row.get(1) }).collect())
}

/// Ends a login and its sessions, or does nothing and says what is in the way.
pub async fn revoke(admin: &Client, owner: &Client, name: &str) -> Result<Sink, StorageError> {
    let found = list(admin).await?.into_iter().find(|sink| sink.name == name);
    let sink = found.ok_or_else(|| {
        StorageError::fatal(format!("no login of a sink has the name `{name}` (tidegate sinks list)"))
    })?;
    end(admin, name).await?;
    owner.execute("DELETE FROM tidegate.consumer_sinks WHERE login = $1::text::name", &[&name]).await?;
    Ok(sink)
}
