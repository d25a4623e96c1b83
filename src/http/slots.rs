//! Who may hold how many connections: all together, those of one address, and a reserve beyond both that serves health
//! and nothing else, so that a client that holds all the others does not make the process look dead.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::limits::{RESERVE_CONNECTIONS, RESERVE_CONNECTIONS_PER_ADDRESS};
use crate::tenancy::source_of;

/// Counts open connections.
pub struct Slots {
    max: AtomicUsize,
    per_address_max: AtomicUsize,
    open: Mutex<OpenConnections>,
}

#[derive(Default)]
struct OpenConnections {
    all: usize,
    reserve: usize,
    /// Never an entry without a connection.
    addresses: HashMap<IpAddr, AddressCount>,
}

#[derive(Default)]
struct AddressCount {
    all: usize,
    reserve: usize,
}

/// Why a connection is one of the reserve, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowd {
    /// Its address holds its share.
    Address,
    /// All are taken.
    All,
}

impl Crowd {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::All => "all",
        }
    }
}

/// A connection's place; given back on drop.
pub struct Slot {
    slots: Arc<Slots>,
    address: IpAddr,
    /// Set: it is one of the reserve.
    pub crowd: Option<Crowd>,
}

impl Slots {
    /// `max` connections, of which one address may hold `per_address_max`.
    pub fn new(max: usize, per_address_max: usize) -> Arc<Self> {
        let [max, per_address_max] = [max, per_address_max].map(AtomicUsize::new);
        Arc::new(Self { max, per_address_max, open: Mutex::default() })
    }

    /// Other numbers from now on; who has a place keeps it.
    pub fn resize(&self, max: usize, per_address_max: usize) {
        self.max.store(max, Ordering::Relaxed);
        self.per_address_max.store(per_address_max, Ordering::Relaxed);
    }

    /// A place for a connection of this peer; none: why it cannot even ask about health.
    pub fn take(self: &Arc<Self>, peer: IpAddr) -> Result<Slot, Crowd> {
        let address = source_of(peer);
        let mut open = self.open();
        let of_address = open.addresses.get(&address);
        let (held, reserved) = of_address.map_or((0, 0), |count| (count.all, count.reserve));
        let crowd = if held >= self.per_address_max.load(Ordering::Relaxed) {
            Some(Crowd::Address)
        } else {
            (open.all >= self.max.load(Ordering::Relaxed)).then_some(Crowd::All)
        };
        if let Some(crowd) = crowd
            && (open.reserve >= RESERVE_CONNECTIONS || reserved >= RESERVE_CONNECTIONS_PER_ADDRESS)
        {
            return Err(crowd);
        }
        let (all, reserve) = if crowd.is_some() { (0, 1) } else { (1, 0) };
        open.all += all;
        open.reserve += reserve;
        let count = open.addresses.entry(address).or_default();
        count.all += all;
        count.reserve += reserve;
        Ok(Slot { slots: Arc::clone(self), address, crowd })
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().expect("no code panics while holding it")
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let (all, reserve) = if self.crowd.is_some() { (0, 1) } else { (1, 0) };
        let mut open = self.slots.open();
        open.all -= all;
        open.reserve -= reserve;
        let count = open.addresses.get_mut(&self.address).expect("who gives back holds something");
        count.all -= all;
        count.reserve -= reserve;
        if count.all + count.reserve == 0 {
            open.addresses.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(n: u8) -> IpAddr {
        [127, 0, 0, n].into()
    }

    fn crowds(slots: &Arc<Slots>, peer: IpAddr, count: usize) -> (Vec<Slot>, Vec<Option<Crowd>>) {
        let taken: Vec<Slot> = (0..count).filter_map(|_| slots.take(peer).ok()).collect();
        let crowds = taken.iter().map(|slot| slot.crowd).collect();
        (taken, crowds)
    }

    #[test]
    fn an_address_holds_its_share_and_asks_about_health_beyond_it() {
        let slots = Slots::new(10, 6);
        let (held, seen) = crowds(&slots, address(1), 100);
        let mut wanted = vec![None; 6];
        wanted.extend(vec![Some(Crowd::Address); RESERVE_CONNECTIONS_PER_ADDRESS]);
        assert_eq!(seen, wanted);
        assert_eq!(slots.take(address(1)).err(), Some(Crowd::Address));
        let (others, seen) = crowds(&slots, address(2), 4);
        assert_eq!(seen, [None; 4]);
        assert_eq!(slots.take(address(3)).map(|slot| slot.crowd).ok(), Some(Some(Crowd::All)));
        drop((held, others));
        assert_eq!(slots.take(address(1)).map(|slot| slot.crowd).ok(), Some(None));
        assert!(slots.open().addresses.is_empty(), "only addresses with a connection are remembered");
    }

    #[test]
    fn hosts_of_one_network_of_ipv6_share() {
        let slots = Slots::new(10, 1);
        let [a, b, other] = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"]
            .map(|text| text.parse::<IpAddr>().expect("an address"));
        let held = slots.take(a).ok();
        assert_eq!(slots.take(b).map(|slot| slot.crowd).ok(), Some(Some(Crowd::Address)));
        assert_eq!(slots.take(other).map(|slot| slot.crowd).ok(), Some(None));
        // IPv4 as sockets of IPv6 see it is the same address.
        let _v4 = slots.take(address(9)).ok();
        let mapped = "::ffff:127.0.0.9".parse::<IpAddr>().expect("an address");
        assert_eq!(slots.take(mapped).map(|slot| slot.crowd).ok(), Some(Some(Crowd::Address)));
        drop(held);
    }

    proptest! {
        /// In whatever order they come and go: the counts are those of the connections, within every bound, and an address that holds
        /// nothing gets a place of the reserve as long as others have not filled it.
        #[test]
        fn the_counts_are_those_of_the_connections(steps in prop::collection::vec((0_u8..40, 0_usize..4), 1..400)) {
            let slots = Slots::new(50, 20);
            let mut held: Vec<Slot> = Vec::new();
            for (peer, what) in steps {
                match what {
                    0 if !held.is_empty() => drop(held.swap_remove(usize::from(peer) % held.len())),
                    _ => {
                        let free = held.iter().filter(|slot| slot.crowd.is_some()).count() < RESERVE_CONNECTIONS;
                        let new = !held.iter().any(|slot| slot.address == address(peer));
                        match slots.take(address(peer)) {
                            Ok(slot) => held.push(slot),
                            Err(_) => prop_assert!(!(free && new)),
                        }
                    }
                }
                let reserve = held.iter().filter(|slot| slot.crowd.is_some()).count();
                let open = slots.open();
                prop_assert_eq!((open.all, open.reserve), (held.len() - reserve, reserve));
                prop_assert!(open.all <= 50 && open.reserve <= RESERVE_CONNECTIONS);
                for (address, count) in &open.addresses {
                    let of_it = held.iter().filter(|slot| slot.address == *address).count();
                    prop_assert_eq!(count.all + count.reserve, of_it);
                    prop_assert!(count.all <= 20 && count.reserve <= RESERVE_CONNECTIONS_PER_ADDRESS);
                }
            }
        }
    }
}
