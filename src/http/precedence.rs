//! Ingestion goes first: an export, which can wait, gives way while requests wait for writers that are all at work.

use std::sync::Arc;
use std::time::Duration;

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
            for pause in pauses(worked) {
                sleep(pause).await;
                if !self.0.is_behind() {
                    break;
                }
            }
        }
    }
}

/// The waits between two looks at ingestion, all in all in proportion to what was done.
fn pauses(worked: Duration) -> impl Iterator<Item = Duration> {
    let mut left = (worked * EXPORT_GIVES_WAY).min(EXPORT_GIVES_WAY_MAX);
    std::iter::from_fn(move || {
        let pause = left.min(EXPORT_LOOKS_EVERY);
        left -= pause;
        (!pause.is_zero()).then_some(pause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_short_and_in_proportion_to_what_was_done() {
        for (worked, whole) in [
            (Duration::ZERO, Duration::ZERO),
            (Duration::from_micros(250), Duration::from_millis(1)),
            (Duration::from_millis(3), Duration::from_millis(12)),
            (Duration::from_secs(3600), EXPORT_GIVES_WAY_MAX),
        ] {
            let waits: Vec<Duration> = pauses(worked).collect();
            assert_eq!(waits.iter().sum::<Duration>(), whole, "{worked:?}");
            assert!(waits.iter().all(|wait| !wait.is_zero() && *wait <= EXPORT_LOOKS_EVERY), "{worked:?}: {waits:?}");
        }
    }
}
