//! How a spooled request that is tried alone fares, and what follows from it.
//!
//! What was acknowledged leaves the spool by itself only into the database, and into quarantine only by proof: the
//! server refused this request alone, time after time, with a verdict on it, while it took others. An error that says
//! nothing about the request, a full disk or a failing server, proves nothing: the request goes to the end of the
//! spool, so that it does not hold up those behind it, and is tried again.

use crate::storage::Fate;

/// Failures before anything follows from them.
const TRIES_MIN: u32 = 5;

/// The failures of one request since it was read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trials {
    failures: u32,
    /// How many batches of others had been written at the first failure.
    written_before: u64,
}

/// What to do with a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Again,
    Postpone,
    Quarantine,
}

impl Trials {
    /// Notes that the request failed alone, when `written` batches of others had been written since the start.
    pub fn failed(&mut self, fate: Fate, written: u64) -> Next {
        if fate == Fate::EncoderBug {
            // The server could not read what was sent, whatever its own state is.
            return Next::Quarantine;
        }
        if self.failures == 0 {
            self.written_before = written;
        }
        self.failures += 1;
        if self.failures < TRIES_MIN || written == self.written_before {
            return Next::Again;
        }
        match fate {
            Fate::Fatal | Fate::RejectRow { .. } | Fate::DuplicateRow | Fate::EncoderBug => Next::Quarantine,
            Fate::Retry | Fate::NotReady | Fate::AnotherDatabase | Fate::MissingPartition => Next::Postpone,
        }
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What follows from failures of a fate, while so many batches of others are written between two of them.
    fn after(fate: Fate, failures: u32, others: u64) -> Next {
        let mut trials = Trials::default();
        (0..failures).map(|n| trials.failed(fate, u64::from(n) * others)).last().expect("there is one")
    }

    #[test]
    fn a_verdict_counts_only_beside_others_that_pass() {
        for fate in [Fate::Fatal, Fate::RejectRow { line: None }, Fate::DuplicateRow] {
            assert_eq!(after(fate, 1, 1), Next::Again);
            assert_eq!(after(fate, 1000, 0), Next::Again, "nobody passes: {fate:?}");
            assert_eq!(after(fate, TRIES_MIN, 1), Next::Quarantine, "{fate:?}");
        }
    }

    #[test]
    fn what_says_nothing_about_the_request_is_never_a_verdict() {
        for fate in [Fate::Retry, Fate::NotReady, Fate::AnotherDatabase, Fate::MissingPartition] {
            assert_eq!(after(fate, 1000, 0), Next::Again);
            assert_eq!(after(fate, 1000, 7), Next::Postpone, "{fate:?}");
        }
    }

    #[test]
    fn what_the_encoder_spoiled_is_known_at_once() {
        assert_eq!(after(Fate::EncoderBug, 1, 0), Next::Quarantine);
    }
}
