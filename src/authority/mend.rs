//! The statements that make a database what is expected of it, run as its owner (or as a superuser, where something is not the owner's).

use super::compare::{Change, Difference};
use super::create::{self, column, columnstore, definition, grantee, named, on, row_security};
use super::snapshot::{Facts, Key, Part, Snapshot, fact};

/// Puts differences in an order in which their statements can be run one after another.
pub fn in_order(differences: &mut Vec<Difference>, wanted: &Snapshot) {
    differences.sort_by(|one, other| (one.key.part, &one.key).cmp(&(other.key.part, &other.key)));
    // Functions may be of tables' types, and are made with them there; views are made after what they read.
    let stands_on = |reader: &Difference, read: &Difference| {
        reader.key.block != read.key.block && reads(wanted, &reader.key.block, &read.key.block)
    };
    let mut sorted: Vec<Difference> = Vec::with_capacity(differences.len());
    let is_view = |one: &Difference| matches!(one.key.part, Part::View | Part::Aggregate);
    let (mut views, others): (Vec<Difference>, Vec<Difference>) = differences.drain(..).partition(is_view);
    while !views.is_empty() {
        let free = views.iter().position(|one| !views.iter().any(|other| stands_on(one, other))).unwrap_or_default();
        sorted.push(views.remove(free));
    }
    let on_views = others.iter().position(|one| one.key.part >= Part::Trigger).unwrap_or(others.len());
    differences.extend(others);
    let rest = differences.split_off(on_views);
    differences.extend(sorted);
    differences.extend(rest);
}

/// Whether the definition of `reader` names `read`.
fn reads(wanted: &Snapshot, reader: &str, read: &str) -> bool {
    let text = wanted.object(reader).and_then(|(_, facts)| fact(facts, "definition")).unwrap_or_default();
    let name = format!("tidegate.{read}");
    text.match_indices(&name).any(|(at, _)| {
        let behind = text[at + name.len()..].chars().next();
        !behind.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// What mends a difference; None where there is no statement for it.
pub fn statement(difference: &Difference, wanted: &Snapshot, found: &Snapshot) -> Option<String> {
    let key = &difference.key;
    let of = wanted.object(&key.block).or_else(|| found.object(&key.block)).map_or(Part::Table, |(part, _)| part);
    let all = match (difference.change, key.part.is_object()) {
        (Change::Missing, true) => instead(key, wanted, found),
        (Change::Missing, false) => create::part(of, key, &difference.expected),
        (Change::Extra, true) => vec![format!("DROP {} {}", key.part.keyword(), named(&key.block, key.part))],
        (Change::Extra, false) => drop_part(of, key, &difference.found),
        (Change::Changed, true) => change_object(difference, wanted, found),
        (Change::Changed, false) => change_part(of, difference, wanted),
    };
    (!all.is_empty()).then(|| all.join("; ") + ";")
}

/// An object that is missing, in the place of another kind of the same name if there is one. A table that has another name, and its columns,
/// has its rows.
fn instead(key: &Key, wanted: &Snapshot, found: &Snapshot) -> Vec<String> {
    if let Some(renamed) = renamed(key, wanted, found) {
        return vec![format!("ALTER TABLE tidegate.{renamed} RENAME TO {}", key.block)];
    }
    let other =
        found.object(&key.block).map(|(part, _)| format!("DROP {} {}", part.keyword(), named(&key.block, part)));
    other.into_iter().chain(create::object(wanted, &key.block)).collect()
}

/// A table that is named back is no table too many, which somebody would drop with its rows.
pub fn forget_renamed(differences: &mut Vec<Difference>, wanted: &Snapshot, found: &Snapshot) {
    let missing = differences.iter().filter(|one| one.change == Change::Missing && one.key.part == Part::Table);
    let kept: Vec<String> = missing.filter_map(|one| renamed(&one.key, wanted, found)).map(str::to_owned).collect();
    differences.retain(|one| !(one.change == Change::Extra && kept.contains(&one.key.block)));
}

/// The only table that is not of this version and has the columns of a table that is missing.
fn renamed<'a>(key: &Key, wanted: &Snapshot, found: &'a Snapshot) -> Option<&'a str> {
    if key.part != Part::Table || found.object(&key.block).is_some() {
        return None;
    }
    let columns = |of: &'a Snapshot, block: &'a str| {
        of.block(block)
            .filter(|(key, _)| key.part == Part::Column)
            .map(|(key, facts)| (key.name.clone(), facts.clone()))
    };
    let mine: Vec<(String, Facts)> = wanted
        .block(&key.block)
        .filter(|(key, _)| key.part == Part::Column)
        .map(|(key, facts)| (key.name.clone(), facts.clone()))
        .collect();
    let others = found.items.keys().filter(|other| other.part == Part::Table && wanted.object(&other.block).is_none());
    let mut like = others.filter(|other| !mine.is_empty() && columns(found, &other.block).eq(mine.iter().cloned()));
    let first = like.next()?;
    like.next().is_none().then_some(first.block.as_str())
}

fn drop_part(of: Part, key: &Key, facts: &Facts) -> Vec<String> {
    let (table, name) = (named(&key.block, of), &key.name);
    vec![match key.part {
        Part::Option => format!("ALTER {} {table} RESET ({name})", of.keyword()),
        Part::Column => format!("ALTER TABLE {table} DROP COLUMN {name}"),
        Part::Constraint => format!("ALTER TABLE {table} DROP CONSTRAINT {name}"),
        Part::Index => format!("DROP INDEX tidegate.{name}"),
        Part::Trigger => format!("DROP TRIGGER {name} ON {table}"),
        Part::Rule => format!("DROP RULE {name} ON {table}"),
        Part::Policy => format!("DROP POLICY {name} ON {table}"),
        Part::Grant => revoke(of, key, fact(facts, "privileges").unwrap_or_default()),
        Part::DefaultGrant => return default_revoke(name, facts),
        Part::PartitionGrant => {
            let (partition, role) = name.rsplit_once(" to ").unwrap_or_default();
            format!("REVOKE {} ON TABLE {partition} FROM {role} CASCADE", fact(facts, "privileges").unwrap_or_default())
        }
        Part::Job => format!(
            "SELECT public.delete_job(job_id) FROM timescaledb_information.jobs WHERE hypertable_schema = 'tidegate' \
             AND hypertable_name = '{}' AND proc_name = '{name}'",
            key.block
        ),
        Part::Columnstore => format!("ALTER {} {table} SET (timescaledb.enable_columnstore = false)", of.keyword()),
        _ => return Vec::new(),
    }]
}

fn revoke(of: Part, key: &Key, privileges: &str) -> String {
    format!("REVOKE {} FROM {} CASCADE", on(of, key, privileges), grantee(&key.name))
}

fn default_revoke(name: &str, facts: &Facts) -> Vec<String> {
    let parts = name.split_once(" of ").and_then(|(what, rest)| rest.split_once(" to ").map(|(by, to)| (what, by, to)));
    let Some((what, by, to)) = parts else { return Vec::new() };
    let privileges = fact(facts, "privileges").unwrap_or_default();
    let (to, place) = to.strip_suffix(" everywhere").map_or((to, " IN SCHEMA tidegate"), |to| (to, ""));
    vec![format!("ALTER DEFAULT PRIVILEGES FOR ROLE {by}{place} REVOKE {privileges} ON {what} FROM {to}")]
}

fn change_object(difference: &Difference, wanted: &Snapshot, found: &Snapshot) -> Vec<String> {
    let (key, part) = (&difference.key, difference.key.part);
    let name = named(&key.block, part);
    let mut all = Vec::new();
    for (what, expected, there) in difference.facts() {
        match (what, expected) {
            ("owner", Some(owner)) => all.push(format!("ALTER {} {name} OWNER TO {owner}", part.keyword())),
            ("lacks", _) => all.push(format!(
                "GRANT ALL ON TABLE {name} TO {}",
                fact(&difference.expected, "owner").unwrap_or_default()
            )),
            ("row_security", _) => all.extend(row_security(&name, there, expected)),
            ("persistence", _) => {
                all.push(format!("ALTER TABLE {name} SET {}", if expected.is_some() { "UNLOGGED" } else { "LOGGED" }));
            }
            ("children", None) => {
                let children = there.unwrap_or_default().split(", ");
                all.extend(children.map(|child| format!("ALTER TABLE {child} NO INHERIT {name}")));
            }
            ("sequence", Some(clauses)) => all.push(format!("ALTER SEQUENCE {name} {clauses}")),
            ("of", owned) => all.push(format!("ALTER SEQUENCE {name} OWNED BY {}", owned.unwrap_or("NONE"))),
            ("materialized_only", Some(value)) => {
                all.push(format!("ALTER MATERIALIZED VIEW {name} SET (timescaledb.materialized_only = {value})"));
            }
            ("definition", Some(_)) => all.extend(redefine(key, wanted, found)),
            _ => {}
        }
    }
    all
}

/// Another definition: in its place where that can be, else made again with its grants and what reads it.
fn redefine(key: &Key, wanted: &Snapshot, found: &Snapshot) -> Vec<String> {
    let (Some((_, facts)), Some((_, there))) = (wanted.object(&key.block), found.object(&key.block)) else {
        return Vec::new();
    };
    // Name, arguments and what is returned; of an aggregate all that is between these.
    let head = |facts: &Facts| {
        let text = definition(facts);
        let text = text.split_once(" (SFUNC").map_or(text.clone(), |(head, _)| head.to_owned());
        let head: Vec<String> =
            text.lines().take_while(|line| !line.starts_with(" LANGUAGE")).map(str::to_owned).collect();
        head
    };
    let columns = |of: &Snapshot| -> Vec<(Key, Facts)> {
        let columns = of.block(&key.block).filter(|(key, _)| key.part == Part::Column);
        columns.map(|(key, facts)| (key.clone(), facts.clone())).collect()
    };
    match key.part {
        Part::Function | Part::Procedure | Part::AggregateFunction if head(facts) == head(there) => {
            vec![definition(facts)]
        }
        Part::View if columns(wanted) == columns(found) => vec![create::view(&key.block, facts)],
        _ => made_again(key, wanted, found),
    }
}

/// Drops an object and makes it, and the views that read it, with all that is granted.
fn made_again(key: &Key, wanted: &Snapshot, found: &Snapshot) -> Vec<String> {
    let readers = readers(&key.block, wanted);
    let there = readers.iter().rev().filter(|block| found.object(block).is_some());
    let mut all: Vec<String> = there.map(|block| format!("DROP VIEW tidegate.{block}")).collect();
    all.push(format!("DROP {} {}", key.part.keyword(), named(&key.block, key.part)));
    all.extend(create::object(wanted, &key.block));
    all.extend(readers.iter().flat_map(|block| create::object(wanted, block)));
    all
}

/// The plain views that read a relation, those that are read before those that read them.
fn readers(block: &str, wanted: &Snapshot) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut next = vec![block.to_owned()];
    while let Some(read) = next.pop() {
        let views = wanted.items.keys().filter(|key| key.part == Part::View);
        for view in views.filter(|view| view.block != read && reads(wanted, &view.block, &read)) {
            all.retain(|known| *known != view.block);
            all.push(view.block.clone());
            next.push(view.block.clone());
        }
    }
    all
}

fn change_part(of: Part, difference: &Difference, wanted: &Snapshot) -> Vec<String> {
    let (key, facts) = (&difference.key, &difference.expected);
    let (table, name) = (named(&key.block, of), &key.name);
    let again = || drop_part(of, key, &difference.found).into_iter().chain(create::part(of, key, facts)).collect();
    match key.part {
        Part::Option => create::part(of, key, facts),
        Part::Columnstore => {
            let beyond = fact(facts, "sparse_index").is_none() && fact(&difference.found, "sparse_index").is_some();
            let reset = beyond.then(|| format!("ALTER {} {table} RESET (timescaledb.sparse_index)", of.keyword()));
            reset.into_iter().chain([columnstore(of, &table, facts)]).collect()
        }
        Part::Column => change_column(of, difference, wanted),
        Part::Grant => {
            let (want, have) = (list(facts, "privileges"), list(&difference.found, "privileges"));
            let beyond: Vec<&str> = have.iter().filter(|one| !want.contains(one)).copied().collect();
            let (may, could) = (list(facts, "grantable"), list(&difference.found, "grantable"));
            let passing: Vec<&str> =
                could.iter().filter(|one| !may.contains(one) && !beyond.contains(one)).copied().collect();
            let mut all = Vec::new();
            if !beyond.is_empty() {
                all.push(revoke(of, key, &beyond.join(", ")));
            }
            if !passing.is_empty() {
                all.push(format!(
                    "REVOKE GRANT OPTION FOR {} FROM {} CASCADE",
                    on(of, key, &passing.join(", ")),
                    grantee(name)
                ));
            }
            if want.iter().any(|one| !have.contains(one)) || may.iter().any(|one| !could.contains(one)) {
                all.extend(create::part(of, key, facts));
            }
            all
        }
        Part::Dimension => difference
            .facts()
            .into_iter()
            .filter_map(|(what, expected, _)| Some((what, expected?)))
            .map(|(what, value)| match what {
                "seconds" => format!("SELECT public.set_chunk_time_interval('{table}', INTERVAL '{value} seconds')"),
                _ => format!("SELECT public.set_number_partitions('{table}', {value}, '{}')", name.trim_matches('"')),
            })
            .collect(),
        Part::Constraint if only(difference, "enforced") => {
            let enable = |table: &str| format!("ALTER TABLE {table} ENABLE TRIGGER ALL");
            let text = fact(facts, "definition").unwrap_or_default();
            // Triggers of both tables keep a reference.
            let other = text.split_once("REFERENCES ").and_then(|(_, rest)| rest.split('(').next());
            std::iter::once(enable(&table)).chain(other.map(enable)).collect()
        }
        Part::Constraint if only(difference, "valid") => {
            vec![format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}")]
        }
        Part::Trigger if only(difference, "enabled") => vec![match fact(facts, "enabled") {
            None => format!("ALTER TABLE {table} ENABLE TRIGGER {name}"),
            Some("no") => format!("ALTER TABLE {table} DISABLE TRIGGER {name}"),
            Some(how) => format!("ALTER TABLE {table} ENABLE {} TRIGGER {name}", how.to_uppercase()),
        }],
        _ => again(),
    }
}

fn change_column(of: Part, difference: &Difference, wanted: &Snapshot) -> Vec<String> {
    let key = &difference.key;
    if of != Part::Table {
        // A column of a view is what its view makes it.
        return wanted.object(&key.block).filter(|(part, _)| *part == Part::View).map_or_else(Vec::new, |_| {
            vec![format!("DROP VIEW tidegate.{}", key.block)]
                .into_iter()
                .chain(create::object(wanted, &key.block))
                .collect()
        });
    }
    let (table, name, facts) = (named(&key.block, of), &key.name, &difference.expected);
    let alter = |what: &str| format!("ALTER TABLE {table} ALTER COLUMN {name} {what}");
    let mut all = Vec::new();
    let changed = difference.facts();
    let is_changed = |what: &str| changed.iter().any(|(name, _, _)| *name == what);
    if is_changed("generated") {
        return vec![
            format!("ALTER TABLE {table} DROP COLUMN {name}"),
            format!("ALTER TABLE {table} ADD COLUMN {}", column(name, facts)),
        ];
    }
    let (expected, there) = (|what: &str| fact(facts, what), |what: &str| fact(&difference.found, what));
    if is_changed("type") || is_changed("collation") {
        let views = readers(&key.block, wanted);
        let kind = expected("type").unwrap_or_default();
        // What its default is of cannot always follow.
        if there("default").is_some() {
            all.push(alter("DROP DEFAULT"));
        }
        let collation = expected("collation").map(|value| format!(" COLLATE {value}")).unwrap_or_default();
        all.extend(views.iter().rev().map(|view| format!("DROP VIEW IF EXISTS tidegate.{view}")));
        all.push(alter(&format!("TYPE {kind}{collation} USING {name}::{kind}")));
        all.extend(views.iter().flat_map(|view| create::object(wanted, view)));
    }
    if is_changed("identity") {
        if there("identity").is_some() {
            all.push(alter("DROP IDENTITY"));
        }
        if let Some(how) = expected("identity") {
            all.push(alter("SET NOT NULL"));
            all.push(alter(&format!("ADD GENERATED {} AS IDENTITY", how.to_uppercase())));
        }
    }
    if is_changed("default") || (is_changed("type") && there("default").is_some()) {
        all.push(alter(&expected("default").map_or("DROP DEFAULT".to_owned(), |value| format!("SET DEFAULT {value}"))));
    }
    if is_changed("null") {
        all.push(alter(if expected("null") == Some("no") { "SET NOT NULL" } else { "DROP NOT NULL" }));
    }
    all
}

fn only(difference: &Difference, what: &str) -> bool {
    difference.facts().iter().all(|(name, _, _)| *name == what)
}

fn list<'a>(facts: &'a Facts, name: &str) -> Vec<&'a str> {
    fact(facts, name).map(|value| value.split(", ").collect()).unwrap_or_default()
}
