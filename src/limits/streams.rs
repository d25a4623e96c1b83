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

/// How often the streams of a tenant are counted that makes new ones, and how many of all tenants a process remembers.
pub const STREAMS_COUNTED_EVERY: Duration = Duration::from_secs(60);
/// See [`STREAMS_COUNTED_EVERY`].
pub const STREAMS_KNOWN_MAX: usize = 200_000;
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
/// Rows of a log that are read at once: first, and at most.
pub const LOG_ROWS_FIRST: usize = 32;
/// See [`LOG_ROWS_FIRST`].
pub const LOG_ROWS_MAX: usize = 32_768;
/// After a look at events of a log that took longer, more of them are read at once.
pub const LOG_LOOK_DEAR: Duration = Duration::from_millis(40);
/// As long as an event takes so many times less by it.
pub const LOG_LOOK_PAYS: f64 = 1.5;
/// And once more where one takes so many times as long as when it did not pay.
pub const LOG_LOOK_OTHERWISE: f64 = 2.0;
/// So many at most, however small they are.
pub const READ_AHEAD_EVENTS_MAX: usize = 262_144;
/// Events that are looked for at once where their values are read one by one.
pub const LOG_LARGE_AT_ONCE: usize = 32;
/// How long a cursor over a log goes on: its snapshot holds back vacuum, and its locks compression. About one half of it is for
/// the database to find and sort, the other for its readers.
pub const LOG_PASS_MAX: Duration = Duration::from_secs(10);
/// See [`LOG_PASS_MAX`]: one half.
pub const LOG_PASS_SECONDS: usize = 5;
/// Events that it goes through at most: on disk, about half a KiB each.
pub const LOG_PASS_EVENTS_MAX: usize = 500_000;
/// Events that it gives away at once, at most.
pub const LOG_PASS_ROWS_MAX: usize = 8192;
/// Such cursors at once: they have connections of exports.
pub const LOG_PASSES_MAX: usize = 2;
/// How long none is opened after one failed.
pub const LOG_PASS_PAUSE: Duration = Duration::from_secs(60);
/// How long what was read of a log is kept: for so long it may be handed out although it has expired.
pub const READ_AHEAD_KEPT: Duration = Duration::from_secs(30);
/// Events of the first part of a stream that is sent.
pub const LOG_LOOK_ROWS_FIRST: usize = 128;
/// Bytes of text of a part, at most.
pub const LOG_LOOK_TEXT_BYTES_MAX: usize = 2 * PAGE_BYTES_MAX;
/// Events that are looked at at once where not all of them are wanted.
pub const LOG_SIFTED_EVENTS: usize = 2000;
/// How long a ticket opens its stream.
pub const TICKET_LIFE: Duration = Duration::from_secs(60);
