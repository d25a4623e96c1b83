//! `asset_metadata`: which assets events name, and when each was first and last seen.

use super::table::Table;
use crate::jobs::minutes::MinuteQueue;
use crate::model::Kind;

pub const TABLE: Table = Table {
    queue: MinuteQueue::of(Kind::Events, "assets"),
    sql: include_str!("../../sql/queries/inferred_assets.sql"),
};
