//! Projections: what events of known types tell, as rows of inferred tables. Pure: from an event to changes of rows, and from
//! changes to rows, whatever order the events come in. One file a projection.
//!
//! Of what several events say of one column of a row the latest is believed, by the events' own times; each row keeps which
//! event said what (`told_by`). So late, repeated and shuffled events give the same rows, and what is computed again from all
//! events is what was computed as they came.

mod actions;
mod assets;
mod change;
mod deployments;
mod event;
mod fields;
mod projection;
mod row;
mod services;
mod table;
mod values;

pub use change::Change;
pub use event::{Origin, Told, UNFIT_CODES, Unfit};
pub use projection::{EventType, Projection};
pub use row::Row;
pub use table::{Column, Key, Table};

/// All projections; each one's place here is its bit in the log of batches, and never changes.
pub const ALL: &[Projection] =
    &[services::PROJECTION, deployments::PROJECTION, assets::PROJECTION, actions::PROJECTION];

/// What the types of all projections begin with: most events are of none, and are told so by a look at their first letters.
const PREFIXES: &[&str] = &["action.", "asset.", "deployment.", "service."];

/// The projections that an event of this type concerns, a bit each.
pub fn concerns(event_type: &str) -> i32 {
    if !PREFIXES.iter().any(|prefix| event_type.starts_with(prefix)) {
        return 0;
    }
    let wanting = ALL.iter().enumerate().filter(|(_, projection)| projection.event_type(event_type).is_some());
    wanting.map(|(bit, _)| 1 << bit).sum()
}

/// The projection of this name, and its bit.
pub fn named(name: &str) -> Option<(&'static Projection, i32)> {
    ALL.iter()
        .enumerate()
        .find(|(_, projection)| projection.name == name)
        .map(|(bit, projection)| (projection, 1 << bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_by_how_they_begin() {
        for (bit, projection) in ALL.iter().enumerate() {
            for event_type in projection.types {
                assert!(PREFIXES.iter().any(|prefix| event_type.name.starts_with(prefix)), "{}", event_type.name);
                assert_ne!(concerns(event_type.name) & (1 << bit), 0, "{}", event_type.name);
            }
        }
        assert_eq!(concerns("deployment.started"), 0b11);
        assert_eq!([concerns("deployment.begun"), concerns("log.e25"), concerns(""), concerns("asset.")], [0; 4]);
    }

    #[test]
    fn a_table_is_one_projections() {
        let mut tables: Vec<&str> = ALL.iter().flat_map(|one| one.tables).map(|table| table.name).collect();
        let all = tables.len();
        tables.sort_unstable();
        tables.dedup();
        assert_eq!(tables.len(), all);
        assert!(ALL.len() <= 31, "a bit each, of an integer");
    }
}
