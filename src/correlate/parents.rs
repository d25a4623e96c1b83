//! Causal pairs by parent_event_id. Nearly every parent is within a minute of its child, where one scan finds those of a
//! whole slice; the others become orphans, are looked for once in the whole window, and then wait a day for a parent that
//! comes late.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use deadpool_postgres::{Object, Transaction};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::kept::KeptPairs;
use super::pairs::{self, CorrelationType, Pair, Side};
use crate::jobs::minutes::{MinuteRange, Tally};
use crate::limits::{
    ORPHANS_KEPT, ORPHANS_PER_PARENT_STEP, ORPHANS_PER_STEP, PARENT_AFTER_MAX, PARENT_BEFORE_MAX, PARENT_NEAR,
};
use crate::storage::StorageError;

/// An event that names a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Child {
    pub parent_id: Uuid,
    pub event: Side,
}

/// Relates children to their parents; those whose parent is not near become orphans.
pub(super) async fn relate(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    children: &[Child],
    tally: &mut Tally,
) -> Result<(), StorageError> {
    let times = || children.iter().map(|child| child.event.at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(()) };
    let parents =
        near(transaction, tenant_id, children, shifted(first, PARENT_NEAR, -1), shifted(last, PARENT_NEAR, 1)).await?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for child in children {
        let candidates = parents.get(&child.parent_id).map_or(&[][..], Vec::as_slice);
        match nearest(candidates, child.event.at) {
            Some(at) => found.push(pair(*child, at)),
            None => missing.push(*child),
        }
    }
    tally.add("pairs", pairs::write(transaction, tenant_id, &found).await?);
    if missing.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = missing.iter().map(|child| child.event.id).collect();
    let known = transaction.prepare_cached(include_str!("../../sql/queries/parents_known.sql")).await?;
    let rows = transaction.query(&known, &[&tenant_id, &ids, &first, &shifted(last, PARENT_AFTER_MAX, 1)]).await?;
    let known: HashSet<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    missing.retain(|child| !known.contains(&child.event.id));
    missing.sort();
    let parent_ids: Vec<Uuid> = missing.iter().map(|child| child.parent_id).collect();
    let (ids, times): (Vec<Uuid>, Vec<Timestamp>) =
        missing.iter().map(|child| (child.event.id, child.event.at)).unzip();
    let insert = "INSERT INTO orphans (tenant_id, parent_event_id, event_id, timestamp) \
                  SELECT $1, * FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[]) ON CONFLICT DO NOTHING";
    let insert = transaction.prepare_cached(insert).await?;
    let orphans = transaction.execute(&insert, &[&tenant_id, &parent_ids, &ids, &times]).await?;
    tally.add("orphans", usize::try_from(orphans).unwrap_or(usize::MAX));
    Ok(())
}

async fn near(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    children: &[Child],
    from: Timestamp,
    to: Timestamp,
) -> Result<HashMap<Uuid, Vec<Timestamp>>, StorageError> {
    let mut wanted: Vec<Uuid> = children.iter().map(|child| child.parent_id).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/parents_near.sql")).await?;
    let mut found: HashMap<Uuid, Vec<Timestamp>> = HashMap::new();
    for row in transaction.query(&statement, &[&tenant_id, &wanted, &from, &to]).await? {
        found.entry(row.get(0)).or_default().push(row.get(1));
    }
    Ok(found)
}

/// Of several events with the parent's id the latest that is not after the child, else the earliest after it.
fn nearest(candidates: &[Timestamp], child_at: Timestamp) -> Option<Timestamp> {
    let in_window = |at: &&Timestamp| {
        **at >= shifted(child_at, PARENT_BEFORE_MAX, -1) && **at <= shifted(child_at, PARENT_AFTER_MAX, 1)
    };
    let before = candidates.iter().filter(in_window).filter(|at| **at <= child_at).max();
    before.or_else(|| candidates.iter().filter(in_window).min()).copied()
}

/// Gives orphans to the parents that a range holds; true when there may be more of them.
pub(super) async fn resolve(
    transaction: &Transaction<'_>,
    range: &MinuteRange,
    tally: &mut Tally,
) -> Result<bool, StorageError> {
    let any = transaction.prepare_cached("SELECT EXISTS (SELECT FROM orphans WHERE tenant_id = $1)").await?;
    if !transaction.query_one(&any, &[&range.tenant_id]).await?.get::<_, bool>(0) {
        return Ok(false);
    }
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/orphans_resolve.sql")).await?;
    let (before_s, after_s) = (PARENT_BEFORE_MAX.as_secs_f64(), PARENT_AFTER_MAX.as_secs_f64());
    let limit = ORPHANS_PER_PARENT_STEP;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&range.tenant_id, &range.starts_at(), &range.ends_at(), &before_s, &after_s, &limit];
    let rows = transaction.query(&statement, &parameters).await?;
    let mut candidates: BTreeMap<Child, Vec<Timestamp>> = BTreeMap::new();
    for row in &rows {
        let child = Child { parent_id: row.get(0), event: Side { id: row.get(2), at: row.get(3) } };
        candidates.entry(child).or_default().push(row.get(1));
    }
    let mut found = Vec::new();
    for (child, candidates) in &candidates {
        found.extend(nearest(candidates, child.event.at).map(|at| pair(*child, at)));
    }
    tally.add("pairs", pairs::write(transaction, &range.tenant_id, &found).await?);
    forget(transaction, &range.tenant_id, candidates.keys()).await?;
    Ok(i64::try_from(rows.len()).is_ok_and(|rows| rows == ORPHANS_PER_PARENT_STEP))
}

/// Looks for the parents of some orphans in the whole window, in one transaction; false when none is left to be looked for.
/// They may have waited until their pairs are kept no longer, for which there need not be a partition.
pub(super) async fn search(kept: &KeptPairs, client: &mut Object, tally: &mut Tally) -> Result<bool, StorageError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off").await?;
    let next = "UPDATE orphans SET searched = true WHERE ctid = ANY (ARRAY(SELECT ctid FROM orphans WHERE NOT searched \
                ORDER BY since LIMIT $1)) RETURNING tenant_id, parent_event_id, event_id, timestamp";
    let next = transaction.prepare_cached(next).await?;
    let rows = transaction.query(&next, &[&ORPHANS_PER_STEP]).await?;
    let mut tenants: BTreeMap<String, Vec<Child>> = BTreeMap::new();
    for row in &rows {
        let child = Child { parent_id: row.get(1), event: Side { id: row.get(2), at: row.get(3) } };
        tenants.entry(row.get(0)).or_default().push(child);
    }
    for (tenant_id, children) in &tenants {
        let (mut found, mut resolved) = (Vec::new(), Vec::new());
        for (index, parent_at) in in_window(&transaction, tenant_id, children).await? {
            found.push(pair(children[index], parent_at));
            resolved.push(children[index]);
        }
        let all = found.len();
        found.retain(|pair| kept.keeps(pair.at()));
        if found.len() < all {
            tally.add("pairs_too_old", all - found.len());
        }
        tally.add("pairs", pairs::write(&transaction, tenant_id, &found).await?);
        forget(&transaction, tenant_id, resolved.iter()).await?;
    }
    transaction.commit().await?;
    Ok(!rows.is_empty())
}

async fn in_window(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    children: &[Child],
) -> Result<Vec<(usize, Timestamp)>, StorageError> {
    let times: Vec<Timestamp> = children.iter().map(|child| child.event.at).collect();
    let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else { return Ok(Vec::new()) };
    let (from, to) = (shifted(*first, PARENT_BEFORE_MAX, -1), shifted(*last, PARENT_AFTER_MAX, 1));
    let parent_ids: Vec<Uuid> = children.iter().map(|child| child.parent_id).collect();
    let (before_s, after_s) = (PARENT_BEFORE_MAX.as_secs_f64(), PARENT_AFTER_MAX.as_secs_f64());
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/orphans_search.sql")).await?;
    let rows =
        transaction.query(&statement, &[&tenant_id, &parent_ids, &times, &before_s, &after_s, &from, &to]).await?;
    let index = |row: &tokio_postgres::Row| usize::try_from(row.get::<_, i64>(0) - 1).ok();
    Ok(rows.iter().filter_map(|row| Some((index(row)?, row.get(1)))).collect())
}

async fn forget(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    children: impl Iterator<Item = &Child>,
) -> Result<(), StorageError> {
    let (parent_ids, ids): (Vec<Uuid>, Vec<Uuid>) = children.map(|child| (child.parent_id, child.event.id)).unzip();
    let delete = "DELETE FROM orphans o USING unnest($2::uuid[], $3::uuid[]) AS u (parent_id, id) \
                  WHERE o.tenant_id = $1 AND o.parent_event_id = u.parent_id AND o.event_id = u.id";
    let delete = transaction.prepare_cached(delete).await?;
    transaction.execute(&delete, &[&tenant_id, &parent_ids, &ids]).await?;
    Ok(())
}

/// Ends the waiting of those that waited long enough.
pub(super) async fn expire(client: &Object) -> Result<u64, StorageError> {
    let kept_s = ORPHANS_KEPT.as_secs_f64();
    let delete = "DELETE FROM orphans WHERE ctid = ANY (ARRAY(SELECT ctid FROM orphans \
                  WHERE since < now() - make_interval(secs => $1) LIMIT $2))";
    Ok(client.execute(delete, &[&kept_s, &crate::limits::UPKEEP_ROWS]).await?)
}

fn pair(child: Child, parent_at: Timestamp) -> Pair {
    let gap_ms = child.event.at.duration_since(parent_at).as_millis();
    Pair {
        kind: CorrelationType::Causal,
        primary: Side { at: parent_at, id: child.parent_id },
        related: child.event,
        strength: 1.0,
        confidence: 1.0,
        metadata: json!({ "rule": "parent", "gap_ms": i64::try_from(gap_ms).unwrap_or(i64::MAX) }),
        detail: String::new(),
    }
}

/// A time moved back (-1) or on (1), as far as times go.
fn shifted(at: Timestamp, by: Duration, sign: i32) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX) * sign;
    at.saturating_add(by).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a valid time")
    }

    #[test]
    fn of_several_the_latest_before_the_child_is_the_parent() {
        assert_eq!(nearest(&[at(-90), at(-5), at(3)], at(0)), Some(at(-5)));
        assert_eq!(nearest(&[at(7), at(3)], at(0)), Some(at(3)));
        assert_eq!(nearest(&[at(0)], at(0)), Some(at(0)));
        assert_eq!(nearest(&[], at(0)), None);
    }

    #[test]
    fn a_parent_beyond_the_window_is_none() {
        assert_eq!(nearest(&[at(-86_401)], at(0)), None);
        assert_eq!(nearest(&[at(-86_400)], at(0)), Some(at(-86_400)));
        assert_eq!(nearest(&[at(301)], at(0)), None);
        assert_eq!(nearest(&[at(300)], at(0)), Some(at(300)));
    }
}
