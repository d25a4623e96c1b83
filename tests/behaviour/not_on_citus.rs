//! Trials that are not run in a cell of Citus, and why.

const OF_BEFORE: &str = "no version before migration 38 knows Citus";
const SINKS: &str = "logins that commit offsets in their own transactions are refused on Citus";
const PROXY: &str = "the proxy is on the way of more sessions there: all nodes reach a cell by the address that Citus has of it, the owner's sessions, too";
const ENGINES: &str = "it is of the engines timescale and postgres by name";
const SECURITY: &str = "relations that are spread have no row-level security";
const SHARDS: &str = "it takes partitions or rows from under Citus, which has them in its catalogue";
const ROWS: &str = "it compares or copies whole rows, and views of a cell have a column more";
const INDEX: &str = "indexes.payload_gin is not made in cells";
const DUMPED: &str = "a dump has no shards: backups of Citus are of each server";

/// Trials of groups of which others are run.
const TRIALS: &[(&str, &str)] = &[
    ("a_database_without_metrics_is_brought_up_to_date", OF_BEFORE),
    ("events_of_an_older_version", OF_BEFORE),
    ("what_was_stored_before_the_log_has_offsets", OF_BEFORE),
    ("a_node_that_knows_no_masks_writes_nothing_of_masked_streams", OF_BEFORE),
    ("what_a_sink_acknowledges_is_left_to_it", SINKS),
    ("effects_and_offset_are_one_transaction", SINKS),
    ("who_took_over_waits_for_an_open_transaction_and_fences_the_next", SINKS),
    ("a_lease_is_acknowledged_in_the_transaction_of_its_effects", SINKS),
    ("a_lease_that_is_over_in_part_is_over", SINKS),
    ("a_sink_may_commit_and_no_more", SINKS),
    ("a_sink", SINKS),
    ("receipts_are_answered_by_any_node", PROXY),
    ("events_outlive_an_outage_of_the_database", PROXY),
    ("a_failed_attempt_leaves_no_trace", "it takes a right on the relation away, and COPY writes to the shard"),
    ("made_used_and_taken_away", INDEX),
    ("what_was_cut_short_is_made_whole", INDEX),
    ("killed_in_between", PROXY),
    ("a_node_that_was_away_knows_before_it_writes", PROXY),
    ("what_was_spooled_before_is_masked_when_it_is_drained", PROXY),
    ("a_restored_dump_goes_on_where_it_was", DUMPED),
    ("an_owners_dump_of_control_tables_is_complete", DUMPED),
    ("another_database_is_accepted_by_command", DUMPED),
    ("a_confined_transaction_sees_and_changes_its_tenant_alone", SECURITY),
    ("control_tables_show_a_tenant_its_own", SECURITY),
    ("the_same_before_and_after_the_migrations", OF_BEFORE),
    ("what_can_be_made_again_is_put_back", SHARDS),
    ("what_cannot_is_named", SHARDS),
    ("a_job_notices_that_its_partition_is_gone", SHARDS),
    ("leftovers_are_cleared", SHARDS),
    ("a_database_stays_what_it_was_made_as", ENGINES),
    ("the_engine_is_announced", ENGINES),
    ("engines_do_not_change", ENGINES),
    ("doctor_says_the_versions", ENGINES),
    ("urls_come_from_files", "it has no place for the variables that name the engine"),
    (
        "what_the_database_refuses_stops_nothing_behind_it",
        "it adds a rule to a shard alone, past the relation that copies are made like",
    ),
    ("what_is_said_of_assets_stands_beside_when_they_were_seen", ROWS),
    ("actions_are_computed_again", ROWS),
    ("shuffled_and_repeated_events_give_what_a_direct_computation_does", ROWS),
    ("dashboards_have_rows", "logins that read one organization are refused on Citus"),
    (
        "what_a_copy_does_not_have_is_passed_by_nobody",
        "it hides rows of a shard by row-level security, which shards have not",
    ),
    (
        "a_process_that_runs_on_notices_that_the_log_went_back",
        "it sets a counter back that a cell has as a sequence of its own",
    ),
    ("an_installation_that_was_cut_short", "relations that are spread keep the types of their columns"),
];

/// Why a trial is not run in a cell, if it is not.
pub fn why(group: &str, test: &str) -> Option<&'static str> {
    let of_trial = TRIALS.iter().find(|(name, _)| *name == test).map(|(_, why)| *why);
    of_trial.or(match group {
        _ if test.contains("_of_migration_") => Some(OF_BEFORE),
        "citus" => Some("it has a cluster of its own, in the place of the postgres engine"),
        "backups" | "moves" => Some("it is of one server"),
        "erase" => Some("it writes to relations that are spread; trials of several servers are in citus_commands"),
        "readers" | "roles" | "schema" => Some("it compares or changes relations that are spread"),
        _ => None,
    })
}
