//! The kinds of items, and the facts by which ingestion tells them apart.

use super::listed::listed;
use crate::wire::{event, metric};

listed! {
    /// The kind of a request's items. All requests of a batch are of one kind.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Kind {
        Events,
        /// Samples of metrics, and summaries.
        Metrics,
    }
}

struct Facts {
    table: &'static str,
    copy_columns: &'static str,
    space: &'static str,
    margin_us: i64,
}

const EVENTS: Facts = Facts { table: "events", copy_columns: event::COPY_COLUMNS, space: "tenant_id", margin_us: 0 };

const METRICS: Facts = Facts {
    table: "metrics",
    copy_columns: metric::COPY_COLUMNS,
    space: "asset_id",
    // The day's bucket of the rollups is made from all of its rows or not at all.
    margin_us: 86_400_000_000,
};

impl Kind {
    const fn facts(self) -> &'static Facts {
        match self {
            Self::Events => &EVENTS,
            Self::Metrics => &METRICS,
        }
    }

    /// Its table, which is also its name in the database and in the spool.
    pub const fn table(self) -> &'static str {
        self.facts().table
    }

    /// The columns of its COPY tuples.
    pub const fn copy_columns(self) -> &'static str {
        self.facts().copy_columns
    }

    /// The column by whose hash a slice of time is cut into partitions, where chunks are cut in space.
    pub const fn space(self) -> &'static str {
        self.facts().space
    }

    /// How long before its rows expire an item is no longer taken, in microseconds.
    pub const fn margin_us(self) -> i64 {
        self.facts().margin_us
    }
}

#[derive(Debug, Clone, Default)]
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

    pub fn of_mut(&mut self, kind: Kind) -> &mut T {
        match kind {
            Kind::Events => &mut self.events,
            Kind::Metrics => &mut self.metrics,
        }
    }

    /// Both, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.events, &self.metrics].into_iter()
    }
}
