//! Any bytes on a connection to a running server, which then hears nothing more: it answers or closes, soon, and never
//! with an error of its own. `KEY` in the input becomes a key that works, so that requests get further than 401.
#![no_main]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tidegate::limits::HEADERS_MAX;
use tidegate_fuzz::server;

/// Far more than an answer takes, and less than any timeout of the server.
const PATIENCE: Duration = Duration::from_secs(10);

fuzz_target!(|input: &[u8]| {
    static KEY: OnceLock<String> = OnceLock::new();
    let address = server::tidegate();
    let request = replace(input, b"KEY", KEY.get_or_init(server::key).as_bytes());
    let mut stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // It may have answered and closed before it was told everything.
    let _ = stream.write_all(&request).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer)
        && matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
    {
        panic!("no end after {PATIENCE:?}: {:?}", String::from_utf8_lossy(&answer));
    }
    let statuses = statuses(&answer);
    assert!(statuses.iter().all(|status| (100..500).contains(status)), "{:?}", String::from_utf8_lossy(&answer));
    let fields = head(&request).map_or(0, fields);
    if fields > HEADERS_MAX {
        assert!(statuses.first().is_none_or(|status| *status >= 400), "{fields} header fields were taken");
    }
});

fn replace(input: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(input.len());
    let mut at = 0;
    while at < input.len() {
        if input[at..].starts_with(from) {
            out.extend_from_slice(to);
            at += from.len();
        } else {
            out.push(input[at]);
            at += 1;
        }
    }
    out
}

/// The first head, without the empty line after it.
fn head(bytes: &[u8]) -> Option<&[u8]> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|end| &bytes[..end])
}

/// How many fields a head has; 0 when its lines do not end as they should, since then others may see another end of
/// it.
fn fields(head: &[u8]) -> usize {
    let lines = head.split(|byte| *byte == b'\n').count();
    let ends = head.windows(2).filter(|pair| pair == b"\r\n").count();
    let returns = head.iter().filter(|byte| **byte == b'\r').count();
    if lines == ends + 1 && returns == ends { ends } else { 0 }
}

/// The status of each answer of HTTP/1, up to one whose length is not announced.
fn statuses(mut bytes: &[u8]) -> Vec<u16> {
    let mut found = Vec::new();
    while bytes.starts_with(b"HTTP/1.") {
        let head = head(bytes).expect("an answer has a whole head");
        let text = std::str::from_utf8(head).expect("a head of ours is ASCII");
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        found.push(status);
        let length = text
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        let length = match (length, status) {
            (Some(length), _) => length,
            (None, 100..200 | 204 | 304) => 0,
            (None, _) => break,
        };
        // The answer to HEAD announces a body that does not come.
        bytes = bytes.get(head.len() + 4 + length..).unwrap_or_default();
    }
    found
}
