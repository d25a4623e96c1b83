//! A consumer's connection: asks again where it is told to come back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use serde_json::Value;
use tidegate::load::{Connection, Endpoint};

use super::super::common::Result;
use super::super::sender::bearer;
use super::super::target::Target;

const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Longer than the longest wait, and than a replay of all dead letters.
const TIMEOUT: Duration = Duration::from_secs(300);
const ATTEMPTS_MAX: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);
/// Retry-After is obeyed up to this.
const PAUSE_MAX: Duration = Duration::from_secs(2);

pub struct Client {
    endpoint: Arc<Endpoint>,
    connection: Connection,
    authorization: HeaderValue,
}

impl Client {
    pub fn new(target: &Target, key: &str) -> Result<Self> {
        let endpoint = Arc::clone(&target.endpoint);
        let connection = Connection::new(Arc::clone(&endpoint)).with_answers_of(ANSWER_BYTES_MAX);
        Ok(Self { endpoint, connection, authorization: bearer(key)? })
    }

    pub async fn get(&mut self, path: &str) -> Result<Bytes> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Bytes> {
        self.ask(Method::POST, path, serde_json::to_vec(body)?.into()).await
    }

    async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
        let mut last = String::new();
        for _ in 0..ATTEMPTS_MAX {
            let request = Request::builder()
                .method(&method)
                .uri(self.endpoint.path(path)?)
                .header(AUTHORIZATION, &self.authorization)
                .header(CONTENT_TYPE, "application/json")
                .body(Full::new(body.clone()))?;
            let reply = self.connection.send(request, TIMEOUT).await?;
            if reply.status.is_success() {
                return Ok(reply.body);
            }
            last = format!("{method} {path} answered {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
            if !matches!(reply.status.as_u16(), 429 | 503) {
                break;
            }
            tokio::time::sleep(reply.retry_after().unwrap_or(PAUSE).min(PAUSE_MAX)).await;
        }
        Err(last.into())
    }
}
