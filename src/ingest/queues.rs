//! Where submissions wait, tenant by tenant, and in which order they leave: the plain state machine of a lane.
//!
//! Pure: the clock is passed in. A tenant whose rows fill a batch leaves with a batch of its own, so that its rows
//! meet in one COPY and columnstore segments stay dense; one with very many fills several, for several writers.
//! Tenants with few rows leave together once the oldest has waited for the linger. Full tenants take turns, and those
//! that linger get every second batch, so that nobody waits for the queue of somebody else. A submission is never
//! split.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What can wait in a lane.
pub trait Load {
    fn tenant_id(&self) -> &Arc<str>;
    fn rows(&self) -> usize;
    fn bytes(&self) -> usize;
}

#[derive(Debug, Clone, Copy)]
pub struct Seal {
    pub rows: usize,
    pub bytes: usize,
    /// How long its first submission waits for company.
    pub linger: Duration,
    /// Batches that may share a transaction while more full ones wait than there are writers.
    pub joined_max: usize,
    /// Whether tenants with few rows may share as much.
    pub gathers: bool,
}

/// What a writer is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// Write these in one transaction.
    Batch(Vec<T>),
    /// Nothing is due before then.
    Wait(Instant),
    Idle,
}

/// The name of a waiting tenant in the order of arrival: since when, and a number that makes it unique.
type Since = (Instant, u64);

struct Queue<T> {
    waiting: VecDeque<(Instant, T)>,
    rows: usize,
    bytes: usize,
    since: Since,
    full: bool,
}

pub struct Queues<T> {
    seal: Seal,
    tenants: HashMap<Arc<str>, Queue<T>>,
    /// Tenants with a whole batch or more, in turn.
    full: VecDeque<Arc<str>>,
    /// The others, by their oldest submission.
    lingering: BTreeMap<Since, Arc<str>>,
    /// The last batch was of a full tenant although others had lingered enough.
    owed: bool,
    submissions: usize,
    rows: usize,
    number: u64,
}

impl<T: Load> Queues<T> {
    pub fn new(seal: Seal) -> Self {
        Self {
            seal,
            tenants: HashMap::new(),
            full: VecDeque::new(),
            lingering: BTreeMap::new(),
            owed: false,
            submissions: 0,
            rows: 0,
            number: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.submissions
    }

    /// Submissions of one tenant that wait.
    pub fn len_of(&self, tenant_id: &str) -> usize {
        self.tenants.get(tenant_id).map_or(0, |queue| queue.waiting.len())
    }

    /// Adds a submission; true when a writer should look: a batch is full, or somebody has begun to linger.
    pub fn push(&mut self, load: T, now: Instant) -> bool {
        self.number += 1;
        self.submissions += 1;
        self.rows += load.rows();
        let tenant_id = Arc::clone(load.tenant_id());
        let mut begun = false;
        let queue = self.tenants.entry(Arc::clone(&tenant_id)).or_insert_with(|| {
            begun = true;
            Queue { waiting: VecDeque::new(), rows: 0, bytes: 0, since: (now, self.number), full: false }
        });
        queue.rows += load.rows();
        queue.bytes += load.bytes();
        queue.waiting.push_back((now, load));
        if queue.full {
            return true;
        }
        let fills = queue.rows >= self.seal.rows || queue.bytes >= self.seal.bytes;
        if fills {
            queue.full = true;
            if !begun {
                self.lingering.remove(&queue.since);
            }
            self.full.push_back(tenant_id);
        } else if begun {
            self.lingering.insert(queue.since, tenant_id);
        }
        fills || begun
    }

    /// The next batch at `now`; with `all`, whatever waits is due. `idle` writers wait for work beside the one that
    /// asks.
    pub fn next(&mut self, now: Instant, all: bool, idle: usize) -> Next<T> {
        let due = self.lingering.first_key_value().map(|((since, _), _)| *since + self.seal.linger);
        let lingered = due.is_some_and(|due| all || due <= now);
        let batch = match (self.full.is_empty(), lingered) {
            (true, false) => return due.map_or(Next::Idle, Next::Wait),
            (false, false) => self.of_full(idle),
            (true, true) => self.of_lingering(),
            (false, true) if self.owed => {
                self.owed = false;
                self.of_lingering()
            }
            (false, true) => {
                self.owed = true;
                self.of_full(idle)
            }
        };
        self.submissions -= batch.len();
        Next::Batch(batch)
    }

    /// A batch of the full tenant whose turn it is, and more of them while the idle writers cannot take them all.
    fn of_full(&mut self, idle: usize) -> Vec<T> {
        let mut batch = Vec::new();
        let mut last = None;
        for joined in 0..self.seal.joined_max.max(1) {
            if joined > 0 && self.rows / self.seal.rows <= idle {
                break;
            }
            // First more of the same tenant, whose rows then meet in one COPY. One that is still full was put last.
            let again = last.is_some() && self.full.back() == last.as_ref();
            let tenant_id = if again { self.full.pop_back() } else { self.full.pop_front() };
            let Some(tenant_id) = tenant_id else { break };
            self.take(&tenant_id, &mut batch);
            self.settle(Arc::clone(&tenant_id));
            last = Some(tenant_id);
        }
        batch
    }

    /// Takes one batch of a tenant's submissions, in the order in which they came.
    fn take(&mut self, tenant_id: &Arc<str>, batch: &mut Vec<T>) {
        let queue = self.tenants.get_mut(tenant_id).expect("a tenant that is named by the order has a queue");
        let (mut rows, mut bytes) = (0, 0);
        while rows < self.seal.rows && bytes < self.seal.bytes {
            let Some((_, load)) = queue.waiting.pop_front() else { break };
            rows += load.rows();
            bytes += load.bytes();
            batch.push(load);
        }
        queue.rows -= rows;
        queue.bytes -= bytes;
        self.rows -= rows;
    }

    /// Puts what is left of a tenant where it belongs.
    fn settle(&mut self, tenant_id: Arc<str>) {
        let queue = self.tenants.get_mut(&tenant_id).expect("it was just taken from");
        let Some((since, _)) = queue.waiting.front() else {
            self.tenants.remove(&tenant_id);
            return;
        };
        queue.since = (*since, queue.since.1);
        queue.full = queue.rows >= self.seal.rows || queue.bytes >= self.seal.bytes;
        if queue.full {
            self.full.push_back(tenant_id);
        } else {
            self.lingering.insert(queue.since, tenant_id);
        }
    }

    /// Tenants with few rows, the longest waiting first, until they make a batch together, or as many as may be gathered.
    fn of_lingering(&mut self) -> Vec<T> {
        let mut batch = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        let batches = if self.seal.gathers { self.seal.joined_max } else { 1 };
        while rows < self.seal.rows * batches && bytes < self.seal.bytes.saturating_mul(batches) {
            let Some((_, tenant_id)) = self.lingering.pop_first() else { break };
            let queue = self.tenants.remove(&tenant_id).expect("a tenant that lingers has a queue");
            rows += queue.rows;
            bytes += queue.bytes;
            batch.extend(queue.waiting.into_iter().map(|(_, load)| load));
        }
        self.rows -= rows;
        batch
    }
}

#[cfg(test)]
#[path = "queues_tests.rs"]
mod tests;
