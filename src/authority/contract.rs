//! What readers may rely on: the files of `sql/contract`.

use super::snapshot::{Facts, Part, Snapshot, fact};
use super::text::parse;

/// Those who read: the service, and the group of people's logins.
const READERS: [&str; 2] = ["tidegate_reader", "tidegate_people"];

macro_rules! relations {
    ($($name:literal,)+) => { &[$(($name, include_str!(concat!("../../sql/contract/", $name, ".csv")))),+] };
}

/// Each relation that readers may rely on, with its lines.
pub const RELATIONS: &[(&str, &str)] = relations![
    "action_histories",
    "actions",
    "api_keys",
    "asset_metadata",
    "correlated_events",
    "correlations",
    "dead_letter_events",
    "deployments",
    "event_counts_1m",
    "event_counts_hourly",
    "event_stream_schemas",
    "event_stream_warnings",
    "event_streams",
    "events",
    "ingest_batches",
    "ingest_ledger",
    "metric_catalog",
    "metric_series",
    "metrics",
    "metrics_1m",
    "metrics_5m",
    "metrics_daily",
    "metrics_hourly",
    "organizations",
    "resource_action_traces",
    "resource_references",
    "services",
];

/// The rules that these relations have for what is in them: one more, or another one, would narrow what readers find.
const RULES: &str = include_str!("../../sql/contract/rules.txt");

/// What of the contract a schema does not keep, a line each.
pub fn broken(snapshot: &Snapshot) -> Vec<String> {
    let mut broken: Vec<String> =
        RELATIONS.iter().flat_map(|(relation, lines)| of_relation(snapshot, relation, lines)).collect();
    broken.extend(narrowed(snapshot));
    broken
}

fn of_relation(snapshot: &Snapshot, relation: &str, lines: &str) -> Vec<String> {
    let Some((object, _)) = snapshot.object(relation) else { return vec![format!("{relation} is gone")] };
    // What is not null in a view no server says.
    let says_null = object == Part::Table;
    lines.lines().skip(1).flat_map(|line| of_column(snapshot, relation, line, says_null)).collect()
}

fn of_column(snapshot: &Snapshot, relation: &str, line: &str, says_null: bool) -> Vec<String> {
    let fields: Vec<&str> = line.split(',').collect();
    let [_, column, types, nullable] = fields[..] else {
        return vec![format!("{relation}: the contract has a line that is none: {line}")];
    };
    let named = |(key, _): &(&super::Key, &Facts)| key.part == Part::Column && key.name.trim_matches('"') == column;
    let Some((key, facts)) = snapshot.block(relation).find(named) else {
        return vec![format!("{relation}.{column} is gone")];
    };
    let mut broken = Vec::new();
    let found = fact(facts, "type").unwrap_or_default();
    // What was chosen at installation: `jsonb or json`. Types of extensions are named without their schema.
    if !types.split(" or ").any(|one| one == found || Some(one) == found.split_once('.').map(|(_, bare)| bare)) {
        broken.push(format!("{relation}.{column} is {found} instead of {types}"));
    }
    let is_nullable = fact(facts, "null").unwrap_or("yes");
    if says_null && is_nullable != nullable {
        broken.push(match nullable {
            "no" => format!("{relation}.{column} may be null"),
            _ => format!("{relation}.{column} may not be null any more"),
        });
    }
    for reader in READERS {
        let reads = |name: &str| {
            let grant = snapshot.facts(relation, Part::Grant, name);
            grant
                .and_then(|facts| fact(facts, "privileges"))
                .is_some_and(|all| all.split(", ").any(|one| one == "SELECT"))
        };
        if !reads(reader) && !reads(&format!("{reader} on {}", key.name)) {
            broken.push(format!("{reader} may not read {relation}.{column}"));
        }
    }
    broken
}

/// Rules that the contract does not name, of relations that it names.
fn narrowed(snapshot: &Snapshot) -> Vec<String> {
    let known = parse(RULES).expect("sql/contract/rules.txt is a snapshot, which a test shows");
    let found = rules(snapshot);
    let more = found.items.iter().filter(|(key, facts)| known.items.get(key) != Some(*facts));
    more.map(|(key, facts)| {
        let said: Vec<String> = facts.iter().map(|(name, value)| format!("{name} {value}")).collect();
        format!("{} has a rule that narrows it: {} {} {}", key.block, key.part.as_str(), key.name, said.join(", "))
    })
    .collect()
}

/// What of a schema narrows the relations of the contract: checks, row security, policies, rules.
pub fn rules(snapshot: &Snapshot) -> Snapshot {
    let mut all = Snapshot::default();
    for (key, facts) in &snapshot.items {
        if !RELATIONS.iter().any(|(relation, _)| *relation == key.block) {
            continue;
        }
        let kept: Facts = match key.part {
            Part::Table => facts.iter().filter(|(name, _)| name == "row_security").cloned().collect(),
            Part::Constraint if fact(facts, "definition").is_some_and(|text| text.starts_with("CHECK")) => {
                facts.iter().filter(|(name, _)| name == "definition").cloned().collect()
            }
            Part::Policy | Part::Rule => facts.clone(),
            _ => continue,
        };
        if !kept.is_empty() {
            all.items.insert(key.clone(), kept);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use crate::authority::{Variant, expected};
    use crate::model::StoredJson;
    use crate::storage::Layout;

    #[test]
    fn every_file_of_the_contract_is_known() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/contract");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(".csv").map(str::to_owned)).collect();
        names.sort();
        assert_eq!(names, RELATIONS.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
        for (name, lines) in RELATIONS {
            assert_eq!(lines.lines().next(), Some("relation,column,type,nullable"), "{name}");
            assert!(lines.lines().skip(1).all(|line| line.starts_with(&format!("{name},"))), "{name}");
        }
    }

    #[test]
    fn every_variant_keeps_the_contract() {
        for layout in Layout::ALL {
            for stored_json in [StoredJson::Json, StoredJson::Jsonb] {
                for vectors in [true, false] {
                    let variant = Variant { layout, stored_json, vectors, payload_gin: false };
                    assert_eq!(broken(&expected(variant)), Vec::<String>::new(), "{variant:?}");
                }
            }
        }
    }
}
