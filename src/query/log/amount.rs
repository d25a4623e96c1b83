//! How many events of a log are read at once, by what the last look took.
//!
//! In a compacted chunk every look opens all segments that the tenant has there, 28 us each, however few rows are wanted, and
//! a row costs 2 us. So who reads on asks for more where looks are dear, as far as the rows fit; and for fewer where most of
//! what was found did not fit, since finding large values costs as much as reading them.

use std::time::Duration;

use crate::limits::{LOG_LOOK_DEAR, LOG_LOOK_ROWS_MAX, STREAM_PAGE_ROWS};

/// What a look found.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub asked: usize,
    pub rows: usize,
    pub row_bytes: usize,
    /// Of the rows, those that came to be on the page.
    pub taken: usize,
    pub took: Duration,
}

impl Look {
    /// How many events the next one is to ask for, whose rows may take `bytes`.
    pub fn next(&self, bytes: usize) -> usize {
        let Self { asked, rows, row_bytes, taken, took } = *self;
        if taken < rows / 2 {
            return (2 * taken).max(1);
        }
        let wanted = if took >= LOG_LOOK_DEAR { asked * 2 } else { (asked * 2).min(asked.max(STREAM_PAGE_ROWS)) };
        // The next ones may be a little larger.
        let fitting = (bytes / 4 * 3).saturating_mul(rows).checked_div(row_bytes).unwrap_or(wanted);
        wanted.min(fitting).clamp(1, LOG_LOOK_ROWS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{LOG_LOOK_ROWS_FIRST, MIB};

    const CHEAP: Duration = Duration::from_millis(6);
    const DEAR: Duration = Duration::from_millis(210);

    fn look(asked: usize, row_bytes: usize, took: Duration) -> usize {
        Look { asked, rows: asked, row_bytes: asked * row_bytes, taken: asked, took }.next(8 * MIB)
    }

    #[test]
    fn dear_looks_ask_for_more_and_cheap_ones_for_a_page() {
        let mut asked = LOG_LOOK_ROWS_FIRST;
        for _ in 0..5 {
            asked = look(asked, 400, CHEAP);
        }
        assert_eq!(asked, STREAM_PAGE_ROWS);
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
        assert_eq!(look(STREAM_PAGE_ROWS, 64 * 1024, DEAR), 96);
        let nothing = Look { asked: 2000, rows: 0, row_bytes: 0, taken: 0, took: DEAR };
        assert_eq!(nothing.next(MIB), 4000);
    }

    #[test]
    fn few_are_asked_for_where_few_fit() {
        let large = |asked, taken| Look { asked, rows: asked, row_bytes: asked, taken, took: DEAR }.next(8 * MIB);
        assert_eq!((large(128, 1), large(2, 1), large(4, 1), large(3, 0)), (2, 4, 2, 1));
    }
}
