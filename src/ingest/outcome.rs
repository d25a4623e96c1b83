//! What a request comes to: its outcome, or why it was refused.

use uuid::Uuid;

use super::conservation::Settled;
use super::rejections::Rejections;

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
    pub rejected: u32,
    /// Events that were there already (rowstore profile).
    pub duplicates: u32,
    /// True: this is the stored answer of an earlier request with the same key.
    pub replayed: bool,
    pub rejections: Rejections,
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

impl Outcome {
    /// Where the items of its request ended.
    pub fn settled(&self, items: u64) -> Settled {
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
