//! How many events of a log are read at once, by what the last look took.
//!
//! In a compacted chunk a look opens all segments that the tenant has there in that time, 28 us each, however few rows are
//! wanted, and a row costs 2 us. So more is read where looks are dear, as far as it may be kept, and as long as an event becomes
//! cheaper by it: on a busy machine every look takes long, and larger ones would only make it busier. Few are read where values
//! are so large that they come one by one, since finding them costs as much as reading them.

use std::time::Duration;

use crate::limits::{
    LOG_LARGE_AT_ONCE, LOG_LOOK_DEAR, LOG_LOOK_OTHERWISE, LOG_LOOK_PAYS, LOG_PASS_EVENTS_MAX, LOG_PASS_SECONDS,
    PAGE_BYTES_MAX, READ_AHEAD_EVENTS_MAX, STREAM_PAGE_ROWS,
};

/// How a look went.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Events that it was for, of whatever type.
    pub asked: usize,
    /// What those that were wanted take in memory.
    pub bytes: usize,
    pub has_large: bool,
    pub took: Duration,
    /// Where a larger look made an event no cheaper, what one took then, in us; None: a larger one may be worth it.
    pub level: Option<f64>,
}

impl Look {
    /// How one went that came after another.
    pub fn after(before: Option<Self>, asked: usize, bytes: usize, has_large: bool, took: Duration) -> Self {
        let look = Self { asked, bytes, has_large, took, level: None };
        let level = before.and_then(|before| {
            if asked >= 2 * before.asked {
                (look.event_us() * LOG_LOOK_PAYS > before.event_us()).then(|| look.event_us())
            } else {
                // Of another part of the log, which was written or compacted otherwise.
                before.level.filter(|level| look.event_us() < LOG_LOOK_OTHERWISE * level)
            }
        });
        Self { level, ..look }
    }

    fn event_us(&self) -> f64 {
        self.took.as_secs_f64() * 1e6 / f64::from(u32::try_from(self.asked.max(1)).unwrap_or(u32::MAX))
    }

    fn is_dear(&self) -> bool {
        self.took >= LOG_LOOK_DEAR && self.level.is_none()
    }

    /// How many events the next one is to be for: `needed`, of which a page is had at once, and as many more as are worth it and fit
    /// what may be kept, in bytes.
    pub fn next(&self, needed: usize, kept_max: usize) -> usize {
        let Self { asked, has_large, .. } = *self;
        if has_large {
            return needed.min(LOG_LARGE_AT_ONCE);
        }
        let worth = if self.is_dear() { asked * 4 } else { (asked * 2).min(STREAM_PAGE_ROWS) };
        let needed = needed.min(self.fitting(kept_max.max(PAGE_BYTES_MAX)));
        worth.min(self.fitting(kept_max)).max(needed).clamp(1, READ_AHEAD_EVENTS_MAX)
    }

    /// How many fit so many bytes, even if they are a little larger than these were.
    pub fn fitting(&self, bytes_max: usize) -> usize {
        (bytes_max / 4 * 3).saturating_mul(self.asked).checked_div(self.bytes).unwrap_or(usize::MAX)
    }

    /// How many events a cursor is to go through instead, in which so many are read a second; None: it is not worth it.
    pub fn pass(&self, kept_max: usize, pace: usize) -> Option<usize> {
        let Self { asked, bytes, has_large, took, .. } = *self;
        if has_large || bytes == 0 || !self.is_dear() || 4 * asked <= self.fitting(kept_max) {
            return None;
        }
        let events = a_second(asked, took).min(pace).saturating_mul(LOG_PASS_SECONDS);
        (events >= 2 * asked).then_some(events.min(LOG_PASS_EVENTS_MAX))
    }

    /// What so many take in memory, if they are as these were or a little larger.
    pub fn bytes_of(&self, events: usize) -> usize {
        (self.bytes / 3 * 4).saturating_mul(events).checked_div(self.asked).unwrap_or(0)
    }
}

/// So many events in this time: how many that is in a second.
pub fn a_second(events: usize, time: Duration) -> usize {
    let ms = usize::try_from(time.as_millis()).unwrap_or(usize::MAX).max(1);
    events.saturating_mul(1000) / ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MIB;

    const CHEAP: Duration = Duration::from_millis(6);
    const DEAR: Duration = Duration::from_millis(210);

    fn look(asked: usize, event_bytes: usize, took: Duration) -> Look {
        Look::after(None, asked, asked * event_bytes, false, took)
    }

    /// Looks that follow each other, each for as many as the one before says; what each is for.
    fn looks(cost: impl Fn(usize) -> Duration) -> Vec<usize> {
        let first = look(1000, 500, cost(1000));
        let next = |before: &Look| {
            let asked = before.next(1000, 32 * MIB);
            Some(Look::after(Some(*before), asked, asked * 500, false, cost(asked)))
        };
        std::iter::successors(Some(first), next).take(6).map(|look| look.asked).collect()
    }

    #[test]
    fn more_is_read_as_long_as_events_become_cheaper() {
        let compacted = |events: usize| Duration::from_micros(200_000 + 2 * events as u64);
        assert_eq!(looks(compacted), [1000, 4000, 16_000, 50_331, 50_331, 50_331]);
        let busy = |events: usize| Duration::from_micros(60 * events as u64);
        assert_eq!(looks(busy), [1000, 4000, 1000, 1000, 1000, 1000]);
        // Behind what was written lately lies a day that is compacted.
        let settled = Look::after(Some(look(1000, 500, busy(1000))), 4000, 4000 * 500, false, busy(4000));
        let then = Look::after(Some(settled), 1000, 1000 * 500, false, compacted(1000));
        assert_eq!((settled.next(1000, 32 * MIB), then.next(1000, 32 * MIB)), (1000, 4000));
    }

    #[test]
    fn dear_looks_are_for_more_and_cheap_ones_for_a_page() {
        let next = |asked, took| look(asked, 500, took).next(100, 32 * MIB);
        assert_eq!([100, 400, 900, 4000].map(|asked| next(asked, CHEAP)), [200, 800, 1000, 1000]);
        assert_eq!([100, 400, 1600].map(|asked| next(asked, DEAR)), [400, 1600, 6400]);
        assert_eq!(look(1000, 500, CHEAP).next(7000, 32 * MIB), 7000, "what is needed is asked for");
    }

    #[test]
    fn no_more_is_read_than_may_be_kept() {
        let fitting = look(40_000, 1000, DEAR).next(100, 32 * MIB);
        assert_eq!(fitting, 25_165);
        assert!(look(40_000, 1000, DEAR).bytes_of(fitting) <= 34 * MIB);
        assert_eq!(look(1000, 1000, DEAR).next(300, 0), 300);
        assert_eq!(look(1000, 1000, DEAR).next(9000, MIB), 6291, "a page of those that are needed");
        let nothing = Look::after(None, 200_000, 0, false, DEAR);
        assert_eq!((nothing.next(1, MIB), nothing.bytes_of(1)), (READ_AHEAD_EVENTS_MAX, 0));
    }

    #[test]
    fn a_cursor_goes_through_what_is_dear_and_does_not_fit() {
        let fast = 200_000;
        // 40,000 took half a second: 80,000 a second, in five of them.
        let dear = look(40_000, 1000, Duration::from_millis(500));
        assert_eq!(dear.pass(32 * MIB, fast), Some(400_000));
        assert_eq!(dear.pass(256 * MIB, fast), None, "more fit");
        assert_eq!(look(40_000, 1000, CHEAP).pass(32 * MIB, fast), None);
        assert_eq!(dear.pass(32 * MIB, 10_000), None, "who reads them does not need so many");
        assert_eq!(
            look(40_000, 1000, Duration::from_secs(4)).pass(32 * MIB, fast),
            None,
            "it would not be done in time"
        );
        assert_eq!(look(40_000, 1000, DEAR).pass(32 * MIB, usize::MAX), Some(LOG_PASS_EVENTS_MAX));
        assert_eq!(Look { has_large: true, ..dear }.pass(32 * MIB, fast), None);
    }

    #[test]
    fn few_large_ones_are_looked_for() {
        let large = Look { has_large: true, ..look(1000, 500, DEAR) };
        assert_eq!([large.next(1000, MIB), large.next(5, MIB)], [LOG_LARGE_AT_ONCE, 5]);
    }
}
