//! Asks other nodes for a request that one of them may have in its spool.
//!
//! A receipt says by its last bytes which node gave it, so that one node is asked, with the credential of who asks; only nodes
//! that have a row are, by the URL that they say themselves. Lost ones are asked as well: a node that is cut off from the
//! database is the very one that spools. A node that is asked looks for itself and asks nobody.

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Request, StatusCode};
use uuid::Uuid;

use super::node::Node;
use super::picture::{Nodes, mark};
use crate::limits::{ASK_TIMEOUT, ASKED_MAX};
use crate::load::Connection;

/// With this header a node asks another one: its own id.
pub const ASKED_BY: &str = "tidegate-asked-by";

/// By how much a clock's skew may be off, and how long a request may be under way before it is in the spool, in milliseconds.
const CLOCK_SLACK_MS: i64 = 1000;

/// What other nodes say.
#[derive(Debug)]
pub enum Asked {
    /// One of them has it: its answer, in JSON.
    Has(Bytes),
    /// None has it, nor can have it.
    Nobody,
    /// This one may have it, and could not be asked.
    Unknown { node: Box<Node>, why: String },
}

/// Whether a node has been heard of since it gave the receipt, whose time is of that node's clock: what it had in its spool then
/// is known.
fn has_said_since(node: &Node, receipt: Uuid) -> bool {
    let Some((seconds, nanos)) = receipt.get_timestamp().map(|at| at.to_unix()) else { return false };
    let given_ms = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000) + i64::from(nanos / 1_000_000);
    let by_database_ms = given_ms.saturating_sub(node.clock_skew_ms);
    node.last_seen.as_millisecond() > by_database_ms.saturating_add(CLOCK_SLACK_MS)
}

impl Nodes {
    /// Who else may have the request of a receipt.
    fn candidates(&self, receipt: Uuid) -> Vec<Node> {
        let own = self.id();
        if mark(receipt) == mark(own) {
            return Vec::new();
        }
        let Some(picture) = self.picture() else { return Vec::new() };
        let others = || picture.nodes.iter().filter(|node| node.id != own);
        let gave: Vec<Node> = others().filter(|node| mark(node.id) == mark(receipt)).cloned().collect();
        if !gave.is_empty() {
            return gave;
        }
        // Of a version whose receipts do not say it.
        others().filter(|node| !node.spooled.is_nothing()).take(ASKED_MAX).cloned().collect()
    }

    /// Asks those who may have it, for who has these headers' credential.
    pub async fn ask(&self, receipt: Uuid, credential: &HeaderMap) -> Asked {
        let candidates = self.candidates(receipt);
        let answers = join_all(candidates.iter().map(|node| self.ask_one(node, receipt, credential))).await;
        let mut asked = Asked::Nobody;
        for (answer, node) in answers.into_iter().zip(candidates) {
            match answer {
                Ok(Some(found)) => return Asked::Has(found),
                Ok(None) => {}
                Err(why) => asked = Asked::Unknown { node: Box::new(node), why },
            }
        }
        asked
    }

    async fn ask_one(&self, node: &Node, receipt: Uuid, credential: &HeaderMap) -> Result<Option<Bytes>, String> {
        let Some(url) = &node.url else {
            let has_none = node.spooled.is_nothing() && has_said_since(node, receipt);
            return if has_none { Ok(None) } else { Err("it has no node.url".to_owned()) };
        };
        let endpoint = self.endpoints.of(url)?;
        let mut request = Request::get(endpoint.path(&format!("/v1/receipts/{receipt}"))?);
        if let Some(headers) = request.headers_mut() {
            headers.extend(credential.clone());
            headers.insert(ASKED_BY, HeaderValue::try_from(self.id().to_string()).expect("a UUID is a valid value"));
        }
        let request = request.body(Full::<Bytes>::default()).map_err(|error| error.to_string())?;
        let mut connection = Connection::new(endpoint);
        let reply = connection.send(request, ASK_TIMEOUT).await.map_err(|lost| lost.message)?;
        match reply.status {
            StatusCode::OK => Ok(Some(reply.body)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(format!("it answered {status}")),
        }
    }
}
