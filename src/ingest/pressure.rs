//! When refused senders should come again: from how fast the database really takes what waits.
//!
//! The rate is an exponentially weighted mean over the time in which something was being written, so that a quiet hour
//! does not look like a slow database. While the database is away nothing drains, and the wait grows with the outage.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::limits::{RETRY_AFTER_MAX, RETRY_AFTER_MIN};
use crate::rng::Rng;

/// Busy time after which an observation counts for 1/e of a new one, in seconds.
const MEMORY_S: f64 = 10.0;
/// Busy time of one observation at least: two writers may be done at the same moment.
const BUSY_MIN: Duration = Duration::from_micros(100);

/// How fast batches leave, and whether they do.
#[derive(Debug)]
pub struct Pressure {
    state: Mutex<PressureState>,
}

/// Rows and bytes that leave in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Drain {
    pub rows_per_s: f64,
    pub bytes_per_s: f64,
}

#[derive(Debug)]
struct PressureState {
    rows: f64,
    bytes: f64,
    /// Busy seconds that `rows` and `bytes` stand for, weighted as they are.
    busy_s: f64,
    settled_at: Option<Instant>,
    away_since: Option<Instant>,
    rng: Rng,
}

impl Pressure {
    /// Nothing has been written yet.
    pub fn new() -> Self {
        Self::with(Rng::from_os())
    }

    fn with(rng: Rng) -> Self {
        let state = PressureState { rows: 0.0, bytes: 0.0, busy_s: 0.0, settled_at: None, away_since: None, rng };
        Self { state: Mutex::new(state) }
    }

    /// A batch of `rows` and `bytes` (of the budget) is written, `took` after its writer began with it. The database
    /// is there.
    pub fn settled(&self, rows: usize, bytes: usize, took: Duration, now: Instant) {
        let mut state = self.state();
        state.away_since = None;
        // Writers at work beside each other share the time between two batches; an idle time before it is nobody's.
        let since_last = state.settled_at.map_or(took, |at| now.saturating_duration_since(at));
        let busy_s = took.min(since_last).max(BUSY_MIN).as_secs_f64();
        let weight = (-busy_s / MEMORY_S).exp();
        state.rows = state.rows * weight + rows as f64;
        state.bytes = state.bytes * weight + bytes as f64;
        state.busy_s = state.busy_s * weight + busy_s;
        state.settled_at = state.settled_at.max(Some(now));
    }

    /// The database does not take anything: away, read-only, or slow beyond the deadline. The first call counts, until
    /// something is written or it is called back.
    pub fn away(&self, now: Instant) {
        self.state().away_since.get_or_insert(now);
    }

    pub fn back(&self) {
        self.state().away_since = None;
    }

    /// Whether the database is marked as away.
    pub fn is_away(&self) -> bool {
        self.state().away_since.is_some()
    }

    /// What leaves in a second of work; zero before the first batch.
    pub fn drain(&self) -> Drain {
        self.state().drain()
    }

    /// Seconds for Retry-After of a request that finds `waiting_bytes` before it: until they are gone, or half as long
    /// as the database has been away already. At least 1, and jittered.
    pub fn retry_after(&self, waiting_bytes: usize, now: Instant) -> u32 {
        let mut state = self.state();
        let wait = match state.away_since {
            Some(since) => now.saturating_duration_since(since) / 2,
            None => {
                let seconds = waiting_bytes as f64 / state.drain().bytes_per_s;
                // Nothing was ever written, or nothing waits: 0/0 and x/0.
                Duration::try_from_secs_f64(seconds).unwrap_or(RETRY_AFTER_MIN)
            }
        };
        state.rng.retry_after_s(wait.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX))
    }

    fn state(&self) -> MutexGuard<'_, PressureState> {
        self.state.lock().expect("no code panics while holding it")
    }
}

impl Default for Pressure {
    fn default() -> Self {
        Self::new()
    }
}

impl PressureState {
    fn drain(&self) -> Drain {
        if self.busy_s > 0.0 {
            Drain { rows_per_s: self.rows / self.busy_s, bytes_per_s: self.bytes / self.busy_s }
        } else {
            Drain::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A pressure after `batches` of 1 MiB and 1,000 rows, one every `pause`, each of which took `took`.
    fn after(batches: u32, pause: Duration, took: Duration) -> (Pressure, Instant) {
        let (pressure, mut now) = (Pressure::with(Rng::new(1)), Instant::now());
        for _ in 0..batches {
            now += pause;
            pressure.settled(1000, MIB, took, now);
        }
        (pressure, now)
    }

    fn assert_near(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 0.02, "{found}, not about {expected}");
    }

    #[test]
    fn the_rate_is_that_of_the_writers_together() {
        // Four writers, 100 ms a batch: one every 25 ms.
        let (pressure, _) = after(400, ms(25), ms(100));
        assert_near(pressure.drain().bytes_per_s, 40.0 * MIB as f64);
        assert_near(pressure.drain().rows_per_s, 40_000.0);
    }

    #[test]
    fn idle_time_does_not_look_slow() {
        let (pressure, _) = after(400, Duration::from_secs(60), ms(100));
        assert_near(pressure.drain().bytes_per_s, 10.0 * MIB as f64);
    }

    #[test]
    fn a_slower_database_is_noticed_within_its_memory() {
        let (pressure, mut now) = after(400, ms(25), ms(25));
        for _ in 0..30 {
            now += Duration::from_secs(1);
            pressure.settled(1000, MIB, Duration::from_secs(1), now);
        }
        let rate = pressure.drain().bytes_per_s / MIB as f64;
        assert!((1.0..4.0).contains(&rate), "{rate}");
    }

    #[test]
    fn retry_after_is_the_time_until_what_waits_is_gone() {
        let (pressure, now) = after(400, ms(100), ms(100));
        for (waiting, least, most) in [(0, 1, 3), (MIB, 1, 3), (100 * MIB, 10, 14), (100_000 * MIB, 60, 76)] {
            for _ in 0..100 {
                let seconds = pressure.retry_after(waiting, now);
                assert!((least..=most).contains(&seconds), "{waiting} bytes: {seconds}");
            }
        }
        // Without a measurement: soon.
        assert!((1..=2).contains(&Pressure::with(Rng::new(1)).retry_after(MIB, now)));
    }

    #[test]
    fn senders_are_spread() {
        let (pressure, now) = after(400, ms(100), ms(100));
        let seen: std::collections::BTreeSet<u32> = (0..100).map(|_| pressure.retry_after(400 * MIB, now)).collect();
        assert!(seen.len() > 5, "{seen:?}");
    }

    #[test]
    fn the_wait_grows_with_an_outage_and_ends_with_it() {
        let (pressure, now) = after(10, ms(100), ms(100));
        pressure.away(now);
        pressure.away(now + Duration::from_secs(30));
        for (age_s, least, most) in [(0, 1, 2), (10, 5, 8), (60, 30, 39), (3600, 60, 76)] {
            let seconds = pressure.retry_after(0, now + Duration::from_secs(age_s));
            assert!((least..=most).contains(&seconds), "{age_s} s: {seconds}");
        }
        assert!(pressure.is_away());
        pressure.back();
        assert!(!pressure.is_away());
        assert!(pressure.retry_after(0, now + Duration::from_secs(3600)) <= 2);
        pressure.away(now);
        pressure.settled(1, 1, ms(1), now + Duration::from_secs(3600));
        assert!(pressure.retry_after(0, now + Duration::from_secs(7200)) <= 2);
    }
}
