//! The byte budget of all requests held at once: taken before a body is read or an answer made, given back when the
//! answer is out.
//!
//! A tenant may hold a share of it and no more, so that one tenant's stalled or large requests leave room for the
//! others'; answers may hold a part of either, so that readers leave room for senders. One short lock a reservation; only
//! tenants that hold something are remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Bytes that may still be taken, shared by all requests.
#[derive(Debug)]
pub struct Budget {
    held: Mutex<HeldBytes>,
}

/// How many bytes may be held, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    pub total: usize,
    /// By one tenant.
    pub tenant: usize,
    /// By answers.
    pub answers: usize,
    /// By the answers of one tenant.
    pub tenant_answers: usize,
}

/// What bytes are held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldFor {
    /// A body and what was made of it, until it is written.
    Body,
    /// What was read for a reader, until it is sent.
    Answer,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct HeldBy {
    all: usize,
    /// Of them, for answers.
    answers: usize,
}

#[derive(Debug)]
struct HeldBytes {
    shares: Shares,
    all: HeldBy,
    /// Never an entry of 0 bytes.
    tenants: HashMap<Arc<str>, HeldBy>,
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
    held_for: HeldFor,
    bytes: usize,
}

impl HeldBy {
    fn plus(self, held_for: HeldFor, bytes: usize) -> Self {
        let answers = if held_for == HeldFor::Answer { bytes } else { 0 };
        Self { all: self.all.saturating_add(bytes), answers: self.answers.saturating_add(answers) }
    }

    fn minus(self, held_for: HeldFor, bytes: usize) -> Self {
        let answers = if held_for == HeldFor::Answer { bytes } else { 0 };
        Self { all: self.all - bytes, answers: self.answers - answers }
    }
}

impl Budget {
    pub fn new(shares: Shares) -> Arc<Self> {
        let (all, tenants) = Default::default();
        Arc::new(Self { held: Mutex::new(HeldBytes { shares, all, tenants }) })
    }

    /// Other shares from now on. What is held stays, also where it is more than they allow.
    pub fn resize(&self, shares: Shares) {
        self.held().shares = shares;
    }

    /// What a tenant may hold in all, in bytes.
    pub fn tenant_share(&self) -> usize {
        self.held().shares.tenant
    }

    /// Takes `bytes` for a tenant, or nothing when there are not that many.
    pub fn reserve(
        self: &Arc<Self>,
        tenant_id: &Arc<str>,
        held_for: HeldFor,
        bytes: usize,
    ) -> Result<Reservation, NoRoom> {
        self.take(tenant_id, held_for, bytes)?;
        Ok(Reservation { budget: Arc::clone(self), tenant_id: Arc::clone(tenant_id), held_for, bytes })
    }

    /// Bytes held at the moment for this.
    pub fn used(&self, held_for: HeldFor) -> usize {
        let HeldBy { all, answers } = self.held().all;
        match held_for {
            HeldFor::Body => all - answers,
            HeldFor::Answer => answers,
        }
    }

    fn take(&self, tenant_id: &Arc<str>, held_for: HeldFor, bytes: usize) -> Result<(), NoRoom> {
        if bytes == 0 {
            return Ok(());
        }
        let mut held = self.held();
        let Shares { total, tenant, answers, tenant_answers } = held.shares;
        let of_tenant = held.tenants.get(tenant_id).copied().unwrap_or_default().plus(held_for, bytes);
        // A share that is everything is no share: then the memory is full, not the tenant's part of it.
        if of_tenant.all > tenant && tenant < total || of_tenant.answers > tenant_answers && tenant_answers < answers {
            return Err(NoRoom::Tenant);
        }
        let all = held.all.plus(held_for, bytes);
        if all.all > total || all.answers > answers {
            return Err(NoRoom::All);
        }
        held.all = all;
        held.tenants.insert(Arc::clone(tenant_id), of_tenant);
        Ok(())
    }

    fn give_back(&self, tenant_id: &Arc<str>, held_for: HeldFor, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut held = self.held();
        held.all = held.all.minus(held_for, bytes);
        let of_tenant = held.tenants.get_mut(tenant_id).expect("who gives back holds something");
        *of_tenant = of_tenant.minus(held_for, bytes);
        if of_tenant.all == 0 {
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
        self.budget.take(&self.tenant_id, self.held_for, more)?;
        self.bytes += more;
        Ok(())
    }

    /// The same for an answer; one that is alone gets all that a tenant's answers may have, and asks for no more.
    pub fn grow_answer(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let most = self.budget.held().shares.tenant_answers;
        self.grow_to(bytes.min(most))
    }

    /// A part of it, to be given back on its own.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            budget: Arc::clone(&self.budget),
            tenant_id: Arc::clone(&self.tenant_id),
            held_for: self.held_for,
            bytes,
        }
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.budget.give_back(&self.tenant_id, self.held_for, less);
        self.bytes -= less;
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give_back(&self.tenant_id, self.held_for, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::HeldFor::{Answer, Body};
    use super::*;

    fn tenant(name: &str) -> Arc<str> {
        name.into()
    }

    /// A budget in which answers have no share of their own.
    fn budget(total: usize, tenant: usize) -> Arc<Budget> {
        Budget::new(Shares { total, tenant, answers: total, tenant_answers: tenant })
    }

    #[test]
    fn what_is_taken_comes_back() {
        let (budget, tenant) = (budget(100, 100), tenant("a"));
        let mut first = budget.reserve(&tenant, Body, 60).expect("there is room");
        assert_eq!(budget.reserve(&tenant, Answer, 50).err(), Some(NoRoom::All));
        assert_eq!((first.grow_to(100), first.grow_to(101), first.grow_to(10)), (Ok(()), Err(NoRoom::All), Ok(())));
        assert_eq!((budget.used(Body), budget.used(Answer)), (100, 0));
        first.shrink_to(30);
        first.shrink_to(40);
        let second = budget.reserve(&tenant, Answer, 70).expect("what was given back");
        assert_eq!((budget.used(Body), budget.used(Answer)), (30, 70));
        drop((first, second));
        assert_eq!((budget.used(Body), budget.used(Answer)), (0, 0));
    }

    #[test]
    fn a_tenant_holds_its_share_and_no_more() {
        let budget = budget(100, 50);
        let [a, b, c] = ["a", "b", "c"].map(tenant);
        let mut of_a = budget.reserve(&a, Body, 40).expect("within the share");
        assert_eq!(budget.reserve(&a, Answer, 11).err(), Some(NoRoom::Tenant));
        assert_eq!((of_a.grow_to(50), of_a.grow_to(51)), (Ok(()), Err(NoRoom::Tenant)));
        let of_b = budget.reserve(&b, Answer, 50).expect("the other half");
        assert_eq!(budget.reserve(&c, Body, 1).err(), Some(NoRoom::All));
        drop(of_a);
        assert!(budget.reserve(&c, Body, 50).is_ok() && budget.reserve(&b, Body, 1).is_err());
        drop(of_b);
        assert_eq!(budget.used(Answer), 0);
    }

    #[test]
    fn answers_leave_room_for_bodies() {
        let budget = Budget::new(Shares { total: 100, tenant: 60, answers: 50, tenant_answers: 30 });
        let [a, b] = ["a", "b"].map(tenant);
        let _of_a = budget.reserve(&a, Answer, 30).expect("its share of answers");
        assert_eq!(budget.reserve(&a, Answer, 1).err(), Some(NoRoom::Tenant));
        let _of_b = budget.reserve(&b, Answer, 20).expect("the rest");
        assert_eq!(budget.reserve(&b, Answer, 1).err(), Some(NoRoom::All));
        let _bodies = [&a, &b].map(|tenant| budget.reserve(tenant, Body, 25).expect("what answers cannot take"));
        assert_eq!(budget.reserve(&b, Body, 1).err(), Some(NoRoom::All));
    }

    #[test]
    fn only_tenants_that_hold_something_are_remembered() {
        let budget = budget(1000, 500);
        for n in 0..10_000 {
            drop(budget.reserve(&format!("t{n}").into(), Body, 10));
        }
        let _nothing = budget.reserve(&tenant("a"), Answer, 0);
        assert!(budget.held().tenants.is_empty());
    }

    proptest! {
        /// Whatever is taken, grown, shrunk and dropped: the sums are those of the reservations, in all and for each
        /// tenant, and within every bound.
        #[test]
        fn the_sums_are_those_of_the_reservations(
            steps in prop::collection::vec((0_usize..4, 0_usize..5, 0_usize..80), 1..200),
        ) {
            let budget = Budget::new(Shares { total: 200, tenant: 90, answers: 120, tenant_answers: 50 });
            let mut reservations: Vec<Reservation> = Vec::new();
            for (tenant, what, bytes) in steps {
                let index = bytes.checked_rem(reservations.len()).unwrap_or(0);
                match what {
                    0 => reservations.extend(budget.reserve(&format!("t{tenant}").into(), Body, bytes)),
                    1 => reservations.extend(budget.reserve(&format!("t{tenant}").into(), Answer, bytes)),
                    2 if !reservations.is_empty() => {
                        let _refused_or_not = reservations[index].grow_to(2 * bytes);
                    }
                    3 if !reservations.is_empty() => reservations[index].shrink_to(bytes / 2),
                    _ => drop(reservations.pop()),
                }
                let held = budget.held();
                let mut sums: HashMap<Arc<str>, HeldBy> = HashMap::new();
                let mut sum = HeldBy::default();
                for one in reservations.iter().filter(|one| one.bytes > 0) {
                    let of_tenant = sums.entry(Arc::clone(&one.tenant_id)).or_default();
                    *of_tenant = of_tenant.plus(one.held_for, one.bytes);
                    sum = sum.plus(one.held_for, one.bytes);
                }
                prop_assert_eq!(&held.tenants, &sums);
                prop_assert_eq!(held.all, sum);
                prop_assert!(sum.all <= 200 && sum.answers <= 120);
                prop_assert!(sums.values().all(|of| of.all <= 90 && of.answers <= 50));
            }
        }
    }
}
