//! The database's clock, as the job of groups sees it: leases, delays and members end by it, and it may be set back.

use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use jiff::Timestamp;

use crate::limits::{CLOCK_LOOK_EVERY, CLOCK_STEP_MIN, MEMBER_SILENCE_MIN};
use crate::storage::StorageError;

const BOUND: &str = include_str!("../../sql/queries/group_clock.sql");

/// When the clock was looked at last, and what it said.
#[derive(Debug, Default)]
pub struct Clock(Option<(Instant, Timestamp)>);

impl Clock {
    /// By how much it was set back since the last look: it says `now`, which was asked for at `at`.
    fn set_back(&self, at: Instant, now: Timestamp) -> Duration {
        let Some((before, then)) = self.0 else { return Duration::ZERO };
        let passed = at.saturating_duration_since(before);
        let shown = now.duration_since(then);
        let back = if shown.is_negative() {
            passed + shown.unsigned_abs()
        } else {
            passed.saturating_sub(shown.unsigned_abs())
        };
        if back < CLOCK_STEP_MIN { Duration::ZERO } else { back }
    }

    /// Now and then has nothing held for longer than it is given for, whatever the clock did; returns of how many things that was mended.
    pub async fn look(&mut self, client: &Object) -> Result<u64, StorageError> {
        if self.0.is_some_and(|(before, _)| before.elapsed() < CLOCK_LOOK_EVERY) {
            return Ok(0);
        }
        let at = Instant::now();
        let now: Timestamp = client.query_one(&client.prepare_cached("SELECT now()").await?, &[]).await?.get(0);
        let back = self.set_back(at, now);
        if !back.is_zero() {
            tracing::warn!(
                back_s = back.as_secs_f64(),
                "the database's clock was set back: delays of groups are shortened by as much"
            );
        }
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let bound = client.prepare_cached(BOUND).await?;
        let row = client.query_one(&bound, &[&ms(back), &ms(MEMBER_SILENCE_MIN)]).await?;
        self.0 = Some((Instant::now(), now));
        Ok(row.get::<_, i64>(0).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_on_was_not_set_back() {
        let (begun, then) = (Instant::now(), Timestamp::UNIX_EPOCH);
        let seconds = Duration::from_secs;
        let clock = Clock(Some((begun, then)));
        assert_eq!(Clock::default().set_back(begun, then), Duration::ZERO, "nothing is known before the first look");
        let shows = |after: u64, shown: i64| {
            clock.set_back(begun + seconds(after), then + jiff::SignedDuration::from_secs(shown))
        };
        assert_eq!(shows(5, 5), Duration::ZERO);
        assert_eq!(shows(5, 4), Duration::ZERO, "too little to tell from a slow answer");
        assert_eq!(shows(5, 3600), Duration::ZERO, "forward");
        assert_eq!(shows(5, -3595), seconds(3600));
        assert_eq!(shows(10, 2), seconds(8), "set back by less than has passed");
    }
}
