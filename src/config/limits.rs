//! `limits.*`: what requests may take, and what follows from it for one tenant and one page.

use crate::limits::{PAGE_BYTES_MAX, TENANT_ANSWERS_SHARE};

/// Bounds on what requests may take.
#[derive(Debug, Clone, Copy)]
pub struct LimitsConfig {
    /// Largest body after decompression, in bytes.
    pub body_bytes: usize,
    /// All request data held at once, in bytes.
    pub memory_bytes: usize,
    /// Of `memory_bytes`, what the requests of one tenant may hold.
    pub tenant_memory_bytes: usize,
    /// Of `memory_bytes`, what answers may hold.
    pub answers_memory_bytes: usize,
    /// Dead letters that one key may cause in a UTC day, on one node, in bytes.
    pub dead_letter_bytes_per_day: u64,
    /// Rows of `asset_metadata` that one tenant may have.
    pub assets_per_tenant: usize,
    /// Series of metrics that one tenant may have within the retention of raw metrics.
    pub series_per_tenant: usize,
    /// Streams of events that one tenant may have.
    pub streams_per_tenant: usize,
    pub connections: usize,
    /// Of them, those of one client address.
    pub connections_per_address: usize,
}

impl LimitsConfig {
    /// Of `answers_memory_bytes`, what the answers of one tenant may hold: its part, and never less than one may take.
    pub fn tenant_answers_bytes(&self) -> usize {
        let part = self.answers_memory_bytes / TENANT_ANSWERS_SHARE;
        part.max(self.body_bytes.saturating_mul(2)).min(self.answers_memory_bytes).min(self.tenant_memory_bytes)
    }

    /// Bytes of rows that a page may take: several of a tenant must fit, and each is held as values and as text.
    pub fn page_bytes(&self) -> usize {
        PAGE_BYTES_MAX.min(self.tenant_answers_bytes() / 4)
    }
}
