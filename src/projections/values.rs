//! The values of a row, by column.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::timestamp::parse_rfc3339;

/// Values as JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values(BTreeMap<String, Box<RawValue>>);

impl Values {
    /// None where it is null.
    pub fn get(&self, column: &str) -> Option<&RawValue> {
        self.0.get(column).map(|value| &**value).filter(|value| value.get() != "null")
    }

    /// A value that is a time, in unix microseconds.
    pub fn time(&self, column: &str) -> Option<i64> {
        let text: String = serde_json::from_str(self.get(column)?.get()).ok()?;
        parse_rfc3339(&text)
    }

    pub fn set(&mut self, column: &str, value: Box<RawValue>) {
        self.0.insert(column.to_owned(), value);
    }

    /// Sets a column that was never set, not even to null.
    pub fn begin(&mut self, column: &str, value: &RawValue) {
        self.0.entry(column.to_owned()).or_insert_with(|| value.to_owned());
    }

    pub fn remove(&mut self, column: &str) {
        self.0.remove(column);
    }
}
