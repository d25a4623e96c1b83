//! Files that import from each other, directly or around.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use crate::source::{code, root, sources};

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
        let mut queue = VecDeque::from([start]);
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
    assert!(to("app/mod.rs").contains(&"storage/database.rs".to_owned()), "through what storage hands on");
    assert!(to("rollup/late.rs").contains(&"rollup/floors.rs".to_owned()), "beside it");
    assert!(to("storage/mod.rs").is_empty(), "it only hands on: {:?}", to("storage/mod.rs"));
}
