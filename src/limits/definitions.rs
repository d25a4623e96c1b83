//! Limits of streams that are defined: their schemas and masks.

use std::time::Duration;

use super::{KIB, MIB};

/// Largest schema, in bytes as it was sent. A body with one is a small body.
pub const SCHEMA_BYTES_MAX: usize = 64 * KIB;
/// How deep a schema is nested at most.
pub const SCHEMA_DEPTH_MAX: usize = 32;
/// Expressions of a schema (`pattern`, `patternProperties`), and bytes of each.
pub const SCHEMA_PATTERNS_MAX: usize = 64;
/// See [`SCHEMA_PATTERNS_MAX`].
pub const SCHEMA_PATTERN_BYTES_MAX: usize = 1024;
/// What one expression may become: its program, and the table that it keeps while it runs, in bytes. It runs in time that
/// grows with the text alone, whatever the expression is.
pub const SCHEMA_PATTERN_COMPILED_BYTES: usize = 256 * KIB;
/// Looks at a payload that judging one event may take: a schema may multiply them by referring to itself. About 100 ms.
pub const SCHEMA_LOOKS_MAX: u64 = 2_000_000;
/// Looks at the payloads of a request that judging all its events may take, for each byte of its body and besides those of one
/// event: about 10,000 for an ordinary event, of which twenty rules take a hundred.
pub const SCHEMA_LOOKS_PER_BYTE: u64 = 32;
/// Looks of a request whose events are judged where they are read, about 1 ms, and those besides for each byte of its body. One
/// that needs more waits for its turn, of which there are so many that workers stay free.
pub const SCHEMA_LIGHT_LOOKS: u64 = 20_000;
/// See [`SCHEMA_LIGHT_LOOKS`].
pub const SCHEMA_LIGHT_LOOKS_PER_BYTE: u64 = 1;
/// Looks that it counts for to go through 1 KiB of text with an expression whose program is small.
pub const SCHEMA_PATTERN_LOOKS: u64 = 1024;
/// The same of a large one: at worst each byte takes it through all of its program.
pub const SCHEMA_LARGE_PATTERN_LOOKS: u64 = 32 * 1024;
/// Text that is gone through in a look: counted, compared or hashed.
pub const SCHEMA_TEXT_BYTES_PER_LOOK: u64 = KIB as u64;
/// Exact arithmetic takes the square of a number's digits, so many of them in a look: 0.1 ms for 3,000 digits. With more digits than
/// `SCHEMA_LONG_NUMBER_DIGITS` numbers are compared digit by digit.
pub const SCHEMA_DIGITS_SQUARED_PER_LOOK: u64 = 5_000;
/// See [`SCHEMA_DIGITS_SQUARED_PER_LOOK`].
pub const SCHEMA_LONG_NUMBER_DIGITS: u64 = 10_000;
/// References of a schema: compiling it goes as deep as they lead.
pub const SCHEMA_REFS_MAX: usize = 256;
/// What compiling a schema may come to beside what is written, in subschemas: those that the compiler compiles again, because
/// `unevaluatedProperties` or `unevaluatedItems` follow references, or documents with an `$id` lead to them in several ways. An
/// ordinary schema has some hundreds.
pub const SCHEMA_EXPANSION_MAX: usize = 10_000;
/// How deep the compiler goes for `unevaluatedProperties` and `unevaluatedItems`, in subschemas that are in each other or refer to
/// each other.
pub const SCHEMA_EXPANSION_DEPTH_MAX: usize = 128;
/// Stack for compiling one, in bytes: about 64 KiB for each of its references. Only what is used of it is memory.
pub const SCHEMA_COMPILE_STACK_BYTES: usize = 32 * MIB;
/// Stack that judging an event may take, in bytes: half of what threads have.
pub const SCHEMA_JUDGE_STACK_BYTES: usize = MIB;
/// How deep comparing two versions goes at most.
pub const SCHEMA_COMPARE_DEPTH_MAX: usize = 128;
/// Steps of comparing two versions of a schema. About 50 ms.
pub const SCHEMA_COMPARE_STEPS: usize = 200_000;
/// Listed values (`enum`) that are looked up in a step.
pub const SCHEMA_VALUES_PER_STEP: usize = 4;
/// Reasons that are told for which a schema is not compatible.
pub const SCHEMA_REASONS_MAX: usize = 20;

/// Events that a schema is tried on, and of those that it refuses how many are listed.
pub const TRIAL_EVENTS_MAX: usize = 10_000;
/// See [`TRIAL_EVENTS_MAX`].
pub const TRIAL_LISTED_MAX: usize = 100;
/// Text of events that a trial holds at once.
pub const TRIAL_TEXT_BYTES: usize = MIB;

/// Streams that an organization may define.
pub const DEFINITIONS_PER_TENANT_MAX: i64 = 1000;
/// Streams that are defined in all: every process knows them. A few hundred bytes each.
pub const DEFINITIONS_MAX: i64 = 200_000;
/// Versions of one stream's schema.
pub const SCHEMA_VERSIONS_MAX: i32 = 10_000;
/// Longest description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 1000;
/// Masks of a stream.
pub const MASKS_MAX: usize = 64;
/// Masks of all streams of an organization by which an item is masked whose stream cannot be told; where there are more it is withheld.
pub const MASKS_OF_ALL_MAX: usize = 256;
/// Steps of masking a body where it is read, about 2 ms, and those besides for each of its bytes: one value that is hashed in 80. One
/// that needs more waits for its turn.
pub const MASK_LIGHT_STEPS: u64 = 1_000_000;
/// See [`MASK_LIGHT_STEPS`].
pub const MASK_LIGHT_STEPS_PER_BYTE: u64 = 12;
/// How many times as large as it was sent a body may become by being masked, and bytes besides: a hash has 49, whatever it stands for.
pub const MASKED_TIMES_MAX: usize = 4;
/// See [`MASKED_TIMES_MAX`].
pub const MASKED_BESIDES_BYTES: usize = 64 * KIB;
/// Longest path of a mask, in segments and in bytes.
pub const MASK_PATH_SEGMENTS_MAX: usize = 16;
/// See [`MASK_PATH_SEGMENTS_MAX`].
pub const MASK_PATH_BYTES_MAX: usize = 512;
/// Shortest secret for masks, in bytes.
pub const MASK_KEY_BYTES_MIN: usize = 16;

/// How long a request waits for a schema that is loaded and compiled: a look at the database, and milliseconds. Then it is safe in
/// the spool.
pub const SCHEMA_LOAD_MAX: Duration = Duration::from_secs(10);
/// Schemas that are compiled at once, and of these of one organization: more than processors, so that a few that take long hold up
/// no others.
pub const SCHEMAS_COMPILED_AT_ONCE: usize = 8;
/// See [`SCHEMAS_COMPILED_AT_ONCE`].
pub const SCHEMAS_COMPILED_OF_TENANT: usize = 4;
/// Compiled schemas that a process keeps, in bytes, about.
pub const SCHEMAS_COMPILED_BYTES: usize = 64 * MIB;
/// How often a process looks whether definitions have changed: what one node changes, another knows so much later.
pub const DEFINITIONS_LOOK_EVERY: Duration = Duration::from_secs(1);
/// Before the next look where one failed, however many wait for one.
pub const DEFINITIONS_LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How old what is known of definitions may be when events are read. Where it is older, as on a node that could not reach the database for
/// a while, they wait for a look.
pub const DEFINITIONS_AGE_MAX: Duration = Duration::from_secs(2);
/// How long they do, at most: then the database is hardly there, and they are read by what is known. What goes to the spool for that is
/// read again before it is written.
pub const DEFINITIONS_WAIT_MAX: Duration = Duration::from_secs(1);
/// For one look.
pub const DEFINITIONS_LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// How often what was counted of violations is written down.
pub const WARNINGS_NOTED_EVERY: Duration = Duration::from_secs(5);
/// Longest pointer that is kept of what breaks a schema, in characters: names in payloads may be long.
pub const SCHEMA_POINTER_CHARS_MAX: usize = 1000;
/// How long a trial judges before others have their turn.
pub const TRIAL_SLICE: Duration = Duration::from_millis(250);
/// How long a trial may take.
pub const TRIAL_TIME_MAX: Duration = Duration::from_secs(60);
