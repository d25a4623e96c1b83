//! What the pages and the API's description name is there, and what is there they name: modules and items, paths, keys of the
//! configuration, levels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;
use tidegate::config::KEYS;
use tidegate::model::Level;
use tidegate::telemetry::METRICS;

use crate::MAY_IMPORT;
use crate::source::{files, root};

/// What stands between backticks, with its line; blocks of code are left out.
fn quoted(text: &str) -> Vec<(usize, String)> {
    let mut block = false;
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            block = !block;
        } else if !block {
            found.extend(line.split('`').skip(1).step_by(2).map(|quoted| (at + 1, quoted.to_owned())));
        }
    }
    found
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The text of the module of this path in src, and what of the path is left: names of items in it.
fn resolve<'a>(path: &'a [&'a str]) -> Option<(String, &'a [&'a str])> {
    let mut folder = root().join("src");
    let mut resolved = None;
    for (depth, name) in path.iter().enumerate() {
        let candidates: [PathBuf; 2] = [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
        let Some(file) = candidates.iter().find(|file| file.is_file()) else { break };
        resolved = Some((std::fs::read_to_string(file).unwrap(), &path[depth + 1..]));
        folder.push(name);
    }
    resolved
}

/// `a::b::Item::method`, without the parentheses of a call.
fn is_there(path: &str) -> bool {
    let names: Vec<&str> = path.trim_end_matches("()").split("::").collect();
    let Some((text, items)) = resolve(&names) else { return false };
    let is_word = |name: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
    items.iter().all(|item| is_word(item))
}

#[test]
fn modules_that_the_map_names_are_there() {
    let text = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let paths: Vec<(usize, String)> = quoted(&text)
        .into_iter()
        .filter(|(_, quoted)| quoted.contains("::") && quoted.trim_end_matches("()").split("::").all(is_name))
        // A type and what it does, without its module: the text before says where.
        .filter(|(_, quoted)| quoted.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    assert!(paths.len() > 50, "the map names modules");
    let gone: Vec<String> =
        paths.iter().filter(|(_, path)| !is_there(path)).map(|(at, path)| format!("line {at}: {path}")).collect();
    assert!(gone.is_empty(), "docs/ARCHITECTURE.md names what is not there:\n{}", gone.join("\n"));
}

#[test]
fn rooms_import_what_the_map_says() {
    let text = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let table = text.split("\n## Rooms\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let mut said = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
        let imports = if cells[3] == "any" { BTreeSet::from(["*".to_owned()]) } else { names(cells[3]) };
        said.extend(names(cells[1]).into_iter().map(|room| (room, imports.clone())));
    }
    let rules = MAY_IMPORT.iter().filter(|(room, _)| *room != "lib").map(|(room, imports)| {
        ((*room).to_owned(), imports.iter().map(|import| (*import).to_owned()).collect::<BTreeSet<_>>())
    });
    assert_eq!(said, rules.collect::<BTreeMap<_, _>>());
}

#[test]
fn files_that_pages_name_are_there() {
    let mut gone = Vec::new();
    let mut pages = files(&root().join("docs"), "md");
    pages.push(root().join("README.md"));
    for page in pages {
        for (at, quoted) in quoted(&std::fs::read_to_string(&page).unwrap()) {
            let ours = ["src/", "sql/", "tests/", "docs/", "load-tests/", "benches/", "deploy/", "scripts/"];
            let is_path = quoted.chars().all(|c| c.is_alphanumeric() || "_-./".contains(c));
            if is_path && ours.iter().any(|folder| quoted.starts_with(folder)) && !root().join(&quoted).exists() {
                gone.push(format!("{}, line {at}: {quoted}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(gone.is_empty(), "{}", gone.join("\n"));
}

/// Wherever the description lists levels of metrics it lists all that there are.
#[test]
fn metrics_are_described() {
    let name = |text: &str| text.split('"').next().map(str::to_owned);
    let mut recorded = BTreeSet::new();
    for path in files(&root().join("src"), "rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        for part in ["counter!(", "gauge!(", "histogram!("].iter().flat_map(|call| text.split(call).skip(1)) {
            recorded.extend(part.trim_start().strip_prefix('"').and_then(name));
        }
    }
    let described: BTreeSet<String> = METRICS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(described.len(), METRICS.len(), "a metric is described twice");
    assert_eq!(recorded.difference(&described).collect::<Vec<_>>(), Vec::<&String>::new(), "not described");
    let page = std::fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap();
    let unnamed: Vec<&String> = described.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(unnamed.is_empty(), "docs/OPERATIONS.md does not name {unnamed:?}");
    // What is put together at run time is not found above.
    let made = |name: &&String| !name.starts_with("tidegate_items_");
    let gone: Vec<&String> = described.difference(&recorded).filter(made).collect();
    assert!(gone.is_empty(), "nothing records {gone:?}");
}

#[test]
fn levels_are_described_as_they_are() {
    fn lists<'a>(value: &'a Value, into: &mut Vec<Vec<&'a str>>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::Array(items)) = members.get("enum") {
                    into.push(items.iter().filter_map(Value::as_str).collect());
                }
                members.values().for_each(|member| lists(member, into));
            }
            Value::Array(items) => items.iter().for_each(|item| lists(item, into)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(include_str!("../../src/http/openapi.json")).unwrap();
    let mut all = Vec::new();
    lists(&document, &mut all);
    let levels: Vec<&str> = Level::of_metrics().filter_map(|level| level.resolution).collect();
    let mut of_levels = 0;
    for list in all.into_iter().filter(|list| list.iter().any(|item| levels.contains(item))) {
        let listed: Vec<&str> = list.iter().copied().filter(|item| !["raw", "auto"].contains(item)).collect();
        assert_eq!(listed, levels, "{list:?}");
        of_levels += 1;
    }
    assert_eq!(
        of_levels, 5,
        "the bucket of counts, the resolutions asked for of metrics, of trends and of forecasts, the one of a series"
    );
}

#[test]
fn every_key_is_documented_with_its_variable_and_default() {
    let page = include_str!("../../docs/CONFIGURATION.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    for key in KEYS.iter() {
        let row = rows.iter().find(|row| row[1] == key.path).unwrap_or_else(|| panic!("{} has no row", key.path));
        assert_eq!(row[3], key.variable());
        // Without a default the page says in words what holds.
        assert!(key.default.is_none_or(|default| default == row[2]), "{}: {}", key.path, row[2]);
    }
}

#[test]
fn what_is_not_there_is_seen() {
    assert!(is_there("http::server::serve") && is_there("model") && is_there("ingest::lane"));
    assert!(!is_there("http::server::no_such_item") && !is_there("nowhere") && !is_there("http::nowhere"));
    let text = "a `b::c` d `e`\n```\n`f`\n```\n`g`";
    assert_eq!(quoted(text), [(1, "b::c".to_owned()), (1, "e".to_owned()), (5, "g".to_owned())]);
}
