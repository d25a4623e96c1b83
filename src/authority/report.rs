//! What a reviewer must know of two schemas.

use serde::Serialize;

use super::compare::{Change, Difference, compare};
use super::contract::broken;
use super::snapshot::Snapshot;
use super::verify::{title, what};

#[derive(Debug, Serialize)]
pub struct Report {
    pub changes: Vec<Changed>,
    /// What of the contract the new one breaks and the old one does not.
    pub breaking: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Changed {
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    pub object: String,
    pub what: String,
}

impl Report {
    /// From the old one to the new one.
    pub fn of(old: &Snapshot, new: &Snapshot) -> Self {
        let before = broken(old);
        let changed = |difference: &Difference| Changed {
            change: match difference.change {
                Change::Missing => "removed",
                Change::Changed => "changed",
                Change::Extra => "added",
            },
            object: title(difference),
            what: what(difference),
        };
        Self {
            changes: compare(old, new).iter().map(changed).collect(),
            breaking: broken(new).into_iter().filter(|line| !before.contains(line)).collect(),
        }
    }
}
