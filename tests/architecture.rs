//! The shape of the source: who may import whom, how long a file may be, and that no migration is forgotten.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tidegate::model::Relation;
use tidegate::storage::Layout;
use tidegate::storage::migrations::MIGRATIONS;

/// Longest file, in lines.
const LINES_MAX: usize = 400;

/// Each module at the top of src, and those that it may import. `app`, `cli` and `commands` put the others together.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("recent", &[]),
    ("rng", &[]),
    ("shutdown", &[]),
    ("config", &["limits", "model"]),
    ("telemetry", &["config"]),
    ("model", &["limits", "wire"]),
    ("wire", &["limits"]),
    ("protocols", &["config", "limits", "model", "wire"]),
    ("storage", &["config", "limits", "model"]),
    ("tenancy", &["config", "limits", "model", "recent", "rng", "storage"]),
    ("query", &["config", "limits", "model", "storage"]),
    ("jobs", &["config", "limits", "model", "storage"]),
    ("rollup", &["config", "jobs", "limits", "model", "storage"]),
    ("lifecycle", &["config", "jobs", "limits", "model", "rollup", "storage"]),
    ("correlate", &["config", "jobs", "limits", "model", "rollup", "storage"]),
    ("inferred", &["jobs", "limits", "model", "storage"]),
    ("ingest", &["config", "limits", "model", "recent", "rng", "storage", "wire"]),
    // Of lifecycle: how it stands.
    ("http", &["config", "ingest", "lifecycle", "limits", "model", "protocols", "query", "tenancy", "wire"]),
    ("load", &["config", "limits", "rng"]),
    ("app", &["*"]),
    ("cli", &["*"]),
    ("commands", &["*"]),
    ("lib", &["*"]),
    ("main", &["cli", "commands", "config", "telemetry"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code without comments and string literals, with unit tests in the same file cut off: tests may use anything.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join(" ")
}

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

/// Files whose code is only compiled for tests.
fn is_test(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_str().unwrap();
    name == "tests" || name.ends_with("_tests") || name == "test_server" || path.iter().any(|part| part == "tests")
}

fn sources() -> Vec<PathBuf> {
    files(&root().join("src"), "rs").into_iter().filter(|path| !is_test(path)).collect()
}

/// The file of a module, by its path from the crate's root: `a::b` is src/a/b.rs or src/a/b/mod.rs.
fn modules() -> Modules {
    let mut modules = BTreeMap::new();
    for path in sources() {
        let relative = path.strip_prefix(root().join("src")).unwrap().with_extension("");
        let mut names: Vec<String> = relative.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        if names.last().is_some_and(|name| name == "mod" || name == "lib") {
            names.pop();
        }
        modules.insert(names, path);
    }
    modules
}

type Modules = BTreeMap<Vec<String>, PathBuf>;

/// Every path that code names from a module, whole, braces spelled out: `super::a::{B, c::D}` of x::y is x::a::B, x::a::c::D.
/// `known` are the modules that it names by their last name alone.
fn paths(code: &str, module: &[String], known: &BTreeMap<String, Vec<String>>) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        let head = code[..at].rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap();
        let before = code[..at - head.len()].chars().next_back();
        if head.is_empty() || before == Some(':') {
            continue;
        }
        let base = match head {
            "crate" | "tidegate" => Vec::new(),
            "self" => module.to_vec(),
            "super" => module[..module.len().saturating_sub(1)].to_vec(),
            _ => match known.get(head) {
                Some(known) => known.clone(),
                None => continue,
            },
        };
        spell_out(&code[at + 2..], base, &mut found);
    }
    found
}

/// The modules that code may name by their last name: a module's own children, and those that it imports.
fn known(code: &str, module: &[String], modules: &Modules) -> BTreeMap<String, Vec<String>> {
    let children = modules.keys().filter(|name| name.len() == module.len() + 1 && name.starts_with(module));
    let imported = paths(code, module, &BTreeMap::new()).into_iter().filter(|name| modules.contains_key(name));
    children.cloned().chain(imported).filter_map(|name| Some((name.last()?.clone(), name))).collect()
}

fn spell_out(rest: &str, base: Vec<String>, found: &mut Vec<Vec<String>>) {
    let rest = rest.trim_start();
    if let Some(list) = rest.strip_prefix('{') {
        let mut depth = 0;
        let mut start = 0;
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    spell_out(&list[start..at], base.clone(), found);
                    start = at + 1;
                    if c == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut path = base;
    match name.as_str() {
        "" | "self" => return found.push(path),
        "super" => drop(path.pop()),
        _ => path.push(name.clone()),
    }
    match rest[name.len()..].strip_prefix("::") {
        Some(rest) => spell_out(rest, path, found),
        None => found.push(path),
    }
}

/// What a module hands on under a name: `pub use child::Name`.
fn handed_on(code: &str, module: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for statement in code.split(';') {
        let Some((_, path)) = statement.split_once("pub use ").or_else(|| statement.split_once("pub(crate) use "))
        else {
            continue;
        };
        let mut paths = Vec::new();
        let base = match path.trim_start() {
            path if path.starts_with("crate::") => Vec::new(),
            _ => module.to_vec(),
        };
        spell_out(path.trim_start().trim_start_matches("crate::"), base, &mut paths);
        for path in paths {
            found.insert(path.last().unwrap().clone(), path);
        }
    }
    found
}

/// Which files each file takes names from. A name that a module only hands on is its definer's.
fn arrows() -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let modules = modules();
    let texts: BTreeMap<&PathBuf, String> =
        modules.values().map(|path| (path, code(&std::fs::read_to_string(path).unwrap()))).collect();
    let handed: BTreeMap<&Vec<String>, BTreeMap<String, Vec<String>>> =
        modules.iter().map(|(module, path)| (module, handed_on(&texts[path], module))).collect();
    let mut arrows = BTreeMap::new();
    for (module, path) in &modules {
        // What a module hands on it does not use.
        let statements = texts[path].split(';').filter(|statement| !statement.contains("pub use "));
        let own: String = statements.collect::<Vec<_>>().join(";");
        let to: &mut BTreeSet<PathBuf> = arrows.entry(path.clone()).or_default();
        for mut name in paths(&own, module, &known(&own, module, &modules)) {
            for _ in 0..4 {
                let length = (0..=name.len()).rev().find(|length| modules.contains_key(&name[..*length])).unwrap();
                let definer = &name[..length];
                let next = name.get(length).and_then(|item| handed[&definer.to_vec()].get(item));
                match next {
                    Some(next) if next[..] != name[..] => name = next.clone(),
                    _ => break,
                }
            }
            let length = (0..=name.len()).rev().find(|length| modules.contains_key(&name[..*length])).unwrap();
            let definer = &modules[&name[..length]];
            if definer != path && length > 0 && length < name.len() {
                to.insert(definer.clone());
            }
        }
    }
    arrows
}

#[test]
fn no_two_files_import_each_other() {
    let arrows = arrows();
    let mut circles = BTreeSet::new();
    for start in arrows.keys() {
        // The shortest way back.
        let mut from: BTreeMap<&PathBuf, &PathBuf> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(at) = queue.pop_front() {
            for next in &arrows[at] {
                if !from.contains_key(next) {
                    from.insert(next, at);
                    queue.push_back(next);
                }
            }
        }
        if !from.contains_key(start) {
            continue;
        }
        let mut circle = vec![start];
        while circle.last() != Some(&start) || circle.len() == 1 {
            circle.push(from[circle.last().unwrap()]);
        }
        let mut names: Vec<String> =
            circle.iter().skip(1).map(|path| path.strip_prefix(root()).unwrap().display().to_string()).collect();
        names.sort();
        circles.insert(names.join(" <-> "));
    }
    assert!(circles.is_empty(), "{}", circles.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn arrows_are_found() {
    let arrows = arrows();
    let to = |from: &str| -> Vec<String> {
        let to = &arrows[&root().join("src").join(from)];
        to.iter().map(|path| path.strip_prefix(root().join("src")).unwrap().display().to_string()).collect()
    };
    assert!(to("app.rs").contains(&"storage/database.rs".to_owned()), "through what storage hands on");
    assert!(to("rollup/late.rs").contains(&"rollup/floors.rs".to_owned()), "beside it");
    assert!(to("storage/mod.rs").is_empty(), "it only hands on: {:?}", to("storage/mod.rs"));
}

/// What differs between layouts is asked of storage, or done by it.
#[test]
fn layouts_are_told_apart_in_storage_alone() {
    let mut told = Vec::new();
    for path in sources() {
        let module = module_of(&path);
        let code = code(&std::fs::read_to_string(&path).unwrap());
        let variants = ["Layout::Columnstore", "Layout::Rowstore", "Layout::Native", "EngineChoice::"];
        if !["storage", "config"].contains(&module.as_str()) && variants.iter().any(|variant| code.contains(variant)) {
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
    // The load generator, and what is said of it, know nothing of the server's relations.
    for path in sources().into_iter().filter(|path| !["model", "load", "commands"].contains(&&*module_of(path))) {
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
