//! Events: a request body in, COPY tuples and rejections out. Pure: no runtime, no sockets, no database.
//!
//! [`crate::wire::item`] finds the items of a body and the members of each, and knows the format of COPY.
//!
//! - `fields` has the names by which an event's fields are known.
//! - `validate` applies the rules for events; it alone makes a `ValidEvent`. `fit` shortens what other protocols allow
//!   and no column takes.
//! - `asked` is what an event's stream asks of it besides; `masked` takes what streams mask out of a body beforehand.
//! - `encode` appends the event's tuple to one growing buffer.

mod asked;
mod decode;
mod defaults;
mod encode;
mod fields;
mod fit;
mod ids;
mod masked;
mod validate;

#[cfg(test)]
mod tests;

pub use asked::{Asked, Broken, Judge, StreamRules};
pub use decode::Decoder;
pub use defaults::Defaults;
pub use encode::{COPY_COLUMN_COUNT, COPY_COLUMNS};
pub use fit::{fitted, shortened};
pub use ids::bare_id;
pub use masked::{MaskBounds, MaskedBody, StreamMasks, Unmasked, WITHHELD, WITHHELD_PAYLOAD, is_structure, masked};
