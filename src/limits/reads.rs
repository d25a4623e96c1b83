//! Limits of reads: their time, their pages, and the memory of their answers.

use std::time::Duration;

use super::{DAY, KIB, MIB, minutes};

/// What one read may take in the database.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The same of counting events one by one: it is asked again and again, and a narrower question is always there.
pub const COUNTS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a read waits for a reader.
pub const READ_WAIT_MAX: Duration = Duration::from_secs(5);
/// Reads that wait, for each reader that a tenant may hold, or that there is.
pub const READS_WAITING_PER_READER: usize = 4;
/// A tenant whose reads take longer than this, in the mean, holds fewer readers while others read: such reads are work
/// of the database's processors, which nothing else shares out. Dashboards' reads take a tenth of it.
pub const READ_DEAR: Duration = Duration::from_millis(100);
/// The part of a tenant's share that its dear reads hold then.
pub const READS_DEAR_PART: usize = 4;
/// For how long another tenant's read counts as that others read.
pub const READS_OF_OTHERS: Duration = Duration::from_secs(10);
/// How long an export keeps its connection for a client that takes nothing.
pub const EXPORT_PATIENCE: Duration = Duration::from_secs(2);
/// How long it keeps a snapshot of the database, which holds vacuum and chunks; it goes on behind its last row with another.
pub const EXPORT_SNAPSHOT_MAX: Duration = Duration::from_secs(60);
/// How long an export, once begun, waits for a reader and for memory.
pub const EXPORT_WAIT_MAX: Duration = Duration::from_secs(60);
/// By how much the processes of the embedded server that serve exports stand behind its others (setpriority(2)): beside them
/// a tenth of a processor, alone all of it.
pub const EXPORT_NICENESS: i32 = 10;
/// Rows of a page when the reader names none.
pub const PAGE_ROWS_DEFAULT: usize = 100;
/// Most rows of a page.
pub const PAGE_ROWS_MAX: usize = 10_000;
/// Bytes at which a page ends early, its cursor going on from there.
pub const PAGE_BYTES_MAX: usize = 8 * MIB;
/// Of them, for what stands around its rows.
pub const PAGE_ENVELOPE_BYTES: usize = 8 * KIB;
/// Largest value of a row, as text in bytes, that lists take from the database together with others; a larger one is read
/// by itself, once its size is known.
pub const LISTED_VALUE_BYTES_MAX: usize = 512 * KIB;
/// Memory that a read takes before its first row, and the steps in which it takes more, in bytes.
pub const READ_FIRST_BYTES: usize = MIB;
/// See [`READ_FIRST_BYTES`].
pub const READ_STEP_BYTES: usize = 256 * KIB;
/// Pieces in which an answer is sent, in bytes: what is sent is given back.
pub const ANSWER_PIECE_BYTES: usize = 64 * KIB;
/// A tenant's part of the memory for answers: of all, one in so many.
pub const TENANT_ANSWERS_SHARE: usize = 2;
/// Rows fetched at once while a listing is streamed.
pub const STREAM_PAGE_ROWS: usize = 1000;
/// Events of an open chunk that an export sorts at once, about: in memory.
pub const EXPORT_SLICE_ROWS: usize = 15_000;
/// Events of a closed chunk that it sorts at once, by what manifests say: on disk, about half a KiB each.
pub const EXPORT_SORT_ROWS: usize = 1_000_000;
/// Memory of such a sort in the database, in MiB.
pub const EXPORT_SORT_MIB: usize = 48;
/// Rows that it fetches at once, and about how many bytes of them.
pub const EXPORT_FETCH_ROWS_MAX: usize = 2000;
/// Rows of the first fetch of an export in no order.
pub const EXPORT_FETCH_ROWS_FIRST: usize = 250;
/// How long an export in no order may last: it keeps its snapshot.
pub const EXPORT_UNORDERED_MAX: Duration = Duration::from_secs(600);
/// See [`EXPORT_FETCH_ROWS_MAX`].
pub const EXPORT_FETCH_BYTES: usize = MIB;
/// Answers shorter than this are not compressed, in bytes.
pub const COMPRESSED_BYTES_MIN: u64 = 1024;
/// Memory that is taken for the encoder of an answer, in bytes: what zstd needs with its window, and more than gzip does.
pub const ENCODER_BYTES: usize = MIB;
/// The window of compressed answers, as a power of two.
pub const ZSTD_WINDOW_LOG: u32 = 17;
/// Buckets that are counted each by itself: planning one takes about 0.3 ms.
pub const COUNTED_BUCKETS_MAX: i64 = 60;
/// Ages at which a look back for few rows is cut, so that none of its pieces opens more chunks than it must (365 of them take
/// 70 ms to plan). A day is one chunk.
pub const WINDOW_AGES: &[Duration] = &[minutes(DAY), minutes(7 * DAY), minutes(30 * DAY)];
/// A list of events goes on in windows at most so many times as wide as the one before, or as narrow.
pub const WINDOW_WIDENING: f64 = 8.0;
/// A list's window is as wide as so many times the rows that are wanted seem to take.
pub const WINDOW_ROOM: f64 = 2.0;
/// Manifests from which that is told.
pub const PACE_MANIFESTS: i64 = 64;
/// Words and phrases that are looked for at once: each reads the payload again.
pub const SEARCH_WORDS_MAX: usize = 8;
/// Events that are further apart than this are fetched apart, so that what lies between them is not read.
pub const FETCH_GAP: Duration = minutes(60);
/// In so many parts at most.
pub const FETCH_PARTS_MAX: usize = 64;
/// How far from the time in a UUIDv7 its event is looked for first.
pub const UUID_TIME_SKEW: Duration = minutes(DAY);
/// How far apart parent and child are looked for: further, and every chunk would have to be.
pub const RELATED_AGE: Duration = minutes(7 * DAY);
/// Clocks differ: a child may seem to be that much older than its parent.
pub const RELATED_SKEW: Duration = minutes(60);
/// Events that are ranked by how strongly they are related to one.
pub const RELATED_MAX: i64 = 10_000;

/// Dead letters that one call replays when it names no limit, and at most.
pub const REPLAYS_DEFAULT: usize = 1000;
pub const REPLAYS_MAX: usize = 10_000;
/// Dead letters that are read, and replayed, at once: a few transactions.
pub const REPLAYS_TOGETHER: usize = 100;
/// How long one call begins to replay more: events that are heavy to judge take 0.1 s each.
pub const REPLAYS_TIME: Duration = Duration::from_secs(20);

const _: () = assert!(PAGE_ROWS_DEFAULT <= PAGE_ROWS_MAX && STREAM_PAGE_ROWS <= PAGE_ROWS_MAX);
