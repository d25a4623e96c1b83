//! Heads of HTTP/1 requests, judged before hyper sees them: where one ends, how its body is framed, why it is refused.
//!
//! hyper forgives what a proxy in front may read in another way (a Content-Length twice, beside Transfer-Encoding, bare
//! line feeds), and that difference is what request smuggling lives on. What passes here has one reading. Pure code.

use std::mem::MaybeUninit;

use hyper::{HeaderMap, StatusCode, Uri};

use super::extent::Extent;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX};
use crate::protocols::problem::{Problem, ProblemCode};

/// Digits of a Content-Length; more than an exbibyte is no length.
const LENGTH_DIGITS_MAX: usize = 18;
/// Bytes of empty lines that some senders put behind a body, and so in front of a head.
const EMPTY_LINES_BYTES_MAX: usize = 8;
/// What a header field counts over HTTP/2 beside name and value, in bytes (RFC 9113, 6.5.2).
const FIELD_OVERHEAD_BYTES: usize = 32;

/// Why a head is refused; the connection is closed after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 400: not a request of HTTP/1.
    Malformed(&'static str),
    /// 400: it leaves open where its body ends.
    Framing(&'static str),
    /// 431: larger than the limit.
    TooLarge,
    /// 431: more header fields than the limit.
    TooManyFields,
    /// 408: it did not arrive in time.
    TooSlow,
}

impl Fault {
    pub fn into_problem(self) -> Problem {
        let oversized = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        match self {
            Self::Malformed(what) => {
                Problem::bad_request(ProblemCode::MalformedHead, format!("this is no HTTP/1.1 request: {what}"))
            }
            Self::Framing(what) => {
                Problem::bad_request(ProblemCode::AmbiguousFraming, format!("where the body ends is not clear: {what}"))
            }
            Self::TooLarge => {
                let detail = format!("request line and headers are larger than {HEAD_BYTES_MAX} bytes");
                Problem::new(oversized, ProblemCode::HeadTooLarge, detail)
            }
            Self::TooManyFields => {
                let detail = format!("the request has more than {HEADERS_MAX} header fields");
                Problem::new(oversized, ProblemCode::TooManyHeaders, detail)
            }
            Self::TooSlow => {
                let detail = "the head of the request did not arrive within http.head_timeout";
                Problem::new(StatusCode::REQUEST_TIMEOUT, ProblemCode::HeadTimeout, detail)
            }
        }
    }
}

/// Looks for a whole head at the beginning of `bytes`, of which the first `searched` were looked at before; returns the
/// extent of its request. None: more is needed.
pub fn look(bytes: &[u8], searched: usize) -> Result<Option<Extent>, Fault> {
    let empty = bytes.iter().take(EMPTY_LINES_BYTES_MAX).take_while(|byte| b"\r\n".contains(byte)).count();
    match end(bytes, searched.saturating_sub(3).max(empty.saturating_sub(1))) {
        Some(end) if end <= HEAD_BYTES_MAX => {
            parse(&bytes[..end])?.map(Some).ok_or(Fault::Malformed("it begins with empty lines"))
        }
        None if bytes.len() < HEAD_BYTES_MAX => {
            // TLS on a plain port, and anything else that will never be a request, need not be waited for.
            if searched <= empty { parse(bytes) } else { Ok(None) }
        }
        _ => Err(Fault::TooLarge),
    }
}

/// Where the blank line that starts at or after `from` ends. Bare line feeds are seen as well, so that `parse` refuses
/// them at once.
fn end(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| from + at + 1).find_map(|next| match bytes.get(next..) {
        Some([b'\n', ..]) => Some(next + 1),
        Some([b'\r', b'\n', ..]) => Some(next + 2),
        _ => None,
    })
}

/// Judges a head, or the beginning of one, for which it is None.
fn parse(head: &[u8]) -> Result<Option<Extent>, Fault> {
    // httparse takes a bare LF for a line's end; others in front of us may not.
    if memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r') {
        return Err(Fault::Malformed("a line ends without a carriage return"));
    }
    let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(head, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length as u64,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    // A path, a whole URL, `*`, or for CONNECT alone a host.
    let is_target = || Uri::try_from(target).is_ok_and(|uri| !uri.path().is_empty() || method == "CONNECT");
    if !is_plain(target) && !is_target() {
        return Err(Fault::Malformed("the target of the request line is not valid"));
    }
    extent(length, request.headers, request.version == Some(1)).map(Some)
}

/// A path with a query of harmless characters, as nearly all are; of others the real parser is asked.
fn is_plain(target: &str) -> bool {
    target.starts_with('/')
        && target.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~?&=%+,:;@!$'()*".contains(&byte))
}

fn fault(error: httparse::Error) -> Fault {
    match error {
        httparse::Error::TooManyHeaders => Fault::TooManyFields,
        httparse::Error::HeaderName => Fault::Malformed("the name of a header is not valid"),
        httparse::Error::HeaderValue => Fault::Malformed("the value of a header is not valid"),
        httparse::Error::Version => Fault::Malformed("its version is not HTTP/1.1 or HTTP/1.0"),
        httparse::Error::Token => Fault::Malformed("the request line is not valid"),
        httparse::Error::NewLine | httparse::Error::Status => Fault::Malformed("a line is not valid"),
    }
}

/// Of a request whose head has so many bytes and these fields.
fn extent(head: u64, fields: &[httparse::Header<'_>], is_http_11: bool) -> Result<Extent, Fault> {
    let (mut length, mut chunked, mut host) = (None, false, false);
    for field in fields {
        let value = field.value.trim_ascii();
        if field.name.eq_ignore_ascii_case("content-length") {
            if length.is_some() {
                return Err(Fault::Framing("Content-Length is sent twice"));
            }
            if value.is_empty() || value.len() > LENGTH_DIGITS_MAX || !value.iter().all(u8::is_ascii_digit) {
                return Err(Fault::Framing("Content-Length is not a number of bytes in digits"));
            }
            length = Some(value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')));
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            if !is_http_11 {
                return Err(Fault::Framing("HTTP/1.0 has no Transfer-Encoding"));
            }
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::Framing("Transfer-Encoding must be `chunked`, sent once"));
            }
            chunked = true;
        } else if field.name.eq_ignore_ascii_case("host") && std::mem::replace(&mut host, true) {
            return Err(Fault::Malformed("Host is sent twice"));
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err(Fault::Framing("Content-Length is sent beside Transfer-Encoding")),
        (None, true) => Ok(Extent::chunked(head)),
        (length, false) => Ok(Extent::fixed(head + length.unwrap_or(0))),
    }
}

/// The same limits for a head of HTTP/2, which comes decoded.
pub fn check_fields(uri: &Uri, fields: &HeaderMap) -> Result<(), Fault> {
    if fields.len() > HEADERS_MAX {
        return Err(Fault::TooManyFields);
    }
    let size: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES).sum();
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if size + target > HEAD_BYTES_MAX { Err(Fault::TooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
