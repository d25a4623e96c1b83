//! An embedded database goes to another server, by a dump that lies nowhere: all of it or nothing, and compared.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use tokio_postgres::Client;

use super::base::major;
use super::contents::{Contents, Difference, differences};
use super::dump;
use super::made::About;
use super::roles::{self, Roles};
use super::source::Source;
use crate::config::ConnectionUrl;
use crate::storage::embedded::Installation;
use crate::storage::{StorageError, connect_to, needs, tools};

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Transferred {
    pub contents: Contents,
    /// Between what was left and what is there now.
    pub differences: Vec<Difference>,
    pub roles: Roles,
    pub engine: &'static str,
}

/// What takes the database in.
pub struct Target<'a> {
    pub url: &'a ConnectionUrl,
    /// Whether it is a server of Tidegate's own, made for this: its roles become those of the old one.
    pub own: bool,
    /// The programs that dump and restore, of the version of the server that is left, which alone knows all that stands in its
    /// catalogue; None: those that the machine has.
    pub programs: Option<&'a Installation>,
}

/// What is restored is tables of one server, which nobody spreads afterwards.
async fn refuse_citus(to: &Client) -> Result<(), StorageError> {
    let there = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')";
    if !to.query_one(there, &[]).await?.get::<_, bool>(0) {
        return Ok(());
    }
    Err(StorageError::not_ready(
        "that database has Citus, to which nothing is moved as it is: move to one without (engine postgres), or begin with an empty one \
         (engine = citus) and send events there again (tidegate load --file of an export, GET /v1/events with format=ndjson)",
    ))
}

/// Copies the database of `source`, which nobody writes to, into that of `target`, which must be empty, with its roles. `source` is
/// not changed, and what fails leaves nothing of it there but roles and an extension.
pub async fn transfer(source: &Source, target: Target<'_>) -> Result<Transferred, StorageError> {
    let mut from = source.client().await?;
    let superuser = source.superuser().await?;
    let about = About::of(&from).await?;
    let (mut to, _connection) = connect_to(target.url, Arc::default()).await?;
    dump::require_empty(&to).await?;
    needs::require_server(&to).await?;
    refuse_citus(&to).await?;
    let there: String = to.query_one("SELECT current_setting('server_version')", &[]).await?.get(0);
    let (old, new) = (major(&about.postgres)?, major(&there)?);
    if new < old {
        return Err(StorageError::fatal(format!(
            "the database is of PostgreSQL {old} and that server of {new}: a dump goes to the same version or a newer one"
        )));
    }
    let found;
    // What an older pg_dump writes a newer server reads.
    let programs = match target.programs {
        Some(programs) => programs,
        None => {
            found = tools::installation(old, true).await?;
            &found
        }
    };
    let extensions = extensions(&superuser, &to).await?;
    let roles = roles::carry(&superuser, &mut to, target.own).await?;
    let mut moved = None;
    let copy = async |snapshot: &str| {
        let mut dump = dump::program(programs, &source.admin, snapshot);
        dump.arg("--compress=0").args(&extensions);
        let restore = async |restore| tools::piped(dump, restore).await;
        moved = Some(dump::fill(target.url, about.timescaledb.as_deref(), programs, restore).await?);
        Ok(())
    };
    let before = dump::in_snapshot(&mut from, copy).await?;
    let contents = moved.unwrap_or_default();
    let differences = differences(&before, &before, &contents);
    Ok(Transferred { contents, differences, roles, engine: about.engine })
}

/// What has `pg_dump` leave out the extensions that the other server lacks and nothing uses; an error where something does.
async fn extensions(from: &Client, to: &Client) -> Result<Vec<String>, StorageError> {
    let rows = to.query("SELECT name::text FROM pg_available_extensions", &[]).await?;
    let available: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let (mut kept, mut all) = (Vec::new(), true);
    for row in from.query(include_str!("../../sql/queries/extensions_used.sql"), &[]).await? {
        let (name, version, is_used): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        if available.contains(&name) {
            kept.push(format!("--extension=\"{name}\""));
        } else if is_used {
            return Err(StorageError::fatal(format!(
                "the database uses the extension {name} (version {version}), which is not installed on that server: install it there first"
            )));
        } else {
            all = false;
        }
    }
    Ok(if all { Vec::new() } else { kept })
}
