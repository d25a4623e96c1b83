//! Causal pairs of a range of minutes: by shared correlation id and by parent, with what the other rules need noted on the way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_postgres::GenericClient;
use uuid::Uuid;

use super::causal::{self, Slice};
use super::chain::ChainEvent;
use super::child::Child;
use super::kept::KeptPairs;
use super::pairs::Side;
use super::parents;
use super::summary::MinutesSummary;
use crate::jobs::minutes::{MinuteQueue, MinuteRange, Tally, Work, minute_of};
use crate::limits::{EVENT_BLOCK_MINUTES, RELATED_EVENTS_PER_SLICE};
use crate::model::{CORRELATION_GROUPS, Kind};
use crate::storage::StorageError;

/// Works through minutes of events.
pub(super) struct Chains {
    pairs: KeptPairs,
    /// As the run at hand has found it: a restored database may have another name for it.
    groups: Mutex<Arc<str>>,
}

enum Progress {
    /// There are more orphans that wait for its events.
    Orphans,
    After(Side),
}

impl Progress {
    fn parse(value: &Value) -> Option<Self> {
        if value == "orphans" {
            return Some(Self::Orphans);
        }
        let at = Timestamp::from_microsecond(value["at_us"].as_i64()?).ok()?;
        Some(Self::After(Side { at, id: value["id"].as_str()?.parse().ok()? }))
    }

    fn value(&self) -> Value {
        match self {
            Self::Orphans => json!("orphans"),
            Self::After(side) => json!({ "at_us": side.at.as_microsecond(), "id": side.id }),
        }
    }
}

const QUEUES: &[MinuteQueue] = &[MinuteQueue::of(Kind::Events, "correlations")];

impl Work for Chains {
    const BLOCK_MINUTES: i32 = EVENT_BLOCK_MINUTES;

    fn queues(&self) -> &'static [MinuteQueue] {
        QUEUES
    }

    async fn prepare(&self, range: &MinuteRange) -> Result<(), StorageError> {
        self.pairs.make_partitions(range).await
    }

    async fn slice(
        &self,
        transaction: &Transaction<'_>,
        range: &MinuteRange,
        position: Option<&Value>,
        tally: &mut Tally,
    ) -> Result<Option<Value>, StorageError> {
        if !self.pairs.keeps(range.ends_at()) {
            tally.add("blocks_too_old", 1);
            return Ok(None);
        }
        // A position that cannot be read is of another version: from the start.
        let after = match position.and_then(Progress::parse) {
            Some(Progress::After(side)) => Some(side),
            Some(Progress::Orphans) => {
                if parents::resolve(transaction, range, tally).await? {
                    return Ok(Some(Progress::Orphans.value()));
                }
                None
            }
            None => {
                let summary = MinutesSummary::of(transaction, range).await?;
                summary.remember(transaction, range, tally).await?;
                if parents::resolve(transaction, range, tally).await? {
                    return Ok(Some(Progress::Orphans.value()));
                }
                if !summary.has_related() {
                    return Ok(None);
                }
                None
            }
        };
        self.events(transaction, range, after, tally).await
    }
}

impl Chains {
    pub fn new(pairs: KeptPairs) -> Self {
        Self { pairs, groups: Mutex::new("".into()) }
    }

    /// Finds what of `correlation_groups` is stored, at the start of a run: reading the view would also compute what is
    /// not, from all recent events.
    pub async fn find_groups(&self, client: &impl GenericClient) -> Result<Arc<str>, StorageError> {
        let found: Arc<str> = self.pairs.store.layout().closed(client, CORRELATION_GROUPS).await?.into();
        *self.groups.lock().expect("no code panics while holding it") = Arc::clone(&found);
        Ok(found)
    }

    /// Relates the next events of a range.
    async fn events(
        &self,
        transaction: &Transaction<'_>,
        range: &MinuteRange,
        after: Option<Side>,
        tally: &mut Tally,
    ) -> Result<Option<Value>, StorageError> {
        let tenant_id = &range.tenant_id;
        let statement = transaction.prepare_cached(include_str!("../../sql/queries/chain_events.sql")).await?;
        let from = after.map_or(range.starts_at(), |side| side.at.max(range.starts_at()));
        let start = after.unwrap_or(Side { at: Timestamp::MIN, id: Uuid::nil() });
        let start = Side { at: start.at.max(Timestamp::UNIX_EPOCH), id: start.id };
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [tenant_id, &from, &range.ends_at(), &start.at, &start.id, &RELATED_EVENTS_PER_SLICE];
        let rows = transaction.query(&statement, &parameters).await?;
        let mut groups: BTreeMap<Uuid, Vec<ChainEvent>> = BTreeMap::new();
        let mut children = Vec::new();
        for row in &rows {
            let event = Side { id: row.get(0), at: row.get(1) };
            if let Some(correlation_id) = row.get::<_, Option<Uuid>>(2) {
                let group = groups.entry(correlation_id).or_default();
                // The same event stored twice is one.
                if group.last().is_none_or(|last| last.key() != (event.at, event.id)) {
                    group.push(ChainEvent { at: event.at, id: event.id, module: row.get(4) });
                }
            }
            if let Some(parent_id) = row.get::<_, Option<Uuid>>(3).filter(|parent_id| *parent_id != event.id) {
                children.push(Child { parent_id, event, source_module: row.get(4) });
            }
        }
        let last = rows.last().map(|row| Side { id: row.get(0), at: row.get(1) });
        let full = i64::try_from(rows.len()).is_ok_and(|rows| rows == RELATED_EVENTS_PER_SLICE);
        let next = last.filter(|_| full);
        let slice = Slice {
            groups,
            cut_from: after.map(|side| minute_of(side.at)),
            cut_to: next.map(|side| minute_of(side.at)),
        };
        tally.add("events", rows.len());
        let stored_groups = Arc::clone(&self.groups.lock().expect("no code panics while holding it"));
        let (written, taken_away) = causal::relate(transaction, tenant_id, &stored_groups, &slice).await?;
        tally.add("pairs", written);
        tally.add("pairs_taken_away", taken_away);
        parents::relate(transaction, tenant_id, children, tally).await?;
        Ok(next.map(|side| Progress::After(side).value()))
    }
}
