//! The three URLs: each must lead to a session, in the same database, that may write where it has to.

use tokio_postgres::Client;

use super::need::{Need, Severity};
use super::place::{Path, Place};
use super::rights;
use super::session::{self, Pooling};
use crate::config::ConnectionUrl;
use crate::storage::StorageError;
use crate::storage::connect;

/// Whether a URL leads to sessions.
pub fn session(path: Path, pooling: Pooling) -> Need {
    let (name, key) = (format!("{} session", path.key()), path.key());
    let mend = format!(
        "let {key} go to PostgreSQL itself, or set pool_mode = session in the pooler for this user and database"
    );
    match pooling {
        Pooling::Direct => Need::met(name, "a server process for each connection"),
        Pooling::Session => Need::met(name, "through a pooler that keeps a server process for each connection"),
        Pooling::Shared => Need::unmet(
            name,
            Severity::Must,
            "through a pooler in transaction or statement mode: a prepared statement, a setting or a lock is lost \
             between two transactions",
            mend,
        ),
        Pooling::Unknown => Need::unknown(name, "through a pooler, and it does not show in which mode", mend),
    }
}

/// The writer's and the reader's URL, where they are not the owner's.
pub async fn others(place: &Place<'_>, owner: &Client, owners: Pooling) -> Result<Vec<Need>, StorageError> {
    let [writer, reader] = [(Path::Writer, place.writer), (Path::Reader, place.reader)];
    let mut needs = Vec::new();
    if writer.1 == place.owner && reader.1 == place.owner && place.external {
        let found = "the owner's role carries ingest and queries";
        needs.push(Need::unmet(
            "roles",
            Severity::Advice,
            found,
            "set writer_url (tidegate_writer) and reader_url (tidegate_reader), so that neither path can change what it \
             must not",
        ));
    }
    let asked = [writer, reader].into_iter().filter(|(_, url)| *url != place.owner);
    for (path, url) in asked {
        needs.extend(other(path, url, owners.keeps_sessions().then_some(owner)).await?);
    }
    Ok(needs)
}

async fn other(path: Path, url: &ConnectionUrl, owner: Option<&Client>) -> Result<Vec<Need>, StorageError> {
    let (client, pooling) = match session::open(url).await {
        Ok(opened) => opened,
        // Away, or starting: that is for the caller to wait for.
        Err(error) if error.is_retryable() => return Err(error.doing(path.key())),
        Err(error) => return Ok(vec![unreachable(path, url, &error, owner).await?]),
    };
    let mut needs = vec![session(path, pooling)];
    let Some(owner) = owner.filter(|_| pooling.keeps_sessions()) else { return Ok(needs) };
    let same = same_database(path, &client, owner).await?;
    let is_same = !same.forbids_start();
    needs.push(same);
    if is_same {
        needs.extend(rights::other(path, &client).await?);
    }
    Ok(needs)
}

/// A login that does not work: on a database that is not installed yet, the role may be made by the installation.
async fn unreachable(
    path: Path,
    url: &ConnectionUrl,
    error: &StorageError,
    owner: Option<&Client>,
) -> Result<Need, StorageError> {
    let (name, found) = (format!("{} session", path.key()), format!("{} ({})", error, connect::place(&url.server)));
    let role = path.role();
    let mend =
        format!("as a superuser: CREATE ROLE {role} LOGIN; ALTER ROLE {role} PASSWORD '...'; and see pg_hba.conf");
    let installed = match owner {
        Some(owner) => rights::is_installed(owner).await?,
        None => true,
    };
    Ok(if installed { Need::unmet(name, Severity::Must, found, mend) } else { Need::unknown(name, found, mend) })
}

/// Whether a path leads to the owner's database: the owner's session is seen there by a name that nobody else has. A standby does
/// not have that session; there, cluster and database are compared.
async fn same_database(path: Path, client: &Client, owner: &Client) -> Result<Need, StorageError> {
    let (name, key) = (format!("{} database", path.key()), path.key());
    let sql = include_str!("../../../sql/queries/needs_same.sql");
    let session = format!("tidegate needs {}", uuid::Uuid::now_v7());
    owner.batch_execute(&format!("SET application_name = '{session}'")).await?;
    let row = client.query_one(sql, &[&session]).await?;
    let own = owner.query_one(sql, &[&session]).await?;
    let identity = |row: &tokio_postgres::Row| -> (i64, u32) { (row.get(2), row.get(3)) };
    let (seen, standby, database): (bool, bool, String) = (row.get(0), row.get(1), row.get(4));
    let same = if standby { identity(&row) == identity(&own) } else { seen };
    if !same {
        let ((cluster, oid), (own_cluster, own_oid)) = (identity(&row), identity(&own));
        let found = format!(
            "{database} (oid {oid}, cluster {cluster}), which is not the database of database_url (oid {own_oid}, cluster \
             {own_cluster})"
        );
        let mend = format!("let {key} name the same host, port and database as database_url");
        return Ok(Need::unmet(name, Severity::Must, found, mend));
    }
    Ok(match (standby, path) {
        (false, _) => Need::met(name, "the same as database_url's"),
        (true, Path::Reader) => Need::unmet(
            name,
            Severity::Advice,
            "a standby of database_url's",
            "reads lag behind what was answered 200 as far as the standby does; name the primary where that is not wanted",
        ),
        (true, _) => Need::unmet(
            name,
            Severity::Must,
            "a standby, which cannot be written",
            format!("name the primary in {key}"),
        ),
    })
}
