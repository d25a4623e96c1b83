//! The parts into which an ordered group divides a stream: all events of one key are of one slot.

use sha2::{Digest, Sha256};

use super::logged::Logged;

/// How many there are: an ordered group has as many members at work, at most.
pub const SLOTS: i16 = 64;

/// The column whose values are each read in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderedBy {
    AssetId,
    CorrelationId,
    SourceModule,
}

impl OrderedBy {
    pub const ALL: [Self; 3] = [Self::AssetId, Self::CorrelationId, Self::SourceModule];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AssetId => "asset_id",
            Self::CorrelationId => "correlation_id",
            Self::SourceModule => "source_module",
        }
    }

    /// By the first byte of the SHA-256 of its key. Where an event has no key there is no order to keep, and its id spreads it.
    pub fn slot(self, event: &Logged) -> i16 {
        let key = match self {
            Self::AssetId => event.asset_id.clone(),
            Self::CorrelationId => event.correlation_id.map(|id| id.to_string()),
            Self::SourceModule => Some(event.source_module.clone()),
        };
        slot(&key.unwrap_or_else(|| event.id.to_string()))
    }
}

fn slot(key: &str) -> i16 {
    i16::from(Sha256::digest(key)[0]) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spread() {
        let mut found = [0; SLOTS as usize];
        for n in 0..6400 {
            found[usize::try_from(slot(&format!("asset-{n}"))).expect("a slot")] += 1;
        }
        assert!(found.iter().all(|keys| (50..200).contains(keys)), "{found:?}");
        // The first byte of its SHA-256. Where a group is does not outlive another hash.
        assert_eq!(slot("a"), 0xca & 63);
    }
}
