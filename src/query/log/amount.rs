//! How many events of a log are read at once, by what the last look took.
//!
//! In a compacted chunk every look opens all segments that the tenant has there, 28 us each, however few rows are wanted, and
//! a row costs 2 us. So who reads on asks for more where looks are dear, as far as the rows fit.

use std::time::Duration;

use crate::limits::{LOG_LOOK_DEAR, LOG_LOOK_ROWS_MAX, STREAM_PAGE_ROWS};

/// What a look found.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub asked: usize,
    pub rows: usize,
    pub row_bytes: usize,
    pub took: Duration,
}

impl Look {
    /// How many events the next one is to ask for, whose rows may take `bytes`.
    pub fn next(&self, bytes: usize) -> usize {
        let Self { asked, rows, row_bytes, took } = *self;
        let wanted = if took >= LOG_LOOK_DEAR { asked * 2 } else { asked };
        // The next ones may be a little larger.
        let fitting = (bytes / 4 * 3).saturating_mul(rows).checked_div(row_bytes).unwrap_or(wanted);
        wanted.min(fitting).clamp(STREAM_PAGE_ROWS, LOG_LOOK_ROWS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MIB;

    const CHEAP: Duration = Duration::from_millis(6);
    const DEAR: Duration = Duration::from_millis(210);

    fn look(asked: usize, row_bytes: usize, took: Duration) -> usize {
        Look { asked, rows: asked, row_bytes: asked * row_bytes, took }.next(8 * MIB)
    }

    #[test]
    fn dear_looks_ask_for_more_and_cheap_ones_do_not() {
        assert_eq!(look(STREAM_PAGE_ROWS, 400, CHEAP), STREAM_PAGE_ROWS);
        let mut asked = STREAM_PAGE_ROWS;
        for expected in [2, 4, 8].map(|times| times * STREAM_PAGE_ROWS) {
            asked = look(asked, 400, DEAR);
            assert_eq!(asked, expected);
        }
        assert_eq!(look(asked, 400, CHEAP), asked);
        assert_eq!(look(asked, 1, DEAR), 16 * STREAM_PAGE_ROWS);
        assert_eq!(look(LOG_LOOK_ROWS_MAX, 1, DEAR), LOG_LOOK_ROWS_MAX);
    }

    #[test]
    fn no_more_is_asked_for_than_fits() {
        assert_eq!(look(8 * STREAM_PAGE_ROWS, 1024, DEAR), 6 * 1024);
        assert_eq!(look(STREAM_PAGE_ROWS, 64 * 1024, DEAR), STREAM_PAGE_ROWS);
        assert_eq!(Look { asked: 2000, rows: 0, row_bytes: 0, took: DEAR }.next(MIB), 4000);
    }
}
