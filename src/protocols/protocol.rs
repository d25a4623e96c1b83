//! What a protocol is.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::{HeaderMap, Method};

use super::content::Encoding;
use super::credential;
use super::params::Segments;
use super::problem::{Answer, Problem};
use super::report::Report;
use crate::model::Kind;
use crate::wire::event::Defaults;
use crate::wire::item::BodyForm;

/// A route of a protocol, on which items are sent.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    /// What ledger, spool and the hash of a request call it: never renamed, and the same for all protocols of a path.
    pub name: &'static str,
    pub kind: Kind,
}

/// What is known of a request before its body is read.
pub struct Head<'a> {
    pub route: &'static Route,
    pub path: &'a Segments,
    pub query: Option<&'a str>,
    pub headers: &'a HeaderMap,
}

/// How a body is read, and what its sender asks for.
pub struct Reading {
    /// The form of what [`Protocol::items`] returns.
    pub form: BodyForm,
    /// What the head says of fields that an item does not have; nothing for metrics.
    pub defaults: Defaults,
    pub idempotency_key: Option<String>,
    /// Without a key, the body's hash is the key.
    pub dedupe_body: bool,
    /// Safe on disk is enough.
    pub ack_spooled: bool,
}

/// One way to send items. What is not said is done as Tidegate's own routes do it.
pub trait Protocol: Sync {
    fn routes(&self) -> &'static [Route];

    /// Asked of each protocol of a path, in the order of the table: the first one that says yes gets the request, else
    /// the last one, whose refusal it then is.
    fn speaks(&self, _headers: &HeaderMap) -> bool {
        true
    }

    /// The text of the API key.
    fn credential<'a>(&self, head: &Head<'a>) -> Result<Cow<'a, str>, Problem> {
        credential::own(head.headers).map(Cow::Borrowed)
    }

    /// The content encodings that are taken.
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Gzip, Encoding::Zstd, Encoding::Identity]
    }

    /// What the head says about reading the body. Asked before any of it is read.
    fn reading(&self, head: &Head<'_>) -> Result<Reading, Problem>;

    /// Tidegate's own items, out of a decompressed body.
    fn items(&self, _head: &Head<'_>, body: Bytes) -> Result<Bytes, Problem> {
        Ok(body)
    }

    /// The answer to a request that was written or spooled; `sent` is its decompressed body.
    fn answer(&self, head: &Head<'_>, sent: &[u8], report: Report<'_>) -> Answer;

    /// The answer to a request of which nothing was stored, whether its body was read or not.
    fn refusal(&self, _head: &Head<'_>, problem: &Problem) -> Answer {
        problem.answer()
    }
}
