//! Events: a request body in, COPY tuples and rejections out. Pure: no runtime, no sockets, no database.
//!
//! ```text
//! body -> item (split, scan, envelope) -> validate -> encode -> Rows
//!                                   \         \--------------> RejectedItem
//! ```
//!
//! - [`crate::wire::item`] finds the items of a body and the members of each, and knows the format of COPY.
//! - `fields` has the names by which an event's fields are known.
//! - `validate` applies the rules for events; it alone makes a `ValidEvent`.
//! - `encode` appends the event's tuple to one growing buffer.

mod decode;
mod encode;
mod fields;
mod ids;
pub mod pgcopy;
mod validate;

#[cfg(test)]
mod tests;

pub use crate::wire::item::{
    BodyError, BodyForm, Code, Decoded, Origin, RejectedItem, Rejection, RowRef, Rows, Stage, Window,
};
pub use decode::Decoder;
pub use ids::foreign_id;

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
