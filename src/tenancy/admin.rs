//! Managing organizations and keys: what `tidegate orgs` and `tidegate keys` do, on the owner's connection.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::keeps::OrgRetention;
use super::{ApiKey, RateLimits, Scopes};
use crate::fold::Folded;
use crate::limits::TENANT_ID_CHARS_MAX;
use crate::storage::StorageError;

/// An organization as it is listed.
#[derive(Debug, Serialize)]
pub struct Organization {
    pub id: Uuid,
    /// Its immutable slug: the tenant of its data.
    pub tenant_id: String,
    pub name: String,
    pub is_active: bool,
    pub created_at: Timestamp,
    /// How long its rows are kept.
    #[serde(flatten)]
    pub keeps: OrgRetention,
}

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
    #[serde(flatten)]
    pub limits: RateLimits,
}

/// What to change of a key's limits: None leaves a limit as it is, `Some(None)` removes it.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitsChange {
    pub events_per_second: Option<Option<u64>>,
    pub bytes_per_second: Option<Option<u64>>,
    /// Seconds of either rate that may come at once.
    pub burst_seconds: Option<Option<u32>>,
}

/// A key just made; the only time that its text exists.
#[derive(Serialize)]
pub struct NewKey {
    pub id: Uuid,
    pub key: String,
}

pub(super) const ORGANIZATION: &str = "id, tenant_id, name, is_active, created_at, \
     events_retention_days, metrics_retention_days, correlations_retention_days";
const KEY: &str = "k.id, o.tenant_id, k.label, k.scopes, k.created_at, k.expires_at, k.revoked_at, \
     k.events_per_second, k.bytes_per_second, k.burst_seconds";

pub(super) fn organization(row: &Row) -> Organization {
    Organization {
        id: row.get(0),
        tenant_id: row.get(1),
        name: row.get(2),
        is_active: row.get(3),
        created_at: row.get(4),
        keeps: OrgRetention::of(row, 5),
    }
}

fn key_info(row: &Row) -> KeyInfo {
    KeyInfo {
        id: row.get(0),
        tenant_id: row.get(1),
        label: row.get(2),
        scopes: row.get(3),
        created_at: row.get(4),
        expires_at: row.get(5),
        revoked_at: row.get(6),
        limits: RateLimits::of(row, 7),
    }
}

/// The slug that a name gets when none is asked for.
pub fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for c in name.trim().to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' | '.' | '_' => slug.push(c),
            _ if slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_matches(['-', '.', '_']);
    slug.chars().take(TENANT_ID_CHARS_MAX).collect()
}

/// Makes an organization; its slug is derived from the name unless given.
pub async fn create_organization(
    client: &Client,
    name: &str,
    slug: Option<&str>,
) -> Result<Organization, StorageError> {
    let slug = slug.map_or_else(|| slug_of(name), str::to_owned);
    if slug.is_empty() {
        return Err(StorageError::fatal(format!("the name `{name}` gives no slug: name one with --slug")));
    }
    let taken = || {
        let what = format!("an organization with the name `{name}` or the slug `{slug}` is there already");
        Err(StorageError::fatal(format!("{what} (tidegate orgs list)")))
    };
    // The index on the name folds letters as the database's LC_CTYPE does, which may know ASCII only.
    let sql = format!(
        "INSERT INTO organizations (tenant_id, name) SELECT $1, $2 \
         WHERE NOT EXISTS (SELECT FROM organizations WHERE translate(name, $3, $4) = $5) RETURNING {ORGANIZATION}"
    );
    let folded = Folded::new(name);
    match client.query_opt(&sql, &[&slug, &name, &folded.from, &folded.to, &folded.text]).await {
        Ok(Some(row)) => Ok(organization(&row)),
        Ok(None) => taken(),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => taken(),
        Err(error) if error.code() == Some(&SqlState::CHECK_VIOLATION) => Err(StorageError::fatal(format!(
            "`{name}` / `{slug}`: a name has 1 to 255 characters; a slug starts with a letter or digit and has 1 to 100 \
             of a-z, 0-9, `.`, `_` and `-`"
        ))),
        Err(error) => Err(error.into()),
    }
}

pub async fn list_organizations(client: &Client) -> Result<Vec<Organization>, StorageError> {
    let sql = format!("SELECT {ORGANIZATION} FROM organizations ORDER BY created_at, id");
    Ok(client.query(&sql, &[]).await?.iter().map(organization).collect())
}

/// Soft-deletes an organization, by slug or name, or takes that back: its keys stop working, or work again, within 5 s; its
/// data stay. Doing either twice is no error.
pub async fn activate_organization(client: &Client, name: &str, active: bool) -> Result<Organization, StorageError> {
    let id = find_organization(client, name, false).await?;
    let sql = format!(
        "UPDATE organizations SET is_active = $2, deactivated_at = CASE WHEN NOT $2 THEN coalesce(deactivated_at, now()) END \
         WHERE id = $1 RETURNING {ORGANIZATION}"
    );
    Ok(organization(&client.query_one(&sql, &[&id, &active]).await?))
}

pub async fn find_organization(client: &Client, name: &str, active_only: bool) -> Result<Uuid, StorageError> {
    // The slug first: it is exact and never changes.
    let sql = "SELECT id, is_active FROM organizations \
               WHERE tenant_id = $1 OR translate(name, $2, $3) = $4 OR id::text = $1 \
               ORDER BY tenant_id = $1 DESC LIMIT 1";
    let sought = Folded::new(name);
    match client.query_opt(sql, &[&name, &sought.from, &sought.to, &sought.text]).await? {
        None => {
            Err(StorageError::fatal(format!("no organization has the name, slug or id `{name}` (tidegate orgs list)")))
        }
        Some(row) if active_only && !row.get::<_, bool>(1) => {
            Err(StorageError::fatal(format!("the organization `{name}` is deactivated")))
        }
        Some(row) => Ok(row.get(0)),
    }
}

/// Makes a key for an organization (by slug or name) that may send any amount.
pub async fn create_key(
    client: &Client,
    organization: &str,
    scopes: Scopes,
    label: &str,
    expires_at: Option<Timestamp>,
) -> Result<NewKey, StorageError> {
    create_limited_key(client, organization, scopes, label, expires_at, RateLimits::default()).await
}

/// Makes a key for an organization (by slug or name) with limits.
pub async fn create_limited_key(
    client: &Client,
    organization: &str,
    scopes: Scopes,
    label: &str,
    expires_at: Option<Timestamp>,
    limits: RateLimits,
) -> Result<NewKey, StorageError> {
    if expires_at.is_some_and(|at| at <= Timestamp::now()) {
        return Err(StorageError::fatal("the key would have expired already; name a later time with --expires-at"));
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
) -> Result<NewKey, StorageError> {
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

/// Changes what a key may send; every node knows it within 5 s. The key may be revoked: it only stays so.
pub async fn limit_key(client: &Client, id: Uuid, change: LimitsChange) -> Result<KeyInfo, StorageError> {
    let sql = format!(
        "WITH k AS (UPDATE api_keys SET \
             events_per_second = CASE WHEN $2 THEN $3 ELSE events_per_second END, \
             bytes_per_second = CASE WHEN $4 THEN $5 ELSE bytes_per_second END, \
             burst_seconds = CASE WHEN $6 THEN $7 ELSE burst_seconds END \
             WHERE id = $1 RETURNING *) \
         SELECT {KEY} FROM k JOIN organizations o ON o.id = k.org_id"
    );
    let LimitsChange { events_per_second: events, bytes_per_second: bytes, burst_seconds: burst } = change;
    let (new_events, new_bytes) = (events.flatten().map(column), bytes.flatten().map(column));
    let new_burst = burst.flatten().map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX));
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&id, &events.is_some(), &new_events, &bytes.is_some(), &new_bytes, &burst.is_some(), &new_burst];
    let row = client.query_opt(&sql, &parameters).await?;
    row.as_ref().map(key_info).ok_or_else(|| unknown_key(id))
}

/// All keys, of one organization or of all, oldest first.
pub async fn list_keys(client: &Client, organization: Option<&str>) -> Result<Vec<KeyInfo>, StorageError> {
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

/// Revokes a key: refused everywhere within 5 s. Revoking twice is no error.
pub async fn revoke_key(client: &Client, id: Uuid) -> Result<KeyInfo, StorageError> {
    let sql = format!(
        "WITH k AS (UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING *) \
         SELECT {KEY} FROM k JOIN organizations o ON o.id = k.org_id"
    );
    let row = client.query_opt(&sql, &[&id]).await?;
    row.as_ref().map(key_info).ok_or_else(|| unknown_key(id))
}

fn unknown_key(id: Uuid) -> StorageError {
    StorageError::fatal(format!("no key has the id {id} (tidegate keys list)"))
}

/// Makes a successor with the same organization, scopes, label and limits, and lets the old key end at `old_ends_at`.
pub async fn rotate_key(client: &mut Client, id: Uuid, old_ends_at: Timestamp) -> Result<NewKey, StorageError> {
    let transaction = client.transaction().await?;
    let row = transaction
        .query_opt(include_str!("../../sql/queries/key_end.sql"), &[&id, &old_ends_at])
        .await?
        .ok_or_else(|| no_key(id))?;
    let (org_id, scopes, label): (Uuid, Vec<String>, String) = (row.get(0), row.get(1), row.get(2));
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let new =
        insert_key(transaction.client(), org_id, &scopes, &label, None, RateLimits::of(&row, 3), Some(id)).await?;
    transaction.commit().await?;
    Ok(new)
}

fn no_key(id: Uuid) -> StorageError {
    StorageError::fatal(format!(
        "no working key has the id {id}: unknown, revoked, expired, or of a deactivated organization (tidegate keys list)"
    ))
}

/// On a database without any organization, makes `default` and a key for it; None when there is one already.
pub async fn first_start(client: &mut Client) -> Result<Option<(Organization, NewKey)>, StorageError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("LOCK TABLE organizations IN SHARE ROW EXCLUSIVE MODE").await?;
    let any: bool = transaction.query_one("SELECT EXISTS (SELECT FROM organizations)", &[]).await?.get(0);
    if any {
        return Ok(None);
    }
    let organization = create_organization(transaction.client(), "default", None).await?;
    let scopes = Scopes::parse("ingest,read,consume,admin").map_err(StorageError::fatal)?;
    let key = create_key(transaction.client(), &organization.tenant_id, scopes, "made at first start", None).await?;
    transaction.commit().await?;
    Ok(Some((organization, key)))
}

#[cfg(test)]
mod tests {
    use super::slug_of;

    #[test]
    fn slugs_are_what_the_schema_accepts() {
        assert_eq!(slug_of("Acme, Inc."), "acme-inc");
        assert_eq!(slug_of("  Größe  GmbH "), "gr-e-gmbh");
        assert_eq!(slug_of("***"), "");
        assert_eq!(slug_of(&"x".repeat(300)).len(), 100);
    }
}
