//! What a request holds: everything about ingestion that differs between events and metrics is asked of this.

use crate::wire::{event, metric};

/// The kind of a request's items. All requests of a batch are of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Events,
    /// Samples of metrics, and summaries.
    Metrics,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Events, Self::Metrics];

    /// Its route, as kept with dead letters, in the ledger and in the spool.
    pub const fn route(self) -> &'static str {
        match self {
            Self::Events => "/v1/events",
            Self::Metrics => "/v1/metrics",
        }
    }

    /// The kind of a route.
    pub fn of_route(route: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.route() == route)
    }

    /// Its table, which is also its name in the database.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Metrics => "metrics",
        }
    }

    /// The columns of its COPY tuples.
    pub const fn copy_columns(self) -> &'static str {
        match self {
            Self::Events => event::pgcopy::COPY_COLUMNS,
            Self::Metrics => metric::COPY_COLUMNS,
        }
    }

    /// How long before its rows expire an item is no longer taken, in microseconds. A sample's day: the day's bucket of the
    /// rollups is made from all of its rows or not at all.
    pub const fn margin_us(self) -> i64 {
        match self {
            Self::Events => 0,
            Self::Metrics => 86_400_000_000,
        }
    }

    /// What the advisory locks of its chunks are called; of events as in every version before.
    pub const fn chunk_lock(self) -> &'static str {
        match self {
            Self::Events => "tidegate.chunk.",
            Self::Metrics => "tidegate.chunk.metrics.",
        }
    }
}

/// Something of each kind.
#[derive(Debug, Default)]
pub struct PerKind<T> {
    events: T,
    metrics: T,
}

impl<T> PerKind<T> {
    pub fn new(mut make: impl FnMut(Kind) -> T) -> Self {
        Self { events: make(Kind::Events), metrics: make(Kind::Metrics) }
    }

    pub fn of(&self, kind: Kind) -> &T {
        match kind {
            Kind::Events => &self.events,
            Kind::Metrics => &self.metrics,
        }
    }

    /// Both, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.events, &self.metrics].into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_names_its_kind() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of_route(kind.route()), Some(kind));
        }
        assert_eq!(Kind::of_route("/v1/event"), None);
    }
}
