//! Which events of a log a consumer group wants.

use std::collections::BTreeSet;

use super::logged::LoggedEvent;
use super::slots::OrderedBy;

/// Which events of a log are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of these types; empty: of any.
    pub event_types: Vec<String>,
    /// Of these slots; None: of any.
    pub slots: Option<(OrderedBy, Vec<i16>)>,
    /// Offsets of some that are not.
    pub passed_over: BTreeSet<i64>,
}

impl Wanted {
    pub(super) fn are_all(&self) -> bool {
        self.event_types.is_empty() && self.slots.is_none()
    }

    /// Whether an event is, which is of one of the types.
    pub(super) fn takes(&self, event: &LoggedEvent) -> bool {
        let is_of_slot = |(ordered_by, slots): &(OrderedBy, Vec<i16>)| slots.contains(&ordered_by.slot(event));
        !self.passed_over.contains(&event.offset) && self.slots.as_ref().is_none_or(is_of_slot)
    }
}
