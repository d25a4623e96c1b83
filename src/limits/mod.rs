//! Every fixed limit of Tidegate, in one file, with its unit and its reason.
//!
//! Limits that an operator may change live in [`crate::config`]; their defaults and the bounds within which they
//! may be set are here. Relations between limits are checked when the crate is compiled.

mod batches;
mod control;
mod definitions;
mod groups;
mod metric_reads;
mod nodes;
mod people;
mod projections;
mod reads;
mod streams;
mod syslog;
mod upkeep;

pub use batches::*;
pub use control::*;
pub use definitions::*;
pub use groups::*;
pub use metric_reads::*;
pub use nodes::*;
pub use people::*;
pub use projections::*;
pub use reads::*;
pub use streams::*;
pub use syslog::*;
pub use upkeep::*;

use std::time::Duration;

/// One KiB in bytes.
pub const KIB: usize = 1024;
/// One MiB in bytes.
pub const MIB: usize = 1024 * KIB;
const DAY: u64 = 24 * 60;

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

// ---- events ---------------------------------------------------------------------------------------------------

/// Longest `source_module`, in characters (seed ADR-002: VARCHAR(50)).
pub const SOURCE_MODULE_CHARS_MAX: usize = 50;
/// Longest `event_type`, in characters (seed ADR-002: VARCHAR(50)).
pub const EVENT_TYPE_CHARS_MAX: usize = 50;
/// Longest `severity`, in characters (seed ADR-002: VARCHAR(20)).
pub const SEVERITY_CHARS_MAX: usize = 20;
/// Longest `environment`, in characters (seed ADR-002: VARCHAR(50)).
pub const ENVIRONMENT_CHARS_MAX: usize = 50;
/// Longest `asset_id`, in characters (seed ADR-002: VARCHAR(100)).
pub const ASSET_ID_CHARS_MAX: usize = 100;
/// Longest tenant slug, in characters (seed ADR-002: VARCHAR(100)).
pub const TENANT_ID_CHARS_MAX: usize = 100;
/// Longest stream name, in characters.
pub const STREAM_CHARS_MAX: usize = 100;
/// Longest `trace_id`, in characters: W3C needs 32, other tracers' ids are longer.
pub const TRACE_ID_CHARS_MAX: usize = 256;
/// Longest id that is not a UUID (CloudEvents, EventFlow), in characters; it becomes a UUIDv5.
pub const FOREIGN_ID_CHARS_MAX: usize = 512;
/// Deepest nesting inside a payload or metadata value. PostgreSQL's jsonb parser is recursive and gives up near
/// 100,000; every reader behind it gives up earlier.
pub const JSON_DEPTH_MAX: usize = 64;
/// Most digits that a JSON number may expand to. `1e131071` is 8 bytes on the wire and 131,072 once read back.
pub const NUMBER_DIGITS_MAX: usize = 1024;
// ---- metrics --------------------------------------------------------------------------------------------------

/// Longest `metric_type`, in characters (seed ADR-002: VARCHAR(100)).
pub const METRIC_TYPE_CHARS_MAX: usize = 100;
/// Longest `metric_name`, in characters (seed ADR-002: VARCHAR(100)).
pub const METRIC_NAME_CHARS_MAX: usize = 100;
/// Largest magnitude of a metric's value or sum: its square, summed over any number of samples, must stay a double, or one
/// sample fails the rollups of every tenant.
pub const METRIC_VALUE_MAX: f64 = 1e140;
/// Smallest magnitude of a metric's value or sum that is not zero. PostgreSQL refuses a product or quotient that would become
/// zero ("value out of range: underflow"), so that one tiny sample would do the same. With this bound what is left of values
/// after they cancel each other out is 1e-116 or more, and its square, divided by any count, still a double.
pub const METRIC_VALUE_MIN: f64 = 1e-100;
/// Series that a process remembers to be in the catalog, in each of two generations: about 10 MB each. What is not remembered
/// costs a look into the database.
pub const SERIES_KNOWN_MAX: usize = 900_000;
/// How long a series is remembered that sends nothing: far less than what the catalog keeps.
pub const SERIES_KNOWN_FOR: Duration = Duration::from_secs(3600);
/// A series is active that has a sample of so long ago or less; what is noted of it is up to ten minutes behind.
pub const SERIES_ACTIVE_FOR: Duration = Duration::from_secs(3600);
/// An asset of which nothing was heard for so long has fallen silent; what is noted of it is up to ten minutes behind.
pub const ASSET_SILENT_AFTER: Duration = Duration::from_secs(3600);
/// How long it is said to be silent: one of which nothing was heard for longer is gone, for all that is known.
pub const ASSETS_REMEMBERED_FOR: Duration = Duration::from_secs(25 * 3600);
/// How old the number of a tenant's series may be, that has half of what it may have or more, before they are counted again.
pub const SERIES_COUNTED_EVERY: Duration = Duration::from_secs(60);
/// Between two notes in the database of samples that were refused because a tenant has too many series.
pub const SERIES_NOTED_EVERY: Duration = Duration::from_secs(10);
/// Tenants whose series a process remembers the number of; past it, all are counted again.
pub const SERIES_QUOTA_TENANTS_MAX: usize = 100_000;
/// Largest sum of squares of a summary.
pub const METRIC_SUMSQ_MAX: f64 = METRIC_VALUE_MAX * METRIC_VALUE_MAX;
/// Smallest one that is not zero.
pub const METRIC_SUMSQ_MIN: f64 = METRIC_VALUE_MIN * METRIC_VALUE_MIN;
/// Most values that a summary may stand for: up to here a double counts one by one. (A rollup's count ends at 2^63 - 1.)
pub const METRIC_COUNT_MAX: i64 = 1 << 53;
/// Most `values` of an item.
pub const METRIC_VALUES_MAX: usize = 10_000;
/// Bytes of rows that the `values` of a request's items may make: names and dimensions are repeated with each value.
pub const METRIC_VALUES_BYTES_MAX: usize = 32 * MIB;

// ---- windows --------------------------------------------------------------------------------------------------

/// How far ahead of the server's clock a timestamp may be, in days.
pub const FUTURE_DAYS_MAX: i64 = 7;
/// Most chunks (partitions) that the accepted window may span; past it `DROP` runs out of locks.
pub const WINDOW_CHUNKS_MAX: i64 = 2000;

// ---- requests -------------------------------------------------------------------------------------------------

/// Errors listed in one answer; all are counted.
pub const ERRORS_LISTED_MAX: usize = 100;
/// Longest `Idempotency-Key`, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Longest rejection message kept, in characters.
pub const MESSAGE_CHARS_MAX: usize = 500;
/// Items that one request may hold. A body of `[0,0,...]` would otherwise make millions of dead letters.
pub const ITEMS_PER_REQUEST_MAX: usize = 100_000;
/// Most header fields of a request; one more is answered 431.
pub const HEADERS_MAX: usize = 100;
/// Least and most that a refused sender is asked to wait, before jitter: at once would be in vain, and later than a
/// minute is for people to decide.
pub const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);
/// See [`RETRY_AFTER_MIN`].
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Largest request head, in bytes; a larger one is answered 431.
pub const HEAD_BYTES_MAX: usize = 64 * KIB;
/// From a decoded request to its COMMIT; then it is answered 503 and the sender keeps its data.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(15);
/// How long a try of a request of the spool takes at most that is written alone.
pub const DRAIN_ALONE_DEADLINE: Duration = Duration::from_secs(60);
/// The same where there is a spool: then it is made safe on disk and answered 202.
pub const SPOOL_AFTER: Duration = Duration::from_secs(10);
/// The same where there is a spool and the database not only is slow but answers with errors, counted from the first.
pub const SPOOL_AFTER_ERROR: Duration = Duration::from_secs(3);
/// Bytes of bodies that are read back from the spool at once, when it drains; a single request may be larger.
pub const DRAIN_BYTES: usize = 2 * MIB;

// ---- connections ----------------------------------------------------------------------------------------------

/// Connections beyond `limits.connections`, or beyond an address's share of it, that are asked about health and for
/// nothing else.
pub const RESERVE_CONNECTIONS: usize = 64;
/// Of them, those of one address: probes that overlap.
pub const RESERVE_CONNECTIONS_PER_ADDRESS: usize = 4;
/// How long one of the reserve may take for its head, and be idle.
pub const RESERVE_PATIENCE: Duration = Duration::from_secs(2);
/// Bytes a second at which a peer must take its answer, beside `http.write_timeout`.
pub const ANSWER_BYTES_PER_SECOND_MIN: u64 = 16 * 1024;
/// Requests that one connection of HTTP/2 may have under way.
pub const H2_STREAMS_MAX: u32 = 64;
/// Decoded header list of HTTP/2 that the protocol takes, in bytes. Twice `HEAD_BYTES_MAX`, so that what is over that
/// limit is answered by us; with frames of 16 KiB it also allows about a dozen CONTINUATION frames, and no more.
pub const H2_HEADER_LIST_BYTES_MAX: u32 = 128 * 1024;
/// Streams reset by the peer that nobody has accepted yet; one more ends the connection (CVE-2023-44487).
pub const H2_PENDING_RESETS_MAX: usize = 20;
/// Streams reset by us for errors of the peer; one more ends the connection (RUSTSEC-2024-0003).
pub const H2_LOCAL_RESETS_MAX: usize = 128;
/// Requests of one connection taken back by the peer, beyond as many as were answered; then it is cut.
pub const H2_ABANDONED_MAX: u64 = 500;
/// Window of a connection of HTTP/2, in bytes: what it may send before it is read, and so what it may hold here.
pub const H2_WINDOW_BYTES_MAX: u32 = 1024 * 1024;
/// The same where no more wide windows are left; the protocol's own minimum.
pub const H2_WINDOW_BYTES_MIN: u32 = 65_535;
/// Wide windows take together at most `limits.memory_bytes` divided by this.
pub const H2_WINDOW_SHARE: usize = 4;

// ---- batches --------------------------------------------------------------------------------------------------

/// Fewest rows of one tenant in a batch for which direct compress pays: below it the columnstore fills with tiny
/// segments (measured: 1,000 tenants in a COPY of 1,000 rows gave 18,000 rows/s and 1,008 bytes an event).
pub const DIRECT_COMPRESS_ROWS_MIN: usize = 50;
/// Requests waiting for a writer; one more is answered 503.
pub const QUEUE_REQUESTS_MAX: usize = 8192;
/// Requests of one tenant among them.
pub const QUEUE_REQUESTS_PER_TENANT_MAX: usize = QUEUE_REQUESTS_MAX / 2;
/// Days (time slices of chunks) that a request of the live lane touches at most; one more and it goes through the late lane.
/// Each is up to 4 chunks of events, or 8 of metrics.
pub const LIVE_SLICES_MAX: usize = 8;
/// How long after its end a chunk still counts as open: clocks differ, and senders retry.
pub const CHUNK_OPEN_GRACE: Duration = Duration::from_secs(3600);
/// Rounds in which one poisoned row after another is cut out of a batch by its COPY line, before bisecting.
pub const POISON_ROUNDS_MAX: usize = 8;
/// Batch ids that a node draws at once (sql/queries/batch_ids_block.sql); gaps are harmless, offsets come from the sequencer.
pub const BATCH_ID_BLOCK: i64 = 1024;

// ---- spool ----------------------------------------------------------------------------------------------------

/// Bytes at which a segment of the spool ends and the next begins.
pub const SPOOL_SEGMENT_BYTES: u64 = 64 * MIB as u64;
/// Largest record: the largest body that `limits.body_bytes` allows (256 MiB), and what describes it.
pub const SPOOL_RECORD_BYTES_MAX: usize = 257 * MIB;
/// Bytes of records that one write and one fdatasync make safe together.
pub const SPOOL_GROUP_BYTES: usize = 8 * MIB;
/// Bytes of records that wait for that; more appends wait before they hand theirs over.
pub const SPOOL_QUEUE_BYTES: usize = 64 * MIB;
/// `spool.max_bytes` in bodies of `limits.body_bytes`, at least.
pub const SPOOL_BODIES_MIN: usize = 4;

// ---- what gives way to ingestion: exports, and what is derived ------------------------------------------------

/// An export that has worked for a while gives way to ingestion that is behind for so many times as long, at most: it has a
/// fifth of the time for itself, whatever comes in.
pub const EXPORTS_GIVE_WAY: u32 = 4;
/// The same of consumers that have more than so many events of their stream left: those that are nearer to its end wait for
/// nobody. A busy stream's few seconds, which a consumer reads in one.
pub const CATCH_UP_EVENTS: i64 = 50_000;
pub const CATCH_UP_GIVES_WAY: u32 = 4;
/// Of the time in which a group's member is to acknowledge, a part so small at most is waited with what it is given.
pub const CATCH_UP_PART_OF_ACK: u32 = 10;
/// The same of each of the five jobs that derive something: two fifths of a processor together.
pub const JOBS_GIVE_WAY: u32 = 12;
/// And never longer than this at once, so that nobody takes it for dead.
pub const GIVES_WAY_MAX: Duration = Duration::from_secs(5);
/// How often it looks whether ingestion is still behind.
pub const BEHIND_LOOKS_EVERY: Duration = Duration::from_millis(5);

// ---- what is derived from events and metrics -------------------------------------------------------------------

/// How long a job works through touched minutes before others get its turn and its figures are shown.
pub const TOUCHED_RUN_MAX: Duration = Duration::from_secs(10);
/// Blocks of minutes begun in one transaction: small ones share the price of a COMMIT.
pub const TOUCHED_BLOCKS_PER_TRANSACTION: i64 = 16;
/// Minutes of a tenant read at once while days of them are waiting.
pub const EVENT_BLOCK_MINUTES: i32 = 10;
/// Events with a correlation id or a parent that one transaction relates; a minute with more is cut in slices.
pub const RELATED_EVENTS_PER_SLICE: i64 = 5_000;
/// Longest time between two events that share a correlation id and are a pair.
pub const CHAIN_GAP_MAX: Duration = Duration::from_secs(24 * 3600);
pub const CHAIN_GAP_MINUTES: i32 = 24 * 60;
/// Neighbours in a group that are looked up one by one, in 1 to 2 ms each from a columnstore; more share one scan.
pub const NEIGHBOURS_ONE_BY_ONE_MAX: usize = 32;
/// How long before its child a parent may be.
pub const PARENT_BEFORE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long after its child a parent may be: clocks of two machines differ.
pub const PARENT_AFTER_MAX: Duration = Duration::from_secs(300);
/// Parents are looked for this near first, all of a slice in one scan: nearly all are there.
pub const PARENT_NEAR: Duration = Duration::from_secs(60);
/// Parents looked for one by one in the whole window, in one transaction.
pub const ORPHANS_PER_STEP: i64 = 100;
/// Orphans given to their parent in one transaction.
pub const ORPHANS_PER_PARENT_STEP: i64 = 5_000;
/// How long a child waits for its parent.
pub const ORPHANS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Ends of groups are kept this long, for then the hour that they lie in is closed and in `correlation_groups`.
pub const GROUP_EDGES_MINUTES: i32 = 120;
/// How old events are whose neighbours the correlation job looks up in `correlation_groups`, in minutes: a day less than those
/// are kept. Neighbours of older ones are looked for among the events.
pub const GROUPS_LOOKED_UP_MINUTES: i32 = 7 * 24 * 60;
/// Rows that one statement of upkeep looks at.
pub const UPKEEP_ROWS: i64 = 10_000;
/// Width of the sliding windows in which two types of events co-occur, in minutes.
pub const LIFT_WINDOW_MINUTES: u32 = 5;
/// Fewest windows with both types.
pub const LIFT_SUPPORT_MIN: u32 = 5;
/// Least lift: twice as often together as by chance.
pub const LIFT_MIN: f64 = 2.0;
/// Types of a tenant that are compared, those present in most minutes first: 200 make 19,900 pairs.
pub const LIFT_TYPES_MAX: i64 = 200;
/// Pairs kept of a tenant and minute, the strongest first.
pub const LIFT_PAIRS_MAX: usize = 100;
/// Types of a minute that are remembered, the most frequent first: a sender that invents types must not fill the disk.
pub const TYPES_PER_MINUTE_MAX: usize = 1_000;
/// How late events still count for co-occurrence, in minutes; what is remembered of a minute is kept an hour longer.
pub const LIFT_LATE_MINUTES_MAX: i32 = 24 * 60;
/// How near to an hour an error event ties an asset to that hour's metrics, in minutes.
pub const ANOMALY_NEAR_MINUTES: i32 = 5;
/// Hours of its own history that a metric is judged by, and the fewest.
pub const ANOMALY_HISTORY_HOURS: i64 = 7 * 24;
/// See [`ANOMALY_HISTORY_HOURS`].
pub const ANOMALY_HISTORY_HOURS_MIN: usize = 24;
/// How long after it was written to an hour is judged: late samples are in the rollups by then, which are its history.
pub const ROLLUPS_SETTLED_AFTER: Duration = Duration::from_secs(120);
/// Robust z-score from which a value is an outlier (Iglewicz and Hoaglin 1993).
pub const ANOMALY_Z_MIN: f64 = 3.5;
/// Where scores end: a history without any spread would make them infinite.
pub const ANOMALY_Z_MAX: f64 = 1_000.0;
/// Assets whose metrics of an hour one transaction reads.
pub const ANOMALY_ASSETS_PER_SLICE: i64 = 50;
/// Series judged in one transaction: each has a history of 168 buckets.
pub const ANOMALY_SERIES_PER_SLICE: i64 = 200;
/// Error events that an outlier is tied to, the earliest first.
pub const ANOMALY_EVENTS_MAX: i64 = 100;
/// Assets, or series, noted in one transaction.
pub const INFERRED_PER_SLICE: i64 = 5_000;

// ---- tenancy --------------------------------------------------------------------------------------------------

/// How long a verified key is believed without asking the database; revocation takes effect within 5 s.
pub const KEY_CACHE_TTL: Duration = Duration::from_secs(3);
/// How long a key that was good stays usable while the database cannot be asked, over a start as well.
pub const KEY_STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Keys kept on disk for a start without the database, at most; those used longest ago are not.
pub const KEYS_REMEMBERED_MAX: usize = 20_000;
/// Between two looks whether the remembered keys are still good.
pub const KEYS_REMEMBERED_LOOK: Duration = Duration::from_secs(60);
/// For the database to say what a key is. What a request waits for that is a part of the time after which it goes to the
/// spool.
pub const KEY_LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Keys (known and unknown) remembered at most.
pub const KEY_CACHE_ENTRIES_MAX: usize = 100_000;
/// Look-ups of keys that turn out not to exist, per second, from all addresses; a flood of random well-formed keys
/// stops here.
pub const KEY_LOOKUPS_PER_SECOND_MAX: u64 = 200;
/// The same from one address: ten floods leave no look-up for new keys, one leaves nine in ten.
pub const KEY_LOOKUPS_PER_SOURCE_PER_SECOND_MAX: u64 = 20;
/// Addresses whose failed look-ups are remembered at most; IPv6 counts by /64, which is what one host can have.
pub const LOOKUP_SOURCES_MAX: usize = 10_000;
/// Keys whose rate limits are counted at most; past it those used longest ago begin with a full burst again.
pub const LIMITED_KEYS_MAX: usize = 100_000;
/// Seconds of a key's rate that may come at once when the key names no burst.
pub const RATE_BURST_S_DEFAULT: u32 = 10;
/// Longest burst of a key, in seconds of its rate: a limit that acts only after hours is none.
pub const RATE_BURST_S_MAX: u32 = 3600;
/// Highest rate limit of a key, in events or bytes a second.
pub const RATE_PER_SECOND_MAX: u64 = 1_000_000_000_000;
/// Keys whose dead letters of the day are counted at most; past it those that sent junk longest ago start from zero.
pub const DEAD_LETTER_KEYS_MAX: usize = 100_000;
/// Tenants that get their own metric labels; the rest are summed under `other`.
pub const TENANT_LABELS_MAX: usize = 100;

// ---- the database at start ------------------------------------------------------------------------------------

/// Between two tries to reach a database that was not there when the process started: at first, at most while it is
/// away, and at most while it is there and not what is needed, which people mend.
pub const WAIT_PAUSE_FIRST: Duration = Duration::from_millis(100);
/// See [`WAIT_PAUSE_FIRST`].
pub const AWAY_PAUSE_MAX: Duration = Duration::from_secs(2);
/// See [`WAIT_PAUSE_FIRST`].
pub const UNMET_PAUSE_MAX: Duration = Duration::from_secs(30);

/// How far a standby that is promoted may lag behind: what was written that shortly before may be missing from the right
/// database.
pub const DATABASE_LAG_MAX: Duration = Duration::from_secs(600);

/// How long one host of several is waited for before the next is tried beside it.
pub const HOST_HEAD_START: Duration = Duration::from_millis(500);
/// Between two looks at the servers that the URLs name, and for one look.
pub const SERVERS_LOOK_EVERY: Duration = Duration::from_secs(1);
pub const SERVER_LOOK_TIMEOUT: Duration = Duration::from_secs(3);

// ---- migrations -----------------------------------------------------------------------------------------------

/// How long a migration waits for a table that others use, and so how long these can stand behind it: less than the 10 s
/// after which writers give up.
pub const MIGRATION_LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// After it, so long nobody waits behind the migration. Then it is tried again.
pub const MIGRATION_PAUSE: Duration = Duration::from_secs(1);
/// After these tries the start fails: somebody has held the table for five minutes.
pub const MIGRATION_TRIES: u32 = 100;

// ---- process --------------------------------------------------------------------------------------------------

/// From the signal to the exit, all steps together.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(30);
/// `max_locks_per_transaction` below which dropping a year of chunks fails.
pub const MAX_LOCKS_PER_TRANSACTION_MIN: i64 = 1024;
/// Oldest PostgreSQL that Tidegate runs on.
pub const POSTGRES_MAJOR_MIN: u32 = 15;
/// Newest major version of PostgreSQL that it was tried on; a newer one is used with a word of warning.
pub const POSTGRES_MAJOR_TRIED: u32 = 18;

const _: () =
    assert!(LIFT_SUPPORT_MIN < 64 - LIFT_WINDOW_MINUTES && PARENT_NEAR.as_secs() <= PARENT_AFTER_MAX.as_secs());
const _: () = assert!(KEY_LOOKUP_TIMEOUT.as_secs() < SPOOL_AFTER.as_secs(), "the writers need the rest");
const _: () = assert!(KEY_CACHE_TTL.as_secs() < 5, "revocation must take effect within 5 s");
const _: () = assert!(WRITE_DEADLINE.as_secs() < SHUTDOWN_DEADLINE.as_secs(), "shutdown waits for writes");
const _: () = assert!(KEY_LOOKUPS_PER_SOURCE_PER_SECOND_MAX < KEY_LOOKUPS_PER_SECOND_MAX);
const _: () = assert!(RATE_BURST_S_DEFAULT <= RATE_BURST_S_MAX);
const _: () = assert!(SPOOL_GROUP_BYTES <= SPOOL_QUEUE_BYTES && SPOOL_RECORD_BYTES_MAX < u32::MAX as usize);
const _: () = assert!(CHUNK_CLOSED_AFTER.as_secs() > CHUNK_OPEN_GRACE.as_secs() + 2 * WRITE_DEADLINE.as_secs());
const _: () = assert!(RESERVE_CONNECTIONS_PER_ADDRESS < RESERVE_CONNECTIONS);
const _: () = assert!(IDEMPOTENCY_KEY_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(H2_HEADER_LIST_BYTES_MAX as usize >= 2 * HEAD_BYTES_MAX);
