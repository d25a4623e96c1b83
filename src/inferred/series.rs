//! `metric_series`, and the assets of metrics: when each series was first and last seen. Its row is there already, written with
//! its first sample, but for what was stored by other means or before there were series.

use super::table::Table;
use crate::jobs::minutes::MinuteQueue;
use crate::model::Kind;

pub const TABLE: Table = Table {
    queue: MinuteQueue::of(Kind::Metrics, "series"),
    sql: include_str!("../../sql/queries/inferred_series.sql"),
};
