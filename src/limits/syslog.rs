//! Limits of syslog.

use std::time::Duration;

use super::{KIB, MIB};

/// Longest message; what is behind it is cut off. (RFC 5424 asks for 2 KiB, rsyslog takes 8.)
pub const SYSLOG_MESSAGE_BYTES_MAX: usize = 64 * KIB;
/// Messages that a connection gathers into one request.
pub const SYSLOG_BATCH_MESSAGES_MAX: usize = 1000;
/// Bytes of them, taken of the tenant's memory with the first: a message more may stand behind.
pub const SYSLOG_BATCH_BYTES: usize = 256 * KIB;
/// How long the first message of a request waits for others.
pub const SYSLOG_LINGER: Duration = Duration::from_millis(100);
/// Open connections. Each holds two messages at most that are not counted as a tenant's memory.
pub const SYSLOG_CONNECTIONS_MAX: usize = 1024;
/// Requests of datagrams that wait for the one before; what comes when they are full is dropped, and counted.
pub const SYSLOG_DATAGRAM_BATCHES_MAX: usize = 16;
/// The socket's buffer for datagrams that are not read yet; the kernel may give less.
pub const SYSLOG_DATAGRAM_BUFFER_BYTES: usize = 8 * MIB;
/// Before messages are offered again that were refused since their key is not good: somebody may mend that.
pub const SYSLOG_KEY_PAUSE: Duration = Duration::from_secs(10);

const _: () = assert!(SYSLOG_MESSAGE_BYTES_MAX <= SYSLOG_BATCH_BYTES);
