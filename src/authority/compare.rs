//! What one snapshot has that another has not.

use std::collections::BTreeSet;

use serde::Serialize;

use super::snapshot::{Facts, Key, Part, Snapshot, fact};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    Missing,
    Changed,
    Extra,
}

#[derive(Debug, Clone)]
pub struct Difference {
    pub key: Key,
    pub change: Change,
    /// What the first snapshot has of it; nothing of what is extra.
    pub expected: Facts,
    /// What the second one has; nothing of what is missing.
    pub found: Facts,
}

/// What is missing in `found`, is other there, or is there besides. An object that is missing or extra is one difference,
/// whatever its parts are.
pub fn compare(expected: &Snapshot, found: &Snapshot) -> Vec<Difference> {
    let keys: BTreeSet<&Key> = expected.items.keys().chain(found.items.keys()).collect();
    let all = keys.into_iter().filter_map(|key| difference(key, expected, found));
    let mut all: Vec<Difference> = all.collect();
    let went_with_it: Vec<bool> = all.iter().map(|one| goes_with_another(one, &all, expected, found)).collect();
    let mut went_with_it = went_with_it.into_iter();
    all.retain(|_| !went_with_it.next().unwrap_or_default());
    all
}

fn difference(key: &Key, expected: &Snapshot, found: &Snapshot) -> Option<Difference> {
    let (wanted, there) = (expected.items.get(key), found.items.get(key));
    let change = match (wanted, there) {
        (Some(wanted), Some(there)) if wanted == there => return None,
        (Some(_), Some(_)) => Change::Changed,
        (Some(_), None) => Change::Missing,
        (None, _) => Change::Extra,
    };
    let of = |facts: Option<&Facts>| facts.cloned().unwrap_or_default();
    Some(Difference { key: key.clone(), change, expected: of(wanted), found: of(there) })
}

/// Whether it is told with the object that it is of.
fn goes_with_another(one: &Difference, all: &[Difference], expected: &Snapshot, found: &Snapshot) -> bool {
    let of_block = |change: Change, part: Option<Part>| {
        all.iter().any(|other| {
            other.key.block == one.key.block
                && other.key.part.is_object()
                && other.change == change
                && part.is_none_or(|part| part == other.key.part)
        })
    };
    let key = &one.key;
    if !key.part.is_object() {
        if of_block(Change::Missing, None) || of_block(Change::Extra, None) {
            return true;
        }
        // A view is replaced with its columns.
        return key.part == Part::Column
            && (of_block(Change::Changed, Some(Part::View)) || of_block(Change::Changed, Some(Part::Aggregate)));
    }
    // What took the place of another kind of object goes with it.
    if one.change == Change::Extra && expected.object(&key.block).is_some() {
        return true;
    }
    // A sequence is made with the column that counts by it.
    let column = fact(&one.expected, "of").filter(|_| key.part == Part::Sequence).and_then(|of| of.rsplit_once('.'));
    column.is_some_and(|(table, column)| {
        let table = table.trim_start_matches("tidegate.");
        let counts = |of: &Snapshot| {
            of.facts(table, Part::Column, column).is_some_and(|facts| fact(facts, "identity").is_some())
        };
        one.change == Change::Missing && counts(expected) && !counts(found)
    })
}

impl Difference {
    /// Whether it changes what Tidegate or its readers rely on. What is there besides does where it refuses or changes rows, or lets
    /// others do something; an index, a column or a table of an operator's own lies beside.
    pub fn is_drift(&self, is_view: bool) -> bool {
        if self.change != Change::Extra {
            return true;
        }
        let has = |name: &str| fact(&self.found, name).is_some();
        match self.key.part {
            Part::Grant
            | Part::DefaultGrant
            | Part::PartitionGrant
            | Part::Policy
            | Part::Trigger
            | Part::Rule
            | Part::Constraint
            | Part::Job
            | Part::Columnstore
            | Part::Dimension => true,
            Part::Index => fact(&self.found, "definition").is_some_and(|text| text.starts_with("CREATE UNIQUE")),
            Part::Column => {
                is_view
                    || fact(&self.found, "null") == Some("no")
                        && !has("default")
                        && !has("identity")
                        && !has("generated")
            }
            Part::Option => is_view,
            Part::Schema
            | Part::Type
            | Part::Sequence
            | Part::Table
            | Part::Foreign
            | Part::Function
            | Part::Procedure
            | Part::AggregateFunction
            | Part::Aggregate
            | Part::View
            | Part::Materialized => false,
        }
    }

    /// The facts that differ: name, expected, found.
    pub fn facts(&self) -> Vec<(&str, Option<&str>, Option<&str>)> {
        let names: BTreeSet<&str> = self.expected.iter().chain(&self.found).map(|(name, _)| name.as_str()).collect();
        let both = names.into_iter().map(|name| (name, fact(&self.expected, name), fact(&self.found, name)));
        both.filter(|(_, expected, found)| expected != found).collect()
    }
}
