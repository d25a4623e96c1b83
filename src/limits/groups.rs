//! Limits of consumer groups.

use std::time::Duration;

use super::{KIB, STREAM_LOOK_EVERY};

/// Largest body that is no items, in bytes: settings, acknowledgements.
pub const SMALL_BODY_BYTES_MAX: usize = 256 * KIB;

/// Groups of a tenant.
pub const GROUPS_PER_TENANT_MAX: i64 = 1000;
/// How often it is tried to make one while others are made: of those that are made at once, one at least succeeds.
pub const GROUP_CREATE_TRIES: usize = 50;
/// Longest name of a group, and of a member, in characters; the table's CHECK says the same of groups.
pub const GROUP_NAME_CHARS_MAX: usize = 100;
/// Types of events that a group may name, and their bytes in all.
pub const GROUP_EVENT_TYPES_MAX: usize = 100;
/// See [`GROUP_EVENT_TYPES_MAX`].
pub const GROUP_EVENT_TYPES_BYTES_MAX: usize = 8 * KIB;
/// Events of one answer.
pub const GROUP_EVENTS_MAX: usize = 1000;
/// How long a member has for what it was given, when its group says nothing; and the bounds.
pub const ACK_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// See [`ACK_TIMEOUT_DEFAULT`].
pub const ACK_TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// See [`ACK_TIMEOUT_DEFAULT`].
pub const ACK_TIMEOUT_MAX: Duration = Duration::from_secs(12 * 3600);
/// How often an event is handed out before it is parked, when its group says nothing; and at most.
pub const MAX_DELIVERIES_DEFAULT: i32 = 5;
/// See [`MAX_DELIVERIES_DEFAULT`]; the table's CHECK says the same.
pub const MAX_DELIVERIES_MAX: i32 = 1000;
/// Longest delay that a member may ask for what it gives back.
pub const NACK_DELAY_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest word about why, in characters: of what is given back, and of what is parked.
pub const GROUP_REASON_CHARS_MAX: usize = 1000;
/// A member of an ordered group that is not heard of for so long is gone, even if it has less time for what it was given:
/// it may be waiting for events.
pub const MEMBER_SILENCE_MIN: Duration = Duration::from_secs(5);
/// Members of an ordered group that are there at once; most of them have no slot.
pub const GROUP_MEMBERS_MAX: i64 = 1000;
/// Ranges of a group that are not passed yet: held, given back, or acknowledged before others that are not. Beyond them nothing
/// new is given out.
pub const GROUP_LEASES_MAX: i64 = 10_000;
/// Rows of the log that one claim looks at: its members wait for it.
pub const GROUP_CLAIM_ROWS_MAX: usize = 256;
/// Parked events of a group; one more, and it is paused.
pub const GROUP_PARKED_MAX: i64 = 10_000;
/// Parked events that one call replays or drops.
pub const PARKED_PER_CALL_MAX: usize = 1000;
/// Parts of a log that one answer of an ordered group covers, in offsets: its slots may be far apart.
pub const SLOTS_APART_MAX: i64 = 100_000;
/// Memory that is taken for a group that is listed, and for a parked event: a row of the largest, and its text.
pub const GROUP_LISTED_BYTES: usize = 2 * (GROUP_EVENT_TYPES_BYTES_MAX + 2 * KIB);
/// See [`GROUP_LISTED_BYTES`].
pub const PARKED_LISTED_BYTES: usize = 2 * (PARKED_EVENT_BYTES_MAX + 5 * KIB);
/// Largest event that is listed with others that are parked, in bytes; the whole of a larger one is its dead letter.
pub const PARKED_EVENT_BYTES_MAX: usize = 8 * KIB;
/// Connections for groups of a node; and how many of them a tenant has at once, at most: those of its statements that wait for a
/// consumer's open transaction are not there for others.
pub const GROUP_CONNECTIONS: usize = 8;
/// See [`GROUP_CONNECTIONS`].
pub const GROUP_CONNECTIONS_PER_TENANT: usize = 6;
/// How long a statement waits for one of them.
pub const GROUP_TURN_WAIT: Duration = Duration::from_secs(5);
/// How long a takeover, a reset or a pause waits for a consumer's open transaction.
pub const GROUP_BUSY_AFTER: Duration = Duration::from_millis(500);
/// How long one look goes through events that the group does not want.
pub const GROUP_LOOK_MAX: Duration = Duration::from_secs(5);
/// How often who waits looks for what is there and could not be had: a consumer's own transaction holds it, or others are to
/// acknowledge first. They are told of what others give back, and know when what is out comes back by its time.
pub const GROUP_LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two tries to read what a copy of the database does not have yet, and how long it is tried.
pub const GROUP_COPY_PAUSE: Duration = Duration::from_millis(50);
/// See [`GROUP_COPY_PAUSE`].
pub const GROUP_COPY_WAIT: Duration = Duration::from_secs(2);

/// How often groups are moved on behind what their members acknowledged.
pub const GROUPS_TICK: Duration = Duration::from_millis(200);
/// The database's clock was set back where it shows so much less than has passed; less may be an answer that took its time.
pub const CLOCK_STEP_MIN: Duration = Duration::from_secs(2);
/// How often it is looked at: all leases are, of which there may be a million (2.5 s).
pub const CLOCK_LOOK_EVERY: Duration = Duration::from_secs(15);
/// How often it is counted how far they are.
pub const GROUPS_COUNT_EVERY: Duration = Duration::from_secs(10);
/// Groups of which the metrics tell each by itself.
pub const GROUP_LABELS_MAX: i64 = 1000;
/// How long what belongs to a deleted group is kept.
pub const GROUPS_DELETED_KEPT: Duration = Duration::from_secs(30 * 86_400);

const _: () = assert!(GROUP_CONNECTIONS_PER_TENANT < GROUP_CONNECTIONS);
// Who waits is heard of in time, even if it misses a look.
const _: () = assert!(2 * STREAM_LOOK_EVERY.as_millis() < MEMBER_SILENCE_MIN.as_millis());
const _: () = assert!(4 * (GROUP_REASON_CHARS_MAX + GROUP_NAME_CHARS_MAX) < 5 * KIB);
