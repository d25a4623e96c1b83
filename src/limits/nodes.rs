//! Limits of several nodes on one database.

use std::time::Duration;

// ---- leases ---------------------------------------------------------------------------------------------------

/// How long a lease lives of which its holder is not heard: the server ends its session then. A job whose leader has stopped
/// without a word is another node's after that.
pub const LEASE_LIFE: Duration = Duration::from_secs(10);
/// How often a lease is renewed.
pub const LEASE_RENEWED_EVERY: Duration = Duration::from_secs(1);
/// How long a transaction of a job, or of an administrative act, may wait for what comes next: what it has locked is another
/// node's after that.
pub const OWNER_IDLE_MAX: Duration = Duration::from_secs(10);

// ---- heartbeats -----------------------------------------------------------------------------------------------

/// How often a node says in `nodes` that it lives.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How often it looks whether there is something to say earlier: that it stops, or begins to spool.
pub const BEAT_LOOK: Duration = Duration::from_millis(100);
/// How long one heartbeat may take before its connection is given up. Making another one may take as long as it takes to be lost.
pub const BEAT_TIMEOUT: Duration = Duration::from_secs(2);
/// A node of which nothing was heard for so long, by the database's clock, is lost.
pub const NODE_LOST_AFTER: Duration = Duration::from_secs(5);
/// How long the row of a lost node stays, for people to see it.
pub const NODE_KEPT: Duration = Duration::from_secs(3600);
/// The same where requests are in its spool: they are nowhere else.
pub const NODE_KEPT_WITH_SPOOL: Duration = Duration::from_secs(30 * 86_400);
/// How often rows are looked through for those that are over.
pub const NODES_TIDIED_EVERY: Duration = Duration::from_secs(60);
/// How far a node's clock may be from the database's before `doctor` says so, in milliseconds.
pub const CLOCK_SKEW_MS_MAX: i64 = 5000;
/// Longest name of a node, in characters.
pub const NODE_NAME_CHARS_MAX: usize = 100;

// ---- shares of rate limits ------------------------------------------------------------------------------------

/// Keys of which a heartbeat says how much of their limits is asked for: those of which most is.
pub const DEMANDS_MAX: usize = 200;
/// Part of a limit that all nodes have the same of, whatever is asked for: who turns to another node is served there.
pub const SHARE_FLOOR: f64 = 0.1;
/// What is left of a demand after each heartbeat with less: shares follow a client that pauses slowly.
pub const DEMAND_KEPT: f64 = 0.8;
/// A share grows only when so many heartbeats in a row say so, by when every other node has seen that it has less.
pub const SHARE_GROWS_AFTER: usize = 4;

// ---- asking other nodes ---------------------------------------------------------------------------------------

/// How long another node may take to say whether it has a request.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// Nodes that are asked for one request at most.
pub const ASKED_MAX: usize = 8;

const _: () = assert!(BEAT_EVERY.as_millis() * 3 < NODE_LOST_AFTER.as_millis());
const _: () = assert!(LEASE_RENEWED_EVERY.as_millis() * 4 < LEASE_LIFE.as_millis());
