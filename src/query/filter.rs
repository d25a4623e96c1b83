//! Filters: names of columns from an allow-list, values as bound parameters.

use uuid::Uuid;

use super::sql::Sql;

/// A text column that events can be filtered by; the query parameter has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterField(&'static str);

impl FilterField {
    pub const ALL: [Self; 7] = [
        Self("asset_id"),
        Self("event_type"),
        Self("severity"),
        Self("source_module"),
        Self("environment"),
        Self("stream"),
        Self("trace_id"),
    ];

    /// Those that events can be grouped by: a trace has few.
    pub fn groups() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|field| field.0 != "trace_id")
    }

    pub fn name(self) -> &'static str {
        self.0
    }
}

/// Which events a read is about.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Any of these values, for each field named.
    pub fields: Vec<(FilterField, Vec<String>)>,
    pub correlation_ids: Vec<Uuid>,
    /// The payload contains this JSON object, as text.
    pub payload: Option<String>,
}

impl Filter {
    pub(super) fn push(&self, sql: &mut Sql) {
        for (field, values) in &self.fields {
            sql.push_any_of(field.0, values);
        }
        sql.push_any_of("correlation_id", &self.correlation_ids);
        if let Some(payload) = &self.payload {
            sql.push(" AND payload @> ").bind(payload.clone()).push("::jsonb");
        }
    }

    /// Whether it looks for few rows among many. Modules, types and severities are few, and each has many rows.
    pub(super) fn is_selective(&self) -> bool {
        !self.correlation_ids.is_empty()
            || self.payload.is_some()
            || self.fields.iter().any(|(field, _)| matches!(field.0, "asset_id" | "trace_id"))
    }

    /// What is asked, as text, for a cursor's tag.
    pub(super) fn describe(&self) -> String {
        format!("{:?} {:?} {:?}", self.fields, self.correlation_ids, self.payload)
    }
}

/// Which series: any of the values, where there are some.
#[derive(Debug, Clone, Default)]
pub struct SeriesFilter {
    pub asset_ids: Vec<String>,
    pub metric_types: Vec<String>,
    pub metric_names: Vec<String>,
}

impl SeriesFilter {
    pub(super) fn push(&self, sql: &mut Sql) {
        sql.push_any_of("asset_id", &self.asset_ids);
        sql.push_any_of("metric_type", &self.metric_types);
        sql.push_any_of("metric_name", &self.metric_names);
    }
}
