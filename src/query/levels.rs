//! The levels of metrics: which one answers a question, and which relation holds which part of the answer.
//!
//! Pure: the clock is passed in. Times are microseconds since 1970, buckets begin at multiples of their width.

use std::time::Duration;

use crate::config::{RetentionConfig, RollupsConfig};
use crate::limits::STALE_PIECES_MAX;
use crate::model::{Level, PerLevel};

/// Microseconds since 1970.
pub type Micros = i64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    Raw,
    Level(&'static Level),
    /// The finest level that gives so few points of a series as are asked for, at most `POINTS_AUTO_MAX` otherwise, and still
    /// keeps the range; where that has no bucket there, the finest that samples can tell.
    Auto,
}

impl Resolution {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "raw" => Some(Self::Raw),
            "auto" => Some(Self::Auto),
            text => Level::parse(text).map(Self::Level),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Kept {
    pub metrics: Duration,
    pub events: Duration,
    pub correlations: Duration,
    /// Of each level; None: it is switched off.
    levels: PerLevel<Option<Duration>>,
}

impl Kept {
    pub fn new(retention: &RetentionConfig, rollups: &RollupsConfig) -> Self {
        let for_ever = |level| retention.rollups.of(level).unwrap_or(Duration::MAX);
        Self {
            metrics: retention.metrics,
            events: retention.events,
            correlations: retention.correlations,
            levels: PerLevel::new(|level| rollups.of(level).then(|| for_ever(level))),
        }
    }

    /// The first bucket of a level that is surely there; None: the level is switched off.
    pub fn since(&self, level: &Level, now: Micros) -> Option<Micros> {
        self.levels.of(level).map(|age| level.ceil(before(now, age)))
    }

    /// What `auto` means for a range of which at most so many points of a series are wanted.
    pub fn auto(&self, from: Micros, to: Micros, now: Micros, points_max: i64) -> &'static Level {
        let fits = |level: &&Level| level.buckets(from, to) <= points_max;
        let keeps = |level: &&Level| self.since(level, now).is_some_and(|since| since <= level.ceil(from));
        let coarsest = || Level::of_metrics().last().expect("there are levels of metrics");
        let kept = Level::of_metrics().find(|level| keeps(level) && fits(level)).unwrap_or_else(coarsest);
        if kept.buckets(from, to) > 0 || from < before(now, self.metrics) {
            return kept;
        }
        // A short range between two starts of its buckets: nothing, though there may be samples, which are few.
        Level::of_metrics().find(fits).unwrap_or(kept)
    }
}

/// So long before a time.
pub fn before(now: Micros, age: Duration) -> Micros {
    now.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX))
}

/// Where a part of an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    Rollup,
    Rows,
}

/// A part of a range, `[from, to)`, both at bounds of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub source: ReadFrom,
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
    level: &Level,
    (from, to): (Micros, Micros),
    rollup_since: Micros,
    rows_since: Micros,
    stale: &[(Micros, Micros)],
) -> Vec<Part> {
    let (from, to) = (level.ceil(from), level.ceil(to));
    let mut pieces = vec![(from, rollup_since.min(to))];
    pieces.extend(stale.iter().map(|(from, to)| (level.floor(*from), level.ceil(*to))));
    for (piece_from, piece_to) in &mut pieces {
        *piece_from = (*piece_from).max(from).max(rows_since);
        *piece_to = (*piece_to).min(to);
    }
    let mut found = Vec::new();
    let mut at = from.max(rollup_since).min(to);
    for (piece_from, piece_to) in joined(pieces) {
        if at < piece_from {
            found.push(Part { source: ReadFrom::Rollup, from: at, to: piece_from });
        }
        found.push(Part { source: ReadFrom::Rows, from: piece_from, to: piece_to });
        at = at.max(piece_to);
    }
    if at < to {
        found.push(Part { source: ReadFrom::Rollup, from: at, to });
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
