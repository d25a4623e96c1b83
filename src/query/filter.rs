//! Filters over events: field names from an allow-list, values as bound parameters.

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

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
    /// All of them.
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
    /// The text.
    pub text: String,
    parameters: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Sql {
    /// Starts with a text.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), parameters: Vec::new() }
    }

    /// Adds text.
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

    /// Adds `WHERE tenant_id = ... AND ...` of a filter.
    pub fn push_where(&mut self, tenant_id: &str, filter: &Filter) {
        self.push(" WHERE tenant_id = ").bind(tenant_id.to_owned(), Type::TEXT);
        if let Some(from) = filter.from {
            self.push(" AND timestamp >= ").bind(from, Type::TIMESTAMPTZ);
        }
        if let Some(to) = filter.to {
            self.push(" AND timestamp < ").bind(to, Type::TIMESTAMPTZ);
        }
        for (field, values) in &filter.fields {
            self.push(" AND ").push(field.name());
            match values.as_slice() {
                // One value as an equality: the columnstore's segment and bloom look-ups want it that way.
                [one] => self.push(" = ").bind(one.clone(), Type::TEXT),
                _ => self.push(" = ANY (").bind(values.clone(), Type::TEXT_ARRAY).push(")"),
            };
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
    /// What is asked, as text, for a cursor's tag. Without the bounds of time: `-1h` means another time on every page,
    /// and the cursor's position bounds the page from above.
    pub fn describe(&self) -> String {
        format!("{:?} {:?} {:?}", self.fields, self.correlation_ids, self.payload)
    }
}
