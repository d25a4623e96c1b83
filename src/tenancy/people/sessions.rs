//! Sessions as they are listed and ended.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use super::error::PeopleError;
use crate::limits::{SESSION_IDLE, SESSIONS_KEPT_PER_USER, SESSIONS_PER_USER_MAX};

const LIST: &str = include_str!("../../../sql/queries/sessions_list.sql");
const CROWDED: &str = include_str!("../../../sql/queries/sessions_crowded.sql");

/// A session as it is listed: never its token.
#[derive(Debug, Serialize)]
pub struct Session {
    pub id: Uuid,
    pub user_id: Uuid,
    pub email: String,
    pub role: String,
    pub tenant_id: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// To the minute.
    pub last_used_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    /// From where, and with what, it was begun.
    pub address: String,
    pub user_agent: Option<String>,
    /// Whether it is good.
    pub is_active: bool,
}

/// Whose sessions are shown, or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// This user's.
    Of(Uuid),
    /// All that the transaction may see.
    All,
}

impl Shown {
    fn user(self) -> Option<Uuid> {
        match self {
            Self::Of(user) => Some(user),
            Self::All => None,
        }
    }
}

/// Sessions, newest first.
pub async fn list(client: &impl GenericClient, shown: Shown) -> Result<Vec<Session>, PeopleError> {
    let rows = client.query(LIST, &[&shown.user(), &SESSION_IDLE.as_secs_f64()]).await?;
    let session = |row: &tokio_postgres::Row| Session {
        id: row.get(0),
        user_id: row.get(1),
        email: row.get(2),
        role: row.get(3),
        tenant_id: row.get(4),
        created_at: row.get(5),
        expires_at: row.get(6),
        last_used_at: row.get(7),
        revoked_at: row.get(8),
        address: row.get(9),
        user_agent: row.get(10),
        is_active: row.get(11),
    };
    Ok(rows.iter().map(session).collect())
}

/// Ends a session, at once and everywhere; whose it was: tenant and user. Doing so twice is no error.
pub async fn revoke(transaction: &Transaction<'_>, shown: Shown, id: Uuid) -> Result<(String, Uuid), PeopleError> {
    let revoke = "WITH ended AS (UPDATE sessions SET revoked_at = coalesce(revoked_at, now()) \
                  WHERE id = $1 AND ($2::uuid IS NULL OR user_id = $2) RETURNING user_id) \
                  SELECT o.tenant_id, u.id FROM ended e JOIN users u ON u.id = e.user_id JOIN organizations o ON o.id = u.org_id";
    let row = transaction.query_opt(revoke, &[&id, &shown.user()]).await?.ok_or(PeopleError::NotFound("session"))?;
    Ok((row.get(0), row.get(1)))
}

/// Ends all sessions of a user; how many there were.
pub async fn revoke_all(transaction: &Transaction<'_>, user: Uuid) -> Result<u64, PeopleError> {
    let revoke = "UPDATE sessions SET revoked_at = now() WHERE user_id = $1 AND revoked_at IS NULL";
    Ok(transaction.execute(revoke, &[&user]).await?)
}

/// Ends the oldest sessions of a user who has more than may be good at once, and forgets the oldest of all.
pub async fn make_room(transaction: &Transaction<'_>, user: Uuid) -> Result<(), PeopleError> {
    transaction.execute(CROWDED, &[&user, &SESSIONS_PER_USER_MAX, &SESSIONS_KEPT_PER_USER]).await?;
    Ok(())
}
