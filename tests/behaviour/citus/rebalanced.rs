//! Citus itself moves cells, several after one another, while every tenant is written to: onto a worker that is new, and away from one
//! that is to go.

use super::cluster::{Cluster, tenants};
use super::load::{Load, ends_whole};
use crate::env::{Env, TestResult, until};

pub fn cells_are_rebalanced_under_load(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(2);
    let tidegate = cluster.serve(env);
    let tenants = tenants(&cluster, env, &tidegate);
    let load = Load::start(tenants.iter().map(|(_name, client)| client));
    load.flows(5);
    cluster.grow();
    load.flows(5);
    assert_eq!(cluster.cells_of(2), 0, "a new worker has nothing yet");
    cluster.tell(
        "it begins to rebalance",
        "SELECT citus_rebalance_start(rebalance_strategy => 'by_shard_count', shard_transfer_mode => 'force_logical')",
    );
    let superuser = cluster.coordinator.superuser();
    until("the rebalance has ended", || {
        let states: Vec<String> = superuser.column("SELECT state::text FROM citus_rebalance_status()");
        assert!(states.iter().all(|state| state != "failed"), "{states:?}");
        (states == ["finished"]).then_some(())
    });
    assert_eq!(cluster.cells_of(2), 1, "of four cells on three workers");
    ends_whole(cluster, tidegate, &tenants, load);
    Ok(())
}

pub fn a_worker_is_drained_under_load(env: &Env) -> TestResult {
    let cluster = Cluster::start(2);
    let tidegate = cluster.serve(env);
    let tenants = tenants(&cluster, env, &tidegate);
    let load = Load::start(tenants.iter().map(|(_name, client)| client));
    load.flows(5);
    assert_eq!(cluster.cells_of(0), 2);
    let place = cluster.workers[0].place();
    cluster.tell(
        "the worker is drained",
        &format!("SELECT citus_drain_node({place}, shard_transfer_mode => 'force_logical')"),
    );
    assert_eq!(cluster.cells_of(0), 0);
    ends_whole(cluster, tidegate, &tenants, load);
    Ok(())
}
