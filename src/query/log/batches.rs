//! Which batches of a log are read at once, and how their rows are found.
//!
//! Rows are not put in order by the database, which would sort them with their payloads: a row's place follows from its
//! batch's base and its ordinal.

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;

use crate::limits::{FETCH_GAP, FETCH_PARTS_MAX};
use crate::query::error::ReadError;
use crate::query::event::Event;
use crate::query::sql::Sql;
use crate::query::timeline::PLACE;

/// A batch in the log of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedBatch {
    pub base: i64,
    pub span: i64,
    pub batch_id: i64,
    /// Events of it that are stored, or were.
    pub events: i64,
    pub oldest: Timestamp,
    pub newest: Timestamp,
}

impl LoggedBatch {
    pub fn read(row: &Row) -> Result<Self, ReadError> {
        Ok(Self {
            base: row.try_get(0)?,
            span: row.try_get::<_, i32>(1)?.into(),
            batch_id: row.try_get(2)?,
            events: row.try_get::<_, i32>(3)?.into(),
            oldest: row.try_get(4)?,
            newest: row.try_get(5)?,
        })
    }

    pub fn end(&self) -> i64 {
        self.base + self.span
    }
}

/// Offsets from one on and before another, and the batches that they are of.
#[derive(Debug, PartialEq, Eq)]
pub struct Stretch<'a> {
    pub from: i64,
    pub to: i64,
    batches: &'a [LoggedBatch],
}

/// The batches that lie near each other in time.
struct Part {
    oldest: Timestamp,
    newest: Timestamp,
    batch_ids: Vec<i64>,
}

impl<'a> Stretch<'a> {
    /// From an offset on, with `events` at most. Batches may lie before it.
    pub fn of(batches: &'a [LoggedBatch], from: i64, events: usize) -> Self {
        let batches = &batches[batches.partition_point(|batch| batch.end() <= from)..];
        let mut left = i64::try_from(events).unwrap_or(i64::MAX);
        let (mut to, mut taken) = (from, 0);
        for batch in batches {
            let start = batch.base.max(from);
            // Of a batch with holes it is not known where they are.
            let expected = batch.events.min(batch.end() - start);
            taken += 1;
            if expected > left {
                to = start + left;
                break;
            }
            to = batch.end();
            left -= expected;
            if left == 0 {
                break;
            }
        }
        Self { from, to, batches: &batches[..taken] }
    }

    /// The part of it before an offset.
    #[must_use]
    pub fn before(mut self, end: i64) -> Self {
        if end < self.to {
            self.to = end;
            let taken = self.batches.partition_point(|batch| batch.base < end);
            self.batches = &self.batches[..taken];
        }
        self
    }

    /// Those of its events that have one of these types (none: any), in whatever order.
    pub fn select(&self, tenant_id: &str, event_types: &[String]) -> Sql {
        let mut sql = Sql::new("");
        sql.push_union(self.parts(), |sql, part| {
            let (lowest, highest) = (part.batch_ids.iter().min(), part.batch_ids.iter().max());
            let (Some(lowest), Some(highest)) = (lowest.copied(), highest.copied()) else { return };
            sql.push_of_tenant(&Event::listed(PLACE), tenant_id);
            sql.push(" AND timestamp >= ").bind(part.oldest).push(" AND timestamp <= ").bind(part.newest);
            // The columnstore tells segments apart by bounds alone.
            sql.push(" AND batch_id >= ").bind(lowest).push(" AND batch_id <= ").bind(highest);
            sql.push(" AND batch_id = ANY (").bind(part.batch_ids).push(")");
            self.push_ends(sql);
            sql.push_any_of("event_type", event_types);
        });
        sql
    }

    /// The same in the order of the log.
    pub fn select_in_order(&self, tenant_id: &str, event_types: &[String]) -> Sql {
        let mut sql = self.select(tenant_id, event_types);
        let (ids, bases): (Vec<i64>, Vec<i64>) = self.bases().unzip();
        let (ids, bases) = (sql.parameter(ids), sql.parameter(bases));
        sql.text = format!(
            "SELECT found.* FROM ({}) found JOIN unnest({ids}::bigint[], {bases}::bigint[]) AS log (batch_id, base) \
             ON log.batch_id = found.batch_id ORDER BY log.base + found.batch_seq",
            sql.text
        );
        sql
    }

    /// Leaves out what of the first and the last batch is not wanted.
    fn push_ends(&self, sql: &mut Sql) {
        let ordinal = |offset: i64, batch: &LoggedBatch| i32::try_from(offset - batch.base).unwrap_or(i32::MAX);
        if let Some(first) = self.batches.first().filter(|first| first.base < self.from) {
            sql.push(" AND (batch_id <> ").bind(first.batch_id);
            sql.push(" OR batch_seq >= ").bind(ordinal(self.from, first)).push(")");
        }
        if let Some(last) = self.batches.last().filter(|last| self.to < last.end()) {
            sql.push(" AND (batch_id <> ").bind(last.batch_id);
            sql.push(" OR batch_seq < ").bind(ordinal(self.to, last)).push(")");
        }
    }

    /// The batches in few parts, no two of which overlap in time.
    fn parts(&self) -> Vec<Part> {
        let mut ordered: Vec<&LoggedBatch> = self.batches.iter().filter(|batch| batch.events > 0).collect();
        ordered.sort_unstable_by_key(|batch| batch.oldest);
        let mut gap = SignedDuration::try_from(FETCH_GAP).expect("an hour");
        loop {
            let mut parts: Vec<Part> = Vec::new();
            for batch in &ordered {
                match parts.last_mut() {
                    Some(part) if batch.oldest.duration_since(part.newest) <= gap => {
                        part.newest = part.newest.max(batch.newest);
                        part.batch_ids.push(batch.batch_id);
                    }
                    _ => {
                        parts.push(Part { oldest: batch.oldest, newest: batch.newest, batch_ids: vec![batch.batch_id] })
                    }
                }
            }
            if parts.len() <= FETCH_PARTS_MAX {
                return parts;
            }
            gap = gap.checked_mul(2).unwrap_or(SignedDuration::MAX);
        }
    }

    /// About how many events it has from an offset on.
    pub fn events_from(&self, offset: i64) -> usize {
        let expected = |batch: &LoggedBatch| batch.events.min(batch.end().min(self.to) - batch.base.max(offset));
        let events: i64 = self.batches.iter().map(|batch| expected(batch).max(0)).sum();
        usize::try_from(events).unwrap_or_default()
    }

    pub fn batches(&self) -> &'a [LoggedBatch] {
        self.batches
    }

    /// Whether a look can find anything.
    pub fn is_empty(&self) -> bool {
        self.batches.iter().all(|batch| batch.events == 0)
    }

    /// The batch that an offset lies behind.
    pub fn batch_before(&self, offset: i64) -> Option<i64> {
        let holds = |batch: &&LoggedBatch| batch.base < offset && offset <= batch.end();
        self.batches.iter().find(holds).map(|batch| batch.batch_id)
    }

    /// Where its batches begin, by their ids.
    pub fn bases(&self) -> impl Iterator<Item = (i64, i64)> + use<'a> {
        self.batches.iter().map(|batch| (batch.batch_id, batch.base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3600).expect("a time")
    }

    fn batch(base: i64, span: i64, events: i64, hours: (i64, i64)) -> LoggedBatch {
        LoggedBatch { base, span, batch_id: 1000 - base, events, oldest: at(hours.0), newest: at(hours.1) }
    }

    #[test]
    fn a_stretch_holds_no_more_than_was_asked_for() {
        let batches = [batch(0, 10, 10, (0, 0)), batch(10, 10, 4, (0, 0)), batch(20, 10, 10, (0, 0))];
        let of = |batches, from, events| {
            let stretch = Stretch::of(batches, from, events);
            (stretch.from, stretch.to, stretch.batches.len())
        };
        assert_eq!(of(&batches, 0, 5), (0, 5, 1));
        assert_eq!(of(&batches, 3, 7), (3, 10, 1));
        assert_eq!(of(&batches, 3, 8), (3, 11, 2), "one of the four that the next one has, wherever they are");
        assert_eq!(of(&batches, 0, 14), (0, 20, 2));
        assert_eq!(of(&batches, 0, 1000), (0, 30, 3));
        assert_eq!(of(&batches[1..], 12, 4), (12, 20, 1));
        assert_eq!(of(&[], 30, 10), (30, 30, 0));
        assert_eq!(
            [of(&batches, 12, 4), of(&batches, 20, 4), of(&batches, 30, 4)],
            [(12, 20, 1), (20, 24, 1), (30, 30, 0)]
        );
        let stretch = Stretch::of(&batches, 3, 100);
        let before = [(0, None), (1, Some(1000)), (10, Some(1000)), (11, Some(990)), (30, Some(980)), (31, None)];
        assert!(before.iter().all(|(offset, batch)| stretch.batch_before(*offset) == *batch));
        let before = |end| Stretch::of(&batches, 3, 1000).before(end);
        assert_eq!(
            [before(5), before(10), before(11), before(99)].map(|part| (part.to, part.batches.len())),
            [(5, 1), (10, 1), (11, 2), (30, 3)]
        );
    }

    #[test]
    fn what_is_far_apart_in_time_is_looked_for_apart() {
        let batches =
            [batch(0, 1, 1, (50, 50)), batch(1, 1, 1, (0, 3)), batch(2, 1, 0, (9, 9)), batch(3, 1, 1, (2, 4))];
        let parts = Stretch::of(&batches, 0, 100).parts();
        let parts: Vec<_> = parts.into_iter().map(|part| (part.oldest, part.newest, part.batch_ids)).collect();
        assert_eq!(parts, [(at(0), at(4), vec![999, 997]), (at(50), at(50), vec![1000])]);
        // However sparse: a few parts, and each batch in one.
        let batches: Vec<_> = (0..1000).map(|n| batch(n, 1, 1, (n * 24 % 7919, n * 24 % 7919))).collect();
        let parts = Stretch::of(&batches, 0, 1000).parts();
        assert!(parts.len() <= FETCH_PARTS_MAX);
        assert_eq!(parts.iter().map(|part| part.batch_ids.len()).sum::<usize>(), 1000);
    }
}
