//! The gate in front of the real hyper: whatever is sent, every answer is ours, and hyper and the gate agree on where
//! each request ends.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Mutex;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::h1;
use super::super::socket::Socket;
use super::*;
use crate::limits::HEAD_BYTES_MAX;

const PATIENCE: Patience = Patience { head: Duration::from_secs(60), idle: Duration::from_secs(60) };

/// What the service was asked, and what came back.
#[derive(Debug)]
struct Heard {
    /// `METHOD target body`, or the code of what was refused.
    asked: Vec<String>,
    answers: String,
}

/// Sends the pieces over a real connection, each seen by the other side before the next, then closes.
fn talk(pieces: &[&[u8]]) -> Heard {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let gate = Gate::new(Wire::new(Socket::new(stream), Duration::from_secs(60)), PATIENCE);
        let seen = gate.seen();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let service = service_fn(move |request: Request<Incoming>| {
            let (log, refused) = (Arc::clone(&log), seen.refused());
            async move {
                let line = match refused {
                    Some(fault) => fault.into_problem().code().as_str().to_owned(),
                    None => {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await;
                        let body = body.map_or("?".into(), |body| body.to_bytes().escape_ascii().to_string());
                        format!("{} {} {body}", parts.method, parts.uri)
                    }
                };
                log.lock().unwrap().push(line);
                Ok::<_, io::Error>(
                    Response::builder().header("x-ours", "1").body(Full::new(Bytes::from("ok"))).unwrap(),
                )
            }
        });
        let serve = tokio::spawn(h1::builder().serve_connection(TokioIo::new(gate), service));
        for piece in pieces {
            // Fails when the server has closed already.
            let _ = client.write_all(piece).await;
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
        let _ = client.shutdown().await;
        let mut answers = Vec::new();
        let _ = client.read_to_end(&mut answers).await;
        let _ = serve.await.unwrap();
        let asked = asked.lock().unwrap().clone();
        Heard { asked, answers: String::from_utf8_lossy(&answers).into_owned() }
    })
}

fn asked(text: &str) -> Vec<String> {
    let whole = talk(&[text.as_bytes()]).asked;
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    assert_eq!(talk(&bytes).asked, whole, "byte by byte: {text:?}");
    whole
}

#[test]
fn requests_of_a_connection_pass_one_after_another() {
    let text = "GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello\
                POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nt: u\r\n\r\n\
                POST /d HTTP/1.1\r\ncontent-length: 0\r\n\r\n\r\nGET /e HTTP/1.1\r\n\r\n";
    assert_eq!(asked(text), ["GET /a ", "POST /b hello", "POST /c abc", "POST /d ", "GET /e "]);
}

#[test]
fn a_refused_head_is_the_last_that_is_read() {
    let smuggled = "GET /admin HTTP/1.1\r\n\r\n";
    for (fields, code) in [
        ("content-length: 0\r\ncontent-length: 0\r\n", "ambiguous_framing"),
        ("content-length: 25\r\ntransfer-encoding: chunked\r\n", "ambiguous_framing"),
        ("transfer-encoding: chunked\r\ncontent-length: 25\r\n", "ambiguous_framing"),
        ("content-length: +5\r\n", "ambiguous_framing"),
        ("a b: c\r\n", "malformed_head"),
        ("a: b\n", "malformed_head"),
    ] {
        let text = format!("GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\n{fields}\r\n{smuggled}{smuggled}");
        assert_eq!(asked(&text), ["GET /a ", code], "{fields:?}");
    }
}

#[test]
fn a_body_of_wrong_chunks_is_the_last_that_is_read() {
    let smuggled = "GET /admin HTTP/1.1\r\n\r\n";
    for body in [
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        " 1\r\na\r\n0\r\n\r\n",
        ";x\r\na\r\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "1;x\na\r\n0\r\n\r\n",
        "1;x\ry\r\na\r\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "2\r\nab0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "10000000000000000\r\na",
        "0\r\n\n",
        "0\r\na: b\n\r\n",
        "0\r\na: b\r\n\n",
        "0\r\n\r\r\n",
        "0\r\na: b\rc: d\r\n\r\n",
    ] {
        let text = format!("POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{body}{smuggled}{smuggled}");
        assert_eq!(asked(&text), ["POST /a ?"], "{body:?}");
    }
}

#[test]
fn large_heads_pass_in_pieces_up_to_the_limit() {
    let sized = |bytes: usize| {
        let empty = "GET / HTTP/1.1\r\nx: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "v".repeat(bytes - empty))
    };
    for (bytes, expected) in [(HEAD_BYTES_MAX, "GET / "), (HEAD_BYTES_MAX + 1, "head_too_large")] {
        let head = sized(bytes);
        let text = [head.as_bytes(), b"GET /next HTTP/1.1\r\n\r\n"].concat();
        for piece in [text.len(), 10_000] {
            let heard = talk(&text.chunks(piece).collect::<Vec<_>>());
            let rest: &[&str] = if bytes == HEAD_BYTES_MAX { &["GET /next "] } else { &[] };
            assert_eq!(heard.asked[0], expected, "{bytes} in pieces of {piece}");
            assert_eq!(&heard.asked[1..], rest, "{bytes} in pieces of {piece}");
        }
    }
}

/// A token of a request, right or nearly.
fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("GET / HTTP/1.1\r\n".to_owned()),
        Just("POST /x?y=z HTTP/1.1\r\n".to_owned()),
        Just("PUT * HTTP/1.0\r\n".to_owned()),
        Just("CONNECT a:1 HTTP/1.1\r\n".to_owned()),
        Just("content-length: 3\r\n".to_owned()),
        Just("content-length: 003\r\n".to_owned()),
        Just("transfer-encoding: chunked\r\n".to_owned()),
        Just("expect: 100-continue\r\n".to_owned()),
        Just("connection: keep-alive\r\n".to_owned()),
        Just("connection: close\r\n".to_owned()),
        Just("upgrade: h2c\r\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\n".to_owned()),
        Just("abc".to_owned()),
        Just("3\r\nabc\r\n".to_owned()),
        Just("0\r\n\r\n".to_owned()),
        Just("3 ;x\r\nabc\r\n0\r\nt: u\r\n".to_owned()),
        "[ -~]{0,6}\r\n".prop_map(|text| text),
        "[a-zA-Z-]{1,9}: [ -~\t]{0,12}\r\n".prop_map(|text| text),
        "[A-Z]{1,4} [!-~]{0,12} HTTP/1.[01]\r\n".prop_map(|text| text),
        "(?s-u:[\\x00-\\x7f]{0,3})".prop_map(|text| text),
    ]
}

/// A token of a chunked body, right or nearly.
fn chunk_token() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("3\r\nabc\r\n".to_owned()),
        1 => Just("3 ;x=\"y\"\r\nabc\r\n".to_owned()),
        1 => Just("0\r\n".to_owned()),
        1 => Just("0\r\nt: u\r\n".to_owned()),
        1 => Just("0\r\n\n".to_owned()),
        1 => Just("\n".to_owned()),
        2 => Just("\r\n".to_owned()),
        1 => "[\r\n:; 0-2a]{1,3}".prop_map(|text| text),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// hyper never answers by itself: each answer, of whatever was sent, came from the service.
    #[test]
    fn every_answer_is_ours(tokens in prop::collection::vec(token(), 1..14), cut in any::<prop::sample::Index>()) {
        let text = tokens.concat();
        let cut = cut.index(text.len() + 1);
        let heard = talk(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]);
        let answers = heard.answers.matches("HTTP/1.").count() - heard.answers.matches(" 100 Continue").count();
        prop_assert_eq!(answers, heard.answers.matches("x-ours: 1").count(), "{:?}: {:?}", text, heard);
        prop_assert_eq!(answers, heard.asked.len(), "{:?}: {:?}", text, heard);
    }

    /// What comes behind a body of chunks, right or nearly, is read as if it came alone.
    #[test]
    fn hyper_and_the_gate_agree_on_ends(tokens in prop::collection::vec(chunk_token(), 0..8)) {
        let head = "POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        let text = format!("{head}{}0\r\n\r\nGET /next HTTP/1.1\r\n\r\n", tokens.concat());
        let heard = talk(&[text.as_bytes()]);
        let (end, follow) = Extent::chunked(head.len() as u64).advance(text.as_bytes());
        if heard.asked[0].ends_with('?') {
            prop_assert_eq!(heard.asked.len(), 1, "{:?}: {:?}", text, heard);
        } else {
            prop_assert_eq!(follow, Follow::Done, "{:?}: {:?}", text, heard);
            prop_assert_eq!(&heard.asked[1..], &talk(&[&text.as_bytes()[end..]]).asked, "{:?}", text);
        }
    }
}
