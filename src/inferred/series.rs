//! `metric_catalog`, and the assets of metrics: which series there are, and when each was first and last seen.

use super::table::Table;
use crate::jobs::minutes::MinuteQueue;
use crate::model::Kind;

pub const TABLE: Table = Table {
    queue: MinuteQueue::of(Kind::Metrics, "series"),
    sql: include_str!("../../sql/queries/inferred_series.sql"),
};
