//! What there is, once, as data: kinds of items, the relations that keep them, the levels of the rollups, and which event
//! is another one's parent.

mod kind;
mod level;
mod listed;
mod parent;
mod relation;
mod table;

pub use kind::{Kind, PerKind};
pub use level::{CORRELATION_GROUPS, Content, EVENT_COUNTS, EVENT_MINUTES, Keep, LEVELS, Level, PerLevel};
pub(crate) use listed::listed;
pub use parent::{Namesake, ParentCandidate, parent_of};
pub use relation::Relation;
pub use table::{Kept, TABLES, Table};

pub use crate::wire::item::StoredJson;
/// By which tenants are spread over cells: PostgreSQL's hash of their names.
pub use crate::wire::item::space::signed_hash as tenant_hash;
