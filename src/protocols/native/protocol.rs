//! POST /v1/events and POST /v1/metrics.

use std::borrow::Cow;

use hyper::{HeaderMap, Method, StatusCode};

use super::options::options;
use super::receipt;
use crate::model::Kind;
use crate::protocols::content::media_type;
use crate::protocols::credential;
use crate::protocols::problem::{Answer, Problem, ProblemCode};
use crate::protocols::protocol::{Head, Protocol, Reading, Route, Sent};
use crate::protocols::report::Report;
use crate::wire::item::BodyForm;

pub struct Native;

impl Protocol for Native {
    fn routes(&self) -> &'static [Route] {
        const ROUTES: &[Route] = &[
            Route { method: Method::POST, path: "/v1/events", name: "/v1/events", kind: Kind::Events },
            Route { method: Method::POST, path: "/v1/metrics", name: "/v1/metrics", kind: Kind::Metrics },
        ];
        ROUTES
    }

    /// OTLP in JSON is sent to the same path as metrics, and known when its body is read: its agents may have a password alone.
    fn credential<'a>(&self, head: &Head<'a>) -> Result<Cow<'a, str>, Problem> {
        let basic = (head.route.kind == Kind::Metrics).then(|| credential::basic(head.headers)).flatten();
        basic.map_or_else(|| credential::own(head.headers).map(Cow::Borrowed), |password| Ok(password.into()))
    }

    fn reading(&self, head: &Head<'_>) -> Result<Reading, Problem> {
        let form = form(head.route.kind, head.headers)?;
        if head.headers.keys().any(|name| name.as_str().starts_with("ce-")) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ProblemCode::UnsupportedMediaType,
                "there are `ce-` headers, and no CloudEvents are taken here; send them to /v1/events",
            ));
        }
        options(head, form)
    }

    fn answer(&self, _head: &Head<'_>, _sent: Sent<'_>, report: Report<'_>) -> Answer {
        receipt::answer(report)
    }
}

fn form(kind: Kind, headers: &HeaderMap) -> Result<BodyForm, Problem> {
    // Without a header the body is taken for JSON: what else would it be.
    let media_type = media_type(headers);
    match media_type.as_deref().unwrap_or("application/json") {
        "application/json" | "text/json" | "application/json-seq" => Ok(BodyForm::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
            Ok(BodyForm::Ndjson)
        }
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ProblemCode::UnsupportedMediaType,
            match kind {
                Kind::Events => {
                    "Content-Type must be application/json, application/x-ndjson, application/cloudevents+json or \
                     application/cloudevents-batch+json"
                }
                Kind::Metrics => "Content-Type must be application/json or application/x-ndjson",
            },
        )),
    }
}
