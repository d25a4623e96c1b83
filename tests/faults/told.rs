//! Requests of events that are told apart by id, and everything that their senders were told about them.

use std::collections::BTreeSet;
use std::sync::Mutex;

use uuid::Uuid;

use crate::client::{Answer, Client};
use crate::samples::array;

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

/// A request, and how its attempts went.
#[derive(Debug, Default, Clone)]
pub struct Record {
    /// Ids of events.
    pub good: Vec<Uuid>,
    /// Ids of items that break the rules.
    pub bad: Vec<Uuid>,
    /// Bytes in each of the good.
    padding: usize,
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

    fn body(&self) -> Vec<u8> {
        let padding = "x".repeat(self.padding);
        let event = |id: &Uuid| {
            format!(r#"{{"id":"{id}","event_type":"t","source_module":"s","payload":{{"padding":"{padding}"}}}}"#)
        };
        // No source and no payload.
        let junk = |id: &Uuid| format!(r#"{{"id":"{id}","event_type":"t"}}"#);
        array(self.good.iter().map(event).chain(self.bad.iter().map(junk)))
    }
}

/// A request that can be sent.
#[derive(Debug, Clone)]
pub struct Request {
    index: usize,
    pub body: Vec<u8>,
    /// Its idempotency key.
    pub key: Option<String>,
}

/// All requests of a test.
#[derive(Default)]
pub struct Told {
    records: Mutex<Vec<Record>>,
}

impl Told {
    /// A request that nobody has sent yet: events, of which each carries `padding` bytes, and items that break the rules.
    pub fn request_of(&self, keyed: bool, good: usize, bad: usize, padding: usize) -> Request {
        let ids = |count: usize| (0..count).map(|_| Uuid::now_v7()).collect::<Vec<_>>();
        let mut records = self.records.lock().unwrap();
        let index = records.len();
        let key = keyed.then(|| format!("key-{index}"));
        let record = Record { good: ids(good), bad: ids(bad), padding, key: key.clone(), attempts: Vec::new() };
        let body = record.body();
        records.push(record);
        Request { index, body, key }
    }

    /// Every request that has a key, for sending all of them once more.
    pub fn keyed(&self) -> Vec<Request> {
        let keyed = |(index, record): (usize, &Record)| {
            record.key.clone().map(|key| Request { index, body: record.body(), key: Some(key) })
        };
        self.records.lock().unwrap().iter().enumerate().filter_map(keyed).collect()
    }

    /// The same with short events.
    pub fn request(&self, keyed: bool, good: usize, bad: usize) -> Request {
        self.request_of(keyed, good, bad, 20)
    }

    /// Sends it, as often as this is called; None when no complete answer came.
    pub fn send(&self, client: &Client, request: &Request) -> Option<Answer> {
        self.post(client, "/v1/events", request)
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

    /// One request with a key and one without, each of three events and a bad item, both answered with this status.
    pub fn both(&self, client: &Client, status: u16) {
        for keyed in [true, false] {
            let answer = self.send(client, &self.request(keyed, 3, 1)).expect("an answer");
            let body = answer.expect(status);
            if matches!(status, 200 | 202) {
                assert_eq!((&body["accepted"], &body["rejected"]), (&3.into(), &1.into()), "{body}");
            }
        }
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
