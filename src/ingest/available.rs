//! The gauges of whether databases take batches: one of all of them, and of each cell one of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use metrics::gauge;

/// Whether one database takes batches; of several, how many do not is known in common.
#[derive(Default)]
pub struct Available {
    away: Arc<AtomicUsize>,
    cell: OnceLock<String>,
}

impl Available {
    /// That of another cell, away until it comes.
    pub fn beside(&self) -> Self {
        Self { away: Arc::clone(&self.away), cell: OnceLock::new() }
    }

    /// Names the cell that it is of.
    pub fn is_of(&self, cell: &str) {
        let _ = self.cell.set(cell.to_owned());
    }

    /// The cell that it is of, if it is of one.
    pub fn cell(&self) -> Option<&str> {
        self.cell.get().map(String::as_str)
    }

    /// To be told once until it comes.
    pub fn goes(&self) {
        self.away.fetch_add(1, Ordering::Relaxed);
        gauge!("tidegate_database_available").set(0.0);
        self.of_cell(0.0);
    }

    /// To be told once until it goes.
    pub fn comes(&self) {
        if self.away.fetch_sub(1, Ordering::Relaxed) == 1 {
            gauge!("tidegate_database_available").set(1.0);
        }
        self.of_cell(1.0);
    }

    fn of_cell(&self, value: f64) {
        if let Some(cell) = self.cell() {
            gauge!("tidegate_cell_available", "cell" => cell.to_owned()).set(value);
        }
    }
}
