//! What is in a database, in numbers that a restored one is compared by.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tokio_postgres::GenericClient;

use crate::storage::StorageError;

const CONTENTS_SQL: &str = include_str!("../../sql/queries/backup_contents.sql");

/// Numbers by what they are of (events, metrics, ledger, log, group), organization, and day, stream or group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Contents(BTreeMap<String, BTreeMap<String, BTreeMap<String, i64>>>);

/// A number that is not between what it was before and after the backup.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub what: String,
    pub tenant: String,
    /// A UTC day, a stream, or a stream and a group.
    pub item: String,
    pub least: i64,
    pub most: i64,
    pub found: i64,
}

impl Contents {
    /// Counts what there is, by the connection of an owner.
    pub async fn of(client: &impl GenericClient) -> Result<Self, StorageError> {
        let mut contents = Self::default();
        for row in client.query(CONTENTS_SQL, &[]).await? {
            let (what, tenant, item) = (row.get(0), row.get(1), row.get(2));
            contents.set(what, tenant, item, row.get(3));
        }
        Ok(contents)
    }

    fn set(&mut self, what: String, tenant: String, item: String, number: i64) {
        self.0.entry(what).or_default().entry(tenant).or_default().insert(item, number);
    }

    fn get(&self, what: &str, tenant: &str, item: &str) -> i64 {
        self.0.get(what).and_then(|of| of.get(tenant)).and_then(|of| of.get(item)).copied().unwrap_or(0)
    }

    /// Everything of one kind, added up.
    pub fn sum(&self, what: &str) -> i64 {
        self.0.get(what).into_iter().flatten().flat_map(|(_tenant, items)| items.values()).sum()
    }

    fn names(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.0.iter().flat_map(|(what, tenants)| {
            tenants.iter().flat_map(move |(tenant, items)| {
                items.keys().map(move |item| (what.as_str(), tenant.as_str(), item.as_str()))
            })
        })
    }
}

/// What of `found` cannot have been the state of a moment between the two.
pub fn differences(before: &Contents, after: &Contents, found: &Contents) -> Vec<Difference> {
    let names: BTreeSet<_> = [before, after, found].into_iter().flat_map(Contents::names).collect();
    let look = |(what, tenant, item): (&str, &str, &str)| {
        let of = |contents: &Contents| contents.get(what, tenant, item);
        let (one, other, found) = (of(before), of(after), of(found));
        let (least, most) = (one.min(other), one.max(other));
        (found < least || found > most).then(|| Difference {
            what: what.to_owned(),
            tenant: tenant.to_owned(),
            item: item.to_owned(),
            least,
            most,
            found,
        })
    };
    names.into_iter().filter_map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(numbers: &[(&str, i64)]) -> Contents {
        let mut contents = Contents::default();
        for (item, number) in numbers {
            contents.set("events".into(), "default".into(), (*item).to_owned(), *number);
        }
        contents
    }

    #[test]
    fn a_moment_lies_between_two() {
        let (before, after) = (contents(&[("mon", 5), ("tue", 1)]), contents(&[("tue", 4), ("wed", 2)]));
        let differ = |found: &[(&str, i64)]| differences(&before, &after, &contents(found));
        assert_eq!(differ(&[("mon", 5), ("tue", 1)]), []);
        assert_eq!(differ(&[("tue", 3), ("wed", 1)]), []);
        let wrong = differ(&[("mon", 6), ("tue", 0), ("thu", 1)]);
        let told: Vec<_> = wrong.iter().map(|d| (d.item.as_str(), d.least, d.most, d.found)).collect();
        assert_eq!(told, [("mon", 0, 5, 6), ("thu", 0, 0, 1), ("tue", 1, 4, 0)]);
    }

    #[test]
    fn a_sum_is_of_all_organizations() {
        let mut all = contents(&[("mon", 5), ("tue", 1)]);
        all.set("events".into(), "other".into(), "mon".into(), 2);
        assert_eq!((all.sum("events"), all.sum("metrics")), (8, 0));
    }
}
