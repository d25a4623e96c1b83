//! How fast a tenant's events follow each other around a time, as the manifests of its batches tell: from this a list has the
//! width of its first window. A hint and no more: whatever it says, lists find every row.

use std::time::Duration;

use jiff::Timestamp;

use super::error::ReadError;
use super::levels::Micros;
use super::place::Direction;
use super::reads::Reads;
use super::sql::Sql;
use super::windows::Window;
use crate::limits::{PACE_MANIFESTS, WINDOW_ROOM};

/// Where nothing is known.
const WIDTH_DEFAULT: Duration = Duration::from_secs(60);

/// Where the rows of a window begin in a list's direction, and how many follow each other in a microsecond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    pub edge: Timestamp,
    per_us: Option<f64>,
}

/// What a manifest says of its batch.
#[derive(Debug, Clone, Copy)]
struct Batch {
    min_us: Micros,
    max_us: Micros,
    rows: i32,
}

impl Reads {
    /// How a tenant's events in a window begin, in this direction.
    pub(super) async fn pace(
        &self,
        tenant_id: &str,
        window: &Window,
        direction: Direction,
        now: Timestamp,
    ) -> Result<Pace, ReadError> {
        let mut sql = Sql::of_tenant("SELECT min_timestamp, max_timestamp, event_count FROM ingest_batches", tenant_id);
        sql.push(" AND kind = 'events'");
        sql.push_within("max_timestamp", window);
        sql.push(" ORDER BY max_timestamp").push(if direction == Direction::NewestFirst { " DESC" } else { "" });
        sql.push(" LIMIT ").bind(PACE_MANIFESTS);
        let mut batches = Vec::new();
        for row in self.rows(&sql).await?.rows {
            let time = |column| Ok::<_, ReadError>(row.try_get::<_, Timestamp>(column)?.as_microsecond());
            batches.push(Batch { min_us: time(0)?, max_us: time(1)?, rows: row.try_get(2)? });
        }
        Ok(Pace::of(&batches, window, direction, now))
    }
}

impl Pace {
    /// Of the batches with the newest, or oldest, ends in a window.
    fn of(batches: &[Batch], window: &Window, direction: Direction, now: Timestamp) -> Self {
        let nearest = match direction {
            Direction::NewestFirst => window.to.map_or(now, |to| to.min(now)),
            Direction::OldestFirst => window.from.unwrap_or(now),
        };
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
            return Self { edge: nearest, per_us: None };
        };
        let mut spans: Vec<Micros> = batches.iter().map(|batch| batch.max_us - batch.min_us).collect();
        spans.sort_unstable();
        // That of a batch as most are: one with a late event may reach far back.
        let span = spans[spans.len() / 2];
        let rows: f64 = batches.iter().map(|batch| f64::from(batch.rows)).sum();
        let edge_us = match direction {
            Direction::NewestFirst => first.max_us + 1,
            Direction::OldestFirst => {
                (first.max_us - span).max(window.from.map_or(Micros::MIN, Timestamp::as_microsecond))
            }
        };
        let covered_us = first.max_us.abs_diff(last.max_us).saturating_add(span.unsigned_abs()).max(1);
        Self { edge: Timestamp::from_microsecond(edge_us).unwrap_or(nearest), per_us: Some(rows / covered_us as f64) }
    }

    /// Whether there are batches, and so rows.
    pub fn is_known(&self) -> bool {
        self.per_us.is_some()
    }

    /// The width of a window that should hold so many rows.
    pub fn width_of(&self, rows: usize) -> Duration {
        let Some(per_us) = self.per_us.filter(|per_us| *per_us > 0.0) else { return WIDTH_DEFAULT };
        Duration::try_from_secs_f64(WINDOW_ROOM * rows as f64 / per_us / 1e6).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    const NOW_US: Micros = 1_800_000_000_000_000;

    fn pace(batches: &[(Micros, Micros, i32)], direction: Direction) -> (Micros, u128) {
        let batches: Vec<Batch> = batches
            .iter()
            .map(|(min, max, rows)| Batch { min_us: NOW_US + min, max_us: NOW_US + max, rows: *rows })
            .collect();
        let now = Timestamp::from_microsecond(NOW_US).unwrap();
        let pace = Pace::of(&batches, &Window::default(), direction, now);
        (pace.edge.as_microsecond() - NOW_US, pace.width_of(100).as_micros())
    }

    #[test]
    fn a_window_holds_what_is_wanted_and_little_more() {
        // Dense batches side by side; one event every ten seconds; a batch in which one event is a year late.
        let dense: Vec<_> = (0..64).map(|n| (-n * 20_000 - 1_000, -n * 20_000, 1000)).collect();
        let (edge, width) = pace(&dense, Direction::NewestFirst);
        assert!(edge == 1 && (3_900..4_100).contains(&width), "{edge} {width}");
        let sparse: Vec<_> = (0..64).map(|n| (-n * 10_000_000, -n * 10_000_000, 1)).collect();
        assert_eq!(pace(&sparse, Direction::NewestFirst).1 / 1_000_000, 1968);
        let mut late = dense.clone();
        late[3].0 = -365 * 86_400_000_000;
        assert_eq!(pace(&late, Direction::NewestFirst), pace(&dense, Direction::NewestFirst));
        let oldest: Vec<_> = dense.iter().rev().copied().collect();
        assert_eq!(pace(&oldest, Direction::OldestFirst), (-63 * 20_000 - 1_000, width));
    }

    #[test]
    fn without_batches_it_begins_now() {
        assert_eq!(pace(&[], Direction::NewestFirst), (0, WIDTH_DEFAULT.as_micros()));
        // Whatever a batch says, there is a width.
        assert!(pace(&[(0, 0, 1)], Direction::NewestFirst).1 >= 1);
    }
}
