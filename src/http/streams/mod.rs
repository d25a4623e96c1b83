//! Streams by offset: a page, all that there is, or what comes as it comes; and tickets for those who cannot send a key.

mod events;
mod feed;
mod tickets;
mod waiting;
mod written;

pub use events::{events, wait};
pub use tickets::ticket;
pub use waiting::{CatchUp, Waited, Waiting};
pub use written::count;
