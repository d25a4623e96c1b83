//! Requests of items that are told apart by id, and everything that their senders were told about them.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use uuid::Uuid;

use crate::client::{Answer, Client};
use crate::samples::array;

/// The name of the samples, which tells them from those that a test sends in its own way.
pub const SAMPLES: &str = "told";
/// Series of the samples.
const SERIES: u128 = 8;

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Answered {
        status: u16,
        accepted: u64,
        rejected: u64,
        duplicate: bool,
    },
    /// No complete answer.
    Lost,
}

impl Reply {
    fn of(answer: Option<&Answer>) -> Self {
        let Some(answer) = answer else { return Self::Lost };
        let body = if answer.bytes.is_empty() { serde_json::Value::Null } else { answer.json() };
        let count = |name: &str| body[name].as_u64().unwrap_or(0);
        let duplicate = body["duplicate"].as_bool().unwrap_or(false);
        Self::Answered { status: answer.status, accepted: count("accepted"), rejected: count("rejected"), duplicate }
    }

    pub fn status(self) -> Option<u16> {
        match self {
            Self::Answered { status, .. } => Some(status),
            Self::Lost => None,
        }
    }

    /// Whether the sender may forget the request.
    pub fn is_promise(self) -> bool {
        matches!(self.status(), Some(200 | 202))
    }
}

/// An attempt at a request.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Where it was sent: tells one process from the next.
    pub address: String,
    pub reply: Reply,
}

/// What the items of a request are.
#[derive(Debug, Clone)]
enum Content {
    /// Events with so many bytes in each of the good.
    Padded(usize),
    /// An event of each of these times, the good first.
    At(Vec<Timestamp>),
    Samples,
}

/// A request, and how its attempts went.
#[derive(Debug, Clone)]
pub struct Record {
    /// Ids of events, or what stands for them (see [`sample_id`]).
    pub good: Vec<Uuid>,
    /// Ids of items that break the rules.
    pub bad: Vec<Uuid>,
    content: Content,
    /// The request's idempotency key.
    pub key: Option<String>,
    pub attempts: Vec<Attempt>,
}

impl Record {
    pub fn items(&self) -> u64 {
        (self.good.len() + self.bad.len()) as u64
    }

    pub fn ids(&self) -> impl Iterator<Item = &Uuid> {
        self.good.iter().chain(&self.bad)
    }

    pub fn is_promised(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.reply.is_promise())
    }

    /// Whether it was answered with 200: it is in the database as it was then.
    pub fn is_committed(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.reply.status() == Some(200))
    }

    fn path(&self) -> &'static str {
        if matches!(self.content, Content::Samples) { "/v1/metrics" } else { "/v1/events" }
    }

    fn body(&self) -> Vec<u8> {
        match &self.content {
            Content::Padded(bytes) => {
                let padding = "x".repeat(*bytes);
                let payload = format!(r#"{{"padding":"{padding}"}}"#);
                let event =
                    |id: &Uuid| format!(r#"{{"id":"{id}","event_type":"t","source_module":"s","payload":{payload}}}"#);
                // No source and no payload.
                let junk = |id: &Uuid| format!(r#"{{"id":"{id}","event_type":"t"}}"#);
                array(self.good.iter().map(event).chain(self.bad.iter().map(junk)))
            }
            Content::At(times) => {
                let event = |(id, at): (&Uuid, &Timestamp)| {
                    format!(r#"{{"id":"{id}","event_type":"t","source_module":"s","payload":{{}},"timestamp":"{at}"}}"#)
                };
                array(self.ids().zip(times).map(event))
            }
            Content::Samples => {
                let sample = |id: &Uuid| {
                    let value = id.as_u128();
                    format!(r#"{{"asset_id":"asset-{}","metric_name":"{SAMPLES}","value":{value}}}"#, value % SERIES)
                };
                // No name.
                let junk = |id: &Uuid| format!(r#"{{"asset_id":"a","value":{}}}"#, id.as_u128());
                array(self.good.iter().map(sample).chain(self.bad.iter().map(junk)))
            }
        }
    }
}

/// Samples have no ids: each of a test has a value of its own, which stands for one.
pub fn sample_id(value: u64) -> Uuid {
    Uuid::from_u128(value.into())
}

/// A request that can be sent.
#[derive(Debug, Clone)]
pub struct Request {
    index: usize,
    path: &'static str,
    pub body: Vec<u8>,
    /// Its idempotency key.
    pub key: Option<String>,
}

/// All requests of a test.
#[derive(Default)]
pub struct Told {
    records: Mutex<Vec<Record>>,
    samples: AtomicU64,
}

impl Told {
    /// A request that nobody has sent yet: events, of which each carries `padding` bytes, and items that break the rules.
    pub fn request_of(&self, keyed: bool, good: usize, bad: usize, padding: usize) -> Request {
        let [good, bad] = [good, bad].map(|count| (0..count).map(|_| Uuid::now_v7()).collect());
        self.noted(keyed, good, bad, Content::Padded(padding))
    }

    /// One event of each of these times; those behind `good` lie outside of what is taken.
    pub fn request_at(&self, keyed: bool, times: &[Timestamp], good: usize) -> Request {
        let mut ids: Vec<Uuid> = times.iter().map(|_| Uuid::now_v7()).collect();
        let bad = ids.split_off(good);
        self.noted(keyed, ids, bad, Content::At(times.to_vec()))
    }

    /// Samples of a few series, and items that break the rules.
    pub fn samples(&self, keyed: bool, good: usize, bad: usize) -> Request {
        let items = (good + bad) as u64;
        let first = self.samples.fetch_add(items, Ordering::SeqCst);
        let mut ids: Vec<Uuid> = (first..first + items).map(sample_id).collect();
        let bad = ids.split_off(good);
        self.noted(keyed, ids, bad, Content::Samples)
    }

    fn noted(&self, keyed: bool, good: Vec<Uuid>, bad: Vec<Uuid>, content: Content) -> Request {
        let mut records = self.records.lock().unwrap();
        let index = records.len();
        let key = keyed.then(|| format!("key-{index}"));
        let record = Record { good, bad, content, key: key.clone(), attempts: Vec::new() };
        let (path, body) = (record.path(), record.body());
        records.push(record);
        Request { index, path, body, key }
    }

    /// Every request that has a key, for sending all of them once more.
    pub fn keyed(&self) -> Vec<Request> {
        let keyed = |(index, record): (usize, &Record)| {
            let (path, body) = (record.path(), record.body());
            record.key.clone().map(|key| Request { index, path, body, key: Some(key) })
        };
        self.records.lock().unwrap().iter().enumerate().filter_map(keyed).collect()
    }

    /// The same with short events.
    pub fn request(&self, keyed: bool, good: usize, bad: usize) -> Request {
        self.request_of(keyed, good, bad, 20)
    }

    /// Sends it, as often as this is called; None when no complete answer came.
    pub fn send(&self, client: &Client, request: &Request) -> Option<Answer> {
        self.post(client, request.path, request)
    }

    /// The same; to be safe on disk is enough.
    pub fn spool(&self, client: &Client, request: &Request) -> Option<Answer> {
        self.post(client, &format!("{}?ack=spooled", request.path), request)
    }

    /// The same with parameters, such as `/v1/events?ack=spooled`.
    pub fn post(&self, client: &Client, path: &str, request: &Request) -> Option<Answer> {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(request.key.as_deref().map(|key| ("idempotency-key", key)));
        let answer = client.send("POST", path, &headers, &request.body).ok();
        self.note(client, request, answer.as_ref());
        answer
    }

    /// What came of an attempt that the test sent in its own way.
    pub fn note(&self, client: &Client, request: &Request, answer: Option<&Answer>) {
        let attempt = Attempt { address: client.address.clone(), reply: Reply::of(answer) };
        self.records.lock().unwrap()[request.index].attempts.push(attempt);
    }

    /// One request with a key and one without, each of three events and a bad item, both answered with this status; where that is
    /// 200, what a busy machine puts into the spool first is waited for.
    pub fn both(&self, client: &Client, status: u16) {
        for keyed in [true, false] {
            let answer = self.send(client, &self.request(keyed, 3, 1)).expect("an answer");
            let body = if status == 200 { answer.in_time() } else { answer }.expect(status);
            if matches!(status, 200 | 202) {
                assert_eq!((&body["accepted"], &body["rejected"]), (&3.into(), &1.into()), "{body}");
            }
        }
    }

    /// What is known of a request so far.
    pub fn record(&self, request: &Request) -> Record {
        self.records.lock().unwrap()[request.index].clone()
    }

    /// All requests so far.
    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap().clone()
    }

    /// The processes that were spoken to.
    pub fn addresses(&self) -> BTreeSet<String> {
        self.records().iter().flat_map(|record| &record.attempts).map(|attempt| attempt.address.clone()).collect()
    }
}
