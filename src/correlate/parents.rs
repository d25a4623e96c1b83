//! Causal pairs by parent_event_id. Nearly every parent is within a minute of its child, where one scan finds those of a
//! whole slice; the others become orphans, are looked for once in the whole window, and then wait a day for a parent that
//! comes late.
//!
//! A parent is named by the id that its sender gave it, which several sources may give ([`crate::model::parent_of`] says who is meant). A
//! child that finds its parent in another source alone is given that one, and waits all the same: its own source's may
//! come late, and takes the other's place.

use std::collections::{BTreeMap, HashMap, HashSet};

use deadpool_postgres::{Object, Transaction};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::child::{Child, shifted};
use super::kept::KeptPairs;
use super::orphans;
use super::pairs::{self, Pair, Side};
use crate::jobs::minutes::{MinuteRange, Tally};
use crate::limits::{ORPHANS_PER_PARENT_STEP, ORPHANS_PER_STEP, PARENT_AFTER_MAX, PARENT_BEFORE_MAX, PARENT_NEAR};
use crate::model::{Namesake, ParentCandidate};
use crate::storage::StorageError;

/// Children with the parents that were found for them.
#[derive(Default)]
struct Found {
    /// Parents that nothing can take the place of.
    sure: Vec<(Child, ParentCandidate)>,
    /// Parents in other sources.
    elsewhere: Vec<(Child, ParentCandidate)>,
}

impl Found {
    fn add(&mut self, child: Child, parent: ParentCandidate) {
        let list = if parent.by == Namesake::Elsewhere { &mut self.elsewhere } else { &mut self.sure };
        list.push((child, parent));
    }

    /// Writes the pairs of orphans, and lets those wait no longer that need not.
    async fn settle(
        &self,
        transaction: &Transaction<'_>,
        tenant_id: &str,
        tally: &mut Tally,
    ) -> Result<(), StorageError> {
        write_sure(transaction, tenant_id, &self.sure, tally).await?;
        orphans::forget(transaction, tenant_id, self.sure.iter().map(|(child, _)| child)).await?;
        tally.add("pairs", pairs::write(transaction, tenant_id, &pairs_of(&self.elsewhere)).await?);
        orphans::mark_matched(transaction, tenant_id, self.elsewhere.iter().map(|(child, _)| child)).await
    }
}

/// Writes the pairs of children whose parent is sure; one in another source that they had until now goes.
async fn write_sure(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    found: &[(Child, ParentCandidate)],
    tally: &mut Tally,
) -> Result<(), StorageError> {
    let times = || found.iter().map(|(child, _)| child.event.at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(()) };
    let any = "SELECT EXISTS (SELECT FROM orphans WHERE tenant_id = $1 AND matched)";
    let any = transaction.prepare_cached(any).await?;
    if transaction.query_one(&any, &[&tenant_id]).await?.get(0) {
        let (names, ids): (Vec<Uuid>, Vec<Uuid>) =
            found.iter().map(|(child, _)| (child.parent_id, child.event.id)).unzip();
        let statement = transaction.prepare_cached(include_str!("../../sql/queries/parents_replace.sql")).await?;
        let until = shifted(last, PARENT_AFTER_MAX, 1);
        let gone = transaction.execute(&statement, &[&tenant_id, &names, &ids, &first, &until]).await?;
        tally.add("pairs_taken_away", usize::try_from(gone).unwrap_or(usize::MAX));
    }
    tally.add("pairs", pairs::write(transaction, tenant_id, &pairs_of(found)).await?);
    Ok(())
}

fn pairs_of(found: &[(Child, ParentCandidate)]) -> Vec<Pair> {
    found.iter().map(|(child, parent)| child.pair(*parent)).collect()
}

/// Relates children to their parents; those whose parent is not near become orphans.
pub(super) async fn relate(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    children: Vec<Child>,
    tally: &mut Tally,
) -> Result<(), StorageError> {
    let times = || children.iter().map(|child| child.event.at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(()) };
    let (from, to) = (shifted(first, PARENT_NEAR, -1), shifted(last, PARENT_NEAR, 1));
    let named = near(transaction, tenant_id, &children, from, to).await?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for child in children {
        let events = named.get(&child.parent_id).map_or(&[][..], Vec::as_slice);
        let parent = child.parent(events.iter().map(|(id, at, source)| child.candidate(*id, *at, source)));
        match parent.filter(|parent| parent.by != Namesake::Elsewhere) {
            Some(parent) => found.push((child, parent)),
            None => missing.push(child),
        }
    }
    write_sure(transaction, tenant_id, &found, tally).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = missing.iter().map(|child| child.event.id).collect();
    let known = transaction.prepare_cached(include_str!("../../sql/queries/parents_known.sql")).await?;
    let rows = transaction.query(&known, &[&tenant_id, &ids, &first, &shifted(last, PARENT_AFTER_MAX, 1)]).await?;
    let known: HashSet<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    missing.retain(|child| !known.contains(&child.event.id));
    tally.add("orphans", orphans::note(transaction, tenant_id, missing).await?);
    Ok(())
}

/// Id, time and source of events, by the ids that they go by.
type Named = HashMap<Uuid, Vec<(Uuid, Timestamp, String)>>;

async fn near(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    children: &[Child],
    from: Timestamp,
    to: Timestamp,
) -> Result<Named, StorageError> {
    let mut wanted: Vec<Uuid> = children.iter().map(|child| child.parent_id).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/parents_near.sql")).await?;
    let mut named = Named::new();
    for row in transaction.query(&statement, &[&tenant_id, &wanted, &from, &to]).await? {
        named.entry(row.get(0)).or_default().push((row.get(1), row.get(2), row.get(3)));
    }
    Ok(named)
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
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&range.tenant_id, &range.starts_at(), &range.ends_at(), &before_s, &after_s, &limit];
    let rows = transaction.query(&statement, &parameters).await?;
    let mut candidates: BTreeMap<Child, Vec<ParentCandidate>> = BTreeMap::new();
    for row in &rows {
        let event = Side { id: row.get(1), at: row.get(2) };
        let child = Child { parent_id: row.get(0), event, source_module: row.get(3) };
        let candidate = child.candidate(row.get(5), row.get(6), row.get(7));
        candidates.entry(child).or_default().push(candidate);
    }
    let mut found = Found::default();
    for (child, candidates) in candidates {
        let parent = child.parent(candidates).expect("the query asks for what counts");
        found.add(child, parent);
    }
    found.settle(transaction, &range.tenant_id, tally).await?;
    Ok(i64::try_from(rows.len()).is_ok_and(|rows| rows == ORPHANS_PER_PARENT_STEP))
}

/// Looks for the parents of some orphans in the whole window, in one transaction; false when none is left to be looked for.
/// They may have waited until their pairs are kept no longer, for which there need not be a partition.
pub(super) async fn search(kept: &KeptPairs, client: &mut Object, tally: &mut Tally) -> Result<bool, StorageError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off").await?;
    let next = transaction.prepare_cached(include_str!("../../sql/queries/orphans_next.sql")).await?;
    let rows = transaction.query(&next, &[&ORPHANS_PER_STEP]).await?;
    let mut tenants: BTreeMap<String, Vec<(Child, bool)>> = BTreeMap::new();
    for row in &rows {
        let event = Side { id: row.get(2), at: row.get(3) };
        let child = Child { parent_id: row.get(1), event, source_module: row.get(4) };
        tenants.entry(row.get(0)).or_default().push((child, row.get(5)));
    }
    for (tenant_id, waiting) in tenants {
        let candidates = in_window(&transaction, &tenant_id, &waiting).await?;
        let (mut found, mut too_old) = (Found::default(), Vec::new());
        for ((child, matched), candidates) in waiting.into_iter().zip(candidates) {
            let Some(parent) = child.parent(candidates) else { continue };
            if !kept.keeps(child.pair(parent).at()) {
                too_old.push(child);
            } else if !matched || parent.by != Namesake::Elsewhere {
                found.add(child, parent);
            }
        }
        if !too_old.is_empty() {
            tally.add("pairs_too_old", too_old.len());
            orphans::forget(&transaction, &tenant_id, too_old.iter()).await?;
        }
        found.settle(&transaction, &tenant_id, tally).await?;
    }
    transaction.commit().await?;
    Ok(!rows.is_empty())
}

/// What each of these may be a child of.
async fn in_window(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    waiting: &[(Child, bool)],
) -> Result<Vec<Vec<ParentCandidate>>, StorageError> {
    let children = || waiting.iter().map(|(child, _)| child);
    let mut found = vec![Vec::new(); waiting.len()];
    let times: Vec<Timestamp> = children().map(|child| child.event.at).collect();
    let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else { return Ok(found) };
    let (from, to) = (shifted(*first, PARENT_BEFORE_MAX, -1), shifted(*last, PARENT_AFTER_MAX, 1));
    let names: Vec<Uuid> = children().map(|child| child.parent_id).collect();
    let ids: Vec<Uuid> = children().map(|child| child.event.id).collect();
    let sources: Vec<Option<&str>> = children().map(|child| child.source_module.as_deref()).collect();
    let (before_s, after_s) = (PARENT_BEFORE_MAX.as_secs_f64(), PARENT_AFTER_MAX.as_secs_f64());
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/orphans_search.sql")).await?;
    let parameters: [&(dyn ToSql + Sync); 9] =
        [&tenant_id, &names, &times, &ids, &sources, &before_s, &after_s, &from, &to];
    let index = |row: &Row| usize::try_from(row.get::<_, i64>(0) - 1).ok();
    for row in transaction.query(&statement, &parameters).await? {
        let Some(index) = index(&row).filter(|index| *index < waiting.len()) else { continue };
        found[index].push(waiting[index].0.candidate(row.get(1), row.get(2), row.get(3)));
    }
    Ok(found)
}
