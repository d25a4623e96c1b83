//! What became of a request, as protocols tell it.

use std::borrow::Cow;

use serde::Serialize;
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// At least one item is in the database.
    Committed,
    /// Safe on disk, and not yet in the database.
    Spooled,
    /// Every item is a dead letter.
    NothingAccepted,
    /// The body as a whole is not JSON, and one dead letter.
    NotJson,
}

/// What was written for a request.
pub struct Report<'a> {
    pub verdict: Ending,
    /// A replay carries the first one's.
    pub receipt: Uuid,
    pub accepted: u32,
    pub rejected: u32,
    /// Items that were there already (rowstore profile).
    pub duplicates: u32,
    /// This is the stored answer of an earlier request with the same key.
    pub replayed: bool,
    /// The rejected items, by index. A protocol lists as many as its answer has room for.
    pub errors: Box<dyn Iterator<Item = ItemError<'a>> + 'a>,
}

impl Report<'_> {
    /// Of a request that held no items.
    pub fn nothing(receipt: Uuid) -> Self {
        Self {
            verdict: Ending::Committed,
            receipt,
            accepted: 0,
            rejected: 0,
            duplicates: 0,
            replayed: false,
            errors: Box::new(std::iter::empty()),
        }
    }
}

#[derive(Serialize)]
pub struct ItemError<'a> {
    /// Its ordinal in the request, from 0.
    pub index: u32,
    pub code: &'a str,
    pub message: Cow<'a, str>,
}
