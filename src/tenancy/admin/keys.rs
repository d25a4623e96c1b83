//! Keys: made, limited, rotated, revoked. Their secrets are kept as hashes, and shown once.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::{AdminError, find_organization};
use crate::storage::StorageError;
use crate::tenancy::{ApiKey, RateLimits, Scopes};

/// A key as it is listed: never its secret.
#[derive(Debug, Serialize)]
pub struct KeyInfo {
    pub id: Uuid,
    pub tenant_id: String,
    pub label: String,
    pub scopes: Vec<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// To the minute; None: not since this is noted.
    pub last_used_at: Option<Timestamp>,
    #[serde(flatten)]
    pub limits: RateLimits,
}

impl KeyInfo {
    /// Whether it was revoked, or has expired.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.revoked_at.is_some() || self.expires_at.is_some_and(|at| at <= now)
    }
}

/// What to change of a key's limits: None leaves a limit as it is, `Some(None)` removes it.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitsChange {
    pub events_per_second: Option<Option<u64>>,
    pub bytes_per_second: Option<Option<u64>>,
    /// Seconds of either rate that may come at once.
    pub burst_seconds: Option<Option<u32>>,
}

/// What to change of a key; None: it stays.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    pub label: Option<String>,
    /// `Some(None)`: it does not end by itself.
    pub expires_at: Option<Option<Timestamp>>,
    pub limits: LimitsChange,
}

/// A key just made; the only time that its text exists.
#[derive(Serialize)]
pub struct NewKey {
    pub id: Uuid,
    pub key: String,
}

const KEY: &str = "k.id, o.tenant_id, k.label, k.scopes, k.created_at, k.expires_at, k.revoked_at, k.last_used_at, \
     k.events_per_second, k.bytes_per_second, k.burst_seconds";

fn key_info(row: &Row) -> KeyInfo {
    KeyInfo {
        id: row.get(0),
        tenant_id: row.get(1),
        label: row.get(2),
        scopes: row.get(3),
        created_at: row.get(4),
        expires_at: row.get(5),
        revoked_at: row.get(6),
        last_used_at: row.get(7),
        limits: RateLimits::of(row, 8),
    }
}

/// Makes a key for an organization (by slug, id or name) that may send any amount.
pub async fn create_key(
    client: &Client,
    organization: &str,
    scopes: Scopes,
    label: &str,
    expires_at: Option<Timestamp>,
) -> Result<NewKey, AdminError> {
    create_limited_key(client, organization, scopes, label, expires_at, RateLimits::default()).await
}

/// Makes a key for an organization (by slug, id or name) with limits.
pub async fn create_limited_key(
    client: &Client,
    organization: &str,
    scopes: Scopes,
    label: &str,
    expires_at: Option<Timestamp>,
    limits: RateLimits,
) -> Result<NewKey, AdminError> {
    if expires_at.is_some_and(|at| at <= Timestamp::now()) {
        return Err(AdminError::Invalid(
            "the key would have expired already; name a later time (--expires-at, or `expires_at`)".into(),
        ));
    }
    let org_id = find_organization(client, organization, true).await?;
    insert_key(client, org_id, &scopes.names(), label, expires_at, limits, None).await
}

async fn insert_key(
    client: &Client,
    org_id: Uuid,
    scopes: &[&str],
    label: &str,
    expires_at: Option<Timestamp>,
    limits: RateLimits,
    rotated_from: Option<Uuid>,
) -> Result<NewKey, AdminError> {
    let key = ApiKey::generate().map_err(|error| StorageError::fatal(format!("no random bytes: {error}")))?;
    client
        .execute(
            "INSERT INTO api_keys (id, org_id, key_hash, label, scopes, expires_at, rotated_from, \
             events_per_second, bytes_per_second, burst_seconds) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            &[
                &key.id,
                &org_id,
                &key.hash().as_slice(),
                &label,
                &scopes,
                &expires_at,
                &rotated_from,
                &limits.events_per_second.map(column),
                &limits.bytes_per_second.map(column),
                &limits.burst_seconds.map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX)),
            ],
        )
        .await?;
    Ok(NewKey { id: key.id, key: key.reveal() })
}

/// A rate as its column holds it; the column's CHECK refuses what is too large.
fn column(per_second: u64) -> i64 {
    i64::try_from(per_second).unwrap_or(i64::MAX)
}

/// Changes a key; every node knows it within 5 s. It may be revoked: it only stays so.
pub async fn alter_key(client: &Client, id: Uuid, change: &KeyChange) -> Result<KeyInfo, AdminError> {
    let sql = format!(
        "WITH k AS (UPDATE api_keys SET \
             events_per_second = CASE WHEN $2 THEN $3 ELSE events_per_second END, \
             bytes_per_second = CASE WHEN $4 THEN $5 ELSE bytes_per_second END, \
             burst_seconds = CASE WHEN $6 THEN $7 ELSE burst_seconds END, \
             label = coalesce($8, label), expires_at = CASE WHEN $9 THEN $10 ELSE expires_at END \
             WHERE id = $1 RETURNING *) \
         SELECT {KEY} FROM k JOIN organizations o ON o.id = k.org_id"
    );
    let LimitsChange { events_per_second: events, bytes_per_second: bytes, burst_seconds: burst } = change.limits;
    let (new_events, new_bytes) = (events.flatten().map(column), bytes.flatten().map(column));
    let new_burst = burst.flatten().map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX));
    let (ends, ends_at) = (change.expires_at.is_some(), change.expires_at.flatten());
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &id,
        &events.is_some(),
        &new_events,
        &bytes.is_some(),
        &new_bytes,
        &burst.is_some(),
        &new_burst,
        &change.label,
        &ends,
        &ends_at,
    ];
    let row = client.query_opt(&sql, &parameters).await?;
    row.as_ref().map(key_info).ok_or(AdminError::NoKey(id))
}

/// All keys, of one organization or of all, oldest first.
pub async fn list_keys(client: &Client, organization: Option<&str>) -> Result<Vec<KeyInfo>, AdminError> {
    let org_id = match organization {
        Some(name) => Some(find_organization(client, name, false).await?),
        None => None,
    };
    let sql = format!(
        "SELECT {KEY} FROM api_keys k JOIN organizations o ON o.id = k.org_id \
         WHERE $1::uuid IS NULL OR k.org_id = $1 ORDER BY k.created_at, k.id"
    );
    Ok(client.query(&sql, &[&org_id]).await?.iter().map(key_info).collect())
}

/// A key, held against changes until the transaction ends.
pub async fn find_key(client: &Client, id: Uuid) -> Result<KeyInfo, AdminError> {
    let sql =
        format!("SELECT {KEY} FROM api_keys k JOIN organizations o ON o.id = k.org_id WHERE k.id = $1 FOR UPDATE OF k");
    client.query_opt(&sql, &[&id]).await?.as_ref().map(key_info).ok_or(AdminError::NoKey(id))
}

/// How many keys of an organization count against what it may have: those that work, and those made within a day, or making and
/// revoking them would never end. Counted under the organization's row.
pub async fn key_count(client: &Client, organization: &str) -> Result<i64, AdminError> {
    let id = find_organization(client, organization, false).await?;
    client.query_one("SELECT id FROM organizations WHERE id = $1 FOR UPDATE", &[&id]).await?;
    Ok(client.query_one(include_str!("../../../sql/queries/key_count.sql"), &[&id]).await?.get(0))
}

/// Revokes a key: refused everywhere within 5 s. Revoking twice is no error.
pub async fn revoke_key(client: &Client, id: Uuid) -> Result<KeyInfo, AdminError> {
    let sql = format!(
        "WITH k AS (UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING *) \
         SELECT {KEY} FROM k JOIN organizations o ON o.id = k.org_id"
    );
    let row = client.query_opt(&sql, &[&id]).await?;
    row.as_ref().map(key_info).ok_or(AdminError::NoKey(id))
}

/// Makes a successor with the same organization, scopes, label and limits, and lets the old key end at `old_ends_at`. To be called
/// in a transaction.
pub async fn rotate_key(client: &Client, id: Uuid, old_ends_at: Timestamp) -> Result<NewKey, AdminError> {
    let row = client
        .query_opt(include_str!("../../../sql/queries/key_end.sql"), &[&id, &old_ends_at])
        .await?
        .ok_or(AdminError::KeyOver(id))?;
    let (org_id, scopes, label): (Uuid, Vec<String>, String) = (row.get(0), row.get(1), row.get(2));
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    insert_key(client, org_id, &scopes, &label, None, RateLimits::of(&row, 3), Some(id)).await
}
