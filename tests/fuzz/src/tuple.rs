//! Reads a COPY tuple back, strictly.

use tidegate::wire::event::COPY_COLUMN_COUNT;

/// A tuple's columns in the order of `COPY_COLUMNS`; None is NULL.
pub struct Tuple<'a>(Vec<Option<&'a [u8]>>);

pub const TIMESTAMP: usize = 2;
pub const CREATED_AT: usize = 3;
pub const ID: usize = 4;
pub const TENANT_ID: usize = 5;
pub const STREAM: usize = 6;
pub const SOURCE_MODULE: usize = 7;
pub const EVENT_TYPE: usize = 8;
const TEXTS: [usize; 8] = [TENANT_ID, STREAM, SOURCE_MODULE, EVENT_TYPE, 10, 11, 12, TRACE_ID];
const NULLABLE: [usize; 6] = [12, 13, 14, 15, TRACE_ID, METADATA];
const FIXED: [(usize, usize); 11] = [
    (0, 8),
    (1, 4),
    (TIMESTAMP, 8),
    (CREATED_AT, 8),
    (ID, 16),
    (9, 4),
    (13, 16),
    (14, 16),
    (15, 16),
    (17, 16),
    (18, 16),
];
pub const TRACE_ID: usize = 16;
pub const PAYLOAD: usize = 19;
pub const METADATA: usize = 20;

/// A tuple's columns; panics when they are not exactly as many as `count`.
pub fn columns(bytes: &[u8], count: i16) -> Vec<Option<&[u8]>> {
    let (counted, mut rest) = bytes.split_first_chunk::<2>().expect("a tuple has a count");
    assert_eq!(i16::from_be_bytes(*counted), count);
    let column = |_| {
        let (length, after) = rest.split_first_chunk::<4>().expect("a column has a length");
        rest = after;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        let (value, after) = rest.split_at(length);
        rest = after;
        Some(value)
    };
    let columns = (0..count).map(column).collect();
    assert!(rest.is_empty(), "bytes after the last column");
    columns
}

impl<'a> Tuple<'a> {
    /// Panics when the bytes are not exactly one well-formed tuple of `events`.
    pub fn read(bytes: &'a [u8]) -> Self {
        let columns = columns(bytes, COPY_COLUMN_COUNT);
        for (n, column) in columns.iter().enumerate() {
            assert!(column.is_some() || NULLABLE.contains(&n), "column {n} is NULL");
        }
        for (n, length) in FIXED {
            assert!(columns[n].is_none_or(|value| value.len() == length), "column {n}");
        }
        let tuple = Self(columns);
        for n in TEXTS {
            assert!(tuple.text(n).is_none_or(|text| !text.contains('\0')), "NUL in column {n}");
        }
        tuple
    }

    /// A column's bytes.
    pub fn bytes(&self, column: usize) -> Option<&'a [u8]> {
        self.0[column]
    }

    /// A column of text.
    pub fn text(&self, column: usize) -> Option<&'a str> {
        self.0[column].map(|bytes| std::str::from_utf8(bytes).expect("text is UTF-8"))
    }

    /// The text of a jsonb column.
    pub fn json(&self, column: usize) -> &'a str {
        let (version, text) = self.0[column].and_then(<[u8]>::split_first).expect("jsonb has a version");
        assert_eq!(*version, 1);
        std::str::from_utf8(text).expect("jsonb is UTF-8")
    }
}
