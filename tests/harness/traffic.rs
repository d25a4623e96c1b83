//! Senders that never give up: each sends keyed requests one after another, each until it is answered 200, or 202 for
//! being safe on disk. At the end everything that was acknowledged must be stored once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::Client;
use crate::env::until;
use crate::postgres::Sql;
use crate::samples::array;

/// Items of a request.
const ITEMS: i64 = 20;
const SENDERS: usize = 4;
/// Between attempts while the server is away, so that the senders leave it some processor time.
const PAUSE: Duration = Duration::from_millis(10);

/// What a sender does with a request that is not answered 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Sends it again until it is.
    Retry,
    /// Stops.
    GiveUp,
}

/// What the requests hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Events,
    Metrics,
}

impl Sent {
    fn path(self) -> &'static str {
        match self {
            Self::Events => "/v1/events",
            Self::Metrics => "/v1/metrics",
        }
    }

    fn item(self, key: &str, n: i64) -> String {
        match self {
            Self::Events => format!(r#"{{"event_type":"t","source_module":"s","payload":{{"key":"{key}","n":{n}}}}}"#),
            Self::Metrics => {
                format!(r#"{{"asset_id":"asset-{n}","metric_name":"m","value":{n},"dimensions":{{"key":"{key}"}}}}"#)
            }
        }
    }

    /// The stored requests: key, rows, different rows.
    fn stored(self) -> &'static str {
        match self {
            Self::Events => "SELECT payload->>'key', count(*), count(DISTINCT payload->>'n') FROM events GROUP BY 1",
            Self::Metrics => "SELECT dimensions->>'key', count(*), count(DISTINCT value_sum) FROM metrics GROUP BY 1",
        }
    }
}

#[derive(Default)]
struct Shared {
    client: Mutex<Option<Client>>,
    stop: AtomicBool,
    acknowledged: AtomicUsize,
    failures: AtomicUsize,
}

/// Senders at work.
pub struct Traffic {
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<Vec<String>>>,
}

impl Traffic {
    pub fn start(client: &Client, patience: Patience) -> Self {
        Self::of(Sent::Events, client, patience)
    }

    pub fn of(sent: Sent, client: &Client, patience: Patience) -> Self {
        Self::many(SENDERS, sent, client, patience)
    }

    /// Events of so many senders.
    pub fn by(senders: usize, client: &Client, patience: Patience) -> Self {
        Self::many(senders, Sent::Events, client, patience)
    }

    fn many(senders: usize, sent: Sent, client: &Client, patience: Patience) -> Self {
        let shared = Arc::new(Shared { client: Mutex::new(Some(client.clone())), ..Shared::default() });
        let senders = (0..senders)
            .map(|sender| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || send(sent, &shared, sender, patience))
            })
            .collect();
        Self { shared, senders }
    }

    /// Where the server is now.
    pub fn redirect(&self, client: &Client) {
        *self.shared.client.lock().unwrap() = Some(client.clone());
    }

    /// Waits until this many more requests were answered 200.
    pub fn flows(&self, requests: usize) {
        let goal = self.shared.acknowledged.load(SeqCst) + requests;
        until("requests are acknowledged", || (self.shared.acknowledged.load(SeqCst) >= goal).then_some(()));
    }

    /// Attempts that were not answered 200.
    pub fn failures(&self) -> usize {
        self.shared.failures.load(SeqCst)
    }

    /// Lets every sender finish; the keys of the requests that were answered 200.
    pub fn finish(self) -> BTreeSet<String> {
        self.shared.stop.store(true, SeqCst);
        self.senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    }
}

fn send(sent: Sent, shared: &Shared, sender: usize, patience: Patience) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for request in 0.. {
        if shared.stop.load(SeqCst) {
            break;
        }
        // A key stands for its route as well.
        let key = match sent {
            Sent::Events => format!("{sender}-{request}"),
            Sent::Metrics => format!("m{sender}-{request}"),
        };
        let body = array((0..ITEMS).map(|n| sent.item(&key, n)));
        let attempt = || {
            let client = shared.client.lock().unwrap().clone().unwrap();
            let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
            match client.send("POST", sent.path(), &headers, &body) {
                Ok(answer) if matches!(answer.status, 200 | 202) => {
                    let told = answer.json();
                    assert_eq!((&told["accepted"], &told["rejected"]), (&ITEMS.into(), &0.into()), "{told}");
                    Some(())
                }
                Ok(answer) => {
                    // 401 is what the server of another test says, which was given the port of one that was killed.
                    assert!(matches!(answer.status, 401 | 409 | 503), "{}: {}", answer.status, answer.text());
                    None
                }
                Err(_) => None,
            }
        };
        loop {
            if attempt().is_some() {
                shared.acknowledged.fetch_add(1, SeqCst);
                acknowledged.push(key);
                break;
            }
            shared.failures.fetch_add(1, SeqCst);
            if patience == Patience::GiveUp {
                return acknowledged;
            }
            // The pace of attempts: another is what tells whether the server is back.
            std::thread::sleep(PAUSE);
        }
    }
    acknowledged
}

/// Every acknowledged request is stored whole and once; any other whole and once, or not at all. Returns how many are
/// stored.
pub fn assert_stored(sql: &Sql, acknowledged: &BTreeSet<String>) -> usize {
    assert_stored_of(Sent::Events, sql, acknowledged)
}

pub fn assert_stored_of(sent: Sent, sql: &Sql, acknowledged: &BTreeSet<String>) -> usize {
    let rows = sql.rows(sent.stored(), &[]);
    let stored: BTreeMap<String, (i64, i64)> = rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
    for (key, counts) in &stored {
        assert_eq!(*counts, (ITEMS, ITEMS), "{key}");
    }
    let lost: Vec<&String> = acknowledged.iter().filter(|key| !stored.contains_key(*key)).collect();
    assert!(lost.is_empty(), "acknowledged and not stored: {lost:?}");
    stored.len()
}
