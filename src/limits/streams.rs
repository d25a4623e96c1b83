//! Limits of streams: how often the log grows, and how it is followed.

use std::time::Duration;

use super::{KIB, PAGE_BYTES_MAX};

/// Between two looks of the sequencer for what was committed, while something is.
pub const LOG_TICK: Duration = Duration::from_millis(25);
/// The same while nothing comes; it is reached by doubling.
pub const LOG_TICK_IDLE: Duration = Duration::from_millis(100);
/// How long a run of the sequencer goes on before another node may lead.
pub const LOG_RUN: Duration = Duration::from_secs(10);
/// How often it deletes what it is done with.
pub const LOG_UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Batches of versions before that are logged in one transaction.
pub const LOG_OLD_BATCHES: i64 = 5_000;

/// Longest wait for events that a request may ask for.
pub const STREAM_WAIT_MAX: Duration = Duration::from_secs(30);
/// Requests of a tenant that wait for events, or follow a stream, at once.
pub const STREAM_FOLLOWERS_PER_TENANT: usize = 256;
/// How many of them look at once: many are woken by one event, and the tenant's other reads want their turn.
pub const STREAM_LOOKS_PER_TENANT: usize = 2;
/// How often who waits looks without having been woken: a message may be lost with its connection, and readers may be led to
/// a copy that lags.
pub const STREAM_LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two signs of life on a stream of events on which nothing comes: proxies close what is silent for a minute.
pub const STREAM_HEARTBEAT: Duration = Duration::from_secs(15);
/// Between two tries to read on while the database is away.
pub const STREAM_AWAY_PAUSE: Duration = Duration::from_millis(500);
/// How often it is asked whether the key of who follows is still good.
pub const STREAM_KEY_LOOK: Duration = Duration::from_secs(1);
/// Memory that is kept for what one row of a log becomes, in bytes.
pub const LOG_ROW_BYTES: usize = KIB / 4;
/// A look at events of a log that takes longer asks for more of them the next time.
pub const LOG_LOOK_DEAR: Duration = Duration::from_millis(40);
/// Events that are read at once while a stream is sent: first, and at most.
pub const LOG_LOOK_ROWS_FIRST: usize = 128;
/// See [`LOG_LOOK_ROWS_FIRST`].
pub const LOG_LOOK_ROWS_MAX: usize = 32_768;
/// Bytes of text that they become, at most.
pub const LOG_LOOK_TEXT_BYTES_MAX: usize = 2 * PAGE_BYTES_MAX;
/// Events that are looked at at once where not all of them are wanted.
pub const LOG_SIFTED_EVENTS: usize = 2000;
/// How long a ticket opens its stream.
pub const TICKET_LIFE: Duration = Duration::from_secs(60);
