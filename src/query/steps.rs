//! Windows of a list of many rows: each as wide as its rows seem to need, and wider where the one before brought too few.
//!
//! Pure. The windows are disjoint, have no gap and follow each other in the list's direction, so that what they give one
//! after the other is what one query over all of it would give.

use std::time::Duration;

use jiff::Timestamp;

use super::levels::Micros;
use super::place::Direction;
use super::windows::Window;
use crate::limits::{WINDOW_ROOM, WINDOW_WIDENING};

/// Wider than this is everything that is left.
const WIDTH_MAX_US: Micros = 400 * 86_400 * 1_000_000;
/// A narrower window saves nothing.
const WIDTH_MIN_US: Micros = 1_000;

#[derive(Debug)]
pub struct Steps {
    left: Window,
    direction: Direction,
    /// From where the next window goes on.
    edge: Timestamp,
    width_us: Micros,
    is_done: bool,
}

impl Steps {
    /// Through a window; the first step reaches so far beyond `edge`, the time at which rows are expected to begin.
    pub fn new(whole: Window, direction: Direction, edge: Timestamp, width: Duration) -> Self {
        let width_us = i64::try_from(width.as_micros()).unwrap_or(WIDTH_MAX_US).max(WIDTH_MIN_US);
        let is_done = whole.from.zip(whole.to).is_some_and(|(from, to)| from >= to);
        Self { left: whole, direction, edge, width_us, is_done }
    }

    /// The next window.
    pub fn take(&mut self) -> Option<Window> {
        if self.is_done {
            return None;
        }
        let step = match self.direction {
            Direction::NewestFirst => -self.width_us,
            Direction::OldestFirst => self.width_us,
        };
        let bound = self.edge.as_microsecond().checked_add(step).and_then(|at| Timestamp::from_microsecond(at).ok());
        let Some(bound) = bound.filter(|bound| self.width_us <= WIDTH_MAX_US && self.is_within(*bound)) else {
            self.is_done = true;
            return Some(self.left);
        };
        let mut window = self.left;
        match self.direction {
            Direction::NewestFirst => (window.from, self.left.to) = (Some(bound), Some(bound)),
            Direction::OldestFirst => (window.to, self.left.from) = (Some(bound), Some(bound)),
        }
        self.edge = bound;
        Some(window)
    }

    /// Whether rows are left behind a bound.
    fn is_within(&self, bound: Timestamp) -> bool {
        match self.direction {
            Direction::NewestFirst => self.left.from.is_none_or(|from| from < bound),
            Direction::OldestFirst => self.left.to.is_none_or(|to| bound < to),
        }
    }

    /// Makes the next window as wide as the rows that are still wanted seem to take, by how many the last one held: wider at
    /// once where it held none. But not so that it would take more than half of the time that is `left`, by how long the last
    /// one took.
    pub fn widen(&mut self, found: usize, wanted: usize, took: Duration, left: Duration) {
        let seems = WINDOW_ROOM * wanted as f64 / found as f64;
        let fits = left.as_secs_f64() / 2.0 / took.as_secs_f64().max(1e-6);
        let times = seems.min(fits).clamp(1.0 / WINDOW_WIDENING, WINDOW_WIDENING);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a width is far below 2^53 microseconds, and then all that is left"
        )]
        let wider = (self.width_us as f64 * times) as Micros;
        self.width_us = wider.max(WIDTH_MIN_US);
    }

    /// How far the windows that were taken reach; None: to the end.
    pub fn reached(&self) -> Option<Timestamp> {
        if self.is_done { None } else { Some(self.edge) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// All windows; between two of them time is taken as the numbers say.
    fn all(whole: Window, direction: Direction, edge: Timestamp, width: Duration) -> Vec<Window> {
        let mut steps = Steps::new(whole, direction, edge, width);
        let mut found = Vec::new();
        while let Some(window) = steps.take() {
            found.push(window);
            let rows = found.len() * 5 % 11;
            steps.widen(rows, 40 - rows, Duration::from_millis(found.len() as u64 % 7 * 50), Duration::from_secs(1));
            assert!(found.len() < 200, "{found:?}");
        }
        assert_eq!(steps.reached(), None);
        found
    }

    #[test]
    fn windows_follow_each_other_in_the_lists_direction() {
        let bounds = [None, Some(at("2025-01-01T00:00:00Z")), Some(at("2026-01-30T23:59:59.999999Z"))];
        for edge in ["2026-01-31T00:00:00Z", "2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z"] {
            for from in bounds {
                for to in [None, Some(at("2026-02-05T00:00:00Z")), Some(at("2026-01-31T00:00:00Z"))] {
                    for direction in [Direction::NewestFirst, Direction::OldestFirst] {
                        let whole = Window { from, to };
                        let windows = all(whole, direction, at(edge), Duration::from_millis(3));
                        let (first, last) = (windows[0], windows[windows.len() - 1]);
                        let in_time = |window: &Window| window.from.zip(window.to).is_none_or(|(from, to)| from < to);
                        match direction {
                            Direction::NewestFirst => {
                                assert_eq!((last.from, first.to), (from, to));
                                assert!(windows.windows(2).all(|pair| pair[0].from == pair[1].to), "{windows:?}");
                            }
                            Direction::OldestFirst => {
                                assert_eq!((first.from, last.to), (from, to));
                                assert!(windows.windows(2).all(|pair| pair[0].to == pair[1].from), "{windows:?}");
                            }
                        }
                        // An edge outside of the window may leave windows that cannot hold a row, and only those.
                        let inside = from.is_none_or(|from| from <= at(edge)) && to.is_none_or(|to| at(edge) <= to);
                        assert!(!inside || windows.iter().all(in_time), "{windows:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_window_of_nothing_has_no_step() {
        let now = at("2026-01-31T00:00:00Z");
        let mut steps =
            Steps::new(Window { from: Some(now), to: Some(now) }, Direction::NewestFirst, now, Duration::ZERO);
        assert_eq!(steps.take(), None);
    }

    #[test]
    fn steps_are_as_wide_as_needed_and_not_wider_than_there_is_time() {
        let now = at("2026-01-31T00:00:00Z");
        let mut steps = Steps::new(Window::default(), Direction::NewestFirst, now, Duration::from_secs(1));
        let mut width = |found: usize, took: u64, left: u64| {
            steps.widen(found, 100 - found, Duration::from_millis(took), Duration::from_millis(left));
            let edge = steps.edge;
            steps.take();
            edge.duration_since(steps.edge).as_millis()
        };
        assert_eq!(width(0, 1, 2000), 8_000);
        assert_eq!(width(0, 500, 2000), 16_000);
        assert_eq!(width(0, 1000, 1000), 8_000);
        assert_eq!(width(0, 10_000, 1), 1_000);
        // 20 rows in a second: the other 80 in twice four.
        assert_eq!(width(20, 1, 2000), 8_000);
        assert_eq!(width(80, 1, 2000), 4_000);
        assert_eq!(width(99, 1, 2000), 500);
    }
}
