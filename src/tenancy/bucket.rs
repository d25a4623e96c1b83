//! A token bucket that may go into debt: plain code, the clock passed in.
//!
//! A request that comes while there is anything in the bucket gets all it asks for, and the bucket goes below zero. So a request
//! larger than the bucket is possible, and nobody is starved: the debt only makes the next one wait until it is paid.

use std::time::{Duration, Instant};

/// Least content that a take needs; the bit below 1 absorbs what rounding loses over a wait.
const ENOUGH: f64 = 1.0 - 1e-6;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Tokens a second; at least 1.
    pub per_second: u64,
    /// Seconds of that rate that an idle bucket holds; at least 1.
    pub burst_s: u32,
    /// This node's part of it, above 0 and at most 1.
    pub share: f64,
}

impl Rate {
    fn per_second(self) -> f64 {
        self.per_second as f64 * self.share
    }

    /// At least the one token without which nothing is ever taken, however small the share.
    fn capacity(self) -> f64 {
        (self.per_second() * f64::from(self.burst_s)).max(1.0)
    }
}

/// Tokens of one key.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    pub fn full(rate: Rate, now: Instant) -> Self {
        Self { tokens: rate.capacity(), filled_at: now }
    }

    /// How long until something can be taken; zero when it can be now. The rate may have changed since the last call.
    pub fn wait(&mut self, rate: Rate, now: Instant) -> Duration {
        // Requests race for the lock with clocks read before it: time must not run backwards here.
        let elapsed = now.saturating_duration_since(self.filled_at);
        self.filled_at = self.filled_at.max(now);
        self.tokens = (self.tokens + elapsed.as_secs_f64() * rate.per_second()).min(rate.capacity());
        if self.tokens >= ENOUGH {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64((1.0 - self.tokens) / rate.per_second()).unwrap_or(Duration::MAX)
    }

    /// Takes any number of tokens, or says how long to wait until something can be taken.
    pub fn take(&mut self, tokens: u64, rate: Rate, now: Instant) -> Result<(), Duration> {
        let wait = self.wait(rate, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.spend(tokens);
        Ok(())
    }

    /// Takes tokens unasked: they are used up already.
    pub fn spend(&mut self, tokens: u64) {
        self.tokens -= tokens as f64;
    }

    /// Gives tokens back that were not used after all.
    pub fn give_back(&mut self, tokens: u64) {
        self.tokens += tokens as f64;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst_s: 2, share: 1.0 };

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::full(RATE, start);
        for _ in 0..20 {
            bucket.take(1, RATE, start).unwrap();
        }
        assert_eq!(bucket.take(1, RATE, start), Err(Duration::from_millis(100)));
        bucket.take(1, RATE, start + Duration::from_millis(100)).unwrap();
        assert!(bucket.take(1, RATE, start + Duration::from_millis(101)).is_err());
        // Idle for long: no more than the burst.
        let later = start + Duration::from_secs(3600);
        bucket.take(20, RATE, later).unwrap();
        assert!(bucket.take(1, RATE, later).is_err());
    }

    #[test]
    fn more_than_the_burst_passes_and_is_paid_for() {
        let start = Instant::now();
        let mut bucket = Bucket::full(RATE, start);
        bucket.take(1000, RATE, start).unwrap();
        let wait = bucket.take(1, RATE, start).unwrap_err();
        assert_eq!(wait.as_secs_f64().round(), 98.0);
        bucket.take(1000, RATE, start + wait).unwrap();
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let now = Instant::now();
        let mut bucket = Bucket::full(RATE, now);
        bucket.take(100, RATE, now).unwrap();
        bucket.give_back(90);
        bucket.take(1, RATE, now).unwrap();
        bucket.give_back(1_000_000);
        bucket.wait(RATE, now);
        bucket.take(20, RATE, now).unwrap();
        assert!(bucket.take(1, RATE, now).is_err(), "never more than the burst");
    }

    #[test]
    fn a_share_is_that_part_of_the_rate_and_of_the_burst() {
        let now = Instant::now();
        let half = Rate { share: 0.5, ..RATE };
        let mut bucket = Bucket::full(half, now);
        (0..10).for_each(|_| bucket.take(1, half, now).unwrap());
        assert_eq!(bucket.take(1, half, now), Err(Duration::from_millis(200)));
        // What was there of the whole is not kept.
        let mut bucket = Bucket::full(RATE, now);
        bucket.wait(half, now);
        bucket.take(11, half, now).unwrap();
        assert!(bucket.take(1, RATE, now).is_err());
    }

    #[test]
    fn the_smallest_share_is_served_now_and_then() {
        let now = Instant::now();
        let little = Rate { per_second: 1, burst_s: 1, share: 0.01 };
        let mut bucket = Bucket::full(little, now);
        bucket.take(1, little, now).unwrap();
        let wait = bucket.take(1, little, now).unwrap_err();
        assert_eq!(wait.as_secs_f64().round(), 100.0);
        bucket.take(1, little, now + wait).unwrap();
    }

    #[test]
    fn a_raised_limit_shortens_the_debt() {
        let now = Instant::now();
        let mut bucket = Bucket::full(RATE, now);
        bucket.take(10_020, RATE, now).unwrap();
        let raised = Rate { per_second: 10_000, ..RATE };
        assert!(bucket.wait(RATE, now) > Duration::from_secs(1000));
        assert!(bucket.wait(raised, now) < Duration::from_millis(1100));
    }

    proptest! {
        /// Over any time, what was granted is at most the burst, the rate, and the last request's excess; and a request that waits
        /// as long as it was told is served.
        #[test]
        fn no_more_than_the_limit_and_nobody_starves(
            per_second in 1_u64..1_000_000,
            burst_s in 1_u32..60,
            steps in prop::collection::vec((0_u64..3_000_000, 0_u64..3_000), 1..200),
        ) {
            let rate = Rate { per_second, burst_s, share: 1.0 };
            let start = Instant::now();
            let (mut now, mut bucket) = (start, Bucket::full(rate, start));
            let (mut granted, mut largest) = (0, 0);
            for (tokens, pause_ms) in steps {
                now += Duration::from_millis(pause_ms);
                if let Err(wait) = bucket.take(tokens, rate, now) {
                    now += wait;
                    prop_assert!(bucket.take(tokens, rate, now).is_ok(), "after {wait:?}");
                }
                granted += tokens;
                largest = largest.max(tokens);
                let seconds = now.duration_since(start).as_secs_f64();
                let bound = rate.capacity() + seconds * rate.per_second() + largest as f64;
                prop_assert!(granted as f64 <= bound * (1.0 + 1e-9) + 1.0, "{granted} of {bound}");
            }
        }
    }
}
