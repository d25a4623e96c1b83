//! Errors that are about the session and not about what was asked: a prepared statement that is not there, a transaction of
//! somebody else's, a server that has become a standby. On another connection the same work goes through.

use tokio_postgres::error::DbError;

use super::sqlstate::{self, Meaning};

/// Classes that say so with all their codes.
const CLASSES: &[&str] = &[
    "08", // connection exception
    "24", // invalid cursor state
    "25", // invalid transaction state: aborted by somebody else, none, read-only
    "26", // prepared statement that does not exist
    "2D", // invalid transaction termination
    "34", // cursor that does not exist
    "3B", // savepoint that does not exist
    "XX", // internal error: whatever state that left
];

/// Codes of other classes.
const CODES: &[&str] = &[
    "42P03", // duplicate cursor
    "42P05", // duplicate prepared statement
    "57P01", "57P02", "57P03", "57P04", "57P05", // the session is being ended, or cannot be begun
];

/// A prepared statement whose result would now be another (0A000, which has many meanings): by the routine that raises it.
const STALE_PLAN: (&str, &str) = ("0A000", "RevalidateCachedQuery");

pub(super) fn is_of_session(error: &DbError) -> bool {
    says(error.code().code(), error.routine())
}

/// The same, where it may be so: what the schema lacks or a role may not is perhaps what this session has lost.
pub(super) fn may_be_of_session(error: &DbError) -> bool {
    is_of_session(error) || may_say(error.code().code())
}

fn may_say(code: &str) -> bool {
    sqlstate::meaning(code) == Meaning::Schema
}

fn says(code: &str, routine: Option<&str>) -> bool {
    code.get(..2).is_some_and(|class| CLASSES.contains(&class))
        || CODES.contains(&code)
        || (code, routine) == (STALE_PLAN.0, Some(STALE_PLAN.1))
}

#[cfg(test)]
mod tests {
    use super::{may_say, says};

    #[test]
    fn what_a_pooler_or_a_failover_causes_is_of_the_session() {
        for code in ["26000", "42P05", "25P02", "25P01", "34000", "42P03", "08P01", "08006", "25006", "57P01", "XX000"]
        {
            assert!(says(code, None), "{code}");
        }
        assert!(says("0A000", Some("RevalidateCachedQuery")));
    }

    #[test]
    fn what_a_row_or_a_statement_causes_is_not() {
        for code in ["22P02", "23505", "23514", "40001", "40P01", "42501", "42P01", "53100", "55P03", "57014", "P0001"]
        {
            assert!(!says(code, None), "{code}");
        }
        assert!(!says("0A000", Some("transformLockingClause")));
        // Without its search_path a session finds no relation, without its role it may not use one.
        assert!(["42P01", "42883", "42501", "3F000"].into_iter().all(may_say));
        assert!(!["23505", "40001", "55P03", "57014", "P0001"].into_iter().any(may_say));
    }
}
