//! Several servers of Citus: a coordinator, and workers that have the cells. Cells go where their shards are moved, under load;
//! a worker that dies holds up its tenants alone; without the coordinator what was known goes on.

mod beside;
mod built;
mod cluster;
mod failover;
mod load;
mod members;
mod rebalanced;
mod split;
mod unseen;

use std::collections::BTreeSet;

pub use cluster::{Cluster, key};
use cluster::{sent, tenants};
use serde_json::{Value, json};

use crate::client::Client;
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::groups::{commit, make, offsets, take};
use crate::installations;
use crate::postgres::Sql;
use crate::samples::{array, metric};
use crate::streams::reaches;
use crate::traffic::{Patience, Traffic, assert_stored};

macro_rules! test {
    ($room:ident::$name:ident) => {
        test!(@ $name, $room::$name)
    };
    ($name:ident) => {
        test!(@ $name, $name)
    };
    (@ $name:ident, $run:path) => {
        Test {
            name: stringify!($name),
            engines: &[Engine::Postgres],
            run: $run,
            missing: installations::citus_missing,
        }
    };
}

pub const TESTS: &[Test] = &[
    test!(tenants_are_in_cells_on_their_workers),
    test!(built::cells_are_made_for_several_nodes_and_for_moves),
    test!(built::a_cell_is_made_when_no_job_is_at_work),
    test!(a_cell_is_moved_under_load),
    test!(a_worker_dies_and_comes_back),
    test!(the_coordinator_dies_and_comes_back),
    test!(rebalanced::cells_are_rebalanced_under_load),
    test!(rebalanced::a_worker_is_drained_under_load),
    test!(members::groups_go_on_through_moves),
    test!(beside::two_nodes_write_under_the_same_keys),
    test!(beside::two_nodes_follow_moves),
    test!(failover::a_worker_fails_over_to_its_standby),
    test!(split::a_cell_is_not_split),
    test!(unseen::a_cell_comes_back_before_it_was_missed),
];

fn tenants_are_in_cells_on_their_workers(env: &Env) -> TestResult {
    let cluster = Cluster::start(2);
    let tidegate = cluster.serve(env);
    let tenants = tenants(&cluster, env, &tidegate);
    for (n, (_name, client)) in tenants.iter().enumerate() {
        client.events(sent(n, 10 + n)).accepted(10 + n as u64, 0);
        client.metrics(array((0..5).map(metric))).accepted(5, 0);
    }
    let mut places = BTreeSet::new();
    for (n, (name, client)) in tenants.iter().enumerate() {
        let (count, worker) = (10 + n, cluster.worker_of(name));
        places.insert(worker);
        assert_eq!(client.get("/v1/events?limit=100").expect(200)["data"].as_array().unwrap().len(), count, "{name}");
        // Asked on each worker of what it has itself.
        for (number, node) in cluster.workers.iter().enumerate() {
            let there = format!(
                "SELECT coalesce(sum((xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM tidegate.%I \
                 WHERE tenant_id = %L', 'events_' || s.shardid, '{name}'), false, true, '')))[1]::text::bigint), 0)::bigint \
                 FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid) JOIN pg_dist_local_group g USING (groupid) \
                 WHERE s.logicalrelid = 'tidegate.events'::regclass"
            );
            let expected = if number == worker { count } else { 0 };
            assert_eq!(node.superuser().one::<i64>(&there), i64::try_from(expected)?, "{name} at {number}");
        }
        until("offsets are given", || {
            let page = client.get("/v1/streams/default/events?offset=0").json();
            (page["end"].as_u64() == Some(count as u64)).then_some(())
        });
        let points = client.get("/v1/metrics?metric_name=cpu_usage&resolution=1m").json();
        assert!(points["data"].is_array(), "{points}");
    }
    assert_eq!(places.len(), 2, "both workers have tenants");
    // As anybody with SQL sees them, through the coordinator.
    let all: i64 = cluster.sql().one("SELECT count(*) FROM events");
    assert_eq!(usize::try_from(all)?, (0..tenants.len()).map(|n| 10 + n).sum::<usize>());
    drop(tidegate);
    cluster.stop();
    Ok(())
}

/// Reads a stream to its end by a group, each page committed; the offsets, in the order in which they came.
fn consumed(client: &Client, end: u64) -> Vec<i64> {
    let mut all = Vec::new();
    until("the group has read everything", || {
        let answer = client.get("/v1/streams/default/groups/g/events?limit=1000");
        if answer.status != 200 {
            return None;
        }
        let taken = answer.json();
        let read = offsets(&taken);
        if !read.is_empty() && commit(client, "default", "g", &taken).status == 200 {
            all.extend(read);
        }
        (all.len() as u64 >= end).then_some(())
    });
    all
}

fn a_cell_is_moved_under_load(env: &Env) -> TestResult {
    let cluster = Cluster::start(2);
    let tidegate = cluster.serve(env);
    let client = tidegate.client.clone();
    client.events(sent(0, 1)).accepted(1, 0);
    make(&client, "default", json!({ "name": "g" }));
    reaches(&client, "default", 1);
    let taken = take(&client, "default", "g", "");
    let traffic = Traffic::start(&client, Patience::Retry);
    traffic.flows(20);
    for _ in 0..2 {
        cluster.move_cell("default", 1 - cluster.worker_of("default"));
        traffic.flows(50);
    }
    let acknowledged = traffic.finish();
    let waiting = || client.get("/readyz").json()["status"] == "ready";
    until("nothing waits in the spool", || waiting().then_some(()));
    let sql = cluster.sql();
    let rows = |sql: &Sql| sql.one::<i64>("SELECT count(*) FROM events WHERE tenant_id = 'default'");
    until("everything is stored", || (rows(&sql) > 20 * i64::try_from(acknowledged.len()).unwrap()).then_some(()));
    sql.run("CREATE TEMP VIEW events AS SELECT * FROM tidegate.events WHERE payload ? 'key'; SET search_path = pg_temp, tidegate");
    assert_stored(&sql, &acknowledged);
    // Every offset once and in order, through two other epochs of the log.
    let total = u64::try_from(sql.one::<i64>("SELECT count(*) FROM tidegate.events WHERE tenant_id = 'default'"))?;
    until("all have offsets", || {
        let page = client.get(&format!("/v1/streams/default/events?offset={}", total - 1)).json();
        (page["end"].as_u64() == Some(total)).then_some(())
    });
    let again = commit(&client, "default", "g", &taken);
    assert!(matches!(again.status, 200 | 409), "{}", again.text());
    let first = i64::from(again.status == 200);
    let read = consumed(&client, total - u64::try_from(first)?);
    let expected: Vec<i64> = (first..i64::try_from(total)?).collect();
    assert_eq!(read, expected);
    drop(tidegate);
    cluster.stop();
    Ok(())
}

fn a_worker_dies_and_comes_back(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(2);
    let tidegate = cluster.serve(env);
    let tenants = tenants(&cluster, env, &tidegate);
    let places: Vec<usize> = tenants.iter().map(|(name, _)| cluster.worker_of(name)).collect();
    let of = |worker: usize| places.iter().position(|place| *place == worker).expect("each worker has a tenant");
    let [dead, alive] = [of(0), of(1)];
    for (_name, client) in &tenants {
        client.events(sent(1, 3)).accepted(3, 0);
    }
    cluster.workers[0].kill();
    let mut spooled = 0;
    until("what is of the worker that is gone goes to the spool", || {
        let answer = tenants[dead].1.events(sent(2, 3));
        assert!(matches!(answer.status, 200 | 202 | 503), "{}", answer.text());
        spooled += u64::from(answer.status == 202);
        (spooled >= 3).then_some(())
    });
    // The others' are written as ever, and read.
    for _ in 0..5 {
        tenants[alive].1.events(sent(3, 3)).accepted(3, 0);
    }
    let found: Value = tenants[alive].1.get("/v1/events?limit=100").expect(200);
    assert_eq!(found["data"].as_array().unwrap().len(), 18);
    assert_eq!(tenants[dead].1.get("/v1/events").status, 503);
    let told = tidegate.client.get("/readyz").json()["reason"].as_str().unwrap().to_owned();
    assert!(told.contains(" of 4 cells (tidegate_cell_") && told.contains("have not taken batches for"), "{told}");
    cluster.workers[0].run(&cluster.runtime);
    until("what was spooled is stored", || {
        let answer = tenants[dead].1.get("/v1/events?limit=1000");
        let stored = answer.json()["data"].as_array().map_or(0, Vec::len) as u64;
        (answer.status == 200 && stored >= 3 + 3 * spooled).then_some(())
    });
    until("it is well", || (tidegate.client.get("/readyz").json()["status"] == "ready").then_some(()));
    drop(tidegate);
    cluster.stop();
    Ok(())
}

fn the_coordinator_dies_and_comes_back(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(2);
    let tidegate = cluster.serve(env);
    let client = tidegate.client.clone();
    client.events(sent(1, 3)).accepted(3, 0);
    cluster.coordinator.kill();
    // Keys that were used lately are known, and cells are where they were.
    for _ in 0..10 {
        client.events(sent(2, 3)).accepted(3, 0);
    }
    cluster.coordinator.run(&cluster.runtime);
    until("keys are asked for again", || (client.get("/v1/keys").status == 200).then_some(()));
    client.events(sent(3, 3)).accepted(3, 0);
    assert_eq!(client.get("/v1/events?limit=100").expect(200)["data"].as_array().unwrap().len(), 36);
    drop(tidegate);
    cluster.stop();
    Ok(())
}
