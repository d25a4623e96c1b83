//! Filters: names of columns from an allow-list, values as bound parameters.

use std::time::Duration;

use uuid::Uuid;

use super::payload::PathFilter;
use super::search::Words;
use super::sql::Sql;

/// A day is one chunk.
const DAY: Duration = Duration::from_secs(86_400);
/// Of so many rows one has a value of a selective field, or fewer.
const SELECTIVE_TIMES: usize = 64;

/// A text column that events can be filtered by; the query parameter has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterField {
    pub name: &'static str,
    /// Whether events can be grouped by it: a trace has few.
    groups: bool,
    /// Whether a value of it has few rows among many.
    selective: bool,
}

impl FilterField {
    pub const ALL: [Self; 7] = [
        Self { name: "asset_id", groups: true, selective: true },
        Self { name: "event_type", groups: true, selective: false },
        Self { name: "severity", groups: true, selective: false },
        Self { name: "source_module", groups: true, selective: false },
        Self { name: "environment", groups: true, selective: false },
        Self { name: "stream", groups: true, selective: false },
        Self { name: "trace_id", groups: false, selective: true },
    ];

    pub fn groups() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|field| field.groups)
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
    /// All of these hold.
    pub paths: Vec<PathFilter>,
    pub words: Words,
}

/// How far a list is looked through at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// As far as so many times the rows that are wanted reach.
    Rows(usize),
    /// What is looked for is found by an index, however much lies between.
    Time(Duration),
}

impl Filter {
    pub(super) fn push(&self, sql: &mut Sql) {
        for (field, values) in &self.fields {
            sql.push_any_of(field.name, values);
        }
        sql.push_any_of("correlation_id", &self.correlation_ids);
        if let Some(payload) = &self.payload {
            sql.push(" AND payload::jsonb @> ").bind(payload.clone()).push("::jsonb");
        }
        for path in &self.paths {
            path.push(sql);
        }
        self.words.push(sql);
    }

    /// What an index of payloads finds, where the filter asks for such: implied by the other conditions.
    pub(super) fn push_contained(&self, sql: &mut Sql) {
        self.paths.iter().for_each(|path| path.push_contained(sql));
    }

    /// Whether such an index finds what it asks for.
    pub(super) fn is_contained(&self) -> bool {
        self.payload.is_some() || self.paths.iter().any(PathFilter::is_contained)
    }

    pub(super) fn reach(&self) -> Reach {
        if !self.correlation_ids.is_empty() {
            Reach::Time(DAY)
        } else if self.fields.iter().any(|(field, _)| field.selective) {
            Reach::Rows(SELECTIVE_TIMES)
        } else {
            Reach::Rows(1)
        }
    }

    /// Whether one correlation id is all that it asks for.
    pub(super) fn is_of_correlation_alone(&self) -> bool {
        self.correlation_ids.len() == 1 && self.fields.is_empty() && !self.looks_into_payload()
    }

    /// Whether it looks at anything but columns of their own.
    pub(super) fn looks_into_payload(&self) -> bool {
        self.payload.is_some() || !self.paths.is_empty() || !self.words.is_empty()
    }

    /// What is asked, as text, for a cursor's tag.
    pub(super) fn describe(&self) -> String {
        let fields: Vec<_> = self.fields.iter().map(|(field, values)| (field.name, values)).collect();
        let Self { correlation_ids, payload, paths, words, .. } = self;
        format!("{fields:?} {correlation_ids:?} {payload:?} {paths:?} {words:?}")
    }
}
