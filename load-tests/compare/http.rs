//! One HTTP/1.1 connection with as little work as can be: a request is bytes that were put together before, an answer is
//! its status, two headers and its body. A client library would cost more than what it measures.

use std::net::SocketAddr;
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Result;

/// Longer than any deadline of the server.
const TIMEOUT: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 64 * 1024;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Retry-After, in seconds.
    pub retry_after_s: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

/// A connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens it.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(READ_BYTES) })
    }

    /// Sends a whole request and reads its answer. After an error the connection is of no more use.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Reply> {
        let exchange = async {
            self.stream.write_all(request).await?;
            self.read().await
        };
        tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| format!("no answer within {TIMEOUT:?}"))?
    }

    /// Sends a request that the server may refuse before it has read it all: what counts is the answer.
    pub async fn exchange_refused(&mut self, request: &[u8]) -> Result<Reply> {
        let exchange = async {
            // The server may close its side early; its answer is there all the same.
            let _ = self.stream.write_all(request).await;
            self.read().await
        };
        tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| format!("no answer within {TIMEOUT:?}"))?
    }

    async fn read(&mut self) -> Result<Reply> {
        self.buffer.clear();
        loop {
            if let Some((reply, rest)) = parse(&self.buffer)? {
                return if rest == 0 { Ok(reply) } else { Err("bytes behind the answer".into()) };
            }
            self.buffer.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection was closed without an answer".into());
            }
        }
    }
}

/// The answer, once all of it is there, and how many bytes follow it.
fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>> {
    let Some(head_end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..head_end])?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| format!("not an HTTP answer: {status_line:?}"))?;
    let (mut length, mut retry_after_s) = (None, None);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        } else if name.eq_ignore_ascii_case("retry-after") {
            retry_after_s = value.trim().parse().ok();
        }
    }
    let length = length.ok_or("an answer without Content-Length")?;
    let body_at = head_end + 4;
    let Some(body) = bytes.get(body_at..body_at + length) else { return Ok(None) };
    Ok(Some((Reply { status, retry_after_s, body: body.to_vec() }, bytes.len() - body_at - length)))
}

/// The head of requests up to, and without, what differs from one to the next.
pub fn head(method: &str, path: &str, host: &str, key: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n")
}

/// The address in `http://host:port`.
pub fn address(url: &str) -> Result<SocketAddr> {
    let authority = url.strip_prefix("http://").ok_or_else(|| format!("{url:?} does not start with http://"))?;
    Ok(authority.trim_end_matches('/').parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nContent-Length: 4\r\n\r\nfull";

    #[test]
    fn an_answer_is_taken_when_it_is_whole() {
        for end in 0..ANSWER.len() {
            assert_eq!(parse(&ANSWER[..end]).expect("so far it is HTTP"), None, "{end}");
        }
        let (reply, rest) = parse(ANSWER).expect("HTTP").expect("whole");
        assert_eq!((reply.status, reply.retry_after_s, reply.body.as_slice(), rest), (503, Some(2), &b"full"[..], 0));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[test]
    fn addresses() {
        assert_eq!(address("http://127.0.0.1:8080").expect("an address").port(), 8080);
        assert!(address("https://127.0.0.1:1").is_err());
    }
}
