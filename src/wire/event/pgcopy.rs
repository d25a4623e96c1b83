//! The columns of an event's COPY tuple.

pub use crate::wire::item::pgcopy::{COPY_HEADER, COPY_TRAILER, stamp};

/// The columns of a tuple, in order, for `COPY events (...) FROM STDIN (FORMAT binary)`.
pub const COPY_COLUMNS: &str = "batch_id, batch_seq, timestamp, created_at, id, tenant_id, stream, source_module, \
event_type, event_version, severity, environment, asset_id, correlation_id, parent_event_id, trace_id, payload, metadata";

/// How many columns a tuple has.
pub const COPY_COLUMN_COUNT: i16 = 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_as_many_as_the_tuple_says() {
        assert_eq!(COPY_COLUMNS.split(", ").count(), usize::try_from(COPY_COLUMN_COUNT).expect("small"));
    }
}
