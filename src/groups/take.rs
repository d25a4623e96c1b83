//! What a member is given next, whatever the kind of its group.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;

use uuid::Uuid;

use super::error::GroupError;
use super::group::{Group, GroupName, Groups};
use super::lease::{Handing, Lease};
use crate::budget::Reservation;
use crate::limits::{GROUP_COPY_PAUSE, GROUP_COPY_WAIT, PAGE_BYTES_MAX};
use crate::query::{LoggedEvent, PageLimit, ReadError, Reads, Start, Wanted};

/// Who asks for events, and for how many.
pub struct Ask<'a> {
    pub at: &'a GroupName,
    /// None: it is the only one.
    pub member: Option<&'a str>,
    pub limit: usize,
    /// Where the only one goes on reading before it commits what it has.
    pub cursor: Option<&'a str>,
    /// Whose key it is; kept with what is parked.
    pub key_id: Uuid,
}

/// What a member is given.
pub struct Delivery {
    pub group: Group,
    pub events: Vec<LoggedEvent>,
    /// Where the next answer begins.
    pub next_offset: i64,
    /// What to acknowledge; None: the offset is to be committed.
    pub lease: Option<Lease>,
    /// How often at most one of these events was handed out, this time included.
    pub deliveries: i32,
    /// There are none so far, and not all was looked at.
    pub goes_on: bool,
    /// The memory of the events.
    pub room: Option<Reservation>,
    /// To be told when they are on their way.
    pub handing: Option<Handing>,
}

impl Delivery {
    /// There is none at the moment.
    pub(super) fn nothing(group: Group) -> Self {
        let next_offset = group.committed;
        Self {
            group,
            events: Vec::new(),
            next_offset,
            lease: None,
            deliveries: 0,
            goes_on: false,
            room: None,
            handing: None,
        }
    }
}

impl Groups {
    /// Looks once.
    pub async fn look(&self, ask: &Ask<'_>) -> Result<Delivery, GroupError> {
        let start = ask.cursor.map(|cursor| Start::Cursor(cursor.to_owned()));
        let position = match &start {
            Some(start) => start.position(&ask.at.tenant_id, &ask.at.stream)?,
            None => None,
        };
        let group = self.find_since(ask.at, position).await?;
        if group.paused_at.is_some() {
            return Ok(Delivery::nothing(group));
        }
        match (group.settings.ordered_by, ask.member, start) {
            (_, Some(_), Some(_)) => Err(GroupError::Unsuited("`cursor` is for who reads alone, without `member`")),
            (Some(ordered_by), Some(member), None) => self.look_ordered(group, ordered_by, member, ask).await,
            (Some(_), None, _) => Err(GroupError::Unsuited("the group is ordered: say who reads, with `member`")),
            (None, Some(member), None) => self.look_shared(group, member, ask).await,
            (None, None, start) => self.look_alone(group, start, ask).await,
        }
    }

    /// The next events of a range that are wanted. Readers may be led to a copy that lags behind.
    pub(super) async fn range(
        &self,
        reads: &Reads,
        group: &Group,
        range: Range<i64>,
        limit: usize,
        wanted: &Wanted,
    ) -> Result<(Vec<LoggedEvent>, i64), GroupError> {
        let begun = Instant::now();
        loop {
            let (tenant_id, stream) = (&group.at.tenant_id, &group.at.stream);
            let limit = PageLimit { events: limit, text_bytes: PAGE_BYTES_MAX };
            let (events, next) =
                reads.log_range(self.readers.logs(), tenant_id, stream, range.clone(), limit, wanted).await?;
            if next > range.start || range.is_empty() || begun.elapsed() > GROUP_COPY_WAIT {
                return Ok((events, next));
            }
            tokio::time::sleep(GROUP_COPY_PAUSE).await;
        }
    }

    pub(super) async fn begin(&self, group: &Group) -> Result<Reads, ReadError> {
        self.readers.begin(&group.at.tenant_id).await
    }

    /// One event of the stream, and its memory.
    pub(super) async fn event_at(&self, group: &Group, offset: i64) -> Result<(LoggedEvent, Reservation), GroupError> {
        let missing = GroupError::NotFound("event");
        if !(group.log.begin..group.log.end).contains(&offset) {
            return Err(missing);
        }
        let reads = self.begin(group).await?;
        let (events, _) = self.range(&reads, group, offset..offset + 1, 1, &Wanted::default()).await?;
        let event = events.into_iter().next().ok_or(missing)?;
        Ok((event, reads.into_reservation()))
    }

    /// Offsets that the group passes over, from one on.
    pub(super) async fn passed_over(&self, group: &Group, range: Range<i64>) -> Result<BTreeSet<i64>, GroupError> {
        let sql = r#"SELECT "offset" FROM consumer_parked WHERE group_id = $1 AND "offset" >= $2 AND "offset" < $3"#;
        let rows = self.run(sql, &[&group.id, &range.start, &range.end]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
