#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use hyper::header::{HeaderName, RETRY_AFTER};
use hyper::{HeaderMap, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use super::tests::{JSON, PROTOBUF, convert, items, with_head};
use super::{LISTED_MAX, Loki, NO_STREAMS};
use crate::protocols::{Answer, Ending, Head, ItemError, Problem, ProblemCode, Protocol, Report, Segments, Sent};
use crate::wire::item::BodyForm;

fn answered(form: &str, body: &[u8], accepted: u32, errors: &[(u32, &str)]) -> (StatusCode, String) {
    let errors: Vec<_> = errors.to_vec();
    let rejected = u32::try_from(errors.len()).unwrap();
    let report = Report {
        verdict: if accepted > 0 { Ending::Committed } else { Ending::NothingAccepted },
        receipt: Uuid::nil(),
        accepted,
        rejected,
        duplicates: 0,
        replayed: false,
        errors: Box::new(errors.into_iter().map(|(index, message)| ItemError {
            index,
            code: "undecodable",
            message: message.into(),
        })),
    };
    said(with_head(form, None, |head| Loki.answer(head, Sent { body, original: None }, report)))
}

fn said(answer: Answer) -> (StatusCode, String) {
    (answer.status(), String::from_utf8(answer.into_body().to_vec()).unwrap())
}

#[test]
fn answers_are_lokis() {
    let no_content = (StatusCode::NO_CONTENT, String::new());
    let no_streams = (StatusCode::UNPROCESSABLE_ENTITY, format!("{NO_STREAMS}\n"));
    assert_eq!(answered(JSON, b"", 3, &[]), no_content);
    for (form, body, expected) in [
        (JSON, &b""[..], &no_streams),
        (JSON, b"{}", &no_streams),
        (JSON, b"{\"streams\":[]}", &no_streams),
        (JSON, b"{\"streams\":[{\"stream\":{},\"values\":[]}]}", &no_content),
        (PROTOBUF, b"", &no_streams),
        (PROTOBUF, b"\x12\x01a", &no_streams),
        (PROTOBUF, b"\x0a\x00", &no_content),
    ] {
        assert!(items(&convert(form, body)).is_empty());
        assert_eq!(answered(form, body, 0, &[]), *expected, "{body:?}");
    }
    let (status, text) = answered(JSON, b"x", 2, &[(1, "too old")]);
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        text,
        "1 of 3 entries were refused and kept as dead letters; the others are stored: entry 1: too old (undecodable)\n"
    );
    let many: Vec<_> = (0..50).map(|index| (index, "x")).collect();
    let (_, text) = answered(JSON, b"x", 0, &many);
    assert!(text.starts_with("50 of 50") && text.lines().count() == LISTED_MAX, "{text}");
}

#[test]
fn refusals_are_text_and_what_may_be_sent_again_is_503_or_429() {
    let problem = |status: u16, retry: Option<u32>| {
        let problem = Problem::new(StatusCode::from_u16(status).unwrap(), ProblemCode::Overloaded, "why");
        if let Some(seconds) = retry { problem.retry_after(seconds) } else { problem }
    };
    for (status, retry, expected) in [
        (401, None, 401),
        (403, None, 403),
        (408, None, 503),
        (409, Some(1), 503),
        (413, None, 413),
        (415, None, 415),
        (422, None, 422),
        (429, Some(7), 429),
        (500, None, 500),
        (503, Some(5), 503),
    ] {
        let answer = with_head(JSON, None, |head| Loki.refusal(head, &problem(status, retry)));
        assert_eq!(answer.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().parse().unwrap()), retry);
        assert_eq!(answer.headers().contains_key("www-authenticate"), status == 401);
        assert_eq!(said(answer), (StatusCode::from_u16(expected).unwrap(), "why\n".to_owned()), "{status}");
    }
}

#[test]
fn heads_are_read_before_bodies() {
    for (content_type, taken) in [
        ("", true),
        (PROTOBUF, true),
        ("application/protobuf", true),
        (JSON, true),
        ("text/json", true),
        ("application/x-www-form-urlencoded", false),
        ("text/plain", false),
    ] {
        let reading = with_head(content_type, None, |head| Loki.reading(head));
        assert_eq!(reading.as_ref().map_err(Problem::status).is_ok(), taken, "{content_type}");
        match reading {
            Ok(reading) => assert!(reading.dedupe_body && reading.form == BodyForm::Converted),
            Err(problem) => assert_eq!(problem.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        }
    }
    let off = with_head(JSON, Some("dedupe=off&stream=edge"), |head| Loki.reading(head)).unwrap();
    assert_eq!((off.dedupe_body, off.defaults.stream.as_deref()), (false, Some("edge")));
    for (name, value) in
        [("authorization", "Basic MTIzOnRnX2E="), ("authorization", "Bearer tg_a"), ("x-api-key", "tg_a")]
    {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())]);
        let head = Head { route: &Loki.routes()[0], path: &Segments::default(), query: None, headers: &headers };
        assert_eq!(Loki.credential(&head).unwrap(), "tg_a");
    }
    let refused = with_head("", None, |head| Loki.credential(head).map(|_| ()).unwrap_err().status());
    assert_eq!(refused, StatusCode::UNAUTHORIZED);
}

#[test]
fn probes_are_answered_as_loki_does() {
    let answers: Vec<_> = Loki.probes().iter().map(|probe| (probe.path, said((probe.answer)(None)))).collect();
    assert_eq!(answers[0], ("/ready", (StatusCode::OK, "ready\n".to_owned())));
    let build: Value = serde_json::from_str(&answers[1].1.1).unwrap();
    assert!(answers[1].0 == "/loki/api/v1/status/buildinfo" && build["version"].is_string());
}
