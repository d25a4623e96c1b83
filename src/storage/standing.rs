//! How a server stands among those of its cluster, as it says itself.

use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::config::TargetSession;

const SQL: &str = include_str!("../../sql/queries/server_standing.sql");

/// Where a cluster takes writes: a standby that is promoted begins a timeline of a greater number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The system identifier of the cluster.
    pub system: i64,
    pub number: u32,
}

impl Timeline {
    /// `number` as it stands in the name of a WAL file.
    pub fn parse(system: i64, number: &str) -> Option<Self> {
        Some(Self { system, number: u32::from_str_radix(number, 16).ok()? })
    }

    /// Whether the cluster has left it for `newer`.
    pub fn is_left_for(self, newer: Self) -> bool {
        self.system == newer.system && self.number < newer.number
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub standby: bool,
    pub read_only: bool,
    /// None: a standby.
    pub timeline: Option<Timeline>,
    /// Bytes of WAL that are written, or of a standby replayed.
    pub position: i64,
}

impl Standing {
    /// None: the server's answer cannot be read.
    pub async fn ask(client: &Client) -> Result<Option<Self>, tokio_postgres::Error> {
        // By the simple protocol, which every pooler knows.
        let answer = client.simple_query(SQL).await?;
        Ok(answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Self::read(row),
            _ => None,
        }))
    }

    fn read(row: &SimpleQueryRow) -> Option<Self> {
        let system: i64 = row.get("system")?.parse().ok()?;
        Some(Self {
            standby: row.get("standby")? == "t",
            read_only: row.get("read_only")? == "t",
            timeline: row.get("timeline").and_then(|number| Timeline::parse(system, number)),
            position: row.get("position").and_then(|position| position.parse().ok()).unwrap_or(0),
        })
    }

    /// Why it is not one of those that are meant.
    pub fn refusal(&self, target: TargetSession) -> Option<&'static str> {
        let writes = !self.read_only && !self.standby;
        match target {
            TargetSession::Any => None,
            TargetSession::ReadWrite => (!writes).then_some(if self.standby { "is a standby" } else { "is read-only" }),
            TargetSession::ReadOnly => writes.then_some("takes writes"),
            TargetSession::Primary => self.standby.then_some("is a standby"),
            TargetSession::Standby | TargetSession::PreferStandby => (!self.standby).then_some("is no standby"),
        }
    }
}

#[cfg(test)]
mod tests {
    use TargetSession::{Any, PreferStandby, Primary, ReadOnly, ReadWrite, Standby};

    use super::*;

    #[test]
    fn servers_suit_as_with_libpq() {
        let primary = Standing { standby: false, read_only: false, timeline: None, position: 0 };
        let full = Standing { read_only: true, ..primary };
        let standby = Standing { standby: true, ..full };
        for (target, suits) in [
            (Any, [true, true, true]),
            (ReadWrite, [true, false, false]),
            (ReadOnly, [false, true, true]),
            (Primary, [true, true, false]),
            (Standby, [false, false, true]),
            (PreferStandby, [false, false, true]),
        ] {
            let found = [primary, full, standby].map(|server| server.refusal(target).is_none());
            assert_eq!(found, suits, "{target:?}");
        }
    }

    #[test]
    fn timelines_are_compared_within_a_cluster() {
        let at = |system, number: &str| Timeline::parse(system, number).expect("a number");
        assert_eq!(at(1, "0000000A").number, 10);
        assert!(at(1, "00000009").is_left_for(at(1, "0000000A")));
        assert!(!at(1, "0000000A").is_left_for(at(1, "0000000A")));
        assert!(!at(2, "00000001").is_left_for(at(1, "0000000A")));
        assert_eq!(Timeline::parse(1, "no number"), None);
    }
}
