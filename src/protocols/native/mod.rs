//! Tidegate's own protocol: JSON and NDJSON in Tidegate's own fields, receipts and problem documents out.

mod options;
mod protocol;
mod receipt;

pub use options::{idempotency_key, options};
pub use protocol::Native;
pub use receipt::answer;
