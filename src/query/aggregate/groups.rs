//! What series are grouped by, and the groups that there are.

use std::sync::Arc;

use serde_json::value::RawValue;
use tokio_postgres::Row;

use super::lines::GroupKey;
use crate::query::error::ReadError;
use crate::query::series::Sets;

/// What series are grouped by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupBy {
    /// A column that all series have.
    Column(&'static str),
    Dimension {
        name: String,
        /// As it was asked for.
        shown: String,
    },
}

impl GroupBy {
    const COLUMNS: [&'static str; 3] = ["asset_id", "metric_name", "metric_type"];

    /// A column's name means the column; `dim.` in front means a dimension, whatever its name.
    pub fn parse(text: &str) -> Self {
        match Self::COLUMNS.into_iter().find(|column| *column == text) {
            Some(column) => Self::Column(column),
            None => {
                Self::Dimension { name: text.strip_prefix("dim.").unwrap_or(text).to_owned(), shown: text.to_owned() }
            }
        }
    }

    /// The dimension's name, if it is one.
    pub fn dimension(&self) -> Option<&str> {
        match self {
            Self::Column(_) => None,
            Self::Dimension { name, .. } => Some(name),
        }
    }

    /// The column, if it is one.
    pub fn column(&self) -> Option<&'static str> {
        match self {
            Self::Column(column) => Some(column),
            Self::Dimension { .. } => None,
        }
    }

    fn shown(&self) -> &str {
        match self {
            Self::Column(column) => column,
            Self::Dimension { shown, .. } => shown,
        }
    }
}

/// The groups of dimensions, in the order of their values.
pub struct Groups {
    /// The first one has none of the dimensions. Empty: nothing is grouped by dimensions.
    keys: Vec<GroupKey>,
    /// Of each set.
    pub numbers: Vec<i32>,
}

impl Groups {
    pub fn of(sets: Option<&Sets>, names: usize) -> Self {
        let Some(sets) = sets else { return Self { keys: Vec::new(), numbers: Vec::new() } };
        let mut keys: Vec<GroupKey> = sets.values.clone();
        keys.push(vec![None; names]);
        keys.sort_unstable();
        keys.dedup();
        let number = |key: &GroupKey| {
            let index = keys.binary_search(key).expect("all of them are there");
            i32::try_from(index).expect("there are few sets")
        };
        Self { numbers: sets.values.iter().map(number).collect(), keys }
    }

    /// The key of a row's group, which is grouped by these.
    pub fn key(&self, group_by: &[GroupBy], row: &Row) -> Result<GroupKey, ReadError> {
        let number: i32 = if self.keys.is_empty() { 0 } else { row.try_get("dims")? };
        let key = usize::try_from(number).ok().and_then(|number| self.keys.get(number));
        let mut dimensions = key.into_iter().flatten();
        let value = |by: &GroupBy| match by {
            GroupBy::Column(column) => {
                let text: &str = row.try_get(column)?;
                Ok(Some(serde_json::to_string(text).expect("text is JSON")))
            }
            GroupBy::Dimension { .. } => Ok(dimensions.next().cloned().flatten()),
        };
        group_by.iter().map(value).collect()
    }
}

/// A group's name as a JSON object.
pub fn name(group_by: &[GroupBy], key: &GroupKey) -> Arc<RawValue> {
    let member = |(by, value): (&GroupBy, &Option<String>)| {
        let name = serde_json::to_string(by.shown()).expect("text is JSON");
        format!("{name}:{}", value.as_deref().unwrap_or("null"))
    };
    let members: Vec<String> = group_by.iter().zip(key).map(member).collect();
    RawValue::from_string(format!("{{{}}}", members.join(","))).expect("put together of JSON").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_equal_values_are_one_group() {
        let some = |text: &str| Some(text.to_owned());
        let values =
            vec![vec![some("\"eu\""), None], vec![None, None], vec![some("\"eu\""), None], vec![some("1"), some("2")]];
        let groups = Groups::of(Some(&Sets { ids: Vec::new(), values }), 2);
        assert_eq!(groups.numbers, [1, 0, 1, 2]);
        assert_eq!(groups.keys[0], [None, None]);
        assert!(Groups::of(None, 0).keys.is_empty());
    }

    #[test]
    fn a_group_is_called_as_it_was_asked_for() {
        assert_eq!(GroupBy::parse("asset_id"), GroupBy::Column("asset_id"));
        let named = |text: &str, name: &str| GroupBy::Dimension { name: name.into(), shown: text.into() };
        assert_eq!(GroupBy::parse("region"), named("region", "region"));
        assert_eq!(GroupBy::parse("dim.asset_id"), named("dim.asset_id", "asset_id"));
        assert_eq!(GroupBy::parse("dim.dim.x"), named("dim.dim.x", "dim.x"));
    }
}
