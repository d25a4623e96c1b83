//! A pair of events that belong together, its id, and how pairs are written: each once, however often it is found.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::storage::StorageError;

/// Namespace of the ids of pairs. Changing it would store every pair that is found again a second time.
const PAIR_NAMESPACE: Uuid = Uuid::from_u128(0x3c1a_6f52_8e0b_4d77_a1d4_5be0_92f7_c368);

/// What makes two events a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CorrelationType {
    Causal,
    Temporal,
    Anomaly,
}

impl CorrelationType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Causal => "causal",
            Self::Temporal => "temporal",
            Self::Anomaly => "anomaly",
        }
    }
}

/// An event as one side of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Side {
    pub at: Timestamp,
    pub id: Uuid,
}

/// A row of `correlations`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pair {
    pub kind: CorrelationType,
    pub primary: Side,
    pub related: Side,
    pub strength: f64,
    pub confidence: f64,
    pub metadata: Value,
    /// Tells pairs of the same two events apart where there may be several; empty where there is one.
    pub detail: String,
}

impl Pair {
    pub fn at(&self) -> Timestamp {
        self.primary.at.max(self.related.at)
    }

    /// Made of tenant, type, both events and the detail: the same pair has the same id wherever it is found.
    pub fn id(&self, tenant_id: &str) -> Uuid {
        let mut name = Vec::with_capacity(tenant_id.len() + self.detail.len() + 44);
        name.extend_from_slice(tenant_id.as_bytes());
        name.push(0);
        name.extend_from_slice(self.kind.as_str().as_bytes());
        name.push(0);
        name.extend_from_slice(self.primary.id.as_bytes());
        name.extend_from_slice(self.related.id.as_bytes());
        name.extend_from_slice(self.detail.as_bytes());
        Uuid::new_v5(&PAIR_NAMESPACE, &name)
    }

    /// A parent's word counts for more than an id that is shared.
    fn is_parent(&self) -> bool {
        self.metadata["rule"] == "parent"
    }
}

/// Writes pairs of one tenant; what is there already is written only where it differs. Returns how many were.
pub(super) async fn write(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    pairs: &[Pair],
) -> Result<usize, StorageError> {
    // By id and time, which is the order in which every transaction takes them; a statement may not meet a row twice.
    let mut rows: BTreeMap<(Uuid, Timestamp), &Pair> = BTreeMap::new();
    for pair in pairs {
        let slot = rows.entry((pair.id(tenant_id), pair.at())).or_insert(pair);
        if pair.is_parent() {
            *slot = pair;
        }
    }
    if rows.is_empty() {
        return Ok(0);
    }
    let column = |of: fn(&Pair) -> Side| -> (Vec<Uuid>, Vec<Timestamp>) {
        rows.values().map(|pair| (of(pair).id, of(pair).at)).unzip()
    };
    let (ids, times): (Vec<Uuid>, Vec<Timestamp>) = rows.keys().copied().unzip();
    let kinds: Vec<&str> = rows.values().map(|pair| pair.kind.as_str()).collect();
    let (primary_ids, primary_times) = column(|pair| pair.primary);
    let (related_ids, related_times) = column(|pair| pair.related);
    let strengths: Vec<f64> = rows.values().map(|pair| pair.strength).collect();
    let confidences: Vec<f64> = rows.values().map(|pair| pair.confidence).collect();
    let metadata: Vec<&Value> = rows.values().map(|pair| &pair.metadata).collect();
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/pairs_write.sql")).await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 11] = [
        &tenant_id,
        &ids,
        &times,
        &kinds,
        &primary_ids,
        &primary_times,
        &related_ids,
        &related_times,
        &strengths,
        &confidences,
        &metadata,
    ];
    Ok(usize::try_from(transaction.execute(&statement, &parameters).await?).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Pair {
        let side = |second: i64| Side {
            at: Timestamp::from_second(second).expect("a valid time"),
            id: Uuid::from_u128(second.unsigned_abs().into()),
        };
        Pair {
            kind: CorrelationType::Causal,
            primary: side(2),
            related: side(1),
            strength: 1.0,
            confidence: 1.0,
            metadata: Value::Null,
            detail: String::new(),
        }
    }

    #[test]
    fn an_id_is_of_its_tenant_type_events_and_detail_alone() {
        let id = pair().id("acme");
        assert_eq!(id, Pair { strength: 0.5, metadata: Value::Bool(true), ..pair() }.id("acme"));
        let others = [
            pair().id("acme2"),
            Pair { kind: CorrelationType::Temporal, ..pair() }.id("acme"),
            Pair { primary: pair().related, related: pair().primary, ..pair() }.id("acme"),
            Pair { detail: "x".into(), ..pair() }.id("acme"),
        ];
        assert!(others.iter().all(|other| *other != id));
        // Ids are stored: the same events must give the same one in every later version.
        assert_eq!(id.get_version_num(), 5);
    }

    #[test]
    fn a_pair_is_of_its_later_event() {
        assert_eq!(pair().at(), pair().primary.at);
    }
}
