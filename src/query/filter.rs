//! Filters over events: field names from an allow-list, values as bound parameters.

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::windows::Window;

/// A text column that events can be filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `asset_id`
    AssetId,
    /// `event_type`
    EventType,
    /// `severity`
    Severity,
    /// `source_module`
    SourceModule,
    /// `environment`
    Environment,
    /// `stream`
    Stream,
    /// `trace_id`
    TraceId,
}

impl Field {
    pub const ALL: [Self; 7] = [
        Self::AssetId,
        Self::EventType,
        Self::Severity,
        Self::SourceModule,
        Self::Environment,
        Self::Stream,
        Self::TraceId,
    ];

    /// The column, and the query parameter of the same name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AssetId => "asset_id",
            Self::EventType => "event_type",
            Self::Severity => "severity",
            Self::SourceModule => "source_module",
            Self::Environment => "environment",
            Self::Stream => "stream",
            Self::TraceId => "trace_id",
        }
    }
}

/// Which events a read is about.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Oldest timestamp, inclusive.
    pub from: Option<Timestamp>,
    /// Newest timestamp, exclusive.
    pub to: Option<Timestamp>,
    /// Any of these values, for each field named.
    pub fields: Vec<(Field, Vec<String>)>,
    /// Any of these correlation ids.
    pub correlation_ids: Vec<Uuid>,
    /// The payload contains this JSON object, as text.
    pub payload: Option<String>,
}

/// A query's text and parameters while it is put together.
pub struct Sql {
    pub text: String,
    parameters: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Sql {
    /// Starts with a text.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), parameters: Vec::new() }
    }

    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a parameter: `$n` in the text, the value bound.
    pub fn bind(&mut self, value: impl ToSql + Sync + Send + 'static, r#type: Type) -> &mut Self {
        self.parameters.push((Box::new(value), r#type));
        let number = self.parameters.len();
        self.push(&format!("${number}"))
    }

    /// The parameters with their types: one round trip, and a plan for these very values, which is what excludes chunks.
    pub fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.parameters.iter().map(|(value, r#type)| (value.as_ref() as &(dyn ToSql + Sync), r#type.clone())).collect()
    }

    /// Adds the condition that a text column has one of these values; none of them: any.
    pub fn push_any_of(&mut self, column: &str, values: &[String]) {
        match values {
            [] => {}
            // One value as an equality: the columnstore's segment and bloom look-ups want it that way.
            [one] => {
                self.push(" AND ").push(column).push(" = ").bind(one.clone(), Type::TEXT);
            }
            many => {
                self.push(" AND ").push(column).push(" = ANY (").bind(many.to_vec(), Type::TEXT_ARRAY).push(")");
            }
        }
    }

    /// Adds `timestamp >= ... AND timestamp < ...`.
    pub fn push_within(&mut self, window: &Window) {
        if let Some(from) = window.from {
            self.push(" AND timestamp >= ").bind(from, Type::TIMESTAMPTZ);
        }
        if let Some(to) = window.to {
            self.push(" AND timestamp < ").bind(to, Type::TIMESTAMPTZ);
        }
    }

    /// Adds `WHERE tenant_id = ... AND ...` of a filter.
    pub fn push_where(&mut self, tenant_id: &str, filter: &Filter) {
        self.push(" WHERE tenant_id = ").bind(tenant_id.to_owned(), Type::TEXT);
        self.push_within(&Window { from: filter.from, to: filter.to });
        for (field, values) in &filter.fields {
            self.push_any_of(field.name(), values);
        }
        match filter.correlation_ids.as_slice() {
            [] => {}
            [one] => {
                self.push(" AND correlation_id = ").bind(*one, Type::UUID);
            }
            many => {
                self.push(" AND correlation_id = ANY (").bind(many.to_vec(), Type::UUID_ARRAY).push(")");
            }
        }
        if let Some(payload) = &filter.payload {
            self.push(" AND payload @> ").bind(payload.clone(), Type::TEXT).push("::jsonb");
        }
    }
}

impl Filter {
    /// The same within these bounds of time.
    pub fn within(&self, window: &Window) -> Self {
        Self { from: window.from, to: window.to, ..self.clone() }
    }

    /// Whether it looks for few rows among many. Modules, types and severities are few, and each has many rows.
    pub fn is_selective(&self) -> bool {
        let looked_for = |field: &Field| matches!(field, Field::AssetId | Field::TraceId);
        !self.correlation_ids.is_empty()
            || self.payload.is_some()
            || self.fields.iter().any(|(field, _)| looked_for(field))
    }

    /// What is asked, as text, for a cursor's tag. Without the bounds of time: `-1h` means another time on every page,
    /// and the cursor's position bounds the page from above.
    pub fn describe(&self) -> String {
        format!("{:?} {:?} {:?}", self.fields, self.correlation_ids, self.payload)
    }
}
