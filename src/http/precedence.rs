//! Ingestion goes first: an export, which can wait, gives way while requests wait for writers that are all at work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::ingest::Ingest;
use crate::limits::{EXPORT_GIVES_WAY, EXPORT_GIVES_WAY_MAX, EXPORT_LOOKS_EVERY};

#[derive(Clone)]
pub struct Precedence(Arc<Ingest>);

impl Precedence {
    pub fn of(ingest: &Arc<Ingest>) -> Self {
        Self(Arc::clone(ingest))
    }

    /// Waits while ingestion is behind, in proportion to what was done since the last time at most.
    pub async fn give_way(&self, worked: Duration) {
        if self.0.is_behind() {
            metrics::counter!("tidegate_exports_gave_way_total").increment(1);
            give_way(worked, || self.0.is_behind()).await;
        }
    }
}

async fn give_way(worked: Duration, is_behind: impl Fn() -> bool) {
    let until = Instant::now() + (worked * EXPORT_GIVES_WAY).min(EXPORT_GIVES_WAY_MAX);
    while is_behind() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        sleep(EXPORT_LOOKS_EVERY.min(left)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How long it takes.
    fn waits(worked: Duration, is_behind: impl Fn() -> bool) -> Duration {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let begun = Instant::now();
        runtime.block_on(give_way(worked, is_behind));
        begun.elapsed()
    }

    #[test]
    fn it_waits_until_ingestion_is_no_longer_behind() {
        for times in [0, 1, 3] {
            let looks = Cell::new(0);
            let waited = waits(Duration::from_secs(3600), || {
                looks.set(looks.get() + 1);
                looks.get() <= times
            });
            assert!(waited >= EXPORT_LOOKS_EVERY * times && looks.get() == times + 1, "{times}: {waited:?}");
        }
    }

    #[test]
    fn it_has_its_share_whatever_comes_in() {
        for worked in [Duration::ZERO, Duration::from_micros(100), Duration::from_millis(3)] {
            let waited = waits(worked, || true);
            assert!(waited >= worked * EXPORT_GIVES_WAY, "{worked:?}: {waited:?}");
        }
    }
}
