//! Groups of every kind that are in the middle of reading when a backup is taken, and what is left of that when it is restored.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::env::until;

const KINDS: [&str; 3] = ["alone", "shared", "ordered"];

pub struct Kept {
    stream: String,
    /// Where each was at the moment, and in which generation.
    stands: [[i64; 2]; 3],
    /// Acknowledged at the moment, or parked.
    settled: [BTreeSet<i64>; 3],
    /// Held at the moment.
    lease: Value,
    /// What was read after it.
    ahead: Value,
}

fn tell(client: &Client, stream: &str, group: &str, what: &str, body: &Value) -> Answer {
    client.post(&format!("/v1/streams/{stream}/groups/{group}/{what}"), &[], body.to_string())
}

fn take(client: &Client, stream: &str, group: &str, limit: usize) -> Value {
    let member = if group == "alone" { "" } else { "&member=m" };
    client.get(&format!("/v1/streams/{stream}/groups/{group}/events?limit={limit}&wait=1s{member}")).expect(200)
}

fn offsets(taken: &Value) -> BTreeSet<i64> {
    taken["events"].as_array().unwrap().iter().map(|event| event["offset"].as_i64().unwrap()).collect()
}

/// Says that it is done with; false: it was too late for that.
fn settle(client: &Client, stream: &str, group: &str, taken: &Value) -> bool {
    let answer = match taken["lease"].is_null() {
        true => {
            let body = json!({ "cursor": taken["cursor"], "generation": taken["generation"] });
            tell(client, stream, group, "offset", &body)
        }
        false => tell(client, stream, group, "ack", &json!({ "lease": taken["lease"] })),
    };
    answer.status == 200
}

fn stands(client: &Client, stream: &str) -> [[i64; 2]; 3] {
    KINDS.map(|group| {
        let group = client.get(&format!("/v1/streams/{stream}/groups/{group}")).expect(200);
        ["committed", "generation"].map(|name| group[name].as_i64().unwrap())
    })
}

impl Kept {
    /// Groups that have read a part of it.
    pub fn begin(client: &Client, stream: &str) -> Self {
        for group in KINDS {
            let mut settings = json!({ "name": group, "max_deliveries": 0, "ack_timeout": "2s" });
            if group == "ordered" {
                settings["ordered_by"] = json!("asset_id");
            }
            client.post(&format!("/v1/streams/{stream}/groups"), &[], settings.to_string()).expect(201);
        }
        let alone = take(client, stream, "alone", 3);
        assert!(settle(client, stream, "alone", &alone));
        let out = take(client, stream, "shared", 2);
        let shared = take(client, stream, "shared", 3);
        assert!(settle(client, stream, "shared", &shared));
        let ordered = take(client, stream, "ordered", 4);
        assert!(settle(client, stream, "ordered", &ordered));
        let mut settled = [&alone, &shared, &ordered].map(offsets);
        let next = *settled[0].last().unwrap() + 1;
        tell(client, stream, "alone", "park", &json!({ "offset": next })).expect(200);
        settled[0].insert(next);
        let stands = stands(client, stream);
        Self { stream: stream.to_owned(), stands, settled, lease: out["lease"].clone(), ahead: Value::Null }
    }

    /// The only member reads to the end of what there is now, after the moment.
    pub fn read_on(&mut self, client: &Client, end: i64) {
        until("it is read", || {
            self.ahead = take(client, &self.stream, "alone", 1000);
            assert!(settle(client, &self.stream, "alone", &self.ahead));
            (self.ahead["next_offset"].as_i64().unwrap() >= end).then_some(())
        });
    }

    /// Where they were at the moment; and from there on each event once.
    pub fn assert_restored(&self, client: &Client) {
        let stream = &self.stream;
        let now = until("another generation begins", || {
            let now = stands(client, stream);
            now.iter().zip(&self.stands).all(|(now, then)| now[1] > then[1]).then_some(now)
        });
        assert_eq!(now.map(|[committed, _]| committed), self.stands.map(|[committed, _]| committed));
        tell(client, stream, "shared", "ack", &json!({ "lease": self.lease })).problem(409, "lease_over");
        let mut late = json!({ "cursor": self.ahead["cursor"], "generation": now[0][1] });
        tell(client, stream, "alone", "offset", &late).problem(410, "offset_gone");
        late["cursor"] = take(client, stream, "alone", 1)["cursor"].clone();
        late["generation"] = self.ahead["generation"].clone();
        tell(client, stream, "alone", "offset", &late).problem(409, "generation_over");
        let stored = self.stored(client);
        for (group, settled) in KINDS.into_iter().zip(&self.settled) {
            let mut read = settled.clone();
            until("all of it is read", || {
                let taken = take(client, stream, group, 1000);
                let found = offsets(&taken);
                if !found.is_empty() && settle(client, stream, group, &taken) {
                    assert!(read.is_disjoint(&found), "{group}: handed out again");
                    read.extend(found);
                }
                (read.len() >= stored.len()).then_some(())
            });
            assert!(read == stored, "{group}: every event, and none that is not there");
        }
    }

    fn stored(&self, client: &Client) -> BTreeSet<i64> {
        let (mut stored, mut place) = (BTreeSet::new(), "offset=0".to_owned());
        loop {
            let page = client.get(&format!("/v1/streams/{}/events?{place}&limit=1000", self.stream)).expect(200);
            stored.extend(page["data"].as_array().unwrap().iter().map(|event| event["offset"].as_i64().unwrap()));
            if page["next_offset"] == page["end"] {
                return stored;
            }
            place = format!("cursor={}", page["cursor"].as_str().unwrap());
        }
    }
}
