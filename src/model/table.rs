//! The ordinary tables: which room writes each, and how long its rows stay. Those that are kept in chunks or partitions are
//! [`super::Relation`]s.

/// How long rows stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// As long as a key of the configuration says.
    Key(&'static str),
    /// As long as the rows that they are made of, or say something of.
    With(&'static str),
    /// Until what waits in it is done.
    UntilDone,
    /// One row for what there is, as long as it is there.
    State,
    /// Nothing deletes them.
    Always,
    /// A fixed time, which is in `limits`.
    Days(u32),
}

/// An ordinary table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    pub name: &'static str,
    /// The module at the top of `src` whose code writes its rows.
    pub written_by: &'static str,
    pub kept: Kept,
}

const fn table(name: &'static str, written_by: &'static str, kept: Kept) -> Table {
    Table { name, written_by, kept }
}

/// All of them; locks of the program (`lock_...`) are no more than their names.
pub const TABLES: &[Table] = &[
    table("action_histories", "projections", Kept::With("events")),
    table("api_keys", "tenancy", Kept::Always),
    table("asset_errors", "correlate", Kept::With("events")),
    table("asset_metadata", "inferred", Kept::With("events and metrics")),
    table("audit_log", "tenancy", Kept::Key("retention.audit")),
    table("batch_log", "streams", Kept::With("events")),
    table("batch_queue", "ingest", Kept::UntilDone),
    table("birth_locks", "storage", Kept::State),
    table("claim_salt", "storage", Kept::State),
    table("consumer_groups", "groups", Kept::Always),
    table("consumer_leases", "groups", Kept::UntilDone),
    table("consumer_members", "groups", Kept::State),
    table("consumer_offsets", "groups", Kept::State),
    table("consumer_parked", "groups", Kept::State),
    table("consumer_sinks", "storage", Kept::State),
    table("consumer_slots", "groups", Kept::State),
    table("dead_letter_events", "ingest", Kept::Key("retention.dead_letters")),
    table("deployments", "projections", Kept::With("events")),
    table("event_stream_revision", "registry", Kept::State),
    table("event_stream_schemas", "registry", Kept::Always),
    table("event_stream_warnings", "ingest", Kept::State),
    table("event_streams", "registry", Kept::Always),
    table("group_edges", "correlate", Kept::With("events")),
    table("ingest_batches", "ingest", Kept::With("events and metrics")),
    table("ingest_ledger", "ingest", Kept::Key("retention.ledger")),
    table("installation", "storage", Kept::State),
    table("job_runs", "jobs", Kept::State),
    table("log_epochs", "streams", Kept::Always),
    table("metric_series", "inferred", Kept::With("metrics")),
    table("nodes", "nodes", Kept::State),
    table("organizations", "tenancy", Kept::Always),
    table("orphans", "correlate", Kept::UntilDone),
    table("over_quota", "ingest", Kept::Days(1)),
    table("projection_letters", "processor", Kept::With("dead_letter_events")),
    table("projection_offsets", "processor", Kept::State),
    table("projection_queue", "streams", Kept::UntilDone),
    table("projections", "storage", Kept::State),
    table("reader_logins", "storage", Kept::State),
    table("resource_action_traces", "projections", Kept::With("events")),
    table("resource_references", "projections", Kept::With("events")),
    table("rollup_dirty", "jobs", Kept::UntilDone),
    table("rollup_floors", "rollup", Kept::State),
    table("rollup_levels", "rollup", Kept::State),
    table("schema_migrations", "storage", Kept::Always),
    table("sequencer_ticks", "streams", Kept::State),
    table("series_pending", "rollup", Kept::UntilDone),
    table("services", "projections", Kept::Always),
    table("sessions", "tenancy", Kept::Days(30)),
    table("sign_in_attempts", "tenancy", Kept::UntilDone),
    table("storage_samples", "lifecycle", Kept::Days(730)),
    table("stream_begins", "streams", Kept::State),
    table("stream_epochs", "streams", Kept::Always),
    table("ticket_secret", "storage", Kept::State),
    table("touched", "ingest", Kept::UntilDone),
    table("touched_minutes", "jobs", Kept::UntilDone),
    table("touched_passes", "jobs", Kept::State),
    table("type_minutes", "correlate", Kept::With("events")),
    table("usage_days", "tenancy", Kept::Days(1100)),
    table("usage_notes", "ingest", Kept::UntilDone),
    table("users", "tenancy", Kept::Always),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use crate::limits::{OVER_QUOTA_KEPT, SESSIONS_KEPT, STORAGE_SAMPLES_KEPT, USAGE_KEPT};

    #[test]
    fn tables_are_in_order_and_kept_as_limits_say() {
        assert!(TABLES.is_sorted_by(|one, other| one.name < other.name));
        let days = |name| TABLES.iter().find(|table| table.name == name).map(|table| table.kept);
        let kept = |limit: std::time::Duration| Some(Kept::Days(u32::try_from(limit.as_secs() / 86_400).unwrap()));
        assert_eq!(days("over_quota"), kept(OVER_QUOTA_KEPT));
        assert_eq!(days("storage_samples"), kept(STORAGE_SAMPLES_KEPT));
        assert_eq!(days("sessions"), kept(SESSIONS_KEPT));
        assert_eq!(days("usage_days"), kept(USAGE_KEPT));
    }
}
