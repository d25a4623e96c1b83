//! What is other in a database than this version expects, each with the statement that mends it.

use std::collections::BTreeSet;

use serde::Serialize;
use tokio_postgres::{Client, IsolationLevel, Transaction};

use super::compare::{Change, Difference, compare};
use super::expected::{Variant, expected};
use super::live::live;
use super::mend::{forget_renamed, in_order, statement};
use super::snapshot::{Part, Snapshot};
use super::{create, views};
use crate::config::Config;
use crate::model::Kind;
use crate::storage::{Layout, StorageError};

/// Nothing is locked but what reads lock, no longer than this.
const LOOKING: &str = "SET LOCAL search_path = pg_catalog; SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '5s'; \
     SET LOCAL idle_in_transaction_session_timeout = '120s'";

/// A difference between a database and what is expected.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// Whether something relies on its being otherwise; else it only lies beside.
    pub drift: bool,
    pub change: Change,
    /// What is other: `column events.severity`.
    pub object: String,
    /// How it is other.
    pub what: String,
    /// What mends it; nothing where nothing but a backup does.
    pub statement: Option<String>,
}

/// What a database has, read in one transaction that changes nothing.
pub async fn look(client: &mut Client, layout: Layout) -> Result<Snapshot, StorageError> {
    let transaction = begin(client).await?;
    let found = live(&transaction, layout).await?;
    transaction.rollback().await?;
    Ok(found)
}

/// Compares a database with what this version expects of one that is made and configured like it.
pub async fn verify(client: &mut Client, layout: Layout, config: &Config) -> Result<Vec<Finding>, StorageError> {
    let mut transaction = begin(client).await?;
    let found = live(&transaction, layout).await?;
    let mut wanted = wanted(&transaction, layout, config, &found).await?;
    views::agree(&mut transaction, &mut wanted, &found).await?;
    transaction.rollback().await?;
    Ok(findings(&wanted, &found))
}

async fn begin(client: &mut Client) -> Result<Transaction<'_>, StorageError> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await?;
    transaction.batch_execute(LOOKING).await?;
    Ok(transaction)
}

/// The expectation of this database: as it is configured, owned by its owner, for the roles that there are.
async fn wanted(
    transaction: &Transaction<'_>,
    layout: Layout,
    config: &Config,
    found: &Snapshot,
) -> Result<Snapshot, StorageError> {
    let mut variant = Variant { layout, ..Variant::of(found) };
    variant.payload_gin = config.payload_gin.unwrap_or(variant.payload_gin);
    let mut wanted = expected(variant);
    let row = transaction
        .query_one("SELECT quote_ident(current_user), array_agg(quote_ident(rolname)) FROM pg_roles", &[])
        .await?;
    let (owner, roles): (String, Vec<String>) = (row.get(0), row.get(1));
    let roles: BTreeSet<String> = roles.into_iter().chain(["PUBLIC".to_owned()]).collect();
    wanted.items.retain(|key, _| key.part != Part::Grant || roles.contains(create::grantee(&key.name)));
    for facts in wanted.items.values_mut() {
        for (_, value) in facts.iter_mut().filter(|(name, _)| name == "owner") {
            value.clone_from(&owner);
        }
    }
    // A constraint that somebody has had checked for the rows that were there holds for them as well.
    for (key, facts) in wanted.items.iter_mut().filter(|(key, _)| key.part == Part::Constraint) {
        if found.items.get(key).is_some_and(|there| super::snapshot::fact(there, "valid").is_none()) {
            facts.retain(|(name, _)| name != "valid");
        }
    }
    configured(&mut wanted, config, found);
    Ok(wanted)
}

/// Chunk widths and partitions are what the configuration says; a number of partitions that it does not say is the database's.
fn configured(wanted: &mut Snapshot, config: &Config, found: &Snapshot) {
    let seconds = config.chunk_interval.as_secs().to_string();
    for (key, facts) in wanted.items.iter_mut().filter(|(key, _)| key.part == Part::Dimension) {
        let there = found.items.get(key).and_then(|facts| super::snapshot::fact(facts, "partitions"));
        let kind = Kind::ALL.into_iter().find(|kind| kind.table() == key.block);
        for (name, value) in facts {
            if name == "seconds" && (kind.is_some() || key.block == "correlations") {
                value.clone_from(&seconds);
            }
            if let (Some(kind), "partitions") = (kind, name.as_str()) {
                match (*config.partitions.of(kind), there) {
                    (Some(number), _) => *value = number.to_string(),
                    (None, Some(there)) => there.clone_into(value),
                    (None, None) => {}
                }
            }
        }
    }
}

/// In the order in which their statements can be run; behind what is to be mended, what only lies beside.
fn findings(wanted: &Snapshot, found: &Snapshot) -> Vec<Finding> {
    let mut differences = compare(wanted, found);
    forget_renamed(&mut differences, wanted, found);
    in_order(&mut differences, wanted);
    let finding = |difference: &Difference| Finding {
        drift: difference.is_drift(is_view(&difference.key.block, wanted, found)),
        change: difference.change,
        object: title(difference),
        what: what(difference),
        statement: statement(difference, wanted, found),
    };
    let mut findings: Vec<Finding> = differences.iter().map(finding).collect();
    findings.sort_by_key(|finding| !finding.drift);
    findings
}

pub fn is_view(block: &str, one: &Snapshot, other: &Snapshot) -> bool {
    let object = one.object(block).or_else(|| other.object(block));
    object.is_some_and(|(part, _)| matches!(part, Part::View | Part::Aggregate | Part::Materialized))
}

/// `column events.severity`, `grant to tidegate_reader on events`, `table events`.
pub fn title(difference: &Difference) -> String {
    let key = &difference.key;
    let kind = match key.part {
        Part::Aggregate => "continuous aggregate".to_owned(),
        Part::AggregateFunction => "aggregate function".to_owned(),
        other => other.as_str().replace('_', " "),
    };
    match key.part {
        part if part.is_object() => format!("{kind} {}", key.block),
        Part::Grant => match key.name.split_once(" on ") {
            Some((role, column)) => format!("grant to {role} on {}.{column}", key.block),
            None => format!("grant to {} on {}", key.name, key.block),
        },
        Part::Column => format!("column {}.{}", key.block, key.name),
        _ => format!("{kind} {} of {}", key.name, key.block),
    }
}

/// How it differs, in a line.
pub fn what(difference: &Difference) -> String {
    let short = |value: Option<&str>| {
        let value = value.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "));
        let value = value.unwrap_or_else(|| "nothing".to_owned());
        if value.chars().count() > 160 { value.chars().take(160).chain("...".chars()).collect() } else { value }
    };
    let all = |facts: &super::snapshot::Facts| {
        let said: Vec<String> = facts.iter().map(|(name, value)| format!("{name} {}", short(Some(value)))).collect();
        said.join(", ")
    };
    match difference.change {
        Change::Missing if difference.key.part.is_object() => "is missing".to_owned(),
        Change::Missing => format!("is missing: {}", all(&difference.expected)),
        Change::Extra => format!("is not of this version: {}", all(&difference.found)),
        Change::Changed => {
            let said = difference.facts().into_iter().map(|(name, expected, found)| {
                if name == "definition" && expected.is_some_and(|text| text.contains('\n')) {
                    let at = expected
                        .unwrap_or_default()
                        .lines()
                        .zip(found.unwrap_or_default().lines())
                        .find(|(one, other)| one != other);
                    return match at {
                        Some((one, other)) => {
                            format!("definition is other: `{}` instead of `{}`", other.trim(), one.trim())
                        }
                        None => "definition is longer or shorter".to_owned(),
                    };
                }
                format!("{name} is {} instead of {}", short(found), short(expected))
            });
            said.collect::<Vec<_>>().join("; ")
        }
    }
}
