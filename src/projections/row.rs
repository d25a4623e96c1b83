//! A row of an inferred table: its values, and which event said each.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::change::{Change, Said};
use super::event::Origin;
use super::fields::time;
use super::table::{CREATED_AT, Table};
use super::values::Values;

pub struct Row {
    table: &'static Table,
    values: Values,
    told: BTreeMap<&'static str, Telling>,
    has_large_changed: bool,
}

/// Which event said the value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Telling {
    is_weak: bool,
    origin: Arc<Origin>,
}

/// An event, and the columns whose values it said: the form in `told_by`.
#[derive(Serialize, Deserialize)]
struct Teller {
    /// In unix microseconds.
    at: i64,
    rank: u8,
    id: Uuid,
    stream: String,
    offset: i64,
    columns: Vec<String>,
    /// Those of them that another event may say for itself, however old it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    defaults: Vec<String>,
}

impl Row {
    /// One that is not there yet.
    pub fn new(table: &'static Table) -> Self {
        Self { table, values: Values::default(), told: BTreeMap::new(), has_large_changed: false }
    }

    /// As it was stored; `told_by` is null where no event spoke of it.
    pub fn stored(table: &'static Table, values: &str, told_by: Option<&str>) -> Result<Self, serde_json::Error> {
        let tellers: Vec<Teller> = told_by.map_or(Ok(Vec::new()), serde_json::from_str)?;
        let mut told = BTreeMap::new();
        for teller in tellers {
            let Teller { at, rank, id, stream, offset, columns, defaults } = teller;
            let origin = Arc::new(Origin { at_us: at, rank, id, stream: stream.into(), offset });
            for (names, is_weak) in [(columns, false), (defaults, true)] {
                let known = names.iter().filter_map(|name| table.told_column(name));
                told.extend(known.map(|column| (column, Telling { is_weak, origin: Arc::clone(&origin) })));
            }
        }
        Ok(Self { table, values: serde_json::from_str(values)?, told, has_large_changed: false })
    }

    /// Takes what an event says of this row; false where it is known already, or others are believed.
    pub fn take(&mut self, change: &Change, origin: &Arc<Origin>) -> bool {
        for (column, value) in &change.identity {
            self.values.begin(column, value);
        }
        let mut is_changed = false;
        for said in &change.said {
            is_changed |= self.say(said, origin, |one, other| one > other);
        }
        let at = |column| Said { column, value: time(origin.at_us), is_weak: false };
        if !self.table.is_shared {
            is_changed |= self.say(&at(CREATED_AT), origin, |one, other| one < other);
        }
        is_changed |= self.say(&at(self.table.told_at()), origin, |one, other| one > other);
        if let Some((first, last)) = self.table.seen {
            is_changed |= self.widen(first, origin.at_us, i64::min);
            is_changed |= self.widen(last, origin.at_us, i64::max);
        }
        if is_changed {
            self.derive();
        }
        is_changed
    }

    /// Fills in what follows from other columns, in those of them that no event has said.
    fn derive(&mut self) {
        for (column, value) in (self.table.derive)(&self.values) {
            if !self.is_told(column) {
                self.values.set(column, value);
            }
        }
    }

    fn say(&mut self, said: &Said, origin: &Arc<Origin>, is_believed: impl Fn(&Origin, &Origin) -> bool) -> bool {
        let telling = Telling { is_weak: said.is_weak, origin: Arc::clone(origin) };
        let before = self.told.get(said.column);
        let is_known = before.is_some_and(|before| {
            if before.is_weak == telling.is_weak { !is_believed(origin, &before.origin) } else { telling.is_weak }
        });
        if is_known {
            return false;
        }
        self.has_large_changed |= self.table.large.is_some_and(|large| large.name == said.column);
        self.values.set(said.column, said.value.clone());
        self.told.insert(said.column, telling);
        true
    }

    fn widen(&mut self, column: &'static str, at_us: i64, outermost: fn(i64, i64) -> i64) -> bool {
        let before = self.values.time(column);
        let after = before.map_or(at_us, |before| outermost(before, at_us));
        if before != Some(after) {
            self.values.set(column, time(after));
        }
        before != Some(after)
    }

    /// Whether an event has said the value of a column.
    pub fn is_told(&self, column: &str) -> bool {
        self.told.contains_key(column)
    }

    /// Forgets what events said for which this holds, with the values; whether anything that others said is left.
    pub fn forget(&mut self, is_forgotten: impl Fn(&Origin) -> bool) -> bool {
        let gone: Vec<&'static str> =
            self.told.iter().filter(|(_, telling)| is_forgotten(&telling.origin)).map(|(column, _)| *column).collect();
        for column in gone {
            self.told.remove(column);
            // What a row has in any case stays until it is said again.
            if !self.table.is_identity(column) {
                self.values.remove(column);
            }
        }
        self.derive();
        let left = || self.told.values().map(|telling| Arc::clone(&telling.origin));
        let (Some(oldest), Some(newest)) = (left().min(), left().max()) else { return false };
        for (column, origin) in [(CREATED_AT, oldest), (self.table.told_at(), newest)] {
            if !self.told.contains_key(column) && self.table.told_column(column).is_some() {
                self.values.set(column, time(origin.at_us));
                self.told.insert(column, Telling { is_weak: false, origin });
            }
        }
        true
    }

    /// Whether something new was said of the large column.
    pub fn has_large_changed(&self) -> bool {
        self.has_large_changed
    }

    /// The row as an object with all that is written of it.
    pub fn write(&self, key: &str) -> String {
        let mut object = self.values.clone();
        object.set(self.table.key.column().name, raw(key));
        if let Some(newest) = self.told.get(self.table.told_at()).map(|telling| &telling.origin) {
            object.set("event_id", raw(&newest.id));
            object.set("event_stream", raw(&*newest.stream));
            object.set("event_offset", raw(&newest.offset));
        }
        // Of a shared table: nobody has said anything, or an operator did.
        let is_told = !self.told.is_empty();
        object.set("told_by", raw(&is_told.then(|| self.tellers())));
        serde_json::to_string(&object).expect("values are JSON")
    }

    /// The events that told of it, newest first.
    fn tellers(&self) -> Vec<Teller> {
        let mut by_origin: BTreeMap<&Origin, Teller> = BTreeMap::new();
        for (column, telling) in &self.told {
            let origin = &*telling.origin;
            let teller = by_origin.entry(origin).or_insert_with(|| Teller {
                at: origin.at_us,
                rank: origin.rank,
                id: origin.id,
                stream: origin.stream.to_string(),
                offset: origin.offset,
                columns: Vec::new(),
                defaults: Vec::new(),
            });
            let columns = if telling.is_weak { &mut teller.defaults } else { &mut teller.columns };
            columns.push((*column).to_owned());
        }
        by_origin.into_values().rev().collect()
    }
}

fn raw(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    to_raw_value(value).expect("plain values are JSON")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use proptest::prelude::*;

    use super::*;
    use crate::projections::{Told, named};

    /// What an event of a deployment says, from a few small numbers: many of them share a moment, or an id.
    fn saying((kind, at, id, offset, service): (usize, i64, u128, i64, u8)) -> (Change, Arc<Origin>) {
        let (projection, _) = named("deployments").unwrap();
        let event_type = projection.types[kind];
        let text = match service {
            0 => r#"{"deployment_id": "d"}"#.to_owned(),
            1 => r#"{"deployment_id": "d", "service": null, "error": "e"}"#.to_owned(),
            n => format!(r#"{{"deployment_id": "d", "service": "{n}", "version": {n}}}"#),
        };
        let told = Told {
            tenant_id: "t",
            event_type: event_type.name,
            at_us: at,
            environment: if service % 2 == 0 { "production" } else { "staging" },
            asset_id: None,
            payload: Told::payload_of(&text).unwrap(),
        };
        let change = (projection.changes)(&told).unwrap().remove(0);
        let id = Uuid::from_u128(id);
        (change, Arc::new(Origin { at_us: at, rank: event_type.rank, id, stream: "s".into(), offset }))
    }

    fn row_of(sayings: &[(Change, Arc<Origin>)], order: &[usize]) -> String {
        let mut row = Row::new(sayings[0].0.table);
        for n in order {
            row.take(&sayings[*n].0, &sayings[*n].1);
        }
        row.write("k")
    }

    proptest! {
        #[test]
        fn the_order_of_events_and_their_copies_make_no_difference(
            events in proptest::collection::vec((0..4usize, 0..5i64, 0..6u128, 0..1i64, 0..5u8), 1..12),
            seed in any::<u64>(),
        ) {
            // An id is one event; each has an offset of its own.
            let events = events.into_iter().enumerate().map(|(n, (kind, at, _, _, service))| (kind, at, n as u128 % 7, i64::try_from(n).unwrap(), service));
            let sayings: Vec<_> = events.map(saying).collect();
            let forward: Vec<usize> = (0..sayings.len()).collect();
            let mut shuffled: Vec<usize> = forward.iter().chain(&forward).copied().collect();
            let mut state = seed | 1;
            for n in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(n, usize::try_from(state >> 33).unwrap() % (n + 1));
            }
            prop_assert_eq!(row_of(&sayings, &forward), row_of(&sayings, &shuffled));
        }

        #[test]
        fn a_row_that_was_stored_goes_on_as_it_was(
            events in proptest::collection::vec((0..4usize, 0..5i64, 0..6u128, 0..1i64, 0..5u8), 2..12),
        ) {
            let events = events.into_iter().enumerate().map(|(n, (kind, at, _, _, service))| (kind, at, n as u128, i64::try_from(n).unwrap(), service));
            let sayings: Vec<_> = events.map(saying).collect();
            let all: Vec<usize> = (0..sayings.len()).collect();
            let (first, rest) = all.split_at(sayings.len() / 2);
            let table = sayings[0].0.table;
            let mut row = Row::new(table);
            for n in first {
                row.take(&sayings[*n].0, &sayings[*n].1);
            }
            let written: serde_json::Value = serde_json::from_str(&row.write("k")).unwrap();
            let told_by = written["told_by"].to_string();
            let values: Values = row.values.clone();
            let values = serde_json::to_string(&values).unwrap();
            let mut again = Row::stored(table, &values, Some(&told_by)).unwrap();
            for n in rest {
                again.take(&sayings[*n].0, &sayings[*n].1);
            }
            prop_assert_eq!(again.write("k"), row_of(&sayings, &all));
        }
    }

    #[test]
    fn every_event_widens_when_an_asset_was_seen() {
        let (projection, _) = named("asset_details").unwrap();
        let saying = |at_us: i64| {
            let payload = Told::payload_of(r#"{"asset_id": "a", "owner": "o"}"#).unwrap();
            let event_type = "asset.updated";
            let told = Told { tenant_id: "t", event_type, at_us, environment: "", asset_id: None, payload };
            let change = (projection.changes)(&told).unwrap().remove(0);
            (change, Arc::new(Origin { at_us, rank: 1, id: Uuid::from_u128(1), stream: "s".into(), offset: at_us }))
        };
        for order in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
            let mut row = Row::new(projection.tables[0]);
            for (change, origin) in order.map(saying) {
                row.take(&change, &origin);
            }
            assert_eq!((row.values.time("first_seen"), row.values.time("last_seen")), (Some(1), Some(3)), "{order:?}");
            let (change, origin) = saying(2);
            assert!(!row.take(&change, &origin), "it is known");
        }
    }

    #[test]
    fn what_expired_events_said_is_what_is_left() {
        let started = saying((0, 1, 1, 0, 2));
        let ended = saying((1, 2, 2, 1, 4));
        let mut row = Row::new(started.0.table);
        assert!(row.take(&started.0, &started.1) && row.take(&ended.0, &ended.1));
        assert!(!row.take(&ended.0, &ended.1), "it is known");
        let whole = row.write("k");
        assert!(row.forget(|origin| origin.offset >= 1));
        assert!(row.values.get("started_at").is_some());
        assert!(
            row.values.get("finished_at").is_none() && row.values.get("version").is_none(),
            "the later one said it"
        );
        assert!(row.take(&ended.0, &ended.1));
        // Who started it had said a version, which is forgotten for good: the later one says its own again.
        assert_eq!(row.write("k"), whole);
        assert!(!row.forget(|_| true));
    }
}
