use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::json;

use super::bodies::{Message, log_record, request};
use super::*;
use crate::protocols::params::Segments;
use crate::protocols::report::{Ending, ItemError};

const FORMS: [(&str, Form); 2] = [("application/x-protobuf", Form::Protobuf), ("application/json", Form::Json)];

fn with_head<T>(
    path: &str,
    headers: &[(hyper::header::HeaderName, &'static str)],
    run: impl FnOnce(&Head<'_>) -> T,
) -> T {
    let route = Otlp.routes().iter().find(|route| route.path == path).unwrap();
    let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
    let segments = Segments::decode([].into_iter()).unwrap();
    run(&Head { route, path: &segments, query: None, headers: &headers })
}

pub fn report(accepted: u32, errors: Vec<ItemError<'static>>) -> Report<'static> {
    let rejected = u32::try_from(errors.len()).unwrap();
    let verdict = if accepted == 0 { Ending::NothingAccepted } else { Ending::Committed };
    Report {
        verdict,
        receipt: Uuid::nil(),
        accepted,
        rejected,
        duplicates: 0,
        replayed: false,
        errors: Box::new(errors.into_iter()),
    }
}

pub fn error(index: u32, code: &'static str, message: &'static str) -> ItemError<'static> {
    ItemError { index, code, message: message.into() }
}

fn answered(path: &str, content_type: &'static str, sent: Sent<'_>, report: Report<'_>) -> Answer {
    with_head(path, &[(CONTENT_TYPE, content_type)], |head| Otlp.answer(head, sent, report))
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(answer.body()).unwrap()
}

#[test]
fn a_success_is_an_empty_message_of_the_requests_type() {
    for (content_type, body) in [("application/x-protobuf", ""), ("application/json; charset=utf-8", "{}")] {
        for report in [report(3, vec![]), report(0, vec![])] {
            let answer = answered("/v1/logs", content_type, Sent { body: b"", original: None }, report);
            assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, body.as_bytes()));
            assert!(content_type.starts_with(answer.headers()[CONTENT_TYPE].to_str().unwrap()));
        }
    }
    let spooled = Report { verdict: Ending::Spooled, replayed: true, ..report(1, vec![]) };
    let answer = answered("/v1/traces", "application/json", Sent { body: b"", original: None }, spooled);
    assert_eq!((answer.status(), answer.headers().contains_key("idempotent-replayed")), (StatusCode::OK, true));
}

#[test]
fn what_is_refused_is_counted_whether_anything_was_taken_or_not() {
    let made = converted(Signal::Logs, Form::Protobuf, &request([log_record()]));
    let sent = || Sent { body: &made.original.body, original: Some(&made.original) };
    for accepted in [0, 2] {
        let errors = || {
            vec![error(0, "out_of_window", "too old"), error(1, "payload_nul", "a NUL"), error(2, "payload_nul", "b")]
        };
        for (path, name) in
            [("/v1/logs", "rejectedLogRecords"), ("/v1/traces", "rejectedSpans"), ("/v1/metrics", "rejectedDataPoints")]
        {
            let answer = answered(path, "application/json", sent(), report(accepted, errors()));
            let partial = &json_of(&answer)["partialSuccess"];
            assert_eq!((answer.status(), &partial[name]), (StatusCode::OK, &json!("3")));
            let told = partial["errorMessage"].as_str().unwrap();
            assert!(told.contains("payload_nul (2, first at 1 from 0): a NUL") && told.contains("too old"), "{told}");
        }
        let answer = answered("/v1/logs", "application/x-protobuf", sent(), report(accepted, errors()));
        let told = json_of(&answered("/v1/logs", "application/json", sent(), report(accepted, errors())));
        let told = told["partialSuccess"]["errorMessage"].as_str().unwrap().to_owned();
        let expected = Message::new().message(1, Message::new().number(1, 3).bytes(2, told)).0;
        assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &expected[..]));
    }
    // One record that is refused is not a body that is.
    let answer = answered("/v1/logs", "application/json", sent(), report(0, vec![error(0, "payload_nul", "a NUL")]));
    assert_eq!(answer.status(), StatusCode::OK);
}

#[test]
fn a_body_that_cannot_be_read_is_400_with_a_status() {
    let made = converted(Signal::Logs, Form::Protobuf, b"\x0a");
    let sent = || Sent { body: &made.original.body, original: Some(&made.original) };
    let refused = || report(0, vec![error(0, "undecodable", "it is torn")]);
    let answer = answered("/v1/logs", "application/json", sent(), refused());
    let type_url = "type.googleapis.com/google.rpc.BadRequest";
    let expected = json!({"code": 3, "message": "it is torn", "details": [{"@type": type_url,
        "fieldViolations": [{"field": "body", "description": "it is torn"}]}]});
    assert_eq!((answer.status(), json_of(&answer)), (StatusCode::BAD_REQUEST, expected));
    let answer = answered("/v1/logs", "application/x-protobuf", sent(), refused());
    let violation = Message::new().bytes(1, "body").bytes(2, "it is torn");
    let detail = Message::new()
        .bytes(1, "type.googleapis.com/google.rpc.BadRequest")
        .message(2, Message::new().message(1, violation));
    let expected = Message::new().number(1, 3).bytes(2, "it is torn").message(3, detail).0;
    assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::BAD_REQUEST, &expected[..]));
}

#[test]
fn refusals_say_by_their_status_whether_to_come_again() {
    use ProblemCode as P;
    let of = |status: StatusCode, code| Problem::new(status, code, "no");
    for (problem, status, code, retry) in [
        (Problem::unauthorized("no"), 401, 16, None),
        (of(StatusCode::FORBIDDEN, P::Forbidden), 403, 7, None),
        (of(StatusCode::NOT_FOUND, P::NotFound), 404, 5, None),
        (of(StatusCode::PAYLOAD_TOO_LARGE, P::BodyTooLarge), 413, 8, None),
        (of(StatusCode::UNSUPPORTED_MEDIA_TYPE, P::UnsupportedMediaType), 415, 3, None),
        (of(StatusCode::UNSUPPORTED_MEDIA_TYPE, P::UnsupportedEncoding), 415, 12, None),
        (of(StatusCode::UNPROCESSABLE_ENTITY, P::IdempotencyKeyReused), 422, 3, None),
        (of(StatusCode::TOO_MANY_REQUESTS, P::RateLimited).retry_after(7), 429, 8, Some("7")),
        (of(StatusCode::TOO_MANY_REQUESTS, P::RateLimited), 429, 8, Some("1")),
        (Problem::unavailable(P::Overloaded, "no", 5), 503, 14, Some("5")),
        (of(StatusCode::CONFLICT, P::IdempotencyKeyInFlight).retry_after(1), 503, 14, Some("1")),
        (of(StatusCode::REQUEST_TIMEOUT, P::BodyTimeout), 503, 14, Some("1")),
        (of(StatusCode::INTERNAL_SERVER_ERROR, P::Unavailable), 500, 13, None),
        (Problem::bad_request(P::UndecodableBody, "no"), 400, 3, None),
    ] {
        for (content_type, form) in FORMS {
            let answer = with_head("/v1/logs", &[(CONTENT_TYPE, content_type)], |head| Otlp.refusal(head, &problem));
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()[CONTENT_TYPE]),
                (status, &HeaderValue::from_static(content_type))
            );
            let after = answer.headers().get(RETRY_AFTER).map(|after| after.to_str().unwrap());
            assert_eq!(after, retry, "{problem:?}");
            assert_eq!(answer.headers().contains_key(WWW_AUTHENTICATE), status == 401);
            match form {
                Form::Json => {
                    assert_eq!((&json_of(&answer)["code"], &json_of(&answer)["message"]), (&json!(code), &json!("no")))
                }
                Form::Protobuf => {
                    let expected = Message::new().number(1, code).bytes(2, "no").0;
                    assert!(
                        answer.body().starts_with(&expected)
                            && (retry.is_some() || answer.body().len() == expected.len())
                    );
                }
            }
        }
        // What is of no known type is told in JSON.
        for headers in [&[][..], &[(CONTENT_TYPE, "text/plain")]] {
            let answer = with_head("/v1/logs", headers, |head| Otlp.refusal(head, &problem));
            assert_eq!(
                (&answer.headers()[CONTENT_TYPE], json_of(&answer)["code"].as_u64()),
                (&HeaderValue::from_static("application/json"), Some(code))
            );
        }
    }
}

#[test]
fn a_head_says_who_sends_and_in_which_form() {
    for (content_type, taken) in [
        ("application/x-protobuf", true),
        ("Application/JSON; charset=utf-8", true),
        ("application/grpc", false),
        ("text/plain", false),
    ] {
        let headers = [(CONTENT_TYPE, content_type), (AUTHORIZATION, "Bearer tg_a")];
        with_head("/v1/traces", &headers, |head| {
            assert_eq!(Otlp.credential(head).unwrap(), "tg_a");
            let reading = Otlp.reading(head);
            assert_eq!(reading.as_ref().is_ok_and(|reading| reading.dedupe_body), taken);
            assert_eq!(reading.is_err_and(|problem| problem.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE), !taken);
            let protobuf = content_type == "application/x-protobuf";
            assert_eq!(Otlp.speaks(head.headers), protobuf);
        });
    }
    assert!(with_head("/v1/logs", &[], |head| Otlp.reading(head)).is_err());
    assert!(with_head("/v1/logs", &[(AUTHORIZATION, "Basic dTp0Z19h")], |head| Otlp
        .credential(head)
        .is_ok_and(|key| key == "tg_a")));
}

#[test]
fn metrics_are_taken_by_their_own_part_and_counted_by_data_point() {
    // A summary of two quantiles: several items of one data point.
    let quantile = |at: f64, value: f64| Message::new().f64(1, at).f64(2, value);
    let point = Message::new().fixed64(3, TIME_NS).fixed64(4, 10).f64(5, 12.0);
    let point = point.message(6, quantile(0.5, 1.0)).message(6, quantile(0.9, 2.0));
    let metric = Message::new().bytes(1, "latency").message(11, Message::new().message(1, point));
    let made = converted(Signal::Metrics, Form::Protobuf, &request([metric]));
    let count = made.original.places.len();
    assert!(count > 1 && made.original.broken.is_empty(), "{:?}", made.original);
    let sent = Sent { body: &made.original.body, original: Some(&made.original) };
    let errors = (0..count).map(|at| error(u32::try_from(at).unwrap(), "out_of_window", "too old")).collect();
    let answer = answered("/v1/metrics", "application/json", sent, report(0, errors));
    assert_eq!(json_of(&answer)["partialSuccess"]["rejectedDataPoints"], "1");
    for (form, body) in [(Form::Protobuf, &b"\x0a"[..]), (Form::Json, b"{\"resourceMetrics\":7}")] {
        let made = converted(Signal::Metrics, form, body);
        assert_eq!((made.original.places.len(), made.original.places[0].tag), (1, walk::WHOLE), "{form:?}");
    }
}
