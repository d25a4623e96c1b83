//! Streams that are defined: what their payloads must be, and what of them is never kept.
//!
//! `Definitions` defines streams, on behalf of people. `Registry` is what ingestion knows of them: every process has all
//! definitions in memory, looks each second whether one has changed, and compiles a schema when an event needs it. Tenants
//! that define nothing cost one look-up a request.

mod compiled;
mod definition;
mod definitions;
mod error;
mod kept;
mod key;
mod known;
mod loading;
mod process;
mod rules;
mod stored;
mod turns;
mod warnings;

pub use definition::{Change, Compatibility, Definition, MaskSpec, Mode, Version, Warned};
pub use definitions::{Definitions, Wanted};
pub use error::DefinitionError;
pub use known::Tenant;
pub use process::{NotKnown, Pools, Registry};
pub use rules::TenantRules;
pub use turns::Turn;
pub use warnings::RequestWarnings;

pub use crate::payload::{Mask, MaskKey};
pub use crate::schema::{Schema, Violation};
