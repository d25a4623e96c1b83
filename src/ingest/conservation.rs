//! The books: every item received is, at any moment, in exactly one place.
//!
//! `received + recovered = committed + dead_lettered + deduplicated + refused + in_flight + spooled`, in items, in
//! total and per tenant. One lock, taken once or twice a request, keeps the sum true whenever somebody looks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::limits::TENANT_LABELS_MAX;

/// Label of the tenants past the cap.
const OTHER: &str = "other";

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub received: u64,
    /// Items read back from the spool after a restart.
    pub recovered: u64,
    pub committed: u64,
    pub dead_lettered: u64,
    /// Items that were there already: replayed requests, and duplicate ids (rowstore).
    pub deduplicated: u64,
    /// Items of requests answered 4xx or 5xx: their sender still has them.
    pub refused: u64,
    /// Items between being received and being answered. Signed, as is `spooled`: the drain may settle a request before
    /// its append has been booked, and the sum is right all the same.
    pub in_flight: i64,
    pub spooled: i64,
}

/// Where the items of one request ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Events in the database.
    pub committed: u64,
    pub dead_lettered: u64,
    pub deduplicated: u64,
    pub refused: u64,
}

impl Settled {
    fn items(&self) -> u64 {
        self.committed + self.dead_lettered + self.deduplicated + self.refused
    }
}

impl Counts {
    pub fn balanced(&self) -> bool {
        let settled = self.committed + self.dead_lettered + self.deduplicated + self.refused;
        signed(self.received + self.recovered) == signed(settled) + self.in_flight + self.spooled
    }

    fn receive(&mut self, items: u64) {
        self.received += items;
        self.in_flight += signed(items);
    }

    fn recover(&mut self, items: u64) {
        self.recovered += items;
        self.spooled += signed(items);
    }

    fn spool(&mut self, items: u64) {
        self.in_flight -= signed(items);
        self.spooled += signed(items);
        debug_assert!(self.balanced());
    }

    fn settle(&mut self, from: Account, settled: Settled) {
        match from {
            Account::InFlight => self.in_flight -= signed(settled.items()),
            Account::Spooled => self.spooled -= signed(settled.items()),
        }
        self.committed += settled.committed;
        self.dead_lettered += settled.dead_lettered;
        self.deduplicated += settled.deduplicated;
        self.refused += settled.refused;
        debug_assert!(self.balanced());
    }

    /// Name and value of each account; the names are those of `/metrics`.
    pub fn accounts(&self) -> [(&'static str, u64); 8] {
        // What is below zero for a moment is above it in the other account.
        let early = self.in_flight.min(0) + self.spooled.min(0);
        let shown = |items: i64| u64::try_from((items + early).max(0)).unwrap_or(0);
        [
            ("received", self.received),
            ("recovered_from_spool", self.recovered),
            ("committed", self.committed),
            ("dead_lettered", self.dead_lettered),
            ("deduplicated", self.deduplicated),
            ("refused", self.refused),
            ("in_flight", shown(self.in_flight)),
            ("spooled", shown(self.spooled)),
        ]
    }
}

fn signed(items: u64) -> i64 {
    i64::try_from(items).expect("nobody counts to 2^63")
}

#[derive(Debug, Default)]
struct Books {
    total: Counts,
    tenants: HashMap<Arc<str>, Counts>,
}

impl Books {
    fn tenant(&mut self, tenant_id: &Arc<str>) -> &mut Counts {
        let known = self.tenants.contains_key(tenant_id);
        let label = if known || self.tenants.len() < TENANT_LABELS_MAX { Arc::clone(tenant_id) } else { OTHER.into() };
        self.tenants.entry(label).or_default()
    }
}

#[derive(Debug, Default)]
pub struct Conservation {
    books: Mutex<Books>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Account {
    InFlight,
    Spooled,
}

/// Items that are not settled yet: in flight, or read back from the spool. Dropped unsettled, those in flight count as
/// refused (their request was abandoned), and those of the spool stay there.
#[derive(Debug)]
pub struct Held {
    conservation: Arc<Conservation>,
    tenant_id: Arc<str>,
    items: u64,
    account: Account,
}

impl Conservation {
    /// Books `items` as received and in flight.
    pub fn receive(self: &Arc<Self>, tenant_id: &Arc<str>, items: u64) -> Held {
        let mut books = self.books.lock().expect("no code panics while holding it");
        books.total.receive(items);
        books.tenant(tenant_id).receive(items);
        self.held(tenant_id, items, Account::InFlight)
    }

    /// Books `items` that an earlier process left in the spool, in the total; whose they are is known once they are
    /// read.
    pub fn recover(&self, items: u64) {
        self.books.lock().expect("no code panics while holding it").total.recover(items);
    }

    /// Books recovered items for their tenant.
    pub fn recover_of(&self, tenant_id: &Arc<str>, items: u64) {
        self.books.lock().expect("no code panics while holding it").tenant(tenant_id).recover(items);
    }

    /// Items of the spool that are being written; nothing moves until they are settled.
    pub fn in_spool(self: &Arc<Self>, tenant_id: &Arc<str>, items: u64) -> Held {
        self.held(tenant_id, items, Account::Spooled)
    }

    fn held(self: &Arc<Self>, tenant_id: &Arc<str>, items: u64, account: Account) -> Held {
        Held { conservation: Arc::clone(self), tenant_id: Arc::clone(tenant_id), items, account }
    }

    /// A consistent copy: the totals and each labelled tenant.
    pub fn snapshot(&self) -> (Counts, Vec<(Arc<str>, Counts)>) {
        let books = self.books.lock().expect("no code panics while holding it");
        (books.total, books.tenants.iter().map(|(tenant, counts)| (Arc::clone(tenant), *counts)).collect())
    }
}

impl Held {
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Books where the items ended; they must be all of them.
    pub fn settle(mut self, settled: Settled) {
        assert_eq!(settled.items(), self.items, "every item of a request ends in exactly one account");
        self.book(settled);
    }

    /// Books the items as safe on disk.
    pub fn spooled(mut self) {
        let mut books = self.conservation.books.lock().expect("no code panics while holding it");
        books.total.spool(self.items);
        books.tenant(&self.tenant_id).spool(self.items);
        drop(books);
        self.items = 0;
    }

    fn book(&mut self, settled: Settled) {
        let mut books = self.conservation.books.lock().expect("no code panics while holding it");
        books.total.settle(self.account, settled);
        books.tenant(&self.tenant_id).settle(self.account, settled);
        self.items = 0;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.items > 0 && self.account == Account::InFlight {
            let refused = self.items;
            self.book(Settled { refused, ..Settled::default() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_balance_at_every_moment() {
        let conservation = Arc::new(Conservation::default());
        let tenant: Arc<str> = "a".into();
        let first = conservation.receive(&tenant, 10);
        let second = conservation.receive(&tenant, 5);
        assert!(conservation.snapshot().0.balanced());
        first.settle(Settled { committed: 9, dead_lettered: 1, ..Settled::default() });
        drop(second);
        let (total, tenants) = conservation.snapshot();
        assert!(total.balanced());
        assert_eq!((total.committed, total.dead_lettered, total.refused, total.in_flight), (9, 1, 5, 0));
        assert_eq!(tenants, [(tenant, total)]);
    }

    #[test]
    fn the_spool_has_an_account() {
        let conservation = Arc::new(Conservation::default());
        let tenant: Arc<str> = "a".into();
        conservation.receive(&tenant, 10).spooled();
        conservation.recover(5);
        conservation.recover_of(&tenant, 5);
        drop(conservation.in_spool(&tenant, 10));
        assert_eq!(conservation.snapshot().0.spooled, 15);
        conservation.in_spool(&tenant, 10).settle(Settled { committed: 10, ..Settled::default() });
        conservation.in_spool(&tenant, 5).settle(Settled { deduplicated: 5, ..Settled::default() });
        let (total, tenants) = conservation.snapshot();
        assert!(total.balanced());
        assert_eq!((total.received, total.recovered, total.committed, total.spooled), (10, 5, 10, 0));
        assert_eq!(tenants, [(tenant, total)]);
    }

    #[test]
    fn the_drain_may_be_faster_than_the_books() {
        let conservation = Arc::new(Conservation::default());
        let tenant: Arc<str> = "a".into();
        let appended = conservation.receive(&tenant, 10);
        conservation.in_spool(&tenant, 10).settle(Settled { committed: 10, ..Settled::default() });
        let shown = |account: &str| {
            let (total, _) = conservation.snapshot();
            assert!(total.balanced());
            total.accounts().into_iter().find(|(name, _)| *name == account).expect("an account").1
        };
        assert_eq!((shown("committed"), shown("in_flight"), shown("spooled")), (10, 0, 0));
        appended.spooled();
        assert_eq!((shown("committed"), shown("in_flight"), shown("spooled")), (10, 0, 0));
    }

    #[test]
    fn tenants_past_the_cap_share_one_label() {
        let conservation = Arc::new(Conservation::default());
        for number in 0..TENANT_LABELS_MAX + 50 {
            let tenant: Arc<str> = format!("t{number}").into();
            conservation.receive(&tenant, 1).settle(Settled { committed: 1, ..Settled::default() });
        }
        let (total, tenants) = conservation.snapshot();
        assert_eq!(tenants.len(), TENANT_LABELS_MAX + 1);
        assert_eq!(tenants.iter().map(|(_, counts)| counts.committed).sum::<u64>(), total.committed);
    }

    #[test]
    #[should_panic(expected = "exactly one account")]
    fn an_item_cannot_get_lost() {
        let conservation = Arc::new(Conservation::default());
        conservation.receive(&"a".into(), 2).settle(Settled { committed: 1, ..Settled::default() });
    }
}
