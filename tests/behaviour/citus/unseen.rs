//! A node that sees nothing of moves for a while: its cell is elsewhere, or there and back again, before it looks.

use nix::sys::signal::Signal;

use super::cluster::{Cluster, sent, tenants};
use super::load::{Load, assert_kept};
use crate::env::{Env, TestResult, until};
use crate::streams::reaches;

pub fn a_cell_comes_back_before_it_was_missed(env: &Env) -> TestResult {
    let cluster = Cluster::start(2);
    let tidegate = cluster.serve(env);
    let tenants = tenants(&cluster, env, &tidegate);
    let (tenant, client) = &tenants[0];
    let clean = "CALL citus_cleanup_orphaned_resources()";
    let home = cluster.worker_of(tenant);
    // Nothing is written meanwhile: a move waits for the transactions that have begun, also for those of who is not there.
    tidegate.freeze();
    cluster.move_cell(tenant, 1 - home);
    cluster.tell("what was moved is taken away", clean);
    cluster.move_cell(tenant, home);
    tidegate.signal(Signal::SIGCONT);
    let load = Load::start(tenants.iter().map(|(_name, client)| client));
    load.flows(10);
    // Its shards are others than before, and guarded as those were.
    let shard = format!("SELECT get_shard_id_for_distribution_column('tidegate.events', '{tenant}')");
    let shard: i64 = cluster.coordinator.superuser().one(&shard);
    let guards = format!(
        "SELECT count(*) FROM pg_trigger WHERE tgname = 'hold_shard' AND tgrelid = 'tidegate.events_{shard}'::regclass"
    );
    let worker = cluster.workers[home].superuser();
    until("its shards are guarded", || (worker.one::<i64>(&guards) == 1).then_some(()));
    drop(worker);
    let acknowledged = load.finish();
    assert_kept(&cluster, &[&tidegate], &tenants, &acknowledged);
    // Where it was there is nothing left of it, and its jobs must not take every tenant's rows for its own.
    tidegate.freeze();
    cluster.move_cell(tenant, 1 - home);
    cluster.tell("what was moved is taken away", clean);
    tidegate.signal(Signal::SIGCONT);
    client.events(sent(0, 3)).accepted(3, 0);
    let of_tenant = format!("SELECT count(*) FROM tidegate.events WHERE tenant_id = '{tenant}'");
    reaches(client, "default", cluster.sql().one(&of_tenant));
    let log = tidegate.log();
    let asked = log.lines().find(|line| line.contains("distributed") || line.contains("distribution column"));
    assert!(asked.is_none(), "something was asked of all cells: {asked:?}");
    drop(tidegate);
    cluster.stop();
    Ok(())
}
