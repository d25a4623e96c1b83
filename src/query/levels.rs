//! The levels of metrics: which one answers a question, and which relation holds which part of the answer.
//!
//! Pure: the clock is passed in. Times are microseconds since 1970, buckets begin at multiples of their width.

use std::time::Duration;

use crate::config::{RetentionConfig, RollupsConfig};
use crate::limits::{POINTS_AUTO_MAX, STALE_PIECES_MAX};
use crate::model::LEVELS;

/// Microseconds since 1970.
pub type Micros = i64;

const MINUTE: Micros = 60_000_000;
const DAY: Micros = 24 * 60 * MINUTE;

/// Width of the buckets of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// `1m`
    Minute,
    /// `5m`
    FiveMinutes,
    /// `1h`
    Hour,
    /// `1d`, in UTC
    Day,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    Raw,
    Level(Width),
    /// The finest level that gives at most `POINTS_AUTO_MAX` points of a series and still keeps the range; where that has
    /// no bucket there, the finest that samples can tell.
    Auto,
}

impl Resolution {
    /// Parses the query parameter.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "raw" => Some(Self::Raw),
            "auto" => Some(Self::Auto),
            text => Width::parse(text).map(Self::Level),
        }
    }
}

impl Width {
    /// All of them, the finest first.
    pub const ALL: [Self; 4] = [Self::Minute, Self::FiveMinutes, Self::Hour, Self::Day];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|width| width.name() == text)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
            Self::Day => "1d",
        }
    }

    /// The same for PostgreSQL.
    pub fn interval(self) -> &'static str {
        match self {
            Self::Minute => "1 minute",
            Self::FiveMinutes => "5 minutes",
            Self::Hour => "1 hour",
            Self::Day => "1 day",
        }
    }

    /// The relation that holds this level of metrics.
    pub fn relation(self) -> &'static str {
        match self {
            Self::Minute => "metrics_1m",
            Self::FiveMinutes => "metrics_5m",
            Self::Hour => "metrics_hourly",
            Self::Day => "metrics_daily",
        }
    }

    /// In microseconds.
    pub fn micros(self) -> Micros {
        match self {
            Self::Minute => MINUTE,
            Self::FiveMinutes => 5 * MINUTE,
            Self::Hour => 60 * MINUTE,
            Self::Day => DAY,
        }
    }

    /// The first bucket that begins at or after `at`.
    pub fn ceil(self, at: Micros) -> Micros {
        let floor = self.floor(at);
        if floor == at { at } else { floor.saturating_add(self.micros()) }
    }

    /// The bucket that `at` is in.
    pub fn floor(self, at: Micros) -> Micros {
        at.div_euclid(self.micros()).saturating_mul(self.micros())
    }

    /// How many buckets begin in `[from, to)`.
    pub fn buckets(self, from: Micros, to: Micros) -> i64 {
        (self.ceil(to) - self.ceil(from)).max(0) / self.micros()
    }
}

/// How long what is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    pub metrics: Duration,
    pub events: Duration,
    pub correlations: Duration,
    /// Of each level, in the order of [`Width::ALL`]; None: it is switched off.
    levels: [Option<Duration>; 4],
}

impl Kept {
    pub fn new(retention: &RetentionConfig, rollups: &RollupsConfig) -> Self {
        let keep = |width: Width| {
            let level = LEVELS.iter().find(|level| level.name == width.relation())?;
            rollups.of(level).then(|| retention.rollups.of(level).unwrap_or(Duration::MAX))
        };
        Self {
            metrics: retention.metrics,
            events: retention.events,
            correlations: retention.correlations,
            levels: Width::ALL.map(keep),
        }
    }

    /// The first bucket of a level that is surely there; None: the level is switched off.
    pub fn since(&self, width: Width, now: Micros) -> Option<Micros> {
        self.levels[width as usize].map(|age| width.ceil(before(now, age)))
    }

    /// What `auto` means for a range.
    pub fn auto(&self, from: Micros, to: Micros, now: Micros) -> Width {
        let fits = |width: &Width| width.buckets(from, to) <= POINTS_AUTO_MAX;
        let keeps = |width: &Width| self.since(*width, now).is_some_and(|since| since <= width.ceil(from));
        let kept = Width::ALL.into_iter().find(|width| keeps(width) && fits(width)).unwrap_or(Width::Day);
        if kept.buckets(from, to) > 0 || from < before(now, self.metrics) {
            return kept;
        }
        // A short range between two starts of its buckets: nothing, though there may be samples, which are few.
        Width::ALL.into_iter().find(fits).unwrap_or(kept)
    }
}

/// So long before a time.
pub fn before(now: Micros, age: Duration) -> Micros {
    now.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX))
}

/// Where a part of an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The relation of the level.
    Rollup,
    Rows,
}

/// A part of a range, `[from, to)`, both at bounds of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub source: Source,
    pub from: Micros,
    /// The bucket after its last.
    pub to: Micros,
}

/// A range cut into parts, from old to new: from the rollup what it keeps and what is up to date there, from rows what they
/// still tell of the rest. No bucket is in two parts.
///
/// `rollup_since` and `rows_since` are the first buckets that either has whole; `stale` are pieces where the rollup lags.
/// Where rows have expired, the rollup is right, whatever is said of it.
pub fn parts(
    width: Width,
    (from, to): (Micros, Micros),
    rollup_since: Micros,
    rows_since: Micros,
    stale: &[(Micros, Micros)],
) -> Vec<Part> {
    let (from, to) = (width.ceil(from), width.ceil(to));
    let mut pieces = vec![(from, rollup_since.min(to))];
    pieces.extend(stale.iter().map(|(from, to)| (width.floor(*from), width.ceil(*to))));
    for (piece_from, piece_to) in &mut pieces {
        *piece_from = (*piece_from).max(from).max(rows_since);
        *piece_to = (*piece_to).min(to);
    }
    let mut found = Vec::new();
    let mut at = from.max(rollup_since).min(to);
    for (piece_from, piece_to) in joined(pieces) {
        if at < piece_from {
            found.push(Part { source: Source::Rollup, from: at, to: piece_from });
        }
        found.push(Part { source: Source::Rows, from: piece_from, to: piece_to });
        at = at.max(piece_to);
    }
    if at < to {
        found.push(Part { source: Source::Rollup, from: at, to });
    }
    found
}

/// Pieces in order, those that touch joined, and then those with the smallest gaps, until there are few enough. Rows tell
/// the same numbers, so that a piece may be wider than it must.
fn joined(mut pieces: Vec<(Micros, Micros)>) -> Vec<(Micros, Micros)> {
    pieces.retain(|(from, to)| from < to);
    pieces.sort_unstable();
    let mut joined: Vec<(Micros, Micros)> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match joined.last_mut() {
            Some(last) if piece.0 <= last.1 => last.1 = last.1.max(piece.1),
            _ => joined.push(piece),
        }
    }
    while joined.len() > STALE_PIECES_MAX {
        let smallest = (1..joined.len()).min_by_key(|index| joined[*index].0 - joined[*index - 1].1);
        let Some(index) = smallest else { break };
        joined[index - 1].1 = joined[index].1;
        joined.remove(index);
    }
    joined
}

#[cfg(test)]
#[path = "levels/tests.rs"]
mod tests;
