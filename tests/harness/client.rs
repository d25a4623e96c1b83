//! What tests need on top of the crate's HTTP client: answers that are asserted on, and requests from code that blocks, one
//! connection each, so that a test sees exactly what came back.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, LazyLock, mpsc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tidegate::load::{Connection, Endpoint, HttpReply};
use tokio::runtime::{Builder, Runtime};

use crate::env::{DEADLINE, until};

/// Larger than any answer of a test.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// Where connections live: apart from the runtimes of tests, which block while they wait.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// An API key.
#[derive(Debug, Clone)]
pub struct Key {
    pub text: String,
    pub id: Option<String>,
}

impl Key {
    /// Of what `keys create --json` prints.
    pub fn parse(json: &Value) -> Self {
        Self { text: text(&json["key"]), id: Some(text(&json["id"])) }
    }

    pub fn id(&self) -> &str {
        self.id.as_deref().expect("a key made by the command line")
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub bytes: Vec<u8>,
    /// Who asked, where that was a [`Client`].
    asked: Option<Client>,
}

impl Answer {
    pub fn new(status: u16, headers: HashMap<String, String>, bytes: Vec<u8>) -> Self {
        Self { status, headers, bytes, asked: None }
    }

    /// The same of one that a test sent in its own way, in the name of a client.
    pub fn asked_by(self, client: &Client) -> Self {
        Self { asked: Some(client.clone()), ..self }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts the status and returns the body.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        if self.bytes.is_empty() { Value::Null } else { self.json() }
    }

    /// Asserts a problem document with this status and code.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.expect(status);
        assert_eq!((&body["code"], self.header("content-type")), (&code.into(), "application/problem+json"), "{body}");
        body
    }

    /// Asserts 200 with these counts. Where the database did not take the request in time, as on a busy machine, it waits until it
    /// has: see [`Answer::in_time`].
    pub fn accepted(&self, accepted: u64, rejected: u64) -> Value {
        let body = self.in_time().expect(200);
        assert_eq!((&body["accepted"], &body["rejected"]), (&accepted.into(), &rejected.into()), "{body}");
        assert_eq!(body["status"], "committed");
        body
    }

    /// The answer that it would have been, had the database taken the request in time: in the place of 202 what became of the
    /// request, once it has left the spool. But for one thing: whether it was a repetition is not known. Where everything was
    /// refused the answer is the same, and the dead letters are in the database.
    pub fn in_time(&self) -> Self {
        if matches!(self.status, 400 | 422) && self.json()["receipt"].is_string() {
            self.drained();
        }
        if self.status != 202 {
            return self.clone();
        }
        let mut told = self.json();
        let Some(receipt) = self.drained() else { panic!("it has left the spool, and there is no receipt: {told}") };
        let errors = receipt["errors"].as_array().unwrap();
        // Of more than are listed only decoding's share is known by codes.
        if receipt["rejected"] == errors.len() && !errors.is_empty() {
            let mut codes = BTreeMap::<&str, u64>::new();
            errors.iter().for_each(|error| *codes.entry(error["code"].as_str().unwrap()).or_default() += 1);
            told["codes"] = json!(codes);
        }
        if receipt["duplicates"] != 0 {
            told["duplicates"] = receipt["duplicates"].clone();
        }
        for name in ["status", "accepted", "rejected", "errors"] {
            told[name] = receipt[name].clone();
        }
        Self { status: 200, bytes: told.to_string().into_bytes(), ..self.clone() }
    }

    /// Waits until the request is not in the spool, and returns its receipt where that is kept.
    fn drained(&self) -> Option<Value> {
        let client = self.asked.as_ref()?;
        let path = format!("/v1/receipts/{}", text(&self.json()["receipt"]));
        until("what was sent has left the spool", || {
            let answer = client.get(&path);
            match answer.status {
                // It was never there, and had no key.
                404 => Some(None),
                429 | 503 => None,
                _ => Some(answer.expect(200)).filter(|receipt| receipt["status"] != "spooled").map(Some),
            }
        })
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Sends requests to one server, with one key.
#[derive(Debug, Clone)]
pub struct Client {
    pub address: String,
    key: Option<String>,
}

impl Client {
    pub fn new(address: &str, key: Option<&str>) -> Self {
        Self { address: address.to_owned(), key: key.map(str::to_owned) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn key(&self) -> &str {
        self.key.as_deref().expect("a key")
    }

    /// What its requests have in Authorization.
    pub fn authorization(&self) -> Option<String> {
        self.key.as_ref().map(|key| format!("Bearer {key}"))
    }

    /// JSON to /v1/events.
    pub fn events(&self, body: impl AsRef<[u8]>) -> Answer {
        self.post("/v1/events", &[("content-type", "application/json")], body)
    }

    /// JSON to /v1/events under an idempotency key.
    pub fn keyed(&self, key: &str, body: impl AsRef<[u8]>) -> Answer {
        self.post("/v1/events", &[("content-type", "application/json"), ("idempotency-key", key)], body)
    }

    /// The same once more, of what is stored under that key.
    pub fn repeated(&self, key: &str, body: impl AsRef<[u8]>) -> Answer {
        repeated(|| self.keyed(key, &body))
    }

    /// JSON to /v1/metrics.
    pub fn metrics(&self, body: impl AsRef<[u8]>) -> Answer {
        self.post("/v1/metrics", &[("content-type", "application/json")], body)
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        self.send("POST", path, headers, body.as_ref()).unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_as(path, &[])
    }

    pub fn get_as(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, &[]).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// One request; an error when no complete answer came.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).header("host", "tidegate");
        request = request.header("connection", "close");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).map_err(io::Error::other)?;
        let endpoint = Arc::new(Endpoint::parse(&self.url()).map_err(io::Error::other)?);
        let (tell, told) = mpsc::channel();
        RUNTIME.spawn(async move {
            let mut connection = Connection::new(endpoint).with_answers_of(ANSWER_BYTES_MAX);
            // Nobody waits any more where this fails.
            drop(tell.send(connection.send(request, DEADLINE).await));
        });
        let reply = told.recv().expect("an answer or an error").map_err(io::Error::other)?;
        Ok(Answer::from(reply).asked_by(self))
    }
}

/// The answer to a request that is stored under its key already: sent until it is answered from the ledger, which is not asked
/// before what goes to the spool.
pub fn repeated(send: impl Fn() -> Answer) -> Answer {
    until("the ledger is asked", || Some(send()).filter(|answer| answer.status != 202))
}

impl From<HttpReply> for Answer {
    fn from(reply: HttpReply) -> Self {
        let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = reply.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        Self::new(reply.status.as_u16(), headers, reply.body.to_vec())
    }
}

/// An answer to a request that a test wrote byte by byte; none when it is cut off.
pub fn parse(bytes: &[u8], method: &str) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let bytes = if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        unchunk(body)?
    } else if method == "HEAD" {
        body.to_vec()
    } else {
        let length: usize = headers.get("content-length")?.parse().ok()?;
        body.get(..length)?.to_vec()
    };
    Some(Answer::new(status, headers, bytes))
}

fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(bytes);
        }
        bytes.extend_from_slice(body.get(end + 2..end + 2 + size)?);
        body = body.get(end + 4 + size..)?;
    }
}
