//! A node as its row says, and the list of them.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::limits::NODE_LOST_AFTER;
use crate::storage::StorageError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It has not begun to work on the database.
    Starting,
    Ready,
    /// The database does not take what it has: it spools, or refuses.
    Degraded,
    /// It is stopping.
    Draining,
    /// Nothing was heard of it for [`NODE_LOST_AFTER`].
    Lost,
}

impl NodeState {
    pub const ALL: [Self; 5] = [Self::Starting, Self::Ready, Self::Degraded, Self::Draining, Self::Lost];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Draining => "draining",
            Self::Lost => "lost",
        }
    }

    /// Whether requests are sent to it, and limits shared with it.
    pub fn serves(self) -> bool {
        match self {
            Self::Ready | Self::Degraded => true,
            Self::Starting | Self::Draining | Self::Lost => false,
        }
    }
}

/// What waits in a node's spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Spooled {
    pub requests: u64,
    pub items: u64,
    pub bytes: u64,
    /// Files that were set aside in its quarantine.
    pub quarantined_files: u64,
}

impl Spooled {
    pub fn is_nothing(&self) -> bool {
        self.requests == 0 && self.quarantined_files == 0
    }
}

/// Parts of the limits of events and of bytes that are asked for; None: the key has no such limit.
pub type Parts = (Option<f64>, Option<f64>);

/// The same by key.
pub type Demands = HashMap<Uuid, Parts>;

#[derive(Debug, Clone, Serialize)]
pub struct Node {
    pub id: Uuid,
    pub name: String,
    pub url: Option<String>,
    pub version: String,
    pub schema_version: i32,
    pub state: NodeState,
    pub started_at: Timestamp,
    pub last_seen: Timestamp,
    pub spooled: Spooled,
    /// Its clock less the database's.
    pub clock_skew_ms: i64,
    #[serde(skip)]
    pub process_id: Uuid,
    #[serde(skip)]
    pub demands: Demands,
}

impl Node {
    fn of(row: &Row) -> Self {
        let count = |column: &str| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
        let state: &str = row.get("state");
        let demands: serde_json::Value = row.get("demands");
        Self {
            id: row.get("node_id"),
            name: row.get("name"),
            url: row.get("url"),
            version: row.get("version"),
            schema_version: row.get("schema_version"),
            // A state that a newer version has is of a node that lives.
            state: NodeState::ALL.into_iter().find(|known| known.as_str() == state).unwrap_or(NodeState::Ready),
            started_at: row.get("started_at"),
            last_seen: row.get("last_seen"),
            spooled: Spooled {
                requests: count("spooled_requests"),
                items: count("spooled_items"),
                bytes: count("spooled_bytes"),
                quarantined_files: count("quarantined_files"),
            },
            clock_skew_ms: row.get("clock_skew_ms"),
            process_id: row.get("process_id"),
            // A newer version may say more; what cannot be read asks for nothing.
            demands: serde_json::from_value(demands).unwrap_or_default(),
        }
    }
}

/// All nodes as they stand, oldest first.
pub async fn list(client: &Client) -> Result<Vec<Node>, StorageError> {
    let sql = include_str!("../../sql/queries/node_list.sql");
    let rows = client.query(sql, &[&NODE_LOST_AFTER.as_secs_f64()]).await?;
    Ok(rows.iter().map(Node::of).collect())
}
