//! What a node knows of itself and of the others, as of its last heartbeat.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use uuid::Uuid;

use super::endpoints::Endpoints;
use super::identity::Identity;
use super::node::Node;
use crate::config::NodeConfig;

/// All nodes as the database had them at a moment.
#[derive(Debug, Clone)]
pub struct Picture {
    pub nodes: Arc<[Node]>,
    pub at: Instant,
}

#[derive(Debug)]
pub struct Nodes {
    pub(super) identity: Arc<Identity>,
    pub(super) config: NodeConfig,
    /// Of this start.
    pub(super) process_id: Uuid,
    pub(super) started_at: Instant,
    /// None until the database was asked for the first time.
    pub(super) picture: watch::Sender<Option<Picture>>,
    pub(super) endpoints: Endpoints,
}

impl Nodes {
    /// Knows who it is from `folder`, and nothing of others. Blocks.
    pub fn open(folder: Option<&Path>, config: &NodeConfig) -> Arc<Self> {
        Arc::new(Self {
            identity: Identity::open(folder),
            config: config.clone(),
            process_id: Uuid::now_v7(),
            started_at: Instant::now(),
            picture: watch::Sender::new(None),
            endpoints: Endpoints::default(),
        })
    }

    pub fn id(&self) -> Uuid {
        self.identity.id()
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// How many there were when this node last heard of them.
    pub fn last_known(&self) -> usize {
        self.identity.nodes()
    }

    pub fn picture(&self) -> Option<Picture> {
        self.picture.borrow().clone()
    }

    /// A receipt for a request that this node took: a UUIDv7 whose last four bytes say which node. It is unique without them: what is
    /// before counts on from a random number within a millisecond.
    pub fn receipt(&self) -> Uuid {
        let mut bytes = Uuid::now_v7().into_bytes();
        bytes[12..].copy_from_slice(&mark(self.id()));
        Uuid::from_bytes(bytes)
    }
}

/// What receipts have of a node's id, which is random.
pub(super) fn mark(id: Uuid) -> [u8; 4] {
    let bytes = id.into_bytes();
    [bytes[12], bytes[13], bytes[14], bytes[15]]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn receipts_differ_and_say_which_node() {
        let nodes = Nodes::open(None, &NodeConfig { name: "a".into(), url: None });
        let receipts: HashSet<Uuid> = (0..100_000).map(|_| nodes.receipt()).collect();
        assert_eq!(receipts.len(), 100_000);
        assert!(receipts.iter().all(|receipt| mark(*receipt) == mark(nodes.id())));
        assert!(receipts.iter().all(|receipt| receipt.get_version_num() == 7));
    }
}
