//! What each cell is made with that neither a request nor a move says before it is too late.

use std::collections::BTreeSet;

use super::cluster::{Cluster, sent, tenants};
use crate::env::{Env, TestResult, until};
use crate::process::{Finished, Running};

const BLOCK: &str = include_str!("../../../sql/queries/batch_ids_block.sql");

pub fn cells_are_made_for_several_nodes_and_for_moves(env: &Env) -> TestResult {
    let cluster = Cluster::start(2);
    let tidegate = cluster.serve(env);
    for (n, (_name, client)) in tenants(&cluster, env, &tidegate).iter().enumerate() {
        client.events(sent(n, 5)).accepted(5, 0);
        // Of a day for which a partition is made now.
        client.events(old(30)).accepted(1, 0);
    }
    for worker in &cluster.workers {
        let superuser = worker.superuser();
        let cells = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'tidegate\\_cell\\_%'";
        let cells: Vec<String> = superuser.rows(cells, &[]).iter().map(|row| row.get(0)).collect();
        assert_eq!(cells.len(), 2);
        for cell in cells {
            // Two nodes draw blocks in the same second, and none of them twice.
            superuser.run(&format!("SET search_path = {cell}"));
            let blocks: BTreeSet<i64> = (0..20).map(|_| superuser.one::<i64>(BLOCK)).collect();
            assert_eq!(blocks.len(), 20, "{cell}");
            let next = blocks.iter().zip(blocks.iter().skip(1)).map(|(one, other)| other - one).min();
            assert!(next >= Some(1024), "{cell}: blocks overlap: {blocks:?}");
        }
        // A move replicates deletes, for which a relation needs a key or its whole rows.
        let without = "SELECT coalesce(string_agg(c.oid::regclass::text, ', '), '') FROM pg_class c \
                       WHERE relnamespace = 'tidegate'::regnamespace AND relkind = 'r' AND relreplident = 'd' \
                       AND relname ~ '_[0-9]{6}$' AND relname NOT LIKE 'lock\\_%' \
                       AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)";
        superuser.run("SET search_path = pg_catalog; SET citus.override_table_visibility = off");
        assert_eq!(superuser.one::<String>(without), "");
        let parts = "SELECT count(*) FROM pg_class WHERE relnamespace = 'tidegate'::regnamespace AND relispartition \
                     AND relname LIKE 'events\\_p%'";
        assert!(superuser.one::<i64>(parts) >= 2, "there are partitions of events");
    }
    drop(tidegate);
    cluster.stop();
    Ok(())
}

/// A job's lock is of one session and its run of another: who waits for the one and keeps up the other waits for ever. And who waits
/// for a transaction that will want the ledger, and holds the ledger, ends in a deadlock.
pub fn a_cell_is_made_when_no_job_is_at_work(env: &Env) -> TestResult {
    let cluster = Cluster::start(1);
    assert_eq!(Finished::run(env, &cluster.variables(), &["migrate"]).code, Some(0));
    let [job, run] = [(), ()].map(|()| cluster.workers[0].superuser());
    run.run("SET citus.enable_ddl_propagation = off");
    let cells = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'tidegate\\_cell\\_%' ORDER BY 1 LIMIT 1";
    let cell: String = run.one(cells);
    run.run(&format!("COMMENT ON SCHEMA {cell} IS 'of before'"));
    let lock = format!("{cell}.lock_job_sequencer");
    job.run(&format!("BEGIN; LOCK TABLE {lock} IN EXCLUSIVE MODE"));
    let migrating = Running::start(env, &cluster.variables(), &["migrate"]);
    let waits = format!("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '{lock}'::regclass");
    until("it waits for the job", || (run.one::<i64>(&waits) == 1).then_some(()));
    for table in ["job_runs", "batch_log", "ingest_ledger"] {
        run.run(&format!("BEGIN; LOCK TABLE {cell}.{table} IN ROW EXCLUSIVE MODE NOWAIT; COMMIT"));
    }
    let writer = cluster.workers[0].superuser();
    writer.run(&format!("BEGIN; SELECT FROM {cell}.events LIMIT 1"));
    job.run("COMMIT");
    let done = migrating.finish();
    assert_eq!(done.code, Some(0), "{done:?}");
    let mark: String = run.one(&format!("SELECT obj_description('{cell}'::regnamespace, 'pg_namespace')"));
    assert!(mark.starts_with("migration "), "{mark}");
    writer.run(&format!(
        "INSERT INTO {cell}.job_runs (job, interval_s, started_at, finished_at) VALUES ('x', 1, now(), now()); COMMIT"
    ));
    // What is left of the cell before goes when nobody uses it, and at the latest when it is made again.
    run.run(&format!("COMMENT ON SCHEMA {cell} IS 'of before'"));
    assert_eq!(Finished::run(env, &cluster.variables(), &["migrate"]).code, Some(0));
    assert_eq!(run.one::<i64>("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'tidegate\\_left\\_%'"), 0);
    cluster.stop();
    Ok(())
}

/// An event of so many days ago.
fn old(days: i64) -> Vec<u8> {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
    format!(r#"[{{"event_type":"t","source_module":"s","timestamp":"{at}","payload":{{}}}}]"#).into_bytes()
}
