//! What comes into ingestion and what goes out: a submission, its outcome, or why it was refused.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::budget::Reservation;
use super::conservation::{InFlight, Settled};
use crate::event::{Decoded, RejectedItem};
use crate::limits::ERRORS_LISTED_MAX;

/// A request, decoded and waiting to be written.
pub struct Submission {
    /// The tenant of the key.
    pub tenant_id: Arc<str>,
    /// The key.
    pub api_key_id: Uuid,
    /// The name under which the sender can ask for it.
    pub receipt: Uuid,
    /// The sender's idempotency key, if it sent one.
    pub idempotency: Option<Idempotency>,
    /// The route, as kept with dead letters.
    pub route: &'static str,
    /// The content type, as kept with dead letters.
    pub content_type: &'static str,
    /// The query parameters that change what items mean, as kept with dead letters.
    pub parameters: serde_json::Value,
    /// The decompressed body: dead letters are cut out of it.
    pub body: Bytes,
    /// Its rows and the items rejected so far.
    pub decoded: Decoded,
    /// The whole body was not JSON: answered 400, kept as one dead letter.
    pub not_json: bool,
    /// When it was handed over; it is written or refused within `WRITE_DEADLINE` of this.
    pub arrived: Instant,
    /// Its items in the books.
    pub in_flight: InFlight,
    /// Its bytes in the budget.
    #[expect(dead_code, reason = "held until the request is answered, for its Drop")]
    pub reservation: Reservation,
    /// Where its answer goes; nobody listens once the sender is gone, but it is written all the same.
    pub reply: oneshot::Sender<Reply>,
}

/// The sender's promise that it is the same request.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// Its key.
    pub key: String,
    /// SHA-256 of route, parameters and body: what the key stands for.
    pub sha256: [u8; 32],
}

/// The answer to a submission.
pub type Reply = Result<Outcome, Refusal>;

/// What was written for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// 200, 422 (nothing accepted) or 400 (not JSON at all).
    pub http_status: u16,
    /// The request's receipt; a replay carries the first one's.
    pub receipt: Uuid,
    /// Events stored.
    pub accepted: u32,
    /// Items in dead letters.
    pub rejected: u32,
    /// Events that were there already (rowstore profile).
    pub duplicates: u32,
    /// True: this is the stored answer of an earlier request with the same key.
    pub replayed: bool,
    /// The first rejections.
    pub errors: Vec<ItemError>,
}

/// One rejected item, as answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct ItemError {
    /// Its ordinal in the request, from 0.
    pub index: u32,
    /// The stable code.
    pub code: String,
    /// For people.
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
    Unavailable {
        /// Seconds.
        retry_after_s: u32,
        /// For people.
        reason: String,
    },
    /// The key's dead letters of today are used up.
    DeadLetterQuota,
    /// The key's rate limit is used up for so many seconds.
    RateLimited {
        /// Seconds.
        retry_after_s: u32,
    },
    /// The tenant's requests hold its share of the memory.
    TenantMemory {
        /// Seconds.
        retry_after_s: u32,
    },
}

impl Submission {
    /// The outcome if the batch commits now, with `duplicates` of its rows already there.
    pub fn outcome(&self, duplicates: u32) -> Outcome {
        let rows = u32::try_from(self.decoded.rows.rows.len()).expect("items are limited");
        let rejected = u32::try_from(self.decoded.rejected.len()).expect("items are limited");
        let http_status = match rows {
            0 if self.not_json => 400,
            0 => 422,
            _ => 200,
        };
        Outcome {
            http_status,
            receipt: self.receipt,
            accepted: rows - duplicates,
            rejected,
            duplicates,
            replayed: false,
            errors: self.decoded.rejected.iter().take(ERRORS_LISTED_MAX).map(item_error).collect(),
        }
    }

    /// Books its items and answers.
    pub fn finish(self, reply: Reply) {
        let items = self.in_flight.items();
        let settled = match &reply {
            Ok(outcome) if outcome.replayed => Settled { deduplicated: items, ..Settled::default() },
            Ok(outcome) => Settled {
                committed: outcome.accepted.into(),
                dead_lettered: outcome.rejected.into(),
                deduplicated: outcome.duplicates.into(),
                refused: 0,
            },
            Err(_) => Settled { refused: items, ..Settled::default() },
        };
        self.in_flight.settle(settled);
        // A sender that hung up does not hear the answer; its retry will.
        let _ = self.reply.send(reply);
    }
}

fn item_error(item: &RejectedItem) -> ItemError {
    ItemError {
        index: item.index,
        code: item.rejection.code.as_str().to_owned(),
        message: item.rejection.message.clone(),
    }
}
