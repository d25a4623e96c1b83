//! The event processor: reads the logs of streams and keeps the tables up that [`crate::projections`] describe.
//!
//! A consumer with an offset of its own for each projection and stream. What it writes and how far it has come are one
//! transaction, so that a crash at any moment repeats nothing and leaves out nothing. The log says of each batch which projections
//! it concerns; batches that concern none are never read. [`rebuild`] computes a projection's tables again beside it.

mod apart;
mod apply;
mod begin;
mod letters;
mod live;
mod look;
mod rebuild;
mod replay;
mod shadow;
mod statements;

pub use crate::projections::UNFIT_CODES;
pub use live::{Bounds, Processor};
pub use rebuild::{Rebuilt, rebuild};
pub use replay::{ReplayedLetter, Replays};
