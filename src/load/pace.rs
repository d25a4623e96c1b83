//! The pacer: spreads events evenly over time, over all connections together.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::options::SendRate;

/// How much of a stall may be caught up on. Without a bound, a server that was away for a minute would get a minute's
/// load in one burst; without any, the average would stay below the rate asked for.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// Hands out the moments at which requests may be sent.
pub(crate) struct Pacer {
    events_per_second: Option<u64>,
    next: Mutex<Instant>,
}

impl Pacer {
    pub(crate) fn new(rate: SendRate, start: Instant) -> Self {
        let events_per_second = match rate {
            SendRate::Max => None,
            SendRate::PerSecond(rate) => Some(rate.max(1)),
        };
        Self { events_per_second, next: Mutex::new(start) }
    }

    /// Reserves the next slot for so many events; none when it may be sent at once.
    pub(crate) fn reserve(&self, events: u64, now: Instant) -> Option<Instant> {
        let rate = self.events_per_second?;
        let cost_ns = u128::from(events) * 1_000_000_000 / u128::from(rate);
        let cost = Duration::from_nanos(u64::try_from(cost_ns).unwrap_or(u64::MAX));
        let mut next = self.next.lock().expect("nothing panics while holding it");
        let slot = (*next).max(now.checked_sub(CATCH_UP_MAX).unwrap_or(now));
        *next = slot + cost;
        (slot > now).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_the_rate() {
        let start = Instant::now();
        let pacer = Pacer::new(SendRate::PerSecond(1000), start);
        assert_eq!(pacer.reserve(100, start), None);
        assert_eq!(pacer.reserve(100, start), Some(start + Duration::from_millis(100)));
        assert_eq!(pacer.reserve(1, start), Some(start + Duration::from_millis(200)));
    }

    #[test]
    fn a_stall_is_caught_up_by_one_second_only() {
        let start = Instant::now();
        let pacer = Pacer::new(SendRate::PerSecond(1000), start);
        let later = start + Duration::from_secs(60);
        let at_once = (0..100).take_while(|_| pacer.reserve(100, later).is_none()).count();
        assert_eq!(at_once, 11);
    }

    #[test]
    fn max_never_waits() {
        let pacer = Pacer::new(SendRate::Max, Instant::now());
        assert!((0..1000).all(|_| pacer.reserve(1_000_000, Instant::now()).is_none()));
    }
}
