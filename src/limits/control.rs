//! Limits of administration.

use std::time::Duration;

/// Keys of an organization that work, or were made within a day, beside those that operators and commands make.
pub const KEYS_PER_ORGANIZATION_MAX: i64 = 1000;

/// Characters of a key's label.
pub const KEY_LABEL_CHARS_MAX: usize = 200;

/// Administrative requests that have one of the owner's connections at once: jobs need the others.
pub const ADMINISTRATIONS_TOGETHER: usize = 4;
/// How long one waits for its turn.
pub const ADMINISTRATION_PATIENCE: Duration = Duration::from_secs(5);

/// How long a key still works that is rotated, when nobody says it; and at most.
pub const ROTATION_GRACE_DEFAULT: Duration = Duration::from_secs(24 * 3600);
pub const ROTATION_GRACE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Keys of whose use a node keeps note until it tells the database; of others it does not know.
pub const KEY_USES_MAX: usize = 10_000;
/// How often it tells the database.
pub const KEY_USES_NOTED_EVERY: Duration = Duration::from_secs(30);

/// What was asked for is noted of an act as long as it is no longer, in bytes; else what it named.
pub const NOTED_BYTES_MAX: usize = 8 * 1024;
/// How long an act that was done is tried to be noted, and how long its answer waits for that.
pub const NOTED_WITHIN: Duration = Duration::from_secs(60);
pub const NOTED_PATIENCE: Duration = Duration::from_secs(5);
