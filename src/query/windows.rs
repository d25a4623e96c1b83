//! Windows of time: a list that is read newest first is asked for piece by piece, each piece longer than the one
//! before.
//!
//! On a year of chunks a question without a lower bound takes 70 to 200 ms of planning alone, however soon it has its
//! rows. The pieces are disjoint, have no gap, and follow each other from new to old, so that what they give one
//! after the other is what one query over all of it would give.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::limits::WINDOW_AGES;

/// `[from, to)`; None is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// Oldest, inclusive.
    pub from: Option<Timestamp>,
    /// Newest, exclusive.
    pub to: Option<Timestamp>,
}

impl Window {
    /// This long before and after a time.
    pub fn around(at: Timestamp, age: Duration) -> Option<Self> {
        let age = SignedDuration::try_from(age).ok()?;
        Some(Self { from: Some(at.checked_sub(age).ok()?), to: Some(at.checked_add(age).ok()?) })
    }

    /// One microsecond, as fine as times are kept.
    pub fn at(at: Timestamp) -> Self {
        Self { from: Some(at), to: at.checked_add(SignedDuration::from_micros(1)).ok() }
    }

    /// The pieces of this window, newest first. Ages are counted from `now`, or from the window's end if that is
    /// earlier.
    pub fn pieces(self, now: Timestamp) -> impl Iterator<Item = Self> {
        let start = self.to.map_or(now, |to| to.min(now));
        let bounds = WINDOW_AGES
            .iter()
            .map(move |age| SignedDuration::try_from(*age).ok().and_then(|age| start.checked_sub(age).ok()));
        let mut to = self.to;
        let mut done = self.from.zip(self.to).is_some_and(|(from, to)| from >= to);
        bounds.chain([None]).map_while(move |bound| {
            if done {
                return None;
            }
            // The oldest piece: there is no older bound, or the window ends before it.
            let last = bound.is_none_or(|bound| self.from.is_some_and(|from| bound <= from));
            let from = if last { self.from } else { bound };
            let piece = Self { from, to };
            done = last;
            to = from;
            Some(piece)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn check(window: Window, now: Timestamp) -> usize {
        let pieces: Vec<Window> = window.pieces(now).collect();
        assert_eq!(pieces[0].to, window.to);
        assert_eq!(pieces[pieces.len() - 1].from, window.from);
        for pair in pieces.windows(2) {
            assert_eq!(pair[0].from, pair[1].to, "no gap and no overlap: {pieces:?}");
            assert!(pair[1].from.is_none_or(|older| older < pair[1].to.unwrap()), "{pieces:?}");
        }
        pieces.len()
    }

    #[test]
    fn pieces_follow_each_other_from_new_to_old() {
        let now = at("2026-01-31T00:00:00Z");
        let open = Window { from: None, to: None };
        for from in
            [None, Some(at("2026-01-30T23:59:59Z")), Some(at("2025-01-01T00:00:00Z")), Some(at("2026-01-30T00:00:00Z"))]
        {
            for to in [None, Some(at("2026-02-05T00:00:00Z")), Some(at("2026-01-31T00:00:00Z"))] {
                check(Window { from, to }, now);
            }
        }
        assert_eq!(check(open, now), WINDOW_AGES.len() + 1);
        assert_eq!(check(Window { from: Some(at("2026-01-30T00:00:00Z")), to: None }, now), 1);
    }

    #[test]
    fn a_window_of_nothing_has_no_piece() {
        let now = at("2026-01-31T00:00:00Z");
        assert_eq!(Window { from: Some(now), to: Some(now) }.pieces(now).count(), 0);
    }
}
