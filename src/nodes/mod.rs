//! Several nodes on one database: each says every second that it lives, and knows of the others what that takes.
//!
//! What a node is to the others stands in its row of `nodes`: nobody is led, nothing is elected, and all times are the
//! database's. From the same rows follow this node's parts of keys' rate limits ([`shares`]), and whom to ask for a request
//! that another one has in its spool ([`peers`]). What only one node may do at a time is kept apart by locks
//! (`storage::locks`), not by this.

mod beat;
mod endpoints;
mod identity;
mod node;
mod peers;
mod picture;
mod shares;

pub use beat::{Heartbeat, Means, Own};
pub use node::{Node, NodeState, Spooled, list};
pub use peers::{ASKED_BY, Asked};
pub use picture::{Nodes, Picture};
