//! Rate limits of keys: events and bytes a second, each with a burst. They hold for all nodes together: each counts for itself,
//! with its part of the rate and of the burst ([`Shares`]), and says what is asked for of it ([`Limiter::demands`]).
//!
//! A request takes three looks at its key's buckets, whatever its size: before its body is read (both buckets must hold
//! something; the announced bytes are taken), after it was read (the announced bytes become the real ones) and after it
//! was decoded (its events). Keys without limits touch nothing. Memory is bounded by the keys used lately.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use uuid::Uuid;

use super::bucket::{Bucket, Rate};
use super::shares::{Demand, Meter, Share, Shares};
use crate::limits::{DEMAND_KEPT, LIMITED_KEYS_MAX, RATE_BURST_S_DEFAULT};
use crate::recent::Recent;
use crate::rng::Rng;

const POISONED: &str = "no code panics while holding it";

/// What a key may send in the long run; None: any amount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimits {
    pub events_per_second: Option<u64>,
    /// Bytes of bodies a second, after decompression.
    pub bytes_per_second: Option<u64>,
    /// Seconds of either rate that may come at once; None: [`RATE_BURST_S_DEFAULT`].
    pub burst_seconds: Option<u32>,
}

impl RateLimits {
    /// Of three columns of a row: events, bytes, burst.
    pub(super) fn of(row: &Row, first: usize) -> Self {
        let rate = |column| row.get::<_, Option<i64>>(column).and_then(|rate| u64::try_from(rate).ok());
        Self {
            events_per_second: rate(first),
            bytes_per_second: rate(first + 1),
            burst_seconds: row.get::<_, Option<i32>>(first + 2).and_then(|seconds| u32::try_from(seconds).ok()),
        }
    }

    fn rate(&self, per_second: Option<u64>, share: f64) -> Option<Rate> {
        let burst_s = self.burst_seconds.unwrap_or(RATE_BURST_S_DEFAULT);
        per_second.map(|per_second| Rate { per_second, burst_s, share })
    }

    fn events(&self, share: Share) -> Option<Rate> {
        self.rate(self.events_per_second, share.events)
    }

    fn bytes(&self, share: Share) -> Option<Rate> {
        self.rate(self.bytes_per_second, share.bytes)
    }

    fn are_none(&self) -> bool {
        self.events_per_second.is_none() && self.bytes_per_second.is_none()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Events,
    Bytes,
}

/// Refused: the key has used up what it may send for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// The limit that was met; of two, the one that takes longer.
    pub limit: Limit,
    /// Seconds, jittered, after which the key may send again.
    pub retry_after_s: u32,
}

/// The buckets of one key, made when a limit is first met with.
#[derive(Debug, Default)]
struct Buckets {
    events: Option<Bucket>,
    bytes: Option<Bucket>,
    limits: RateLimits,
    asked_events: Meter,
    asked_bytes: Meter,
    /// Of a request that was let through, as a moving mean: what one that was refused would have had.
    events_of_one: f64,
}

#[derive(Debug)]
struct KeyState {
    keys: Recent<Uuid, Buckets>,
    shares: Shares,
    /// When it was last said what is asked for.
    told_at: Instant,
    rng: Rng,
}

/// The buckets of the keys used lately.
#[derive(Debug)]
pub struct Limiter {
    state: Mutex<KeyState>,
}

/// What one request has taken of its key's limits.
#[derive(Debug)]
pub struct Charge {
    limiter: Arc<Limiter>,
    key_id: Uuid,
    limits: RateLimits,
    bytes: AtomicU64,
    events: AtomicU64,
}

impl Limiter {
    /// No key has sent anything yet.
    pub fn new() -> Arc<Self> {
        Self::with(LIMITED_KEYS_MAX, Rng::from_os())
    }

    fn with(keys_max: usize, rng: Rng) -> Arc<Self> {
        let (shares, told_at) = (Shares::equal(1), Instant::now());
        Arc::new(Self { state: Mutex::new(KeyState { keys: Recent::new(keys_max), shares, told_at, rng }) })
    }

    /// Goes on with other parts of the limits.
    pub fn share(&self, shares: Shares) {
        self.state.lock().expect(POISONED).shares = shares;
    }

    /// What is asked for of keys' limits since the last call, of keys that are used at all.
    pub fn demands(&self, now: Instant) -> Vec<Demand> {
        let mut state = self.state.lock().expect(POISONED);
        let elapsed_s = now.saturating_duration_since(std::mem::replace(&mut state.told_at, now)).as_secs_f64();
        let demand = |(key_id, key): (&Uuid, &mut Buckets)| {
            let part = |meter: &mut Meter, limit: Option<u64>| {
                let asked = meter.read(elapsed_s, DEMAND_KEPT);
                limit.map(|limit| asked / limit.max(1) as f64)
            };
            let events = part(&mut key.asked_events, key.limits.events_per_second);
            let bytes = part(&mut key.asked_bytes, key.limits.bytes_per_second);
            Demand { key_id: *key_id, events, bytes }
        };
        state.keys.iter_mut().map(demand).filter(|demand| demand.most() > 0.0).collect()
    }

    /// What it counts a key with at the moment.
    pub fn share_of(&self, key_id: Uuid) -> Share {
        self.state.lock().expect(POISONED).shares.of(key_id)
    }

    /// Begins a request of a key: takes the bytes that its head announces, unless one of the buckets is empty.
    pub fn begin(
        self: &Arc<Self>,
        key_id: Uuid,
        limits: RateLimits,
        announced_bytes: u64,
        now: Instant,
    ) -> Result<Charge, Limited> {
        if !limits.are_none() {
            self.with_key(key_id, |key, share, told_by, rng| {
                key.limits = limits;
                let wait = |rate: Option<Rate>, told: Option<Rate>, bucket: &mut Option<Bucket>| {
                    let Some((rate, told)) = rate.zip(told) else { return Duration::ZERO };
                    as_told(bucket_of(bucket, rate, now).wait(rate, now), rate, told)
                };
                let waits = (
                    wait(limits.events(share), limits.events(told_by), &mut key.events),
                    wait(limits.bytes(share), limits.bytes(told_by), &mut key.bytes),
                );
                key.asked_bytes.ask(announced_bytes as f64);
                refuse_for(waits.0, waits.1, rng).inspect_err(|_| key.asked_events.ask(key.events_of_one.max(1.0)))?;
                if let Some(rate) = limits.bytes(share) {
                    bucket_of(&mut key.bytes, rate, now).spend(announced_bytes);
                }
                Ok(())
            })?;
        }
        let limiter = Arc::clone(self);
        Ok(Charge { limiter, key_id, limits, bytes: announced_bytes.into(), events: 0.into() })
    }

    /// `work` is given the key's share, and the one that waits are told by: who is to wait for long because little is asked for
    /// here yet would wait for more than it takes this node to have its part.
    fn with_key<T>(&self, key_id: Uuid, work: impl FnOnce(&mut Buckets, Share, Share, &mut Rng) -> T) -> T {
        let mut state = self.state.lock().expect(POISONED);
        let KeyState { keys, shares, rng, .. } = &mut *state;
        let share = shares.of(key_id);
        let told_by = Share { events: share.events.max(shares.every), bytes: share.bytes.max(shares.every) };
        work(keys.get_or_insert_with(key_id, Buckets::default), share, told_by, rng)
    }
}

impl Charge {
    /// The body is read, or has ended early: so many bytes came, instead of those announced.
    pub fn settle_bytes(&self, bytes: u64, now: Instant) {
        let announced = self.bytes.swap(bytes, Ordering::Relaxed);
        if self.limits.bytes_per_second.is_none() {
            return;
        }
        self.limiter.with_key(self.key_id, |key, share, _, _| {
            let Some(rate) = self.limits.bytes(share) else { return };
            key.asked_bytes.ask(bytes as f64 - announced as f64);
            let bucket = bucket_of(&mut key.bytes, rate, now);
            bucket.give_back(announced);
            bucket.spend(bytes);
        });
    }

    /// Takes the events of the request; refused when others of the same key have emptied the bucket meanwhile.
    pub fn take_events(&self, events: u64, now: Instant) -> Result<(), Limited> {
        if self.limits.events_per_second.is_none() {
            return Ok(());
        }
        self.limiter.with_key(self.key_id, |key, share, told_by, rng| {
            let Some((rate, told)) = self.limits.events(share).zip(self.limits.events(told_by)) else { return Ok(()) };
            key.asked_events.ask(events as f64);
            key.events_of_one += (events as f64 - key.events_of_one) / 8.0;
            let taken = bucket_of(&mut key.events, rate, now).take(events, rate, now);
            taken.or_else(|wait| refuse_for(as_told(wait, rate, told), Duration::ZERO, rng))
        })?;
        self.events.store(events, Ordering::Relaxed);
        Ok(())
    }

    /// Gives everything back: the request was refused for a reason that is not the sender's, and will come again.
    pub fn give_back(&self, now: Instant) {
        let (bytes, events) = (self.bytes.swap(0, Ordering::Relaxed), self.events.swap(0, Ordering::Relaxed));
        if self.limits.are_none() {
            return;
        }
        self.limiter.with_key(self.key_id, |key, share, _, _| {
            let give_back = |rate: Option<Rate>, bucket: &mut Option<Bucket>, tokens| {
                if let Some(rate) = rate {
                    bucket_of(bucket, rate, now).give_back(tokens);
                }
            };
            give_back(self.limits.bytes(share), &mut key.bytes, bytes);
            give_back(self.limits.events(share), &mut key.events, events);
        });
    }
}

/// What a wait is with another share.
fn as_told(wait: Duration, rate: Rate, told: Rate) -> Duration {
    Duration::try_from_secs_f64(wait.as_secs_f64() * rate.share / told.share).unwrap_or(Duration::MAX)
}

fn bucket_of(bucket: &mut Option<Bucket>, rate: Rate, now: Instant) -> &mut Bucket {
    bucket.get_or_insert_with(|| Bucket::full(rate, now))
}

fn refuse_for(events: Duration, bytes: Duration, rng: &mut Rng) -> Result<(), Limited> {
    let (limit, wait) = if events >= bytes { (Limit::Events, events) } else { (Limit::Bytes, bytes) };
    if wait.is_zero() { Ok(()) } else { Err(Limited { limit, retry_after_s: rng.retry_after_s(wait) }) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    const LIMITS: RateLimits =
        RateLimits { events_per_second: Some(10), bytes_per_second: Some(1000), burst_seconds: Some(1) };

    fn limiter() -> Arc<Limiter> {
        Limiter::with(1000, Rng::new(1))
    }

    fn held(limiter: &Limiter) -> usize {
        limiter.state.lock().unwrap().keys.len()
    }

    #[test]
    fn keys_without_limits_leave_no_trace() {
        let (limiter, now) = (limiter(), Instant::now());
        let charge = limiter.begin(Uuid::now_v7(), RateLimits::default(), 1 << 40, now).unwrap();
        charge.settle_bytes(1 << 50, now);
        charge.take_events(1 << 50, now).unwrap();
        charge.give_back(now);
        assert_eq!(held(&limiter), 0);
    }

    #[test]
    fn an_empty_bucket_refuses_before_the_body() {
        let (limiter, now, key) = (limiter(), Instant::now(), Uuid::now_v7());
        limiter.begin(key, LIMITS, 10, now).unwrap().take_events(30, now).unwrap();
        let limited = limiter.begin(key, LIMITS, 10, now).unwrap_err();
        assert_eq!(limited.limit, Limit::Events);
        assert!((3..=4).contains(&limited.retry_after_s), "{limited:?}");
        // As long as it was told, and it is served; others never noticed.
        limiter.begin(Uuid::now_v7(), LIMITS, 10, now).unwrap();
        let later = now + Duration::from_secs(limited.retry_after_s.into());
        limiter.begin(key, LIMITS, 10, later).unwrap().take_events(1, later).unwrap();
    }

    #[test]
    fn announced_bytes_become_real_ones() {
        let (limiter, now, key) = (limiter(), Instant::now(), Uuid::now_v7());
        let charge = limiter.begin(key, LIMITS, 5000, now).unwrap();
        assert_eq!(limiter.begin(key, LIMITS, 1, now).unwrap_err().limit, Limit::Bytes);
        // Only a little of it came.
        charge.settle_bytes(100, now);
        let compressed = limiter.begin(key, LIMITS, 10, now).unwrap();
        compressed.settle_bytes(2900, now);
        let limited = limiter.begin(key, LIMITS, 1, now).unwrap_err();
        assert!((2..=4).contains(&limited.retry_after_s), "2,000 bytes of debt at 1,000 a second: {limited:?}");
    }

    #[test]
    fn requests_that_pass_the_head_together_meet_the_events_bucket() {
        let (limiter, now, key) = (limiter(), Instant::now(), Uuid::now_v7());
        let [first, second] = [(); 2].map(|()| limiter.begin(key, LIMITS, 1, now).unwrap());
        first.take_events(10, now).unwrap();
        assert_eq!(second.take_events(10, now).unwrap_err().limit, Limit::Events);
    }

    #[test]
    fn what_was_not_written_costs_nothing() {
        let (limiter, now, key) = (limiter(), Instant::now(), Uuid::now_v7());
        for _ in 0..100 {
            let charge = limiter.begin(key, LIMITS, 400, now).unwrap();
            charge.settle_bytes(900, now);
            charge.take_events(9, now).unwrap();
            charge.give_back(now);
        }
    }

    #[test]
    fn nodes_share_a_limit() {
        let (now, key) = (Instant::now(), Uuid::now_v7());
        let nodes = [limiter(), limiter()];
        nodes.iter().for_each(|node| node.share(Shares::equal(2)));
        let send = |node: &Arc<Limiter>, now| {
            node.begin(key, LIMITS, 10, now).and_then(|charge| charge.take_events(1, now)).is_ok()
        };
        let granted = |now| nodes.iter().map(|node| (0..50).filter(|_| send(node, now)).count()).sum::<usize>();
        assert_eq!(granted(now), 10, "the burst of the key");
        assert_eq!(granted(now + Duration::from_secs(1)), 10, "its rate");
    }

    #[test]
    fn what_is_asked_for_is_told_refused_or_not() {
        let (limiter, key) = (limiter(), Uuid::now_v7());
        let now = limiter.state.lock().unwrap().told_at;
        let other = RateLimits { bytes_per_second: None, ..LIMITS };
        limiter.begin(key, LIMITS, 500, now).unwrap().take_events(10, now).unwrap();
        limiter.begin(Uuid::now_v7(), RateLimits::default(), 10, now).unwrap();
        assert!((0..10).all(|_| limiter.begin(key, LIMITS, 100, now).is_err()));
        let told = limiter.demands(now + Duration::from_secs(1));
        assert_eq!((told.len(), told[0].bytes), (1, Some(1.5)), "{told:?}");
        assert!(told[0].events.unwrap() > 1.9, "those that were refused had some too: {told:?}");
        limiter.begin(key, other, 100, now).unwrap_err();
        let told = limiter.demands(now + Duration::from_secs(2));
        assert_eq!((told[0].bytes, told[0].events.unwrap() > 1.5), (None, true), "it is forgotten slowly: {told:?}");
    }

    #[test]
    fn who_turns_to_another_node_is_not_sent_away_for_long() {
        let (limiter, now, key) = (limiter(), Instant::now(), Uuid::now_v7());
        let little = Share { events: 0.05, bytes: 0.05 };
        limiter.share(Shares { every: 0.5, of: [(key, little)].into() });
        limiter.begin(key, LIMITS, 1, now).unwrap().take_events(10, now).unwrap();
        let limited = limiter.begin(key, LIMITS, 1, now).unwrap_err();
        assert!((2..=4).contains(&limited.retry_after_s), "9 events and one at 5 a second: {limited:?}");
    }

    #[test]
    fn memory_is_bounded() {
        let (limiter, now) = (limiter(), Instant::now());
        for _ in 0..5000 {
            limiter.begin(Uuid::now_v7(), LIMITS, 1, now).unwrap();
        }
        assert!(held(&limiter) <= 1000);
    }
}
