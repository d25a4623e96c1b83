//! The one shape of a projection.

use super::change::Change;
use super::event::{Told, Unfit};
use super::table::Table;

/// A type of events that a projection takes.
#[derive(Debug, Clone, Copy)]
pub struct EventType {
    pub name: &'static str,
    /// See [`super::Origin::rank`].
    pub rank: u8,
}

pub const fn event_type(name: &'static str, rank: u8) -> EventType {
    EventType { name, rank }
}

pub struct Projection {
    pub name: &'static str,
    pub types: &'static [EventType],
    /// In the order in which they are written.
    pub tables: &'static [&'static Table],
    /// What an event of one of these types says of which rows.
    pub changes: fn(&Told<'_>) -> Result<Vec<Change>, Unfit>,
}

impl Projection {
    pub fn event_type(&self, name: &str) -> Option<&EventType> {
        self.types.iter().find(|event_type| event_type.name == name)
    }

    pub fn type_names(&self) -> Vec<&'static str> {
        self.types.iter().map(|event_type| event_type.name).collect()
    }
}
