//! Asks other nodes for a request that one of them may have in its spool.
//!
//! A receipt says by its last bytes which node gave it, so that one node is asked, with the credential of who asks; only nodes
//! that have a row are, by the URL that they say themselves. Lost ones are asked as well: a node that is cut off from the
//! database is the very one that spools. A node that is asked looks for itself and asks nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Request, StatusCode};
use uuid::Uuid;

use super::node::{Node, NodeState};
use super::picture::{Nodes, mark};
use crate::limits::{ASK_TIMEOUT, ASKED_MAX};
use crate::load::{Connection, Endpoint};

/// With this header a node asks another one: its own id.
pub const ASKED_BY: &str = "tidegate-asked-by";

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

/// Where nodes are asked, by their URL: what they are trusted by is read once.
#[derive(Debug, Default)]
pub struct Endpoints(Mutex<HashMap<String, Arc<Endpoint>>>);

impl Endpoints {
    fn of(&self, url: &str) -> Result<Arc<Endpoint>, String> {
        let mut known = self.0.lock().expect("no code panics while holding it");
        if let Some(endpoint) = known.get(url) {
            return Ok(Arc::clone(endpoint));
        }
        let endpoint = Arc::new(Endpoint::parse(url)?);
        // Nodes come and go; a map of those that were is not kept.
        if known.len() >= 4 * ASKED_MAX {
            known.clear();
        }
        known.insert(url.to_owned(), Arc::clone(&endpoint));
        Ok(endpoint)
    }
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
            // Of one that lives it is known whether it has anything at all.
            return match node.state {
                NodeState::Lost => Err("it has no node.url, and is lost".to_owned()),
                _ if node.spooled.is_nothing() => Ok(None),
                _ => Err("it has no node.url".to_owned()),
            };
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
