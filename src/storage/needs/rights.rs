//! What each role must be able to do, and what it should not.

use tokio_postgres::Client;

use super::need::{Need, Severity};
use super::place::Path;
use crate::storage::StorageError;

pub async fn is_installed(client: &Client) -> Result<bool, StorageError> {
    let sql = "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = 'tidegate' AND c.relname = 'installation')";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// The owner makes the schema, and everything in it is its own.
pub async fn owner(client: &Client) -> Result<Need, StorageError> {
    const NAME: &str = "owner rights";
    let must = |found: String, mend: String| Ok(Need::unmet(NAME, Severity::Must, found, mend));
    let row = client.query_one(include_str!("../../../sql/queries/needs_owner.sql"), &[]).await?;
    let (superuser, may_create_roles, may_create_schema): (bool, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let (missing, others): (Vec<String>, Vec<String>) = (row.get(3), row.get(4));
    let names = client.query_one("SELECT quote_ident(current_user), quote_ident(current_database())", &[]).await?;
    let (user, database): (String, String) = (names.get(0), names.get(1));
    if !missing.is_empty() && !may_create_roles {
        let create: Vec<String> = missing.iter().map(|role| format!("CREATE ROLE {role} LOGIN;")).collect();
        return must(
            format!("the roles {} are not there, and {user} may not create them", missing.join(", ")),
            format!("as a superuser: {} and set passwords as you need", create.join(" ")),
        );
    }
    if superuser {
        return Ok(Need::met(NAME, format!("{user}, a superuser, which steps down to tidegate_owner")));
    }
    if !others.is_empty() {
        return must(
            format!("relations of the schema tidegate belong to {}", others.join(", ")),
            format!("connect as their owner, or as a superuser: REASSIGN OWNED BY {} TO {user}", others.join(", ")),
        );
    }
    if !is_installed(client).await? && !may_create_schema {
        return must(
            format!("{user} may not make a schema in the database {database}"),
            format!("as its owner or a superuser: GRANT CREATE ON DATABASE {database} TO {user}"),
        );
    }
    Ok(Need::met(NAME, format!("{user} owns the schema, or may make it")))
}

/// The writer and the reader have what was granted to their roles, and not more than they should.
pub async fn other(path: Path, client: &Client) -> Result<Vec<Need>, StorageError> {
    let (name, role) = (format!("{} rights", path.key()), path.role());
    let user: String = client.query_one("SELECT quote_ident(current_user)", &[]).await?.get(0);
    let grant = format!("as the owner: GRANT {role} TO {user}");
    if !is_installed(client).await? {
        return Ok(vec![Need::unknown(name, "the schema is not installed yet", grant)]);
    }
    let sql = include_str!("../../../sql/queries/needs_rights.sql");
    let missing: Vec<String> = client.query(sql, &[&role]).await?.iter().map(|row| row.get(0)).collect();
    if !missing.is_empty() {
        let found = format!("{user} lacks {}", missing.join(", "));
        return Ok(vec![Need::unmet(name, Severity::Must, found, grant)]);
    }
    let row = client.query_one(include_str!("../../../sql/queries/needs_excess.sql"), &[]).await?;
    let [superuser, creates, changes, inserts]: [bool; 4] = std::array::from_fn(|n| row.get(n));
    let mut excess: Vec<&str> = Vec::new();
    for (may, what) in [
        (superuser, "is a superuser"),
        (creates && !superuser, "may make relations in the schema tidegate"),
        (changes && !superuser, "may change and delete events and metrics"),
        (inserts && !superuser && path == Path::Reader, "may insert"),
    ] {
        excess.extend(may.then_some(what));
    }
    Ok(vec![if excess.is_empty() {
        Need::met(name, format!("{user} has those of {role}, and no more"))
    } else {
        let mend = format!("let {} log in as {role}, or as a role that has nothing but GRANT {role}", path.key());
        Need::unmet(name, Severity::Advice, format!("{user} {}", excess.join(", ")), mend)
    }])
}
