//! Streams as logs: the sequencer gives every committed batch of events its place, and who waits for events is woken.

mod append;
mod arrivals;
mod epoch;
mod sequencer;

pub use arrivals::{Arrivals, Follower};
pub use sequencer::Sequencer;
