//! `asset_metadata`: which assets events name, and when each was first and last seen.

use super::table::Table;
use crate::jobs::minutes::Queue;
use crate::model::Kind;

pub const TABLE: Table =
    Table { queues: &[Queue::of(Kind::Events, "assets")], sql: include_str!("../../sql/queries/seen_assets.sql") };
