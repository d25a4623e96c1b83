//! Items: what the bodies of events and of metrics have in common. Pure: no runtime, no sockets, no database.
//!
//! ```text
//! body -> split -> scan -> envelope -> (rules and encoding of the kind) -> Rows
//!                    \\                     \\-------------------------------> RejectedItem
//! ```
//!
//! - `decode` takes a body through the steps, item by item, for a kind that says what its items are.
//! - `split` finds the items of a body, and `recover` the end of one that is broken.
//! - `scan` checks an item's grammar and refuses what PostgreSQL cannot store, noting where each member is.
//! - `envelope` decides which member stands for which field, and decodes its text with simd-json.
//! - `check` has the rules for fields of any kind; [`pgcopy`] knows the format of COPY, `space` where a row will be.
//!
//! Nothing here parses a value that is stored as JSON: its text is copied from the body, so that `1e400` and `0.1000`
//! reach jsonb as they were sent. Nothing here recurses, and a good item costs no heap allocation of its own.

pub(crate) mod check;
pub mod converted;
pub(crate) mod decode;
pub(crate) mod envelope;
pub(crate) mod object;
mod origin;
pub mod pgcopy;
mod recover;
pub(crate) mod reject;
mod rows;
pub(crate) mod scan;
pub mod space;
pub(crate) mod split;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
pub(crate) mod tuple;

pub use converted::{Broken, Original, Place};
pub use origin::{BodyForm, ItemContext, StoredJson, TimeBounds};
pub use reject::{BodyError, Code, Pointers, RejectedItem, Rejection, Stage, place_in};
pub(crate) use rows::StreamIndex;
pub use rows::{Decoded, RowRef, Rows};
