//! A group, and a member of it as a worker is: it takes what is next, and says that it is done with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::common::Result;
use super::super::target::Target;
use super::STREAM;
use super::client::Client;

/// How a group is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One member, which commits how far it came.
    Alone,
    /// Several, each with leases.
    Shared,
    /// Several, events of an asset in order.
    Ordered,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::Alone, Self::Shared, Self::Ordered];

    pub fn name(self) -> &'static str {
        match self {
            Self::Alone => "one member",
            Self::Shared => "several members",
            Self::Ordered => "in order",
        }
    }
}

/// A group, by its path.
#[derive(Clone)]
pub struct Group(Arc<str>);

impl Group {
    /// Makes one that begins at `start`.
    pub async fn create(client: &mut Client, way: Way, name: &str, start: &str) -> Result<Self> {
        let mut settings = json!({ "name": name, "start": start });
        if way == Way::Ordered {
            settings["ordered_by"] = "asset_id".into();
        }
        let groups = format!("/v1/streams/{STREAM}/groups");
        client.post(&groups, &settings).await?;
        Ok(Self(format!("{groups}/{name}").into()))
    }
}

/// What was taken.
#[derive(Deserialize)]
struct Given<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
    cursor: String,
    generation: i64,
    lease: Option<String>,
}

pub struct Member {
    reader: Client,
    /// On a connection of its own, so that who reads alone reads on meanwhile.
    settler: Client,
    group: Group,
    /// None: it is the only one.
    name: Option<String>,
    /// Events that it asks for at once.
    limit: u64,
    /// Where the only one reads on.
    cursor: Option<String>,
    uncommitted: Option<Value>,
}

impl Member {
    pub fn new(target: &Target, key: &str, group: &Group, name: Option<String>, limit: u64) -> Result<Self> {
        let (reader, settler) = (Client::new(target, key)?, Client::new(target, key)?);
        Ok(Self { reader, settler, group: group.clone(), name, limit, cursor: None, uncommitted: None })
    }

    /// Takes the next events, and waits for them as long as `wait` says; returns how many there were. What was taken before
    /// is committed meanwhile; what a member of several takes is acknowledged at once.
    pub async fn next(&mut self, wait: &str, see: impl FnOnce(&[&RawValue])) -> Result<u64> {
        let which = match (&self.name, &self.cursor) {
            (Some(name), _) => format!("&member={name}"),
            (None, Some(cursor)) => format!("&cursor={cursor}"),
            (None, None) => String::new(),
        };
        let path = format!("{}/events?limit={}&wait={wait}{which}", self.group.0, self.limit);
        let commit = commit(&mut self.settler, &self.group, self.uncommitted.take());
        let take = async {
            let body: Bytes = self.reader.get(&path).await?;
            let Given { events, cursor, generation, lease } = serde_json::from_slice(&body)?;
            // They have come, whether or not the commit of those before them has been answered.
            see(&events);
            Result::Ok((events.len() as u64, cursor, generation, lease))
        };
        let (taken, committed) = tokio::join!(take, commit);
        committed?;
        let (count, cursor, generation, lease) = taken?;
        if let Some(lease) = lease {
            self.settler.post(&format!("{}/ack", self.group.0), &json!({ "lease": lease })).await?;
        } else if count > 0 {
            self.uncommitted = Some(json!({ "cursor": cursor, "generation": generation }));
            self.cursor = Some(cursor);
        }
        Ok(count)
    }

    /// Commits what was taken last.
    pub async fn end(mut self) -> Result<()> {
        commit(&mut self.settler, &self.group, self.uncommitted.take()).await
    }

    /// Reads for as long as it is let, and counts.
    pub async fn work(mut self, read: Arc<AtomicU64>) -> Result<()> {
        loop {
            let events = self.next("5s", |_| {}).await?;
            read.fetch_add(events, Ordering::Relaxed);
        }
    }
}

async fn commit(settler: &mut Client, group: &Group, what: Option<Value>) -> Result<()> {
    match what {
        Some(what) => settler.post(&format!("{}/offset", group.0), &what).await.map(drop),
        None => Ok(()),
    }
}
