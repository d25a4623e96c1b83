//! A group with one member: it reads from where the group is, and commits how far it came. Who takes over begins another
//! generation, so that the one before commits in vain.

use super::error::GroupError;
use super::group::{Group, Groups, Turn};
use super::parked::Parking;
use super::take::{Ask, Delivery};
use crate::query::Start;

impl Groups {
    /// What is next, or what comes behind what was read already.
    pub(super) async fn look_alone(
        &self,
        mut group: Group,
        start: Option<Start>,
        ask: &Ask<'_>,
    ) -> Result<Delivery, GroupError> {
        if let Some(delivery) = self.look_for_replay(&group, ask).await? {
            // Who reads on before it commits goes on where it was.
            let next_offset = match &start {
                Some(start) => group.offset_of(start)?.max(group.committed),
                None => group.committed,
            };
            return Ok(Delivery { next_offset, ..delivery });
        }
        if group.has_leases {
            // All of them may be acknowledged, and not passed yet.
            self.advance(Some(group.id)).await?;
            group = self.find(ask.at).await?;
            if group.has_leases {
                return Err(GroupError::HasMembers);
            }
        }
        group.reaches(group.committed)?;
        loop {
            let from = match &start {
                Some(start) => group.offset_of(start)?.max(group.committed),
                None => group.committed,
            };
            let to = group.log.end;
            if from >= to {
                return Ok(Delivery { next_offset: from, ..Delivery::nothing(group) });
            }
            let turn = if from == group.committed { group.turn(group.deliveries, group.alone) } else { Turn::Together };
            let limit = if turn == Turn::Together { ask.limit } else { 1 };
            let reads = self.begin(&group).await?;
            let mut wanted = group.wanted();
            if turn != Turn::Park {
                // What is parked already is parked again without harm; the one behind it was not handed out that often.
                wanted.passed_over = self.passed_over(&group, from..to).await?;
            }
            let (events, next_offset) = self.range(&reads, &group, from..to, limit, &wanted).await?;
            let room = reads.into_reservation();
            if turn == Turn::Park && !events.is_empty() {
                let parking = Parking::of_itself(&group, group.deliveries, None, ask.key_id);
                self.park_all(&group, &parking, &events).await?;
                drop(room);
                if !self.pass(&group, next_offset).await? {
                    return Ok(Delivery::nothing(group));
                }
                group = self.find(ask.at).await?;
                continue;
            }
            if events.is_empty() {
                if from == group.committed && next_offset > from {
                    // Nothing of it is wanted.
                    self.pass(&group, next_offset).await?;
                }
                let goes_on = from < next_offset && next_offset < to;
                let group = self.find(ask.at).await?;
                return Ok(Delivery { next_offset, goes_on, ..Delivery::nothing(group) });
            }
            let mut deliveries = 1;
            if start.is_none() {
                self.count_delivery(&group, turn == Turn::Alone).await?;
                deliveries = group.deliveries + 1;
                if group.deliveries > 0 {
                    count_redelivered(events.len());
                }
            }
            return Ok(Delivery { events, next_offset, deliveries, room: Some(room), ..Delivery::nothing(group) });
        }
    }

    /// Moves on over what is not to be handed out, if nobody else moved the group; false while a consumer is committing.
    async fn pass(&self, group: &Group, to: i64) -> Result<bool, GroupError> {
        let sql = "UPDATE consumer_offsets SET committed = $4, claimed = greatest(claimed, $4), deliveries = 0, alone = false \
                   WHERE group_id = $1 AND generation = $2 AND committed = $3";
        match self.run(sql, &[&group.id, &group.generation, &group.committed, &to]).await {
            Err(GroupError::Busy) => Ok(false),
            passed => passed.map(|_| true),
        }
    }

    /// Notes that what begins at `committed` was handed out once more. While a consumer is committing it is not.
    async fn count_delivery(&self, group: &Group, alone: bool) -> Result<(), GroupError> {
        let sql = "UPDATE consumer_offsets SET deliveries = deliveries + 1, alone = $4 WHERE group_id = ( \
                   SELECT group_id FROM consumer_offsets WHERE group_id = $1 AND generation = $2 AND committed = $3 \
                   FOR UPDATE SKIP LOCKED)";
        self.run(sql, &[&group.id, &group.generation, &group.committed, &alone]).await.map(drop)
    }

    /// Everything before a cursor is done with; returns where the group is then.
    pub async fn commit(&self, group: &Group, next: &Start, generation: i64) -> Result<i64, GroupError> {
        let position = next.position(&group.at.tenant_id, &group.at.stream)?;
        let group = self.find_since(&group.at, position).await?;
        let next_offset = group.offset_of(next)?;
        let sql = "SELECT advance_offset($1, $2, $3, false, NULL)";
        match self.run(sql, &[&group.id, &next_offset, &generation]).await {
            Ok(rows) => Ok(rows.first().map_or(next_offset, |row| row.get(0))),
            // It expired meanwhile.
            Err(GroupError::OutOfLog) => {
                self.find(&group.at).await?.offset_of(&Start::Offset(next_offset))?;
                Err(GroupError::Busy)
            }
            Err(error) => Err(error),
        }
    }

    /// Another takes over: what was read before is committed in vain. Returns the generation that begins.
    pub async fn take_over(&self, group: &Group) -> Result<i64, GroupError> {
        let sql = "UPDATE consumer_offsets SET generation = generation + 1 WHERE group_id = $1 RETURNING generation";
        let rows = self.run(sql, &[&group.id]).await?;
        rows.first().map(|row| row.get(0)).ok_or(GroupError::NotFound("group"))
    }
}

/// Counts events that are handed out once more.
pub(super) fn count_redelivered(events: usize) {
    metrics::counter!("tidegate_group_redeliveries_total").increment(events as u64);
}
