//! Failures of a job in a row: how long it waits after one, and which of them are told.

use std::time::Duration;

use crate::storage::{Fate, StorageError};

/// After the first failure; twice that after the next.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// A database that is back is noticed within this time.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A run that others kept from a lock, while partitions are made or a cell moves, is no news until it is so many in a row.
const HELD_OFF_MAX: u32 = 5;

#[derive(Default)]
pub(super) struct Failures {
    in_a_row: u32,
    /// What the one that was told last was like.
    told: Option<Fate>,
}

impl Failures {
    /// The first one is told, and one of another kind: an outage is not told again by every job and second.
    pub fn add(&mut self, job: &str, error: &StorageError) {
        if !self.is_news(error.fate(), error.is_contention()) {
            tracing::debug!(job, %error, in_a_row = self.in_a_row, "a job's run failed again");
            return;
        }
        tracing::warn!(
            job,
            %error,
            "a job's run failed; it is tried again, and told again when it runs (until then: tidegate lifecycle status)"
        );
    }

    /// Counts one more, and says whether it is to be told.
    fn is_news(&mut self, fate: Fate, held_off: bool) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.told == Some(fate) || (held_off && self.in_a_row < HELD_OFF_MAX) {
            return false;
        }
        self.told = Some(fate);
        true
    }

    /// A run went well.
    pub fn end(&mut self, job: &str) {
        if self.told.is_some() {
            tracing::info!(job, failures = self.in_a_row, "the job runs again");
        }
        *self = Self::default();
    }

    /// Until the next run of a job of this interval.
    pub fn pause(&self, interval: Duration) -> Duration {
        match self.in_a_row.checked_sub(1) {
            None => interval,
            Some(before) => interval.max(PAUSE_FIRST.saturating_mul(1 << before.min(16)).min(PAUSE_MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_end_with_a_run() {
        let mut failures = Failures::default();
        let short = Duration::from_millis(10);
        assert_eq!(failures.pause(short), short);
        let error = StorageError::retryable("the database is away");
        let mut pauses = Vec::new();
        for _ in 0..100 {
            failures.add("sequencer", &error);
            pauses.push(failures.pause(short).as_millis());
        }
        assert_eq!(pauses[..8], [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(pauses[99], 5000);
        assert_eq!(failures.pause(Duration::from_secs(60)), Duration::from_secs(60));
        failures.end("sequencer");
        assert_eq!(failures.pause(short), short);
    }

    #[test]
    fn one_that_others_held_off_is_told_when_they_do_not_end() {
        let mut failures = Failures::default();
        let told: Vec<bool> = (0..10).map(|_| failures.is_news(Fate::Retry, true)).collect();
        assert_eq!(told.iter().position(|told| *told), Some(4));
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        failures.end("rollups");
        assert!(!failures.is_news(Fate::Retry, true) && failures.is_news(Fate::Retry, false));
    }

    #[test]
    fn a_failure_of_another_kind_is_told() {
        let mut failures = Failures::default();
        failures.add("lifecycle", &StorageError::retryable("the database is away"));
        assert_eq!(failures.told, Some(Fate::Retry));
        failures.add("lifecycle", &StorageError::fatal("a limit"));
        assert_eq!(failures.told, Some(Fate::Fatal));
    }
}
