//! Senders of every tenant of a cluster, and what must be true when they have ended (I1 to I4 of `tests/faults`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::cluster::Cluster;
use crate::books::Books;
use crate::client::Client;
use crate::env::until;
use crate::process::Tidegate;
use crate::traffic::{Patience, Traffic, assert_stored};

/// Senders of each tenant: the servers are to be left some of the processors.
const SENDERS: usize = 1;

pub struct Load {
    of_tenants: Vec<Traffic>,
}

impl Load {
    /// Of each client's tenant, with keys, each request until it is acknowledged.
    pub fn start<'a>(clients: impl IntoIterator<Item = &'a Client>) -> Self {
        let of = |client| Traffic::by(SENDERS, client, Patience::Retry);
        Self { of_tenants: clients.into_iter().map(of).collect() }
    }

    /// Waits until so many more requests of each tenant were acknowledged.
    pub fn flows(&self, requests: usize) {
        self.of_tenants.iter().for_each(|traffic| traffic.flows(requests));
    }

    /// The keys of what was acknowledged, by tenant.
    pub fn finish(self) -> Vec<BTreeSet<String>> {
        self.of_tenants.into_iter().map(Traffic::finish).collect()
    }
}

/// Waits until the load flows after all that happened, ends it and the cluster, and asserts that nothing was lost.
pub fn ends_whole(cluster: Cluster, tidegate: Tidegate, tenants: &[(String, Client)], load: Load) {
    load.flows(20);
    let acknowledged = load.finish();
    assert_kept(&cluster, &[&tidegate], tenants, &acknowledged);
    drop(tidegate);
    cluster.stop();
}

/// What tenants sent by `nodes`, and nobody else did, is there once, has offsets without gaps in one order, and is in the books; and
/// the nodes' memory has stayed under its bound.
pub fn assert_kept(
    cluster: &Cluster,
    nodes: &[&Tidegate],
    tenants: &[(String, Client)],
    acknowledged: &[BTreeSet<String>],
) {
    let books: Vec<Books> = nodes
        .iter()
        .map(|node| {
            until("nothing is in flight or in the spool", || {
                let books = Books::of(&node.client);
                books.assert_balanced();
                (books.items("in_flight") + books.items("spooled") == 0).then_some(books)
            })
        })
        .collect();
    let sql = cluster.sql();
    sql.run("SET search_path = pg_temp, tidegate, public");
    let mut all = 0;
    for ((tenant, client), acknowledged) in tenants.iter().zip(acknowledged) {
        sql.run(&format!(
            "CREATE OR REPLACE TEMP VIEW events AS SELECT * FROM tidegate.events WHERE tenant_id = '{tenant}'"
        ));
        // Every sender went on until it was acknowledged.
        assert_eq!(assert_stored(&sql, acknowledged), acknowledged.len(), "I1: {tenant}");
        let stored: BTreeSet<String> = sql.column("SELECT id::text FROM events").into_iter().collect();
        assert_eq!(i64::try_from(stored.len()).unwrap(), sql.count("events"), "I1: {tenant}: an id comes twice");
        until("every event has its offset", || {
            let page = client.get("/v1/streams/default/events?offset=latest");
            (page.status == 200 && page.json()["end"] == stored.len()).then_some(())
        });
        let read = client.get_as("/v1/streams/default/events?offset=0", &[("accept", "application/x-ndjson")]);
        assert_eq!(read.status, 200, "I3: {tenant}: {}", read.text());
        let events: Vec<Value> = read.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let offsets = events.iter().map(|event| event["offset"].as_u64().unwrap());
        assert!(offsets.eq(0..stored.len() as u64), "I3: {tenant}: offsets are not each once and in order");
        let ids: BTreeSet<String> = events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
        assert!(ids == stored, "I3: {tenant}: what is read is not what is stored");
        all += stored.len() as u64;
    }
    let committed: u64 = books.iter().map(|books| books.items("committed_total")).sum();
    assert_eq!(committed, all, "I4: the books and the database");
    let resident = nodes.iter().map(|node| node.assert_memory(None)).max().unwrap_or_default();
    println!("{all} events of {} tenants: I1 to I4 hold; at most {} MiB resident", tenants.len(), resident >> 20);
}
