//! Ingestion goes first: what can wait gives way while requests wait for writers that are all at work.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::limits::{BEHIND_LOOKS_EVERY, GIVES_WAY, GIVES_WAY_MAX};

/// Of ingestion, for those that can wait; by default nobody has any.
#[derive(Clone, Default)]
pub struct Precedence(Option<Waiting>);

#[derive(Clone)]
struct Waiting {
    /// In the metric.
    who: &'static str,
    is_behind: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Precedence {
    /// Who waits, and whether it must.
    pub fn over(who: &'static str, is_behind: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Waiting { who, is_behind: Arc::new(is_behind) }))
    }

    /// Waits while ingestion is behind, in proportion to what was done since the last time at most.
    pub async fn give_way(&self, worked: Duration) {
        let Some(Waiting { who, is_behind }) = &self.0 else { return };
        if is_behind() {
            metrics::counter!("tidegate_gave_way_total", "who" => *who).increment(1);
            for pause in pauses(worked) {
                sleep(pause).await;
                if !is_behind() {
                    break;
                }
            }
        }
    }
}

/// The waits between two looks at ingestion, all in all in proportion to what was done.
fn pauses(worked: Duration) -> impl Iterator<Item = Duration> {
    let mut left = (worked * GIVES_WAY).min(GIVES_WAY_MAX);
    std::iter::from_fn(move || {
        let pause = left.min(BEHIND_LOOKS_EVERY);
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
            (Duration::from_secs(3600), GIVES_WAY_MAX),
        ] {
            let waits: Vec<Duration> = pauses(worked).collect();
            assert_eq!(waits.iter().sum::<Duration>(), whole, "{worked:?}");
            assert!(waits.iter().all(|wait| !wait.is_zero() && *wait <= BEHIND_LOOKS_EVERY), "{worked:?}: {waits:?}");
        }
    }
}
