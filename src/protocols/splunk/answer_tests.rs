#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use bytes::Bytes;
use hyper::header::RETRY_AFTER;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::tests::{EVENT, RAW, convert, with_head};
use super::{ACK, ACK_ID_MASK, Splunk};
use crate::protocols::{Answer, Converter, Ending, ItemError, Problem, ProblemCode, Protocol, Report, Sent};
use crate::wire::item::{BodyForm, Original};

fn said(answer: Answer) -> (u16, Value) {
    assert_eq!(answer.headers()["content-type"], "application/json");
    (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
}

fn report(accepted: u32, errors: &'static [(u32, &'static str)]) -> Report<'static> {
    Report {
        verdict: if accepted > 0 { Ending::Committed } else { Ending::NothingAccepted },
        receipt: Uuid::from_u128(u128::MAX / 3),
        accepted,
        rejected: u32::try_from(errors.len()).unwrap(),
        duplicates: 0,
        replayed: false,
        errors: Box::new(errors.iter().map(|(index, message)| ItemError {
            index: *index,
            code: "undecodable",
            message: (*message).into(),
        })),
    }
}

fn answered(
    path: &str,
    query: Option<&str>,
    headers: &[(&'static str, &str)],
    sent: (&[u8], Option<&Original>),
    report: Report<'_>,
) -> (u16, Value) {
    let (body, original) = sent;
    said(with_head(path, query, headers, |head| Splunk.answer(head, Sent { body, original }, report)))
}

#[test]
fn success_has_an_ack_id_where_a_channel_is_named() {
    let plain = json!({"text": "Success", "code": 0});
    let ack_id = (u64::MAX / 3) & ACK_ID_MASK;
    let with_id = json!({"text": "Success", "code": 0, "ackId": ack_id});
    for (query, headers, expected) in [
        (None, &[][..], &plain),
        (Some("channel="), &[], &plain),
        (Some("channel=00872DC6"), &[], &with_id),
        (None, &[("x-splunk-request-channel", "00872DC6")], &with_id),
    ] {
        for path in [EVENT, RAW, "/services/collector"] {
            assert_eq!(answered(path, query, headers, (b"", None), report(2, &[])), (200, expected.clone()));
        }
    }
}

#[test]
fn bodies_have_their_codes() {
    for (body, code, text, number) in [
        ("{\"event\":\"a\"}{}", 12, "Event field is required", 1),
        ("{\"event\":\"\"}{\"event\":\"a\"}", 13, "Event field cannot be blank", 0),
        ("{\"event\":\"a\"}{\"event\":\"b\"}nonsense", 6, "Invalid data format", 2),
    ] {
        let converted = convert(EVENT, None, body);
        let errors: &[(u32, &str)] = match number {
            0 => &[(0, "why")],
            1 => &[(1, "why")],
            _ => &[(2, "why")],
        };
        let (status, said) =
            answered(EVENT, None, &[], (body.as_bytes(), Some(&converted.original)), report(1, errors));
        let all = "1 of 2 events were refused and kept as dead letters; the others are stored";
        let detail = format!("{all}; event {number}: why (undecodable)");
        let expected = json!({"text": text, "code": code, "invalid-event-number": number, "detail": detail});
        assert_eq!((status, said), (400, expected), "{body}");
    }
    // What the decoder refuses, such as a time out of the window, is in its format.
    let converted = convert(EVENT, None, "{\"event\":\"a\",\"time\":5}");
    let (status, told) = answered(EVENT, None, &[], (b"", Some(&converted.original)), report(0, &[(0, "too old")]));
    assert_eq!((status, &told["code"], &told["invalid-event-number"]), (400, &json!(6), &json!(0)));
    for path in [EVENT, RAW] {
        let empty = answered(path, None, &[], (b" \n", None), report(0, &[]));
        assert_eq!(empty, (400, json!({"text": "No data", "code": 5})));
    }
}

#[test]
fn refusals_have_their_codes() {
    let problem = |status: u16, code, retry: Option<u32>| {
        let problem = Problem::new(StatusCode::from_u16(status).unwrap(), code, "why");
        if let Some(seconds) = retry { problem.retry_after(seconds) } else { problem }
    };
    use ProblemCode::{
        BodyTimeout, BodyTooLarge, EmptyBody, Forbidden, IdempotencyKeyInFlight, IdempotencyKeyReused, Overloaded,
        RateLimited, Unauthorized, UnsupportedEncoding,
    };
    for (headers, problem, status, text, code) in [
        (&[][..], problem(401, Unauthorized, None), 401, "Token is required", 2),
        (&[("authorization", "tg_a")], problem(401, Unauthorized, None), 401, "Invalid authorization", 3),
        (&[("authorization", "Digest tg_a")], problem(401, Unauthorized, None), 401, "Invalid authorization", 3),
        (&[("authorization", "Splunk tg_a")], problem(401, Unauthorized, None), 403, "Invalid token", 4),
        (&[("authorization", "Splunk tg_a")], problem(403, Forbidden, None), 403, "Token disabled", 1),
        (&[], problem(400, EmptyBody, None), 400, "No data", 5),
        (&[], problem(413, BodyTooLarge, None), 413, "Invalid data format", 6),
        (&[], problem(415, UnsupportedEncoding, None), 415, "Invalid data format", 6),
        (&[], problem(422, IdempotencyKeyReused, None), 400, "Invalid data format", 6),
        (&[], problem(408, BodyTimeout, None), 503, "Server is busy", 9),
        (&[], problem(409, IdempotencyKeyInFlight, Some(1)), 503, "Server is busy", 9),
        (&[], problem(429, RateLimited, Some(7)), 429, "Server is busy", 9),
        (&[], problem(503, Overloaded, Some(5)), 503, "Server is busy", 9),
        (&[], problem(503, Overloaded, None), 503, "Server is busy", 9),
        (&[], problem(500, Overloaded, None), 500, "Internal server error", 8),
    ] {
        let answer = with_head(EVENT, None, headers, |head| Splunk.refusal(head, &problem));
        let retry = answer.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().parse().unwrap());
        assert_eq!(retry, problem.retry_after_s());
        assert_eq!(said(answer), (status, json!({"text": text, "code": code, "detail": "why"})));
    }
}

#[test]
fn keys_are_found_where_splunks_senders_put_them() {
    for (query, headers) in [
        (None, &[("authorization", "Splunk tg_a")][..]),
        (None, &[("authorization", "splunk tg_a")]),
        (None, &[("authorization", "Bearer tg_a")]),
        (None, &[("authorization", "Basic eDp0Z19h")]),
        (None, &[("x-api-key", "tg_a")]),
        (Some("a=b&token=tg_a"), &[]),
    ] {
        let key = with_head(EVENT, query, headers, |head| Splunk.credential(head).map(std::borrow::Cow::into_owned));
        assert_eq!(key.unwrap(), "tg_a");
    }
    for (query, headers) in [(None, &[][..]), (Some("token="), &[]), (Some("token=tg_a"), &[("authorization", "tg_b")])]
    {
        assert!(with_head(EVENT, query, headers, |head| Splunk.credential(head).is_err()));
    }
}

#[test]
fn every_ack_is_true() {
    let items = |body: &'static [u8]| {
        with_head(ACK, Some("channel=c"), &[], |head| {
            let mut into = Converter::new(Box::new(|_| Ok(())));
            let taken = Splunk.items(head, &Bytes::from_static(body), &mut into);
            assert_eq!(into.count(), 0);
            taken.map(drop).map_err(|problem| said(Splunk.refusal(head, &problem)))
        })
    };
    for (body, expected) in [
        (&b"{\"acks\":[0,1,9007199254740991]}"[..], json!({"0": true, "1": true, "9007199254740991": true})),
        (b"{\"acks\":[]}", json!({})),
    ] {
        assert!(items(body).is_ok());
        let told = answered(ACK, Some("channel=c"), &[], (body, None), report(0, &[]));
        assert_eq!(told, (200, json!({"acks": expected})));
    }
    for body in [&b""[..], b"{}", b"[1]", b"{\"acks\":[-1]}", b"{\"acks\":[\"a\"]}", b"{\"acks\":[1"] {
        let (status, told) = items(body).unwrap_err();
        assert_eq!((status, &told["code"]), (400, &json!(6)), "{body:?}");
    }
    let (status, told) =
        with_head(ACK, None, &[], |head| said(Splunk.refusal(head, &Splunk.reading(head).err().unwrap())));
    assert_eq!((status, &told["text"], &told["code"]), (400, &json!("Data channel is missing"), &json!(10)));
}

#[test]
fn heads_are_read_before_bodies() {
    let reading = |path, query| with_head(path, query, &[], |head| Splunk.reading(head));
    let plain = reading(EVENT, Some("auto_extract_timestamp=true")).unwrap();
    assert!(!plain.dedupe_body && plain.form == BodyForm::Converted);
    let asked = reading(RAW, Some("dedupe=body&stream=edge&sourcetype=a")).unwrap();
    assert_eq!((asked.dedupe_body, asked.defaults.stream.as_deref()), (true, Some("edge")));
    assert!(reading(RAW, Some("time=now")).is_err() && reading(ACK, Some("channel=c")).is_ok());
}

#[test]
fn agents_that_ask_first_are_answered_without_a_key() {
    let health = json!({"text": "HEC is healthy", "code": 17});
    let mut asked: Vec<_> =
        Splunk.probes().iter().map(|probe| (&probe.method, probe.path, (probe.answer)(None))).collect();
    let options = asked.split_off(2);
    for (answer, expected) in asked.into_iter().zip(["/services/collector/health", "/services/collector/health/1.0"]) {
        assert_eq!((answer.0, answer.1, said(answer.2)), (&Method::GET, expected, (200, health.clone())));
    }
    for (method, path, answer) in options {
        assert_eq!(
            (method, answer.status(), answer.headers()["allow"].to_str().unwrap()),
            (&Method::OPTIONS, StatusCode::OK, "POST, OPTIONS")
        );
        assert!(answer.body().is_empty() && Splunk.routes().iter().any(|route| route.path == path));
    }
}
