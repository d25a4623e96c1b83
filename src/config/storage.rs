//! Which engine stores events, how it lays them out, and how many write.

use crate::limits::{WRITERS, WRITERS_EMBEDDED};

/// `engine`: what the operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineChoice {
    /// Look at the server and choose.
    Auto,
    /// TimescaleDB Community or refuse to start.
    Timescale,
    /// Native partitions, whatever the server has.
    Postgres,
    /// Native partitions, spread over the workers of Citus.
    Citus,
}

impl EngineChoice {
    /// Every one under its name.
    pub const ALL: [(&str, Self); 4] =
        [("auto", Self::Auto), ("timescale", Self::Timescale), ("postgres", Self::Postgres), ("citus", Self::Citus)];
}

/// `storage_profile`: how events are laid out on the timescale engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageProfile {
    /// Direct-compress COPY into the columnstore; no unique index.
    Columnstore,
    /// Row chunks with the seed's b-trees and a unique index on (tenant_id, id, timestamp).
    Rowstore,
}

impl StorageProfile {
    /// Every one under its name.
    pub const ALL: [(&str, Self); 2] = [("columnstore", Self::Columnstore), ("rowstore", Self::Rowstore)];
    pub const HELP: &str = "columnstore | rowstore (timescale engine)";
}

/// How many write where nothing is said. An embedded server has the same processors as this process: more transactions than these
/// only take turns, and each joins fewer batches.
pub(super) fn writers(embedded: bool) -> usize {
    if !embedded {
        return WRITERS;
    }
    let processors = std::thread::available_parallelism().map_or(WRITERS, usize::from);
    processors.clamp(WRITERS_EMBEDDED.0, WRITERS_EMBEDDED.1)
}
