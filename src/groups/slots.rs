//! The slots of an ordered group: whose they are, and what is to be done with each.

use deadpool_postgres::{Object, Transaction};
use tokio_postgres::Row;

use super::error::GroupError;
use super::group::{Group, Groups, Turn, hold};
use crate::limits::GROUP_MEMBERS_MAX;
use crate::query::{LoggedEvent, OrderedBy, SLOTS};

/// A slot that a member has.
#[derive(Debug, Clone)]
pub struct Slot {
    pub slot: i16,
    pub committed: i64,
    pub term: i64,
    /// What was handed out of it is not acknowledged.
    is_out: bool,
    /// Nor was it in time.
    is_late: bool,
    /// It was not given back for a while.
    is_due: bool,
    pub lease_hi: Option<i64>,
    pub deliveries: i32,
    pub alone: bool,
    pub error: Option<String>,
}

/// What a page of events has for a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub slot: i16,
    pub term: i64,
    pub committed: i64,
    /// Behind what is handed out, or passed.
    pub hi: i64,
    pub alone: bool,
    pub has: bool,
}

impl Slot {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            slot: row.try_get(0)?,
            committed: row.try_get(1)?,
            term: row.try_get(2)?,
            is_out: row.try_get(3)?,
            is_late: row.try_get(4)?,
            is_due: row.try_get(5)?,
            lease_hi: row.try_get(6)?,
            deliveries: row.try_get(7)?,
            alone: row.try_get(8)?,
            error: row.try_get(9)?,
        })
    }

    pub fn is_ready(&self) -> bool {
        !self.is_out && self.is_due
    }

    /// It, further on: what follows was not handed out so far.
    #[must_use]
    pub fn passed(&self, committed: i64) -> Self {
        Self { committed, deliveries: 0, alone: false, error: None, ..self.clone() }
    }

    pub fn turn(&self, group: &Group) -> Turn {
        group.turn(self.deliveries, self.alone)
    }
}

/// Of a page that ends at `next`, the events that are handed out, and what that is for each slot. A slot that is further gets nothing
/// that it has passed. Where a slot's next event is to come by itself, it is the only one of all.
pub fn parts(
    group: &Group,
    ordered_by: OrderedBy,
    slots: &[Slot],
    events: Vec<LoggedEvent>,
    next: i64,
) -> (Vec<LoggedEvent>, Vec<Part>) {
    let mut parts: Vec<Part> = slots
        .iter()
        .filter(|slot| slot.committed < next)
        .map(|slot| {
            let Slot { slot, committed, term, .. } = *slot;
            Part { slot, term, committed, hi: next, alone: false, has: false }
        })
        .collect();
    let mut kept: Vec<(i16, LoggedEvent)> = Vec::with_capacity(events.len());
    for event in events {
        let of = ordered_by.slot(&event);
        if let Some(part) = parts.iter_mut().find(|part| part.slot == of && part.committed <= event.offset) {
            part.has = true;
            kept.push((of, event));
        }
    }
    let is_alone = |of: i16| slots.iter().any(|slot| slot.slot == of && slot.turn(group) != Turn::Together);
    if let Some(at) = kept.iter().position(|(of, _)| is_alone(*of)) {
        let (of, event) = kept.swap_remove(at);
        // The others that have something are left as they are.
        parts.retain(|part| part.slot == of || !part.has);
        for part in parts.iter_mut().filter(|part| part.slot == of) {
            part.alone = true;
            part.hi = event.offset + 1;
        }
        return (vec![event], parts);
    }
    (kept.into_iter().map(|(_, event)| event).collect(), parts)
}

impl Groups {
    /// Says that a member is there, gives up what others are to have of its slots, and takes what is free, until it has its share.
    /// Returns what it has, and the number of its next lease.
    pub(super) async fn own_slots(&self, group: &Group, member: &str) -> Result<(Vec<Slot>, i64), GroupError> {
        let mut lent = self.connection().await?;
        let own = own_slots_of(&mut lent.client, group, member).await;
        let Own { slots, number, gave_up } = lent.end(own)?;
        if gave_up {
            self.wake(&group.at).await;
        }
        Ok((slots, number))
    }

    /// Hands parts out under a lease; returns the slots that were still the member's.
    pub(super) async fn hand_slots(&self, group: &Group, lease: i64, parts: &[Part]) -> Result<Vec<i16>, GroupError> {
        let slots: Vec<i16> = parts.iter().map(|part| part.slot).collect();
        let terms: Vec<i64> = parts.iter().map(|part| part.term).collect();
        let committed: Vec<i64> = parts.iter().map(|part| part.committed).collect();
        let his: Vec<i64> = parts.iter().map(|part| part.hi).collect();
        let alone: Vec<bool> = parts.iter().map(|part| part.alone).collect();
        let has: Vec<bool> = parts.iter().map(|part| part.has).collect();
        let sql = include_str!("../../sql/queries/group_slots_hand.sql");
        let timeout_ms = group.ack_timeout_ms();
        let rows =
            self.run(sql, &[&group.id, &lease, &timeout_ms, &slots, &terms, &committed, &his, &alone, &has]).await?;
        Ok(rows.iter().filter(|row| row.get(1)).map(|row| row.get(0)).collect())
    }

    /// Passes what was parked of a slot.
    pub(super) async fn pass_slot(&self, group: &Group, slot: &Slot, to: i64) -> Result<(), GroupError> {
        let sql = "UPDATE consumer_slots SET committed = $5, lease = NULL, deliveries = 0, alone = false, not_before = NULL, \
                   error = NULL WHERE group_id = $1 AND slot = $2 AND term = $3 AND committed = $4";
        self.run(sql, &[&group.id, &slot.slot, &slot.term, &slot.committed, &to]).await.map(drop)
    }
}

/// What a member has, the number of its next lease, and whether it gave slots up.
struct Own {
    slots: Vec<Slot>,
    number: i64,
    gave_up: bool,
}

/// In one transaction.
async fn own_slots_of(client: &mut Object, group: &Group, member: &str) -> Result<Own, GroupError> {
    let transaction = client.transaction().await?;
    let members = members_with(&transaction, group, member).await?;
    let mut own = owned(&transaction, group, member).await?;
    let share = share(members);
    if own.len() < share || own.iter().any(|slot| slot.is_late) {
        let late = transaction.prepare_cached(include_str!("../../sql/queries/group_slots_late.sql")).await?;
        if transaction.execute(&late, &[&group.id, &member]).await? > 0 {
            own = owned(&transaction, group, member).await?;
        }
    }
    let mut gave_up = false;
    if own.len() > share {
        // Not what is out: its events are still being worked on.
        let surplus: Vec<i16> =
            own.iter().rev().filter(|slot| !slot.is_out).take(own.len() - share).map(|slot| slot.slot).collect();
        let free = "UPDATE consumer_slots SET member = NULL, lease = NULL, term = term + 1 \
                    WHERE group_id = $1 AND member = $2 AND slot = ANY ($3)";
        let free = transaction.prepare_cached(free).await?;
        transaction.execute(&free, &[&group.id, &member, &surplus]).await?;
        own.retain(|slot| !surplus.contains(&slot.slot));
        gave_up = !surplus.is_empty();
    } else if own.len() < share {
        let take = transaction.prepare_cached(include_str!("../../sql/queries/group_slots_take.sql")).await?;
        let wanted = i64::try_from(share - own.len()).unwrap_or_default();
        let taken = transaction.query(&take, &[&group.id, &member, &wanted]).await?;
        own.extend(taken.iter().map(Slot::read).collect::<Result<Vec<_>, _>>()?);
    }
    // As in group_claim.sql.
    let number = "SELECT nextval('consumer_lease_numbers') << 20 | floor(random() * 1048576)::bigint";
    let number = transaction.prepare_cached(number).await?;
    let number = transaction.query_one(&number, &[]).await?.get(0);
    transaction.commit().await?;
    Ok(Own { slots: own, number, gave_up })
}

/// The slots that a member has, held until the end of the transaction.
async fn owned(transaction: &Transaction<'_>, group: &Group, member: &str) -> Result<Vec<Slot>, GroupError> {
    let own = transaction.prepare_cached(include_str!("../../sql/queries/group_slots_own.sql")).await?;
    let own = transaction.query(&own, &[&group.id, &member]).await?;
    Ok(own.iter().map(Slot::read).collect::<Result<_, _>>()?)
}

/// Says that a member is there; returns how many there are.
async fn members_with(transaction: &Transaction<'_>, group: &Group, member: &str) -> Result<i64, GroupError> {
    let heard = transaction.prepare_cached(include_str!("../../sql/queries/group_member.sql")).await?;
    if let Some(members) = transaction.query_opt(&heard, &[&group.id, &member, &group.heard_for_ms()]).await? {
        return Ok(members.get(0));
    }
    hold(transaction, group).await?;
    let join = transaction.prepare_cached(include_str!("../../sql/queries/group_join.sql")).await?;
    let joined = transaction.query_opt(&join, &[&group.id, &member, &group.heard_for_ms(), &GROUP_MEMBERS_MAX]).await?;
    joined.map(|members| members.get(0)).ok_or(GroupError::Full("members of the group"))
}

/// How many slots each of so many members has, at most.
fn share(members: i64) -> usize {
    let members = usize::try_from(members).unwrap_or(1).max(1);
    usize::try_from(SLOTS).unwrap_or_default().div_ceil(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_enough_for_all_slots() {
        let all = usize::try_from(SLOTS).expect("a number");
        assert_eq!([0, 1, 2, 3, 64, 100].map(share), [all, all, 32, 22, 1, 1]);
        for members in 1..100 {
            assert!(share(members) * usize::try_from(members).expect("a number") >= all);
        }
    }
}
