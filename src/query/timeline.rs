//! A page of events in the order of time: first which rows they are, by the columns of their order alone, then all their
//! columns, of just their batches.
//!
//! An open day of a busy tenant has millions of rows, and sorting them with their payloads is what costs. So the rows are
//! looked for window by window ([`Steps`]), within a budget of time; where that is used up, the page says how far it got.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::columns::StoredRow;
use super::error::ReadError;
use super::event::Event;
use super::filter::{Filter, Reach};
use super::place::{Direction, Order, RowKey};
use super::reads::{Bounds, FoundRows, Reads};
use super::sql::Sql;
use super::steps::Steps;
use super::windows::Window;
use crate::limits::{FETCH_GAP, FETCH_PARTS_MAX, READ_TIMEOUT};

/// The columns of the order, behind those of an event.
pub const PLACE: &str = ", batch_id, batch_seq";
const KEY: &str = "timestamp, batch_id, batch_seq";
const KEYS: &str = "SELECT timestamp, batch_id, batch_seq FROM events";

/// Which events of a tenant, in which direction.
pub struct Timeline<'a> {
    pub tenant_id: &'a str,
    pub filter: &'a Filter,
    pub direction: Direction,
}

/// Where rows are.
pub struct Places {
    pub keys: Vec<RowKey>,
    /// They take as much as a page may hold, before there were enough.
    pub cut: bool,
    /// Where the look-up ended for lack of time, before it had enough.
    pub stopped: Option<Timestamp>,
}

impl Timeline<'_> {
    /// The window without what lies before a place.
    pub fn behind(&self, window: &Window, after: Option<RowKey>) -> Window {
        let Some((at, _)) = after else { return *window };
        match self.direction {
            Direction::NewestFirst => {
                let to = at.checked_add(SignedDuration::from_micros(1)).ok();
                Window { to: [to, window.to].into_iter().flatten().min(), ..*window }
            }
            Direction::OldestFirst => Window { from: Some(window.from.map_or(at, |from| from.max(at))), ..*window },
        }
    }

    /// The steps in which a window is looked through for so many rows, and the time for them.
    async fn steps(&self, reads: &Reads, window: Window, rows: usize) -> Result<(Steps, Duration), ReadError> {
        let now = Timestamp::now();
        let pace = reads.pace(self.tenant_id, &window, self.direction, now).await?;
        let width = match self.filter.reach() {
            Reach::Rows(times) => pace.width_of(rows.saturating_mul(times)),
            Reach::Time(width) => width,
        };
        // Where no batch is known, nothing is expected, and the end is soon found.
        let time = if pace.is_known() { reads.search_time } else { READ_TIMEOUT };
        Ok((Steps::new(window, self.direction, pace.edge, width), time))
    }

    /// The places of the first rows of a window behind a place.
    pub async fn places(
        &self,
        reads: &Reads,
        window: &Window,
        after: Option<RowKey>,
        rows: usize,
    ) -> Result<Places, ReadError> {
        let begun = Instant::now();
        let (mut steps, time_max) = self.steps(reads, self.behind(window, after), rows).await?;
        let mut keys: Vec<RowKey> = Vec::new();
        let mut reached = None;
        while let Some(window) = steps.take() {
            let left = time_max.saturating_sub(begun.elapsed());
            // The first one has all the time that a read may take: there must be progress.
            let time = if reached.is_none() { READ_TIMEOUT } else { left };
            let asked = Instant::now();
            let before = keys.len();
            let found = match time {
                Duration::ZERO => Err(ReadError::Timeout),
                time => {
                    let bounds = Bounds { time, bytes: Some(reads.page_bytes) };
                    // Where a narrow window had not enough, rows are rare.
                    let by_index = reads.payload_gin && reached.is_some() && self.filter.is_contained();
                    let mut wanted = self.keys(&window, after, rows - keys.len(), by_index);
                    wanted.keeps_plan = self.keeps_plan(reads, &window);
                    reads.rows_within(&wanted, bounds).await
                }
            };
            match found {
                Err(ReadError::Timeout) if reached.is_some() => {
                    return Ok(Places { keys, cut: false, stopped: reached });
                }
                found => {
                    let FoundRows { rows, cut } = found?;
                    for row in rows {
                        keys.push(Order::Written.place(&row)?);
                    }
                    if cut {
                        return Ok(Places { keys, cut, stopped: None });
                    }
                }
            }
            if keys.len() >= rows {
                break;
            }
            reached = steps.reached();
            let (found, wanted) = (keys.len() - before, rows - keys.len());
            steps.widen(found, wanted, asked.elapsed(), time_max.saturating_sub(begun.elapsed()));
        }
        Ok(Places { keys, cut: false, stopped: None })
    }

    /// By an index of their own they are found before they are put in order: the planner takes a row in a hundred to be
    /// contained, and would go through the order until there are enough.
    fn keys(&self, window: &Window, after: Option<RowKey>, rows: usize, by_index: bool) -> Sql {
        let mut sql = Sql::of_tenant(KEYS, self.tenant_id);
        if by_index {
            self.filter.push_contained(&mut sql);
        }
        self.filter.push(&mut sql);
        sql.push_within("timestamp", window);
        if let Some(after) = after {
            Order::Written.push_place(&mut sql, self.direction.behind(), after);
        }
        if by_index || matches!(self.filter.reach(), Reach::Time(_)) {
            sql = sql.into_few(KEY);
        }
        Order::Written.push(&mut sql, self.direction);
        sql.push_limit(rows);
        sql
    }

    /// Whether a window is all that is left, and its rows are of a correlation id alone: of a year of partitions a plan costs
    /// far more than going by it. A plan of hypertables for any tenant would hold the chunks of all.
    fn keeps_plan(&self, reads: &Reads, window: &Window) -> bool {
        let is_last = match self.direction {
            Direction::NewestFirst => window.from.is_none(),
            Direction::OldestFirst => window.to.is_none(),
        };
        is_last && self.filter.is_of_correlation_alone() && !reads.layout.has_hypertables()
    }

    /// The rows at these places, which are in the list's order, with values that are not too large to be listed.
    pub async fn rows(&self, reads: &Reads, keys: &[RowKey]) -> Result<FoundRows, ReadError> {
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else {
            return Ok(FoundRows { rows: Vec::new(), cut: false });
        };
        let (oldest, newest) = if first <= last { (*first, *last) } else { (*last, *first) };
        let mut sql = Sql::new("");
        sql.push_union(parts(keys), |sql, part| {
            sql.push_of_tenant(&Event::listed(PLACE), self.tenant_id);
            sql.push(" AND timestamp >= ").bind(part.from).push(" AND timestamp <= ").bind(part.to);
            sql.push(" AND batch_id = ANY (").bind(part.batches).push(")");
            self.filter.push(sql);
            Order::Written.push_place(sql, ">=", oldest);
            Order::Written.push_place(sql, "<=", newest);
        });
        Order::Written.push(&mut sql, self.direction);
        reads.rows(&sql).await
    }

    /// The row at a place, with all its values.
    pub fn whole(&self, window: &Window, place: RowKey) -> Sql {
        let mut sql = Sql::of_tenant(&Event::select(PLACE), self.tenant_id);
        sql.push_within("timestamp", window);
        Order::Written.push_place(&mut sql, "=", place);
        sql
    }
}

/// Rows that are near each other.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    from: Timestamp,
    to: Timestamp,
    batches: Vec<i64>,
}

/// Places in one direction, in few parts with gaps between them.
fn parts(keys: &[RowKey]) -> Vec<Part> {
    let mut gap = SignedDuration::try_from(FETCH_GAP).expect("an hour");
    loop {
        let near = |a: &RowKey, b: &RowKey| b.0.duration_since(a.0).abs() <= gap;
        if keys.chunk_by(near).count() <= FETCH_PARTS_MAX {
            return keys.chunk_by(near).map(Part::of).collect();
        }
        gap = gap.checked_mul(2).unwrap_or(SignedDuration::MAX);
    }
}

impl Part {
    fn of(keys: &[RowKey]) -> Self {
        let times = (keys[0].0, keys[keys.len() - 1].0);
        let mut batches: Vec<i64> = keys.iter().map(|(_, [batch, _])| *batch).collect();
        batches.sort_unstable();
        batches.dedup();
        Self { from: times.0.min(times.1), to: times.0.max(times.1), batches }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_apart_is_fetched_apart() {
        let at = |second: i64| Timestamp::from_second(second).expect("a time");
        let key = |second: i64, batch: i64| (at(second), [batch, 0]);
        let found = parts(&[key(9_000, 3), key(8_000, 2), key(8_000, 2), key(4_399, 1), key(0, 1)]);
        let part = |from, to, batches: &[i64]| Part { from: at(from), to: at(to), batches: batches.to_vec() };
        assert_eq!(found, [part(8_000, 9_000, &[2, 3]), part(4_399, 4_399, &[1]), part(0, 0, &[1])]);
        // However sparse: a few parts.
        let days: Vec<RowKey> = (0..1000).map(|day| key(day * 86_400, day)).collect();
        let found = parts(&days);
        assert!(found.len() <= FETCH_PARTS_MAX && found.iter().map(|part| part.batches.len()).sum::<usize>() == 1000);
    }
}
