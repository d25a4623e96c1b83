//! The relations as docs/SCHEMA.md lists them: written from `sql/schema`, which a test compares with databases.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::contract::RELATIONS;
use super::expected::{Variant, expected};
use super::snapshot::{Facts, Key, Part, Snapshot, fact};
use crate::model::{Keep, Kept, Relation, StoredJson, TABLES};
use crate::storage::Layout;

/// The list of all relations, by name.
pub fn document() -> String {
    let of = |layout, stored_json, vectors| expected(Variant { layout, stored_json, vectors, payload_gin: false });
    let timescale = of(Layout::Columnstore, StoredJson::Jsonb, true);
    let postgres = of(Layout::Native, StoredJson::Jsonb, true);
    let others = of(Layout::Columnstore, StoredJson::Json, false);
    let all = [&timescale, &postgres];
    let relations = all.into_iter().flat_map(|one| one.items.keys());
    let relations = relations.filter(|key| matches!(key.part, Part::Table | Part::View | Part::Aggregate));
    let names: BTreeSet<&str> = relations.map(|key| key.block.as_str()).collect();
    let mut text = String::new();
    let locks: Vec<&str> = names.iter().filter(|name| is_lock(name)).copied().collect();
    for name in names.into_iter().filter(|name| !is_lock(name)) {
        text += &relation(name, &timescale, &postgres, &others);
    }
    let locks = locks.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let _ = write!(
        text,
        "### Locks\n\nTables without rows that the program and its jobs lock, each for one purpose: {locks}.\n"
    );
    text
}

fn is_lock(name: &str) -> bool {
    name.starts_with("lock_")
}

fn relation(name: &str, timescale: &Snapshot, postgres: &Snapshot, others: &Snapshot) -> String {
    let (first, only) = match (timescale.object(name), postgres.object(name)) {
        (Some(_), Some(_)) => (timescale, ""),
        (Some(_), None) => (timescale, " (engine timescale)"),
        _ => (postgres, " (engine postgres)"),
    };
    let Some((part, facts)) = first.object(name) else { return String::new() };
    let mut text = format!("### `{name}`{only}\n\n");
    let kinds: BTreeSet<&str> =
        [timescale, postgres].into_iter().filter_map(|one| one.object(name)).map(|(part, _)| kind(part)).collect();
    let _ = write!(
        text,
        "{}; owner `{}`",
        capital(&kinds.into_iter().collect::<Vec<_>>().join(" or ")),
        fact(facts, "owner").unwrap_or_default()
    );
    if let Some((by, kept)) = written(name) {
        let _ = write!(text, "; written by `{by}`; rows stay {kept}");
    } else if part != Part::Table {
        let read = reads(first, name);
        let _ = write!(text, "; reads {}", if read.is_empty() { "nothing".to_owned() } else { read.join(", ") });
    }
    let contract = RELATIONS.iter().find(|(known, _)| *known == name).map(|(_, lines)| *lines);
    let _ = write!(text, ".{}\n\n", if contract.is_some() { " In the contract." } else { "" });
    text += "| column | type | null | default | contract |\n|---|---|---|---|---|\n";
    for (key, facts) in columns(first, name, contract) {
        let mut kind = fact(facts, "type").unwrap_or_default().to_owned();
        let other = others.items.get(key).and_then(|facts| fact(facts, "type")).filter(|other| *other != kind);
        kind += &other.map(|other| format!(" or {other}")).unwrap_or_default();
        let default = ["default", "identity", "generated"].into_iter().find_map(|name| fact(facts, name));
        let default = default.map(|value| format!("`{}`", cell(value))).unwrap_or_default();
        let column = key.name.trim_matches('"');
        let named =
            contract.is_some_and(|lines| lines.lines().any(|line| line.starts_with(&format!("{name},{column},"))));
        let _ = writeln!(
            text,
            "| `{column}` | {} | {} | {default} | {} |",
            cell(&kind),
            fact(facts, "null").unwrap_or("yes"),
            if named { "yes" } else { "" }
        );
    }
    let keys = keys(first, name);
    if !keys.is_empty() {
        let _ = write!(text, "\n{}\n", keys.join("\n"));
    }
    text + "\n"
}

fn kind(part: Part) -> &'static str {
    match part {
        Part::Aggregate => "continuous aggregate",
        Part::View => "view",
        _ => "table",
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// What would end a cell.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// In the order of the contract, then by name.
fn columns<'a>(snapshot: &'a Snapshot, name: &'a str, contract: Option<&str>) -> Vec<(&'a Key, &'a Facts)> {
    let mut columns: Vec<_> = snapshot.block(name).filter(|(key, _)| key.part == Part::Column).collect();
    let place = |key: &Key| {
        let wanted = format!("{name},{},", key.name.trim_matches('"'));
        contract.and_then(|lines| lines.lines().position(|line| line.starts_with(&wanted))).unwrap_or(usize::MAX)
    };
    columns.sort_by_key(|(key, _)| place(key));
    columns
}

/// Keys, unique indexes and references, then what else an index is of.
fn keys(snapshot: &Snapshot, name: &str) -> Vec<String> {
    let constraints = snapshot.block(name).filter(|(key, _)| key.part == Part::Constraint);
    let constraints =
        constraints.filter_map(|(_, facts)| fact(facts, "definition")).filter(|text| !text.starts_with("CHECK"));
    let mut keys: Vec<String> = constraints.map(|text| format!("- {}", cell(text))).collect();
    keys.sort_by_key(|text| !text.starts_with("- PRIMARY"));
    let indexes = snapshot.block(name).filter(|(key, _)| key.part == Part::Index);
    keys.extend(indexes.filter_map(|(_, facts)| fact(facts, "definition")).map(|text| {
        let unique = if text.starts_with("CREATE UNIQUE") { "unique index" } else { "index" };
        format!("- {unique} {}", cell(text.split_once(" USING ").map_or(text, |(_, of)| of)))
    }));
    keys
}

/// Who writes a table, and how long its rows stay.
fn written(name: &str) -> Option<(&'static str, String)> {
    if let Some(relation) = Relation::all().find(|one| [one.hypertable(), one.table()].contains(&name)) {
        let (by, key) = match relation {
            Relation::Raw(kind) => ("ingest", format!("retention.{}", kind.table())),
            Relation::Correlations => ("correlate", "retention.correlations".to_owned()),
            Relation::Rollup(level) => match level.keep {
                Keep::Configured { key, .. } => ("rollup", key.to_owned()),
                Keep::Fixed(kept) => return Some(("rollup", format!("{} days", kept.as_secs() / 86_400))),
            },
        };
        let own =
            if relation.retention_column().is_some() { ", or as long as the organization has them kept" } else { "" };
        return Some((by, format!("as long as `{key}` says{own}")));
    }
    let table = TABLES.iter().find(|table| table.name == name)?;
    let kept = match table.kept {
        Kept::Key(key) => format!("as long as `{key}` says"),
        Kept::With(of) => format!("as long as what they are of ({of})"),
        Kept::UntilDone => "until what they stand for is done".to_owned(),
        Kept::State => "as long as what they are the state of".to_owned(),
        Kept::Always => "for good".to_owned(),
        Kept::Days(days) => format!("{days} days"),
    };
    Some((table.written_by, kept))
}

/// The relations that the definition of a view names.
fn reads(snapshot: &Snapshot, name: &str) -> Vec<String> {
    let text = snapshot.object(name).and_then(|(_, facts)| fact(facts, "definition")).unwrap_or_default();
    let words = text
        .split("tidegate.")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default());
    let read: BTreeSet<&str> =
        words.filter(|word| snapshot.object(word).is_some_and(|(part, _)| part > Part::Sequence)).collect();
    read.into_iter().map(|word| format!("`{word}`")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    const BEGIN: &str = "<!-- Written by the test `the_page_lists_every_relation`: TIDEGATE_TEST_BLESS=yes cargo test --lib authority -->\n\n";

    #[test]
    fn the_page_lists_every_relation() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/SCHEMA.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, kept) = page.split_once(BEGIN).expect("the page has the marker");
        let made = document();
        if std::env::var_os("TIDEGATE_TEST_BLESS").is_some() {
            std::fs::write(path, format!("{before}{BEGIN}{made}")).unwrap();
            return;
        }
        let differing = std::iter::zip(made.lines(), kept.lines()).find(|(made, kept)| made != kept);
        assert!(made == kept, "docs/SCHEMA.md is not what sql/schema says: {differing:?}");
    }

    #[test]
    fn every_table_says_who_writes_it_and_how_long_its_rows_stay() {
        /// Of organizations, for cells; a trigger of theirs writes it.
        const COPY: &str = "cell_organizations";
        for layout in Layout::ALL {
            let snapshot = expected(Variant { layout, ..Variant::default() });
            let tables = snapshot.items.keys().filter(|key| key.part == Part::Table && !is_lock(&key.block));
            let silent: Vec<&str> =
                tables.map(|key| key.block.as_str()).filter(|name| written(name).is_none() && *name != COPY).collect();
            assert!(silent.is_empty(), "not in src/model/table.rs: {silent:?}");
        }
        let known = |key: &str| crate::config::KEYS.iter().any(|one| one.path == key);
        let keys = TABLES.iter().filter_map(|table| match table.kept {
            Kept::Key(key) => Some(key),
            _ => None,
        });
        assert_eq!(
            keys.filter(|key| !known(key)).collect::<Vec<_>>(),
            Vec::<&str>::new(),
            "no keys of the configuration"
        );
        let all = expected(Variant::default());
        let gone: Vec<&str> = TABLES.iter().map(|table| table.name).filter(|name| all.object(name).is_none()).collect();
        assert!(gone.is_empty(), "in src/model/table.rs, and no table: {gone:?}");
    }
}
