//! Causal pairs by a shared correlation id: reads a slice of events with what is known around it, and makes the stored
//! chain what the events say.
//!
//! A slice holds all events of a stretch of time, so that within it neighbours are certain. Beyond it the job looks at the
//! ends of minutes that it has been through (`group_edges`), and where those were given up, at `correlation_groups`, which
//! says in which hours a group has other events; only then are events read. Two events become neighbours when the second
//! of them is processed, whichever that is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use super::chain::{self, ChainEvent, Edge, Known, Neighbour};
use super::pairs::{self, CorrelationType, Pair, Side};
use crate::jobs::minutes::{minute_at, minute_of};
use crate::limits::{CHAIN_GAP_MINUTES, GROUP_EDGES_MINUTES, GROUPS_LOOKED_UP_MINUTES, NEIGHBOURS_ONE_BY_ONE_MAX};
use crate::storage::StorageError;

/// How far edges may lie: a gap may begin and end in the middle of a minute.
const GAP_MINUTES: i32 = CHAIN_GAP_MINUTES + 1;

/// A slice: its groups, and whether it begins or ends within a minute.
pub(super) struct Slice {
    /// The events of each correlation id in order, each once.
    pub groups: BTreeMap<Uuid, Vec<ChainEvent>>,
    /// The minute that the slice before it ended in.
    pub cut_from: Option<i32>,
    /// The minute in which it ends before the minute does.
    pub cut_to: Option<i32>,
}

/// A group with what was found out about it.
struct CorrelationGroup<'a> {
    correlation_id: Uuid,
    events: &'a [ChainEvent],
    before: Neighbour,
    after: Neighbour,
}

/// Which earlier events the stored chain has for later ones.
type Stored = HashMap<(Uuid, Timestamp), BTreeSet<Uuid>>;

/// Relates the events of a slice. Returns how many pairs were written and how many taken away.
pub(super) async fn relate(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    groups_relation: &str,
    slice: &Slice,
) -> Result<(usize, usize), StorageError> {
    let all = || slice.groups.values().flatten();
    let (Some(first), Some(last)) = (all().map(|point| point.at).min(), all().map(|point| point.at).max()) else {
        return Ok((0, 0));
    };
    let stored = stored(transaction, tenant_id, first, last).await?;
    let mut known = edges(transaction, tenant_id, slice).await?;
    hours(transaction, tenant_id, groups_relation, slice, (first, last), &mut known).await?;
    let none = Known::default();
    let mut groups: Vec<CorrelationGroup<'_>> = slice
        .groups
        .iter()
        .map(|(correlation_id, events)| {
            let known = known.get(correlation_id).unwrap_or(&none);
            group(slice, *correlation_id, events, known)
        })
        .collect();
    look(transaction, tenant_id, &mut groups).await?;
    let changes = changes(&groups, &stored);
    let deleted = delete(transaction, tenant_id, &changes.stale).await?;
    let written = pairs::write(transaction, tenant_id, &changes.pairs).await?;
    remember(transaction, tenant_id, slice).await?;
    Ok((written, deleted))
}

fn group<'a>(slice: &Slice, correlation_id: Uuid, events: &'a [ChainEvent], known: &Known) -> CorrelationGroup<'a> {
    let (first, last) = (&events[0], &events[events.len() - 1]);
    let (first_minute, last_minute) = (minute_of(first.at), minute_of(last.at));
    let cut = slice.cut_from == Some(first_minute);
    let clear_from = if cut { first.at } else { minute_at(first_minute) };
    let before = chain::before(first, clear_from, cut, known);
    let cut = slice.cut_to == Some(last_minute);
    let clear_until = if cut { last.at } else { minute_at(last_minute + 1) };
    let after = chain::after(last, clear_until, cut, known);
    CorrelationGroup { correlation_id, events, before, after }
}

async fn stored(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    first: Timestamp,
    last: Timestamp,
) -> Result<Stored, StorageError> {
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/chain_existing.sql")).await?;
    let mut stored = Stored::new();
    for row in transaction.query(&statement, &[&tenant_id, &first, &last]).await? {
        stored.entry((row.get(0), row.get(1))).or_default().insert(row.get(2));
    }
    Ok(stored)
}

async fn edges(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    slice: &Slice,
) -> Result<HashMap<Uuid, Known>, StorageError> {
    let ids: Vec<Uuid> = slice.groups.keys().copied().collect();
    let minutes = |of: fn(&[ChainEvent]) -> Option<&ChainEvent>| -> Vec<i32> {
        slice.groups.values().filter_map(|events| of(events)).map(|point| minute_of(point.at)).collect()
    };
    let (first_minutes, last_minutes) = (minutes(<[ChainEvent]>::first), minutes(<[ChainEvent]>::last));
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/chain_edges.sql")).await?;
    let rows = transaction.query(&statement, &[&tenant_id, &ids, &first_minutes, &last_minutes, &GAP_MINUTES]).await?;
    let mut known = HashMap::new();
    for row in rows {
        let edge = |column| Some(Edge { first: point(&row, column)?, last: point(&row, column + 3)? });
        let found = Known {
            before: point(&row, 1),
            first_minute: edge(4),
            last_minute: edge(10),
            after: point(&row, 16),
            hours: Vec::new(),
        };
        known.insert(ids[ordinal(&row)], found);
    }
    Ok(known)
}

/// Adds hours of which the edges may have been given up. Of what is older than the groups are kept nothing is known: anybody
/// may be anywhere within the longest gap.
async fn hours(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    groups_relation: &str,
    slice: &Slice,
    (first, last): (Timestamp, Timestamp),
    known: &mut HashMap<Uuid, Known>,
) -> Result<(), StorageError> {
    let gap = SignedDuration::from_secs(i64::from(GAP_MINUTES + 60) * 60);
    let now = minute_of(Timestamp::now());
    let (from, to) = (first.saturating_add(gap * -1), last.saturating_add(gap));
    let (Ok(from), Ok(to)) = (from, to) else { return Ok(()) };
    let ids: Vec<Uuid> = slice.groups.keys().copied().collect();
    if from < minute_at(now - GROUPS_LOOKED_UP_MINUTES) {
        for id in ids {
            known.entry(id).or_default().hours.push((from, to));
        }
        return Ok(());
    }
    // Twice as much as is given up: clocks of two nodes differ.
    let to = to.min(minute_at(now - GROUP_EDGES_MINUTES / 2));
    if from >= to {
        return Ok(());
    }
    let sql = format!(
        "SELECT correlation_id, first_at, last_at FROM {groups_relation} \
         WHERE tenant_id = $1 AND correlation_id = ANY ($2) AND bucket >= $3 AND bucket < $4"
    );
    let statement = transaction.prepare_cached(&sql).await?;
    for row in transaction.query(&statement, &[&tenant_id, &ids, &from, &to]).await? {
        known.entry(row.get(0)).or_default().hours.push((row.get(1), row.get(2)));
    }
    Ok(())
}

/// Looks for the neighbours that are somewhere within a stretch of time.
async fn look(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    groups: &mut [CorrelationGroup<'_>],
) -> Result<(), StorageError> {
    let mut asked: [Vec<(usize, Timestamp, Timestamp)>; 2] = Default::default();
    for (index, group) in groups.iter_mut().enumerate() {
        for (asked, neighbour) in asked.iter_mut().zip([&mut group.before, &mut group.after]) {
            if let Neighbour::Within(from, to) = *neighbour {
                asked.push((index, from, to));
                // Unless somebody is found.
                *neighbour = Neighbour::None;
            }
        }
    }
    for (direction, asked) in asked.into_iter().enumerate() {
        let (Some(from), Some(to)) = (asked.iter().map(|ask| ask.1).min(), asked.iter().map(|ask| ask.2).max()) else {
            continue;
        };
        let sql = match (direction, asked.len() <= NEIGHBOURS_ONE_BY_ONE_MAX) {
            (0, true) => include_str!("../../sql/queries/chain_before.sql"),
            (0, false) => include_str!("../../sql/queries/chain_before_scan.sql"),
            (_, true) => include_str!("../../sql/queries/chain_after.sql"),
            (_, false) => include_str!("../../sql/queries/chain_after_scan.sql"),
        };
        let ids: Vec<Uuid> = asked.iter().map(|ask| groups[ask.0].correlation_id).collect();
        let (froms, tos): (Vec<Timestamp>, Vec<Timestamp>) = asked.iter().map(|ask| (ask.1, ask.2)).unzip();
        let ends = asked.iter().map(|ask| {
            let events = groups[ask.0].events;
            if direction == 0 { events[0].key() } else { events[events.len() - 1].key() }
        });
        let (ats, end_ids): (Vec<Timestamp>, Vec<Uuid>) = ends.unzip();
        let statement = transaction.prepare_cached(sql).await?;
        let rows = transaction.query(&statement, &[&tenant_id, &ids, &froms, &tos, &ats, &end_ids, &from, &to]).await?;
        for row in rows {
            let found = point(&row, 1).map_or(Neighbour::None, Neighbour::Is);
            let group = &mut groups[asked[ordinal(&row)].0];
            *(if direction == 0 { &mut group.before } else { &mut group.after }) = found;
        }
    }
    Ok(())
}

/// What is to be written and taken away.
#[derive(Default)]
struct Changes {
    pairs: Vec<Pair>,
    /// Later events, with the earlier one that they keep.
    stale: Vec<(Uuid, Timestamp, Option<Uuid>)>,
}

fn changes(groups: &[CorrelationGroup<'_>], stored: &Stored) -> Changes {
    let mut changes = Changes::default();
    for group in groups {
        let mut link = |earlier: Option<&ChainEvent>, later: &ChainEvent, unseen: bool| {
            let earlier = earlier.filter(|earlier| chain::is_pair(earlier, later));
            let before = stored.get(&(later.id, later.at));
            let keep = earlier.map(|earlier| earlier.id);
            if unseen || before.is_some_and(|primaries| primaries.iter().any(|primary| Some(*primary) != keep)) {
                changes.stale.push((later.id, later.at, keep));
            }
            if let Some(earlier) = earlier
                && !before.is_some_and(|primaries| primaries.contains(&earlier.id))
            {
                changes.pairs.push(pair(group.correlation_id, earlier, later));
            }
        };
        link(group.before.event(), &group.events[0], false);
        for two in group.events.windows(2) {
            link(Some(&two[0]), &two[1], false);
        }
        // The later one is not of this slice, and what is stored of it was not read.
        if let Some(later) = group.after.event()
            && let Some(last) = group.events.last()
            && chain::is_pair(last, later)
        {
            link(Some(last), later, true);
        }
    }
    changes
}

fn pair(correlation_id: Uuid, earlier: &ChainEvent, later: &ChainEvent) -> Pair {
    let gap_ms = later.at.duration_since(earlier.at).as_millis();
    Pair {
        kind: CorrelationType::Causal,
        primary: Side { at: earlier.at, id: earlier.id },
        related: Side { at: later.at, id: later.id },
        strength: chain::strength(earlier, later),
        confidence: chain::confidence(earlier, later),
        metadata: json!({
            "rule": "correlation_id",
            "correlation_id": correlation_id,
            "gap_ms": i64::try_from(gap_ms).unwrap_or(i64::MAX),
        }),
        detail: String::new(),
    }
}

async fn delete(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    stale: &[(Uuid, Timestamp, Option<Uuid>)],
) -> Result<usize, StorageError> {
    let (Some(from), Some(to)) = (stale.iter().map(|row| row.1).min(), stale.iter().map(|row| row.1).max()) else {
        return Ok(0);
    };
    let ids: Vec<Uuid> = stale.iter().map(|row| row.0).collect();
    let times: Vec<Timestamp> = stale.iter().map(|row| row.1).collect();
    let keep: Vec<Option<Uuid>> = stale.iter().map(|row| row.2).collect();
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/chain_delete.sql")).await?;
    let deleted = transaction.execute(&statement, &[&tenant_id, &ids, &times, &keep, &from, &to]).await?;
    Ok(usize::try_from(deleted).unwrap_or(usize::MAX))
}

/// Notes the ends of each group and minute for those who come later.
async fn remember(transaction: &Transaction<'_>, tenant_id: &str, slice: &Slice) -> Result<(), StorageError> {
    let mut ends: BTreeMap<(Uuid, i32), (&ChainEvent, &ChainEvent)> = BTreeMap::new();
    for (correlation_id, events) in &slice.groups {
        for event in events {
            ends.entry((*correlation_id, minute_of(event.at))).or_insert((event, event)).1 = event;
        }
    }
    let (ids, minutes): (Vec<Uuid>, Vec<i32>) = ends.keys().copied().unzip();
    let times =
        |of: fn(&(&ChainEvent, &ChainEvent)) -> Timestamp| -> Vec<Timestamp> { ends.values().map(of).collect() };
    let event_ids = |of: fn(&(&ChainEvent, &ChainEvent)) -> Uuid| -> Vec<Uuid> { ends.values().map(of).collect() };
    let first_modules: Vec<&str> = ends.values().map(|(first, _)| first.module.as_str()).collect();
    let last_modules: Vec<&str> = ends.values().map(|(_, last)| last.module.as_str()).collect();
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/chain_edges_write.sql")).await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
        &tenant_id,
        &ids,
        &minutes,
        &times(|ends| ends.0.at),
        &event_ids(|ends| ends.0.id),
        &first_modules,
        &times(|ends| ends.1.at),
        &event_ids(|ends| ends.1.id),
        &last_modules,
    ];
    transaction.execute(&statement, &parameters).await?;
    Ok(())
}

/// Time, id and module from three columns, where they are not null.
fn point(row: &Row, column: usize) -> Option<ChainEvent> {
    let at: Option<Timestamp> = row.get(column);
    at.map(|at| ChainEvent { at, id: row.get(column + 1), module: row.get(column + 2) })
}

/// The index that WITH ORDINALITY counts from 1, in the first column.
fn ordinal(row: &Row) -> usize {
    usize::try_from(row.get::<_, i64>(0) - 1).expect("ordinality begins with 1")
}
