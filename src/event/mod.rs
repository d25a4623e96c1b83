//! Events: a request body in, COPY tuples and rejections out. Pure: no runtime, no sockets, no database.
//!
//! ```text
//! body -> split -> scan -> envelope -> validate -> encode -> Rows
//!                    \                     \--------------> RejectedItem
//! ```
//!
//! - `split` finds the items of a body and, where one is broken, its end.
//! - `scan` checks an item's grammar and refuses what PostgreSQL cannot store, noting where each member is.
//! - `envelope` decides which member stands for which field, and decodes its text with simd-json.
//! - `validate` applies the rules for events; it alone makes a `ValidEvent`.
//! - `encode` appends the event's tuple to one growing buffer; [`pgcopy`] knows the format.
//!
//! Nothing here parses a payload into values: its text is copied from the body, so that `1e400` and `0.1000` reach
//! jsonb as they were sent. Nothing here recurses, and a good event costs no heap allocation of its own.

mod decode;
mod encode;
mod envelope;
mod ids;
pub mod pgcopy;
mod reject;
mod rows;
mod scan;
mod split;
mod time;
mod validate;

#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use ids::foreign_id;
pub use reject::{BodyError, Code, RejectedItem, Rejection, Stage};
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

/// What the query string says about events that do not say it themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// `?event_type=`
    pub event_type: Option<String>,
    /// `?source_module=`
    pub source_module: Option<String>,
    /// `?stream=`
    pub stream: Option<String>,
    /// `?wrap=payload`: each item as a whole is a payload.
    pub wrap: bool,
}

/// Where a request comes from, and what holds for all of its events.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The tenant of the key.
    pub tenant_id: &'a str,
    /// The key.
    pub api_key_id: Uuid,
    /// The request's receipt.
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
    /// The oldest.
    pub oldest_us: i64,
    /// The newest.
    pub newest_us: i64,
}
