//! Logins for people: each reads what `sql/contract` lists, and is none of the service's own roles.
//!
//! A person who logs in as a role may change its password, end its sessions and wait for its locks, so that a role that people use
//! must be one that the service does not. Members of `tidegate_people` have no right of their own; what they read is granted to the
//! group (`sql/queries/people_grants.sql`). Those that read one organization (`tenant_readers`) are members of `tidegate_tenants`, to
//! which no relation is granted.

use std::collections::HashMap;

use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use super::StorageError;
use super::connect::psql_line;
use crate::config::ConnectionUrl;

/// Sessions that a login may have at once: the one bound that its holder cannot change.
const CONNECTIONS_MAX: u32 = 5;
/// Random bytes of a password.
const PASSWORD_BYTES: usize = 24;
const NAME_CHARS_MAX: usize = 63;
/// Objects that are named where they are in the way.
const NAMED_MAX: usize = 5;

/// A login just made; the only time that its password exists in clear.
#[derive(Serialize)]
pub struct NewReader {
    pub name: String,
    /// The organization that it reads; None: all.
    pub tenant_id: Option<String>,
    pub password: String,
    /// A command line that opens psql; it asks for the password.
    pub psql: String,
    /// What the login may do beyond reading, because this database gives it to everybody.
    pub beyond: Vec<Beyond>,
}

/// A login as it is listed.
#[derive(Debug, Serialize)]
pub struct Reader {
    pub name: String,
    pub reads: Reads,
    /// The organization that it reads.
    pub tenant_id: Option<String>,
    pub connections: i64,
    pub connections_max: i32,
}

/// What a login reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    All,
    Organization,
    /// An organization of another database of the server.
    Elsewhere,
}

/// Something that roles may do beyond reading.
#[derive(Debug, Serialize)]
pub struct Beyond {
    pub what: String,
    /// The statements that take it away; run by a superuser, or who owns the database.
    pub mend: String,
    pub roles: String,
}

/// Makes a login, on the connection of somebody who may make roles, and takes from PUBLIC what a login for reading has no
/// use for, as far as that user may.
pub async fn create(admin: &Client, database: &ConnectionUrl, name: &str) -> Result<NewReader, StorageError> {
    let password = make_role(admin, name, "tidegate_people", "tidegate").await?;
    admin.batch_execute(include_str!("../../sql/queries/people_grants.sql")).await?;
    admin.batch_execute(include_str!("../../sql/queries/public_rights.sql")).await?;
    let psql = psql_of(database, name);
    Ok(NewReader { name: name.to_owned(), tenant_id: None, password, psql, beyond: beyond(admin, &[name]).await? })
}

/// Makes the role of a login, whose names are those of `schema`, and returns its password.
pub(super) async fn make_role(admin: &Client, name: &str, group: &str, schema: &str) -> Result<String, StorageError> {
    check(name)?;
    let password = password()?;
    // The server, and so its log, is given no password but its verifier, which has neither quotes nor backslashes.
    let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
    let in_database: String = admin.query_one("SELECT quote_ident(current_database())", &[]).await?.get(0);
    let sql = format!(
        "BEGIN; CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS \
         CONNECTION LIMIT {CONNECTIONS_MAX} PASSWORD '{verifier}' IN ROLE {group}; \
         ALTER ROLE {name} SET default_transaction_read_only = on; ALTER ROLE {name} SET statement_timeout = '60s'; \
         ALTER ROLE {name} SET idle_in_transaction_session_timeout = '60s'; \
         ALTER ROLE {name} IN DATABASE {in_database} SET search_path = {schema}, public; COMMIT"
    );
    admin.batch_execute(include_str!("../../sql/queries/roles.sql")).await.map_err(|error| may_not(error, name))?;
    if let Err(error) = admin.batch_execute(&sql).await {
        let _ = admin.batch_execute("ROLLBACK").await;
        return Err(may_not(error, name));
    }
    Ok(password)
}

pub(super) fn password() -> Result<String, StorageError> {
    let mut random = [0; PASSWORD_BYTES];
    getrandom::fill(&mut random).map_err(|error| StorageError::fatal(format!("no random bytes: {error}")))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A command line that opens psql as another login.
pub(super) fn psql_of(database: &ConnectionUrl, name: &str) -> String {
    let mut url = database.clone();
    url.server.user(name);
    // The certificate is another role's.
    url.tls.identity = None;
    psql_line(&url)
}

/// All of them, as the owner, who knows which organization each reads.
pub async fn list(owner: &Client) -> Result<Vec<Reader>, StorageError> {
    let tenants: HashMap<String, String> = if are_noted(owner).await? {
        let sql = "SELECT l.login::text, o.tenant_id FROM tidegate.reader_logins l JOIN tidegate.organizations o ON o.id = l.org_id";
        owner.query(sql, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect()
    } else {
        HashMap::new()
    };
    let rows = owner.query(include_str!("../../sql/queries/readers_list.sql"), &[]).await?;
    let reader = |row: &Row| {
        let name: String = row.get(0);
        let tenant_id = tenants.get(&name).cloned().filter(|_| row.get(3));
        let reads = match (row.get(3), &tenant_id) {
            (false, _) => Reads::All,
            (true, Some(_)) => Reads::Organization,
            (true, None) => Reads::Elsewhere,
        };
        Reader { name, reads, tenant_id, connections_max: row.get(1), connections: row.get(2) }
    };
    Ok(rows.iter().map(reader).collect())
}

/// Drops a login and ends its sessions, or does nothing and says what is in the way.
pub(super) async fn end(admin: &Client, name: &str) -> Result<(), StorageError> {
    check(name)?;
    nothing_depends_on(admin, name).await?;
    // Whether it may be dropped at all is asked before any session is ended. Its sessions may hold what a DROP waits for.
    match drop_role(admin, name, "200ms", "ROLLBACK").await {
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {}
        tried => tried.map_err(|error| may_not_revoke(error, name))?,
    }
    let oid: u32 = admin.query_one("SELECT oid FROM pg_roles WHERE rolname = $1", &[&name]).await?.get(0);
    end_sessions(admin, oid).await.map_err(|error| may_not_revoke(error, name))?;
    drop_role(admin, name, "5s", "COMMIT").await.map_err(|error| may_not_revoke(error, name))?;
    // One that began in between has a role that is no more.
    end_sessions(admin, oid).await.map_err(|error| may_not_revoke(error, name))
}

async fn drop_role(admin: &Client, name: &str, patience: &str, end: &str) -> Result<(), tokio_postgres::Error> {
    let sql = format!("BEGIN; SET LOCAL lock_timeout = '{patience}'; DROP ROLE {name}; {end}");
    let dropped = admin.batch_execute(&sql).await;
    if dropped.is_err() {
        let _ = admin.batch_execute("ROLLBACK").await;
    }
    dropped
}

async fn end_sessions(admin: &Client, oid: u32) -> Result<(), tokio_postgres::Error> {
    let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usesysid = $1";
    admin.query(sql, &[&oid]).await.map(drop)
}

/// Objects and grants of a role are somebody's to decide about, in databases that only their owners may know.
async fn nothing_depends_on(admin: &Client, name: &str) -> Result<(), StorageError> {
    let rows = admin.query(include_str!("../../sql/queries/role_dependents.sql"), &[&name]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut places = Vec::new();
    for row in &rows {
        let (database, count, names): (String, i64, Option<Vec<String>>) = (row.get(0), row.get(1), row.get(2));
        let place = if database.is_empty() {
            "what all databases share".to_owned()
        } else {
            format!("the database {database}")
        };
        let mut shown = names.unwrap_or_default();
        let more = if shown.len() > NAMED_MAX { ", ..." } else { "" };
        shown.truncate(NAMED_MAX);
        let named = if shown.is_empty() { String::new() } else { format!(" ({}{more})", shown.join(", ")) };
        places.push(format!("{count} in {place}{named}"));
    }
    Err(StorageError::fatal(format!(
        "`{name}` is not revoked, and nothing has changed: it owns objects, or was granted rights of its own: {}. In each of \
         these databases, as a superuser: REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; then revoke it \
         again. To shut it out until then: ALTER ROLE {name} NOLOGIN",
        places.join("; ")
    )))
}

fn may_not_revoke(error: tokio_postgres::Error, name: &str) -> StorageError {
    match error.code() {
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => StorageError::from(error).doing(&format!(
            "`{name}` is not revoked: the user of database_url may not end its sessions or drop it; as an administrator of the \
             server run: ALTER ROLE {name} NOLOGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = \
             '{name}'; DROP ROLE {name}"
        )),
        Some(&SqlState::LOCK_NOT_AVAILABLE) => StorageError::from(error)
            .doing(&format!("`{name}` is not revoked: a transaction that is under way uses it; try again")),
        _ => StorageError::from(error).doing(&format!("revoking {name}")),
    }
}

/// What of another organization's the logins of one may read, asked as the owner.
pub async fn beyond_their_tenant(owner: &Client) -> Result<Vec<Beyond>, StorageError> {
    if !are_noted(owner).await? {
        return Ok(Vec::new());
    }
    let rows = owner.query(include_str!("../../sql/queries/doctor_tenants.sql"), &[]).await?;
    Ok(rows.iter().map(|row| Beyond { what: row.get(0), mend: row.get(1), roles: row.get(2) }).collect())
}

/// Whether the database knows whose such logins are; an older schema does not.
pub async fn are_noted(owner: &Client) -> Result<bool, StorageError> {
    Ok(owner.query_one("SELECT to_regclass('tidegate.reader_logins') IS NOT NULL", &[]).await?.get(0))
}

/// What roles may do beyond reading, and how it is taken away. Roles that are not there may do nothing.
pub async fn beyond(client: &Client, roles: &[&str]) -> Result<Vec<Beyond>, StorageError> {
    let rows = client.query(include_str!("../../sql/queries/doctor_rights.sql"), &[&roles]).await?;
    Ok(rows.iter().map(|row| Beyond { what: row.get(0), mend: row.get(1), roles: row.get(2) }).collect())
}

/// A name that needs no quotes, and is nobody else's.
pub(super) fn check(name: &str) -> Result<(), StorageError> {
    let mut chars = name.chars();
    let fits = chars.next().is_some_and(|first| first.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.len() <= NAME_CHARS_MAX;
    if fits && !name.starts_with("pg_") && !name.starts_with("tidegate_") {
        return Ok(());
    }
    Err(StorageError::fatal(format!(
        "`{name}`: a login's name has 1 to {NAME_CHARS_MAX} of a-z, 0-9 and `_`, begins with a letter, and neither with \
         pg_ nor with tidegate_"
    )))
}

pub(super) fn may_not(error: tokio_postgres::Error, name: &str) -> StorageError {
    match error.code() {
        Some(&SqlState::DUPLICATE_OBJECT) => {
            StorageError::fatal(format!("a role with the name `{name}` is there already (tidegate readers list)"))
        }
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => StorageError::from(error).doing(
            "the user of database_url may not make roles; name one who may for this command (TIDEGATE_DATABASE_URL), a \
             superuser or one with CREATEROLE",
        ),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names_need_no_quotes() {
        for name in ["ada", "a", "team_7", &"x".repeat(63)] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in ["", "Ada", "7a", "a b", "a\"b", "a;b", "ü", "pg_x", "tidegate_reader", "_a", &"x".repeat(64)] {
            assert!(check(name).is_err(), "{name}");
        }
    }
}
