//! A group with several members, in the order of a key: the stream is read once for all of them (`query::log::ahead`), each is given
//! what is of its slots, and what was handed out of a slot comes to an end before the slot's next events are handed out.

use std::time::Instant;

use super::alone::count_redelivered;
use super::error::GroupError;
use super::group::{Group, Groups, Turn};
use super::lease::{Handing, Lease};
use super::parked::Parking;
use super::slots::{Slot, parts};
use super::take::{Ask, Delivery};
use crate::limits::{GROUP_EVENTS_MAX, GROUP_LOOK_MAX, SLOTS_APART_MAX};
use crate::query::{OrderedBy, Wanted};

impl Groups {
    pub(super) async fn look_ordered(
        &self,
        group: Group,
        ordered_by: OrderedBy,
        member: &str,
        ask: &Ask<'_>,
    ) -> Result<Delivery, GroupError> {
        let begun = Instant::now();
        let (mut own, number) = self.own_slots(&group, member).await?;
        let numbers: Vec<i16> = own.iter().map(|slot| slot.slot).collect();
        if let Some(delivery) = self.replay_of(&group, member, &numbers, ask).await? {
            return Ok(delivery);
        }
        own.retain(Slot::is_ready);
        self.park_due(&group, ordered_by, &mut own, ask).await?;
        while begun.elapsed() < GROUP_LOOK_MAX {
            let Some(from) = own.iter().map(|slot| slot.committed).min() else {
                return Ok(Delivery::nothing(group));
            };
            group.reaches(from)?;
            let to = group.log.end;
            if from >= to {
                return Ok(Delivery::nothing(group));
            }
            let near: Vec<Slot> = own.iter().filter(|slot| slot.committed <= from + SLOTS_APART_MAX).cloned().collect();
            let wanted = Wanted {
                slots: Some((ordered_by, near.iter().map(|slot| slot.slot).collect())),
                passed_over: self.passed_over(&group, from..to).await?,
                ..group.wanted()
            };
            let reads = self.begin(&group).await?;
            let (events, next) = self.range(&reads, &group, from..to, ask.limit, &wanted).await?;
            if next <= from {
                // Not there yet, where the readers are led to.
                return Ok(Delivery::nothing(group));
            }
            let (mut events, parts) = parts(&group, ordered_by, &near, events, next);
            let handing = Handing::new(self, &group, number);
            let handed = self.hand_slots(&group, number, &parts).await?;
            events.retain(|event| handed.contains(&ordered_by.slot(event)));
            if !events.is_empty() {
                let before = near.iter().filter(|slot| handed.contains(&slot.slot)).map(|slot| slot.deliveries);
                let before = before.max().unwrap_or_default();
                if before > 0 {
                    count_redelivered(events.len());
                }
                let lease = Lease { generation: group.generation, number };
                let next_offset = events.last().map_or(next, |event| event.offset + 1);
                let room = Some(reads.into_reservation());
                let (lease, deliveries, handing) = (Some(lease), before + 1, Some(handing));
                let nothing = Delivery::nothing(group);
                return Ok(Delivery { events, next_offset, lease, deliveries, room, handing, ..nothing });
            }
            handing.handed();
            // Those that were near have passed the page; what was lost meanwhile is another's.
            let passed: Vec<i16> = parts.iter().map(|part| part.slot).collect();
            for slot in own.iter_mut().filter(|slot| passed.contains(&slot.slot)) {
                *slot = slot.passed(slot.committed.max(next));
            }
        }
        Ok(Delivery { goes_on: true, ..Delivery::nothing(group) })
    }

    /// Parks the events that were handed out too often.
    async fn park_due(
        &self,
        group: &Group,
        ordered_by: OrderedBy,
        own: &mut Vec<Slot>,
        ask: &Ask<'_>,
    ) -> Result<(), GroupError> {
        let mut unread = Vec::new();
        for slot in own.iter_mut().filter(|slot| slot.turn(group) == Turn::Park) {
            let Some(to) = slot.lease_hi else { continue };
            let reads = self.begin(group).await?;
            let wanted = Wanted { slots: Some((ordered_by, vec![slot.slot])), ..group.wanted() };
            let range = slot.committed..to;
            let (events, next) = self.range(&reads, group, range, GROUP_EVENTS_MAX, &wanted).await?;
            if next < to {
                // Not there yet, where the readers are led to; nothing is passed that is not parked.
                unread.push(slot.slot);
                continue;
            }
            let parking = Parking::of_itself(group, slot.deliveries, slot.error.as_deref(), ask.key_id);
            self.park_all(group, &parking, &events).await?;
            self.pass_slot(group, slot, to).await?;
            *slot = slot.passed(to);
        }
        own.retain(|slot| !unread.contains(&slot.slot));
        Ok(())
    }
}
