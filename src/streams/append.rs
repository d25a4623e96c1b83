//! The statement that appends to the log, by what finds the batches.

use std::sync::LazyLock;

use tokio_postgres::Row;

/// What was committed since the newest tick.
pub static TICK: LazyLock<String> = LazyLock::new(|| {
    statement(include_str!("../../sql/queries/log_tick.sql"), include_str!("../../sql/queries/log_tick_note.sql"))
});

/// What versions before the log have stored.
pub static OLD: LazyLock<String> = LazyLock::new(|| {
    statement(include_str!("../../sql/queries/log_old.sql"), include_str!("../../sql/queries/log_old_note.sql"))
});

/// Whatever is stored and not logged.
pub static REPAIR: LazyLock<String> = LazyLock::new(|| {
    statement(include_str!("../../sql/queries/log_repair.sql"), include_str!("../../sql/queries/log_repair_note.sql"))
});

fn statement(batches: &str, then: &str) -> String {
    include_str!("../../sql/queries/log_append.sql")
        .replace("{batches}", batches.trim_end())
        .replace("{then}", then.trim_end())
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
