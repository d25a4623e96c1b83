//! GET /v1/events/{id}/related: parent, children, and what was correlated, each once, the strongest first.

use std::cmp::Reverse;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::columns::{StoredRow, columns};
use super::error::ReadError;
use super::event::Event;
use super::listing::{Listing, Page, PageRequest, PageRoom};
use super::lookup::{EventKey, EventName, IdColumn, Wanted, key};
use super::reads::Reads;
use super::sql::Sql;
use super::windows::Window;
use crate::limits::{RELATED_AGE, RELATED_MAX, RELATED_SKEW};
use crate::model::{Namesake, ParentCandidate, parent_of};

const KEYS: &str = "SELECT id, timestamp FROM events";
const CHILDREN: &str = "SELECT id, timestamp, source_module, parent_event_id FROM events";
const NAMESAKES: &str = "SELECT id, timestamp, source_module FROM events";

/// What is related to which event.
#[derive(Debug, Clone)]
pub struct RelatedQuery {
    pub name: EventName,
}

/// The event that others are related to.
struct Origin {
    event: Event,
    /// What its children call it that do not know its source.
    bare_id: Option<Uuid>,
}

/// How events are related; of two ways that are equally strong, the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RelatedBy {
    /// It is the event's `parent_event_id`.
    Parent,
    /// Its `parent_event_id` is the event.
    Child,
    /// The correlation job has found the pair.
    Correlated,
}

columns! {
    /// An event, and how it is related.
    pub struct Related {
        pub relation: RelatedBy,
        /// 0 to 1; 1 for parent and child, which say so themselves.
        pub strength: f64,
        pub confidence: f64,
        /// causal, temporal or anomaly.
        pub correlation_type: String,
        pub event: Event,
    }
}

/// A [`Related`] whose event is still to be read.
struct Candidate {
    key: EventKey,
    relation: RelatedBy,
    strength: f64,
    confidence: f64,
    correlation_type: String,
}

type Rank = (u64, Timestamp, Uuid);

impl Candidate {
    fn said(key: EventKey, relation: RelatedBy) -> Self {
        Self { key, relation, strength: 1.0, confidence: 1.0, correlation_type: "causal".to_owned() }
    }

    /// The higher, the earlier in the list: the strongest first, then the newest.
    fn rank(&self) -> Rank {
        // The bits of numbers that are not negative are in the numbers' order.
        (self.strength.max(0.0).to_bits(), self.key.1, self.key.0)
    }
}

/// Each event once, by what says most of it.
fn strongest(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by(|a, b| {
        let strongest = || b.strength.total_cmp(&a.strength).then(a.relation.cmp(&b.relation));
        a.key.0.cmp(&b.key.0).then_with(strongest)
    });
    candidates.dedup_by_key(|candidate| candidate.key.0);
    candidates
}

impl Listing for RelatedQuery {
    type Item = Related;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<Related>, ReadError> {
        let tenant_id = &request.tenant_id;
        let (scope, after) = request.start::<Rank>(&format!("related {:?}", self.name))?;
        let origin = match reads.event_named(&Event::select(", bare_id"), tenant_id, &self.name).await? {
            Some(row) => Origin { event: Event::read(&row)?, bare_id: row.try_get("bare_id")? },
            // It has expired since the first page: there is nothing more to relate.
            None if after.is_some() => return Ok(Page::new(Vec::new(), None)),
            None => return Err(ReadError::NotFound("event")),
        };
        let mut candidates = reads.candidates(tenant_id, &origin).await?;
        candidates.retain(|candidate| after.is_none_or(|after| candidate.rank() < after));
        candidates.sort_unstable_by_key(|candidate| Reverse(candidate.rank()));
        let mut shown = request.limit.min(candidates.len());
        let mut events = loop {
            let keys = candidates[..shown].iter().map(|candidate| candidate.key).collect::<Vec<_>>();
            let (events, cut) = reads.events_at(tenant_id, &Event::listed(""), keys).await?;
            if !cut || shown <= 1 {
                break events;
            }
            // Large ones: a shorter page.
            shown /= 2;
        };
        let (mut items, mut room, mut last) = (Vec::with_capacity(shown), PageRoom::new(), None);
        let mut more = shown < candidates.len();
        for candidate in candidates.into_iter().take(shown) {
            let rank = candidate.rank();
            // What a correlation names may have expired.
            if let Some(row) = events.remove(&candidate.key) {
                let Candidate { relation, strength, confidence, correlation_type, .. } = candidate;
                let item = Related { relation, strength, confidence, correlation_type, event: Event::read(&row)? };
                if !room.take(&item) && !items.is_empty() {
                    more = true;
                    break;
                }
                items.push(item);
            }
            last = Some(rank);
        }
        let next_cursor = last.filter(|_| more).map(|rank| scope.encode(&rank));
        Ok(Page::new(items, next_cursor))
    }
}

impl Reads {
    /// Each other event that is related, once, by its strongest relation.
    async fn candidates(&self, tenant_id: &str, origin: &Origin) -> Result<Vec<Candidate>, ReadError> {
        let mut found = Vec::new();
        if let Some(key) = self.parent(tenant_id, &origin.event).await? {
            found.push(Candidate::said(key, RelatedBy::Parent));
        }
        let children = self.children(tenant_id, origin).await?;
        found.extend(children.into_iter().map(|key| Candidate::said(key, RelatedBy::Child)));
        found.extend(self.correlated(tenant_id, &origin.event).await?);
        found.retain(|candidate| candidate.key.0 != origin.event.id);
        Ok(strongest(found))
    }

    /// In the order of [`Namesake`]: its own source's, the one that is stored under the id, another source's.
    async fn parent(&self, tenant_id: &str, child: &Event) -> Result<Option<EventKey>, ReadError> {
        let Some(id) = child.parent_event_id else { return Ok(None) };
        let at = child.timestamp;
        let whole = Window { from: at.checked_sub(RELATED_AGE).ok(), to: at.checked_add(RELATED_SKEW).ok() };
        let own = Some(child.source_module.as_str());
        for (column, source_module) in [(IdColumn::BareId, own), (IdColumn::Id, None), (IdColumn::BareId, None)] {
            let wanted = Wanted { column, id, source_module, except: Some(child.id) };
            let found = self.event_within(KEYS, tenant_id, &wanted, whole.pieces(at)).await?;
            if found.is_some() {
                return found.as_ref().map(key).transpose();
            }
        }
        Ok(None)
    }

    async fn children(&self, tenant_id: &str, origin: &Origin) -> Result<Vec<EventKey>, ReadError> {
        let at = origin.event.timestamp;
        let window = Window { from: at.checked_sub(RELATED_SKEW).ok(), to: at.checked_add(RELATED_AGE).ok() };
        let mut sql = Sql::new("");
        sql.push_union([Some(origin.event.id), origin.bare_id].into_iter().flatten(), |sql, name| {
            sql.push_of_tenant(CHILDREN, tenant_id);
            sql.push_within("timestamp", &window);
            sql.push(" AND parent_event_id = ").bind(name);
        });
        sql.push(" ORDER BY timestamp DESC, id DESC LIMIT ").bind(RELATED_MAX);
        let rows = self.rows(&sql).await?.rows;
        let Some(bare_id) = origin.bare_id else { return rows.iter().map(key).collect() };
        let namesakes = self.namesakes(tenant_id, bare_id, &window).await?;
        let mut children = Vec::with_capacity(rows.len());
        for row in &rows {
            let (child, child_source): (EventKey, &str) = (key(row)?, row.try_get("source_module")?);
            if row.try_get::<_, Uuid>("parent_event_id")? == origin.event.id
                || whose(child, child_source, bare_id, &namesakes) == Some(origin.event.id)
            {
                children.push(child);
            }
        }
        Ok(children)
    }

    /// The events that go by an id among which children of this window may have their parent.
    async fn namesakes(&self, tenant_id: &str, id: Uuid, children: &Window) -> Result<Vec<NamedEvent>, ReadError> {
        let window = Window {
            from: children.from.and_then(|from| from.checked_sub(RELATED_AGE).ok()),
            to: children.to.and_then(|to| to.checked_add(RELATED_SKEW).ok()),
        };
        let mut sql = Sql::new("");
        sql.push_union([IdColumn::Id, IdColumn::BareId], |sql, column| {
            sql.push_of_tenant(NAMESAKES, tenant_id);
            sql.push_within("timestamp", &window);
            sql.push(" AND ").push(column.name()).push(" = ").bind(id);
        });
        sql.push(" ORDER BY timestamp DESC LIMIT ").bind(RELATED_MAX);
        let named = |row: &Row| Ok((key(row)?, row.try_get("source_module")?));
        self.rows(&sql).await?.rows.iter().map(named).collect()
    }

    async fn correlated(&self, tenant_id: &str, origin: &Event) -> Result<Vec<Candidate>, ReadError> {
        let mut sql = Sql::new(include_str!("../../sql/queries/related_correlated.sql"));
        sql.value(tenant_id.to_owned()).value(origin.id).value(origin.timestamp).value(RELATED_MAX);
        let candidate = |row: &Row| {
            Ok(Candidate {
                key: key(row)?,
                relation: RelatedBy::Correlated,
                strength: row.try_get("strength")?,
                confidence: row.try_get("confidence")?,
                correlation_type: row.try_get("correlation_type")?,
            })
        };
        self.rows(&sql).await?.rows.iter().map(candidate).collect()
    }
}

type NamedEvent = (EventKey, String);

/// The parent of a child that names it so.
fn whose((child_id, child_at): EventKey, child_source: &str, named: Uuid, namesakes: &[NamedEvent]) -> Option<Uuid> {
    let in_window = |at: Timestamp| {
        child_at.checked_sub(RELATED_AGE).is_ok_and(|from| from <= at)
            && child_at.checked_add(RELATED_SKEW).is_ok_and(|to| at < to)
    };
    let candidates = namesakes.iter().filter(|((_, at), _)| in_window(*at)).map(|((id, at), source)| {
        let by = Namesake::of(named, Some(child_source), *id, source);
        ParentCandidate { id: *id, at: *at, by }
    });
    parent_of(child_id, child_at, candidates).map(|parent| parent.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(id: u128, at_us: i64, strength: f64, relation: RelatedBy) -> Candidate {
        let at = Timestamp::from_microsecond(at_us).expect("in range");
        Candidate {
            key: (Uuid::from_u128(id), at),
            relation,
            strength,
            confidence: 1.0,
            correlation_type: String::new(),
        }
    }

    #[test]
    fn the_strongest_first_then_the_newest() {
        let mut all = [
            candidate(1, 5, 0.0, RelatedBy::Correlated),
            candidate(2, 5, 1.0, RelatedBy::Child),
            candidate(u128::MAX, 5, 1.0, RelatedBy::Child),
            candidate(3, 6, 1.0, RelatedBy::Parent),
            candidate(4, 9, 0.999, RelatedBy::Correlated),
            candidate(5, -9, 0.25, RelatedBy::Correlated),
        ];
        all.sort_unstable_by_key(|one| Reverse(one.rank()));
        assert_eq!(all.map(|one| one.key.0.as_u128()), [3, u128::MAX, 2, 4, 5, 1]);
    }

    #[test]
    fn what_an_event_says_itself_beats_what_was_found() {
        let found = strongest(vec![
            candidate(1, 0, 1.0, RelatedBy::Correlated),
            candidate(2, 0, 0.6, RelatedBy::Correlated),
            candidate(1, 0, 1.0, RelatedBy::Parent),
            candidate(2, 0, 0.7, RelatedBy::Correlated),
        ]);
        let said: Vec<_> = found.iter().map(|one| (one.key.0.as_u128(), one.strength, one.relation)).collect();
        assert_eq!(said, [(1, 1.0, RelatedBy::Parent), (2, 0.7, RelatedBy::Correlated)]);
    }
}
