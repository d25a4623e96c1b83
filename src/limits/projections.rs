//! Limits of projections: how much of the log they look at at once, and how often.

use std::time::Duration;

use super::KIB;

/// Between two looks of the processor at its queue, while something is in it.
pub const PROJECTION_TICK: Duration = Duration::from_millis(50);
/// The same while nothing comes; it is reached by doubling.
pub const PROJECTION_TICK_IDLE: Duration = Duration::from_millis(400);
/// Entries of its queue that it looks at at once.
pub const PROJECTION_QUEUE_ROWS: i64 = 5_000;
/// How often it looks for what versions before have logged and not put into the queue.
pub const PROJECTION_SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Looks at one stream before another has its turn.
pub const PROJECTED_LOOKS_PER_TURN: usize = 8;
/// Batches of a look.
pub const PROJECTED_BATCHES: i64 = 500;
/// Events of all types in the batches of a look, unless one batch has more.
pub const PROJECTED_LOOK_EVENTS: i64 = 50_000;
/// Events of a projection's types that one transaction takes.
pub const PROJECTED_EVENTS: i64 = 500;
/// Largest payload that a projection reads, as text in bytes: an embedding takes up to 16 KiB. With `PROJECTED_EVENTS` it bounds
/// what a look holds.
pub const PROJECTED_PAYLOAD_BYTES_MAX: usize = 128 * KIB;
/// Rows that are read and written in one statement.
pub const PROJECTED_ROWS_AT_ONCE: usize = 500;
/// How long the processor waits for a row, or for a rebuild that takes over.
pub const PROJECTION_LOCK_WAIT: Duration = Duration::from_secs(30);
/// Passes of a rebuild over all streams before the processor has to wait for it, and as soon as one of them found no more events.
pub const PROJECTION_REBUILD_PASSES: usize = 10;
/// See [`PROJECTION_REBUILD_PASSES`].
pub const PROJECTION_REBUILD_REST: u64 = 500;
/// Dead letters that are replayed at once, with a connection of the owner's each.
pub const PROJECTION_REPLAYS_AT_ONCE: usize = 2;
/// Numbers of an embedding (DD-SCHEMA-001: vector(768)).
pub const EMBEDDING_DIMENSIONS: usize = 768;
/// The sum of the squares of an embedding's numbers: pgvector adds them up in single precision, where more is infinite, and far less
/// has few digits left.
pub const EMBEDDING_SQUARES: std::ops::RangeInclusive<f64> = 1e-30..=1e38;
