use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hyper::header::{HeaderName, HeaderValue};

use super::answers::{error, report};
use super::bodies::{Message, log_record, request};
use super::*;
use crate::protocols::Trailers;
use crate::protocols::params::Segments;

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

fn with_head<T>(path: &str, headers: &[(&'static str, &'static str)], run: impl FnOnce(&Head<'_>) -> T) -> T {
    let route = OtlpGrpc.routes().iter().find(|route| route.path == path).unwrap();
    let headers =
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
    let segments = Segments::decode([].into_iter()).unwrap();
    run(&Head { route, path: &segments, query: None, headers: &headers })
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn an_answer_is_a_framed_message_with_its_status_behind_it() {
    let headers = [("content-type", "application/grpc")];
    let made = converted(Signal::Traces, Form::Protobuf, b"");
    let sent = || Sent { body: b"", original: Some(&made.original) };
    let answer = with_head(TRACES, &headers, |head| OtlpGrpc.answer(head, sent(), report(3, vec![])));
    assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &[0, 0, 0, 0, 0][..]));
    assert_eq!((header(&answer, "content-type"), header(&answer, "grpc-status")), (Some("application/grpc"), None));
    assert_eq!(answer.extensions().get::<Trailers>().unwrap().0["grpc-status"], "0");
    let answer = with_head(TRACES, &headers, |head| OtlpGrpc.answer(head, sent(), report(0, vec![error(0, "a", "b")])));
    let (prefix, message) = answer.body().split_at(5);
    assert_eq!(usize::from(prefix[4]), message.len());
    let partial = Message::new().number(1, 1).0;
    assert!(message.windows(partial.len()).any(|part| part == partial));
}

#[test]
fn a_message_that_cannot_be_read_is_an_invalid_argument() {
    let made = converted(Signal::Logs, Form::Protobuf, b"\x0a");
    let sent = Sent { body: &made.original.body, original: Some(&made.original) };
    let refused = report(0, vec![error(0, "undecodable", "torn: 100%, ü\n")]);
    let answer =
        with_head(TRACES, &[("content-type", "application/grpc+proto")], |head| OtlpGrpc.answer(head, sent, refused));
    assert_eq!((answer.status(), answer.body().len(), header(&answer, "grpc-status")), (StatusCode::OK, 0, Some("3")));
    assert_eq!(header(&answer, "grpc-message"), Some("torn: 100%25, %C3%BC%0A"));
    assert!(answer.extensions().get::<Trailers>().is_none());
}

#[test]
fn refusals_say_by_their_details_whether_to_come_again() {
    use ProblemCode as P;
    let of = |status: StatusCode, code| Problem::new(status, code, "no");
    for (problem, status, after) in [
        (Problem::unauthorized("no"), "16", None),
        (of(StatusCode::FORBIDDEN, P::Forbidden), "7", None),
        (of(StatusCode::PAYLOAD_TOO_LARGE, P::BodyTooLarge), "8", None),
        (of(StatusCode::TOO_MANY_REQUESTS, P::RateLimited).retry_after(7), "8", Some(7)),
        (Problem::unavailable(P::Overloaded, "no", 300), "14", Some(300)),
        (of(StatusCode::CONFLICT, P::IdempotencyKeyInFlight), "14", Some(1)),
        (of(StatusCode::REQUEST_TIMEOUT, P::BodyTimeout), "14", Some(1)),
        (Problem::bad_request(P::UndecodableBody, "no"), "3", None),
        (of(StatusCode::UNSUPPORTED_MEDIA_TYPE, P::UnsupportedEncoding), "12", None),
        (of(StatusCode::INTERNAL_SERVER_ERROR, P::Unavailable), "13", None),
    ] {
        let answer =
            with_head(TRACES, &[("content-type", "application/grpc")], |head| OtlpGrpc.refusal(head, &problem));
        assert_eq!((answer.status(), answer.body().len()), (StatusCode::OK, 0));
        assert_eq!((header(&answer, "grpc-status"), header(&answer, "grpc-message")), (Some(status), Some("no")));
        let details = header(&answer, "grpc-status-details-bin").map(|text| STANDARD_NO_PAD.decode(text).unwrap());
        let expected = after.map(|seconds| {
            let info = Message::new().message(1, Message::new().number(1, seconds));
            let any = Message::new().bytes(1, "type.googleapis.com/google.rpc.RetryInfo").message(2, info);
            Message::new().number(1, status.parse().unwrap()).bytes(2, "no").message(3, any).0
        });
        assert_eq!(details, expected);
        assert_eq!(header(&answer, "grpc-accept-encoding").is_some(), status == "12");
    }
    let answer = with_head(TRACES, &[("content-type", "text/plain")], |head| {
        OtlpGrpc.refusal(head, &Problem::unauthorized("no"))
    });
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn a_head_says_that_it_is_grpc() {
    for (content_type, encoding, taken) in [
        ("application/grpc", "identity", true),
        ("application/grpc+proto", "gzip", true),
        ("application/grpc", "snappy", false),
        ("application/grpc+json", "identity", false),
        ("application/x-protobuf", "identity", false),
    ] {
        let headers = [("content-type", content_type), ("grpc-encoding", encoding)];
        assert_eq!(
            with_head(TRACES, &headers, |head| OtlpGrpc.reading(head)).is_ok(),
            taken,
            "{content_type} {encoding}"
        );
    }
    for (route, signal) in OtlpGrpc.routes().iter().zip([Signal::Logs, Signal::Traces, Signal::Metrics]) {
        assert_eq!((grpc::signal(route), route.kind == Kind::Metrics), (signal, signal == Signal::Metrics));
    }
    let body = Bytes::from(request([log_record()]));
    let mut into = Converter::new(Box::new(|_| Ok(())));
    let logs = OtlpGrpc.routes()[0].path;
    with_head(logs, &[("content-type", "application/grpc")], |head| OtlpGrpc.items(head, &body, &mut into)).unwrap();
    assert_eq!(into.count(), 1);
}
