//! People: passwords, sessions, attempts to sign in.

use std::time::Duration;

use super::{MIB, minutes};

/// Longest e-mail address, in bytes (RFC 5321: a path has 256, its brackets two of them).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Users of one organization, deactivated ones too.
pub const USERS_PER_ORGANIZATION_MAX: i64 = 1000;

/// Shortest password, in characters: length is what makes one hard to guess (NIST SP 800-63B asks for 15 where it is all there is,
/// and for 8 at least).
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Longest password, in characters.
pub const PASSWORD_CHARS_MAX: usize = 1024;
/// Memory of one hash, in KiB: what OWASP recommends for Argon2id with two passes.
pub const PASSWORD_HASH_KIB: u32 = 19 * 1024;
/// Passes of one hash.
pub const PASSWORD_HASH_PASSES: u32 = 2;
/// Lanes of one hash.
pub const PASSWORD_HASH_LANES: u32 = 1;
/// Hashes that are computed at once: their memory is not of `limits.memory_bytes`, and signing in must not take all processors.
pub const PASSWORD_HASHES_AT_ONCE: usize = 2;
/// Those that wait for a turn at most: at 50 ms each, a second or so.
pub const PASSWORD_HASHES_WAITING_MAX: usize = 32;

/// How long a session lives, however much it is used.
pub const SESSION_LIFE: Duration = minutes(12 * 60);
/// How long it lives without a request.
pub const SESSION_IDLE: Duration = minutes(2 * 60);
/// Sessions of a user that are good at once; the next one ends the oldest.
pub const SESSIONS_PER_USER_MAX: i64 = 20;
/// Sessions of a user that are kept to be listed, those that are over too.
pub const SESSIONS_KEPT_PER_USER: i64 = 100;
/// How long a session is listed after its end.
pub const SESSIONS_KEPT: Duration = minutes(30 * 24 * 60);
/// Longest `User-Agent` that is kept of a session, in characters.
pub const USER_AGENT_CHARS_MAX: usize = 500;

/// Sessions that a process remembers: of those who wait for a second each, of others that they were good.
pub const SESSIONS_WATCHED_MAX: usize = 10_000;

/// For how long an attempt to sign in that failed counts.
pub const SIGN_IN_WINDOW: Duration = minutes(15);
/// Attempts that may fail for one account from one address: a person who has forgotten a password, and no guessing.
pub const SIGN_IN_FAILURES_PER_PAIR: i64 = 5;
/// Those from one address, for whichever accounts.
pub const SIGN_IN_FAILURES_PER_ADDRESS: i64 = 20;
/// Those for one account, from whichever addresses: 4,800 a day at most. Not asked of addresses from which the account has
/// signed in lately, so that others cannot lock its holder out.
pub const SIGN_IN_FAILURES_PER_ACCOUNT: i64 = 50;
/// How long an address is known from which an account has signed in.
pub const SIGN_IN_PLACE_KNOWN: Duration = minutes(30 * 24 * 60);
/// Rows that attempts take; past it the oldest are forgotten.
pub const SIGN_IN_ATTEMPTS_MAX: i64 = 100_000;
/// Failures of an account in the window that are noted in the audit log.
pub const SIGN_IN_FAILURES_NOTED: i64 = 10;
/// For the database to do what administration asks.
pub const ADMINISTRATION_TIMEOUT: Duration = Duration::from_secs(10);

const _: () = assert!(PASSWORD_HASHES_AT_ONCE * PASSWORD_HASH_KIB as usize * 1024 <= 40 * MIB);
const _: () = assert!(SIGN_IN_FAILURES_PER_PAIR < SIGN_IN_FAILURES_PER_ADDRESS);
const _: () = assert!(SIGN_IN_FAILURES_PER_ADDRESS < SIGN_IN_FAILURES_PER_ACCOUNT);
const _: () = assert!(SESSION_IDLE.as_secs() < SESSION_LIFE.as_secs());
const _: () = assert!(SESSIONS_PER_USER_MAX <= SESSIONS_KEPT_PER_USER);
