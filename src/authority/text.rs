//! Snapshots as text that is read in a diff: an object at the beginning of a line, its parts below it, each with its facts behind it.
//!
//! ```text
//! table events | owner tidegate_owner
//!     column id | type uuid | null no
//!     index events_time | definition CREATE INDEX ...
//! view actions | owner tidegate_owner | definition
//!         :SELECT a.tenant_id,
//!         :    a.id
//! ```
//!
//! `also events` begins parts of an object that another file has, `without` is before what a variant lacks.

use std::fmt::Write as _;

use super::snapshot::{Facts, Key, Part, Snapshot};

const BETWEEN: &str = " | ";
const PART: &str = "    ";
const VALUE: &str = "        :";

/// The text of a snapshot.
pub fn write(snapshot: &Snapshot) -> String {
    let mut keys: Vec<(&Key, Option<&Facts>)> = snapshot.items.iter().map(|(key, facts)| (key, Some(facts))).collect();
    keys.extend(snapshot.without.iter().map(|key| (key, None)));
    keys.sort();
    let mut text = String::new();
    let mut block = None;
    for (key, facts) in keys {
        let without = if facts.is_none() { "without " } else { "" };
        if key.part.is_object() {
            let _ = write!(text, "{without}{} {}", key.part.as_str(), escaped(&key.block));
        } else {
            if block != Some(&key.block) {
                let _ = writeln!(text, "also {}", escaped(&key.block));
            }
            let _ = write!(text, "{PART}{without}{} {}", key.part.as_str(), escaped(&key.name));
        }
        block = Some(&key.block);
        let mut long = String::new();
        for (name, value) in facts.into_iter().flatten() {
            if value.contains('\n') || value.contains(BETWEEN) || value.is_empty() {
                let _ = write!(text, "{BETWEEN}{name}");
                let _ = value.split('\n').try_for_each(|line| writeln!(long, "{VALUE}{line}"));
            } else {
                let _ = write!(text, "{BETWEEN}{name} {value}");
            }
        }
        let _ = write!(text, "\n{long}");
    }
    text
}

/// The snapshot that a text is of; an error says in which line it is none.
pub fn parse(text: &str) -> Result<Snapshot, String> {
    let mut snapshot = Snapshot::default();
    let mut block = String::new();
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.is_empty()).peekable();
    while let Some((index, line)) = lines.next() {
        let refused = |why: &str| format!("line {}: {why}: {line}", index + 1);
        let (is_part, rest) = line.strip_prefix(PART).map_or((false, line), |rest| (true, rest));
        let (without, rest) = rest.strip_prefix("without ").map_or((false, rest), |rest| (true, rest));
        let mut segments = rest.split(BETWEEN);
        let (word, name) = segments
            .next()
            .unwrap_or_default()
            .split_once(' ')
            .ok_or_else(|| refused("a kind and a name are expected"))?;
        let name = unescaped(name);
        if word == "also" && !is_part {
            block = name;
            continue;
        }
        let part = Part::of(word).ok_or_else(|| refused("no kind of object or part"))?;
        if part.is_object() == is_part {
            return Err(refused("an object begins a line, and a part is below one"));
        }
        let mut facts = Facts::new();
        for segment in segments {
            match segment.split_once(' ') {
                Some((fact, value)) => facts.push((fact.to_owned(), value.to_owned())),
                None => {
                    // Its value is below, in lines of its own: those up to the next that begins something else.
                    let mut value: Vec<&str> = Vec::new();
                    while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with(VALUE)) {
                        value.push(&line[VALUE.len()..]);
                    }
                    if value.is_empty() {
                        return Err(refused("a value is expected below"));
                    }
                    facts.push((segment.to_owned(), value.join("\n")));
                }
            }
        }
        let key = if is_part {
            Key { block: block.clone(), part, name }
        } else {
            block = name;
            Key { block: block.clone(), part, name: String::new() }
        };
        if without {
            snapshot.without.push(key);
        } else if snapshot.items.insert(key, facts).is_some() {
            return Err(refused("it is there twice"));
        }
    }
    Ok(snapshot)
}

/// Names seldom have what would end them here.
fn escaped(name: &str) -> String {
    name.replace('\\', "\\x5c").replace('|', "\\x7c").replace('\n', "\\x0a")
}

fn unescaped(name: &str) -> String {
    name.replace("\\x0a", "\n").replace("\\x7c", "|").replace("\\x5c", "\\")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    /// Block, part, name and facts.
    type Item<'a> = (&'a str, Part, &'a str, &'a [(&'a str, &'a str)]);

    fn snapshot(items: &[Item<'_>]) -> Snapshot {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let item = |(block, part, name, facts): &Item<'_>| {
            let key = Key { block: (*block).to_owned(), part: *part, name: (*name).to_owned() };
            (key, facts.iter().map(own).collect())
        };
        Snapshot { items: items.iter().map(item).collect(), without: Vec::new() }
    }

    #[test]
    fn what_was_written_is_read() {
        let mut all = snapshot(&[
            ("events", Part::Table, "", &[("owner", "o")]),
            (
                "events",
                Part::Column,
                "\"a | b\\\n\"",
                &[("type", "text"), ("default", "'x | y'::text"), ("null", "no")],
            ),
            ("only parts", Part::Grant, "PUBLIC", &[("privileges", "SELECT, UPDATE")]),
            ("v", Part::View, "", &[("definition", " SELECT 1;\n\n  # FROM x\n"), ("owner", "o")]),
            ("w", Part::Option, "n", &[("value", "")]),
        ]);
        all.without.push(Key { block: "v".into(), part: Part::Rule, name: "r".into() });
        all.without.push(Key { block: "x".into(), part: Part::Table, name: String::new() });
        let text = write(&all);
        assert_eq!(parse(&text), Ok(all), "{text}");
    }

    #[test]
    fn what_is_no_snapshot_is_refused_with_its_line() {
        for (text, line) in [
            ("nonsense", "line 1"),
            ("table t\n    table x", "line 2"),
            ("column c", "line 1"),
            ("table t\n    colum c | type text", "line 2"),
            ("table t | definition", "line 1"),
            ("table t\n# remark\n    column c | null no\n    column c | null no", "line 4"),
        ] {
            let said = parse(text).expect_err(text);
            assert!(said.starts_with(line), "{said}");
        }
    }
}
