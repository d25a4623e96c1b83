//! Who owns the schema: what this version of Tidegate expects of it, what a database has, and the statements that mend the
//! difference.
//!
//! The expectation is text in `sql/schema/`, made of a migrated database and compared with one by a test, so that a migration
//! without it does not pass. Chunks, partitions and what stands outside of the schema `tidegate` are not looked at.

mod cells;
mod compare;
mod contract;
mod create;
mod document;
mod expected;
mod live;
mod mend;
mod report;
mod snapshot;
mod text;
mod verify;
mod views;

pub use cells::verify_cells;
pub use compare::Change;
pub use contract::{broken, rules};
pub use document::document;
pub use expected::{LAYERS, Layer, Variant, expected};
pub use report::{Changed, Report};
pub use snapshot::{Key, Part, Snapshot};
pub use text::{parse, write};
pub use verify::{Finding, look, verify};
