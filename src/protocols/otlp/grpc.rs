//! OTLP over gRPC: the same messages in a frame, which the server takes off, and answers whose status is in trailers.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::answer::{Form, RETRY_AFTER_S, Signal, response, unreadable};
use super::status::{self, Code, Detail};
use crate::model::Kind;
use crate::protocols::agent;
use crate::protocols::content::{Encoding, is_grpc};
use crate::protocols::convert::Converter;
use crate::protocols::problem::{Answer, Problem, ProblemCode, Trailers};
use crate::protocols::protocol::{Head, Items, Protocol, Reading, Route, Sent};
use crate::protocols::report::Report;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

const ENCODINGS_TAKEN: HeaderValue = HeaderValue::from_static("identity, gzip, zstd");

/// Whether it is compressed, and its length, before a message.
const PREFIX_BYTES: usize = 5;
/// Characters of a message in a header: clients take 8 KiB of headers in all.
const MESSAGE_CHARS_MAX: usize = 1000;
/// What `grpc-message` has percent-encoded, beside all that is not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

pub struct OtlpGrpc;

impl Protocol for OtlpGrpc {
    fn routes(&self) -> &'static [Route] {
        const fn route(path: &'static str, kind: Kind) -> Route {
            Route { method: Method::POST, path, name: path, kind }
        }
        const ROUTES: &[Route] = &[
            route("/opentelemetry.proto.collector.logs.v1.LogsService/Export", Kind::Events),
            route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", Kind::Events),
            route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", Kind::Metrics),
        ];
        ROUTES
    }

    fn speaks(&self, headers: &HeaderMap) -> bool {
        is_grpc(headers)
    }

    fn credential<'a>(&self, head: &Head<'a>) -> Result<Cow<'a, str>, Problem> {
        agent::required_key(
            head.headers,
            &["bearer"],
            "`authorization: Bearer tg_...` or `x-api-key: tg_...` as metadata",
        )
    }

    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Grpc, Encoding::GrpcGzip, Encoding::GrpcZstd]
    }

    fn reading(&self, head: &Head<'_>) -> Result<Reading, Problem> {
        if !self.speaks(head.headers) {
            let detail = "this is a method of gRPC: Content-Type must be application/grpc; OTLP over HTTP goes to \
                          /v1/logs, /v1/traces and /v1/metrics";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ProblemCode::UnsupportedMediaType, detail));
        }
        Encoding::of(head.headers, self.encodings())?;
        agent::reading(head, true)
    }

    fn items(&self, head: &Head<'_>, body: &Bytes, into: &mut Converter<'_>) -> Result<Items, Problem> {
        super::convert(signal(head.route), Form::Protobuf, body, into);
        Ok(Items::Converted)
    }

    fn answer(&self, head: &Head<'_>, sent: Sent<'_>, mut report: Report<'_>) -> Answer {
        if let Some(flaw) = unreadable(sent, &mut report) {
            return trailers_only(Code::InvalidArgument, &flaw, Some(&Detail::BadRequest(&flaw)));
        }
        let mut answer = agent::with_body(StatusCode::OK, GRPC, framed(&response(signal(head.route), sent, report)));
        let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
        answer.extensions_mut().insert(Trailers(trailers));
        answer
    }

    fn refusal(&self, head: &Head<'_>, problem: &Problem) -> Answer {
        if !self.speaks(head.headers) {
            return problem.answer();
        }
        let after_s = problem.retry_after_s().unwrap_or(RETRY_AFTER_S);
        let detail = status::is_to_come_again(problem).then_some(Detail::RetryInfo(after_s));
        let mut answer = trailers_only(Code::of(problem), problem.detail(), detail.as_ref());
        if problem.code() == ProblemCode::UnsupportedEncoding {
            answer.headers_mut().insert(GRPC_ACCEPT_ENCODING, ENCODINGS_TAKEN);
        }
        answer
    }
}

/// The answer to a call of a method that there is not.
pub fn no_method(problem: &Problem) -> Answer {
    trailers_only(Code::Unimplemented, problem.detail(), None)
}

pub fn signal(route: &Route) -> Signal {
    match route.path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Signal::Traces,
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Signal::Metrics,
        _ => Signal::Logs,
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("answers are short");
    let mut frame = Vec::with_capacity(PREFIX_BYTES + message.len());
    frame.push(0);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

/// An answer without a message, whose headers are its trailers.
fn trailers_only(code: Code, message: &str, detail: Option<&Detail<'_>>) -> Answer {
    let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    let shortened = Detail::BadRequest(&message);
    let detail = detail.map(|detail| if matches!(detail, Detail::BadRequest(_)) { &shortened } else { detail });
    let mut answer = agent::with_body(StatusCode::OK, GRPC, Bytes::new());
    let headers = answer.headers_mut();
    headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(code.number())));
    if let Ok(encoded) = HeaderValue::try_from(utf8_percent_encode(&message, ENCODED).to_string()) {
        headers.insert(GRPC_MESSAGE, encoded);
    }
    if detail.is_some() {
        let status = STANDARD_NO_PAD.encode(status::protobuf(code, &message, detail));
        headers.insert(GRPC_STATUS_DETAILS, HeaderValue::try_from(status).expect("base64 is ASCII"));
    }
    answer
}
