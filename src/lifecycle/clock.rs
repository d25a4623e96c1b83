//! Whether the database's clock may be believed: what it says has expired is gone for good.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use crate::limits::{CLOCK_AHEAD_MAX, CLOCK_DOUBTED};

/// The clock on the database's wall, watched from run to run beside one that only measures time.
#[derive(Debug, Default)]
pub struct Clock {
    /// What it said when it was last believed, and when that was.
    believed: Option<(Timestamp, Instant)>,
    doubted_since: Option<Instant>,
}

impl Clock {
    /// False when it has gone ahead by more than [`CLOCK_AHEAD_MAX`] at once. If that lasts for [`CLOCK_DOUBTED`] it was set
    /// right and not wrong.
    pub fn is_believed(&mut self, now: Timestamp, at: Instant) -> bool {
        let ahead = self.believed.is_some_and(|(was, then)| {
            let passed = SignedDuration::try_from(at.saturating_duration_since(then)).unwrap_or(SignedDuration::MAX);
            now.duration_since(was).saturating_sub(passed) > CLOCK_AHEAD_MAX
        });
        if ahead {
            if self.doubted_since.is_none() {
                tracing::warn!(%now, "the database's clock has jumped ahead; for an hour nothing expires, so that it can be set right");
            }
            let since = *self.doubted_since.get_or_insert(at);
            if at.saturating_duration_since(since) < CLOCK_DOUBTED {
                return false;
            }
        }
        *self = Self { believed: Some((now, at)), doubted_since: None };
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Runs at these minutes, when the clock was off by these hours: whether it was believed.
    fn believed(runs: &[(u64, i64)]) -> Vec<bool> {
        let (started, right) = (Instant::now(), Timestamp::from_second(1_800_000_000).expect("valid"));
        let mut clock = Clock::default();
        let run = |&(minute, hours): &(u64, i64)| {
            let passed = Duration::from_secs(minute * 60);
            clock.is_believed(right + passed + SignedDuration::from_hours(hours), started + passed)
        };
        runs.iter().map(run).collect()
    }

    #[test]
    fn a_clock_that_goes_right_is_believed() {
        assert_eq!(believed(&[(0, 0), (1, 0), (500, 0), (100_000, 0)]), [true; 4]);
    }

    #[test]
    fn one_that_jumps_ahead_and_back_is_not_believed_meanwhile() {
        let runs = [(0, 0), (1, 24), (2, 24), (3, 0), (4, 0), (5, 24 * 3650), (6, 0)];
        assert_eq!(believed(&runs), [true, false, false, true, true, false, true]);
    }

    #[test]
    fn one_that_is_set_back_is_believed_until_it_goes_ahead_again() {
        assert_eq!(
            believed(&[(0, 0), (1, -24), (2, -24), (3, 0), (64, 0), (65, 0)]),
            [true, true, true, false, true, true]
        );
    }

    #[test]
    fn what_lasts_is_right() {
        assert_eq!(
            believed(&[(0, 0), (1, 1), (30, 1), (60, 1), (61, 1), (62, 1)]),
            [true, false, false, false, true, true]
        );
    }
}
