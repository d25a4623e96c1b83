//! Errors as RFC 9457 problem details: a stable `code`, what happened, and what to do.

use bytes::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

/// An answer with its whole body.
pub type Answer = Response<Bytes>;

/// What follows the body of an answer, in its extensions: gRPC says there how a call ended.
#[derive(Debug, Clone)]
pub struct Trailers(pub HeaderMap);

/// The media type of problem documents.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

macro_rules! codes {
    ($($code:ident = $name:literal,)+) => {
        /// The stable code of a problem. docs/HTTP.md says what each means. The names are a contract with
        /// senders; a code is never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ProblemCode {
            $($code,)+
        }

        impl ProblemCode {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$code,)+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                }
            }
        }
    };
}

codes! {
    AmbiguousFraming = "ambiguous_framing",
    BodyIncomplete = "body_incomplete",
    BodyNotJson = "body_not_json",
    BodyTimeout = "body_timeout",
    BodyTooLarge = "body_too_large",
    CrossSite = "cross_site",
    DatabaseUnavailable = "database_unavailable",
    DefinitionQuota = "definition_quota",
    DeadLetterQuota = "dead_letter_quota",
    EmptyBody = "empty_body",
    Forbidden = "forbidden",
    GenerationOver = "generation_over",
    GroupBusy = "group_busy",
    GroupExists = "group_exists",
    GroupHasMembers = "group_has_members",
    GroupKind = "group_kind",
    GroupQuota = "group_quota",
    HeadTimeout = "head_timeout",
    HeadTooLarge = "head_too_large",
    IdempotencyKeyInFlight = "idempotency_key_in_flight",
    IdempotencyKeyReused = "idempotency_key_reused",
    InvalidBody = "invalid_body",
    InvalidHeader = "invalid_header",
    InvalidIdempotencyKey = "invalid_idempotency_key",
    InvalidParameter = "invalid_parameter",
    InvalidSchema = "invalid_schema",
    KeyLookups = "key_lookups",
    KeyOver = "key_over",
    KeyQuota = "key_quota",
    LeaseOver = "lease_over",
    MaskKey = "mask_key",
    MalformedHead = "malformed_head",
    MethodNotAllowed = "method_not_allowed",
    NodeUnavailable = "node_unavailable",
    NotAcceptable = "not_acceptable",
    NotFound = "not_found",
    NotReplayable = "not_replayable",
    NothingAccepted = "nothing_accepted",
    OffsetGone = "offset_gone",
    OffsetPastEnd = "offset_past_end",
    OrganizationExists = "organization_exists",
    OrganizationInactive = "organization_inactive",
    Overloaded = "overloaded",
    QueryTimeout = "query_timeout",
    RateLimited = "rate_limited",
    ReadsBusy = "reads_busy",
    ReplayFailed = "replay_failed",
    ReplayInFlight = "replay_in_flight",
    SchemaIncompatible = "schema_incompatible",
    SchemaRefusesEvents = "schema_refuses_events",
    SignInAttempts = "sign_in_attempts",
    StreamChanged = "stream_changed",
    StreamExists = "stream_exists",
    TenantMemory = "tenant_memory",
    TenantReads = "tenant_reads",
    TlsRequired = "tls_required",
    TooFewPoints = "too_few_points",
    TooManyConnections = "too_many_connections",
    TooManyFollowers = "too_many_followers",
    TooManyGroups = "too_many_groups",
    TooManyHeaders = "too_many_headers",
    TooManyItems = "too_many_items",
    Unauthorized = "unauthorized",
    Unavailable = "unavailable",
    UnboundedQuery = "unbounded_query",
    UndecodableBody = "undecodable_body",
    UnsupportedEncoding = "unsupported_encoding",
    UnsupportedMediaType = "unsupported_media_type",
    UserExists = "user_exists",
    UserQuota = "user_quota",
}

#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: ProblemCode,
    detail: String,
    retry_after_s: Option<u32>,
    allow: Option<String>,
    /// What a program needs to know to go on.
    more: Map<String, Value>,
}

/// The members of a problem document.
#[derive(Serialize)]
pub struct Details<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

impl Problem {
    /// A problem with this status, stable code and explanation.
    pub fn new(status: StatusCode, code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after_s: None, allow: None, more: Map::new() }
    }

    /// 400: the request itself is wrong.
    pub fn bad_request(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401: no usable key.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ProblemCode::Unauthorized, detail)
    }

    /// 404: not there, or not this tenant's; the two look the same.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, ProblemCode::NotFound, format!("there is no such {what}"))
    }

    /// 405, with the methods that the path takes.
    pub fn method_not_allowed(allow: String) -> Self {
        let detail = format!("this path takes {allow}");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, ProblemCode::MethodNotAllowed, detail) }
    }

    /// 503: try again after so many seconds.
    pub fn unavailable(code: ProblemCode, detail: impl Into<String>, retry_after_s: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(retry_after_s)
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// With a member of its own.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// In how many seconds the sender is asked to send the same request again; None: it is not.
    pub fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn code(&self) -> ProblemCode {
        self.code
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub fn details(&self) -> Details<'_> {
        Details {
            r#type: format!("urn:tidegate:problem:{}", self.code.as_str()),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code.as_str(),
            detail: &self.detail,
            more: &self.more,
        }
    }

    /// It as a problem document.
    pub fn answer(&self) -> Answer {
        let body = serde_json::to_vec(&self.details()).expect("strings and numbers are JSON");
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tidegate\""));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow.as_ref().and_then(|allow| HeaderValue::try_from(allow).ok()) {
            headers.insert(ALLOW, allow);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENAPI: &str = include_str!("../http/openapi.json");

    #[test]
    fn every_code_is_described() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).expect("openapi.json is JSON");
        let described = &document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
        let mut names: Vec<&str> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        assert_eq!(*described, serde_json::json!(names), "those that are answered, in order");
        let (_, table) = include_str!("../../docs/HTTP.md").split_once("## Problems").expect("a chapter");
        let missing = names.iter().filter(|name| !table.contains(&format!("`{name}`")));
        assert_eq!(missing.collect::<Vec<_>>(), [] as [&&str; 0], "docs/HTTP.md");
    }
}
