//! A submission: a request decoded and on its way into the database, and how it is answered.

use std::time::Instant;

use tokio::sync::oneshot;

use super::conservation::{Held, Settled};
use super::outcome::{Outcome, Reply};
use super::received::{Idempotency, Received};
use super::rejections::Rejections;
use crate::budget::Reservation;
use crate::registry::RequestWarnings;
use crate::wire::item::Decoded;

/// A request, decoded and waiting to be written.
pub struct Submission {
    pub received: Received,
    /// The sender's idempotency key, if it sent one.
    pub idempotency: Option<Idempotency>,
    /// Its rows and the items rejected so far.
    pub decoded: Decoded,
    /// When it was handed over, less what it had waited for the database before; it is written, spooled or refused within a
    /// deadline counted from this.
    pub arrived: Instant,
    pub held: Held,
    /// Its bytes in the budget; None for what was read back from the spool.
    #[expect(dead_code, reason = "held until the request is answered, for its Drop")]
    pub reservation: Option<Reservation>,
    /// What schemas have warned of; it counts once the rows are stored.
    pub warnings: Option<RequestWarnings>,
    /// Where its answer goes; nobody listens once the sender is gone, but it is written all the same.
    pub reply: Option<oneshot::Sender<Reply>>,
}

impl Submission {
    /// What it takes of the budget, in bytes: body, encoded rows, rejections.
    pub fn held_bytes(&self) -> usize {
        self.received.held_bytes() + self.decoded.rows.bytes.len() + self.decoded.rejected_bytes()
    }

    /// What its rejected items take as dead letters, in bytes.
    pub fn letter_bytes(&self) -> usize {
        let rejected = &self.decoded.rejected;
        let sent = self.received.original.as_ref().map_or(0, |original| original.kept_bytes(rejected));
        self.decoded.rejected_bytes() + sent
    }

    /// Whether it is a dead letter that is refused once more.
    pub fn fails_again(&self) -> bool {
        self.received.replay.is_some() && !self.decoded.rejected.is_empty()
    }

    /// The outcome if the batch commits now, with `duplicates` of its rows already there.
    pub fn outcome(&self, duplicates: u32) -> Outcome {
        let accepted = self.decoded.accepted();
        let http_status = match accepted {
            0 if self.decoded.not_json => 400,
            0 => 422,
            _ => 200,
        };
        Outcome {
            http_status,
            spooled: false,
            receipt: self.received.receipt,
            accepted: accepted - duplicates,
            rejected: self.decoded.items - accepted,
            duplicates,
            replayed: false,
            rejections: Rejections::of(&self.decoded.rejected),
        }
    }

    /// Books its items and answers.
    pub fn finish(self, reply: Reply) {
        let (items, fails_again) = (self.held.items(), self.fails_again());
        if let (Some(warnings), true) = (self.warnings, reply.as_ref().is_ok_and(|outcome| !outcome.replayed)) {
            warnings.count();
        }
        self.held.settle(match &reply {
            // Its letter was booked as such when it first came in.
            Ok(outcome) if !outcome.replayed && fails_again => Settled { refused: items, ..Settled::default() },
            Ok(outcome) => outcome.settled(items),
            Err(_) => Settled { refused: items, ..Settled::default() },
        });
        // A sender that hung up does not hear the answer; its retry will.
        let _ = self.reply.map(|sender| sender.send(reply));
    }

    /// Books its items as safe on disk and answers so.
    pub fn finish_spooled(self) {
        let mut outcome = self.outcome(0);
        outcome.spooled = true;
        if outcome.http_status == 200 {
            outcome.http_status = 202;
        }
        self.held.spooled();
        let _ = self.reply.map(|sender| sender.send(Ok(outcome)));
    }
}
