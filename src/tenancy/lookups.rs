//! How many look-ups of unknown keys are let through: from one address, and from all of them.
//!
//! Only keys that turn out not to exist count, so that senders behind one proxy, or a node that has just started, look up
//! as many good keys as they have. One address that tries keys runs into its own limit long before the common one, and
//! leaves the rest to the first use of everybody else's new keys.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use super::bucket::{Bucket, Rate};
use crate::limits::{KEY_LOOKUPS_PER_SECOND_MAX, KEY_LOOKUPS_PER_SOURCE_PER_SECOND_MAX, LOOKUP_SOURCES_MAX};
use crate::recent::Recent;
use crate::rng::Rng;

/// The bursts also bound how many look-ups, of good keys too, are under way at once.
const ALL: Rate = Rate { per_second: KEY_LOOKUPS_PER_SECOND_MAX, burst_s: 5, share: 1.0 };
const SOURCE: Rate = Rate { per_second: KEY_LOOKUPS_PER_SOURCE_PER_SECOND_MAX, burst_s: 10, share: 1.0 };
const _: () = assert!(SOURCE.per_second * SOURCE.burst_s as u64 * 2 <= ALL.per_second * ALL.burst_s as u64);

/// Counts look-ups that failed, and those under way.
#[derive(Debug)]
pub struct Lookups {
    all: Bucket,
    sources: Recent<IpAddr, Bucket>,
    rng: Rng,
}

impl Lookups {
    /// Nobody has asked for anything yet.
    pub fn new(rng: Rng, now: Instant) -> Self {
        Self { all: Bucket::full(ALL, now), sources: Recent::new(LOOKUP_SOURCES_MAX), rng }
    }

    /// Lets a look-up through, or says after how many seconds, jittered, there may be room for one.
    pub fn begin(&mut self, peer: IpAddr, now: Instant) -> Result<(), u32> {
        let source = self.sources.get_or_insert_with(source_of(peer), || Bucket::full(SOURCE, now));
        let wait = source.wait(SOURCE, now).max(self.all.wait(ALL, now));
        if !wait.is_zero() {
            return Err(self.rng.retry_after_s(wait));
        }
        source.spend(1);
        self.all.spend(1);
        Ok(())
    }

    /// The look-up does not count: the key exists, or the database could not be asked.
    pub fn give_back(&mut self, peer: IpAddr) {
        self.all.give_back(1);
        if let Some(source) = self.sources.get_mut(&source_of(peer)) {
            source.give_back(1);
        }
    }
}

/// What counts as one address: an IPv6 host has a whole /64 to choose from.
pub fn source_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::time::Duration;

    use super::*;

    fn lookups(now: Instant) -> Lookups {
        Lookups::new(Rng::new(1), now)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Look-ups of one source until it is stopped.
    fn flood(lookups: &mut Lookups, peer: IpAddr, now: Instant) -> u64 {
        (0..).take_while(|_| lookups.begin(peer, now).is_ok()).count() as u64
    }

    #[test]
    fn a_flood_from_one_address_leaves_room_for_others() {
        let start = Instant::now();
        let mut lookups = lookups(start);
        let (bad, good) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(flood(&mut lookups, bad, start), SOURCE.per_second * u64::from(SOURCE.burst_s));
        for second in 1..100 {
            let now = start + Duration::from_secs(second);
            assert_eq!(flood(&mut lookups, bad, now), SOURCE.per_second);
            lookups.begin(good, now).unwrap();
        }
    }

    #[test]
    fn who_waits_as_told_is_let_through() {
        let now = Instant::now();
        let mut lookups = lookups(now);
        let bad = address("192.0.2.1");
        flood(&mut lookups, bad, now);
        let retry_after_s = lookups.begin(bad, now).unwrap_err();
        lookups.begin(bad, now + Duration::from_secs(retry_after_s.into())).unwrap();
    }

    #[test]
    fn good_keys_do_not_count() {
        let now = Instant::now();
        let mut lookups = lookups(now);
        let proxy = address("192.0.2.1");
        for _ in 0..100_000 {
            lookups.begin(proxy, now).unwrap();
            lookups.give_back(proxy);
        }
    }

    #[test]
    fn many_addresses_meet_the_common_limit_and_bounded_memory() {
        let now = Instant::now();
        let mut lookups = lookups(now);
        let passed: u64 =
            (0..100_000_u32).map(|n| u64::from(lookups.begin(IpAddr::from(n.to_be_bytes()), now).is_ok())).sum();
        assert_eq!(passed, ALL.per_second * u64::from(ALL.burst_s));
        assert!(lookups.sources.len() <= LOOKUP_SOURCES_MAX);
    }

    #[test]
    fn one_host_is_one_source() {
        assert_eq!(source_of(address("2001:db8::1")), source_of(address("2001:db8::ffff:2")));
        assert_ne!(source_of(address("2001:db8::1")), source_of(address("2001:db8:0:1::1")));
        assert_eq!(source_of(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }
}
