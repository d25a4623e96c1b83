//! Answers and refusals.

use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, RETRY_AFTER};

use super::body::{Body, series};
use super::*;
use crate::protocols::{Encoding, Problem, ProblemCode};

#[test]
fn refusals_are_text_with_a_status_that_senders_know() {
    use hyper::StatusCode;
    let overloaded = Problem::unavailable(ProblemCode::Overloaded, "later", 7);
    let limited = Problem::new(StatusCode::TOO_MANY_REQUESTS, ProblemCode::RateLimited, "slower").retry_after(3);
    let in_flight = Problem::new(StatusCode::CONFLICT, ProblemCode::IdempotencyKeyInFlight, "busy").retry_after(1);
    let reused = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::IdempotencyKeyReused, "other");
    let slow = Problem::new(StatusCode::REQUEST_TIMEOUT, ProblemCode::BodyTimeout, "slow");
    let large = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, ProblemCode::BodyTooLarge, "large");
    for (problem, status, retry_after) in [
        (overloaded, 503, Some("7")),
        (limited, 429, Some("3")),
        (in_flight, 503, Some("1")),
        (reused, 400, None),
        (slow, 503, Some("1")),
        (large, 413, None),
        (Problem::unauthorized("no key"), 401, None),
    ] {
        for (message, counts) in [(Message::WriteRequest, None), (Message::Request, Some([0; 3]))] {
            let answer = with_head(&headers(message), |head| Prometheus.refusal(head, &problem));
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(answer.body(), &format!("{}\n", problem.detail()));
            assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
            assert_eq!(answer.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap()), retry_after);
            assert_eq!(written(&answer), counts);
        }
    }
}

#[test]
fn other_types_and_encodings_are_415() {
    for content_type in ["application/json", "application/x-protobuf;proto=io.prometheus.write.v3.Request"] {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        let problem = with_head(&headers, |head| Prometheus.reading(head).err()).unwrap();
        let answer = with_head(&headers, |head| Prometheus.refusal(head, &problem));
        assert_eq!((answer.status().as_u16(), written(&answer)), (415, None));
    }
    for (encoding, taken) in [("snappy", true), ("zstd", true), ("identity", true), ("gzip", false), ("deflate", false)]
    {
        let mut headers = headers(Message::Request);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        match Encoding::of(&headers, Prometheus.encodings()) {
            Ok(_) => assert!(taken, "{encoding}"),
            Err(problem) => {
                let answer = with_head(&headers, |head| Prometheus.refusal(head, &problem));
                assert_eq!(
                    (taken, answer.status().as_u16(), written(&answer)),
                    (false, 415, Some([0; 3])),
                    "{encoding}"
                );
                assert!(answer.body().starts_with(b"Content-Encoding"));
            }
        }
    }
}

#[test]
fn keys_are_found_where_senders_put_them() {
    for (name, value) in
        [("authorization", "Bearer tg_a"), ("authorization", "Basic dXNlcjp0Z19h"), ("x-api-key", "tg_a")]
    {
        let headers =
            HeaderMap::from_iter([(hyper::header::HeaderName::from_static(name), HeaderValue::from_static(value))]);
        assert_eq!(with_head(&headers, |head| Prometheus.credential(head).unwrap().into_owned()), "tg_a");
    }
    let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Token tg_a"))]);
    assert_eq!(with_head(&headers, |head| Prometheus.credential(head).unwrap_err().status().as_u16()), 401);
}

#[test]
fn equal_bodies_are_one_request() {
    let reading = with_head(&headers(Message::WriteRequest), |head| Prometheus.reading(head)).unwrap();
    assert!(reading.dedupe_body && reading.idempotency_key.is_none() && !reading.ack_spooled);
    let body = Body::of(Message::WriteRequest, &[series(&[("__name__", "up")]).sample(1.0, NOW_MS)]);
    assert!(convert(Message::WriteRequest, &body).dedupe);
}

#[test]
fn an_empty_request_is_a_success() {
    for message in [Message::WriteRequest, Message::Request] {
        let counts = (message == Message::Request).then_some([0; 3]);
        for original in [None, Some(Original::default())] {
            let answer = answer_to(message, b"", original.as_ref(), &BTreeMap::new());
            assert_eq!((answer.status().as_u16(), written(&answer)), (204, counts));
            assert!(answer.body().is_empty());
        }
    }
}
