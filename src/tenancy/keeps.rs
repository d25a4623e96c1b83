//! How long an organization keeps its rows, where that is shorter than everybody.

use std::fmt;

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use crate::model::{Kind, Relation};

/// Days that an organization's rows are kept; None: as long as the table's own retention.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgRetention {
    pub events_retention_days: Option<i32>,
    pub metrics_retention_days: Option<i32>,
    pub correlations_retention_days: Option<i32>,
}

impl OrgRetention {
    /// Of three columns of a row, from `first` on.
    pub fn of(row: &Row, first: usize) -> Self {
        Self {
            events_retention_days: row.get(first),
            metrics_retention_days: row.get(first + 1),
            correlations_retention_days: row.get(first + 2),
        }
    }

    pub fn days(&self, relation: Relation) -> Option<i32> {
        match relation {
            Relation::Raw(Kind::Events) => self.events_retention_days,
            Relation::Raw(Kind::Metrics) => self.metrics_retention_days,
            Relation::Correlations => self.correlations_retention_days,
            Relation::Rollup(_) => None,
        }
    }
}

impl fmt::Display for OrgRetention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own: Vec<String> = Relation::all()
            .filter_map(|relation| Some(format!("{} {}d", relation.name(), self.days(relation)?)))
            .collect();
        if own.is_empty() { f.write_str("default") } else { f.write_str(&own.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::OrgRetention;

    #[test]
    fn what_is_kept_is_shown_in_words() {
        assert_eq!(OrgRetention::default().to_string(), "default");
        let own = OrgRetention {
            events_retention_days: Some(30),
            metrics_retention_days: None,
            correlations_retention_days: Some(7),
        };
        assert_eq!(own.to_string(), "events 30d, correlations 7d");
    }
}
