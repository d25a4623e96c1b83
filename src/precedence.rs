//! Ingestion goes first: what can wait gives way while requests wait for writers that are all at work.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::limits::{BEHIND_LOOKS_EVERY, GIVES_WAY_MAX};

/// Of ingestion, for those that can wait; by default nobody has any.
#[derive(Clone, Default)]
pub struct Precedence(Option<Waiting>);

#[derive(Clone)]
struct Waiting {
    /// In the metric.
    who: &'static str,
    /// For how many times as long as it worked.
    times: u32,
    is_behind: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Precedence {
    /// Who waits, for how many times as long as it worked at most, and whether it must.
    pub fn over(who: &'static str, times: u32, is_behind: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Waiting { who, times, is_behind: Arc::new(is_behind) }))
    }

    /// Waits while ingestion is behind, in proportion to what was done since the last time at most.
    pub async fn give_way(&self, worked: Duration) {
        let Some(Waiting { who, times, is_behind }) = &self.0 else { return };
        if is_behind() {
            metrics::counter!("tidegate_gave_way_total", "who" => *who).increment(1);
            for pause in pauses(worked * *times) {
                sleep(pause).await;
                if !is_behind() {
                    break;
                }
            }
        }
    }
}

/// The waits between two looks at ingestion, all in all so long.
fn pauses(whole: Duration) -> impl Iterator<Item = Duration> {
    let mut left = whole.min(GIVES_WAY_MAX);
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
    fn they_are_short_and_together_as_long_as_asked_for() {
        for (asked, whole) in [
            (Duration::ZERO, Duration::ZERO),
            (Duration::from_micros(1), Duration::from_micros(1)),
            (Duration::from_millis(12), Duration::from_millis(12)),
            (Duration::from_secs(3600), GIVES_WAY_MAX),
        ] {
            let waits: Vec<Duration> = pauses(asked).collect();
            assert_eq!(waits.iter().sum::<Duration>(), whole, "{asked:?}");
            assert!(waits.iter().all(|wait| !wait.is_zero() && *wait <= BEHIND_LOOKS_EVERY), "{asked:?}: {waits:?}");
        }
    }
}
