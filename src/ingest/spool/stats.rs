//! The figures of a spool, for the metrics and for people.

use metrics::gauge;

use super::state::{Quarantined, SpoolState, Totals};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Durable and waiting to be drained.
    pub undrained: Totals,
    pub segments: u64,
    /// Their bytes, those of drained records in them included; `spool.max_bytes` bounds this.
    pub disk_bytes: u64,
    /// How long the oldest record has waited, in microseconds, 0 if there is none.
    pub oldest_age_us: u64,
    /// What is in the quarantine.
    pub quarantined: Quarantined,
}

impl Stats {
    pub(super) fn of(state: &SpoolState, now_us: i64) -> Self {
        let waiting = state.undrained.records > 0;
        let oldest_us = if waiting { state.oldest_us() } else { None };
        Self {
            undrained: state.undrained,
            segments: state.segments.len() as u64,
            disk_bytes: state.disk_bytes(),
            // A clock that was set back makes nothing older.
            oldest_age_us: oldest_us.map_or(0, |oldest_us| u64::try_from(now_us - oldest_us).unwrap_or(0)),
            quarantined: state.quarantined,
        }
    }

    /// Sets the gauges of the spool. `tidegate_spool_quarantined_total` is counted where it happens.
    pub fn report(&self) {
        gauge!("tidegate_spool_bytes").set(exact(self.undrained.bytes));
        gauge!("tidegate_spool_disk_bytes").set(exact(self.disk_bytes));
        gauge!("tidegate_spool_records").set(exact(self.undrained.records));
        gauge!("tidegate_spool_segments").set(exact(self.segments));
        gauge!("tidegate_spool_oldest_age_seconds").set(exact(self.oldest_age_us) / 1e6);
        gauge!("tidegate_spool_quarantine_bytes").set(exact(self.quarantined.bytes));
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are doubles; exact up to 2^53")]
fn exact(number: u64) -> f64 {
    number as f64
}
