//! Where workers get their next request from: made on the spot, or read ahead by one thread through a bounded channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, mpsc};

use super::generate::Generator;
use super::options::{Format, ItemKind};
use super::samples::SampleGenerator;

/// The oldest and newest timestamp of some items, in microseconds; open when some item's time is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeSpan {
    oldest_us: i64,
    newest_us: i64,
    open: bool,
}

impl Default for TimeSpan {
    fn default() -> Self {
        Self { oldest_us: i64::MAX, newest_us: i64::MIN, open: false }
    }
}

impl TimeSpan {
    pub(crate) fn include(&mut self, us: i64) {
        self.oldest_us = self.oldest_us.min(us);
        self.newest_us = self.newest_us.max(us);
    }

    pub(crate) fn open(&mut self) {
        self.open = true;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.oldest_us = self.oldest_us.min(other.oldest_us);
        self.newest_us = self.newest_us.max(other.newest_us);
        self.open |= other.open;
    }

    /// Oldest and newest, when any time is known.
    pub(crate) fn bounds(&self) -> Option<(i64, i64)> {
        (self.oldest_us <= self.newest_us).then_some((self.oldest_us, self.newest_us))
    }
}

pub(crate) struct LoadRequest {
    /// Counts up from 0 in the order of the source; decides the API key and the idempotency key.
    pub(crate) number: u64,
    pub(crate) events: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) format: Format,
    pub(crate) span: TimeSpan,
    /// An item of it may make several rows: a metric with `values`.
    pub(crate) spread: bool,
}

/// The source that all workers share.
#[derive(Clone)]
pub(crate) enum Feed {
    Generate(Arc<Generating>),
    File(Arc<Mutex<mpsc::Receiver<LoadRequest>>>),
}

pub(crate) struct Generating {
    pub(crate) kind: ItemKind,
    pub(crate) seed: u64,
    pub(crate) assets: u32,
    pub(crate) format: Format,
    pub(crate) batch: u64,
    pub(crate) next: AtomicU64,
    pub(crate) left: AtomicU64,
}

/// A request that a worker has taken on; a generated one is made when its turn has come, so that its timestamps are now.
pub(crate) enum NextRequest {
    Made(LoadRequest),
    ToMake { shared: Arc<Generating>, number: u64, events: u64 },
}

impl Feed {
    /// The next request; none when there is nothing more to send.
    pub(crate) async fn claim(&self) -> Option<NextRequest> {
        match self {
            Self::File(jobs) => jobs.lock().await.recv().await.map(NextRequest::Made),
            Self::Generate(shared) => {
                let take = |left: u64| Some(left.saturating_sub(shared.batch));
                let left = shared.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
                let events = left.min(shared.batch);
                (events > 0).then(|| {
                    let number = shared.next.fetch_add(1, Ordering::Relaxed);
                    NextRequest::ToMake { shared: shared.clone(), number, events }
                })
            }
        }
    }
}

impl NextRequest {
    pub(crate) fn events(&self) -> u64 {
        match self {
            Self::Made(job) => job.events,
            Self::ToMake { events, .. } => *events,
        }
    }

    /// The request itself; `buffer` is used for a body that is made now.
    pub(crate) fn into_job(self, mut buffer: Vec<u8>) -> LoadRequest {
        match self {
            Self::Made(job) => job,
            Self::ToMake { shared, number, events } => {
                // One microsecond an event, ending now: no timestamp is in the future.
                let length_us = i64::try_from(events).expect("a batch is far smaller");
                let first_us = jiff::Timestamp::now().as_microsecond() - length_us;
                buffer.clear();
                let Generating { seed, assets, format, .. } = *shared;
                match shared.kind {
                    ItemKind::Events => {
                        Generator { seed, assets }.append(&mut buffer, format, number, events, first_us)
                    }
                    ItemKind::Metrics => {
                        SampleGenerator { seed, assets }.append(&mut buffer, format, number, events, first_us);
                    }
                }
                let mut span = TimeSpan::default();
                span.include(first_us);
                span.include(first_us + length_us - 1);
                LoadRequest { number, events, body: buffer, format, span, spread: false }
            }
        }
    }
}
