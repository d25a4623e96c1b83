//! OTLP, the protocol of OpenTelemetry: logs and traces as events, metrics as samples, in protobuf or JSON over HTTP.
//!
//! Requests in JSON are made to protobuf first, so that there is one way from a record to its event.

mod answer;
mod context;
mod grpc;
mod ids;
mod json;
mod logs;
mod members;
mod metrics;
mod status;
mod traces;
pub mod value;
mod walk;

use std::borrow::Cow;

use bytes::Bytes;
use hyper::{HeaderMap, Method, StatusCode};

use self::answer::{Form, Signal};
use self::json::schema::Schema;
use super::agent;
use super::content::Encoding;
use super::convert::Converter;
use super::problem::{Answer, Problem, ProblemCode};
use super::protocol::{Head, Items, Protocol, Reading, Route, Sent};
use super::report::Report;
use crate::model::Kind;

pub use self::grpc::{OtlpGrpc, no_method};
pub use self::metrics::is_otlp_json;

pub struct Otlp;

impl Protocol for Otlp {
    fn routes(&self) -> &'static [Route] {
        const ROUTES: &[Route] = &[
            Route { method: Method::POST, path: "/v1/logs", name: "/v1/logs", kind: Kind::Events },
            Route { method: Method::POST, path: "/v1/traces", name: "/v1/traces", kind: Kind::Events },
            Route { method: Method::POST, path: "/v1/metrics", name: "/v1/metrics", kind: Kind::Metrics },
        ];
        ROUTES
    }

    /// JSON is sent to `/v1/metrics` by others as well, and told apart by what it holds.
    fn speaks(&self, headers: &HeaderMap) -> bool {
        Form::of(headers) == Some(Form::Protobuf)
    }

    fn credential<'a>(&self, head: &Head<'a>) -> Result<Cow<'a, str>, Problem> {
        agent::required_key(head.headers, &["bearer"], "`Authorization: Bearer tg_...` or `X-API-Key: tg_...`")
    }

    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Identity, Encoding::Gzip, Encoding::Zstd, Encoding::Deflate]
    }

    fn reading(&self, head: &Head<'_>) -> Result<Reading, Problem> {
        form(head)?;
        agent::reading(head, true)
    }

    fn items(&self, head: &Head<'_>, body: &Bytes, into: &mut Converter<'_>) -> Result<Items, Problem> {
        convert(signal(head.route), form(head)?, body, into);
        Ok(Items::Converted)
    }

    fn answer(&self, head: &Head<'_>, sent: Sent<'_>, report: Report<'_>) -> Answer {
        answer::answer(Form::of(head.headers).unwrap_or(Form::Json), signal(head.route), sent, report)
    }

    fn refusal(&self, head: &Head<'_>, problem: &Problem) -> Answer {
        answer::refusal(Form::of(head.headers).unwrap_or(Form::Json), problem)
    }
}

fn form(head: &Head<'_>) -> Result<Form, Problem> {
    Form::of(head.headers).ok_or_else(|| {
        let detail = "Content-Type must be application/x-protobuf or application/json";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ProblemCode::UnsupportedMediaType, detail)
    })
}

fn signal(route: &Route) -> Signal {
    match route.path {
        "/v1/traces" => Signal::Traces,
        "/v1/metrics" => Signal::Metrics,
        _ => Signal::Logs,
    }
}

/// Makes items of a request.
fn convert(signal: Signal, form: Form, body: &[u8], into: &mut Converter<'_>) {
    let (what, write): (_, walk::Write) = match signal {
        Signal::Logs => ("log record", logs::write),
        Signal::Traces => ("span", traces::write),
        Signal::Metrics if form == Form::Json => return metrics::from_json(body, into),
        Signal::Metrics => return metrics::from_protobuf(body, into),
    };
    match (form, Schema::of(signal)) {
        // As an empty message in protobuf.
        (Form::Json, Some(_)) if body.trim_ascii().is_empty() => {}
        // A message is shorter than its JSON.
        (Form::Json, Some(_)) if !into.aside(body.len()) => {}
        (Form::Json, Some(schema)) => match json::transcode(body, schema) {
            Ok(made) => walk::convert(&made.protobuf, Some(&made.records), what, into, write),
            Err(flaw) => {
                let message = format!("the body is no OTLP request in JSON: {flaw}; send one of {what}s");
                into.broken(0..body.len(), walk::WHOLE, message);
            }
        },
        _ => walk::convert(body, None, what, into, write),
    }
}

#[cfg(test)]
mod tests;
