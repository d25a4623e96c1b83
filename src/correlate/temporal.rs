//! Temporal pairs: of two types of different modules that occur together more often than by chance, the first event of the
//! one in a minute and the event of the other before it. A minute's pairs are a function of the types of the 64 minutes
//! up to it, so that computing them again changes nothing, and late events have them recomputed for the hour after them.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use serde_json::{Value, json};
use uuid::Uuid;

use super::kept::KeptPairs;
use super::lift::{self, Lift};
use super::pairs::{self, CorrelationType, Pair, Side};
use crate::jobs::minutes::{MinuteQueue, MinuteRange, Tally, Work, minute_at};
use crate::limits::{LIFT_PAIRS_MAX, LIFT_TYPES_MAX, LIFT_WINDOW_MINUTES};
use crate::storage::StorageError;

/// Works through minutes whose types changed.
pub(super) struct Temporal(pub KeptPairs);

const QUEUES: &[MinuteQueue] = &[MinuteQueue::noted("temporal")];

impl Work for Temporal {
    const BLOCK_MINUTES: i32 = 10;

    fn queues(&self) -> &'static [MinuteQueue] {
        QUEUES
    }

    async fn prepare(&self, range: &MinuteRange) -> Result<(), StorageError> {
        self.0.make_partitions(range).await
    }

    async fn slice(
        &self,
        transaction: &Transaction<'_>,
        range: &MinuteRange,
        _position: Option<&Value>,
        tally: &mut Tally,
    ) -> Result<Option<Value>, StorageError> {
        if !self.0.keeps(range.ends_at()) {
            tally.add("blocks_too_old", 1);
            return Ok(None);
        }
        for minute in range.from_minute..range.to_minute {
            let pairs = of_minute(transaction, &range.tenant_id, minute).await?;
            let ids: Vec<Uuid> = pairs.iter().map(|pair| pair.id(&range.tenant_id)).collect();
            let prune = transaction.prepare_cached(include_str!("../../sql/queries/pairs_prune.sql")).await?;
            let (from, to) = (minute_at(minute), minute_at(minute + 1));
            let kind = CorrelationType::Temporal.as_str();
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                [&range.tenant_id, &kind, &from, &to, &ids, &json!({})];
            let gone = transaction.execute(&prune, &parameters).await?;
            tally.add("pairs_taken_away", usize::try_from(gone).unwrap_or(usize::MAX));
            tally.add("pairs", pairs::write(transaction, &range.tenant_id, &pairs).await?);
        }
        Ok(None)
    }
}

/// Source module and event type.
type Type = (String, String);

/// The first events of a type in the minutes of a window, the newest minute first.
type Firsts = BTreeMap<Type, Vec<(i32, Side)>>;

async fn of_minute(transaction: &Transaction<'_>, tenant_id: &str, minute: i32) -> Result<Vec<Pair>, StorageError> {
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/temporal_masks.sql")).await?;
    let rows = transaction.query(&statement, &[&tenant_id, &minute, &LIFT_TYPES_MAX]).await?;
    let counted = rows.first().map_or(0, |row| lift::counted(mask(row.get(3))));
    let types: Vec<(Type, u64)> = rows.iter().map(|row| ((row.get(0), row.get(1)), mask(row.get(2)))).collect();
    let found = related_types(&types, counted);
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/temporal_firsts.sql")).await?;
    let window = i32::try_from(LIFT_WINDOW_MINUTES).expect("a window is minutes");
    let mut firsts = Firsts::new();
    for row in transaction.query(&statement, &[&tenant_id, &minute, &window]).await? {
        let first = (row.get(2), Side { id: row.get(3), at: row.get(4) });
        firsts.entry((row.get(0), row.get(1))).or_default().push(first);
    }
    let mut pairs: Vec<Pair> =
        found.iter().filter_map(|(a, b, lift)| pair(&types[*a].0, &types[*b].0, *lift, minute, &firsts)).collect();
    pairs.truncate(LIFT_PAIRS_MAX);
    Ok(pairs)
}

fn mask(bits: i64) -> u64 {
    bits.cast_unsigned()
}

/// Pairs of types of different modules, one of which occurs in the newest minute; the strongest first, and then in the order
/// of their names.
fn related_types(types: &[(Type, u64)], counted: u64) -> Vec<(usize, usize, Lift)> {
    let windows: Vec<u64> = types.iter().map(|(_, minutes)| lift::windows(*minutes)).collect();
    let mut found = Vec::new();
    for (a, (type_a, minutes_a)) in types.iter().enumerate() {
        for (b, (type_b, minutes_b)) in types.iter().enumerate().skip(a + 1) {
            if type_a.0 == type_b.0 || (minutes_a | minutes_b) & 1 == 0 {
                continue;
            }
            found.extend(lift::lift(windows[a], windows[b], counted).map(|lift| (a, b, lift)));
        }
    }
    let key = |(a, b, _): &(usize, usize, Lift)| {
        let (a, b) = (&types[*a].0, &types[*b].0);
        (a.min(b).clone(), a.max(b).clone())
    };
    found.sort_by(|x, y| y.2.strength().total_cmp(&x.2.strength()).then_with(|| key(x).cmp(&key(y))));
    found
}

/// The later of the two types' first events in this minute, and the other type's event before it: the first of the newest
/// minute in which one was.
fn pair(a: &Type, b: &Type, lift: Lift, minute: i32, firsts: &Firsts) -> Option<Pair> {
    let of = |kind: &Type| firsts.get(kind).map_or(&[][..], Vec::as_slice);
    let now = |kind: &Type| of(kind).iter().find(|(at, _)| *at == minute).map(|(_, side)| *side);
    let (earlier, later, related) = match (now(a), now(b)) {
        (Some(first_a), Some(first_b)) if first_a > first_b => (b, a, first_a),
        (_, Some(first_b)) => (a, b, first_b),
        (Some(first_a), None) => (b, a, first_a),
        (None, None) => return None,
    };
    let (_, primary) = of(earlier).iter().find(|(_, side)| *side < related)?;
    Some(Pair {
        kind: CorrelationType::Temporal,
        primary: *primary,
        related,
        strength: lift.strength(),
        confidence: lift.confidence(),
        metadata: json!({
            "rule": "lift",
            "lift": lift.lift,
            "support": lift.support,
            "windows": lift.windows,
            "types": [
                { "source_module": earlier.0, "event_type": earlier.1 },
                { "source_module": later.0, "event_type": later.1 },
            ],
        }),
        detail: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn kind(module: &str) -> Type {
        (module.into(), "t".into())
    }

    fn side(second: i64) -> Side {
        Side { at: Timestamp::from_second(second).expect("a time"), id: Uuid::from_u128(second.unsigned_abs().into()) }
    }

    const LIFT: Lift = Lift { support: 5, windows: 60, lift: 4.0, conditional: 1.0 };

    #[test]
    fn only_types_of_different_modules_with_one_in_the_newest_minute() {
        let burst = 1 | 1 << 30;
        let types = vec![(kind("a"), burst), (kind("b"), burst), (("a".into(), "u".into()), burst)];
        let pairs: Vec<(usize, usize)> =
            related_types(&types, lift::counted(u64::MAX)).iter().map(|(a, b, _)| (*a, *b)).collect();
        assert_eq!(pairs, [(0, 1), (1, 2)]);
        let older: Vec<(Type, u64)> = types.into_iter().map(|(kind, mask)| (kind, mask << 1)).collect();
        assert!(related_types(&older, lift::counted(u64::MAX)).is_empty());
    }

    #[test]
    fn the_later_first_event_is_related_to_the_nearest_before_it() {
        let firsts = Firsts::from([
            (kind("a"), vec![(10, side(605)), (9, side(545))]),
            (kind("b"), vec![(10, side(601)), (8, side(500))]),
        ]);
        let found = pair(&kind("a"), &kind("b"), LIFT, 10, &firsts).expect("both in this minute");
        assert_eq!((found.primary, found.related), (side(601), side(605)));
        let firsts =
            Firsts::from([(kind("a"), vec![(9, side(545)), (8, side(485))]), (kind("b"), vec![(10, side(601))])]);
        let found = pair(&kind("a"), &kind("b"), LIFT, 10, &firsts).expect("one in this minute");
        assert_eq!((found.primary, found.related), (side(545), side(601)));
        assert_eq!(pair(&kind("b"), &kind("a"), LIFT, 10, &firsts).map(|pair| pair.primary), Some(side(545)));
        assert_eq!(pair(&kind("a"), &kind("b"), LIFT, 11, &firsts), None);
    }
}
