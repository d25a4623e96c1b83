//! A group with several members, in no order: each holds a lease of a range of offsets, and acknowledges it by its number. What is
//! not acknowledged in time is another's.

use std::time::Instant;

use deadpool_postgres::Object;
use tokio_postgres::Row;

use super::alone::count_redelivered;
use super::error::GroupError;
use super::group::{Group, Groups, Turn};
use super::lease::{Handing, Lease};
use super::parked::Parking;
use super::take::{Ask, Delivery};
use crate::limits::{GROUP_CLAIM_ROWS_MAX, GROUP_LEASES_MAX, GROUP_LOOK_MAX, LOG_SIFTED_EVENTS};
use crate::query::{LoggedBatch, LoggedEvent, Reads, Stretch, Wanted};

/// A range that a member was given.
struct Held {
    lo: i64,
    hi: i64,
    lease: i64,
    /// Before this time.
    deliveries: i32,
    alone: bool,
    is_replay: bool,
    error: Option<String>,
}

/// What there is in a range.
enum Found {
    Events(Vec<LoggedEvent>),
    /// Nothing that is wanted, or what was parked.
    Done,
    /// Not yet, where the readers are led to.
    NotThere,
}

/// What came of what was to be handed out.
enum Handed {
    Out(Box<Delivery>),
    /// There was nothing in it.
    Done,
    /// It cannot be read yet, and is nobody's.
    NotYet,
}

impl Held {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            lo: row.try_get(0)?,
            hi: row.try_get(1)?,
            lease: row.try_get(2)?,
            deliveries: row.try_get(3)?,
            alone: row.try_get(4)?,
            is_replay: row.try_get(5)?,
            error: row.try_get(6)?,
        })
    }
}

impl Groups {
    pub(super) async fn look_shared(&self, group: Group, member: &str, ask: &Ask<'_>) -> Result<Delivery, GroupError> {
        let begun = Instant::now();
        let mut reads = None;
        while begun.elapsed() < GROUP_LOOK_MAX {
            let held = match self.retake(&group, member, false, &[]).await? {
                Some(held) => held,
                None => match self.claim(&group, member, ask.limit).await? {
                    Some(held) => held,
                    None => return Ok(Delivery::nothing(group)),
                },
            };
            let own = match reads.take() {
                Some(reads) => reads,
                None => self.reads_for(&group, &held).await?,
            };
            match self.hand(&group, &own, held, ask).await? {
                Handed::Out(delivery) => return Ok(Delivery { room: Some(own.into_reservation()), ..*delivery }),
                Handed::Done => reads = Some(own),
                Handed::NotYet => return Ok(Delivery::nothing(group)),
            }
        }
        Ok(Delivery { goes_on: true, ..Delivery::nothing(group) })
    }

    /// A parked event that is to be handed out again, in a group of any kind.
    pub(super) async fn look_for_replay(&self, group: &Group, ask: &Ask<'_>) -> Result<Option<Delivery>, GroupError> {
        self.replay_of(group, ask.member.unwrap_or_default(), &[], ask).await
    }

    /// The same, of these slots.
    pub(super) async fn replay_of(
        &self,
        group: &Group,
        member: &str,
        slots: &[i16],
        ask: &Ask<'_>,
    ) -> Result<Option<Delivery>, GroupError> {
        while let Some(held) = self.retake(group, member, true, slots).await? {
            let reads = self.reads_for(group, &held).await?;
            match self.hand(group, &reads, held, ask).await? {
                Handed::Out(delivery) => {
                    return Ok(Some(Delivery { room: Some(reads.into_reservation()), ..*delivery }));
                }
                Handed::Done => {}
                Handed::NotYet => return Ok(None),
            }
        }
        Ok(None)
    }

    /// A reader for what a member was given; where there is none it is given back.
    async fn reads_for(&self, group: &Group, held: &Held) -> Result<Reads, GroupError> {
        match self.begin(group).await {
            Ok(reads) => Ok(reads),
            Err(error) => {
                self.undo(group.id, held.lease).await?;
                Err(error.into())
            }
        }
    }

    async fn retake(
        &self,
        group: &Group,
        member: &str,
        replays: bool,
        slots: &[i16],
    ) -> Result<Option<Held>, GroupError> {
        let sql = include_str!("../../sql/queries/group_retake.sql");
        let rows = self.run(sql, &[&group.id, &member, &group.ack_timeout_ms(), &replays, &slots]).await?;
        Ok(rows.first().map(Held::read).transpose()?)
    }

    /// The next range that nobody was given.
    async fn claim(&self, group: &Group, member: &str, limit: usize) -> Result<Option<Held>, GroupError> {
        group.reaches(group.claimed)?;
        if group.claimed >= group.log.end {
            // Many wait for what comes next, and hold up nobody.
            return Ok(None);
        }
        let sifted = if group.settings.event_types.is_empty() { limit } else { limit.max(LOG_SIFTED_EVENTS) };
        let mut lent = self.connection().await?;
        let claimed = claim_of(&mut lent.client, group, member, sifted).await;
        lent.end(claimed)
    }

    /// Reads what a member was given.
    async fn hand(&self, group: &Group, reads: &Reads, held: Held, ask: &Ask<'_>) -> Result<Handed, GroupError> {
        let handing = Handing::new(self, group, held.lease);
        match self.found(group, reads, &held, ask).await? {
            Found::Events(events) => {
                if held.deliveries > 0 {
                    count_redelivered(events.len());
                }
                let lease = Lease { generation: group.generation, number: held.lease };
                // A replay moves nobody: who commits what comes with it must not pass what it has not read.
                let behind = events.last().filter(|_| !held.is_replay).map(|event| event.offset + 1);
                let next_offset = behind.unwrap_or(group.committed);
                let (lease, deliveries, handing) = (Some(lease), held.deliveries + 1, Some(handing));
                let nothing = Delivery::nothing(group.clone());
                Ok(Handed::Out(Box::new(Delivery { events, next_offset, lease, deliveries, handing, ..nothing })))
            }
            Found::Done => {
                handing.handed();
                let done = "UPDATE consumer_leases SET done = true WHERE group_id = $1 AND lease = $2 AND NOT done";
                self.run(done, &[&group.id, &held.lease]).await?;
                Ok(Handed::Done)
            }
            Found::NotThere => Ok(Handed::NotYet),
        }
    }

    /// The events of a range, which is cut behind them.
    async fn found(&self, group: &Group, reads: &Reads, held: &Held, ask: &Ask<'_>) -> Result<Found, GroupError> {
        let turn = group.turn(held.deliveries, held.alone || held.is_replay);
        let limit = if turn == Turn::Together { ask.limit } else { 1 };
        let range = held.lo..held.hi;
        let wanted = match held.is_replay {
            true => Wanted::default(),
            false => Wanted { passed_over: self.passed_over(group, range.clone()).await?, ..group.wanted() },
        };
        let (mut events, mut next) = self.range(reads, group, range, limit, &wanted).await?;
        while events.is_empty() && held.lo < next && next < held.hi {
            let before = next;
            (events, next) = self.range(reads, group, next..held.hi, limit, &wanted).await?;
            if next <= before {
                return Ok(Found::NotThere);
            }
        }
        if events.is_empty() {
            if next < held.hi {
                return Ok(Found::NotThere);
            }
            if held.is_replay {
                self.replay_failed(group, held.lo, "expired", "the event has expired").await?;
            }
            return Ok(Found::Done);
        }
        let cut = if turn == Turn::Together { next } else { events[0].offset + 1 };
        let narrow = include_str!("../../sql/queries/group_narrow.sql");
        if cut < held.hi || turn == Turn::Alone {
            self.run(narrow, &[&group.id, &held.lease, &cut, &(turn == Turn::Alone)]).await?;
        }
        if turn != Turn::Park {
            return Ok(Found::Events(events));
        }
        let parking = Parking::of_itself(group, held.deliveries, held.error.as_deref(), ask.key_id);
        match held.is_replay {
            true => self.replay_failed(group, held.lo, parking.code, &parking.reason).await?,
            false => drop(self.park_all(group, &parking, &events).await?),
        }
        Ok(Found::Done)
    }
}

/// In one transaction.
async fn claim_of(client: &mut Object, group: &Group, member: &str, sifted: usize) -> Result<Option<Held>, GroupError> {
    let rows = i64::try_from(sifted.min(GROUP_CLAIM_ROWS_MAX)).unwrap_or(i64::MAX);
    let transaction = client.transaction().await?;
    // Members take turns.
    let place = transaction.prepare_cached(include_str!("../../sql/queries/group_place.sql")).await?;
    let place = match transaction.query_opt(&place, &[&group.id, &group.generation, &GROUP_LEASES_MAX]).await {
        Ok(place) => place,
        Err(error) => match GroupError::from(error) {
            GroupError::Busy => None,
            error => return Err(error),
        },
    };
    // Reset meanwhile, or nothing more until others acknowledge.
    let Some(place) = place.filter(|place| !place.get::<_, bool>(1)) else { return Ok(None) };
    let from: i64 = place.get(0);
    let batches = transaction.prepare_cached(include_str!("../../sql/queries/stream_batches.sql")).await?;
    let batches = transaction.query(&batches, &[&&*group.at.tenant_id, &group.at.stream, &from, &rows]).await?;
    let batches: Vec<LoggedBatch> = batches.iter().map(LoggedBatch::read).collect::<Result<_, _>>()?;
    let to = Stretch::of(&batches, from, sifted).to;
    if to <= from {
        return Ok(None);
    }
    let claim = transaction.prepare_cached(include_str!("../../sql/queries/group_claim.sql")).await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&group.id, &member, &group.ack_timeout_ms(), &from, &to];
    let Some(row) = transaction.query_opt(&claim, &parameters).await? else { return Ok(None) };
    let lease = row.get(0);
    transaction.commit().await?;
    Ok(Some(Held { lo: from, hi: to, lease, deliveries: 0, alone: false, is_replay: false, error: None }))
}
