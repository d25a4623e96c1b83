//! What every class of SQLSTATE says about work that met it. The classes are those of PostgreSQL's appendix A ("Error
//! Codes"), which is where the names are from.
//!
//! Only a few classes are a verdict on a row or a statement. All others, and those that are not in the table
//! (TimescaleDB's and other extensions' own, newer servers'), say nothing about what was sent: a disk that is full, a
//! server that fails inside, a session that is not what it was. Such work waits.

/// What an error of a class says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing about the work: it may succeed later.
    Passes,
    /// A row cannot be stored, by the server's own rules.
    Row,
    /// A limit of the server: the row's fault where a line is named.
    Limit,
    /// The schema, a role or a right is not what this version expects.
    Schema,
    /// Somebody's code in the database (a trigger, a function) refuses the row, and would again.
    Refused,
}

use Meaning::{Limit, Passes, Refused, Row, Schema};

/// Class, the appendix's name, meaning.
const CLASSES: &[(&str, &str, Meaning)] = &[
    ("00", "successful completion", Passes),
    ("01", "warning", Passes),
    ("02", "no data", Passes),
    ("03", "SQL statement not yet complete", Passes),
    ("08", "connection exception", Passes),
    ("09", "triggered action exception", Refused),
    ("0A", "feature not supported", Schema),
    // A session in another state than it was left in, as behind a pooler: the next one is another.
    ("0B", "invalid transaction initiation", Passes),
    ("0F", "locator exception", Passes),
    ("0L", "invalid grantor", Schema),
    ("0P", "invalid role specification", Schema),
    ("0Z", "diagnostics exception", Refused),
    ("10", "XQuery error", Refused),
    ("20", "case not found", Refused),
    ("21", "cardinality violation", Refused),
    ("22", "data exception", Row),
    ("23", "integrity constraint violation", Row),
    ("24", "invalid cursor state", Passes),
    // A standby among them: the primary is somewhere else now.
    ("25", "invalid transaction state", Passes),
    ("26", "invalid SQL statement name", Passes),
    ("27", "triggered data change violation", Refused),
    ("28", "invalid authorization specification", Schema),
    ("2B", "dependent privilege descriptors still exist", Schema),
    ("2D", "invalid transaction termination", Passes),
    ("2F", "SQL routine exception", Refused),
    ("34", "invalid cursor name", Passes),
    ("38", "external routine exception", Refused),
    ("39", "external routine invocation exception", Refused),
    ("3B", "savepoint exception", Passes),
    ("3D", "invalid catalog name", Schema),
    ("3F", "invalid schema name", Schema),
    ("40", "transaction rollback", Passes),
    ("42", "syntax error or access rule violation", Schema),
    ("44", "WITH CHECK OPTION violation", Refused),
    ("53", "insufficient resources", Passes),
    ("54", "program limit exceeded", Limit),
    ("55", "object not in prerequisite state", Passes),
    ("57", "operator intervention", Passes),
    ("58", "system error", Passes),
    ("72", "snapshot failure", Passes),
    ("F0", "configuration file error", Passes),
    ("HV", "foreign data wrapper error", Passes),
    ("P0", "PL/pgSQL error", Refused),
    // "Could not extend file" comes as this one where the limit is the process's own.
    ("XX", "internal error", Passes),
];

/// What the class of `code` says.
pub fn meaning(code: &str) -> Meaning {
    let class = code.get(..2).unwrap_or_default();
    CLASSES.iter().find(|(known, ..)| *known == class).map_or(Passes, |(.., meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_named_once() {
        let mut classes: Vec<&str> = CLASSES.iter().map(|(class, ..)| *class).collect();
        assert!(classes.iter().all(|class| class.len() == 2));
        let count = classes.len();
        classes.sort_unstable();
        classes.dedup();
        assert_eq!(classes.len(), count);
    }

    #[test]
    fn what_is_not_known_waits() {
        for code in
            ["XX000", "XX001", "53100", "53200", "58030", "58P01", "TS103", "ZZ999", "", "5", "é", "55000", "26000"]
        {
            assert_eq!(meaning(code), Meaning::Passes, "{code}");
        }
    }

    #[test]
    fn verdicts_are_few() {
        for (code, expected) in
            [("22P02", Row), ("23514", Row), ("54001", Limit), ("42P01", Schema), ("28P01", Schema), ("P0001", Refused)]
        {
            assert_eq!(meaning(code), expected, "{code}");
        }
    }
}
