//! Leases: what a member was given, and what becomes of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Row;

use super::error::GroupError;
use super::group::{Group, GroupName, Groups};

/// A lease as a member is told it: its generation and its number. Numbers are never given twice: each has some digits of chance, since
/// a restored database goes on counting from where it was, and begins another generation only where it knows that it is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub generation: i64,
    pub number: i64,
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation, self.number)
    }
}

impl FromStr for Lease {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let (generation, number) = text.split_once('-').ok_or(())?;
        Ok(Self { generation: digits(generation).ok_or(())?, number: digits(number).ok_or(())? })
    }
}

/// What is given back comes again after a delay, to whichever member.
#[derive(Debug, Clone, Default)]
pub struct Return {
    /// One event of several; None: all of them.
    pub offset: Option<i64>,
    pub delay: Duration,
    /// Why, in the member's words.
    pub error: Option<String>,
}

/// A lease that is being handed out. Dropped before that (its member hung up), it is given back at once.
pub struct Handing {
    groups: Groups,
    group_id: i64,
    at: GroupName,
    number: Option<i64>,
}

impl Handing {
    pub(super) fn new(groups: &Groups, group: &Group, number: i64) -> Self {
        Self { groups: groups.clone(), group_id: group.id, at: group.at.clone(), number: Some(number) }
    }

    /// It is the member's now.
    pub fn handed(mut self) {
        self.number = None;
    }
}

impl Drop for Handing {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let (groups, group_id, at) = (self.groups.clone(), self.group_id, self.at.clone());
        tokio::spawn(async move {
            if let Err(error) = groups.undo(group_id, number).await {
                tracing::debug!(?error, "a lease that nobody took could not be given back; it expires");
            }
            groups.wake(&at).await;
        });
    }
}

impl Groups {
    /// What the lease covers is done with; returns how many parts that were.
    pub async fn ack(&self, group: &Group, lease: Lease) -> Result<i32, GroupError> {
        if group.settings.ordered_by.is_some() {
            // Who acknowledges is there.
            let heard = include_str!("../../sql/queries/group_heard.sql");
            self.run(heard, &[&group.id, &lease.number, &group.heard_for_ms()]).await?;
        }
        let settle = "SELECT settle_lease($1, $2, $3)";
        let settled = self.run(settle, &[&group.id, &lease.generation, &lease.number]).await?;
        Ok(settled.first().map_or(0, |row| row.get(0)))
    }

    /// Gives it more time, as much as it had at first.
    pub async fn extend(&self, group: &Group, lease: Lease) -> Result<(), GroupError> {
        let sql = include_str!("../../sql/queries/group_extend.sql");
        let of = (&group.id, &lease.generation, &lease.number);
        found(&self.run(sql, &[of.0, of.1, of.2, &group.ack_timeout_ms(), &group.heard_for_ms()]).await?)
    }

    /// Gives a lease, or one event of it, back.
    pub async fn nack(&self, group: &Group, lease: Lease, back: &Return) -> Result<(), GroupError> {
        if back.offset.is_some_and(|offset| !(0..group.log.end).contains(&offset)) {
            // No lease covers it.
            return Err(GroupError::LeaseLost);
        }
        let of = (&group.id, &lease.generation, &lease.number);
        let delay_ms = i64::try_from(back.delay.as_millis()).unwrap_or(i64::MAX);
        let Some(ordered_by) = group.settings.ordered_by else {
            let sql = include_str!("../../sql/queries/group_nack.sql");
            found(&self.run(sql, &[of.0, of.1, of.2, &delay_ms, &back.error, &back.offset]).await?)?;
            self.wake(&group.at).await;
            return Ok(());
        };
        let slot = match back.offset {
            Some(offset) => Some(ordered_by.slot(&self.event_at(group, offset).await?.0)),
            None => None,
        };
        let sql = include_str!("../../sql/queries/group_nack_slots.sql");
        found(&self.run(sql, &[of.0, of.1, of.2, &delay_ms, &back.error, &slot]).await?)?;
        self.wake(&group.at).await;
        Ok(())
    }

    /// A member goes: what it holds is given back, and its slots are others'.
    pub async fn leave(&self, group: &Group, member: &str) -> Result<(), GroupError> {
        self.run(include_str!("../../sql/queries/group_leave.sql"), &[&group.id, &member]).await?;
        self.wake(&group.at).await;
        Ok(())
    }

    /// As if it had not been handed out.
    pub(super) async fn undo(&self, group_id: i64, number: i64) -> Result<(), GroupError> {
        self.run(include_str!("../../sql/queries/group_undo.sql"), &[&group_id, &number]).await.map(drop)
    }
}

/// Of a statement that says how many parts it found.
fn found(rows: &[Row]) -> Result<(), GroupError> {
    let parts: i64 = rows.first().map_or(0, |row| row.get(0));
    if parts == 0 { Err(GroupError::LeaseLost) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_read_as_they_are_written() {
        let lease = Lease { generation: 1_800_000_001, number: 7 };
        assert_eq!(lease.to_string().parse(), Ok(lease));
        for other in ["", "-", "1", "1-", "-1", "1-2-3", "+1-2", "1--2", "a-b", "1-99999999999999999999"] {
            assert_eq!(other.parse::<Lease>(), Err(()), "{other}");
        }
    }
}
