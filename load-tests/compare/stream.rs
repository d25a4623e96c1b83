//! An answer that is too large to be kept: read to its end as fast as it comes, and counted.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::common::Result;
use super::sender::bearer;
use super::target::Target;

/// What an answer was.
pub struct Streamed {
    pub bytes: u64,
    pub lines: u64,
    /// Until the first byte of the body.
    pub first: Duration,
    pub all: Duration,
}

/// Asks for a path as a content type, with a key; an error unless the whole of it comes.
pub async fn get(target: &Target, path: &str, accept: &str, key: &str) -> Result<Streamed> {
    follow(target, path, accept, key, |_| {}).await
}

/// The same, and shows each piece as it comes.
pub async fn follow(
    target: &Target,
    path: &str,
    accept: &str,
    key: &str,
    mut see: impl FnMut(&[u8]),
) -> Result<Streamed> {
    let address = target.url.strip_prefix("http://").ok_or("not http")?;
    let (mut sender, driver) = handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    // Its error reaches the request as well.
    let driver = tokio::spawn(async move { drop(driver.await) });
    let request = Request::get(path).header(HOST, address).header(ACCEPT, accept).header(AUTHORIZATION, bearer(key)?);
    let began = Instant::now();
    let mut answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    if answer.status() != 200 {
        let body = answer.body_mut().collect().await?.to_bytes();
        return Err(format!("{path} answered {}: {}", answer.status(), String::from_utf8_lossy(&body)).into());
    }
    let (mut bytes, mut lines, mut first) = (0, 0, None);
    while let Some(frame) = answer.body_mut().frame().await {
        if let Some(data) = frame?.data_ref() {
            first.get_or_insert_with(|| began.elapsed());
            see(data);
            bytes += data.len() as u64;
            lines += memchr::memchr_iter(b'\n', data).count() as u64;
        }
    }
    let all = began.elapsed();
    driver.abort();
    Ok(Streamed { bytes, lines, first: first.unwrap_or(all), all })
}
