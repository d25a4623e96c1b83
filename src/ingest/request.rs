//! What is handed over to ingestion, and why it may come back without an outcome.

use std::time::Duration;

use super::outcome::Refusal;
use super::received::Received;
use crate::budget::Reservation;
use crate::wire::item::BodyError;

/// A request with items, its body read and decompressed.
pub struct Request {
    pub received: Received,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// `?dedupe=body`: the body's hash is the key.
    pub dedupe_body: bool,
    /// `?ack=spooled`: safe on disk is enough.
    pub ack_spooled: bool,
    /// How long it has waited for the database so far: until its key was looked up. A sender has one deadline, however often its
    /// request waits.
    pub waited: Duration,
    /// The body's bytes in the budget.
    pub reservation: Reservation,
    /// Whether the key may send as many items.
    pub admit: Admit,
}

/// Asked with the number of items, or of rows where they make more, once it is known, before anything is written. Err:
/// not now, in so many seconds.
pub type Admit = Box<dyn FnOnce(u64) -> Result<(), u32> + Send>;

/// Why a request got no outcome.
#[derive(Debug)]
pub enum Unanswered {
    /// Nothing of the body is an item.
    Unreadable(BodyError),
    /// Refused by the writer, the quota or a full lane.
    Refused(Refusal),
}
