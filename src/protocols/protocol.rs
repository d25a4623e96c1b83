//! What a protocol is.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::{HeaderMap, Method};

use super::content::Encoding;
use super::convert::Converter;
use super::credential;
use super::params::Segments;
use super::problem::{Answer, Problem};
use super::report::Report;
use crate::model::Kind;
use crate::wire::event::Defaults;
use crate::wire::item::{BodyForm, Original};

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
    /// That was asked for, whatever the body says.
    pub dedupe_asked: bool,
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

    /// The encoding of a body.
    fn encoding(&self, headers: &HeaderMap) -> Result<Encoding, Problem> {
        Encoding::of(headers, self.encodings())
    }

    /// What the head says about reading the body. Asked before any of it is read.
    fn reading(&self, head: &Head<'_>) -> Result<Reading, Problem>;

    /// Makes Tidegate's own items of a decompressed body. What of it cannot be read is a broken item of `into`; an error
    /// is for what the whole request is refused for.
    fn items(&self, _head: &Head<'_>, _body: &Bytes, _into: &mut Converter<'_>) -> Result<Items, Problem> {
        Ok(Items::AsSent)
    }

    /// The answer to a request that was written or spooled, or that converts to no items.
    fn answer(&self, head: &Head<'_>, sent: Sent<'_>, report: Report<'_>) -> Answer;

    /// The answer to a request of which nothing was stored, whether its body was read or not.
    fn refusal(&self, _head: &Head<'_>, problem: &Problem) -> Answer {
        problem.answer()
    }

    /// What agents ask before they send, and need no key for.
    fn probes(&self) -> &'static [Probe] {
        &[]
    }
}

/// The items of a body.
pub enum Items {
    /// It holds them itself.
    AsSent,
    /// Other bytes do, in the form of [`Reading`].
    Made(Bytes),
    /// The converter has them.
    Converted,
}

/// What a request brought.
#[derive(Clone, Copy)]
pub struct Sent<'a> {
    /// Decompressed.
    pub body: &'a [u8],
    /// Where in it the items stand, if they were converted.
    pub original: Option<&'a Original>,
}

/// A question that is answered without a key, and without a look at what is stored.
pub struct Probe {
    pub method: Method,
    pub path: &'static str,
    /// Whether the head is an agent's, where others ask for the same path.
    pub speaks: fn(&HeaderMap) -> bool,
    /// Given the query string.
    pub answer: fn(Option<&str>) -> Answer,
}
