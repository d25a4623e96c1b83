//! Items: what the bodies of events and of metrics have in common. Pure: no runtime, no sockets, no database.
//!
//! ```text
//! body -> split -> scan -> envelope -> (rules and encoding of the kind) -> Rows
//!                    \\                     \\-------------------------------> RejectedItem
//! ```
//!
//! - `decode` takes a body through the steps, item by item, for a kind that says what its items are.
//! - `split` finds the items of a body and, where one is broken, its end.
//! - `scan` checks an item's grammar and refuses what PostgreSQL cannot store, noting where each member is.
//! - `envelope` decides which member stands for which field, and decodes its text with simd-json.
//! - `check` has the rules for fields of any kind; [`pgcopy`] knows the format of COPY, `space` where a row will be.
//!
//! Nothing here parses a value that is stored as JSON: its text is copied from the body, so that `1e400` and `0.1000`
//! reach jsonb as they were sent. Nothing here recurses, and a good item costs no heap allocation of its own.

pub(crate) mod check;
pub(crate) mod decode;
pub(crate) mod envelope;
pub(crate) mod object;
pub mod pgcopy;
pub(crate) mod reject;
mod rows;
pub(crate) mod scan;
pub mod space;
mod split;
pub(crate) mod time;

pub use reject::{BodyError, Code, RejectedItem, Rejection, Stage};
pub(crate) use rows::StreamIndex;
pub use rows::{Decoded, RowRef, Rows};

use uuid::Uuid;

/// How a body holds its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// One object, or an array of items.
    Json,
    /// One item a line.
    Ndjson,
    /// One CloudEvent in structured mode.
    CloudEvent,
    /// An array of CloudEvents; one alone is taken as a batch of one.
    CloudEventBatch,
}

impl BodyForm {
    /// The media type that stands for it.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::CloudEvent => "application/cloudevents+json",
            Self::CloudEventBatch => "application/cloudevents-batch+json",
        }
    }
}

/// Where a request comes from, and what holds for all of its items.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The tenant of the key.
    pub tenant_id: &'a str,
    pub api_key_id: Uuid,
    pub receipt: Uuid,
    /// When the request was received, in unix microseconds.
    pub received_at_us: i64,
    /// Which timestamps are accepted.
    pub window: Window,
    /// Most bytes of an item, numbers expanded.
    pub item_bytes_max: usize,
}

/// The timestamps accepted, both ends included, in unix microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub oldest_us: i64,
    pub newest_us: i64,
}
