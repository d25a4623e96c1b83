//! Which events of a log a consumer group wants.

use std::collections::BTreeSet;

use super::slots::OrderedBy;
use crate::query::sql::Sql;

/// Which events of a log are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of these types; empty: of any.
    pub event_types: Vec<String>,
    /// Of these slots; None: of any.
    pub slots: Option<(OrderedBy, Vec<i32>)>,
    /// Offsets of some that are not.
    pub passed_over: BTreeSet<i64>,
}

impl Wanted {
    pub(super) fn are_all(&self) -> bool {
        self.event_types.is_empty() && self.slots.is_none()
    }

    /// The conditions, but for single offsets.
    pub(super) fn push(&self, sql: &mut Sql) {
        sql.push_any_of("event_type", &self.event_types);
        if let Some((ordered_by, slots)) = &self.slots {
            sql.push(" AND ").push(&ordered_by.sql()).push(" = ANY (").bind(slots.clone()).push(")");
        }
    }
}
