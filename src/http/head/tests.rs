//! What passes and what does not, and that heads are found in pieces as they are found whole.

use super::*;

fn look_whole(text: &str) -> Result<Option<Extent>, Fault> {
    look(text.as_bytes(), 0)
}

fn code(text: &str) -> &'static str {
    match look_whole(text) {
        Ok(Some(_)) => "passes",
        Ok(None) => "more",
        Err(fault) => fault.into_problem().code().as_str(),
    }
}

fn with(fields: &str) -> String {
    format!("POST /v1/events?a=b HTTP/1.1\r\nhost: h\r\n{fields}\r\n")
}

#[test]
fn framing_is_read() {
    for (fields, length) in [
        ("", 0),
        ("content-length: 0\r\n", 0),
        ("Content-Length:  42 \r\n", 42),
        ("Content-Length: 000000000000000042\r\n", 42),
    ] {
        let head = with(fields);
        let extent = Extent::fixed(head.len() as u64 + length);
        assert_eq!(look_whole(&format!("{head}body")), Ok(Some(extent)), "{fields:?}");
    }
    let head = with("transfer-encoding: Chunked\r\n");
    assert_eq!(look_whole(&head), Ok(Some(Extent::chunked(head.len() as u64))));
    assert_eq!(code("GET / HTTP/1.0\r\n\r\n"), "passes");
    assert_eq!(code("\r\nGET / HTTP/1.1\r\n\r\n"), "passes");
    assert_eq!(code("\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n"), "passes");
    // What is no request behind an empty line is known at once, also when the line came before.
    assert!(look(b"\r\n\x16\x03\x01\x02", 2).is_err());
    assert_eq!(code("GET http://h/p?q HTTP/1.1\r\n\r\n"), "passes");
    assert_eq!(code("OPTIONS * HTTP/1.1\r\n\r\n"), "passes");
}

#[test]
fn what_leaves_the_end_of_the_body_open_is_refused() {
    for fields in [
        "content-length: 5\r\ncontent-length: 5\r\n",
        "content-length: 5\r\nContent-Length: 6\r\n",
        "content-length: +5\r\n",
        "content-length: -5\r\n",
        "content-length: 5, 5\r\n",
        "content-length: 0x5\r\n",
        "content-length:\r\n",
        "content-length: 5 5\r\n",
        "content-length: 1000000000000000000\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding:\r\n",
    ] {
        assert_eq!(code(&with(fields)), "ambiguous_framing", "{fields:?}");
    }
    assert_eq!(code("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n"), "ambiguous_framing");
}

#[test]
fn what_is_no_request_is_refused() {
    for text in [
        "\x16\x03\x01\x02",
        "{",
        "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "\r\n\x16\x03\x01\x02",
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\r\nhost: h\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\n\n",
        "GET / HTTP/2.0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET /\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "GET nowhere/x HTTP/1.1\r\n\r\n",
        "GET nowhere HTTP/1.1\r\n\r\n",
        "GET h:80 HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : h\r\n\r\n",
        "GET / HTTP/1.1\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nx: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nx: a\rb\r\n\r\n",
    ] {
        assert_eq!(code(text), "malformed_head", "{text:?}");
    }
    for text in ["", "\r\n", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\n\r"] {
        assert_eq!(code(text), "more", "{text:?}");
    }
}

#[test]
fn limits_are_exact() {
    let sized = |bytes: usize| {
        let empty = with("x: \r\n").len();
        with(&format!("x: {}\r\n", "v".repeat(bytes - empty)))
    };
    assert_eq!(sized(HEAD_BYTES_MAX).len(), HEAD_BYTES_MAX);
    assert_eq!(code(&sized(HEAD_BYTES_MAX)), "passes");
    assert_eq!(code(&sized(HEAD_BYTES_MAX + 1)), "head_too_large");
    assert_eq!(code(&sized(HEAD_BYTES_MAX + 1)[..HEAD_BYTES_MAX]), "head_too_large");
    assert_eq!(code(&sized(HEAD_BYTES_MAX + 1)[..HEAD_BYTES_MAX - 1]), "more");
    let many = |fields: usize| with(&"x: v\r\n".repeat(fields - 1));
    assert_eq!(code(&many(HEADERS_MAX)), "passes");
    assert_eq!(code(&many(HEADERS_MAX + 1)), "too_many_headers");
}

#[test]
fn pieces_are_judged_like_the_whole() {
    let head = format!("\r\n{}", with("content-length: 7\r\n"));
    for cut in 0..head.len() {
        assert_eq!(look(&head.as_bytes()[..cut], 0), Ok(None), "{cut}");
        assert_eq!(look(head.as_bytes(), cut), Ok(Some(Extent::fixed(head.len() as u64 + 7))), "{cut}");
    }
}

#[test]
fn heads_of_http_2_have_the_same_limits() {
    let fields = |count: usize, bytes: usize| {
        let mut fields = HeaderMap::new();
        for _ in 0..count {
            fields.append("x", "v".repeat(bytes).parse().expect("a value"));
        }
        fields
    };
    let uri = Uri::from_static("/v1/events");
    assert_eq!(check_fields(&uri, &fields(HEADERS_MAX, 1)), Ok(()));
    assert_eq!(check_fields(&uri, &fields(HEADERS_MAX + 1, 1)), Err(Fault::TooManyFields));
    let left = HEAD_BYTES_MAX - FIELD_OVERHEAD_BYTES - "x".len() - "/v1/events".len();
    assert_eq!(check_fields(&uri, &fields(1, left)), Ok(()));
    assert_eq!(check_fields(&uri, &fields(1, left + 1)), Err(Fault::TooLarge));
}
