//! The byte budget of all requests held at once: taken before bytes are read, given back when the answer is out.
//!
//! A tenant may hold a share of it and no more, so that one tenant's stalled or large bodies leave room for the
//! others'. One short lock a reservation; only tenants that hold something are remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Bytes that may still be taken, shared by all requests.
#[derive(Debug)]
pub struct Budget {
    total: usize,
    tenant_max: usize,
    held: Mutex<HeldBytes>,
}

#[derive(Debug, Default)]
struct HeldBytes {
    bytes: usize,
    /// Never an entry of 0 bytes.
    tenants: HashMap<Arc<str>, usize>,
}

/// Why bytes were not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    Tenant,
    All,
}

/// Bytes taken; given back on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    tenant_id: Arc<str>,
    bytes: usize,
}

impl Budget {
    /// A budget of `total` bytes, of which a tenant may hold `tenant_max`.
    pub fn new(total: usize, tenant_max: usize) -> Arc<Self> {
        Arc::new(Self { total, tenant_max, held: Mutex::default() })
    }

    /// Takes `bytes` for a tenant, or nothing when there are not that many.
    pub fn reserve(self: &Arc<Self>, tenant_id: &Arc<str>, bytes: usize) -> Result<Reservation, NoRoom> {
        self.take(tenant_id, bytes)?;
        Ok(Reservation { budget: Arc::clone(self), tenant_id: Arc::clone(tenant_id), bytes })
    }

    pub fn used(&self) -> usize {
        self.held().bytes
    }

    fn take(&self, tenant_id: &Arc<str>, bytes: usize) -> Result<(), NoRoom> {
        if bytes == 0 {
            return Ok(());
        }
        let mut held = self.held();
        let of_tenant = held.tenants.get(tenant_id).copied().unwrap_or(0).saturating_add(bytes);
        // A share that is everything is no share: then the memory is full, not the tenant's part of it.
        if of_tenant > self.tenant_max && self.tenant_max < self.total {
            return Err(NoRoom::Tenant);
        }
        if bytes > self.total - held.bytes {
            return Err(NoRoom::All);
        }
        held.bytes += bytes;
        held.tenants.insert(Arc::clone(tenant_id), of_tenant);
        Ok(())
    }

    fn give_back(&self, tenant_id: &Arc<str>, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut held = self.held();
        held.bytes -= bytes;
        let of_tenant = held.tenants.get_mut(tenant_id).expect("who gives back holds something");
        *of_tenant -= bytes;
        if *of_tenant == 0 {
            held.tenants.remove(tenant_id);
        }
    }

    fn held(&self) -> MutexGuard<'_, HeldBytes> {
        self.held.lock().expect("no code panics while holding it")
    }
}

impl Reservation {
    /// Takes more, up to `bytes` in all.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let more = bytes.saturating_sub(self.bytes);
        self.budget.take(&self.tenant_id, more)?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give_back(&self.tenant_id, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant(name: &str) -> Arc<str> {
        name.into()
    }

    #[test]
    fn what_is_taken_comes_back() {
        let (budget, tenant) = (Budget::new(100, 100), tenant("a"));
        let mut first = budget.reserve(&tenant, 60).expect("there is room");
        assert_eq!(budget.reserve(&tenant, 50).err(), Some(NoRoom::All));
        assert_eq!((first.grow_to(100), first.grow_to(101), first.grow_to(10)), (Ok(()), Err(NoRoom::All), Ok(())));
        assert_eq!(budget.used(), 100);
        drop(first);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_tenant_holds_its_share_and_no_more() {
        let budget = Budget::new(100, 50);
        let [a, b, c] = ["a", "b", "c"].map(tenant);
        let mut of_a = budget.reserve(&a, 40).expect("within the share");
        assert_eq!(budget.reserve(&a, 11).err(), Some(NoRoom::Tenant));
        assert_eq!((of_a.grow_to(50), of_a.grow_to(51)), (Ok(()), Err(NoRoom::Tenant)));
        let of_b = budget.reserve(&b, 50).expect("the other half");
        assert_eq!(budget.reserve(&c, 1).err(), Some(NoRoom::All));
        drop(of_a);
        assert!(budget.reserve(&c, 50).is_ok() && budget.reserve(&b, 1).is_err());
        drop(of_b);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn only_tenants_that_hold_something_are_remembered() {
        let budget = Budget::new(1000, 500);
        for n in 0..10_000 {
            drop(budget.reserve(&format!("t{n}").into(), 10));
        }
        let _nothing = budget.reserve(&tenant("a"), 0);
        assert!(budget.held().tenants.is_empty());
    }

    proptest! {
        /// Whatever is taken, grown and dropped: the sum is that of the reservations, in all and for each tenant, and
        /// within both bounds.
        #[test]
        fn the_sums_are_those_of_the_reservations(
            steps in prop::collection::vec((0_usize..4, 0_usize..3, 0_usize..80), 1..200),
        ) {
            let budget = Budget::new(200, 90);
            let mut reservations: Vec<Reservation> = Vec::new();
            for (tenant, what, bytes) in steps {
                match what {
                    0 => reservations.extend(budget.reserve(&format!("t{tenant}").into(), bytes)),
                    1 if !reservations.is_empty() => {
                        let index = bytes % reservations.len();
                        let _refused_or_not = reservations[index].grow_to(2 * bytes);
                    }
                    _ => drop(reservations.pop()),
                }
                let held = budget.held();
                let mut sums: HashMap<Arc<str>, usize> = HashMap::new();
                for reservation in reservations.iter().filter(|reservation| reservation.bytes > 0) {
                    *sums.entry(Arc::clone(&reservation.tenant_id)).or_default() += reservation.bytes;
                }
                prop_assert_eq!(&held.tenants, &sums);
                prop_assert_eq!(held.bytes, sums.values().sum::<usize>());
                prop_assert!(held.bytes <= 200 && sums.values().all(|bytes| *bytes <= 90));
            }
        }
    }
}
