//! Statements that make an object, or a part of one, as a snapshot has it.

use super::snapshot::{Facts, Key, Part, Snapshot, fact};

/// How an object is named in a statement.
pub fn named(block: &str, part: Part) -> String {
    match part {
        Part::Schema => block.to_owned(),
        _ => format!("tidegate.{block}"),
    }
}

/// An object with its parts, in an order in which they can be made.
pub fn object(snapshot: &Snapshot, block: &str) -> Vec<String> {
    let Some((part, facts)) = snapshot.object(block) else { return Vec::new() };
    let name = named(block, part);
    let mut made = vec![match part {
        Part::Schema => "CREATE SCHEMA tidegate".to_owned(),
        Part::Table => table(snapshot, block, facts),
        Part::Sequence => format!("CREATE SEQUENCE {name} {}", fact(facts, "sequence").unwrap_or_default()),
        Part::View => view(block, facts),
        Part::Aggregate => aggregate(snapshot, block, facts),
        Part::Function | Part::Procedure | Part::AggregateFunction => definition(facts),
        Part::Type
        | Part::Foreign
        | Part::Materialized
        | Part::Option
        | Part::Column
        | Part::Dimension
        | Part::Columnstore
        | Part::Constraint
        | Part::Index
        | Part::Trigger
        | Part::Rule
        | Part::Policy
        | Part::Job
        | Part::Grant
        | Part::DefaultGrant
        | Part::PartitionGrant => {
            return Vec::new();
        }
    }];
    if matches!(part, Part::Function | Part::Procedure | Part::AggregateFunction)
        && snapshot.facts(block, Part::Grant, "PUBLIC").is_none()
    {
        made.push(format!("REVOKE ALL ON {} {name} FROM PUBLIC", part.keyword()));
    }
    if let Some(of) = fact(facts, "of").filter(|_| part == Part::Sequence) {
        made.push(format!("ALTER SEQUENCE {name} OWNED BY {of}"));
    }
    made.extend(row_security(&name, None, fact(facts, "row_security")));
    let made_with_it = |key: &Key| match key.part {
        Part::Column => true,
        Part::Dimension => part == Part::Aggregate,
        Part::Index => part == Part::Aggregate && key.name == format!("{block}_bucket_idx"),
        _ => key.part.is_object(),
    };
    let time: Vec<String> = hypertable(snapshot, block).filter(|_| part == Part::Table).into_iter().collect();
    made.extend(time);
    let rest = snapshot.block(block).filter(|(key, _)| !made_with_it(key) && key.part != Part::Dimension);
    made.extend(rest.flat_map(|(key, facts)| self::part(part, key, facts)));
    if let Some(owner) = fact(facts, "owner") {
        made.push(format!("ALTER {} {name} OWNER TO {owner}", part.keyword()));
    }
    made
}

/// A part of an object of the kind `of`.
pub fn part(of: Part, key: &Key, facts: &Facts) -> Vec<String> {
    let (table, name) = (named(&key.block, of), &key.name);
    let get = |name: &str| fact(facts, name);
    match key.part {
        Part::Option => {
            vec![format!("ALTER {} {table} SET ({name} = {})", of.keyword(), get("value").unwrap_or_default())]
        }
        Part::Column => vec![format!("ALTER TABLE {table} ADD COLUMN {}", column(name, facts))],
        Part::Columnstore => vec![columnstore(of, &table, facts)],
        Part::Constraint => {
            let later = if get("valid").is_some() { " NOT VALID" } else { "" };
            vec![format!("ALTER TABLE {table} ADD CONSTRAINT {name} {}{later}", definition(facts))]
        }
        Part::Index | Part::Rule => vec![definition(facts)],
        Part::Trigger => {
            let enable = get("enabled").map(|how| match how {
                "no" => format!("ALTER TABLE {table} DISABLE TRIGGER {name}"),
                other => format!("ALTER TABLE {table} ENABLE {} TRIGGER {name}", other.to_uppercase()),
            });
            std::iter::once(definition(facts)).chain(enable).collect()
        }
        Part::Policy => {
            let mut sql = format!(
                "CREATE POLICY {name} ON {table} AS {} FOR {} TO {}",
                get("as").unwrap_or_default().to_uppercase(),
                get("command").unwrap_or_default(),
                get("to").unwrap_or_default()
            );
            for (word, value) in [("USING", get("using")), ("WITH CHECK", get("check"))] {
                sql += &value.map(|value| format!(" {word} ({value})")).unwrap_or_default();
            }
            vec![sql]
        }
        Part::Grant => {
            let grant = |privileges: &str, option: &str| {
                format!("GRANT {} TO {}{option}", on(of, key, privileges), grantee(name))
            };
            let grantable = get("grantable").map(|privileges| grant(privileges, " WITH GRANT OPTION"));
            get("privileges").map(|privileges| grant(privileges, "")).into_iter().chain(grantable).collect()
        }
        _ => Vec::new(),
    }
}

/// `SELECT, UPDATE (column) ON TABLE tidegate.x`, as GRANT and REVOKE want it.
pub fn on(of: Part, key: &Key, privileges: &str) -> String {
    let (kind, table) = match of {
        Part::Table | Part::View | Part::Materialized | Part::Aggregate | Part::Foreign => {
            ("TABLE", named(&key.block, of))
        }
        // As GRANT calls all of them.
        Part::Function | Part::Procedure | Part::AggregateFunction => ("ROUTINE", named(&key.block, of)),
        other => (other.keyword(), named(&key.block, of)),
    };
    let privileges = match key.name.split_once(" on ") {
        Some((_, column)) => {
            privileges.split(", ").map(|one| format!("{one} ({column})")).collect::<Vec<_>>().join(", ")
        }
        None => privileges.to_owned(),
    };
    format!("{privileges} ON {kind} {table}")
}

/// To whom a grant of this name is.
pub fn grantee(name: &str) -> &str {
    name.split_once(" on ").map_or(name, |(role, _)| role)
}

pub fn definition(facts: &Facts) -> String {
    fact(facts, "definition").unwrap_or_default().trim().trim_end_matches(';').to_owned()
}

/// A column as CREATE TABLE and ADD COLUMN want it.
pub fn column(name: &str, facts: &Facts) -> String {
    let mut sql = format!("{name} {}", fact(facts, "type").unwrap_or_default());
    let words = [("collation", "COLLATE "), ("default", "DEFAULT ")];
    for (known, word) in words {
        sql += &fact(facts, known).map(|value| format!(" {word}{value}")).unwrap_or_default();
    }
    if let Some((how, expression)) = fact(facts, "generated").and_then(|value| value.split_once(' ')) {
        sql += &format!(" GENERATED ALWAYS AS ({expression}) {}", how.to_uppercase());
    }
    if let Some(how) = fact(facts, "identity") {
        sql += &format!(" GENERATED {} AS IDENTITY", how.to_uppercase());
    }
    if fact(facts, "null") == Some("no") {
        sql += " NOT NULL";
    }
    sql
}

pub fn view(block: &str, facts: &Facts) -> String {
    format!("CREATE OR REPLACE VIEW tidegate.{block} AS {}", definition(facts))
}

/// What turns row security from one into the other.
pub fn row_security(table: &str, from: Option<&str>, to: Option<&str>) -> Vec<String> {
    let has = |of: Option<&str>, word: &str| of.is_some_and(|value| value.contains(word));
    let changed = [("enabled", "ENABLE", "DISABLE"), ("forced", "FORCE", "NO FORCE")].into_iter();
    let changed = changed.filter(|(word, _, _)| has(from, word) != has(to, word));
    changed
        .map(|(word, on, off)| {
            format!("ALTER TABLE {table} {} ROW LEVEL SECURITY", if has(to, word) { on } else { off })
        })
        .collect()
}

fn table(snapshot: &Snapshot, block: &str, facts: &Facts) -> String {
    let columns = snapshot.block(block).filter(|(key, _)| key.part == Part::Column);
    let columns: Vec<String> = columns.map(|(key, facts)| column(&key.name, facts)).collect();
    let partition = fact(facts, "partition").map(|by| format!(" PARTITION BY {by}")).unwrap_or_default();
    let unlogged = if fact(facts, "persistence").is_some() { "UNLOGGED " } else { "" };
    format!("CREATE {unlogged}TABLE tidegate.{block} ({}){partition}", columns.join(", "))
}

/// The dimensions of a table that is to be a hypertable.
fn hypertable(snapshot: &Snapshot, block: &str) -> Option<String> {
    let dimensions = || snapshot.block(block).filter(|(key, _)| key.part == Part::Dimension);
    let (time, seconds) = dimensions().find_map(|(key, facts)| Some((&key.name, fact(facts, "seconds")?)))?;
    let unquoted = |name: &str| name.trim_matches('"').to_owned();
    let mut sql = format!(
        "SELECT public.create_hypertable('tidegate.{block}', public.by_range('{}', INTERVAL '{seconds} seconds'), create_default_indexes => false)",
        unquoted(time)
    );
    for (key, partitions) in dimensions().filter_map(|(key, facts)| Some((key, fact(facts, "partitions")?))) {
        sql += &format!(
            "; SELECT public.add_dimension('tidegate.{block}', public.by_hash('{}', {partitions}))",
            unquoted(&key.name)
        );
    }
    Some(sql)
}

fn aggregate(snapshot: &Snapshot, block: &str, facts: &Facts) -> String {
    let dimension = snapshot.block(block).find(|(key, _)| key.part == Part::Dimension);
    let seconds = dimension.and_then(|(_, facts)| fact(facts, "seconds")).unwrap_or_default();
    format!(
        "CREATE MATERIALIZED VIEW tidegate.{block} WITH (timescaledb.continuous, timescaledb.materialized_only = {}, \
         timescaledb.create_group_indexes = false, timescaledb.chunk_interval = '{seconds} seconds') AS {} WITH NO DATA",
        fact(facts, "materialized_only").unwrap_or_default(),
        definition(facts)
    )
}

pub fn columnstore(of: Part, table: &str, facts: &Facts) -> String {
    let setting = |name: &str, known: &str| {
        format!(", timescaledb.{name} = '{}'", fact(facts, known).unwrap_or_default().replace('\'', "''"))
    };
    // Said to be none is another thing than not said.
    let sparse = fact(facts, "sparse_index").map(|_| setting("sparse_index", "sparse_index")).unwrap_or_default();
    format!(
        "ALTER {} {table} SET (timescaledb.enable_columnstore = true{}{}{sparse})",
        of.keyword(),
        setting("segmentby", "segmentby"),
        setting("orderby", "orderby")
    )
}
