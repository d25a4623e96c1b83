//! The HTTP/1.1 client of the load generator, of the measuring harness and of the tests: one connection that is opened when
//! needed, kept alive, and reopened when lost; plain or over TLS.

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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::tls::{ClientOptions, Reason, Trust, reason};

/// Largest answer that is read unless somebody says otherwise: a hundred listed errors of some hundred bytes each, with room.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug)]
pub struct Endpoint {
    host: String,
    port: u16,
    authority: HeaderValue,
    base_path: String,
    tls: Option<Https>,
}

struct Https {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS to {:?}", self.name)
    }
}

impl Https {
    fn to(host: &str, trust: &Trust) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is no name of a host"))?;
        let options = ClientOptions {
            alpn: vec![b"http/1.1".to_vec()],
            ..ClientOptions::new(trust.clone(), *trust != Trust::Anyone)
        };
        let config = options.config().map_err(|error| format!("{error} (--cacert)"))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    async fn shake(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        self.connector.connect(self.name.clone(), stream).await.map_err(|error| match reason(&error) {
            Some(reason @ Reason::NotTrusted) => {
                format!("{reason}; name the certificate of its authority with --cacert FILE")
            }
            Some(reason @ Reason::NotTls) => format!("{reason}: it may speak plain http://"),
            Some(reason) => reason.to_string(),
            None => error.to_string(),
        })
    }
}

impl Endpoint {
    /// Parses `http://host[:port][/base]`, or the same with https, whose certificate an authority of the system signed.
    pub fn parse(url: &str) -> Result<Self, String> {
        Self::trusting(url, &Trust::System)
    }

    /// The same, with a certificate that others signed.
    pub fn trusting(url: &str, trust: &Trust) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| format!("{url:?} is not a URL such as http://127.0.0.1:8080"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(format!("{url:?} does not start with http:// or https://")),
        };
        let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else {
            return Err(format!("{url:?} names no host"));
        };
        if uri.query().is_some() {
            return Err(format!("{url:?}: a base URL has no query"));
        }
        if authority.as_str().contains('@') {
            return Err("the URL holds a user name; keys are given with --key".into());
        }
        // Brackets belong to the URL, not to the IPv6 address.
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(Self {
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| format!("{url:?} has a bad host"))?,
            base_path: uri.path().trim_end_matches('/').to_owned(),
            tls: if secure { Some(Https::to(&host, trust)?) } else { None },
            host,
        })
    }

    /// The request target of a path below the base.
    pub fn path(&self, path: &str) -> Result<Uri, String> {
        let path = format!("{}{path}", self.base_path);
        path.parse().map_err(|_| format!("{path:?} is not a path"))
    }

    /// Fails with the reason when nothing listens there, or somebody else, so that a mistyped URL is told at once.
    pub(crate) async fn probe(&self, timeout: Duration) -> Result<(), String> {
        let connected = async {
            let stream = self.connect().await?;
            match &self.tls {
                Some(tls) => tls.shake(stream).await.map(drop),
                None => Ok(()),
            }
        };
        match tokio::time::timeout(timeout, connected).await {
            Ok(connected) => connected,
            Err(_) => Err(format!("no connection within {timeout:?}")),
        }
    }

    async fn connect(&self) -> Result<TcpStream, String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(stream)
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
        let stream = self.endpoint.connect().await?;
        match &self.endpoint.tls {
            Some(tls) => drive(tls.shake(stream).await?).await,
            None => drive(stream).await,
        }
    }
}

async fn drive<B>(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<SendRequest<B>, String>
where
    B: Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
{
    let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // The driver's error reaches the request in flight as well.
    tokio::spawn(async move { drop(driver.await) });
    Ok(sender)
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
        let endpoint = Endpoint::trusting("https://[::1]/base", &Trust::Anyone).expect("good");
        assert_eq!((endpoint.port, endpoint.tls.is_some()), (443, true));
        let nowhere = Trust::File("/nowhere/ca.pem".into());
        let why = Endpoint::trusting("https://x", &nowhere).expect_err("no such file");
        assert!(why.contains("/nowhere/ca.pem cannot be read") && why.contains("--cacert"), "{why}");
    }
}
