//! Whose rows and relations one lifecycle job looks after: where tenants are in cells, several share the work.

/// What of a database a run looks after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// Relations, and rows of people and keys: what is of so many cells is done in each.
    Control {
        cells: usize,
    },
    /// Rows of tenants.
    Cell,
}
