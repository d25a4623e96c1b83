//! What comes into ingestion and what goes out: a submission, its outcome, or why it was refused.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::budget::Reservation;
use super::conservation::{Held, Settled};
use super::intake::Source;
use crate::limits::ERRORS_LISTED_MAX;
use crate::wire::item::{Decoded, RejectedItem};

/// A request, decoded and waiting to be written.
pub struct Submission {
    /// The tenant of the key; the same as in `source`, at hand.
    pub tenant_id: Arc<str>,
    /// The name under which the sender can ask for it.
    pub receipt: Uuid,
    /// Where it came from and how its body is read.
    pub source: Source,
    /// The sender's idempotency key, if it sent one.
    pub idempotency: Option<Idempotency>,
    /// The decompressed body: dead letters are cut out of it.
    pub body: Bytes,
    /// Its rows and the items rejected so far.
    pub decoded: Decoded,
    /// The whole body was not JSON: answered 400, kept as one dead letter.
    pub not_json: bool,
    /// When it was handed over; it is written, spooled or refused within a deadline counted from this.
    pub arrived: Instant,
    /// Its items in the books.
    pub held: Held,
    /// Its bytes in the budget; None for what was read back from the spool.
    #[expect(dead_code, reason = "held until the request is answered, for its Drop")]
    pub reservation: Option<Reservation>,
    /// Where its answer goes; nobody listens once the sender is gone, but it is written all the same.
    pub reply: Option<oneshot::Sender<Reply>>,
}

/// The sender's promise that it is the same request.
#[derive(Debug, Clone)]
pub struct Idempotency {
    pub key: String,
    /// SHA-256 of route, parameters and body: what the key stands for.
    pub sha256: [u8; 32],
}

/// The answer to a submission.
pub type Reply = Result<Outcome, Refusal>;

/// What was written for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// 200, 202 (spooled), 422 (nothing accepted) or 400 (not JSON at all).
    pub http_status: u16,
    /// Safe on disk, and not yet in the database.
    pub spooled: bool,
    /// The request's receipt; a replay carries the first one's.
    pub receipt: Uuid,
    pub accepted: u32,
    /// Items in dead letters.
    pub rejected: u32,
    /// Events that were there already (rowstore profile).
    pub duplicates: u32,
    /// True: this is the stored answer of an earlier request with the same key.
    pub replayed: bool,
    pub errors: Vec<ItemError>,
}

/// One rejected item, as answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct ItemError {
    /// Its ordinal in the request, from 0.
    pub index: u32,
    pub code: String,
    pub message: String,
}

/// Why a request was not written; nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The same key is being written right now.
    KeyInFlight,
    /// The key stands for another request.
    KeyReused,
    /// The sender should try again after so many seconds.
    Unavailable { retry_after_s: u32, reason: String },
    /// The key's dead letters of today are used up.
    DeadLetterQuota,
    /// The key's rate limit is used up for so many seconds.
    RateLimited { retry_after_s: u32 },
    /// The tenant's requests hold its share of the memory.
    TenantMemory { retry_after_s: u32 },
}

impl Submission {
    /// What it takes of the budget, in bytes: body, encoded rows, rejections.
    pub fn held_bytes(&self) -> usize {
        self.body.len() + self.decoded.rows.bytes.len() + self.decoded.rejected_bytes()
    }

    /// The outcome if the batch commits now, with `duplicates` of its rows already there.
    pub fn outcome(&self, duplicates: u32) -> Outcome {
        let accepted = self.decoded.accepted();
        let http_status = match accepted {
            0 if self.not_json => 400,
            0 => 422,
            _ => 200,
        };
        Outcome {
            http_status,
            spooled: false,
            receipt: self.receipt,
            accepted: accepted - duplicates,
            rejected: self.decoded.items - accepted,
            duplicates,
            replayed: false,
            errors: self.decoded.rejected.iter().take(ERRORS_LISTED_MAX).map(item_error).collect(),
        }
    }

    /// Books its items and answers.
    pub fn finish(self, reply: Reply) {
        let items = self.held.items();
        self.held.settle(match &reply {
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

impl Outcome {
    /// Where the items of its request ended.
    fn settled(&self, items: u64) -> Settled {
        if self.replayed {
            return Settled { deduplicated: items, ..Settled::default() };
        }
        Settled {
            committed: self.accepted.into(),
            dead_lettered: self.rejected.into(),
            deduplicated: self.duplicates.into(),
            refused: 0,
        }
    }
}

fn item_error(item: &RejectedItem) -> ItemError {
    ItemError {
        index: item.index,
        code: item.rejection.code.as_str().to_owned(),
        message: item.rejection.message.clone(),
    }
}
