//! What there is, once, as data: kinds of items, the relations that keep them, the levels of the rollups.

mod kind;
mod level;
mod listed;
mod relation;

pub use kind::{Kind, PerKind};
pub use level::{CORRELATION_GROUPS, Content, EVENT_COUNTS, Keep, LEVELS, Level, PerLevel};
pub(crate) use listed::listed;
pub use relation::Relation;
