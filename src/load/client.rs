//! The HTTP/1.1 client of the load generator, of the measuring harness and of the tests: one connection that is opened when
//! needed, kept alive, and reopened when lost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Largest answer that is read unless somebody says otherwise: a hundred listed errors of some hundred bytes each, with room.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug)]
pub struct Endpoint {
    host: String,
    port: u16,
    authority: HeaderValue,
    base_path: String,
}

impl Endpoint {
    /// Parses `http://host[:port][/base]`.
    pub fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| format!("{url:?} is not a URL such as http://127.0.0.1:8080"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(format!(
                    "{url}: https is not supported here; use the plain http:// listener or a TLS proxy"
                ));
            }
            _ => return Err(format!("{url:?} does not start with http://")),
        }
        let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else {
            return Err(format!("{url:?} names no host"));
        };
        if uri.query().is_some() {
            return Err(format!("{url:?}: a base URL has no query"));
        }
        if authority.as_str().contains('@') {
            return Err("the URL holds a user name; keys are given with --key".into());
        }
        Ok(Self {
            // Brackets belong to the URL, not to the IPv6 address.
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| format!("{url:?} has a bad host"))?,
            base_path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The request target of a path below the base.
    pub fn path(&self, path: &str) -> Result<Uri, String> {
        let path = format!("{}{path}", self.base_path);
        path.parse().map_err(|_| format!("{path:?} is not a path"))
    }

    /// Fails with the reason when nothing listens there, so that a mistyped URL is told at once.
    pub(crate) async fn probe(&self, timeout: Duration) -> Result<(), String> {
        match tokio::time::timeout(timeout, self.connect()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no connection within {timeout:?}")),
        }
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect((self.host.as_str(), self.port)).await
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct HttpReply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl HttpReply {
    /// Retry-After, where it is a number of seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}

#[derive(Debug)]
pub struct Lost {
    /// Whether the server may have seen the request.
    pub maybe_sent: bool,
    pub message: String,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Lost {}

#[derive(Debug)]
pub struct Connection<B = Full<Bytes>> {
    endpoint: Arc<Endpoint>,
    answer_bytes_max: usize,
    sender: Option<SendRequest<B>>,
}

impl<B: Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static> Connection<B> {
    pub fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint, answer_bytes_max: ANSWER_BYTES_MAX, sender: None }
    }

    /// Reads answers of up to so many bytes.
    pub fn with_answers_of(self, answer_bytes_max: usize) -> Self {
        Self { answer_bytes_max, ..self }
    }

    /// Sends one request and reads its answer. After any failure, or the timeout, the connection is dropped, so that a
    /// late answer is never taken for the next request's.
    pub async fn send(&mut self, mut request: Request<B>, timeout: Duration) -> Result<HttpReply, Lost> {
        request.headers_mut().entry(HOST).or_insert_with(|| self.endpoint.authority.clone());
        let deadline = tokio::time::Instant::now() + timeout;
        let unsent = |message| Lost { maybe_sent: false, message };
        let mut sender = match tokio::time::timeout_at(deadline, self.ready()).await {
            Ok(sender) => sender.map_err(unsent)?,
            Err(_) => return Err(unsent(format!("no connection within {timeout:?}"))),
        };
        match tokio::time::timeout_at(deadline, exchange(&mut sender, request, self.answer_bytes_max)).await {
            Ok(Ok(reply)) => {
                self.sender = Some(sender);
                Ok(reply)
            }
            Ok(Err(lost)) => Err(lost),
            Err(_) => Err(Lost { maybe_sent: true, message: format!("no answer within {timeout:?}") }),
        }
    }

    /// The idle connection if it still stands, else a new one, whose driver task ends with the sender.
    async fn ready(&mut self) -> Result<SendRequest<B>, String> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let stream = self.endpoint.connect().await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // The driver's error reaches the request in flight as well.
        tokio::spawn(async move { drop(driver.await) });
        Ok(sender)
    }
}

async fn exchange<B: Body + 'static>(
    sender: &mut SendRequest<B>,
    request: Request<B>,
    answer_bytes_max: usize,
) -> Result<HttpReply, Lost> {
    let response = sender.send_request(request).await.map_err(|error| Lost {
        // Cancelled: the connection closed before the request was taken from the queue.
        maybe_sent: !error.is_canceled(),
        message: error.to_string(),
    })?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, answer_bytes_max)
        .collect()
        .await
        .map_err(|error| Lost { maybe_sent: true, message: format!("the answer broke off: {error}") })?;
    Ok(HttpReply { status: head.status, headers: head.headers, body: body.to_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let endpoint = Endpoint::parse("http://example.com:8080/base/").expect("good");
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("example.com", 8080));
        assert_eq!(endpoint.path("/v1/events").expect("good").path(), "/base/v1/events");
        let endpoint = Endpoint::parse("http://[::1]").expect("good");
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("::1", 80));
        assert_eq!(endpoint.path("/v1/events").expect("good").path(), "/v1/events");
        for bad in ["", "localhost:8080", "ftp://x", "http://", "http://u:p@x", "http://x/?a=1"] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
        assert!(Endpoint::parse("https://x").expect_err("refused").contains("https is not supported"));
    }
}
