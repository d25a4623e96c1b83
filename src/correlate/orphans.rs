//! Events whose parent was not near them: noted until it comes, or a day is over.

use deadpool_postgres::{Object, Transaction};
use jiff::Timestamp;
use uuid::Uuid;

use super::child::Child;
use crate::limits::{ORPHANS_KEPT, UPKEEP_ROWS};
use crate::storage::StorageError;

/// Notes children; returns how many were not noted yet.
pub(super) async fn note(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    mut children: Vec<Child>,
) -> Result<usize, StorageError> {
    // The order in which every transaction takes them.
    children.sort();
    let (names, ids) = keys(children.iter());
    let times: Vec<Timestamp> = children.iter().map(|child| child.event.at).collect();
    let sources: Vec<Option<&str>> = children.iter().map(|child| child.source_module.as_deref()).collect();
    let insert = "INSERT INTO orphans (tenant_id, parent_event_id, event_id, timestamp, source_module) \
                  SELECT $1, * FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[]) ON CONFLICT DO NOTHING";
    let insert = transaction.prepare_cached(insert).await?;
    let noted = transaction.execute(&insert, &[&tenant_id, &names, &ids, &times, &sources]).await?;
    Ok(usize::try_from(noted).unwrap_or(usize::MAX))
}

/// Notes that these have a parent in another source.
pub(super) async fn mark_matched(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    children: impl Iterator<Item = &Child>,
) -> Result<(), StorageError> {
    let update = "UPDATE orphans o SET matched = true FROM unnest($2::uuid[], $3::uuid[]) AS u (parent_id, id) \
                  WHERE o.tenant_id = $1 AND o.parent_event_id = u.parent_id AND o.event_id = u.id";
    of_each(transaction, update, tenant_id, children).await
}

pub(super) async fn forget(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    children: impl Iterator<Item = &Child>,
) -> Result<(), StorageError> {
    let delete = "DELETE FROM orphans o USING unnest($2::uuid[], $3::uuid[]) AS u (parent_id, id) \
                  WHERE o.tenant_id = $1 AND o.parent_event_id = u.parent_id AND o.event_id = u.id";
    of_each(transaction, delete, tenant_id, children).await
}

async fn of_each(
    transaction: &Transaction<'_>,
    sql: &str,
    tenant_id: &str,
    children: impl Iterator<Item = &Child>,
) -> Result<(), StorageError> {
    let (names, ids) = keys(children);
    if !ids.is_empty() {
        let statement = transaction.prepare_cached(sql).await?;
        transaction.execute(&statement, &[&tenant_id, &names, &ids]).await?;
    }
    Ok(())
}

fn keys<'a>(children: impl Iterator<Item = &'a Child>) -> (Vec<Uuid>, Vec<Uuid>) {
    children.map(|child| (child.parent_id, child.event.id)).unzip()
}

/// Ends the waiting of those that waited long enough.
pub(super) async fn expire(client: &Object) -> Result<u64, StorageError> {
    let kept_s = ORPHANS_KEPT.as_secs_f64();
    let delete = "DELETE FROM orphans WHERE ctid = ANY (ARRAY(SELECT ctid FROM orphans \
                  WHERE since < now() - make_interval(secs => $1) LIMIT $2))";
    Ok(client.execute(delete, &[&kept_s, &UPKEEP_ROWS]).await?)
}
