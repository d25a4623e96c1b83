//! The protocols in which items may be sent. Pure: no runtime, no sockets, no database.
//!
//! A [`Protocol`] finds the key in a head, says how the body is read, turns it into Tidegate's own items, and turns a
//! [`Report`] or a [`Problem`] into its own answer. Everything behind the door (quotas, spool, ledger, dead letters,
//! replay) knows Tidegate's items alone. A new protocol is a folder here and a line in [`ALL`].

mod cloudevents;
mod content;
pub mod credential;
mod native;
pub mod params;
pub mod problem;
mod protocol;
mod report;
mod table;

pub use content::Encoding;
pub use native::Native;
pub use params::{Params, Segments};
pub use problem::{Answer, Problem, ProblemCode};
pub use protocol::{Head, Protocol, Reading, Route};
pub use report::{Ending, ItemError, Report};
pub use table::{ALL, Door, doors};
