//! The shape of the source: who may import whom, no circles, how long a file may be, what is told apart and listed where, and
//! that no migration is forgotten.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod cells;
mod circles;
mod logs;
mod map;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tidegate::model::Relation;
use tidegate::storage::Layout;
use tidegate::storage::migrations::MIGRATIONS;

use source::{code, files, root, sources};

/// Longest file, in lines.
const LINES_MAX: usize = 400;

/// Each module at the top of src, and those that it may import. `app`, `cli` and `commands` put the others together.
pub const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("backup", &["config", "files", "storage"]),
    ("budget", &[]),
    ("limits", &[]),
    ("files", &[]),
    ("precedence", &["limits"]),
    ("durable", &["files"]),
    ("fold", &[]),
    ("forecast", &[]),
    ("unseen", &[]),
    ("version", &[]),
    ("recent", &[]),
    ("rng", &[]),
    ("secrets", &[]),
    ("shutdown", &[]),
    ("timestamp", &[]),
    ("config", &["limits", "model"]),
    ("telemetry", &["config"]),
    ("model", &["limits", "wire"]),
    ("payload", &["limits"]),
    ("schema", &["limits", "payload"]),
    ("wire", &["limits", "payload", "secrets", "timestamp"]),
    ("protocols", &["config", "limits", "model", "secrets", "timestamp", "wire"]),
    ("tls", &[]),
    ("storage", &["config", "durable", "files", "limits", "model", "tls"]),
    ("tenancy", &["config", "durable", "fold", "jobs", "limits", "model", "recent", "rng", "secrets", "storage"]),
    ("authority", &["config", "model", "storage"]),
    ("projections", &["limits", "timestamp"]),
    ("processor", &["jobs", "limits", "precedence", "projections", "storage"]),
    ("query", &["budget", "config", "fold", "limits", "model", "storage"]),
    ("jobs", &["config", "limits", "model", "precedence", "storage"]),
    ("rollup", &["config", "jobs", "limits", "model", "precedence", "storage"]),
    ("lifecycle", &["config", "files", "jobs", "limits", "model", "rollup", "storage"]),
    ("correlate", &["config", "jobs", "limits", "model", "payload", "rollup", "storage"]),
    ("inferred", &["jobs", "limits", "model", "storage"]),
    ("streams", &["jobs", "limits", "storage"]),
    ("syslog", &["budget", "config", "http", "ingest", "limits", "model", "protocols", "tenancy", "wire"]),
    ("groups", &["budget", "jobs", "limits", "query", "storage"]),
    ("registry", &["config", "durable", "limits", "payload", "schema", "storage", "wire"]),
    (
        "ingest",
        &[
            "budget",
            "config",
            "files",
            "limits",
            "model",
            "payload",
            "projections",
            "recent",
            "registry",
            "rng",
            "secrets",
            "storage",
            "wire",
        ],
    ),
    // Of lifecycle: how it stands.
    (
        "http",
        &[
            "budget",
            "config",
            "forecast",
            "groups",
            "ingest",
            "lifecycle",
            "limits",
            "model",
            "nodes",
            "precedence",
            "processor",
            "protocols",
            "query",
            "registry",
            "rng",
            "secrets",
            "streams",
            "telemetry",
            "tenancy",
            "tls",
            "unseen",
            "wire",
        ],
    ),
    ("nodes", &["config", "durable", "limits", "load", "storage", "tenancy"]),
    ("load", &["config", "limits", "rng", "timestamp", "tls"]),
    ("app", &["*"]),
    ("cli", &["*"]),
    ("commands", &["*"]),
    ("lib", &["*"]),
    ("main", &["cli", "commands", "config", "telemetry"]),
];

/// The top-level modules that a file names: `crate::x`, `crate::{x, y::z}`, `tidegate::x`, and enough `super`s.
fn imports(path: &Path, text: &str) -> BTreeSet<String> {
    let code = code(text);
    let depth = path.strip_prefix(root().join("src")).unwrap().components().count();
    // In src/a/b.rs `super` is a and `super::super` the crate; in src/a/mod.rs `super` already is.
    let folder_module = path.file_name().unwrap() == "mod.rs";
    let supers = "super::".repeat(if folder_module { depth - 1 } else { depth });
    let mut found = BTreeSet::new();
    for prefix in ["crate::", "tidegate::", &supers] {
        if prefix.is_empty() {
            continue;
        }
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            found.extend(names(&code[at + prefix.len()..]));
        }
    }
    found
}

/// The first names of a path, or of each path in braces.
fn names(rest: &str) -> Vec<String> {
    let name =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(list) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut depth, mut found, mut start) = (0, Vec::new(), 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(name(&list[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(name(&list[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn module_of(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn modules_import_what_they_may() {
    let rules: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut broken = Vec::new();
    for path in files(&root().join("src"), "rs") {
        let module = module_of(&path);
        let allowed = rules.get(module.as_str()).unwrap_or_else(|| panic!("no rule for src/{module}: add one"));
        for import in imports(&path, &std::fs::read_to_string(&path).unwrap()) {
            let known = rules.contains_key(import.as_str());
            if known && import != module && !allowed.contains(&"*") && !allowed.contains(&import.as_str()) {
                broken.push(format!("{} imports {import}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn imports_are_found_in_every_form() {
    let path = root().join("src/http/x.rs");
    let text = "use crate::{ingest::Ingest, query::{Reads, a}, limits}; fn f() { crate::tenancy::g(); } \
                use super::super::storage::Pool; use super::problem; // crate::wire::event\n";
    let found: Vec<String> = imports(&path, text).into_iter().collect();
    assert_eq!(found, ["ingest", "limits", "query", "storage", "tenancy"]);
    let found: Vec<String> = imports(&root().join("src/http/mod.rs"), "use super::event::Rows;").into_iter().collect();
    assert_eq!(found, ["event"]);
}

/// What differs between layouts is asked of storage, or done by it; and compared by the room that says what each of them must be.
#[test]
fn layouts_are_told_apart_in_storage_alone() {
    let mut told = Vec::new();
    for path in sources() {
        let module = module_of(&path);
        let code = code(&std::fs::read_to_string(&path).unwrap());
        let variants = Layout::ALL.map(|layout| format!("Layout::{layout:?}"));
        if !["storage", "config", "authority"].contains(&module.as_str())
            && (code.contains("EngineChoice::") || variants.iter().any(|variant| code.contains(variant)))
        {
            told.push(path.strip_prefix(root()).unwrap().display().to_string());
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// Relations and levels are listed by the model; others go through its lists.
#[test]
fn relations_are_listed_in_the_model_alone() {
    let relations: Vec<Relation> = Relation::all().collect();
    let is_level = |relation: &&Relation| matches!(relation, Relation::Rollup(_));
    let mut listed = Vec::new();
    // The load generator, and what is said of it, know nothing of the server's relations; the contract has a file for each of its own.
    let apart = ["model", "load", "commands", "authority"];
    for path in sources().into_iter().filter(|path| !apart.contains(&&*module_of(path))) {
        let code = code(&std::fs::read_to_string(&path).unwrap());
        let literals: Vec<&str> = code.split('"').skip(1).step_by(2).collect();
        let named = |literal: &str| relations.iter().find(|known| [known.name(), known.table()].contains(&literal));
        let level = literals.iter().any(|literal| named(literal).as_ref().is_some_and(is_level));
        // One behind the other: a list.
        if level || literals.windows(2).any(|pair| pair[0] != pair[1] && pair.iter().all(|name| named(name).is_some()))
        {
            listed.push(path.strip_prefix(root()).unwrap().display().to_string());
        }
    }
    assert!(listed.is_empty(), "{}", listed.join("\n"));
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for folder in ["src", "tests"] {
        for path in files(&root().join(folder), "rs") {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            if lines > LINES_MAX {
                long.push(format!("{}: {lines} lines", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_migration_is_embedded() {
    let embedded: BTreeSet<&str> =
        MIGRATIONS.iter().flat_map(|migration| Layout::ALL.map(|layout| migration.sql(layout))).collect();
    let files = files(&root().join("sql/migrations"), "sql");
    assert!(!files.is_empty());
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(embedded.contains(text.as_str()), "{} is not in storage::migrations::MIGRATIONS", path.display());
        let (number, name) = path.file_stem().unwrap().to_str().unwrap().split_once('_').unwrap();
        let version: i32 = number.parse().unwrap();
        assert!(
            MIGRATIONS.iter().any(|migration| (migration.version, migration.name) == (version, name)),
            "{} has another number or name in MIGRATIONS",
            path.display()
        );
    }
    assert_eq!(embedded.len(), files.len(), "a migration is embedded whose file is elsewhere");
}
