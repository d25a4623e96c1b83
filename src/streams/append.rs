//! The statement that appends to the log, by what finds the batches.

use std::sync::LazyLock;

use tokio_postgres::Row;

/// What wakes those who wait, in sql/queries/log_append.sql.
const TELLS: &str = "(SELECT pg_notify('tidegate_log', marks)::text FROM woken)";

/// A statement that appends, and the same that wakes nobody: where the server's queue of messages is full, a transaction that has
/// one cannot be committed, and those who wait look again all the same.
pub struct Append {
    pub telling: String,
    pub silent: String,
}

/// What was committed since the newest tick.
pub static TICK: LazyLock<Append> = LazyLock::new(|| {
    Append::of(include_str!("../../sql/queries/log_tick.sql"), include_str!("../../sql/queries/log_tick_note.sql"))
});

/// What versions before the log have stored.
pub static OLD: LazyLock<Append> = LazyLock::new(|| {
    Append::of(include_str!("../../sql/queries/log_old.sql"), include_str!("../../sql/queries/log_old_note.sql"))
});

/// Whatever is stored and not logged.
pub static REPAIR: LazyLock<Append> = LazyLock::new(|| {
    Append::of(include_str!("../../sql/queries/log_repair.sql"), include_str!("../../sql/queries/log_repair_note.sql"))
});

impl Append {
    fn of(batches: &str, then: &str) -> Self {
        let telling = include_str!("../../sql/queries/log_append.sql")
            .replace("{batches}", batches.trim_end())
            .replace("{then}", then.trim_end());
        let silent = telling.replace(TELLS, "NULL");
        Self { telling, silent }
    }
}

/// What was appended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Appended {
    pub batches: u64,
    pub events: u64,
}

impl Appended {
    /// From the statement's row; there is none where nothing was appended.
    pub fn of(row: Option<&Row>) -> Self {
        let Some(row) = row else { return Self::default() };
        let (batches, events): (i64, i64) = (row.get(0), row.get(1));
        let appended = Self { batches: batches.unsigned_abs(), events: events.unsigned_abs() };
        metrics::counter!("tidegate_log_batches_total").increment(appended.batches);
        metrics::counter!("tidegate_log_events_total").increment(appended.events);
        appended
    }

    pub fn is_nothing(self) -> bool {
        self.batches == 0
    }
}

impl std::ops::AddAssign for Appended {
    fn add_assign(&mut self, other: Self) {
        self.batches += other.batches;
        self.events += other.events;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silent_one_tells_nobody() {
        for append in [&*TICK, &*OLD, &*REPAIR] {
            assert!(append.telling.contains("pg_notify") && !append.silent.contains("pg_notify"));
        }
    }
}
