//! Two nodes on one cluster: the same requests come to both at the same moment, and both follow cells that move.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;

use super::cluster::{Cluster, key, sent};
use super::load::{Load, assert_kept};
use crate::client::{Answer, Client, Key};
use crate::env::{Env, TestResult, until};
use crate::process::Tidegate;

const ROUNDS: usize = 60;
/// Of one request, at each node.
const AT_ONCE: usize = 2;
const TENANTS: usize = 3;
/// Events of a request.
const ITEMS: usize = 5;

fn keys(cluster: &Cluster, env: &Env) -> Vec<(String, Key)> {
    (0..TENANTS).map(|n| format!("tenant-{n}")).map(|name| (name.clone(), key(cluster, env, &name))).collect()
}

/// The last answer, once the request is stored: until then it is sent again, as its sender is asked to.
fn stored(client: &Client, key: &str, body: &[u8]) -> Answer {
    until("the request is stored", || {
        let answer = client.keyed(key, body);
        match answer.status {
            200 => Some(answer),
            // Another one is being written, is in the spool, or could not be.
            202 | 409 | 503 => None,
            _ => panic!("{}: {}", answer.status, answer.text()),
        }
    })
}

pub fn two_nodes_write_under_the_same_keys(env: &Env) -> TestResult {
    let cluster = Cluster::start(2);
    let nodes = ["a", "b"].map(|name| cluster.node(env, name));
    let keys = keys(&cluster, env);
    let mut receipts = BTreeSet::new();
    for round in 0..ROUNDS {
        let of_tenant = &keys[round % TENANTS].1;
        let (name, body, gate) = (format!("key-{round}"), sent(round, ITEMS), Barrier::new(2 * AT_ONCE));
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let (name, body, gate) = (&name, &body, &gate);
            let clients = nodes.iter().flat_map(|node| (0..AT_ONCE).map(|_| node.with(of_tenant)));
            let sending: Vec<_> = clients
                .map(|client| {
                    scope.spawn(move || {
                        gate.wait();
                        stored(&client, name, body)
                    })
                })
                .collect();
            sending.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let told: Vec<_> = answers.iter().map(Answer::json).collect();
        let firsts = told.iter().filter(|told| told["duplicate"] == false).count();
        assert!(firsts <= 1, "round {round}: {told:?}");
        for one in &told {
            assert_eq!((&one["accepted"], &one["receipt"]), (&ITEMS.into(), &told[0]["receipt"]), "round {round}");
        }
        receipts.insert(told[0]["receipt"].as_str().unwrap().to_owned());
    }
    assert_eq!(receipts.len(), ROUNDS);
    let rows = cluster.sql().rows(
        "SELECT tenant_id, (payload->>'n')::int, count(*), count(DISTINCT payload->>'m') FROM tidegate.events GROUP BY 1, 2",
        &[],
    );
    let found: BTreeMap<(String, i32), [i64; 2]> =
        rows.iter().map(|row| ((row.get(0), row.get(1)), [row.get(2), row.get(3)])).collect();
    let tenant = |round: usize| (keys[round % TENANTS].0.clone(), i32::try_from(round).unwrap());
    let items = i64::try_from(ITEMS)?;
    let expected = (0..ROUNDS).map(|round| (tenant(round), [items, items])).collect();
    assert_eq!(found, expected, "each request once");
    for node in &nodes {
        // A batch whose number another one has is answered 503, and asked for again: the senders here do not mind.
        assert!(!node.log().contains("until an operator acts"), "a batch was refused");
    }
    drop(nodes);
    cluster.stop();
    Ok(())
}

/// Times that a node has followed a cell.
fn followed(node: &Tidegate) -> usize {
    node.log().matches("a cell was moved; connections lead").count()
}

pub fn two_nodes_follow_moves(env: &Env) -> TestResult {
    let cluster = Cluster::start(2);
    let nodes = ["a", "b"].map(|name| cluster.node(env, name));
    let keys = keys(&cluster, env);
    let clients = |node: &Tidegate| -> Vec<Client> { keys.iter().map(|(_name, key)| node.with(key)).collect() };
    let [first, second] = nodes.each_ref().map(clients);
    // Senders of both send the same requests under the same keys, at whichever comes first.
    let loads = [Load::start(&first), Load::start(&second)];
    let flow = |requests: usize| loads.iter().for_each(|load| load.flows(requests));
    flow(5);
    for moves in 1..=2 {
        let tenant = &keys[0].0;
        cluster.move_cell(tenant, 1 - cluster.worker_of(tenant));
        until("both have followed", || nodes.iter().all(|node| followed(node) >= moves).then_some(()));
        flow(10);
    }
    let acknowledged: Vec<BTreeSet<String>> = {
        let [mut all, others] = loads.map(Load::finish);
        all.iter_mut().zip(others).for_each(|(all, others)| all.extend(others));
        all
    };
    let tenants: Vec<(String, Client)> = keys.iter().map(|(name, _key)| name.clone()).zip(first).collect();
    assert_kept(&cluster, &nodes.each_ref(), &tenants, &acknowledged);
    drop(nodes);
    cluster.stop();
    Ok(())
}
