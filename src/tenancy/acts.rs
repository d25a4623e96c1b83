//! Administrative acts: in a transaction that is confined to one tenant, and with a row of `audit_log` that says who did what.
//!
//! Control tables have row-level security (migration 33): what is done for an organization sees and changes there only what is of it,
//! whatever a statement forgets to ask. The note is part of the act's transaction, so that there is not one without the other.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::{Client, GenericClient, Row, Transaction};
use uuid::Uuid;

use crate::storage::StorageError;

/// An act takes milliseconds: one that waits for longer is stuck, and holds a connection of the owner's.
const CONFINE: &str = "SELECT set_config('tidegate.tenant', $1, true), set_config('statement_timeout', '20s', true), \
     set_config('lock_timeout', '10s', true)";
const LIST: &str = include_str!("../../sql/queries/audit_list.sql");
const NOTE: &str = include_str!("../../sql/queries/audit_note.sql");

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The holder of a key, over HTTP.
    Key { id: Uuid, from: Source },
    /// Somebody who has signed in.
    User { id: Uuid, email: String, from: Source },
    /// A command, on a machine that may connect as the owner: `account@host`.
    Command(String),
}

impl Actor {
    /// This process: its account, and the machine.
    pub fn of_this_process() -> Self {
        let uid = nix::unistd::Uid::effective();
        let account = nix::unistd::User::from_uid(uid).ok().flatten();
        let account = account.map_or_else(|| format!("uid {uid}"), |user| user.name);
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        Self::Command(format!("{account}@{}", host.unwrap_or_default()))
    }
}

/// Where a request comes from, and which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub address: IpAddr,
    pub request_id: String,
}

/// What is done.
#[derive(Debug, Clone)]
pub struct Act<'a> {
    /// Whose organization it concerns; None: the installation.
    pub tenant_id: Option<&'a str>,
    /// A word for what is done to what: `keys.create`.
    pub action: &'static str,
    /// What it is done to: an id or a name.
    pub target: Option<String>,
    /// What was asked for; never a secret.
    pub details: Value,
}

/// An act as it is noted.
#[derive(Debug, Serialize)]
pub struct Recorded {
    pub id: i64,
    pub at: Timestamp,
    pub tenant_id: Option<String>,
    pub actor_kind: String,
    pub actor_id: Option<Uuid>,
    pub actor: String,
    pub action: String,
    pub target: Option<String>,
    pub details: Value,
    pub address: Option<String>,
    pub request_id: Option<String>,
}

/// Which acts are looked for.
#[derive(Debug, Default)]
pub struct Which {
    pub tenant_id: Option<String>,
    pub action: Option<String>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub limit: i64,
}

/// Acts, the newest first.
pub async fn list(client: &Client, which: &Which) -> Result<Vec<Recorded>, StorageError> {
    let Which { tenant_id, action, from, to, limit } = which;
    let recorded = |row: &Row| Recorded {
        id: row.get(0),
        at: row.get(1),
        tenant_id: row.get(2),
        actor_kind: row.get(3),
        actor_id: row.get(4),
        actor: row.get(5),
        action: row.get(6),
        target: row.get(7),
        details: row.get(8),
        address: row.get(9),
        request_id: row.get(10),
    };
    let rows = client.query(LIST, &[tenant_id, action, from, to, limit]).await?;
    Ok(rows.iter().map(recorded).collect())
}

/// Notes what a command has done beside the audit log, right after it.
pub async fn note_command(
    client: &Client,
    action: &'static str,
    target: Option<String>,
    details: Value,
) -> Result<(), StorageError> {
    note(client, &Actor::of_this_process(), &Act { tenant_id: None, action, target, details }).await
}

/// Begins a transaction that sees of control tables what is of this tenant, or with None, for operators, everything.
pub async fn begin<'a>(client: &'a mut Client, tenant_id: Option<&str>) -> Result<Transaction<'a>, StorageError> {
    let transaction = client.transaction().await?;
    confine(&transaction, tenant_id).await?;
    Ok(transaction)
}

/// Confines the rest of a transaction to a tenant, or with None to nobody.
pub async fn confine(transaction: &Transaction<'_>, tenant_id: Option<&str>) -> Result<(), StorageError> {
    let tenant = tenant_id.unwrap_or("*");
    transaction.execute(CONFINE, &[&tenant]).await?;
    Ok(())
}

/// Notes an act, in the transaction that does it.
pub async fn note(client: &impl GenericClient, actor: &Actor, act: &Act<'_>) -> Result<(), StorageError> {
    let (kind, id, name, from) = match actor {
        Actor::Key { id, from } => ("key", Some(*id), None, Some(from)),
        Actor::User { id, email, from } => ("user", Some(*id), Some(email.as_str()), Some(from)),
        Actor::Command(name) => ("command", None, Some(name.as_str()), None),
    };
    let (address, request_id) = (from.map(|from| from.address), from.map(|from| from.request_id.as_str()));
    let noted = client
        .execute(
            NOTE,
            &[&act.tenant_id, &kind, &id, &name, &act.action, &act.target, &act.details, &address, &request_id],
        )
        .await?;
    if noted == 1 {
        return Ok(());
    }
    // A trigger or a rule of somebody's.
    Err(StorageError::not_ready("the audit log does not take what is noted (tidegate schema verify says why)"))
}
