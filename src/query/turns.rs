//! Whose read is next: tenants share the readers, and none of them holds more than its share.
//!
//! Pure: who waits has a ticket, and is told by the holder of this when its turn comes. A free reader goes to the tenant
//! with the fewest reads under way, of those to the one that was served longest ago, or came without having read lately,
//! and of those to the read that waits longest; within a tenant, first come, first served. A tenant whose reads are dear
//! holds a part of its share while others read. Waiting is bounded, for a tenant and for all.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::{
    READ_DEAR, READS_DEAR_PART, READS_OF_OTHERS, READS_WAITING_PER_READER, RETRY_AFTER_MAX, RETRY_AFTER_MIN,
};

/// How much the last read counts in a mean of how long reads take.
const LAST_READ_WEIGHT: f64 = 0.1;

pub type Ticket = u64;

/// Why a read is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// The tenant's is used up.
    Tenant,
    /// That of all.
    All,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    Now,
    Wait(Ticket),
    Refused(Share),
}

#[derive(Debug)]
pub struct Turns {
    readers: usize,
    per_tenant: usize,
    running: usize,
    waiting: usize,
    last_ticket: Ticket,
    /// Counts turns, so that who was served longest ago is known.
    served: u64,
    /// How long a read takes, in seconds.
    mean_s: f64,
    /// Who asked last and who asked last before it, of two tenants, and when.
    asked: [Option<(Arc<str>, Instant)>; 2],
    /// Only those with a read under way or waiting.
    tenants: HashMap<Arc<str>, TenantReads>,
}

#[derive(Debug, Default)]
struct TenantReads {
    running: usize,
    waiting: VecDeque<Ticket>,
    /// The turn when it was last served, or when it came: one that comes and goes does not overtake those that stay.
    served: u64,
    /// How long its reads take, in seconds.
    mean_s: f64,
}

impl Turns {
    /// So many `readers`, of which a tenant may hold `per_tenant`.
    pub fn new(readers: usize, per_tenant: usize) -> Self {
        Self {
            readers,
            per_tenant,
            running: 0,
            waiting: 0,
            last_ticket: 0,
            served: 0,
            mean_s: 0.0,
            asked: [None, None],
            tenants: HashMap::new(),
        }
    }

    /// A read of a tenant wants a reader.
    pub fn ask(&mut self, tenant_id: &Arc<str>, now: Instant) -> Asked {
        if self.asked[0].as_ref().is_some_and(|(last, _)| last != tenant_id) {
            self.asked.swap(0, 1);
        }
        self.asked[0] = Some((Arc::clone(tenant_id), now));
        let others_read = self.others_read(tenant_id, now);
        let newcomer = TenantReads { served: self.served, ..TenantReads::default() };
        let tenant = self.tenants.entry(Arc::clone(tenant_id)).or_insert(newcomer);
        let may_run = tenant.running < tenant.share(self.per_tenant, others_read) && self.running < self.readers;
        if may_run && tenant.waiting.is_empty() {
            self.served += 1;
            self.running += 1;
            tenant.running += 1;
            tenant.served = self.served;
            return Asked::Now;
        }
        if tenant.waiting.len() >= self.per_tenant * READS_WAITING_PER_READER {
            return Asked::Refused(Share::Tenant);
        }
        if self.waiting >= self.readers * READS_WAITING_PER_READER {
            let asked = Asked::Refused(self.share(tenant_id));
            self.forget(tenant_id);
            return asked;
        }
        self.last_ticket += 1;
        self.waiting += 1;
        tenant.waiting.push_back(self.last_ticket);
        Asked::Wait(self.last_ticket)
    }

    /// A read has ended after `took`; the tickets whose turn it is now.
    pub fn end(&mut self, tenant_id: &Arc<str>, took: Duration, now: Instant) -> Vec<Ticket> {
        let towards = |mean: f64| mean + LAST_READ_WEIGHT * (took.as_secs_f64() - mean);
        self.mean_s = towards(self.mean_s);
        self.running -= 1;
        let tenant = self.tenants.get_mut(tenant_id).expect("who ends a read began it");
        tenant.running -= 1;
        tenant.mean_s = towards(tenant.mean_s);
        self.forget(tenant_id);
        std::iter::from_fn(|| self.next(now)).collect()
    }

    fn next(&mut self, now: Instant) -> Option<Ticket> {
        if self.running == self.readers {
            return None;
        }
        let may_run = |(id, tenant): &(&Arc<str>, &TenantReads)| {
            !tenant.waiting.is_empty() && tenant.running < tenant.share(self.per_tenant, self.others_read(id, now))
        };
        let waiting = self.tenants.iter().filter(may_run);
        let (id, _) =
            waiting.min_by_key(|(_, tenant)| (tenant.running, tenant.served, tenant.waiting.front().copied()))?;
        let id = Arc::clone(id);
        let tenant = self.tenants.get_mut(&id)?;
        let ticket = tenant.waiting.pop_front()?;
        self.served += 1;
        self.running += 1;
        self.waiting -= 1;
        tenant.running += 1;
        tenant.served = self.served;
        Some(ticket)
    }

    fn others_read(&self, tenant_id: &Arc<str>, now: Instant) -> bool {
        let other = self.asked.iter().flatten().filter(|(id, _)| id != tenant_id);
        other.into_iter().any(|(_, asked)| now.saturating_duration_since(*asked) < READS_OF_OTHERS)
    }

    /// Who has this ticket waits no more.
    pub fn give_up(&mut self, tenant_id: &Arc<str>, ticket: Ticket) {
        let Some(tenant) = self.tenants.get_mut(tenant_id) else { return };
        let before = tenant.waiting.len();
        tenant.waiting.retain(|waiting| *waiting != ticket);
        self.waiting -= before - tenant.waiting.len();
        self.forget(tenant_id);
    }

    /// Whose share it is that a tenant's read waits for.
    pub fn share(&self, tenant_id: &Arc<str>) -> Share {
        let running = self.tenants.get(tenant_id).map_or(0, |tenant| tenant.running);
        // A share that is everything is no share.
        let is_used_up = running >= self.per_tenant && self.per_tenant < self.readers;
        if is_used_up || self.running < self.readers { Share::Tenant } else { Share::All }
    }

    /// How long until those that wait for this share have had their turn, by how long reads took lately.
    pub fn wait(&self, tenant_id: &Arc<str>, share: Share) -> Duration {
        let (ahead, readers) = match share {
            Share::Tenant => (self.tenants.get(tenant_id).map_or(0, |tenant| tenant.waiting.len()), self.per_tenant),
            Share::All => (self.waiting, self.readers),
        };
        let seconds = self.mean_s * (ahead + 1) as f64 / readers as f64;
        Duration::try_from_secs_f64(seconds).unwrap_or(RETRY_AFTER_MAX).clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
    }

    pub fn running(&self) -> usize {
        self.running
    }

    pub fn waiting(&self) -> usize {
        self.waiting
    }

    fn forget(&mut self, tenant_id: &Arc<str>) {
        if self.tenants.get(tenant_id).is_some_and(|tenant| tenant.running == 0 && tenant.waiting.is_empty()) {
            self.tenants.remove(tenant_id);
        }
    }
}

impl TenantReads {
    /// How many readers it may hold.
    fn share(&self, per_tenant: usize, others_read: bool) -> usize {
        let is_dear = self.mean_s > READ_DEAR.as_secs_f64();
        if is_dear && others_read { (per_tenant / READS_DEAR_PART).max(1) } else { per_tenant }
    }
}

#[cfg(test)]
#[path = "turns/tests.rs"]
mod tests;
