//! Limits of what keeps stored rows in shape: rollups and lifecycle.

use std::time::Duration;

use jiff::SignedDuration;

// ---- rollups --------------------------------------------------------------------------------------------------

/// How long raw rows outlive their retention. A refresh looks back as far as retention goes and may take a while; a chunk
/// dropped under it would empty the buckets that it is making.
pub const RAW_EXPIRY_GRACE: Duration = Duration::from_secs(600);
/// How much further than retention the refreshes look back: a sample at the bound of what is accepted still has the time in
/// which a correction is promised to show.
pub const REFRESH_SLACK: Duration = Duration::from_secs(120);
/// Between two refreshes of a level (timescale engine): a correction is promised to show within 60 s.
pub const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// How long a run of the rollups' jobs begins new work; what is left is for the next, a second later.
pub const ROLLUP_RUN_MAX: Duration = Duration::from_secs(10);
/// How long the groups of correlation ids are kept: what the correlation job looks up in them lies at most a week behind its
/// clock or ahead of it.
pub const CORRELATION_GROUPS_KEPT: Duration = Duration::from_secs(8 * 86_400);
/// How long counts by the minute are kept: hours are closed after 70 minutes, and fine charts are of today and yesterday.
pub const EVENT_MINUTES_KEPT: Duration = Duration::from_secs(2 * 86_400);

// ---- lifecycle ------------------------------------------------------------------------------------------------

/// How long it is remembered that an organization had more assets than it may, counted from the last time.
pub const OVER_QUOTA_KEPT: Duration = Duration::from_secs(86_400);

/// How far the database's clock may go ahead between two runs, beyond the time that has passed; after more, nothing expires
/// until it was right for [`CLOCK_DOUBTED`].
pub const CLOCK_AHEAD_MAX: SignedDuration = SignedDuration::from_secs(600);
/// See [`CLOCK_AHEAD_MAX`]: long enough for a clock that was set wrong to be set right.
pub const CLOCK_DOUBTED: Duration = Duration::from_secs(3600);

/// How often streams, and what was inferred, are looked through for what has expired.
pub const HOURLY_EXPIRY_EVERY: Duration = Duration::from_secs(3600);

/// How long after its end a chunk is closed for the lifecycle job too: what the live lane took for rows of an open chunk is
/// written by then, or has been given up.
pub const CHUNK_CLOSED_AFTER: Duration = Duration::from_secs(3600 + 60);
/// How long the lifecycle job waits for a lock, and so how long others can stand behind it. Less than the second that is
/// promised, and than `deadlock_timeout`: it gives way before PostgreSQL looks for a victim.
pub const LIFECYCLE_LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// After this time a run of the lifecycle job begins nothing more with chunks; the rest is for the next run.
pub const LIFECYCLE_RUN_MAX: Duration = Duration::from_secs(120);
/// Between two times that the same chunk is put in order: late rows that trickle in are taken together.
pub const RECOMPRESS_PAUSE: Duration = Duration::from_secs(600);
/// How long samples of sizes are kept.
pub const STORAGE_SAMPLES_KEPT: Duration = Duration::from_secs(730 * 86_400);
/// How long it is known what an organization sent on a day: three years.
pub const USAGE_KEPT: Duration = Duration::from_secs(1100 * 86_400);
/// Between two times that notes of use are added up; who asks sees them before.
pub const USAGE_FOLD_EVERY: Duration = Duration::from_secs(30);
/// Notes added up in one transaction, and transactions of one run.
pub const USAGE_FOLD_ROWS: i64 = 20_000;
pub const USAGE_FOLDS_PER_RUN: usize = 50;
/// How long an organization is deactivated before it is erased, in seconds: nodes take its keys for 5 s after that.
pub const ERASE_QUIET_S: i64 = 10;
/// Rows erased in one transaction, of relations without chunks.
pub const ERASE_ROWS: u64 = 10_000;
/// Times that an erasure goes through all relations until nothing is found.
pub const ERASE_PASSES: usize = 5;
/// Events by whose ids what was derived from them is looked for at once.
pub const ERASE_IDS: usize = 5000;
/// Bytes of dead letters that are read at once.
pub const ERASE_LETTER_BYTES: i64 = 8 << 20;
/// Longest retention of an organization, in days; the column's CHECK says the same.
pub const ORG_RETENTION_DAYS_MAX: u32 = 3650;

const _: () = assert!(REFRESH_SLACK.as_secs() < RAW_EXPIRY_GRACE.as_secs(), "no refresh meets an expired chunk");
const _: () = assert!(LIFECYCLE_LOCK_TIMEOUT.as_millis() < 1000, "PostgreSQL looks for deadlocks after a second");
