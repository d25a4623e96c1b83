//! One HTTP/1.1 connection that is opened when needed and reopened when lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Largest answer that is read: a hundred listed errors of some hundred bytes each, with room.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The server that is loaded.
#[derive(Debug)]
pub(crate) struct Target {
    host: String,
    port: u16,
    pub(crate) authority: HeaderValue,
    base_path: String,
}

impl Target {
    /// Parses `http://host[:port][/base]`.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
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
    pub(crate) fn path(&self, path: &str) -> Result<Uri, String> {
        let path = format!("{}{path}", self.base_path);
        path.parse().map_err(|_| format!("{path:?} is not a path"))
    }
}

/// An answer, read to its end.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

#[derive(Debug)]
pub(crate) struct Lost {
    /// Whether the server may have seen the request.
    pub(crate) maybe_sent: bool,
    pub(crate) message: String,
}

impl Lost {
    fn unsent(message: String) -> Self {
        Self { maybe_sent: false, message }
    }
}

/// One connection's worth of client.
pub(crate) struct Connection {
    target: Arc<Target>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    pub(crate) fn new(target: Arc<Target>) -> Self {
        Self { target, sender: None }
    }

    /// Sends one request and reads its answer. After any failure, or the timeout, the connection is dropped, so that a
    /// late answer is never taken for the next request's.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>, timeout: Duration) -> Result<Reply, Lost> {
        let deadline = tokio::time::Instant::now() + timeout;
        let mut sender = match tokio::time::timeout_at(deadline, self.ready()).await {
            Ok(sender) => sender?,
            Err(_) => return Err(Lost::unsent(format!("no connection within {timeout:?}"))),
        };
        match tokio::time::timeout_at(deadline, exchange(&mut sender, request)).await {
            Ok(Ok(reply)) => {
                self.sender = Some(sender);
                Ok(reply)
            }
            Ok(Err(lost)) => Err(lost),
            Err(_) => Err(Lost { maybe_sent: true, message: format!("no answer within {timeout:?}") }),
        }
    }

    /// The idle connection if it still stands, else a new one.
    async fn ready(&mut self) -> Result<SendRequest<Full<Bytes>>, Lost> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        connect(&self.target).await.map_err(Lost::unsent)
    }
}

/// Opens a connection; its driver task ends with the sender.
async fn connect(target: &Target) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // The driver's error reaches the request in flight as well.
    tokio::spawn(async move { drop(driver.await) });
    Ok(sender)
}

/// Fails with the reason when nothing listens at the target, so that a mistyped URL is told at once.
pub(crate) async fn probe(target: &Target, timeout: Duration) -> Result<(), String> {
    match tokio::time::timeout(timeout, TcpStream::connect((target.host.as_str(), target.port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no connection within {timeout:?}")),
    }
}

async fn exchange(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Result<Reply, Lost> {
    let response = sender.send_request(request).await.map_err(|error| Lost {
        // Cancelled: the connection closed before the request was taken from the queue.
        maybe_sent: !error.is_canceled(),
        message: error.to_string(),
    })?;
    let (head, body) = response.into_parts();
    let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = Limited::new(body, ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| Lost { maybe_sent: true, message: format!("the answer broke off: {error}") })?;
    Ok(Reply { status: head.status, retry_after: retry_after.map(Duration::from_secs), body: body.to_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let target = Target::parse("http://example.com:8080/base/").expect("good");
        assert_eq!((target.host.as_str(), target.port), ("example.com", 8080));
        assert_eq!(target.path("/v1/events").expect("good").path(), "/base/v1/events");
        let target = Target::parse("http://[::1]").expect("good");
        assert_eq!((target.host.as_str(), target.port), ("::1", 80));
        assert_eq!(target.path("/v1/events").expect("good").path(), "/v1/events");
        for bad in ["", "localhost:8080", "ftp://x", "http://", "http://u:p@x", "http://x/?a=1"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
        assert!(Target::parse("https://x").expect_err("refused").contains("https is not supported"));
    }
}
