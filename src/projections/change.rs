//! What an event says of one row.

use serde_json::value::RawValue;

use super::event::{Told, Unfit};
use super::fields::{Field, quoted, time};
use super::table::Table;

/// What is said of one column.
#[derive(Debug, Clone)]
pub struct Said {
    pub column: &'static str,
    /// As JSON.
    pub value: Box<RawValue>,
    /// Only where no event says it for itself: a default.
    pub is_weak: bool,
}

pub struct Change {
    pub table: &'static Table,
    /// Of the row, see [`Table::key_of`].
    pub key: String,
    /// What a new row has beside it.
    pub identity: Vec<(&'static str, Box<RawValue>)>,
    pub said: Vec<Said>,
}

impl Change {
    /// Nothing but that there is such a row.
    pub fn of(table: &'static Table, tenant_id: &str, names: &[&str]) -> Self {
        Self { table, key: table.key_of(tenant_id, names), identity: Vec::new(), said: Vec::new() }
    }

    pub fn identified(mut self, column: &'static str, value: Box<RawValue>) -> Self {
        self.identity.push((column, value));
        self
    }

    pub fn set(&mut self, column: &'static str, value: Box<RawValue>) -> &mut Self {
        self.said.push(Said { column, value, is_weak: false });
        self
    }

    pub fn set_text(&mut self, column: &'static str, text: &str) -> &mut Self {
        self.set(column, quoted(text))
    }

    pub fn set_null(&mut self, column: &'static str) -> &mut Self {
        self.set(column, RawValue::NULL.to_owned())
    }

    /// Holds where no event says something of the column for itself.
    pub fn set_default(&mut self, column: &'static str, value: Box<RawValue>) -> &mut Self {
        self.said.push(Said { column, value, is_weak: true });
        self
    }

    /// What the payload says, by these fields.
    pub fn set_fields(&mut self, told: &Told<'_>, fields: &[Field]) -> Result<&mut Self, Unfit> {
        for field in fields {
            if let Some(value) = field.read(&told.payload)? {
                self.set(field.column, value);
            }
        }
        Ok(self)
    }

    /// A time of the payload, by default the event's own.
    pub fn set_time(&mut self, told: &Told<'_>, field: &Field) -> Result<&mut Self, Unfit> {
        let named = field.read(&told.payload)?.filter(|value| value.get() != "null");
        let value = named.unwrap_or_else(|| time(told.at_us));
        Ok(self.set(field.column, value))
    }
}
