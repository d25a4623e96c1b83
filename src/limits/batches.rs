//! Limits of batches that share a transaction, and of the chunks that they are written to.

/// Writers of each kind where nothing is said and the server is elsewhere.
pub const WRITERS: usize = 4;
/// Fewest and most beside an embedded server, one a processor. On two of them two write 283,000 events a second of one tenant,
/// and four 265,000, in smaller COPYs.
pub const WRITERS_EMBEDDED: (usize, usize) = (2, 8);
/// Full batches that may share a transaction while more of them wait than there are writers: a transaction has a price of
/// its own, and senders wait for a writer anyway.
pub const JOINED_BATCHES_MAX: usize = 4;
/// The same in the late lane: rows of history lie in many chunks, and the more of them meet, the fewer segments and
/// transactions they make.
pub const LATE_JOINED_BATCHES_MAX: usize = 32;
/// Most partitions in space of a slice of time.
pub const PARTITIONS_MAX: u32 = 256;
